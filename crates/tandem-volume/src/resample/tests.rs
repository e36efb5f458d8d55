use super::*;

fn volume(array: Array3<f32>, spacing: [f64; 3]) -> Volume<f32> {
    Volume::new(array, Geometry::with_spacing(spacing).unwrap())
}

/// Some numbers without a pattern.
fn noise(shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(i, j, k)| ((i * 7919 + j * 104_729 + k * 1_299_709) % 1000) as f32 / 10.0)
}

#[test]
fn an_integer_factor_is_the_block_mean() {
    let fine = noise([6, 4, 8]);
    let coarse = image_to_spacing(&volume(fine.clone(), [0.625; 3]), [1.25; 3]).unwrap();
    assert_eq!(coarse.shape(), [3, 2, 4]);
    for (block, &value) in fine.exact_chunks([2, 2, 2]).into_iter().zip(coarse.array()) {
        let mean = block.iter().map(|&v| f64::from(v)).sum::<f64>() / 8.0;
        assert!((f64::from(value) - mean).abs() < 1e-5, "{value} {mean}");
    }
}

#[test]
fn the_tail_is_the_mean_of_the_voxels_that_are_there() {
    let row = Array3::from_shape_fn([5, 1, 1], |(i, _, _)| [1.0, 3.0, 5.0, 7.0, 100.0][i]);
    let coarse = image_to_spacing(&volume(row, [1.0; 3]), [2.0, 1.0, 1.0]).unwrap();
    assert_eq!(coarse.array().as_slice(), Some(&[2.0, 6.0, 100.0][..]));
}

