//! Stochastic gradient descent with momentum and weight decay, as PyTorch defines it.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Var, bail};
use rayon::prelude::*;
use std::cell::RefCell;

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
/// The decay is on every weight, those of the normalisation and the biases included. A step is one pass over memory and no
/// allocation, the first one apart.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
    buffer: Option<Vec<f32>>,
}

impl Sgd {
    /// An optimiser without history: momentum from 0 to below 1, and an L2 penalty of 0 or more.
    pub fn new(momentum: f64, weight_decay: f64, nesterov: bool) -> Self {
        Sgd { momentum, weight_decay, nesterov, buffer: None }
    }

    /// Moves the weights, one vector, by their gradient.
    ///
    /// # Errors
    /// Where the gradient is not as long as the weights, or the device has no such operation.
    pub fn step(&mut self, weights: &Var, gradient: &[f32], rate: f64) -> Result<()> {
        let first = self.buffer.is_none();
        let buffer = self.buffer.get_or_insert_with(|| vec![0.0; gradient.len()]);
        weights.inplace_op1(&Descend {
            gradient,
            buffer: RefCell::new(buffer),
            rate: rate as f32,
            momentum: if first { 0.0 } else { self.momentum as f32 },
            ahead: self.nesterov.then_some(self.momentum as f32),
            weight_decay: self.weight_decay as f32,
        })
    }

    /// The momentum buffer; none before the first step.
    pub fn momentum(&self) -> Option<&[f32]> {
        self.buffer.as_deref()
    }

    /// Takes back what [`Self::momentum`] gave.
    pub fn restore(&mut self, momentum: Option<Vec<f32>>) {
        self.buffer = momentum;
    }
}

/// A step of [`Sgd`].
struct Descend<'a> {
    gradient: &'a [f32],
    /// candle gives a shared operation the weights to change; this is changed with them.
    buffer: RefCell<&'a mut [f32]>,
    rate: f32,
    /// The share of the buffer that stays.
    momentum: f32,
    /// Nesterov's momentum.
    ahead: Option<f32>,
    weight_decay: f32,
}

impl Descend<'_> {
    /// Runs `direction(d, b)`, by which to move, over all weights.
    fn descend(&self, weights: &mut [f32], direction: impl Fn(f32, f32) -> f32 + Sync) {
        let (rate, momentum, weight_decay) = (self.rate, self.momentum, self.weight_decay);
        let mut buffer = self.buffer.borrow_mut();
        let chunks = weights.par_chunks_mut(CHUNK).zip(buffer.par_chunks_mut(CHUNK));
        chunks.zip(self.gradient.par_chunks(CHUNK)).for_each(|((weights, buffer), gradient)| {
            for ((p, b), g) in weights.iter_mut().zip(buffer).zip(gradient) {
                let d = g + weight_decay * *p;
                *b = momentum * *b + d;
                *p -= rate * direction(d, *b);
            }
        });
    }
}

impl InplaceOp1 for Descend<'_> {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(weights), Some((start, end))) = (weights, layout.contiguous_offsets()) else {
            bail!("the optimiser needs contiguous f32 weights");
        };
        let (weights, buffered) = (&mut weights[start..end], self.buffer.borrow().len());
        if [self.gradient.len(), buffered] != [weights.len(); 2] {
            let (count, gradient) = (weights.len(), self.gradient.len());
            bail!("{count} weights have a gradient of {gradient} and a momentum of {buffered} values");
        }
        match self.ahead {
            None => self.descend(weights, |_, b| b),
            Some(momentum) => self.descend(weights, |d, b| d + momentum * b),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, safetensors};

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
                let gradient = of("grads").get(step).unwrap().to_vec1::<f32>().unwrap();
                let rate = if step < 6 { 0.01 } else { 0.001 };
                sgd.step(&var, &gradient, rate).unwrap();
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
    fn a_gradient_of_another_length_is_refused() {
        let weights = Var::ones(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let message = Sgd::new(0.9, 0.1, false).step(&weights, &[1.0; 2], 0.5).unwrap_err().to_string();
        assert!(message.contains("3 weights have a gradient of 2"), "{message}");
        assert_eq!(weights.to_vec1::<f32>().unwrap(), [1.0; 3]);
    }
}
