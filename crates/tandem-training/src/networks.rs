//! The networks of a run, and how a method runs them.

use crate::{Config, Result, average};
use candle_core::{Tensor, bail};
use std::collections::BTreeMap;
use tandem_networks::{Deferred, Device, Parameters, Pass, Segmenter};
use tandem_objectives::{Forward, Network, Prediction, Role, Step};
use tandem_random::Draws;

/// One network of a run.
pub struct Member {
    /// What the method asked for.
    pub request: Network,
    /// The network.
    pub segmenter: Box<dyn Segmenter>,
    /// Its weights and statistics.
    pub parameters: Parameters,
    /// Its place among the method's networks.
    index: usize,
}

/// The networks that a method asked for, in its order.
pub struct Networks {
    members: Vec<Member>,
}

impl Networks {
    /// Builds the networks on a device, with seeded weights; an average starts as a copy of the network it follows.
    ///
    /// # Errors
    /// Where an architecture is unknown, or an average follows a network that is not there.
    pub fn build(requests: Vec<Network>, config: &Config, device: &Device) -> Result<Self> {
        let size = config.of_networks();
        let mut members = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            // Networks of one architecture must not start alike.
            let seed = Draws::new(config.training.seed, "network", 0, index as u64).next_u64();
            let (segmenter, parameters) = tandem_networks::build(request.architecture, &size, seed, device)?;
            members.push(Member { request, segmenter, parameters, index });
        }
        let networks = Networks { members };
        for (average, followed, _) in networks.averages()? {
            average.parameters.load(&followed.parameters.tensors()?)?;
        }
        Ok(networks)
    }

    /// All networks, in the method's order.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The network of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn get(&self, name: &str) -> candle_core::Result<&Member> {
        match self.members.iter().find(|member| member.request.name == name) {
            Some(member) => Ok(member),
            None => bail!("the method has no network {name:?}"),
        }
    }

    /// The networks of these names, in their order.
    ///
    /// # Errors
    /// Where there is none of a name.
    pub(crate) fn take(mut self, names: &[&str]) -> candle_core::Result<Vec<Member>> {
        let mut take = |name: &&str| match self.members.iter().position(|member| member.request.name == *name)
        {
            Some(index) => Ok(self.members.swap_remove(index)),
            None => bail!("the method has no network {name:?}"),
        };
        names.iter().map(&mut take).collect()
    }

    /// Drops gradients that a step which failed has left.
    pub(crate) fn forget_gradients(&self) {
        self.members.iter().for_each(|member| drop(member.parameters.weights().take_gradient()));
    }

    /// Moves every average towards the network it follows.
    ///
    /// # Errors
    /// Where the two do not have the same parameters.
    pub fn follow(&self, step: u64) -> Result<()> {
        for (average, followed, largest) in self.averages()? {
            average::follow(&average.parameters, &followed.parameters, average::decay(step, largest))?;
        }
        Ok(())
    }

    /// Each average, the network it follows, and its largest decay.
    fn averages(&self) -> candle_core::Result<Vec<(&Member, &Member, f64)>> {
        let averages = self.members.iter().filter_map(|member| match &member.request.role {
            Role::Trained => None,
            Role::AverageOf { network, decay } => Some((member, network, *decay)),
        });
        averages.map(|(member, network, decay)| Ok((member, self.get(network)?, decay))).collect()
    }
}

/// The networks at one step: each pass gets the dropout key of (seed, step, network, draw).
pub(crate) struct Passes<'a> {
    pub(crate) networks: &'a Networks,
    pub(crate) step: Step,
}

impl Passes<'_> {
    fn run(&self, member: &Member, input: &Tensor, pass: Pass) -> candle_core::Result<Prediction> {
        let output = member.segmenter.forward(input, pass)?;
        // An average is a constant to the gradient; its activations are freed with the features of its prediction.
        let constant = member.request.role != Role::Trained;
        let take = move |tensor: Tensor| if constant { tensor.detach() } else { tensor };
        let later = |value: Deferred| if constant { value.detach() } else { value };
        let extra: BTreeMap<String, Tensor> =
            output.extra.into_iter().map(|(name, t)| (name, take(t))).collect();
        Ok(Prediction {
            logits: later(output.logits),
            features: later(output.features),
            features_dropped: later(output.features_dropped),
            extra,
        })
    }
}

impl Forward for Passes<'_> {
    fn train(&self, network: &str, input: &Tensor, draw: u64) -> candle_core::Result<Prediction> {
        let member = self.networks.get(network)?;
        // Two networks and two draws of a step must not share their masks.
        let slot = (member.index as u64) << 32 | (draw & u64::from(u32::MAX));
        let dropout = Draws::new(self.step.seed, "dropout", self.step.index, slot).next_u64();
        self.run(member, input, Pass::Train { dropout })
    }

    fn evaluate(&self, network: &str, input: &Tensor) -> candle_core::Result<Prediction> {
        self.run(self.networks.get(network)?, input, Pass::Evaluate)
    }
}
