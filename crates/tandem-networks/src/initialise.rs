//! Declares a network's parameters with their initial values.

use crate::parameters::{Declared, Kind};
use candle_core::Result;
use std::ops::Range;
use tandem_random::Draws;

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
        let sd = (2.0 / fan_in(dims)).sqrt();
        self.drawn(&format!("{name}.weight"), &dims, |draws| sd * draws.normal())
    }

    /// The bias of a convolution with that weight.
    pub(crate) fn bias(&mut self, name: &str, channels: usize, weight: [usize; 5]) -> Result<Range<usize>> {
        let bound = 1.0 / fan_in(weight).sqrt();
        self.drawn(&format!("{name}.bias"), &[channels], |draws| draws.uniform_in(-bound, bound))
    }

    /// A vector of one value.
    pub(crate) fn constant(
        &mut self,
        name: String,
        channels: usize,
        value: f32,
        kind: Kind,
    ) -> Result<Range<usize>> {
        self.parameters.add(name, kind, &[channels], vec![value; channels])
    }

    fn drawn(
        &mut self,
        name: &str,
        dims: &[usize],
        draw: impl Fn(&mut Draws) -> f64,
    ) -> Result<Range<usize>> {
        let mut draws = Draws::new(self.seed, &format!("initialise {} {name}", self.architecture), 0, 0);
        let values = (0..dims.iter().product()).map(|_| draw(&mut draws) as f32).collect();
        self.parameters.add(name.to_owned(), Kind::Weight, dims, values)
    }
}

fn fan_in(weight: [usize; 5]) -> f64 {
    weight[1..].iter().product::<usize>() as f64
}