#[test]
fn the_new_grid_covers_the_same_box() {
    let direction = [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    let grid = Geometry::new([0.6, 0.8, 1.5], [5.0, 6.0, 7.0], direction).unwrap();
    let coarse = image_to_spacing(&Volume::new(noise([10, 9, 8]), grid.clone()), [1.2, 1.0, 0.5]).unwrap();
    assert_eq!(coarse.shape(), [5, 8, 24]); // 10 / 2, ceil(9 * 0.8), 8 * 3
    assert_eq!(coarse.geometry().spacing(), [1.2, 1.0, 0.5]);
    assert_eq!(coarse.geometry().direction(), direction);
    let (old, new) = (grid.position([-0.5; 3]), coarse.geometry().position([-0.5; 3]));
    assert!((0..3).all(|n| (old[n] - new[n]).abs() < 1e-12), "{old:?} {new:?}");
}

#[test]
fn the_same_spacing_changes_nothing() {
    let image = volume(noise([5, 4, 3]), [0.625; 3]);
    assert_eq!(image_to_spacing(&image, [0.625; 3]).unwrap(), image);
    // Headers round 0.625 to f32 elsewhere.
    let rounded = image_to_spacing(&image, [0.625_000_1; 3]).unwrap();
    assert_eq!(rounded.array(), image.array());
}

#[test]
fn a_constant_stays_constant_at_any_spacing() {
    let image = volume(Array3::from_elem([7, 6, 5], 3.5), [1.0; 3]);
    for spacing in [[1.7, 0.3, 2.9], [20.0, 1.0, 0.9]] {
        let there = image_to_spacing(&image, spacing).unwrap();
        assert!(there.array().iter().all(|value| (value - 3.5).abs() < 1e-5), "{spacing:?}");
    }
}

#[test]
fn a_ramp_is_kept_when_it_is_interpolated() {
    let ramp = Array3::from_shape_fn([10, 1, 1], |(i, _, _)| i as f32);
    let fine = image_to_spacing(&volume(ramp, [1.0; 3]), [0.4, 1.0, 1.0]).unwrap();
    assert_eq!(fine.shape(), [25, 1, 1]);
    for (n, &value) in fine.array().iter().enumerate() {
        let position = fine.geometry().position([n as f64, 0.0, 0.0])[0];
        assert!((f64::from(value) - position.clamp(0.0, 9.0)).abs() < 1e-5, "{n}: {value} {position}");
    }
}

#[test]
fn a_general_factor_keeps_the_mean() {
    // 12 voxels of 1 mm make 8 of 1.5 mm: every old voxel is shared out exactly once.
    let fine = noise([12, 1, 1]);
    let mean = fine.mean().unwrap();
    let coarse = image_to_spacing(&volume(fine, [1.0; 3]), [1.5, 1.0, 1.0]).unwrap();
    assert_eq!(coarse.shape(), [8, 1, 1]);
    assert!((coarse.array().mean().unwrap() - mean).abs() < 1e-4);
}

#[test]
fn half_a_block_of_foreground_is_foreground() {
    for (foreground, expected) in [(3, 0), (4, 1), (5, 1)] {
        let block = Array3::from_shape_fn([2, 2, 2], |(i, j, k)| u8::from(4 * i + 2 * j + k < foreground));
        let label = Volume::new(block, Geometry::isotropic(0.625).unwrap());
        let coarse = label_to_spacing(&label, [1.25; 3], 2).unwrap();
        assert_eq!(coarse.array()[[0, 0, 0]], expected, "{foreground} of 8");
    }
}

#[test]
fn the_largest_share_wins_and_ties_go_to_the_higher_class() {
    let resampled = |labels: &[u8]| {
        let row = Array3::from_shape_vec([labels.len(), 1, 1], labels.to_vec()).unwrap();
        let label = Volume::new(row, Geometry::isotropic(1.0).unwrap());
        label_to_spacing(&label, [labels.len() as f64, 1.0, 1.0], 4).unwrap().array()[[0, 0, 0]]
    };
    assert_eq!(resampled(&[2, 2, 3, 0]), 2);
    assert_eq!(resampled(&[1, 1, 3, 3]), 3);
    assert_eq!(resampled(&[0, 0, 0, 3]), 0);
}

#[test]
fn labels_survive_a_finer_grid() {
    let labels = Array3::from_shape_fn([4, 4, 4], |(i, j, _)| (i / 2 + 2 * (j / 2)) as u8);
    let label = Volume::new(labels.clone(), Geometry::isotropic(1.0).unwrap());
    let fine = label_to_spacing(&label, [0.5; 3], 4).unwrap();
    for ((i, j, k), &value) in fine.array().indexed_iter() {
        assert_eq!(value, labels[[i / 2, j / 2, k / 2]]);
    }
}

#[test]
fn a_label_beyond_the_classes_is_refused() {
    let label = Volume::new(Array3::from_elem([2, 2, 2], 3u8), Geometry::isotropic(1.0).unwrap());
    let message = label_to_spacing(&label, [2.0; 3], 2).unwrap_err().to_string();
    assert_eq!(message, "the label map has the value 3, but 2 classes have the labels 0..=1");
}

#[test]
fn a_spacing_that_would_fill_the_memory_is_refused() {
    let image = volume(noise([3, 3, 3]), [1.0; 3]);
    for spacing in [[1e-9; 3], [0.0; 3], [f64::NAN; 3], [-1.0; 3]] {
        assert!(image_to_spacing(&image, spacing).is_err(), "{spacing:?}");
    }
}

#[test]
fn probabilities_return_to_their_own_grid() {
    let grid = Geometry::isotropic(1.25).unwrap();
    let there = Array4::from_shape_fn((2, 4, 3, 5), |(c, i, j, k)| (c * 60 + i * 15 + j * 5 + k) as f32);
    assert_eq!(probabilities_onto(&there, &grid, &grid, [4, 3, 5]).unwrap(), there);
}

#[test]
fn probabilities_are_trilinear_by_position() {
    // A linear function of position is kept on any parallel grid, a mirrored one too, and clamped outside.
    let direction = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    let grid = Geometry::new([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], direction).unwrap();
    let shape = [6, 7, 8];
    let function = |index: [f64; 3]| {
        let inside = [0, 1, 2].map(|axis| index[axis].clamp(0.0, (shape[axis] - 1) as f64));
        let p = grid.position(inside);
        (p[0] + 10.0 * p[1] - 3.0 * p[2]) as f32
    };
    let values = Array4::from_shape_fn((1, 6, 7, 8), |(_, i, j, k)| function([i as f64, j as f64, k as f64]));
    let mirrored = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    for (direction, origin) in [(direction, [0.5, 5.0, 6.0]), (mirrored, [9.0, 5.0, 6.0])] {
        let target = Geometry::new([0.5, 0.9, 0.7], origin, direction).unwrap();
        let restored = probabilities_onto(&values, &grid, &target, [6, 4, 25]).unwrap();
        for ((_, i, j, k), &value) in restored.indexed_iter() {
            let expected = function(grid.index(target.position([i as f64, j as f64, k as f64])));
            assert!((value - expected).abs() < 1e-3, "{value} {expected}");
        }
    }
}

/// Whole volumes, one axis after the other.
fn axis_by_axis(
    values: &Array4<f32>,
    geometry: &Geometry,
    target: &Geometry,
    shape: [usize; 3],
) -> Array4<f32> {
    let (classes, ni, nj, nk) = values.dim();
    let places = places(geometry, target, shape).unwrap();
    let taps: Vec<Taps> =
        places.into_iter().zip([ni, nj, nk]).map(|(places, old)| Taps::at(places.into_iter(), old)).collect();
    let mut restored = Array4::zeros((classes, shape[0], shape[1], shape[2]));
    for (mut restored, class) in restored.outer_iter_mut().zip(values.outer_iter()) {
        let grown =
            taps.iter().enumerate().fold(class.to_owned(), |array, (axis, taps)| taps.apply(&array, axis));
        restored.assign(&grown);
    }
    restored
}

#[test]
fn planes_are_the_whole_volume_bit_for_bit() {
    let whole = Array4::from_shape_fn((3, 7, 6, 5), |(c, i, j, k)| {
        ((c * 7919 + i * 104_729 + j * 1_299_709 + k * 31) % 997) as f32 / 997.0
    });
    let grid = Geometry::with_spacing([1.3, 0.9, 2.1]).unwrap();
    let mirrored = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]];
    let targets = [
        (Geometry::with_spacing([0.4, 0.9, 0.7]).unwrap(), [25, 6, 15]),
        (Geometry::with_spacing([2.9, 1.7, 2.1]).unwrap(), [4, 3, 5]),
        (Geometry::new([0.6, 0.6, 1.0], [-3.0, 1.0, -2.0], grid.direction()).unwrap(), [30, 4, 13]),
        (Geometry::new([0.7, 1.0, 1.1], [8.0, 0.0, 9.0], mirrored).unwrap(), [14, 7, 9]),
        (grid.clone(), [7, 6, 5]),
    ];
    for (target, shape) in targets {
        let expected = axis_by_axis(&whole, &grid, &target, shape);
        assert_eq!(probabilities_onto(&whole, &grid, &target, shape).unwrap(), expected, "{shape:?}");
        let mut planes = PlanesOnto::new(&grid, [7, 6, 5], &target, shape).unwrap();
        let plane = |i: usize| whole.index_axis(Axis(1), i).to_owned();
        let mut indices: Vec<usize> =
            (0..7).flat_map(|i| planes.push(plane(i)).unwrap()).map(|(i, _)| i).collect();
        indices.sort_unstable();
        assert_eq!(indices, (0..shape[0]).collect::<Vec<_>>(), "each plane once");
    }
}

