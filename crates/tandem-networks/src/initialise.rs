//! Declares a network's parameters with their initial values.

use crate::parameters::{Declared, Kind};
use candle_core::Result;
use std::ops::Range;
use tandem_random::Draws;

/// The initial values of a parameter. They are drawn where they are needed, so that a network can be declared for its shapes.
#[derive(Debug)]
pub(crate) enum Values {
    /// These.
    Given(Vec<f32>),
    /// One for all.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64, Draws),
    /// Uniform in +- this.
    Uniform(f64, Draws),
}

impl Values {
    /// Writes all of a parameter's values.
    pub(crate) fn write(self, to: &mut [f32]) {
        match self {
            Values::Given(values) => to.copy_from_slice(&values),
            Values::Constant(value) => to.fill(value),
            Values::Normal(sd, mut draws) => to.fill_with(|| (sd * draws.normal()) as f32),
            Values::Uniform(bound, mut draws) => to.fill_with(|| draws.uniform_in(-bound, bound) as f32),
        }
    }
}

/// Declares parameters: Kaiming-normal weights (He et al. 2015; fan in, gain sqrt 2), biases uniform in
/// +-1/sqrt(fan in), normalisations 1 and 0, as the published networks start.
///
/// Each value is a function of (seed, network, parameter name), whatever else is declared.
pub(crate) struct Initialiser<'a> {
    pub(crate) parameters: &'a mut Declared,
    pub(crate) architecture: &'a str,
    pub(crate) seed: u64,
}

impl Initialiser<'_> {
    /// A convolution's weight `(a, b, kd, kh, kw)`. PyTorch's fan in is `b kd kh kw` for both kinds of convolution: for a
    /// transposed one these are its OUTPUT channels.
    pub(crate) fn weight(&mut self, name: &str, dims: [usize; 5]) -> Result<Range<usize>> {
        let (name, sd) = (format!("{name}.weight"), (2.0 / fan_in(dims)).sqrt());
        let values = Values::Normal(sd, self.draws(&name));
        self.parameters.add(name, Kind::Weight, &dims, values)
    }

    /// The bias of a convolution with that weight.
    pub(crate) fn bias(&mut self, name: &str, channels: usize, weight: [usize; 5]) -> Result<Range<usize>> {
        let (name, bound) = (format!("{name}.bias"), 1.0 / fan_in(weight).sqrt());
        let values = Values::Uniform(bound, self.draws(&name));
        self.parameters.add(name, Kind::Weight, &[channels], values)
    }

    /// A vector of one value.
    pub(crate) fn constant(
        &mut self,
        name: String,
        channels: usize,
        value: f32,
        kind: Kind,
    ) -> Result<Range<usize>> {
        self.parameters.add(name, kind, &[channels], Values::Constant(value))
    }

    fn draws(&self, parameter: &str) -> Draws {
        Draws::new(self.seed, &format!("initialise {} {parameter}", self.architecture), 0, 0)
    }
}

fn fan_in(weight: [usize; 5]) -> f64 {
    weight[1..].iter().product::<usize>() as f64
}
