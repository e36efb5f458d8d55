//! Every operation and its gradients against PyTorch in f64, in several memory layouts.
//!
//! The cases of `tests/golden/ops.safetensors` are always run; those of the full reference set where it lies beside the
//! checkout.

use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::path::Path;
use tandem_ops3d::channels_first::{batch_norm3d, conv_transpose3d, conv3d, max_pool3d, resize3d};
use tandem_ops3d::{Activation, BatchNorm3d, Conv3dParams, Resize, RunningStatistics, Statistics, relu};
use tandem_reference::{reference, relative_error};

type Tensors = BTreeMap<String, Tensor>;

/// Single operations in f32 against f64.
const TOLERANCE: f64 = 1e-5;

fn load(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

/// The committed cases and, where they are at hand, the reference cases of that file.
fn sources(file: &str) -> Vec<Tensors> {
    let committed = load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ops.safetensors")));
    let prefix = format!("{file}:");
    let committed =
        committed.iter().filter_map(|(k, v)| Some((k.strip_prefix(&prefix)?.to_owned(), v.clone())));
    let mut found = vec![committed.collect()];
    found.extend(reference(&format!("golden/{file}.safetensors")).map(|path| load(&path)));
    found
}

/// The tensors of one case, by name.
struct Case<'a> {
    name: &'a str,
    tensors: &'a Tensors,
}

impl Case<'_> {
    fn get(&self, tensor: &str) -> Option<&Tensor> {
        self.tensors.get(&format!("{}/{tensor}", self.name))
    }
    fn at(&self, tensor: &str) -> &Tensor {
        self.get(tensor).unwrap_or_else(|| panic!("{} has no {tensor}", self.name))
    }
}

