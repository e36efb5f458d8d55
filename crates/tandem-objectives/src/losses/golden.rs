//! Every loss against PyTorch in f64: value and gradients.

use super::*;
use crate::golden::{Vectors, assert_close, numbers};
use crate::{Deferred, Live, Scores, VoxelBytes, loss_of, with_gradient};
use candle_core::{Result, Tensor, Var};

/// Checks a scalar against `out`, and its gradient with respect to each variable against `d_NAME`.
fn check(file: &Vectors, case: &str, loss: &Tensor, vars: &[(&str, &Var)]) {
    assert_close(&format!("{case}/out"), &numbers(loss), &[file.scalar(case, "out")]);
    let gradients = loss.backward().unwrap();
    for (name, var) in vars {
        let want = file.numbers(case, &format!("d_{name}"));
        let got = gradients.get(var).map_or(vec![0.; want.len()], numbers);
        assert_close(&format!("{case}/d_{name}"), &got, &want);
    }
}

fn check_one(file: &Vectors, case: &str, input: &str, loss: impl FnOnce(&mut Live<'_>) -> Result<f64>) {
    let x = file.var(case, input);
    check(file, case, &loss_of(&x, loss).unwrap(), &[(input, &x)]);
}

fn ignoring_two(labels: Vec<u8>) -> VoxelBytes {
    labels.into_iter().map(|y| if y == 2 { IGNORE } else { y }).collect::<Vec<u8>>().into()
}

fn check_consistency(file: &Vectors, case: &str) {
    let (v, r) = (file.var(case, "v"), file.var(case, "r"));
    let (sv, sr) = (Scores::new(&v).unwrap(), Scores::new(&r).unwrap());
    let (mut gv, mut gr) = (sv.zero_gradient(), sr.zero_gradient());
    let value = cosine_consistency(&mut sv.live(0..4, &mut gv), &mut sr.live(0..4, &mut gr), 1.).unwrap();
    let of_v = with_gradient(value, &v, &sv.gradient_tensor(gv).unwrap()).unwrap();
    let of_r = with_gradient(0., &r, &sr.gradient_tensor(gr).unwrap()).unwrap();
    check(file, case, &(of_v + of_r).unwrap(), &[("v", &v), ("r", &r)]);
}

fn check_conflict(file: &Vectors, case: &str, network: &str) {
    let (v, r, labels) = (file.var(case, "v"), file.var(case, "r"), file.labels(case, "y").into());
    let (sv, sr) = (Scores::new(&v).unwrap(), Scores::new(&r).unwrap());
    let mask = conflict_mask(sv.detached(0..2), sr.detached(0..2), 0.6).unwrap();
    assert_eq!(mask.values().unwrap(), file.labels(case, "mask"));
    let (scores, var) = if network == "v" { (&sv, &v) } else { (&sr, &r) };
    let mut gradient = scores.zero_gradient();
    let value = conflict(&mut scores.live(0..2, &mut gradient), &labels, &mask, 1.).unwrap();
    let loss = with_gradient(value, var, &scores.gradient_tensor(gradient).unwrap()).unwrap();
    check(file, case, &loss, &[("v", &v), ("r", &r)]);
}

fn check_uncertainty(file: &Vectors, case: &str) {
    let teacher = Scores::new(file.tensor(case, "teacher")).unwrap();
    check_one(file, case, "student", |student| {
        let teacher = teacher.detached(0..4);
        let parts = uncertainty(student, teacher, &teacher.labels()?, UncertaintyOptions::default(), 1.)?;
        Ok(parts.weighted_cross_entropy + parts.divergence)
    });
}

/// The prototype cases share the index lists of `prototype_sum`, which only that case carries.
fn check_prototypes(file: &Vectors, case: &str) {
    if !file.has("prototype_sum", "idx_proto_fg") {
        return;
    }
    let rep = file.var(case, "rep");
    let features = Deferred::from(rep.as_tensor().clone());
    let index = |name: &str| file.indices("prototype_sum", name);
    let voxels = rep.elem_count() / rep.dim(0).unwrap() * 2 / rep.dim(1).unwrap();
    let mut members = vec![IGNORE; voxels];
    for (class, voxels) in [(0, index("idx_proto_bg")), (1, index("idx_proto_fg"))] {
        voxels.into_iter().for_each(|v| members[v] = class);
    }
    let (background, foreground) = (index("idx_cand_bg"), index("idx_cand_fg"));
    let (candidates, prototype_term) = match case {
        "prototype_fg" => ([vec![], foreground], PrototypeTerm::Off),
        "prototype_bg" => ([background, vec![]], PrototypeTerm::Off),
        "prototype_fg_bg" => ([vec![], vec![]], PrototypeTerm::Attract),
        _ => ([background, foreground], PrototypeTerm::Attract),
    };
    let options = ContrastOptions { live_prototypes: true, prototype_term, margin: 1. };
    let input = ContrastInput { members: &members.into(), candidates: &candidates, options };
    let (value, gradient) = contrast(&features, 0..2, &input, 1.).unwrap();
    let loss = features.loss(value.pull + value.push, gradient);
    check(file, case, &loss.unwrap(), &[("rep", &rep)]);
}

fn check_entropy(file: &Vectors, case: &str, percent: f64) {
    for network in ["a", "b"] {
        let scores = Scores::new(file.tensor(case, &format!("{network}_logits"))).unwrap();
        let entropies = entropy(scores.detached(0..2)).unwrap();
        let as_f64: Vec<f64> = entropies.values().unwrap().iter().map(|&e| f64::from(e)).collect();
        assert_close(case, &as_f64, &file.numbers(case, &format!("entropy_{network}")));
        let threshold = file.scalar(case, &format!("thresh_{network}"));
        assert_close(case, &[quantile(&entropies, percent / 100.).unwrap()], &[threshold]);
    }
}

fn check_ramp(file: &Vectors) {
    let weight = Weight::ramped(0.1);
    let got: Vec<f64> = file.numbers("rampup", "t").into_iter().map(|t| weight.at(t / 40.)).collect();
    assert_close("rampup", &got, &file.numbers("rampup", "value"));
}

/// Returns whether the case is one of a loss.
fn check_case(file: &Vectors, case: &str) -> bool {
    let labels = || ignoring_two(file.labels(case, if case.starts_with("pseudo") { "target" } else { "y" }));
    match case {
        "cross_entropy" | "cross_entropy_ignore2" => {
            check_one(file, case, "x", |x| cross_entropy(x, &labels(), 1.));
        }
        "cross_entropy_c5" => {
            check_one(file, case, "x", |x| cross_entropy(x, &file.labels(case, "y").into(), 1.))
        }
        "dice_softmax" | "dice_empty_target" => check_one(file, case, "x", |x| dice(x, &labels(), 1.)),
        "cosine_consistency" => check_consistency(file, case),
        "conflict_mse_v" => check_conflict(file, case, "v"),
        "conflict_mse_r" => check_conflict(file, case, "r"),
        "kl_weighted_lurp" => check_uncertainty(file, case),
        "rampup" => check_ramp(file),
        _ if case.starts_with("prototype_") => check_prototypes(file, case),
        _ if case.starts_with("pseudo_ce_p") => check_one(file, case, "a_logits", |x| {
            let targets = labels();
            let kept = targets.len() - targets.counts(2)?.of_none;
            let weight = targets.len() as f64 / kept as f64;
            Ok(weight * cross_entropy(x, &targets, weight)?)
        }),
        _ => match case.strip_prefix("pseudo_p") {
            Some(percent) => check_entropy(file, case, percent.parse().unwrap()),
            None => return false,
        },
    }
    true
}

#[test]
fn losses_and_their_gradients_are_pytorchs() {
    for file in Vectors::open("losses.safetensors") {
        let cases = file.cases();
        let (checked, left): (Vec<&str>, _) = cases.into_iter().partition(|case| check_case(&file, case));
        assert!(checked.len() >= 5);
        // The whole objectives are for the tests of the method.
        assert!(left.iter().all(|case| case.starts_with("dual_total")), "unknown cases {left:?}");
    }
}
