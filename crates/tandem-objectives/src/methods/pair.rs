//! What the methods on two networks share: the networks, their supervised losses, the log.

use super::head::{Head, Log};
use crate::losses;
use crate::method::{Batch, Forward, Network, Objective, Prediction};
use candle_core::Result;
use serde::{Deserialize, Serialize};
use tandem_ops3d::VoxelBytes;

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
    NAMES.map(|name| Network::trained(name, name)).to_vec()
}

/// How the labelled patches are learnt from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supervision {
    /// Weight of the conflict term beside cross-entropy and Dice.
    pub(super) conflict_weight: f64,
    /// From which probability on a network is believed; 0 for always.
    pub(super) conflict_threshold: f64,
}

impl Supervision {
    /// Checks the options of these names, which several methods have.
    ///
    /// # Errors
    /// Where one lies outside of its range.
    pub(super) fn new(conflict_weight: f64, conflict_threshold: f64) -> Result<Self> {
        super::check_range("conflict_weight", conflict_weight, 0.0..=f64::MAX)?;
        super::check_range("conflict_threshold", conflict_threshold, 0.0..=1.0)?;
        Ok(Supervision { conflict_weight, conflict_threshold })
    }
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
    pub(super) heads: [Head; 2],
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
        let labels = batch.classes()?;
        let forward = |name| networks.train(name, &batch.images, 0);
        let predictions = [forward(NAMES[0])?, forward(NAMES[1])?];
        let heads = [Head::new(&predictions[0].logits)?, Head::new(&predictions[1].logits)?];
        let mut pair = Pair { predictions, heads, log: Log::default() };
        let supervised = pair.supervise(&labels, batch.labelled()?, supervision)?;
        Ok((pair, supervised))
    }

    fn supervise(
        &mut self,
        labels: &VoxelBytes,
        labelled: usize,
        Supervision { conflict_weight, conflict_threshold }: Supervision,
    ) -> Result<[Supervised; 2]> {
        let labelled = 0..labelled;
        let mask = if conflict_weight > 0.0 {
            let [a, b] = self.heads.each_ref().map(|head| head.detached(labelled.clone()));
            losses::conflict_mask(a, b, conflict_threshold)?
        } else {
            VoxelBytes::default()
        };
        let mut network = |i: usize| -> Result<Supervised> {
            let mut live = self.heads[i].live(labelled.clone());
            let cross_entropy = losses::cross_entropy(&mut live, labels, 1.0)?;
            let dice = losses::dice(&mut live, labels, 1.0)?;
            self.log.value(format!("{}/ce", NAMES[i]), cross_entropy);
            self.log.value(format!("{}/dice", NAMES[i]), dice);
            let mut total = cross_entropy + dice;
            if conflict_weight > 0.0 {
                let conflict = losses::conflict(&mut live, labels, &mask, conflict_weight)?;
                self.log.value(format!("{}/conflict", NAMES[i]), conflict);
                total += conflict_weight * conflict;
            }
            self.heads[i].total += total;
            Ok(Supervised { cross_entropy, dice })
        };
        Ok([network(0)?, network(1)?])
    }

    /// The head of the winner, or of whoever else stands at this place, and the other one.
    pub(super) fn winner_and_loser(&mut self, winner: usize) -> (&mut Head, &mut Head) {
        let [vnet, resnet34] = &mut self.heads;
        if winner == 0 { (vnet, resnet34) } else { (resnet34, vnet) }
    }

    /// One loss for each network.
    pub(super) fn objective(self) -> Result<Objective> {
        let [vnet, resnet34] = self.heads;
        let losses = [vnet.loss()?, resnet34.loss()?];
        Ok(Objective { losses: NAMES.into_iter().zip(losses).collect(), terms: self.log.0 })
    }
}