fn values(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the largest expected value.
fn error(ours: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(ours.dims(), expected.dims());
    relative_error(&values(ours), &values(expected))
}

/// The same values behind other strides and offsets.
fn layouts(t: &Tensor) -> Vec<Tensor> {
    let reversed: Vec<usize> = (0..t.rank()).rev().collect();
    let transposed = t.permute(reversed.clone()).unwrap().contiguous().unwrap().permute(reversed).unwrap();
    let padded = Tensor::cat(&[t, t, t], 0).unwrap();
    let offset = padded.narrow(0, t.dims()[0], t.dims()[0]).unwrap();
    let last = t.rank() - 1;
    let wide = Tensor::cat(&[t, t], last).unwrap();
    let narrowed = wide.narrow(last, t.dims()[last], t.dims()[last]).unwrap();
    vec![t.clone(), transposed, offset, narrowed]
}

/// Runs `op` on every layout of its inputs and compares output and gradients.
fn check(case: &Case, inputs: &[&str], op: &dyn Fn(&[Tensor]) -> Tensor) {
    let vars: Vec<Var> = inputs.iter().map(|name| Var::from_tensor(case.at(name)).unwrap()).collect();
    for index in 0..4 {
        let views: Vec<Tensor> = vars.iter().map(|var| layouts(var.as_tensor()).swap_remove(index)).collect();
        let out = op(&views);
        let name = case.name;
        assert!(
            error(&out, case.at("out")) < TOLERANCE,
            "{name}, layout {index}: {:e}",
            error(&out, case.at("out"))
        );
        let grads = out.mul(case.at("g")).unwrap().sum_all().unwrap().backward().unwrap();
        for (input, var) in inputs.iter().zip(&vars) {
            let error = error(grads.get(var).unwrap(), case.at(&format!("d_{input}")));
            assert!(error < TOLERANCE, "{name}, layout {index}: d_{input} off by {error:e}");
        }
    }
}

fn names(tensors: &Tensors) -> Vec<&str> {
    tensors.keys().filter_map(|key| key.strip_suffix("/x")).collect()
}

/// Every case of a file whose name starts so; at least one must exist in each source.
fn for_each(file: &str, prefix: &str, run: impl Fn(&Case)) {
    for tensors in sources(file) {
        let cases: Vec<_> = names(&tensors).into_iter().filter(|name| name.starts_with(prefix)).collect();
        assert!(!cases.is_empty(), "no case {prefix}* in {file}");
        cases.iter().for_each(|name| run(&Case { name, tensors: &tensors }));
    }
}

/// Stride and padding are written in a case's name, as in `k3s1p1_c4_8`.
fn params(name: &str) -> Conv3dParams {
    let digit = |letter| {
        name[name.find(letter).unwrap() + 1..].chars().next().unwrap().to_digit(10).unwrap() as usize
    };
    Conv3dParams::uniform(digit('s'), digit('p'))
}

#[test]
fn convolution() {
    for_each("conv3d", "k", |case| {
        let params = params(case.name);
        match case.get("b") {
            Some(_) => check(case, &["x", "w", "b"], &|t| conv3d(&t[0], &t[1], Some(&t[2]), params).unwrap()),
            None => check(case, &["x", "w"], &|t| conv3d(&t[0], &t[1], None, params).unwrap()),
        }
    });
}

#[test]
fn transposed_convolution() {
    let params = Conv3dParams::uniform(2, 0);
    for_each("conv_transpose3d", "k2s2", |case| {
        check(case, &["x", "w", "b"], &|t| conv_transpose3d(&t[0], &t[1], Some(&t[2]), params).unwrap());
    });
}

fn running(case: &Case, suffix: &str) -> [Tensor; 2] {
    let stats = case.name.replace("_eval_", "_train_");
    let get = |part| case.tensors[&format!("{stats}_stats/running_{part}_{suffix}")].clone();
    [get("mean"), get("var")]
}

fn batch_norm(case: &Case, statistics: Statistics) {
    let [mean, variance] = running(case, "before").map(|t| Var::from_tensor(&t).unwrap());
    let [mean_after, variance_after] =
        running(case, if statistics == Statistics::Batch { "after" } else { "before" });
    let start = [mean.copy().unwrap(), variance.copy().unwrap()];
    check(case, &["x", "w", "b"], &|t| {
        mean.set(&start[0]).unwrap();
        variance.set(&start[1]).unwrap();
        let running = RunningStatistics { mean: mean.clone(), variance: variance.clone(), momentum: 0.1 };
        let norm = BatchNorm3d { weight: t[1].clone(), bias: t[2].clone(), running, eps: 1e-5 };
        batch_norm3d(&t[0], &norm, statistics, Activation::Identity).unwrap()
    });
    assert!(error(mean.as_tensor(), &mean_after) < TOLERANCE);
    assert!(error(variance.as_tensor(), &variance_after) < TOLERANCE);
}

#[test]
fn batch_normalisation_in_training() {
    for_each("norm", "batchnorm_train", |case| batch_norm(case, Statistics::Batch));
}

#[test]
fn batch_normalisation_in_evaluation() {
    for_each("norm", "batchnorm_eval", |case| batch_norm(case, Statistics::Running));
}

/// The fused ReLU must equal a ReLU behind the normalisation, in value and gradient.
#[test]
fn fused_relu() {
    for_each("norm", "batchnorm_train", |case| {
        let norm = || {
            let ones = Tensor::ones(case.at("w").dims(), DType::F32, &Device::Cpu).unwrap();
            let var = || Var::from_tensor(&ones).unwrap();
            let running = RunningStatistics { mean: var(), variance: var(), momentum: 0.1 };
            BatchNorm3d { weight: case.at("w").clone(), bias: case.at("b").clone(), running, eps: 1e-5 }
        };
        let x = Var::from_tensor(case.at("x")).unwrap();
        let gradient = |y: &Tensor| {
            let grads = y.mul(case.at("g")).unwrap().sum_all().unwrap().backward().unwrap();
            grads.get(&x).unwrap().clone()
        };
        let fused = batch_norm3d(&x, &norm(), Statistics::Batch, Activation::Relu).unwrap();
        let apart =
            relu(&batch_norm3d(&x, &norm(), Statistics::Batch, Activation::Identity).unwrap()).unwrap();
        assert_eq!(values(&fused), values(&apart));
        assert!(error(&gradient(&fused), &gradient(&apart)) < 1e-6, "{}", case.name);
    });
}

#[test]
fn trilinear() {
    for_each("resize_pool", "trilinear", |case| {
        let mode = if case.name.ends_with("align") { Resize::TrilinearAligned } else { Resize::Trilinear };
        let sides = case.at("out").dims()[2..].to_vec();
        check(case, &["x"], &|t| resize3d(&t[0], [sides[0], sides[1], sides[2]], mode).unwrap());
    });
}

#[test]
fn max_pooling() {
    for_each("resize_pool", "maxpool_k3s2p1", |case| {
        check(case, &["x"], &|t| max_pool3d(&t[0], [3; 3], Conv3dParams::uniform(2, 1)).unwrap());
    });
}

#[test]
fn relu_gradient() {
    for_each("resize_pool", "relu", |case| check(case, &["x"], &|t| relu(&t[0]).unwrap()));
}
