//! Whole objectives of the methods with several heads against PyTorch in f64.

use super::*;
use crate::golden::{Vectors, assert_close, numbers};
use crate::method::{Batch, Step, Term};
use crate::testing::{FixedForward, gradients};
use candle_core::{DType, Device, Tensor, Var};

/// The script's share of a run that is done.
const STEP: Step = Step { index: 40, iterations: 100, seed: 1 };

/// Heads besides the logits.
const FURTHER: [&str; 6] = ["distance", "eighth", "half", "nearest", "quarter", "trilinear"];

fn check(file: &Vectors, case: &str) {
    let logits = file.var(case, "vnet");
    let further = FURTHER.into_iter().filter(|name| file.has(case, name));
    let further: Vec<(&str, Var)> = further.map(|name| (name, file.var(case, name))).collect();
    let (patches, _, d, h, w) = logits.dims5().unwrap();
    let images = Tensor::zeros((patches, 1, d, h, w), DType::F32, &Device::Cpu).unwrap();
    let mut forward = FixedForward::default().with("vnet", &logits, &images);
    for (name, var) in &further {
        forward = forward.with_extra("vnet", name, var);
    }
    let batch = Batch { images, labels: file.tensor(case, "y").clone(), strong: None };
    let method = case.rsplit_once('/').unwrap().0;
    let objective = build(method, &Value::Null).unwrap().objective(&batch, STEP, &forward).unwrap();
    assert_close(&format!("{case}/total"), &numbers(&objective.losses[0].1), &[file.scalar(case, "total")]);
    let names = ["vnet"].into_iter().chain(further.iter().map(|(name, _)| *name));
    let vars: Vec<Var> = [logits].into_iter().chain(further.iter().map(|(_, var)| var.clone())).collect();
    for (name, gradient) in names.zip(gradients(&objective, &vars).unwrap()) {
        let name = format!("d_{name}");
        assert_close(&format!("{case}/{name}"), &numbers(&gradient), &file.numbers(case, &name));
    }
    for (name, term) in &objective.terms {
        let Term::Value(value) = term else { panic!("{case}/{name} is {term:?}") };
        assert_close(&format!("{case}/{name}"), &[*value], &[file.scalar(case, &name.replace('/', "_"))]);
    }
}

#[test]
fn the_objectives_are_pytorchs() {
    let file = Vectors::committed("heads.safetensors");
    assert_eq!(file.cases().len(), 6);
    file.cases().into_iter().for_each(|case| check(&file, case));
}
