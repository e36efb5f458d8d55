//! One training step: the table of contents of the method.

use crate::guard::{self, Before, Quantity};
use crate::networks::{Networks, Passes};
use crate::{Checkpoint, Config, Error, Header, Result, Sgd, StepRecord, TrainingConfig, learning_rate};
use candle_core::Tensor;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tandem_networks::Device;
use tandem_objectives::{Batch, Method, Role, Step};

/// A method with its networks and their optimisers.
pub struct Trainer {
    method: Box<dyn Method>,
    networks: Networks,
    optimisers: BTreeMap<&'static str, Sgd>,
    training: TrainingConfig,
}

impl Trainer {
    /// Builds the method of the settings and its networks, which run on a device.
    ///
    /// # Errors
    /// Where the method or one of its options is unknown, or a network cannot be built.
    pub fn new(config: &Config, device: &Device) -> Result<Self> {
        Self::with_method(method(config)?, config, device)
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

    /// The same, without what trained them.
    pub(crate) fn into_networks(self) -> Networks {
        self.networks
    }

    /// Trains one step on a batch: the method's objective, one backward pass of the sum of its losses, then every
    /// optimiser, then the averages.
    ///
    /// # Errors
    /// Where a loss or gradient is not finite, or an operation fails; nothing is changed by the step then.
    pub fn step(&mut self, index: u64, batch: &Batch) -> Result<StepRecord> {
        let before = Before::of(&self.networks, self.method.as_ref())?;
        self.networks.forget_gradients();
        let taken = self.take(index, batch);
        if taken.is_err() {
            before.restore(&self.networks, self.method.as_mut())?;
        }
        taken
    }

    fn take(&mut self, index: u64, batch: &Batch) -> Result<StepRecord> {
        let step = Step { index, iterations: self.training.iterations, seed: self.training.seed };
        let passes = Passes { networks: &self.networks, step };
        let objective = self.method.objective(batch, step, &passes)?;
        let (losses, terms) = (guard::losses(&objective)?, objective.terms);
        let broken = guard::broken_loss(&losses, &terms);
        let learning_rate = self.learning_rate(index);
        let mut record = StepRecord { step: index, learning_rate, losses, gradient_norms: vec![], terms };
        if let Some(broken) = broken {
            return Err(broken.stop(Quantity::Loss, record));
        }

        sum(&objective.losses)?.backward()?;

        let mut gradients = Vec::with_capacity(self.optimisers.len());
        for &network in self.optimisers.keys() {
            let parameters = &self.networks.get(network)?.parameters;
            // A network that took no part in a loss is left alone.
            if let Some(gradient) = parameters.weights().take_gradient() {
                let norm = gradient.norm()?;
                record.gradient_norms.push((network.to_owned(), norm as f32));
                gradients.push((network, gradient, norm));
            }
        }
        for (network, gradient, norm) in &gradients {
            if !norm.is_finite() {
                let parameters = &self.networks.get(network)?.parameters;
                let broken = guard::broken_parameter(network, parameters, &gradient.to_vec()?);
                return Err(broken.stop(Quantity::Gradient, record));
            }
        }

        for (network, gradient, norm) in &mut gradients {
            if let Some(most) = self.training.clip_norm.filter(|most| *norm > *most) {
                gradient.scale((most / *norm) as f32)?;
            }
            let weights = self.networks.get(network)?.parameters.weights();
            if let Some(optimiser) = self.optimisers.get_mut(network) {
                optimiser.step(weights, gradient, learning_rate)?;
            }
        }
        self.networks.follow(index)?;
        Ok(record)
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
                checkpoint.momentum.insert(name.to_owned(), parameters.split(momentum)?);
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
                optimiser.restore(momentum.transpose()?);
            }
        }
        Ok(self.method.restore(&checkpoint.method)?)
    }

    /// As [`Self::restore`], for what a file of a run holds.
    pub(crate) fn restore_from(&mut self, path: &Path, checkpoint: &Checkpoint) -> Result<()> {
        let remedy = "go on with the version of this program that began the run, which its run.json names";
        self.restore(checkpoint).map_err(|error| {
            Error::run_file(path, format!("does not fit the networks of this program: {error}; {remedy}"))
        })
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let training = &self.training;
        learning_rate(training.learning_rate, &training.learning_rate_steps, step, training.iterations)
    }
}

/// The method of the settings.
pub(crate) fn method(config: &Config) -> Result<Box<dyn Method>> {
    tandem_objectives::build(&config.method.name, &Value::Object(config.method.options.clone()))
        .map_err(|error| Error::config("method", error.to_string()))
}

fn missing(network: &str) -> Error {
    candle_core::Error::Msg(format!("the checkpoint has no network {network:?}")).into()
}

fn sum(losses: &[(&'static str, Tensor)]) -> candle_core::Result<Tensor> {
    let mut losses = losses.iter().map(|(_, loss)| loss);
    let Some(first) = losses.next() else {
        candle_core::bail!("the method returned no loss");
    };
    losses.try_fold(first.clone(), |sum, loss| sum + loss)
}
