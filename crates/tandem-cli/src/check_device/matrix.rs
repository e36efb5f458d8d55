//! Each operation of a program, forwards and backwards, on images in each layout, against the CPU.

use super::{Rounding, Verdict, difference, larger};
use anyhow::{Context, Result};
use candle_core::{Tensor, Var};
use std::sync::Arc;
use tandem_ops3d::program::{
    ConvLayer, Mode, NormLayer, NormStatistics, Precision, Program, Sum, Value, Weights,
};
use tandem_ops3d::{Activation, Conv3dParams, Device, Resize};
use tandem_random::Draws;

/// Kernel, stride, padding, whether transposed, and channels.
const CONVOLUTIONS: [(usize, usize, usize, bool, [usize; 2]); 8] = [
    (3, 1, 1, false, [1, 16]),
    (3, 1, 1, false, [16, 16]),
    (3, 1, 1, false, [33, 70]),
    (3, 2, 1, false, [8, 24]),
    (2, 2, 0, false, [16, 32]),
    (2, 2, 0, true, [32, 16]),
    (1, 1, 0, false, [24, 8]),
    (7, 1, 3, false, [2, 8]),
];

const DIMS: [usize; 4] = [2, 4, 6, 4];

/// What a network of one operation and a head makes: logits, and gradients of weights and image.
struct Made([Vec<f32>; 3]);

pub(super) fn in_f32(device: &Device, rounding: Rounding) -> Result<Verdict> {
    let allowed = if rounding == Rounding::F32 { 1e-5 } else { 1e-3 };
    compare(device, Precision::F32, &LAYOUTS, allowed)
}

pub(super) fn in_bf16(device: &Device) -> Result<Verdict> {
    compare(device, Precision::Bf16, &LAYOUTS[..1], 1e-2)
}

fn compare(device: &Device, precision: Precision, layouts: &[Layout], allowed: f64) -> Result<Verdict> {
    let (mut worst, mut count) = (0.0, 0);
    for operation in operations() {
        let expected = run(&Device::Cpu, Precision::F32, operation, contiguous)?;
        for layout in layouts {
            let ours = run(device, precision, operation, *layout)?;
            for (ours, expected) in ours.0.iter().zip(&expected.0) {
                let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value)).collect();
                worst = larger(worst, difference(ours, &expected));
                count += 1;
            }
        }
    }
    Ok(Verdict::of_difference(worst, allowed, count))
}

type Layout = fn(&Tensor) -> candle_core::Result<Tensor>;

/// The same image behind other strides and offsets.
const LAYOUTS: [Layout; 4] = [contiguous, transposed, narrowed, offset];

fn contiguous(image: &Tensor) -> candle_core::Result<Tensor> {
    Ok(image.clone())
}

fn transposed(image: &Tensor) -> candle_core::Result<Tensor> {
    image.permute((4, 3, 2, 1, 0))?.contiguous()?.permute((4, 3, 2, 1, 0))
}

fn narrowed(image: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::cat(&[image, image], 4)?.narrow(4, image.dim(4)?, image.dim(4)?)
}

fn offset(image: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::cat(&[image, image], 0)?.narrow(0, image.dim(0)?, image.dim(0)?)
}

#[derive(Clone, Copy)]
enum Operation {
    /// One of [`CONVOLUTIONS`], normalised.
    Convolution(usize),
    /// Normalised, with a sum before or after a ReLU.
    Sum(bool),
    Dropout,
    Double(Resize),
}

fn operations() -> Vec<Operation> {
    let others = [
        Operation::Sum(false),
        Operation::Sum(true),
        Operation::Dropout,
        Operation::Double(Resize::Nearest),
        Operation::Double(Resize::TrilinearAligned),
    ];
    (0..CONVOLUTIONS.len()).map(Operation::Convolution).chain(others).collect()
}

/// Parameters under construction.
#[derive(Default)]
struct Parameters {
    weights: Vec<f32>,
    statistics: Vec<f32>,
}

