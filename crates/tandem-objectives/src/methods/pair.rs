//! What the methods on two networks share: the networks, their supervised losses, the log.

use crate::graph::with_gradients;
use crate::losses;
use crate::method::{Batch, Forward, Network, Objective, Prediction, Role, Term};
use crate::scores::Scores;
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// One of the two networks. Each is named after its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkName {
    /// The V-Net.
    Vnet,
    /// The 3-D ResNet-34 with V-Net decoder.
    Resnet34,
}

/// Their names, in the order of every pair in the methods.
pub(super) const NAMES: [&str; 2] = ["vnet", "resnet34"];

/// Both networks, trained.
pub(super) fn networks() -> Vec<Network> {
    NAMES.map(|name| Network { name, architecture: name, role: Role::Trained }).to_vec()
}

/// The named parts of an objective.
#[derive(Default)]
pub(super) struct Log(pub(super) Vec<(String, Term)>);

impl Log {
    pub(super) fn value(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), Term::Value(value)));
    }

    /// A value that may be NaN where the released code would log NaN.
    pub(super) fn value_or(&mut self, name: impl Into<String>, value: f64, why: &'static str) {
        let term = if value.is_nan() { Term::Undefined(why) } else { Term::Value(value) };
        self.0.push((name.into(), term));
    }
}

/// The classes of the labelled voxels, checked against the images.
fn labels(batch: &Batch) -> Result<Vec<u8>> {
    let (patches, _, d, h, w) = batch.images.dims5()?;
    let labels = batch.labels.dims4()?;
    if (labels.1, labels.2, labels.3) != (d, h, w) || labels.0 > patches {
        bail!(
            "labels of shape {:?} do not belong to images of shape {:?}",
            batch.labels.dims(),
            batch.images.dims()
        );
    }
    batch.labels.flatten_all()?.to_vec1()
}

/// How the labelled patches are learnt from.
#[derive(Clone, Copy)]
pub(super) struct Supervision {
    /// Weight of the conflict term beside cross-entropy and Dice.
    pub(super) conflict_weight: f64,
    /// From which probability on a network is believed; 0 for always.
    pub(super) conflict_threshold: f64,
}

/// The supervised terms of one network.
#[derive(Clone, Copy)]
pub(super) struct Supervised {
    pub(super) cross_entropy: f64,
    pub(super) dice: f64,
}

/// Both networks on a batch, with what they are to minimise so far. The V-Net comes first everywhere.
pub(super) struct Pair {
    pub(super) predictions: [Prediction; 2],
    pub(super) scores: [Scores; 2],
    /// The losses.
    pub(super) totals: [f64; 2],
    /// The gradient of the sum of both losses with respect to the logits of each network.
    pub(super) gradients: [Vec<f32>; 2],
    pub(super) log: Log,
}

impl Pair {
    /// Runs both networks on a batch whose labelled patches come first, and applies their supervised losses
    /// `CE + Dice + conflict_weight * conflict` to these.
    pub(super) fn supervised(
        batch: &Batch,
        networks: &dyn Forward,
        supervision: Supervision,
    ) -> Result<(Self, [Supervised; 2])> {
        let labels = labels(batch)?;
        let forward = |name| networks.train(name, &batch.images, 0);
        let predictions = [forward(NAMES[0])?, forward(NAMES[1])?];
        let scores = [Scores::new(&predictions[0].logits)?, Scores::new(&predictions[1].logits)?];
        let gradients = [scores[0].zero_gradient(), scores[1].zero_gradient()];
        let mut pair = Pair { predictions, scores, totals: [0.0; 2], gradients, log: Log::default() };
        let supervised = pair.supervise(&labels, batch.labelled()?, supervision)?;
        Ok((pair, supervised))
    }

    fn supervise(
        &mut self,
        labels: &[u8],
        labelled: usize,
        Supervision { conflict_weight, conflict_threshold }: Supervision,
    ) -> Result<[Supervised; 2]> {
        let labelled = 0..labelled;
        let mask = if conflict_weight > 0.0 {
            let [a, b] = [0, 1].map(|i| self.scores[i].detached(labelled.clone()));
            losses::conflict_mask(a, b, conflict_threshold)?
        } else {
            Vec::new()
        };
        let mut network = |i: usize| -> Result<Supervised> {
            let mut live = self.scores[i].live(labelled.clone(), &mut self.gradients[i]);
            let cross_entropy = losses::cross_entropy(&mut live, labels, 1.0)?;
            let dice = losses::dice(&mut live, labels, 1.0)?;
            self.log.value(format!("{}/ce", NAMES[i]), cross_entropy);
            self.log.value(format!("{}/dice", NAMES[i]), dice);
            self.totals[i] += cross_entropy + dice;
            if conflict_weight > 0.0 {
                let conflict = losses::conflict(&mut live, labels, &mask, conflict_weight)?;
                self.log.value(format!("{}/conflict", NAMES[i]), conflict);
                self.totals[i] += conflict_weight * conflict;
            }
            Ok(Supervised { cross_entropy, dice })
        };
        Ok([network(0)?, network(1)?])
    }

    /// One loss for each network.
    pub(super) fn objective(self) -> Result<Objective> {
        let networks = self.totals.into_iter().zip(&self.scores).zip(self.gradients);
        let losses = networks.map(|((total, scores), gradient)| {
            with_gradients(total, &[(scores.logits(), scores.gradient_tensor(gradient)?)])
        });
        let losses: Vec<Tensor> = losses.collect::<Result<_>>()?;
        Ok(Objective { losses: NAMES.into_iter().zip(losses).collect(), terms: self.log.0 })
    }
}
