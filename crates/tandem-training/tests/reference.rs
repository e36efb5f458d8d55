//! The reference numbers, and a method of one network.

use candle_core::{Device, Result, Tensor};
use std::collections::BTreeMap;
use tandem_objectives::losses::{cross_entropy, dice};
use tandem_objectives::{Batch, Forward, Method, Network, Objective, Step, Term, loss_of};
use tandem_training::{Config, Tensors};

/// The reference numbers of that name, where they are at hand.
pub(crate) fn reference(name: &str) -> Option<Tensors> {
    let path = tandem_reference::reference(&format!("golden/{name}"))?;
    Some(candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect())
}

/// Cross-entropy and Dice of one network on the labelled patches; a teacher follows it where `teacher` is given.
pub(crate) struct Plain {
    pub architecture: &'static str,
    /// Largest decay of the teacher.
    pub teacher: Option<f64>,
    /// Steps seen: a state of the method's own.
    pub seen: f64,
}

impl Method for Plain {
    fn networks(&self) -> Vec<Network> {
        let student = Network::trained("student", self.architecture);
        let teacher =
            self.teacher.map(|decay| Network::average("teacher", self.architecture, "student", decay));
        [student].into_iter().chain(teacher).collect()
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec!["student"]
    }

    fn objective(&mut self, batch: &Batch, _: Step, networks: &dyn Forward) -> Result<Objective> {
        let labelled = batch.images.narrow(0, 0, batch.labelled()?)?;
        let logits = networks.train("student", &labelled, 0)?.logits;
        let targets = batch.classes()?;
        let mut loss = loss_of(&logits, |scores| {
            Ok(cross_entropy(scores, &targets, 1.0)? + dice(scores, &targets, 1.0)?)
        })?;
        if self.teacher.is_some() {
            let (student, teacher) =
                (networks.train("student", &batch.images, 1)?, networks.train("teacher", &batch.images, 0)?);
            loss = (loss + (student.logits.get()? - teacher.logits.get()?)?.sqr()?.mean_all()?)?;
        }
        self.seen += 1.0;
        Ok(Objective {
            losses: vec![("student", loss)],
            terms: vec![("seen".into(), Term::Value(self.seen))],
        })
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        [("seen".to_owned(), Tensor::new(self.seen, &Device::Cpu).unwrap())].into()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.seen = state["seen"].to_scalar()?;
        Ok(())
    }
}

/// Settings of one filter and patches of 16 voxels.
pub(crate) fn tiny(method: &str, iterations: u64) -> Config {
    serde_json::from_value(serde_json::json!({
        "version": 1,
        "name": "tiny",
        "method": { "name": method },
        "data": { "dataset": ["balls"], "labelled": 2, "validation": 1 },
        "network": { "filters": 1 },
        "training": { "iterations": iterations, "patch": [16, 16, 16], "seed": 5 },
        "inference": { "stride": [8, 8, 8] },
    }))
    .unwrap()
}
