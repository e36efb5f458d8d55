//! Convolution, batch normalisation and activation as one operation.

use crate::conv::Convolution;
use crate::cpu::filter::bias_gradient;
use crate::cpu::scratch::Scratch;
use crate::norm::Normalisation;
use crate::storage::{slice, with_slices};
use crate::{Activation, BatchNorm3d, Conv3dParams, Statistics};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// A convolution whose output is normalised.
#[derive(Clone, Debug)]
pub struct NormalisedConv3d {
    /// `(Co, Ci, kd, kh, kw)`; of a transposed convolution `(Ci, Co, kd, kh, kw)`.
    pub weight: Tensor,
    /// `(Co)`.
    pub bias: Option<Tensor>,
    /// Stride and padding.
    pub params: Conv3dParams,
    /// Whether it is a transposed convolution.
    pub transposed: bool,
    /// What its output goes through.
    pub norm: BatchNorm3d,
}

/// [`crate::conv3d`] or [`crate::conv_transpose3d`], then [`crate::batch_norm3d`] with its activation: the same values and
/// gradients, bit for bit.
///
/// As one operation it spares candle's backward pass the gradient of the convolution's output, which would be cleared,
/// added to and kept as a tensor of its own.
///
/// # Shapes
/// `x` `(N, D, H, W, Ci)`; returns `(N, D', H', W', Co)`.
///
/// # Errors
/// As the two operations.
pub fn conv_norm3d(
    x: &Tensor,
    layer: &NormalisedConv3d,
    statistics: Statistics,
    activation: Activation,
) -> Result<Tensor> {
    let weight = layer.weight.contiguous()?;
    let shape = if layer.transposed { Convolution::transposed } else { Convolution::plain };
    let conv = shape(x, &weight, layer.params)?;
    let norm = Normalisation::new(&layer.norm, &conv.output_dims(), statistics, activation)?;
    let used = norm.used.clone();
    // Custom operations take three tensors: the three vectors travel as the rows of one.
    let (gamma, beta) = (&layer.norm.weight, &layer.norm.bias);
    let vectors = match &layer.bias {
        Some(bias) if bias.dims() == gamma.dims() => Tensor::stack(&[gamma, beta, bias], 0)?,
        Some(bias) => bail!(
            "{}: the bias has shape {:?}, the output {} channels",
            conv.label(),
            bias.dims(),
            conv.output_channels()
        ),
        None => Tensor::stack(&[gamma, beta], 0)?,
    };
    let op = ConvNorm { conv, norm, middle: OnceLock::new() };
    let y = x.contiguous()?.apply_op3(&weight, &vectors, op)?;
    layer.norm.running.follow(used.get(), statistics)?;
    Ok(y)
}

struct ConvNorm {
    conv: Convolution,
    norm: Normalisation,
    /// The convolution's output, for the backward pass.
    middle: OnceLock<Vec<f32>>,
}

/// Gamma, beta and, where there is one, the bias.
fn rows(vectors: &[f32], channels: usize) -> (&[f32], &[f32], Option<&[f32]>) {
    let (gamma, rest) = vectors.split_at(channels);
    let (beta, bias) = rest.split_at(channels);
    (gamma, beta, (!bias.is_empty()).then_some(bias))
}

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "conv_norm3d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let name = self.name();
        let (gamma, beta, bias) = rows(slice(name, v, vl)?, self.conv.output_channels());
        let middle =
            self.conv.forward(&self.conv.frame_input(slice(name, x, xl)?), slice(name, w, wl)?, bias);
        let y = self.norm.forward(&middle, gamma, beta);
        self.middle.get_or_init(|| middle);
        Ok((CpuStorage::F32(y), Shape::from(&self.conv.output_dims())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        vectors: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(middle) = self.middle.get() else { bail!("{}: backward before forward", self.name()) };
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu);
        with_slices(self.name(), [x, weight, vectors, y, grad], |[input, w, v, y, grad]| {
            let channels = self.conv.output_channels();
            let (gamma, _, bias) = rows(v, channels);
            let mut between = Scratch::take(middle.len());
            let affine = self.norm.backward([middle, y, grad], gamma, Some(&mut between))?;
            let mut d_vectors = [affine.gamma, affine.beta].concat();
            if bias.is_some() {
                d_vectors.extend(bias_gradient(&between, channels));
            }
            let between = self.conv.frame_gradient(&between);
            let dx = x.track_op().then(|| tensor(self.conv.input_gradient(w, &between), x)).transpose()?;
            let dw = weight
                .track_op()
                .then(|| tensor(self.conv.weight_gradient(&self.conv.frame_input(input), &between), weight));
            Ok((dx, dw.transpose()?, Some(tensor(d_vectors, vectors)?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunningStatistics, batch_norm3d, conv_transpose3d, conv3d};
    use candle_core::Var;
    use tandem_random::Draws;

    fn var(dims: &[usize], slot: u64) -> Var {
        let mut draws = Draws::new(5, "conv norm tests", 0, slot);
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| draws.normal() as f32).collect();
        Var::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    fn bits(tensor: &Tensor) -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|value| value.to_bits()).collect()
    }

    /// One operation and two must agree bit for bit: output, running statistics, every gradient.
    fn check(transposed: bool, biased: bool, statistics: Statistics) {
        let (x, weight) =
            (var(&[2, 5, 4, 6, 3], 0), var(if transposed { &[3, 7, 2, 2, 2] } else { &[7, 3, 3, 3, 3] }, 1));
        let (gamma, beta, bias) = (var(&[7], 2), var(&[7], 3), var(&[7], 4));
        let params = if transposed { Conv3dParams::uniform(2, 0) } else { Conv3dParams::uniform(1, 1) };
        let norm = || BatchNorm3d {
            weight: gamma.as_tensor().clone(),
            bias: beta.as_tensor().clone(),
            running: RunningStatistics {
                mean: var(&[7], 5),
                variance: Var::from_tensor(&var(&[7], 6).sqr().unwrap()).unwrap(),
                momentum: 0.1,
            },
            eps: 1e-5,
        };
        let bias = biased.then(|| bias.as_tensor().clone());
        let layer =
            NormalisedConv3d { weight: weight.as_tensor().clone(), bias, params, transposed, norm: norm() };
        let one = conv_norm3d(&x, &layer, statistics, Activation::Relu).unwrap();
        let conv = if transposed { conv_transpose3d } else { conv3d };
        let apart = norm();
        let two = conv(&x, &weight, layer.bias.as_ref(), params).unwrap();
        let two = batch_norm3d(&two, &apart, statistics, Activation::Relu).unwrap();
        assert_eq!(bits(&one), bits(&two));
        assert_eq!(bits(&layer.norm.running.mean), bits(&apart.running.mean));
        assert_eq!(bits(&layer.norm.running.variance), bits(&apart.running.variance));
        let backward = |y: &Tensor| y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let (one, two) = (backward(&one), backward(&two));
        let mut inputs = vec![x.as_tensor(), &weight, &gamma, &beta];
        inputs.extend(&layer.bias);
        for input in inputs {
            assert_eq!(bits(one.get(input).unwrap()), bits(two.get(input).unwrap()));
        }
    }

    #[test]
    fn equals_its_two_parts() {
        for transposed in [false, true] {
            for biased in [false, true] {
                check(transposed, biased, Statistics::Batch);
                check(transposed, biased, Statistics::Running);
            }
        }
    }
}
