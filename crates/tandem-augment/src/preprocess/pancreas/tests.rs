use super::*;

/// A CT of `shape` voxels at 0.75 x 0.75 x 2 mm whose HU rise by 2 a mm along i and by 1 a mm along k, from -300; its label
/// map is the box from `low` to `high`, both included.
fn scan(shape: [usize; 3], low: [usize; 3], high: [usize; 3]) -> Subject {
    let direction = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];
    let geometry = Geometry::new([0.75, 0.75, 2.0], [10.0, 20.0, 30.0], direction).unwrap();
    let hu = |(i, _, k): (usize, usize, usize)| -300.0 + 1.5 * i as f32 + 2.0 * k as f32;
    let inside = |at: [usize; 3]| (0..3).all(|n| (low[n]..=high[n]).contains(&at[n]));
    let label = Array3::from_shape_fn(shape, |(i, j, k)| u8::from(inside([i, j, k])));
    let label = Volume::new(label, geometry.clone());
    Subject::new("scan", Volume::new(Array3::from_shape_fn(shape, hu), geometry), Some(label)).unwrap()
}

/// 320 x 300 x 80 voxels: 240 x 225 x 160 mm. The label's box is 120 x 30 x 40 mm.
fn wide() -> Subject {
    scan([320, 300, 80], [80, 100, 30], [239, 139, 49])
}

/// What the ramp of [`scan`] is at a voxel of 1 mm of the uncropped scan, in window units.
fn windowed([i, _, k]: [usize; 3]) -> f32 {
    ((-300.0 + 2.0 * i as f32 + k as f32).clamp(-125.0, 275.0) + 125.0) / 400.0
}

/// Where the crop of [`scan`] begins, in voxels of 1 mm.
fn start(subject: &Subject) -> [usize; 3] {
    let origin = subject.image().geometry().origin();
    [10.0 - origin[0], 20.0 - origin[1], origin[2] - 30.0].map(|mm| mm.round() as usize)
}

fn foreground(subject: &Subject) -> ([usize; 3], [usize; 3]) {
    bounding_box(subject.label().unwrap().array()).unwrap()
}