#[test]
fn planes_of_another_grid_are_refused() {
    let grid = Geometry::isotropic(1.0).unwrap();
    let mut planes = PlanesOnto::new(&grid, [2, 3, 4], &grid, [2, 3, 4]).unwrap();
    assert!(planes.push(Array3::zeros((2, 4, 3))).is_err());
    planes.push(Array3::zeros((2, 3, 4))).unwrap();
    assert!(planes.push(Array3::zeros((3, 3, 4))).is_err());
    planes.push(Array3::zeros((2, 3, 4))).unwrap();
    assert!(planes.push(Array3::zeros((2, 3, 4))).is_err());
    assert!(PlanesOnto::new(&grid, [2, 0, 4], &grid, [2, 3, 4]).is_err());
}

#[test]
fn a_turned_grid_is_refused() {
    let grid = Geometry::isotropic(1.0).unwrap();
    let (s, c) = 0.2f64.sin_cos();
    let turned = Geometry::new([1.0; 3], [0.0; 3], [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]).unwrap();
    let values = Array4::zeros((2, 4, 4, 4));
    let message = probabilities_onto(&values, &grid, &turned, [4, 4, 4]).unwrap_err().to_string();
    assert!(message.contains("run in other directions"), "{message}");
}

#[test]
fn a_segmentation_comes_back_from_a_coarser_grid() {
    // Scan -> working grid -> scan, as a prediction goes: a block far larger than a voxel keeps its place.
    let inside =
        |i: usize, j: usize, k: usize| (4..12).contains(&i) && (6..14).contains(&j) && (2..9).contains(&k);
    let scan = Array3::from_shape_fn([17, 19, 11], |(i, j, k)| f32::from(u8::from(inside(i, j, k))));
    let scan = volume(scan, [0.625; 3]);
    let working = image_to_spacing(&scan, [1.25; 3]).unwrap();
    let soft = working.array().clone().insert_axis(ndarray::Axis(0));
    let back = probabilities_onto(&soft, working.geometry(), scan.geometry(), scan.shape()).unwrap();
    let wrong = back.index_axis(ndarray::Axis(0), 0);
    let wrong = wrong.indexed_iter().filter(|&((i, j, k), &p)| (p >= 0.5) != inside(i, j, k)).count();
    // The edges of the block (448 voxels) and half of the one face that cuts a working voxel.
    assert!(wrong <= 100, "{wrong} of 448 voxels moved");
}
