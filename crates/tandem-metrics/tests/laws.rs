//! What must hold for every pair of masks.

use ndarray::Array3;
use std::collections::BTreeMap;
use tandem_metrics::{Comparison, Error, Metric, Nsd, Score, Undefined, metrics, summarise};

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

fn compared(prediction: &Array3<bool>, reference: &Array3<bool>, spacing: [f64; 3]) -> Comparison {
    Comparison::new(prediction.view(), reference.view(), spacing).unwrap()
}

/// All scores by name, with a tolerance of one and a half of the spacing along i.
fn scores(prediction: &Array3<bool>, reference: &Array3<bool>, spacing: [f64; 3]) -> BTreeMap<String, Score> {
    let (comparison, nsd) = (compared(prediction, reference, spacing), Nsd::new(1.5 * spacing[0]).unwrap());
    let named = |metric: &dyn Metric| match metric.name() {
        name if name.starts_with("nsd_") => "nsd".to_owned(),
        name => name.into_owned(),
    };
    metrics(&nsd).map(|metric| (named(metric), metric.measure(&comparison))).into()
}

/// Whether a score is a ratio or a share, and hence without a length in it.
fn is_ratio(name: &str) -> bool {
    ["dice", "jaccard", "nsd", "sensitivity", "precision", "relative_volume_difference"].contains(&name)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * a.abs()
}

#[test]
fn a_mask_agrees_with_itself() {
    let (mask, _) = pair();
    let comparison = compared(&mask, &mask, SPACING);
    for metric in metrics(&Nsd::new(0.0).unwrap()) {
        let perfect = if metric.higher_is_better() { 1.0 } else { 0.0 };
        assert_eq!(metric.measure(&comparison), Score::Value(perfect), "{}", metric.name());
    }
}

#[test]
fn what_has_a_direction_changes_when_masks_are_exchanged_and_nothing_else() {
    let (a, b) = pair();
    let (forth, back) = (scores(&a, &b, SPACING), scores(&b, &a, SPACING));
    for (name, score) in &forth {
        let (score, exchanged) = (score.value().unwrap(), back[name].value().unwrap());
        let directed =
            ["asd", "sensitivity", "precision", "relative_volume_difference"].contains(&name.as_str());
        assert_eq!(close(score, exchanged), !directed, "{name}: {score} {exchanged}");
    }
    assert_eq!(forth["sensitivity"], back["precision"]);
}

#[test]
fn distances_and_volumes_scale_with_the_spacing_and_ratios_do_not() {
    let (a, b) = pair();
    let large = scores(&a, &b, SPACING.map(|step| 2.0 * step));
    for (name, small) in scores(&a, &b, SPACING) {
        let factor = match name.as_str() {
            "volume_difference" => 8.0,
            name if is_ratio(name) => 1.0,
            _ => 2.0,
        };
        let (small, large) = (small.value().unwrap(), large[&name].value().unwrap());
        assert!(close(large, factor * small), "{name}: {small} {large}");
    }
}

#[test]
fn distances_in_voxels_are_those_of_a_spacing_of_one_whatever_was_asked_before() {
    let (a, b) = pair();
    for spacing in [[0.625; 3], SPACING] {
        let in_mm = compared(&a, &b, spacing);
        for metric in metrics(&Nsd::new(1.0).unwrap()) {
            let mm = metric.measure(&in_mm);
            let (voxels, own) =
                (metric.measure(&in_mm.in_voxels()), metric.measure(&compared(&a, &b, [1.0; 3])));
            assert_eq!(voxels, own, "{}", metric.name());
            if spacing[1] == spacing[0] && metric.unit() == "mm" {
                assert!(close(mm.value().unwrap(), 0.625 * own.value().unwrap()));
            }
        }
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
    let (nsd, turned) = (Nsd::new(1.1).unwrap(), compared(&turn(&a), &turn(&b), [sk, si, sj]));
    let straight = compared(&a, &b, SPACING);
    for metric in metrics(&nsd) {
        let value = |comparison: &Comparison| metric.measure(comparison).value().unwrap();
        let (score, turned) = (value(&straight), value(&turned));
        assert!(close(score, turned), "{}: {score} {turned}", metric.name());
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
        let expected = match name.as_str() {
            "volume_difference" => 0.0,
            name if is_ratio(name) => 0.0,
            _ => distance,
        };
        assert!((score.value().unwrap() - expected).abs() < 1e-12, "{name}: {score}");
    }
}

#[test]
fn empty_masks_have_no_distance_and_say_why() {
    let (mask, none) = (pair().0, nothing());
    let voxels = mask.iter().filter(|here| **here).count() as f64;
    let volume = Score::Value(voxels * SPACING.iter().product::<f64>() / 1000.0);
    let (zero, hundred) = (Score::Value(0.0), Score::Value(100.0));
    let (missed, absent, nowhere) =
        (Undefined::EmptyPrediction, Undefined::EmptyReference, Undefined::BothEmpty);
    // Overlap, sensitivity, precision, volume in per cent, in mL, and everything else.
    let expected = [
        (&none, &mask, [zero, zero, missed.into(), hundred, volume, missed.into()]),
        (&mask, &none, [zero, absent.into(), zero, absent.into(), volume, absent.into()]),
        (&none, &none, [nowhere.into(); 6]),
    ];
    for (prediction, reference, [overlap, sensitivity, precision, relative, volume, others]) in expected {
        for (name, score) in scores(prediction, reference, SPACING) {
            let wanted = match name.as_str() {
                "dice" | "jaccard" | "nsd" => overlap,
                "sensitivity" => sensitivity,
                "precision" => precision,
                "relative_volume_difference" => relative,
                "volume_difference" => volume,
                _ => others,
            };
            assert_eq!(score, wanted, "{name}");
        }
    }
    let summary = summarise([scores(&none, &mask, SPACING)["hd95"], scores(&mask, &mask, SPACING)["hd95"]]);
    assert_eq!((summary.mean, summary.n, summary.undefined), (Some(0.0), 1, 1));
}

#[test]
fn masks_of_two_grids_and_impossible_spacings_are_refused() {
    let (mask, other) = (nothing(), Array3::from_elem((3, 3, 3), true));
    let error = Comparison::new(mask.view(), other.view(), SPACING).unwrap_err();
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
