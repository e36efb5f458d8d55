//! One training step: the table of contents of the method.

use crate::networks::{Networks, Passes};
use crate::{Checkpoint, Config, Error, Header, Result, Sgd, StepRecord, TrainingConfig, learning_rate};
use candle_core::{Device, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use tandem_objectives::{Batch, Method, Objective, Role, Step};

/// A method with its networks and their optimisers.
pub struct Trainer {
    method: Box<dyn Method>,
    networks: Networks,
    optimisers: BTreeMap<&'static str, Sgd>,
    training: TrainingConfig,
}

impl Trainer {
    /// Builds the method of the settings and its networks.
    ///
    /// # Errors
    /// Where the method or one of its options is unknown, or a network cannot be built.
    pub fn new(config: &Config, device: &Device) -> Result<Self> {
        let method =
            tandem_objectives::build(&config.method.name, &Value::Object(config.method.options.clone()))
                .map_err(|error| Error::config("method", error.to_string()))?;
        Self::with_method(method, config, device)
    }

    /// A trainer of any method, of this workspace or not.
    ///
    /// # Errors
    /// Where a network of the method cannot be built.
    pub fn with_method(method: Box<dyn Method>, config: &Config, device: &Device) -> Result<Self> {
        let networks = Networks::build(method.networks(), config, device)?;
        let training = config.training.clone();
        let sgd = || Sgd::new(training.momentum, training.weight_decay, training.nesterov);
        let trained = networks.iter().filter(|member| member.request.role == Role::Trained);
        let optimisers = trained.map(|member| (member.request.name, sgd())).collect();
        Ok(Trainer { method, networks, optimisers, training })
    }

    /// The method.
    pub fn method(&self) -> &dyn Method {
        self.method.as_ref()
    }

    /// The method's networks.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Trains one step on a batch: the method's objective, one backward pass of the sum of its losses, then every
    /// optimiser, then the averages.
    ///
    /// # Errors
    /// Where a loss is not finite (nothing is changed then, the batch statistics apart), or an operation fails.
    pub fn step(&mut self, index: u64, batch: &Batch) -> Result<StepRecord> {
        let step = Step { index, iterations: self.training.iterations, seed: self.training.seed };
        let passes = Passes { networks: &self.networks, step };
        self.networks.forget_gradients();
        let objective = self.method.objective(batch, step, &passes)?;
        let losses = finite_losses(&objective, index)?;

        sum(&objective.losses)?.backward()?;

        let rate = self.learning_rate(index);
        for (&network, optimiser) in &mut self.optimisers {
            let weights = self.networks.get(network)?.parameters.weights();
            // A network that took no part in a loss is left alone.
            if let Some(gradient) = weights.take_gradient() {
                optimiser.step(weights.values(), &gradient, rate)?;
            }
        }
        self.networks.follow(index)?;
        Ok(StepRecord { step: index, learning_rate: rate, losses, terms: objective.terms })
    }

    /// All that a resume needs of the networks, their optimisers and the method.
    ///
    /// # Errors
    /// Never on the CPU, in practice.
    pub fn checkpoint(&self, header: Header) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint {
            header,
            networks: BTreeMap::new(),
            momentum: BTreeMap::new(),
            method: self.method.state(),
        };
        for member in self.networks.iter() {
            let (name, parameters) = (member.request.name, &member.parameters);
            checkpoint.networks.insert(name.to_owned(), parameters.tensors()?);
            if let Some(momentum) = self.optimisers.get(name).and_then(Sgd::momentum) {
                let momentum = Tensor::from_slice(momentum, momentum.len(), &Device::Cpu)?;
                checkpoint.momentum.insert(name.to_owned(), parameters.split(&momentum)?);
            }
        }
        Ok(checkpoint)
    }

    /// Takes back what a checkpoint kept.
    ///
    /// # Errors
    /// Where it belongs to other networks or another method.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        for member in self.networks.iter() {
            let name = member.request.name;
            let values = checkpoint.networks.get(name).ok_or_else(|| missing(name))?;
            member.parameters.load(values)?;
            if let Some(optimiser) = self.optimisers.get_mut(name) {
                let momentum = checkpoint.momentum.get(name).map(|values| member.parameters.join(values));
                optimiser.restore(momentum.transpose()?.map(|vector| vector.to_vec1()).transpose()?);
            }
        }
        Ok(self.method.restore(&checkpoint.method)?)
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let training = &self.training;
        learning_rate(training.learning_rate, &training.learning_rate_steps, step, training.iterations)
    }
}

fn missing(network: &str) -> Error {
    candle_core::Error::Msg(format!("the checkpoint has no network {network:?}")).into()
}

/// The value of every loss.
fn finite_losses(objective: &Objective, step: u64) -> Result<Vec<(String, f32)>> {
    let read = |(network, loss): &(&'static str, Tensor)| {
        let value = loss.to_scalar::<f32>()?;
        if value.is_finite() {
            Ok(((*network).to_owned(), value))
        } else {
            Err(Error::NotFinite { network: (*network).to_owned(), value, step })
        }
    };
    objective.losses.iter().map(read).collect()
}

fn sum(losses: &[(&'static str, Tensor)]) -> candle_core::Result<Tensor> {
    let mut losses = losses.iter().map(|(_, loss)| loss);
    let Some(first) = losses.next() else {
        candle_core::bail!("the method returned no loss");
    };
    losses.try_fold(first.clone(), |sum, loss| sum + loss)
}
