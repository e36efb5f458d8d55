use super::*;
use tandem_reference::largest_difference;

/// What scipy and SimpleITK make of [`image`] and [`label`]: see `tests/peers/resample.py`.
#[derive(serde::Deserialize)]
struct Golden {
    spacing: [f64; 3],
    origin: [f64; 3],
    shape: [usize; 3],
    linear: Vec<f32>,
    cubic: Vec<f32>,
    label: Vec<u8>,
}

impl Golden {
    /// One grid that is finer, and one that is coarser along two axes.
    fn read() -> [Golden; 2] {
        ["fine", "coarse"].map(Golden::named)
    }

    fn named(name: &str) -> Golden {
        let text = include_str!("../../../tests/golden/resample.json");
        let mut grids: std::collections::BTreeMap<String, Golden> = serde_json::from_str(text).unwrap();
        grids.remove(name).unwrap()
    }

    fn grid(&self) -> Geometry {
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Geometry::new(self.spacing, self.origin, axes).unwrap()
    }
}

const SHAPE: [usize; 3] = [9, 8, 7];

fn values(image: &Volume<f32>) -> &[f32] {
    image.array().as_slice().unwrap()
}

fn on_grid<T: Clone>(array: Array3<T>) -> Volume<T> {
    Volume::new(array, Geometry::with_spacing([1.0, 1.5, 2.0]).unwrap())
}

fn image() -> Volume<f32> {
    let noise = |(i, j, k)| ((i * 7919 + j * 104_729 + k * 1_299_709) % 1000) as f32 / 10.0;
    on_grid(Array3::from_shape_fn(SHAPE, noise))
}

fn label() -> Volume<u8> {
    on_grid(Array3::from_shape_fn(SHAPE, |(i, j, k)| ((i / 3 + j / 4 + k / 3) % 4) as u8))
}

#[test]
fn scans_and_label_maps_are_those_of_scipy() {
    for golden in Golden::read() {
        for (interpolation, expected) in
            [(Interpolation::Linear, &golden.linear), (Interpolation::CubicSpline, &golden.cubic)]
        {
            let found = image_onto(&image(), &golden.grid(), golden.shape, interpolation).unwrap();
            assert_eq!((found.shape(), found.geometry()), (golden.shape, &golden.grid()));
            let largest = largest_difference(values(&found), expected);
            // Rounding in f32 of values up to 100.
            assert!(largest < 5e-5, "{interpolation:?}: {largest}");
        }
        let found = label_onto(&label(), &golden.grid(), golden.shape, LabelInterpolation::Linear).unwrap();
        assert_eq!(found.array().as_slice(), Some(&golden.label[..]));
    }
}

#[test]
fn sampled_scans_are_not_smoothed() {
    let golden = Golden::named("sampled");
    for (interpolation, expected) in
        [(Interpolation::Linear, &golden.linear), (Interpolation::CubicSpline, &golden.cubic)]
    {
        let found = image_sampled_onto(&image(), &golden.grid(), golden.shape, interpolation).unwrap();
        let largest = largest_difference(values(&found), expected);
        assert!(largest < 5e-5, "{interpolation:?}: {largest}");
    }
}

#[test]
fn a_scan_on_its_own_grid_is_itself() {
    for interpolation in [Interpolation::Linear, Interpolation::CubicSpline] {
        let same = image_onto(&image(), image().geometry(), SHAPE, interpolation).unwrap();
        let apart = largest_difference(values(&same), values(&image()));
        assert!(apart < 5e-5, "{interpolation:?}: {apart}");
    }
    for interpolation in [LabelInterpolation::Nearest, LabelInterpolation::Linear] {
        assert_eq!(label_onto(&label(), label().geometry(), SHAPE, interpolation).unwrap(), label());
    }
}

#[test]
fn the_nearest_class_is_taken_and_the_border_goes_on() {
    let target = label().geometry().starting_at([-2.0, 0.4, 0.0]).unwrap();
    let found = label_onto(&label(), &target, [12, 8, 7], LabelInterpolation::Nearest).unwrap();
    for ((i, j, k), &class) in found.array().indexed_iter() {
        assert_eq!(class, label().array()[[i.saturating_sub(2).min(8), j, k]]);
    }
}

