use super::*;

fn oblique() -> Geometry {
    let (s, c) = 0.3f64.sin_cos();
    Geometry::new([0.5, 0.7, 2.0], [10.0, -20.0, 30.0], [[c, 0.0, s], [s, 0.0, -c], [0.0, 1.0, 0.0]]).unwrap()
}

fn close(a: [f64; 3], b: [f64; 3]) -> bool {
    (0..3).all(|n| (a[n] - b[n]).abs() < 1e-12)
}

#[test]
fn the_affine_gives_the_grid_back() {
    let grid = oblique();
    let again = Geometry::from_affine(grid.affine()).unwrap();
    assert!(close(again.spacing(), grid.spacing()));
    assert!(close(again.origin(), grid.origin()));
    for row in 0..3 {
        assert!(close(again.direction()[row], grid.direction()[row]));
    }
}

#[test]
fn index_undoes_position() {
    let grid = oblique();
    assert!(close(grid.position([0.0; 3]), grid.origin()));
    for index in [[1.0, 2.0, 3.0], [-4.5, 0.25, 100.0]] {
        assert!(close(grid.index(grid.position(index)), index));
    }
}

#[test]
fn a_crop_keeps_every_voxel_in_its_place() {
    let grid = oblique();
    let crop = grid.starting_at([3.0, 0.0, -2.0]).unwrap();
    assert!(close(crop.position([1.0, 1.0, 1.0]), grid.position([4.0, 1.0, -1.0])));
}

#[test]
fn spacings_that_no_scan_has_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let message = Geometry::with_spacing([1.0, bad, 1.0]).unwrap_err().to_string();
        assert!(message.contains("spacing"), "{message}");
    }
}

#[test]
fn skewed_axes_are_refused_and_left_handed_ones_are_not() {
    let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let with = |row: usize, axis: usize, value: f64| {
        let mut direction = identity;
        direction[row][axis] = value;
        Geometry::new([1.0; 3], [0.0; 3], direction)
    };
    assert!(with(0, 1, 0.01).is_err(), "skewed");
    assert!(with(2, 2, 0.9).is_err(), "not a unit vector");
    assert!(with(0, 0, f64::NAN).is_err(), "not a number");
    assert!(with(0, 0, -1.0).is_ok(), "left-handed");
    assert!(with(0, 1, 0.0005).is_ok(), "rounding of a header");
}

#[test]
fn an_affine_with_an_empty_column_is_refused() {
    let mut affine = oblique().affine();
    (0..3).for_each(|row| affine[row][1] = 0.0);
    assert!(Geometry::from_affine(affine).is_err());
}

#[test]
fn one_grid_means_a_hundredth_of_a_mm_at_every_corner() {
    let grid = Geometry::isotropic(1.0).unwrap();
    let shape = [101, 101, 101];
    let moved = |x| grid.starting_at([x, 0.0, 0.0]).unwrap();
    assert!(grid.same_grid(&moved(0.009), shape));
    assert!(!grid.same_grid(&moved(0.011), shape));
    assert!((grid.corner_shift(&moved(0.5), shape) - 0.5).abs() < 1e-12);
    // Equal at the first voxel, half a voxel off along each axis at the last.
    let larger = Geometry::isotropic(1.005).unwrap();
    assert!(!grid.same_grid(&larger, shape));
    assert!((grid.corner_shift(&larger, shape) - 0.5 * 3f64.sqrt()).abs() < 1e-9);
}
