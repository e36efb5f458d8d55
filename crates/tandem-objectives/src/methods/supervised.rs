//! One network, labelled patches only.

use super::head::{Head, Log};
use super::student::{self, STUDENT};
use crate::losses::DiceForm;
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`Supervised`]: there are none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisedOptions {}

/// The V-Net trained by cross-entropy and Dice on labelled patches: what every method on one network must beat.
///
/// The loss is that of each network of [`SupervisedEnsemble`](super::SupervisedEnsemble). Unlabelled patches are not even
/// forwarded.
#[derive(Clone, Debug)]
pub struct Supervised;

impl Supervised {
    /// The method.
    ///
    /// # Errors
    /// Never; the methods are all made alike.
    pub fn new(SupervisedOptions {}: SupervisedOptions) -> Result<Self> {
        Ok(Supervised)
    }
}

impl Method for Supervised {
    fn networks(&self) -> Vec<Network> {
        vec![student::alone()]
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec![STUDENT]
    }

    fn uses_unlabelled(&self) -> bool {
        false
    }

    fn objective(&mut self, batch: &Batch, _: Step, networks: &dyn Forward) -> Result<Objective> {
        let images = batch.images.narrow(0, 0, batch.labelled()?)?;
        let mut head = Head::new(&networks.train(STUDENT, &images, 0)?.logits)?;
        let mut log = Log::default();
        head.supervise(STUDENT, batch, (1.0, DiceForm::FOREGROUND), &mut log)?;
        student::objective(head, log)
    }
}
