//! Batch normalisation of channels-last tensors, fused with the ReLU that follows it.

use crate::cpu::norm::{
    Affine, Backward, InputGradient, affine_gradients, input_gradient, moments, normalise,
};
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
    let op = Normalisation::new(norm, x.dims(), statistics, activation)?;
    let used = op.used.clone();
    let y = x.contiguous()?.apply_op3(&norm.weight.contiguous()?, &norm.bias.contiguous()?, op)?;
    norm.running.follow(used.get(), statistics)?;
    Ok(y)
}

impl RunningStatistics {
    /// Moves towards a batch's statistics, where they were the batch's.
    pub(crate) fn follow(&self, used: Option<&Used>, statistics: Statistics) -> Result<()> {
        let (Some(used), Statistics::Batch) = (used, statistics) else { return Ok(()) };
        let unbiased = used.values / (used.values - 1.0);
        let blend = |var: &Var, new: &[f64], factor: f64| {
            let old: Vec<f32> = var.to_vec1()?;
            let share = self.momentum;
            let moved = old
                .iter()
                .zip(new)
                .map(|(old, new)| ((1.0 - share) * f64::from(*old) + share * new * factor) as f32);
            var.set(&Tensor::from_vec(moved.collect::<Vec<_>>(), old.len(), &Device::Cpu)?)
        };
        blend(&self.mean, &used.mean, 1.0)?;
        blend(&self.variance, &used.variance, unbiased)
    }
}

/// The statistics that a forward pass used.
pub(crate) struct Used {
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// Values per channel.
    values: f64,
}

/// A normalisation of one tensor: what its forward pass finds, its backward pass needs.
pub(crate) struct Normalisation {
    relu: bool,
    eps: f64,
    /// Running mean and variance; `None` for the batch's own.
    fixed: Option<[Vec<f32>; 2]>,
    /// Written by the forward pass; the graph keeps this object for the backward pass.
    pub(crate) used: Arc<OnceLock<Used>>,
}

/// Gradients of scale (gamma) and shift (beta).
pub(crate) struct AffineGradients {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

impl Normalisation {
    /// Of a tensor with these sides.
    pub(crate) fn new(
        norm: &BatchNorm3d,
        dims: &[usize],
        statistics: Statistics,
        activation: Activation,
    ) -> Result<Self> {
        let Some(&channels) = dims.last() else { bail!("batch_norm3d takes (N, D, H, W, C), got a scalar") };
        for (name, tensor) in [("weight", &norm.weight), ("bias", &norm.bias)] {
            if tensor.dims() != [channels] {
                bail!("batch_norm3d: the input has {channels} channels, the {name} shape {:?}", tensor.dims())
            }
        }
        let values = dims.iter().product::<usize>() / channels.max(1);
        if statistics == Statistics::Batch && values < 2 {
            bail!(
                "batch_norm3d: {values} value per channel has no variance; use a larger patch or batch, or evaluate"
            )
        }
        let fixed = match statistics {
            Statistics::Batch => None,
            Statistics::Running => Some([norm.running.mean.to_vec1()?, norm.running.variance.to_vec1()?]),
        };
        let relu = activation == Activation::Relu;
        Ok(Normalisation { relu, eps: norm.eps, fixed, used: Arc::new(OnceLock::new()) })
    }

    /// The normalised values.
    pub(crate) fn forward(&self, x: &[f32], gamma: &[f32], beta: &[f32]) -> Vec<f32> {
        let channels = gamma.len();
        let used = self.used.get_or_init(|| {
            let (mean, variance) = match &self.fixed {
                None => {
                    let moments = moments(x, channels);
                    (moments.mean, moments.variance)
                }
                Some([mean, variance]) => (to_f64(mean), to_f64(variance)),
            };
            Used { mean, variance, values: (x.len() / channels.max(1)) as f64 }
        });
        let scale: Vec<f32> =
            self.inverse_sd(used).iter().zip(gamma).map(|(i, g)| (i * f64::from(*g)) as f32).collect();
        let affine = Affine { mean: &to_f32(&used.mean), scale: &scale, shift: beta, relu: self.relu };
        filled(x.len(), |y| normalise(x, &affine, y))
    }

    /// Gradients of gamma and beta; that of the input goes into `dx` where it is wanted.
    pub(crate) fn backward(
        &self,
        [x, y, grad]: [&[f32]; 3],
        gamma: &[f32],
        dx: Option<&mut [f32]>,
    ) -> Result<AffineGradients> {
        let Some(used) = self.used.get() else { bail!("batch_norm3d: backward before forward") };
        let inverse_sd = self.inverse_sd(used);
        let pass = Backward {
            x,
            y: self.relu.then_some(y),
            grad,
            mean: &to_f32(&used.mean),
            inverse_sd: &to_f32(&inverse_sd),
        };
        let (d_gamma, d_beta) = affine_gradients(&pass);
        if let Some(dx) = dx {
            // The batch's statistics depend on x, running ones do not.
            let own = if self.fixed.is_none() { 1.0 / used.values } else { 0.0 };
            let channels = 0..gamma.len();
            let a: Vec<f64> = channels.clone().map(|c| inverse_sd[c] * f64::from(gamma[c])).collect();
            let b: Vec<f64> = channels.clone().map(|c| -a[c] * d_gamma[c] * inverse_sd[c] * own).collect();
            let c: Vec<f64> = channels.map(|c| -a[c] * d_beta[c] * own).collect();
            input_gradient(&pass, &InputGradient { a: &to_f32(&a), b: &to_f32(&b), c: &to_f32(&c) }, dx);
        }
        Ok(AffineGradients { gamma: to_f32(&d_gamma), beta: to_f32(&d_beta) })
    }

    fn inverse_sd(&self, used: &Used) -> Vec<f64> {
        used.variance.iter().map(|variance| 1.0 / (variance + self.eps).sqrt()).collect()
    }
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

impl CustomOp3 for Normalisation {
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
        let y = self.forward(slice(name, x, xl)?, slice(name, w, wl)?, slice(name, b, bl)?);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        with_slices(self.name(), [x, weight, y, grad], |[x_values, gamma, y, grad]| {
            let mut gradients = None;
            let dx = filled(if x.track_op() { x_values.len() } else { 0 }, |dx| {
                let dx = x.track_op().then_some(dx);
                gradients = Some(self.backward([x_values, y, grad], gamma, dx));
            });
            let Some(gradients) = gradients.transpose()? else { bail!("batch_norm3d: no gradient") };
            let vector = |values: Vec<f32>| Tensor::from_vec(values, gamma.len(), &Device::Cpu);
            let dx = if x.track_op() { Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?) } else { None };
            Ok((dx, Some(vector(gradients.gamma)?), Some(vector(gradients.beta)?)))
        })
    }
}