impl Parameters {
    fn drawn(&mut self, count: usize, centre: f32, spread: f32) -> std::ops::Range<usize> {
        let (start, mut draws) =
            (self.weights.len(), Draws::new(8, "check device", 0, self.weights.len() as u64));
        self.weights.extend((0..count).map(|_| centre + spread * draws.normal() as f32));
        start..start + count
    }

    fn unit(
        &mut self,
        (program, x): (&mut Program, Value),
        convolution: (usize, usize, usize, bool, [usize; 2]),
        (activation, sum): (Activation, Sum),
    ) -> Value {
        let (kernel, stride, padding, transposed, [from, to]) = convolution;
        let spread = (2.0 / (from * kernel.pow(3)) as f32).sqrt();
        let conv = ConvLayer {
            weight: self.drawn(from * to * kernel.pow(3), 0.0, spread),
            bias: None,
            from,
            to,
            kernel,
            params: Conv3dParams::uniform(stride, padding),
            transposed,
        };
        let scale = self.drawn(to, 1.0, 0.2);
        // Far from 0, so that rounding opens and closes no ReLU; every other channel is closed.
        let shift = self.drawn(to, 8.0, 0.2);
        self.weights[shift.clone()].iter_mut().step_by(2).for_each(|shift| *shift -= 16.0);
        let at = self.statistics.len();
        self.statistics.extend(vec![0.0; to]);
        self.statistics.extend(vec![1.0; to]);
        let (mean, variance) = (at..at + to, at + to..at + 2 * to);
        let norm = NormLayer { scale, shift, mean, variance, momentum: 0.1, eps: 1e-5 };
        program.unit(x, conv, norm, activation, sum)
    }
}

fn run(device: &Device, precision: Precision, operation: Operation, layout: Layout) -> Result<Made> {
    let host = &candle_core::Device::Cpu;
    let mut parameters = Parameters::default();
    let (mut program, image) = Program::new();
    let plain = |channels: usize| (1, 1, 0, false, [channels; 2]);
    let mut channels = 5;
    let value = match operation {
        Operation::Convolution(index) => {
            let convolution = CONVOLUTIONS[index];
            channels = convolution.4[0];
            let form = (Activation::Identity, Sum::Nothing);
            parameters.unit((&mut program, image), convolution, form)
        }
        Operation::Sum(before) => {
            let sum = if before { Sum::Before(image) } else { Sum::After(image) };
            parameters.unit((&mut program, image), plain(channels), (Activation::Relu, sum))
        }
        Operation::Dropout => program.dropout(image, 0.4, "here"),
        Operation::Double(mode) => program.double(image, mode),
    };
    let width = match operation {
        Operation::Convolution(index) => CONVOLUTIONS[index].4[1],
        _ => channels,
    };
    let (weight, bias) = (parameters.drawn(3 * width, 0.0, 0.5), parameters.drawn(3, 0.0, 0.5));
    program.head(value, weight, bias);

    let weights = Weights::new(&parameters.weights, device)?;
    let statistics = NormStatistics::new(&parameters.statistics, device)?;
    let mut draws = Draws::new(9, "check device image", 0, 0);
    let [n, d, h, w] = DIMS;
    let values: Vec<f32> = (0..n * channels * d * h * w).map(|_| draws.normal() as f32).collect();
    let image = Var::from_vec(values, (n, channels, d, h, w), host)?;
    let mode = (Mode::Train { dropout: 3 }, precision);
    let logits = Arc::new(program).run(&layout(&image)?, &weights, &statistics, mode)?.logits.get()?;
    let upstream: Vec<f32> = (0..logits.elem_count()).map(|_| draws.normal() as f32).collect();
    let upstream = Tensor::from_vec(upstream, logits.dims(), host)?;
    let gradients = (&logits * upstream)?.sum_all()?.backward()?;
    let of_image = gradients.get(&image).context("the image has no gradient")?;
    let of_weights = weights.take_gradient().context("the weights have no gradient")?;
    let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    Ok(Made([flat(&logits)?, of_weights.to_vec()?, flat(of_image)?]))
}