fn moments(image: &Array3<f32>) -> (f64, f64) {
    let count = image.len() as f64;
    let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    (mean, (image.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt())
}

#[test]
fn mc_net_crops_the_plane_keeps_every_slice_and_gives_z_scores() {
    let subject = pancreas_mc_net(wide()).unwrap();
    assert_eq!(subject.image().geometry().spacing(), [1.0; 3]);
    // The label's box at 1 mm: i 60 to 179, j 75 to 104. i: extent 119 > 96, no extra. j: extent 29, extra (96 - 29) / 2 = 33.
    assert_eq!(start(&subject), [60 - 25, 75 - 25 - 33, 0]);
    assert_eq!(subject.image().shape(), [119 + 50, 29 + 50 + 66, 160]);
    assert_eq!(foreground(&subject), ([25, 58, 59], [144, 87, 98]));

    let (mean, deviation) = moments(subject.image().channels()[0].array());
    assert!(mean.abs() < 1e-5 && (deviation - 1.0).abs() < 1e-5, "{mean} {deviation}");
    let [from_i, ..] = start(&subject);
    let window = Array3::from_shape_fn(subject.image().shape(), |(i, j, k)| windowed([from_i + i, j, k]));
    let (mean, deviation) = moments(&window);
    for (found, &window) in subject.image().channels()[0].array().iter().zip(&window) {
        let expected = (f64::from(window) - mean) / deviation;
        // The spline rounds a straight ramp at the scan's ends only, and not beyond the clipped part of this one.
        assert!((f64::from(*found) - expected).abs() < 0.02, "{found} {expected}");
    }
}

#[test]
fn coranet_crops_all_axes_and_keeps_the_window_from_0_to_1() {
    let subject = pancreas_coranet(wide()).unwrap();
    assert_eq!(subject.image().geometry().spacing(), [1.0; 3]);
    // i: 60 - 25 to 179 + 27. j: 75 - 25 to 104 + 27, 81 voxels, of which 15 are missing to 96: 7 below and 8 above.
    // k: 20 slices of 2 mm are 40 voxels, not 15: 59 - 25 to 98 + 27, 91 voxels, 5 missing: 2 below and 3 above.
    assert_eq!(start(&subject), [35, 43, 32]);
    assert_eq!(subject.image().shape(), [171, 96, 96]);
    assert_eq!(foreground(&subject), ([25, 32, 27], [144, 61, 66]));
    let [i0, j0, k0] = start(&subject);
    for ((i, j, k), found) in subject.image().channels()[0].array().indexed_iter() {
        let expected = windowed([i0 + i, j0 + j, k0 + k]);
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

#[test]
fn coranet_stretches_the_window_and_appends_zeros_where_a_scan_does_not_fill_them() {
    let (id, image, label) = scan([200, 150, 30], [60, 60, 10], [120, 90, 20]).into_parts();
    let (image, geometry) = image.into_channels().swap_remove(0).into_parts();
    // 20 HU and half of one more a voxel: 149 mm later 2/3 * 149 more.
    let image = Array3::from_shape_fn(image.dim(), |(i, ..)| 20.0 + 0.5 * i as f32);
    let subject = pancreas_coranet(Subject::new(id, Volume::new(image, geometry), label).unwrap()).unwrap();
    let [i0, _, k0] = start(&subject);
    // 30 slices of 2 mm are fewer than 96 mm.
    assert_eq!((subject.image().shape()[2], k0), (96, 0));
    for ((i, _, k), found) in subject.image().channels()[0].array().indexed_iter() {
        let expected = if k < 60 { (i0 + i) as f32 / 149.0 } else { 0.0 };
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    assert_eq!((foreground(&subject).0[2], foreground(&subject).1[2]), (19, 40));
}

#[test]
fn crops_stay_inside_the_scan() {
    let corner = || scan([320, 300, 80], [0, 250, 60], [40, 299, 79]);
    let mc_net = pancreas_mc_net(corner()).unwrap();
    // i: extent 30, extra 33: 0 to 30 + 25 + 33. j: 188 to 224, extent 36, extra 30: 188 - 55 to the end.
    assert_eq!((start(&mc_net), mc_net.image().shape()), ([0, 133, 0], [88, 92, 160]));
    let coranet = pancreas_coranet(corner()).unwrap();
    // At least 96 voxels, moved into the scan.
    assert_eq!((start(&coranet), coranet.image().shape()), ([0, 129, 64], [96, 96, 96]));
}

#[test]
fn a_scan_without_label_map_keeps_its_field_of_view() {
    for recipe in [pancreas_mc_net, pancreas_coranet] {
        let (id, image, _) = scan([40, 52, 60], [0; 3], [0; 3]).into_parts();
        let subject = recipe(Subject::new(id, image, None).unwrap()).unwrap();
        assert_eq!(subject.image().shape(), [30, 39, 120]);
        assert!(subject.label().is_none());
    }
}

#[test]
fn parts_of_voxels_are_dropped_or_rounded() {
    let shape = |recipe: fn(Subject) -> Result<Subject>| {
        let (id, image, _) = scan([151, 154, 49], [0; 3], [0; 3]).into_parts();
        recipe(Subject::new(id, image, None).unwrap()).unwrap().image().shape()
    };
    // 113.25, 115.5 and 98 mm.
    assert_eq!(shape(pancreas_mc_net), [113, 115, 98]);
    assert_eq!(shape(pancreas_coranet), [113, 116, 98]);
}

#[test]
fn wrong_scans_are_refused_by_name() {
    let scan = || scan([200, 40, 10], [150, 10, 3], [170, 20, 5]);
    for recipe in [pancreas_mc_net, pancreas_coranet] {
        let relabelled = |value: u8| {
            let (id, image, label) = scan().into_parts();
            let (label, geometry) = label.unwrap().into_parts();
            let label = Volume::new(label.mapv_into(|v| v * value), geometry);
            recipe(Subject::new(id, image, Some(label)).unwrap())
        };
        assert_eq!(relabelled(255).unwrap().label().unwrap().array().iter().max(), Some(&1));
        assert!(relabelled(0).unwrap_err().to_string().contains("no foreground"));
        assert!(relabelled(3).unwrap_err().to_string().contains("label value 3"));
        let filled = |value: f32| {
            let (id, image, label) = scan().into_parts();
            let (image, geometry) = image.into_channels().swap_remove(0).into_parts();
            let image = Volume::new(image.mapv_into(|_| value), geometry);
            recipe(Subject::new(id, image, label).unwrap()).unwrap_err()
        };
        assert!(matches!(filled(-1000.0), AugmentError::NoContrast { .. }), "all is darker than the window");
        assert!(matches!(filled(f32::NAN), AugmentError::NotFinite));
    }
}
