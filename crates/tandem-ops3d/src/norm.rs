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
    let Some(&channels) = x.dims().last() else { bail!("batch_norm3d takes (N, D, H, W, C), got a scalar") };
    for (name, tensor) in [("weight", &norm.weight), ("bias", &norm.bias)] {
        if tensor.dims() != [channels] {
            bail!("batch_norm3d: the input has {channels} channels, the {name} shape {:?}", tensor.dims())
        }
    }
    let values = x.elem_count() / channels.max(1);
    if statistics == Statistics::Batch && values < 2 {
        bail!(
            "batch_norm3d: {values} value per channel has no variance; use a larger patch or batch, or evaluate"
        )
    }
    let op = Normalisation {
        relu: activation == Activation::Relu,
        eps: norm.eps,
        fixed: match statistics {
            Statistics::Batch => None,
            Statistics::Running => Some((norm.running.mean.to_vec1()?, norm.running.variance.to_vec1()?)),
        },
        used: Arc::new(OnceLock::new()),
    };
    let used = op.used.clone();
    let y = x.contiguous()?.apply_op3(&norm.weight.contiguous()?, &norm.bias.contiguous()?, op)?;
    if let (Statistics::Batch, Some(used)) = (statistics, used.get()) {
        norm.running.follow(used, values)?;
    }
    Ok(y)
}

impl RunningStatistics {
    /// Moves towards a batch's statistics.
    fn follow(&self, used: &Used, values: usize) -> Result<()> {
        let unbiased = values as f64 / (values as f64 - 1.0);
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
struct Used {
    mean: Vec<f64>,
    variance: Vec<f64>,
}

struct Normalisation {
    relu: bool,
    eps: f64,
    /// Running mean and variance; `None` for the batch's own.
    fixed: Option<(Vec<f32>, Vec<f32>)>,
    /// Written by the forward pass; the graph keeps this object for the backward pass.
    used: Arc<OnceLock<Used>>,
}

impl Normalisation {
    fn inverse_sd(&self, used: &Used) -> Vec<f64> {
        used.variance.iter().map(|variance| 1.0 / (variance + self.eps).sqrt()).collect()
    }
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
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
        let (x, weight, shift) = (slice(name, x, xl)?, slice(name, w, wl)?, slice(name, b, bl)?);
        let used = self.used.get_or_init(|| match &self.fixed {
            None => {
                let moments = moments(x, weight.len());
                Used { mean: moments.mean, variance: moments.variance }
            }
            Some((mean, variance)) => Used {
                mean: mean.iter().map(|v| f64::from(*v)).collect(),
                variance: variance.iter().map(|v| f64::from(*v)).collect(),
            },
        });
        let scale: Vec<f32> =
            self.inverse_sd(used).iter().zip(weight).map(|(i, w)| (i * f64::from(*w)) as f32).collect();
        let affine = Affine { mean: &to_f32(&used.mean), scale: &scale, shift, relu: self.relu };
        let y = filled(x.len(), |y| normalise(x, &affine, y));
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
        let Some(used) = self.used.get() else { bail!("batch_norm3d: backward before forward") };
        let channels = used.mean.len();
        let inverse_sd = self.inverse_sd(used);
        with_slices(self.name(), [x, weight, y, grad], |[x_values, w, y, grad]| {
            let pass = Backward {
                x: x_values,
                y: self.relu.then_some(y),
                grad,
                mean: &to_f32(&used.mean),
                inverse_sd: &to_f32(&inverse_sd),
            };
            let (gamma, beta) = affine_gradients(&pass);
            let dx = if x.track_op() {
                let count = (x_values.len() / channels) as f64;
                // The batch's statistics depend on x, running ones do not.
                let own = if self.fixed.is_none() { 1.0 / count } else { 0.0 };
                let a: Vec<f64> = (0..channels).map(|c| inverse_sd[c] * f64::from(w[c])).collect();
                let b: Vec<f64> = (0..channels).map(|c| -a[c] * gamma[c] * inverse_sd[c] * own).collect();
                let c: Vec<f64> = (0..channels).map(|c| -a[c] * beta[c] * own).collect();
                let coefficients = InputGradient { a: &to_f32(&a), b: &to_f32(&b), c: &to_f32(&c) };
                let dx = filled(x_values.len(), |dx| input_gradient(&pass, &coefficients, dx));
                Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?)
            } else {
                None
            };
            let vector = |values: &[f64]| Tensor::from_vec(to_f32(values), channels, &Device::Cpu);
            Ok((dx, Some(vector(&gamma)?), Some(vector(&beta)?)))
        })
    }
}
