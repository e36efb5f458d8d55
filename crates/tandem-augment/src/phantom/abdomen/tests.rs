use ndarray::Array3;

use super::super::tests::{largest_piece, moments};
use super::*;

fn generate(index: u64, mm: f64) -> (Array3<f32>, Array3<u8>) {
    let params = PhantomParams { spacing_mm: [mm; 3], ..PhantomParams::new(1337, index) };
    let (_, image, label) = generate_abdomen(&params).unwrap().into_parts();
    (image.into_channels().swap_remove(0).into_parts().0, label.unwrap().into_parts().0)
}

#[test]
fn the_same_parameters_give_the_same_voxels_on_any_number_of_threads() {
    let generate = |index, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| generate(index, 4.0))
    };
    assert_eq!(generate(3, 1), generate(3, 2));
    assert_ne!(generate(3, 1).0, generate(4, 1).0);
}

#[test]
fn the_box_has_the_promised_voxels_and_stands_upright() {
    let params =
        PhantomParams { spacing_mm: ABDOMEN_SPACING_MM.map(|mm| 2.0 * mm), ..PhantomParams::new(1, 0) };
    let subject = generate_abdomen(&params).unwrap();
    assert_eq!(subject.image().shape(), [64, 64, 50]);
    assert_eq!(subject.image().geometry().spacing(), [2.4, 2.4, 3.0]);
    assert_eq!(tandem_volume::Orientation::of(subject.image().geometry()).to_string(), "LPS");
    let middle = subject.image().geometry().position([31.5, 31.5, 24.5]);
    assert!(middle.iter().all(|mm| mm.abs() < 1e-4), "{middle:?}");
}

#[test]
fn the_pancreas_is_one_small_organ_away_from_the_border() {
    for index in 0..16 {
        let (_, label) = generate(index, 2.0);
        let voxels = label.iter().filter(|&&class| class == 1).count();
        let ml = voxels as f64 * 2f64.powi(3) / 1000.0;
        assert!((25.0..100.0).contains(&ml), "phantom {index}: {ml} ml");
        assert!(largest_piece(&label) as f64 > 0.95 * voxels as f64, "phantom {index} is in pieces");
        let (ni, nj, nk) = label.dim();
        let inside = |(i, j, k): (usize, usize, usize)| {
            (3..ni - 3).contains(&i) && (3..nj - 3).contains(&j) && (3..nk - 3).contains(&k)
        };
        assert!(label.indexed_iter().all(|(at, &class)| class == 0 || inside(at)), "phantom {index} is cut");
    }
}

#[test]
fn values_are_whole_hu_and_neighbours_look_like_the_pancreas() {
    for index in 0..8 {
        let (image, label) = generate(index, 3.0);
        assert!(image.iter().all(|hu| hu.fract() == 0.0 && (-1024.0..=3071.0).contains(hu)));
        let of = |class: u8| -> Vec<f64> {
            let voxels = image.iter().zip(&label).filter(|(_, found)| **found == class);
            voxels.map(|(&hu, _)| f64::from(hu)).collect()
        };
        let (mean, deviation) = moments(&of(1));
        // Blurred borders and clefts of fat lower the mean of the tissue.
        assert!((30.0..115.0).contains(&mean), "phantom {index}: {mean} HU");
        let alike = of(0).iter().filter(|hu| (*hu - mean).abs() < deviation).count();
        let pancreas = of(1).len();
        assert!(alike > 3 * pancreas, "phantom {index}: {alike} voxels look like {pancreas} of pancreas");
        assert!(of(0).iter().any(|hu| *hu < -80.0) && of(0).iter().any(|hu| *hu > 250.0), "fat and bone");
    }
}

#[test]
fn the_pancreas_does_not_depend_on_the_spacing() {
    let ml =
        |mm: f64| generate(2, mm).1.iter().filter(|&&class| class == 1).count() as f64 * mm.powi(3) / 1000.0;
    let (fine, coarse) = (ml(1.5), ml(3.0));
    assert!((fine - coarse).abs() < 0.05 * fine, "{fine} {coarse}");
}
