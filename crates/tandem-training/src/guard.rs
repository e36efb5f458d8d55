//! What is not finite stops a step before anything is changed by it.

use crate::networks::Networks;
use crate::{Error, Result, StepRecord, Tensors};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt;
use tandem_networks::{Kind, Parameters};
use tandem_objectives::{Method, Objective, Term};
use tandem_ops3d::program::WeightVector;

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

/// What a step moves before its losses are known: running statistics and the method's own state.
pub(crate) struct Before {
    statistics: Vec<WeightVector>,
    method: Tensors,
}

impl Before {
    pub(crate) fn of(networks: &Networks, method: &dyn Method) -> Result<Self> {
        let statistics = networks.iter().map(|member| member.parameters.statistics().keep());
        Ok(Before { statistics: statistics.collect::<candle_core::Result<_>>()?, method: method.state() })
    }

    /// Brings it back.
    pub(crate) fn restore(&self, networks: &Networks, method: &mut dyn Method) -> Result<()> {
        networks.forget_gradients();
        for (member, statistics) in networks.iter().zip(&self.statistics) {
            member.parameters.statistics().restore(statistics)?;
        }
        Ok(method.restore(&self.method)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
