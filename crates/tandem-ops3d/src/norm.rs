//! Batch normalisation of channels-last tensors, fused with the ReLU that follows it.

use crate::cpu::norm::{Normalisation, for_chunks, gradient_sums, moments};
use crate::cpu::rows;
use crate::storage::{filled, slice, with_slices};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, Var, bail};
use std::sync::{Arc, OnceLock};

/// The running statistics of a batch normalisation, and how they move.
#[derive(Clone, Debug)]
pub struct RunningStatistics {
    /// `(C)`.
    pub mean: Var,
    /// `(C)`, unbiased.
    pub variance: Var,
    /// Share of the new batch in the running value; 0.1 in PyTorch and in the published networks.
    pub momentum: f64,
}

/// What follows a normalisation, in the same pass over memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`; its gradient at 0 is 0, as PyTorch has it.
    Relu,
}

/// Which statistics a normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The batch's own; they move the running ones.
    Batch,
    /// The running ones.
    Running,
}

/// Scale, shift and running statistics of a batch normalisation.
#[derive(Clone, Debug)]
pub struct BatchNorm3d {
    /// Gamma, `(C)`.
    pub weight: Tensor,
    /// Beta, `(C)`.
    pub bias: Tensor,
    /// What evaluation uses.
    pub running: RunningStatistics,
    /// Added to the variance; 1e-5 in PyTorch and in the published networks.
    pub eps: f64,
}

/// Batch normalisation (Ioffe and Szegedy 2015) over batch and voxels, then an activation:
/// `y = act((x - mean) / sqrt(variance + eps) * weight + bias)` per channel.
///
/// Differentiable in `x`, weight and bias. Normalises by the biased variance and keeps the unbiased one, as PyTorch.
///
/// # Shapes
/// `x` `(N, D, H, W, C)`; returns the same.
///
/// # Errors
/// Where channel counts disagree, a tensor is not f32, or batch statistics are asked of a single value per channel.
pub fn batch_norm3d(
    x: &Tensor,
    norm: &BatchNorm3d,
    statistics: Statistics,
    activation: Activation,
) -> Result<Tensor> {
    let Some(&channels) = x.dims().last() else { bail!("batch_norm3d takes (N, D, H, W, C), got a scalar") };
    for (name, tensor) in [("weight", &norm.weight), ("bias", &norm.bias)] {
        if tensor.dims() != [channels] {
            bail!("batch_norm3d: the input has {channels} channels, the {name} shape {:?}", tensor.dims())
        }
    }
    let fixed = match statistics {
        Statistics::Batch => None,
        Statistics::Running => Some([norm.running.mean.to_vec1()?, norm.running.variance.to_vec1()?]),
    };
    let relu = activation == Activation::Relu;
    let op = BatchNormOp { relu, eps: norm.eps, fixed, used: Arc::new(OnceLock::new()) };
    let used = op.used.clone();
    let y = x.contiguous()?.apply_op3(&norm.weight.contiguous()?, &norm.bias.contiguous()?, op)?;
    if let Some(used) = used.get() {
        norm.running.follow(used)?;
    }
    Ok(y)
}

impl RunningStatistics {
    /// Moves towards a batch's statistics, where they were the batch's.
    fn follow(&self, used: &Normalisation) -> Result<()> {
        let [mut mean, mut variance] = [self.mean.to_vec1()?, self.variance.to_vec1()?];
        follow(&mut mean, &mut variance, used, self.momentum);
        for (var, values) in [(&self.mean, mean), (&self.variance, variance)] {
            let channels = values.len();
            var.set(&Tensor::from_vec(values, channels, &Device::Cpu)?)?;
        }
        Ok(())
    }
}

/// Moves running statistics towards a batch's: `(1 - momentum) old + momentum new`, with the unbiased variance.
pub(crate) fn follow(mean: &mut [f32], variance: &mut [f32], used: &Normalisation, momentum: f64) {
    let Some(count) = used.of_batch else { return };
    let blend = |old: &mut f32, new: f64| *old = ((1.0 - momentum) * f64::from(*old) + momentum * new) as f32;
    mean.iter_mut().zip(&used.mean).for_each(|(old, new)| blend(old, *new));
    let unbiased = count / (count - 1.0);
    variance.iter_mut().zip(&used.variance).for_each(|(old, new)| blend(old, new * unbiased));
}

/// The statistics for a normalisation of `x`: given ones, or its own.
pub(crate) fn normalisation<S: crate::cpu::element::Element>(
    x: &[S],
    channels: usize,
    fixed: Option<[&[f32]; 2]>,
    (eps, relu): (f64, bool),
) -> Result<Normalisation> {
    let values = x.len() / channels.max(1);
    Ok(match fixed {
        Some(fixed) => {
            let [mean, variance] = fixed.map(|values| values.iter().map(|value| f64::from(*value)).collect());
            Normalisation { mean, variance, of_batch: None, eps, relu }
        }
        None if values < 2 => bail!(
            "batch normalisation: {values} value per channel has no variance; use a larger patch or batch, or evaluate"
        ),
        None => {
            let [mean, variance] = moments(x, channels);
            Normalisation { mean, variance, of_batch: Some(values as f64), eps, relu }
        }
    })
}

/// A normalisation of one tensor: what its forward pass finds, its backward pass needs.
struct BatchNormOp {
    relu: bool,
    eps: f64,
    /// Running mean and variance; `None` for the batch's own.
    fixed: Option<[Vec<f32>; 2]>,
    /// Written by the forward pass; the graph keeps this object for the backward pass.
    used: Arc<OnceLock<Normalisation>>,
}

impl CustomOp3 for BatchNormOp {
    fn name(&self) -> &'static str {
        "batch_norm3d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let name = self.name();
        let (x, gamma, beta) = (slice(name, x, xl)?, slice(name, w, wl)?, slice(name, b, bl)?);
        let fixed = self.fixed.as_ref().map(|[mean, variance]| [&mean[..], &variance[..]]);
        let norm = normalisation(x, gamma.len(), fixed, (self.eps, self.relu))?;
        let affine = norm.affine(gamma, beta);
        let y = filled(x.len(), |y| {
            for_chunks(x, y, gamma.len(), |_, x, y| rows::normalise(x, &affine, y));
        });
        self.used.get_or_init(|| norm);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(norm) = self.used.get() else { bail!("{}: backward before forward", self.name()) };
        with_slices(self.name(), [x, weight, bias, grad], |[values, gamma, beta, grad]| {
            let (channels, affine) = (gamma.len(), norm.affine(gamma, beta));
            let sums = gradient_sums(values, grad, &affine, channels);
            let gradients = norm.gradients(gamma, &sums, (values.len() / channels.max(1)) as f64);
            let input_gradient = || {
                let dx = filled(values.len(), |dx| {
                    for_chunks(values, dx, channels, |first, x, dx| {
                        let grad = &grad[first..first + dx.len()];
                        rows::normalise_backward(x, grad, &affine, &gradients.input, dx);
                    });
                });
                Tensor::from_vec(dx, x.shape(), &Device::Cpu)
            };
            let dx = x.track_op().then(input_gradient).transpose()?;
            let vector = |values: &[f32]| Tensor::from_slice(values, channels, &Device::Cpu);
            Ok((dx, Some(vector(&gradients.gamma)?), Some(vector(&gradients.beta)?)))
        })
    }
}
