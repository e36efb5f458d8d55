//! Declares a network's parameters with their initial values.

use crate::parameters::{Kind, Parameters};
use candle_core::{Device, Result, Tensor, Var};
use tandem_random::Draws;

/// Declares parameters: Kaiming-normal weights (He et al. 2015; fan in, gain sqrt 2), biases uniform in
/// +-1/sqrt(fan in), normalisations 1 and 0, as the published networks start.
///
/// Each value is a function of (seed, network, parameter name), whatever else is declared.
pub(crate) struct Initialiser<'a> {
    pub(crate) parameters: &'a mut Parameters,
    pub(crate) architecture: &'a str,
    pub(crate) seed: u64,
    pub(crate) device: &'a Device,
}

impl Initialiser<'_> {
    /// A convolution's weight `(a, b, kd, kh, kw)`. PyTorch's fan in is `b kd kh kw` for both kinds of convolution: for a
    /// transposed one these are its OUTPUT channels.
    pub(crate) fn weight(&mut self, name: &str, dims: [usize; 5]) -> Result<Var> {
        let sd = (2.0 / fan_in(dims)).sqrt();
        self.drawn(&format!("{name}.weight"), &dims, |draws| sd * draws.normal())
    }

    /// The bias of a convolution with that weight.
    pub(crate) fn bias(&mut self, name: &str, channels: usize, weight: [usize; 5]) -> Result<Var> {
        let bound = 1.0 / fan_in(weight).sqrt();
        self.drawn(&format!("{name}.bias"), &[channels], |draws| draws.uniform_in(-bound, bound))
    }

    /// A vector of one value.
    pub(crate) fn constant(&mut self, name: String, channels: usize, value: f32, kind: Kind) -> Result<Var> {
        let values = Tensor::from_vec(vec![value; channels], channels, self.device)?;
        self.parameters.insert(name, values, kind)
    }

    fn drawn(&mut self, name: &str, dims: &[usize], draw: impl Fn(&mut Draws) -> f64) -> Result<Var> {
        let mut draws = Draws::new(self.seed, &format!("initialise {} {name}", self.architecture), 0, 0);
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| draw(&mut draws) as f32).collect();
        self.parameters.insert(name.to_owned(), Tensor::from_vec(values, dims, self.device)?, Kind::Weight)
    }
}

fn fan_in(weight: [usize; 5]) -> f64 {
    weight[1..].iter().product::<usize>() as f64
}
