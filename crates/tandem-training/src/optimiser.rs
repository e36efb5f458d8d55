//! Stochastic gradient descent with momentum and weight decay, as PyTorch defines it.

use candle_core::Result;
use tandem_ops3d::program::{Descent, WeightVector, Weights};

/// Stochastic gradient descent for the weights of one network, with a momentum buffer. It runs where the network does.
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
    buffer: Option<WeightVector>,
}

impl Sgd {
    /// An optimiser without history: momentum from 0 to below 1, and an L2 penalty of 0 or more.
    pub fn new(momentum: f64, weight_decay: f64, nesterov: bool) -> Self {
        Sgd { momentum, weight_decay, nesterov, buffer: None }
    }

    /// Moves the weights by their gradient.
    ///
    /// # Errors
    /// Where the gradient is that of other weights, or the device fails.
    pub fn step(&mut self, weights: &Weights, gradient: &WeightVector, rate: f64) -> Result<()> {
        let &mut Sgd { momentum, weight_decay, nesterov, .. } = self;
        weights.descend(gradient, &mut self.buffer, &Descent { rate, momentum, weight_decay, nesterov })
    }

    /// The momentum buffer; none before the first step.
    pub fn momentum(&self) -> Option<&WeightVector> {
        self.buffer.as_ref()
    }

    /// Takes back what [`Self::momentum`] gave.
    pub fn restore(&mut self, momentum: Option<WeightVector>) {
        self.buffer = momentum;
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
            let start = of("p0").to_vec1::<f32>().unwrap();
            let weights = Weights::new(&start, &tandem_ops3d::Device::Cpu).unwrap();
            let mut sgd = Sgd::new(momentum, weight_decay, nesterov);
            for step in 0..12 {
                let gradient = of("grads").get(step).unwrap().to_vec1::<f32>().unwrap();
                let rate = if step < 6 { 0.01 } else { 0.001 };
                sgd.step(&weights, &weights.vector(&gradient).unwrap(), rate).unwrap();
                let expected = of("p_after_each_step").get(step).unwrap().to_vec1::<f32>().unwrap();
                let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
                for (got, expected) in
                    weights.values().unwrap().to_vec1::<f32>().unwrap().iter().zip(&expected)
                {
                    // A few roundings of f32 per step.
                    assert!((got - expected).abs() <= 1e-6 * largest, "{case} step {step}: {got} {expected}");
                }
            }
        }
    }
}
