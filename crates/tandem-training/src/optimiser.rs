//! Stochastic gradient descent with momentum and weight decay, as PyTorch defines it.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

/// Elements of a unit of parallel work. The update is elementwise: the split cannot change a bit.
const CHUNK: usize = 1 << 14;

/// Stochastic gradient descent for the weights of one network, which are one vector, with a momentum buffer.
///
/// For gradient `g`, weight `p`, buffer `b` (Sutskever et al., "On the importance of initialization and momentum in
/// deep learning", ICML 2013, in the form of `torch.optim.SGD`):
///
/// ```text
/// d = g + weight_decay * p
/// b = d on the first step, else momentum * b + d
/// p = p - rate * b                    (Nesterov: p - rate * (d + momentum * b))
/// ```
///
/// The decay is on every weight, those of the normalisation and the biases included. A network that took no part in a loss is
/// left alone. A step costs two passes over memory and no allocation, the first one apart.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
    buffer: Option<Tensor>,
}

impl Sgd {
    /// An optimiser without history.
    pub fn new(momentum: f64, weight_decay: f64, nesterov: bool) -> Self {
        Sgd { momentum, weight_decay, nesterov, buffer: None }
    }

    /// Moves the weights where they have a gradient.
    ///
    /// # Errors
    /// Where a gradient is not of its weight's shape, or the device has no such operation.
    pub fn step(&mut self, weights: &Var, gradients: &GradStore, rate: f64) -> Result<()> {
        let Some(gradient) = gradients.get(weights) else { return Ok(()) };
        let gradient = gradient.contiguous()?;
        let (momentum, buffer) = match self.buffer.take() {
            Some(buffer) => (self.momentum as f32, buffer),
            None => (0.0, weights.zeros_like()?),
        };
        let weight_decay = self.weight_decay as f32;
        buffer.inplace_op3(&gradient, weights, &Accumulate { momentum, weight_decay })?;
        let direction = Descend {
            rate: rate as f32,
            nesterov: self.nesterov.then_some((self.momentum as f32, weight_decay)),
        };
        weights.inplace_op3(&buffer, &gradient, &direction)?;
        self.buffer = Some(buffer);
        Ok(())
    }

    /// The momentum buffer; none before the first step.
    pub fn momentum(&self) -> Option<&Tensor> {
        self.buffer.as_ref()
    }

    /// Takes back what [`Self::momentum`] gave.
    pub fn restore(&mut self, momentum: Option<Tensor>) {
        self.buffer = momentum;
    }
}

/// `buffer = momentum * buffer + (gradient + weight_decay * weight)`.
struct Accumulate {
    momentum: f32,
    weight_decay: f32,
}

impl InplaceOp3 for Accumulate {
    fn name(&self) -> &'static str {
        "sgd-accumulate"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        at: &Layout,
        a: &CpuStorage,
        a_at: &Layout,
        b: &CpuStorage,
        b_at: &Layout,
    ) -> Result<()> {
        elementwise(to, at, [(a, a_at), (b, b_at)], |buffer, gradient, weight| {
            *buffer = self.momentum * *buffer + (gradient + self.weight_decay * weight);
        })
    }
}

/// `weight = weight - rate * buffer`, or Nesterov's look ahead with (momentum, weight decay).
struct Descend {
    rate: f32,
    nesterov: Option<(f32, f32)>,
}

impl InplaceOp3 for Descend {
    fn name(&self) -> &'static str {
        "sgd-descend"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        at: &Layout,
        a: &CpuStorage,
        a_at: &Layout,
        b: &CpuStorage,
        b_at: &Layout,
    ) -> Result<()> {
        match self.nesterov {
            None => {
                elementwise(to, at, [(a, a_at), (b, b_at)], |weight, buffer, _| *weight -= self.rate * buffer)
            }
            Some((momentum, decay)) => {
                elementwise(to, at, [(a, a_at), (b, b_at)], |weight, buffer, gradient| {
                    *weight -= self.rate * ((gradient + decay * *weight) + momentum * buffer);
                })
            }
        }
    }
}

/// Runs `f` on corresponding elements of three contiguous f32 tensors of one shape.
fn elementwise(
    to: &mut CpuStorage,
    at: &Layout,
    [(a, a_at), (b, b_at)]: [(&CpuStorage, &Layout); 2],
    f: impl Fn(&mut f32, f32, f32) + Sync,
) -> Result<()> {
    let (a, b) = (contiguous(a, a_at)?, contiguous(b, b_at)?);
    let (CpuStorage::F32(values), Some((start, end))) = (to, at.contiguous_offsets()) else {
        bail!("the optimiser needs contiguous f32 weights");
    };
    let values = &mut values[start..end];
    if values.len() != a.len() || values.len() != b.len() {
        bail!("a weight of {} elements has a gradient of {}", values.len(), a.len().min(b.len()));
    }
    values.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(
        |((values, a), b)| {
            for ((value, &a), &b) in values.iter_mut().zip(a).zip(b) {
                f(value, a, b);
            }
        },
    );
    Ok(())
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("the optimiser needs contiguous f32 gradients"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, safetensors};

    /// Momentum, weight decay and Nesterov of each golden case.
    const CASES: [(&str, f64, f64, bool); 3] =
        [("m09_wd1e-4", 0.9, 1e-4, false), ("plain", 0.0, 0.0, false), ("nesterov", 0.9, 1e-2, true)];

    fn golden() -> std::collections::HashMap<String, Tensor> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sgd.safetensors");
        safetensors::load(path, &Device::Cpu).unwrap()
    }

    /// Twelve steps of `torch.optim.SGD` in f64, with a fall of the rate in the middle.
    #[test]
    fn follows_pytorch() {
        let golden = golden();
        for (case, momentum, weight_decay, nesterov) in CASES {
            let of = |name: &str| &golden[&format!("{case}/{name}")];
            let var = Var::from_tensor(of("p0")).unwrap();
            let mut sgd = Sgd::new(momentum, weight_decay, nesterov);
            for step in 0..12 {
                let gradient = of("grads").get(step).unwrap();
                let loss = (var.as_tensor() * &gradient).unwrap().sum_all().unwrap();
                let rate = if step < 6 { 0.01 } else { 0.001 };
                sgd.step(&var, &loss.backward().unwrap(), rate).unwrap();
                let expected = of("p_after_each_step").get(step).unwrap().to_vec1::<f32>().unwrap();
                let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
                for (got, expected) in var.to_vec1::<f32>().unwrap().iter().zip(&expected) {
                    // A few roundings of f32 per step.
                    assert!((got - expected).abs() <= 1e-6 * largest, "{case} step {step}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_network_without_a_gradient_stays_as_it_is() {
        let ones = || Var::ones(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let (used, idle) = (ones(), ones());
        let gradients = used.sum_all().unwrap().backward().unwrap();
        let mut sgd = Sgd::new(0.9, 0.1, false);
        sgd.step(&idle, &gradients, 0.5).unwrap();
        assert_eq!(idle.to_vec1::<f32>().unwrap(), [1.0; 3]);
        assert!(sgd.momentum().is_none());
        sgd.step(&used, &gradients, 0.5).unwrap();
        assert_eq!(used.to_vec1::<f32>().unwrap(), [1.0 - 0.5 * 1.1; 3]);
    }
}
