//! Whole objectives of the methods against PyTorch in f64; those of Dual Networks have a file of their own.

use super::*;
use crate::golden::{Vectors, assert_close, numbers};
use crate::method::{Batch, Objective, Step, Term};
use crate::testing::{FixedForward, gradients};
use candle_core::{DType, Device, Tensor, Var};
use serde_json::json;

/// The script's share of a run that is done.
const STEP: Step = Step { index: 40, iterations: 100, seed: 1 };

const LIVE: [&str; 4] = ["vnet", "resnet34", "h_vnet", "h_resnet34"];

/// What all cases of so many classes are given.
struct Inputs {
    batch: Batch,
    live: Vec<Var>,
    forward: FixedForward,
}

impl Inputs {
    fn new(file: &Vectors, classes: &str) -> Self {
        let case = format!("inputs/{classes}");
        let live: Vec<Var> = LIVE.iter().map(|name| file.var(&case, name)).collect();
        let (patches, _, d, h, w) = live[0].dims5().unwrap();
        let images = Tensor::zeros((patches, 1, d, h, w), DType::F32, &Device::Cpu).unwrap();
        let forward = FixedForward::default()
            .with("vnet", &live[0], &live[2])
            .with("resnet34", &live[1], &live[3])
            .with("teacher", file.tensor(&case, "teacher"), &live[2].detach());
        Inputs {
            batch: Batch { images, labels: file.tensor(&case, "y").clone(), strong: None },
            live,
            forward,
        }
    }
}

fn objective(method: &str, inputs: &Inputs) -> Objective {
    let Inputs { batch, forward, .. } = inputs;
    if let Some(stage) = method.strip_prefix("bcp") {
        let pretraining = if stage == "-pretraining" { 1.0 } else { 0.0 };
        let method = Bcp::new(BcpOptions { pretraining, ..BcpOptions::default() }).unwrap();
        let block = block::Block { patch: [4, 4, 3], start: [1, 2, 0], sides: [2, 2, 2] };
        return method.objective_with(batch, STEP.progress(), forward, block).unwrap();
    }
    // All candidates, so that none are drawn.
    let options = match method {
        "dual-networks-cce" => json!({ "candidates_one_in": 1 }),
        "ssl-contrastive" => json!({ "candidates_one_in": 1, "candidates": "each-class" }),
        _ => Value::Null,
    };
    build(method, &options).unwrap().objective(batch, STEP, forward).unwrap()
}

fn check(file: &Vectors, case: &str) {
    let (method, classes) = case.rsplit_once('/').unwrap();
    let inputs = Inputs::new(file, classes);
    let objective = objective(method, &inputs);
    let total: f64 = objective.losses.iter().map(|(_, loss)| numbers(loss)[0]).sum();
    assert_close(&format!("{case}/total"), &[total], &[file.scalar(case, "total")]);
    for (name, var) in LIVE.iter().zip(gradients(&objective, &inputs.live).unwrap()) {
        let (name, got) = (format!("d_{name}"), numbers(&var));
        let want = if file.has(case, &name) { file.numbers(case, &name) } else { vec![0.0; got.len()] };
        assert_close(&format!("{case}/{name}"), &got, &want);
    }
    let mut checked = 0;
    for (name, term) in &objective.terms {
        let in_file = name.replace('/', "_");
        if let (Term::Value(value), true) = (term, file.has(case, &in_file)) {
            assert_close(&format!("{case}/{name}"), &[*value], &[file.scalar(case, &in_file)]);
            checked += 1;
        }
    }
    assert!(checked >= 2, "{case}: {:?}", objective.terms);
}

#[test]
fn the_objectives_are_pytorchs() {
    let file = Vectors::committed("methods.safetensors");
    let cases: Vec<&str> = file.cases().into_iter().filter(|case| !case.starts_with("inputs/")).collect();
    assert_eq!(cases.len() % 2, 0, "{cases:?}");
    cases.into_iter().for_each(|case| check(&file, case));
}
