//! What is not finite stops a step before anything is changed by it.

use crate::networks::Networks;
use crate::{Error, Result, StepRecord, Tensors};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;
use tandem_networks::{Kind, Parameters};
use tandem_objectives::{Method, Objective, Term};

/// Values of a part of a sum. Parts are cut by length alone and added in order: the same bits for any number of threads.
const CHUNK: usize = 1 << 14;

/// What a run does about a loss or gradient that is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NonFinite {
    /// It ends with an error.
    #[default]
    Stop,
    /// It leaves the step out, so often as `training.max_skipped` says.
    Skip,
}

/// What of a step is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    /// The loss of a network.
    Loss,
    /// The gradient of a network's weights.
    Gradient,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantity::Loss => "loss",
            Quantity::Gradient => "gradient",
        })
    }
}

/// A step that was not taken, because something of it is not finite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breakdown {
    /// What is not finite.
    pub quantity: Quantity,
    /// Of which network.
    pub network: String,
    /// The term of the loss, or the parameter, that is the first such one.
    pub place: String,
    /// NaN or an infinity.
    #[serde(serialize_with = "crate::run_log::number")]
    pub value: f32,
    /// The step as far as it got.
    pub record: StepRecord,
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Breakdown { quantity, network, place, value, record } = self;
        write!(f, "the {quantity} of {network} at step {} is not finite: {place} is {value}", record.step)
    }
}

/// The value of every loss.
pub(crate) fn losses(objective: &Objective) -> Result<Vec<(String, f32)>> {
    let read =
        |(network, loss): &(&'static str, Tensor)| Ok(((*network).to_owned(), loss.to_scalar::<f32>()?));
    objective.losses.iter().map(read).collect()
}

/// The first loss that is not finite, and the term that made it so.
pub(crate) fn broken_loss(losses: &[(String, f32)], terms: &[(String, Term)]) -> Option<Found> {
    let (network, value) = losses.iter().find(|(_, value)| !value.is_finite())?;
    let is_broken = |term: &Term| matches!(term, Term::Value(value) if !value.is_finite());
    let broken = || terms.iter().filter(|(_, term)| is_broken(term)).map(|(name, _)| name);
    // Terms of a network begin with its name.
    let own = broken().find(|name| name.split('/').next() == Some(network.as_str()));
    let place = own.or_else(|| broken().next()).cloned();
    let place = place.unwrap_or_else(|| "the sum of its terms".to_owned());
    Some(Found { network: network.clone(), place, value: *value })
}

/// Where something that is not finite was found.
pub(crate) struct Found {
    pub(crate) network: String,
    pub(crate) place: String,
    pub(crate) value: f32,
}

impl Found {
    /// The error of the step.
    pub(crate) fn stop(self, quantity: Quantity, record: StepRecord) -> Error {
        let Found { network, place, value } = self;
        Error::NotFinite(Box::new(Breakdown { quantity, network, place, value, record }))
    }
}

/// The Euclidean norm of a gradient. It is finite where all its values are.
pub(crate) fn norm(gradient: &[f32]) -> f64 {
    // Squares of f32 fit f64, which holds sums of any gradient of them.
    let sum = |part: &[f32]| part.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>();
    let parts: Vec<f64> = gradient.par_chunks(CHUNK).map(sum).collect();
    parts.iter().sum::<f64>().sqrt()
}

/// Where a gradient is not finite for the first time.
pub(crate) fn broken_parameter(network: &str, parameters: &Parameters, gradient: &[f32]) -> Found {
    let at = gradient.iter().position(|value| !value.is_finite());
    let name = at.and_then(|at| {
        let mut weights = parameters.iter().filter(|(_, parameter)| parameter.kind == Kind::Weight);
        weights.find(|(_, parameter)| parameter.range.contains(&at)).map(|(name, _)| name.to_owned())
    });
    Found {
        network: network.to_owned(),
        place: name.unwrap_or_else(|| "its norm".to_owned()),
        value: at.map_or(f32::NAN, |at| gradient[at]),
    }
}

/// A gradient that is no longer than `most`.
pub(crate) fn clipped(gradient: &[f32], norm: f64, most: f64) -> Option<Vec<f32>> {
    let factor = (most / norm) as f32;
    (norm > most).then(|| gradient.par_iter().with_min_len(CHUNK).map(|value| value * factor).collect())
}

/// What a step moves before its losses are known: running statistics and the method's own state.
pub(crate) struct Before {
    statistics: Vec<Tensor>,
    method: Tensors,
}

impl Before {
    pub(crate) fn of(networks: &Networks, method: &dyn Method) -> Result<Self> {
        let statistics = networks.iter().map(|member| member.parameters.statistics().detach().copy());
        Ok(Before { statistics: statistics.collect::<candle_core::Result<_>>()?, method: method.state() })
    }

    /// Brings it back.
    pub(crate) fn restore(&self, networks: &Networks, method: &mut dyn Method) -> Result<()> {
        networks.forget_gradients();
        for (member, statistics) in networks.iter().zip(&self.statistics) {
            member.parameters.statistics().set(statistics)?;
        }
        Ok(method.restore(&self.method)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient() -> Vec<f32> {
        (0..3 * CHUNK + 5).map(|at| ((at * 37 % 101) as f32 - 50.0) * 1e-3).collect()
    }

    #[test]
    fn the_norm_is_that_of_plain_arithmetic_whatever_the_threads() {
        let gradient = gradient();
        let expected = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let of_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| norm(&gradient))
        };
        assert!((of_threads(1) - expected).abs() < 1e-12 * expected);
        assert_eq!(of_threads(1).to_bits(), of_threads(3).to_bits());
        assert!(norm(&[f32::MAX; 100]).is_finite());
        assert!(!norm(&[0.0, f32::NAN]).is_finite() && !norm(&[f32::NEG_INFINITY]).is_finite());
    }

    #[test]
    fn the_term_that_broke_a_loss_is_that_of_its_network() {
        let losses = [("a".to_owned(), 1.0), ("b".to_owned(), f32::NAN)];
        let term = |name: &str, value| (name.to_owned(), Term::Value(value));
        let place = |terms: &[(String, Term)]| broken_loss(&losses, terms).unwrap().place;
        assert_eq!(
            place(&[term("tau", f64::NAN), term("b/ce", 1.0), term("b/dice", f64::INFINITY)]),
            "b/dice"
        );
        assert_eq!(place(&[term("a/ce", 1.0), term("l_reg", f64::NAN)]), "l_reg");
        assert_eq!(place(&[term("b/ce", 1.0)]), "the sum of its terms");
        assert!(broken_loss(&losses[..1], &[term("tau", f64::NAN)]).is_none(), "a term that is in no loss");
    }

    #[test]
    fn clipping_keeps_the_direction_and_leaves_short_gradients_alone() {
        let gradient = gradient();
        let length = norm(&gradient);
        assert!(clipped(&gradient, length, length * 1.01).is_none());
        let short = clipped(&gradient, length, length / 4.0).unwrap();
        assert!((norm(&short) - length / 4.0).abs() < 1e-6 * length);
        assert!(short.iter().zip(&gradient).all(|(short, long)| (short - long / 4.0).abs() <= 1e-9));
    }
}