#[test]
fn axes_in_another_order_are_brought_along() {
    let turned = image().reoriented("PIR".parse().unwrap()).unwrap();
    for golden in Golden::read() {
        let interpolation = Interpolation::CubicSpline;
        let straight = image_onto(&image(), &golden.grid(), golden.shape, interpolation).unwrap();
        let found = image_onto(&turned, &golden.grid(), golden.shape, interpolation).unwrap();
        let apart = largest_difference(values(&found), values(&straight));
        assert!(apart < 5e-5, "{apart}");
    }
}

#[test]
fn a_fine_pattern_does_not_alias() {
    // Stripes of one voxel, taken at every fourth one: without smoothing, all 100 or all 0.
    let stripes = Array3::from_shape_fn([64, 1, 1], |(i, _, _)| if i % 2 == 0 { 100.0 } else { 0.0 });
    let stripes = Volume::new(stripes, Geometry::isotropic(1.0).unwrap());
    let target = Geometry::with_spacing([4.0, 1.0, 1.0]).unwrap();
    for interpolation in [Interpolation::Linear, Interpolation::CubicSpline] {
        let coarse = image_onto(&stripes, &target, [16, 1, 1], interpolation).unwrap();
        let inside = coarse.array().iter().skip(2).take(12);
        assert!(inside.clone().all(|value| (value - 50.0).abs() < 1.0), "{interpolation:?}: {coarse:?}");
    }
}

#[test]
fn grids_that_cannot_be_reached_are_refused() {
    let (s, c) = 0.2f64.sin_cos();
    let turned = Geometry::new([1.0; 3], [0.0; 3], [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]).unwrap();
    let onto = |image: &Volume<f32>, grid: &Geometry, shape| {
        image_onto(image, grid, shape, Interpolation::Linear).unwrap_err().to_string()
    };
    assert!(onto(&image(), &turned, [4; 3]).contains("run in other directions"));
    assert!(onto(&image(), image().geometry(), [usize::MAX; 3]).contains("fits no array"));
    assert!(onto(&on_grid(Array3::zeros([0, 4, 4])), &turned, [4; 3]).contains("no voxels"));
}

#[test]
fn a_label_map_is_brought_to_its_image_where_it_is_not_there() {
    let image = image();
    let expected = label();
    // The same voxels, stored from the other end of i: exact, although the corners lie far apart.
    let turned = expected.reoriented("LAS".parse().unwrap()).unwrap();
    let image = Image::from(image);
    let (found, shift) = label_to_image(turned, &image).unwrap();
    assert_eq!(found.array(), expected.array());
    let side = (expected.shape()[0] - 1) as f64 * expected.geometry().spacing()[0];
    assert!((shift - side).abs() < 1e-9, "{shift} {side}");

    // Elsewhere and coarser: what `label_onto` makes of it.
    let spacing = expected.geometry().spacing().map(|mm| 1.5 * mm);
    let coarse = label_onto(
        &expected,
        &Geometry::new(spacing, [0.3, -0.2, 0.1], expected.geometry().direction()).unwrap(),
        [5, 4, 3],
        LabelInterpolation::Nearest,
    );
    let coarse = coarse.unwrap();
    let (found, _) = label_to_image(coarse.clone(), &image).unwrap();
    let linear = label_onto(&coarse, image.geometry(), image.shape(), LabelInterpolation::Linear);
    assert_eq!((&found, found.shape()), (&linear.unwrap(), image.shape()));

    let noisy = expected.geometry().starting_at([0.0, 0.0, 0.001]).unwrap();
    let noisy = Volume::new(expected.into_parts().0, noisy);
    let (same, shift) = label_to_image(noisy.clone(), &image).unwrap();
    assert_eq!(same, noisy);
    assert!(shift > 0.0 && shift < 0.01, "{shift}");
}
