//! Single operations on one patch of the networks' finest scales: `cargo bench -p tandem-ops3d`.
//!
//! Every layer shape of the networks, beside PyTorch's, is measured by `cargo xtask bench`.

use candle_core::{DType, Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tandem_ops3d::program::{LayerShape, LayerTrial, Precision};
use tandem_ops3d::{
    Activation, BatchNorm3d, Conv3dParams, Resize, RunningStatistics, Statistics, add_relu, batch_norm3d,
    dropout3d, max_pool3d, relu, resize3d,
};
use tandem_random::Draws;

criterion_group!(benches, convolutions, others);
criterion_main!(benches);

/// Name, sides, channels from and to, kernel, stride and padding, whether transposed.
type Shape = (&'static str, [usize; 3], [usize; 2], usize, [usize; 2], bool);

const CONVOLUTIONS: [Shape; 5] = [
    ("conv3-16-16", [64, 64, 48], [16, 16], 3, [1, 1], false),
    ("conv3-64-64", [16, 16, 12], [64, 64], 3, [1, 1], false),
    ("conv7-1-16", [64, 64, 48], [1, 16], 7, [1, 3], false),
    ("conv2s2-16-32", [64, 64, 48], [16, 32], 2, [2, 0], false),
    ("up2-32-16", [32, 32, 24], [32, 16], 2, [2, 0], true),
];

fn convolutions(c: &mut Criterion) {
    for (name, [d, h, w], [from, to], kernel, [stride, padding], transposed) in CONVOLUTIONS {
        let shape = LayerShape {
            input: [1, d, h, w, from],
            to,
            kernel,
            params: Conv3dParams::uniform(stride, padding),
            transposed,
            head: false,
            input_gradient: from > 1,
        };
        let mut group = c.benchmark_group(name);
        for (precision, stored) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
            let trial = LayerTrial::new(shape, stored).expect("a valid shape");
            let forward = shape.forward_flop().expect("a valid shape");
            let backward = shape.training_flop().expect("a valid shape") - forward;
            group.throughput(Throughput::Elements(forward));
            group.bench_function(format!("forward-{precision}"), |b| b.iter(|| trial.forward()));
            group.throughput(Throughput::Elements(backward));
            group.bench_function(format!("backward-{precision}"), |b| b.iter(|| trial.backward()));
        }
        group.finish();
    }
}

fn others(c: &mut Criterion) {
    let x = Tensor::ones((1, 64, 64, 48, 16), DType::F32, &Device::Cpu).expect("a tensor");
    let norm = norm(16).expect("a normalisation");
    let half = Conv3dParams::uniform(2, 0);
    let mut bench = |name: &str, run: &dyn Fn() -> Result<Tensor>| {
        c.bench_function(name, |b| b.iter(|| black_box(run().expect("a valid input"))));
    };
    bench("relu", &|| relu(&x));
    bench("add_relu", &|| add_relu(&x, &x));
    bench("batch_norm3d", &|| batch_norm3d(&x, &norm, Statistics::Batch, Activation::Relu));
    bench("dropout3d", &|| dropout3d(&x, 0.5, &mut Draws::new(1, "bench", 0, 0)));
    bench("max_pool3d", &|| max_pool3d(&x, [2; 3], half));
    bench("resize3d", &|| resize3d(&x, [96, 96, 72], Resize::Trilinear));
}

fn norm(channels: usize) -> Result<BatchNorm3d> {
    let ones = || Tensor::ones(channels, DType::F32, &Device::Cpu);
    let running = RunningStatistics {
        mean: Var::zeros(channels, DType::F32, &Device::Cpu)?,
        variance: Var::from_tensor(&ones()?)?,
        momentum: 0.1,
    };
    Ok(BatchNorm3d { weight: ones()?, bias: ones()?, running, eps: 1e-5 })
}
