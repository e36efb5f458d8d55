//! What must hold for every pair of masks.

use ndarray::Array3;
use tandem_metrics::{Comparison, Error, METRICS, Score, Undefined, evaluate_pair, summarise};

const SHAPE: (usize, usize, usize) = (23, 19, 17);
const SPACING: [f64; 3] = [0.8, 1.1, 2.5];

/// An ellipsoid with a bite taken out of it.
fn blob(centre: [f64; 3], radii: [f64; 3]) -> Array3<bool> {
    Array3::from_shape_fn(SHAPE, |(i, j, k)| {
        let at = [i as f64, j as f64, k as f64];
        let inside: f64 = (0..3).map(|axis| ((at[axis] - centre[axis]) / radii[axis]).powi(2)).sum();
        inside <= 1.0 && (i + 2 * j + k) % 11 != 0
    })
}

fn pair() -> (Array3<bool>, Array3<bool>) {
    (blob([10.0, 9.0, 8.0], [7.0, 5.0, 4.0]), blob([12.0, 8.0, 9.0], [6.0, 6.0, 5.0]))
}

fn nothing() -> Array3<bool> {
    Array3::from_elem(SHAPE, false)
}

fn scores(
    prediction: &Array3<bool>,
    reference: &Array3<bool>,
    spacing: [f64; 3],
) -> Vec<(&'static str, Score)> {
    let scores = evaluate_pair(prediction.view(), reference.view(), spacing).unwrap();
    METRICS.iter().map(|metric| metric.name()).zip(scores).collect()
}

#[test]
fn a_mask_agrees_with_itself() {
    let (mask, _) = pair();
    for ((name, score), metric) in scores(&mask, &mask, SPACING).into_iter().zip(METRICS) {
        let perfect = if metric.higher_is_better() { 1.0 } else { 0.0 };
        assert_eq!(score, Score::Value(perfect), "{name}");
    }
}

#[test]
fn all_but_the_directed_distance_are_symmetric() {
    let (a, b) = pair();
    for ((name, forth), (_, back)) in scores(&a, &b, SPACING).into_iter().zip(scores(&b, &a, SPACING)) {
        let (forth, back) = (forth.value().unwrap(), back.value().unwrap());
        let same = (forth - back).abs() <= 1e-12 * forth;
        assert_eq!(same, name != "asd", "{name}: {forth} {back}");
    }
}

#[test]
fn distances_scale_with_the_spacing_and_overlap_does_not() {
    let (a, b) = pair();
    let doubled = SPACING.map(|step| 2.0 * step);
    for ((name, small), (_, large)) in scores(&a, &b, SPACING).into_iter().zip(scores(&a, &b, doubled)) {
        let factor = if ["dice", "jaccard"].contains(&name) { 1.0 } else { 2.0 };
        let (small, large) = (small.value().unwrap(), large.value().unwrap());
        assert!((large - factor * small).abs() <= 1e-12 * large, "{name}: {small} {large}");
    }
}

#[test]
fn empty_margins_change_nothing() {
    let (a, b) = pair();
    let (ni, nj, nk) = SHAPE;
    let pad = |mask: &Array3<bool>| {
        Array3::from_shape_fn((ni + 7, nj + 9, nk + 4), |(i, j, k)| {
            let at = (i.wrapping_sub(3), j.wrapping_sub(5), k.wrapping_sub(1));
            mask.get(at).copied().unwrap_or(false)
        })
    };
    // The masks stay clear of the border, where the outside counts as background either way.
    assert_eq!(scores(&a, &b, SPACING), scores(&pad(&a), &pad(&b), SPACING));
}

#[test]
fn axes_may_be_permuted_together() {
    let (a, b) = pair();
    let [si, sj, sk] = SPACING;
    let turn = |mask: &Array3<bool>| mask.clone().permuted_axes([2, 0, 1]);
    let turned = evaluate_pair(turn(&a).view(), turn(&b).view(), [sk, si, sj]).unwrap();
    for ((name, score), turned) in scores(&a, &b, SPACING).into_iter().zip(turned) {
        let (score, turned) = (score.value().unwrap(), turned.value().unwrap());
        assert!((score - turned).abs() <= 1e-12 * score, "{name}: {score} {turned}");
    }
}

#[test]
fn a_shifted_voxel_is_as_far_as_its_shift() {
    let one = |at: (usize, usize, usize)| {
        let mut mask = nothing();
        mask[at] = true;
        mask
    };
    let distance = ((4.0 * 0.8f64).powi(2) + (3.0 * 1.1f64).powi(2) + 2.5f64.powi(2)).sqrt();
    for (name, score) in scores(&one((2, 3, 4)), &one((6, 0, 5)), SPACING) {
        let expected = if ["dice", "jaccard"].contains(&name) { 0.0 } else { distance };
        assert!((score.value().unwrap() - expected).abs() < 1e-12, "{name}: {score}");
    }
}

#[test]
fn empty_masks_have_no_distance_and_say_why() {
    let (mask, none) = (pair().0, nothing());
    let expected = [
        (&none, &mask, Score::Value(0.0), Undefined::EmptyPrediction),
        (&mask, &none, Score::Value(0.0), Undefined::EmptyReference),
        (&none, &none, Score::Undefined(Undefined::BothEmpty), Undefined::BothEmpty),
    ];
    for (prediction, reference, overlap, reason) in expected {
        for (name, score) in scores(prediction, reference, SPACING) {
            let wanted = if ["dice", "jaccard"].contains(&name) { overlap } else { Score::Undefined(reason) };
            assert_eq!(score, wanted, "{name}");
        }
    }
    let cases = [scores(&none, &mask, SPACING)[2].1, scores(&mask, &mask, SPACING)[2].1];
    let summary = summarise(cases);
    assert_eq!((summary.mean, summary.n, summary.undefined), (Some(0.0), 1, 1));
}

#[test]
fn masks_of_two_grids_and_impossible_spacings_are_refused() {
    let (mask, other) = (nothing(), Array3::from_elem((3, 3, 3), true));
    let error = evaluate_pair(mask.view(), other.view(), SPACING).unwrap_err();
    assert_eq!(error, Error::Shapes { prediction: [23, 19, 17], reference: [3, 3, 3] });
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Comparison::new(mask.view(), mask.view(), [1.0, wrong, 1.0]).unwrap_err();
        assert!(matches!(error, Error::Spacing(_)), "{error}");
    }
}

#[test]
fn one_and_several_threads_give_the_same_bits() {
    let (a, b) = pair();
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let several = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(single.install(|| scores(&a, &b, SPACING)), several.install(|| scores(&a, &b, SPACING)));
}
