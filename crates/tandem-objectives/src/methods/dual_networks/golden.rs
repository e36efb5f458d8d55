//! Whole objectives of Dual Networks against PyTorch in f64.

use super::reliable::Selection;
use super::*;
use crate::golden::{Vectors, assert_close, numbers};
use crate::losses::{PrototypeTerm, UncertaintyOptions, Weight, ramp, uncertainty};
use crate::method::Term;
use crate::scores::Scores;
use crate::testing::FixedForward;
use candle_core::Var;

const STEP: Step = Step { index: 0, iterations: 10, seed: 1 };

/// Logits and features of both networks as variables, and a batch whose labels are those of the case.
struct Case<'a> {
    file: &'a Vectors,
    name: &'a str,
    /// Logits of V, of R, features of V, of R.
    inputs: [(&'static str, Var); 4],
    batch: Batch,
}

impl<'a> Case<'a> {
    fn new(file: &'a Vectors, name: &'a str, inputs: [&'static str; 4]) -> Self {
        let inputs = inputs.map(|input| (input, file.var(name, input)));
        let (patches, _, d, h, w) = inputs[0].1.dims5().unwrap();
        let labels = file.tensor(name, "y").narrow(0, 0, 2).unwrap();
        let images = Tensor::zeros((patches, 1, d, h, w), candle_core::DType::F32, &Device::Cpu).unwrap();
        Case { file, name, inputs, batch: Batch { images, labels, strong: None } }
    }

    fn forward(&self) -> FixedForward {
        let [(_, zv), (_, zr), (_, hv), (_, hr)] = &self.inputs;
        FixedForward::default().with("vnet", zv, hv).with("resnet34", zr, hr)
    }

    fn scalar(&self, name: &str) -> f64 {
        self.file.scalar(self.name, name)
    }

    fn check_value(&self, what: &str, got: f64, want: &str) {
        assert_close(&format!("{}: {what}", self.name), &[got], &[self.scalar(want)]);
    }

    fn check_term(&self, objective: &Objective, term: &str, want: &str) {
        self.check_value(term, value(objective, term), want);
    }

    /// Checks the sum of the losses and its gradient with respect to all four inputs.
    fn check_total(&self, objective: &Objective, want: &str) {
        let total = (&objective.losses[0].1 + &objective.losses[1].1).unwrap();
        self.check_value("total", numbers(&total)[0], want);
        let gradients = total.backward().unwrap();
        for (input, var) in &self.inputs {
            let want = self.file.numbers(self.name, &format!("d_{input}"));
            let got = gradients.get(var).map_or(vec![0.; want.len()], numbers);
            let name = format!("{}/d_{input}", self.name);
            // The gradient of a zero vector is divided by 1e-12; apart from the others, so that it does not hide them.
            let of_zero = zero_vectors(var);
            let part = |values: &[f64], zero: bool| -> Vec<f64> {
                values.iter().zip(&of_zero).map(|(v, z)| if *z == zero { *v } else { 0. }).collect()
            };
            assert_close(&name, &part(&got, false), &part(&want, false));
            assert_close(&name, &part(&got, true), &part(&want, true));
        }
    }
}

/// For each number of `(N, C, D, H, W)` whether all channels of its voxel are 0.
fn zero_vectors(var: &Var) -> Vec<bool> {
    let largest = var.abs().unwrap().max_keepdim(1).unwrap().broadcast_as(var.shape()).unwrap();
    numbers(&largest.contiguous().unwrap()).into_iter().map(|v| v == 0.).collect()
}

fn value(objective: &Objective, term: &str) -> f64 {
    match objective.terms.iter().find(|(name, _)| name == term) {
        Some((_, Term::Value(value))) => *value,
        other => panic!("{term} is {other:?}"),
    }
}

/// The released rules with live gradients, all candidates and constant weights.
fn released_live() -> DualNetworksOptions {
    DualNetworksOptions {
        entropy: EntropyOf::Softmax,
        uncertainty_direction: UncertaintyDirection::WinnerToLoser,
        pseudo_cross_entropy: PseudoCrossEntropy::Live,
        contrast_gradient: true,
        prototype_term: PrototypeTerm::Attract,
        lambda_c: Weight::constant(0.1),
        candidates: CandidateRule::EachClass,
        candidates_one_in: 1,
        ..DualNetworksOptions::released()
    }
}

fn check_released(file: &Vectors, name: &str) {
    let case = Case::new(file, name, ["v", "r", "rep_v", "rep_r"]);
    let mut method = DualNetworks::new(released_live()).unwrap();
    let objective = method.objective(&case.batch, STEP, &case.forward()).unwrap();
    let vnet_wins = value(&objective, "winner") == 0.;
    assert_eq!(vnet_wins, case.scalar("term_v_wins") == 1.);
    for (network, short) in [("vnet", "v"), ("resnet34", "r")] {
        for (term, want) in [("ce", "ce"), ("dice", "dice"), ("conflict", "mis")] {
            case.check_term(&objective, &format!("{network}/{term}"), &format!("term_{short}_{want}"));
        }
    }
    let (student, teacher) = if vnet_wins { ("resnet34", "vnet") } else { ("vnet", "resnet34") };
    case.check_term(&objective, &format!("{student}/pseudo_ce"), "term_u_student");
    case.check_term(&objective, &format!("{teacher}/pseudo_ce"), "term_u_teacher");
    case.check_term(&objective, "l_reg", "term_cons");
    let sum = |a: &str, b: &str| value(&objective, a) + value(&objective, b);
    case.check_value("l_c", sum("l_c/pull", "l_c/push"), "term_con");
    case.check_value("l_u", sum("l_u/weighted_ce", "l_u/kl"), "term_lurp");
    case.check_total(&objective, "out");
}

fn check_preset(file: &Vectors, name: &str) {
    let case = Case::new(file, name, ["zv", "zr", "hv", "hr"]);
    let options = DualNetworksOptions {
        lambda_u: Weight::constant(case.scalar("lambda_u")),
        lambda_c: Weight::constant(case.scalar("lambda_c")),
        ..DualNetworksOptions::default()
    };
    let mut method = DualNetworks::new(options.clone()).unwrap();
    let mut choose = |unreliable: &VoxelBytes, classes: usize| {
        let counts = unreliable.counts(classes)?.of_classes;
        let want: Vec<usize> =
            (0..classes).map(|c| case.scalar(&format!("n_unreliable_{c}")) as usize).collect();
        assert_eq!(counts, want, "{name}");
        let given = |c: usize| format!("candidates_{c}");
        let pick = |c: usize| if file.has(name, &given(c)) { file.indices(name, &given(c)) } else { vec![] };
        Ok((0..classes).map(pick).collect())
    };
    let objective = method.objective_with(&case.batch, 0., &case.forward(), &mut choose).unwrap();
    let winner = value(&objective, "winner") as usize;
    assert_eq!(winner == 0, case.scalar("v_wins") == 1.);
    for (network, short) in [("vnet", "v"), ("resnet34", "r")] {
        for term in ["ce", "dice", "conflict"] {
            case.check_term(&objective, &format!("{network}/{term}"), &format!("{term}_{short}"));
        }
    }
    for term in ["l_reg", "tau", "l_u/weighted_ce", "l_u/kl", "l_c/pull", "l_c/push"] {
        case.check_term(&objective, term, &term.replace('/', "_"));
    }
    case.check_total(&objective, "total");
    check_selection(&case, &options, winner);
    check_detached(&case, winner);
}

fn scores(case: &Case<'_>) -> [Scores; 2] {
    [0, 1].map(|i| Scores::new(&case.inputs[i].1).unwrap())
}

fn check_selection(case: &Case<'_>, options: &DualNetworksOptions, winner: usize) {
    let selection = Selection::new(options, scores(case).each_ref(), 2..4, winner).unwrap();
    assert_eq!(selection.labels.values().unwrap(), case.file.labels(case.name, "pseudo_label"));
    assert_eq!(selection.reliable.values().unwrap(), case.file.labels(case.name, "reliable"));
}

/// The gradient of the weighted cross-entropy alone where its weight is a constant.
fn check_detached(case: &Case<'_>, winner: usize) {
    let scores = scores(case);
    let (teacher, student) = (scores[winner].detached(2..4), &scores[1 - winner]);
    let reliable = VoxelBytes::from(case.file.labels(case.name, "reliable"));
    let gradient = |reliable: &VoxelBytes| {
        let options = UncertaintyOptions {
            reliable: Some(reliable),
            detach_weight: true,
            ..UncertaintyOptions::default()
        };
        let mut gradient = student.zero_gradient();
        uncertainty(&mut student.live(2..4, &mut gradient), teacher, &teacher.labels().unwrap(), options, 1.)
            .unwrap();
        numbers(&student.gradient_tensor(gradient).unwrap().narrow(0, 2, 2).unwrap())
    };
    // Without reliable voxels only the divergence is left.
    let (both, divergence) = (gradient(&reliable), gradient(&vec![0; reliable.len()].into()));
    let got: Vec<f64> = both.iter().zip(divergence).map(|(a, b)| a - b).collect();
    assert_close(case.name, &got, &case.file.numbers(case.name, "d_zl_weighted_ce_detached"));
}

#[test]
fn the_released_rules_with_live_gradients_are_pytorchs() {
    for file in Vectors::open("losses.safetensors") {
        file.cases().into_iter().filter(|case| case.starts_with("dual_total")).for_each(|case| {
            check_released(&file, case);
        });
    }
}

#[test]
fn the_preset_is_pytorchs_for_both_winners_and_the_edge_cases() {
    for file in Vectors::open("preset.safetensors") {
        let cases = file.cases();
        assert!(cases.contains("r_wins") && cases.contains("one_voxel"));
        cases.into_iter().filter(|case| file.has(case, "zv")).for_each(|case| check_preset(&file, case));
        let sizes = file.indices("n_candidates", "size").into_iter();
        let counts: Vec<usize> = sizes.map(|size| candidate_count(size, 100)).collect();
        assert_eq!(counts, file.indices("n_candidates", "drawn"));
        let ramps: Vec<f64> = file.numbers("ramp", "x").into_iter().map(ramp).collect();
        assert_close("ramp", &ramps, &file.numbers("ramp", "weight"));
    }
}

/// The target rule of the released code for four thresholds, ties to foreground of either network.
#[test]
fn the_union_rule_is_the_released_one() {
    for file in Vectors::open("losses.safetensors") {
        for case in file.cases() {
            let Some(percent) = case.strip_prefix("pseudo_p") else { continue };
            let scores = ["a_logits", "b_logits"].map(|name| Scores::new(file.tensor(case, name)).unwrap());
            let share = percent.parse::<f64>().unwrap() / 100.;
            let options = DualNetworksOptions { reliable_share: share, ..released_live() };
            let selection = Selection::new(&options, scores.each_ref(), 0..2, 0).unwrap();
            let targets: Vec<u8> = selection.targets.values().unwrap().iter().map(|y| *y.min(&2)).collect();
            assert_eq!(targets, file.labels(case, "target"), "{case}");
            assert_close(case, &[1.0 / selection.reliable_share().unwrap()], &[file.scalar(case, "weight")]);
        }
    }
}
