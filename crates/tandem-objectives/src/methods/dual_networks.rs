//! Dual Networks: two networks, of which the better one on a batch teaches the other.

mod cce;
mod options;
mod reliable;
mod round;

#[cfg(test)]
mod golden;

pub use cce::{DualNetworksCce, DualNetworksCceOptions};
pub use options::{
    CandidateRule, DualNetworksOptions, EntropyOf, FeatureKind, PseudoCrossEntropy, PseudoLabels,
    ReliableRule, UncertaintyDirection, UncertaintyRegion, WinnerCriterion,
};

use super::pair::{self, NAMES, NetworkName, Pair, Supervised, Supervision};
use crate::losses::candidate_count;
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::{Device, Result, Tensor, bail};
use round::Round;
use std::collections::BTreeMap;
use tandem_ops3d::VoxelBytes;
use tandem_random::Draws;

/// Dual Networks of Lu et al., with every doubtful point an option.
///
/// On labelled patches both networks minimise `L_s = CE + Dice + 0.5 conflict`. The one with the lower `CE + Dice`
/// wins the batch; the loser adds
/// `L_reg + lambda_u L_u + lambda_c L_c`: cosine consistency on all patches, uncertainty-weighted pseudo-labels and
/// prototype contrast on the unlabelled ones. The consistency moves the winner as well.
///
/// Terms of the log: `vnet/ce`, `vnet/dice`, `vnet/conflict`, the same of `resnet34`, `winner` (0 V-Net, 1 ResNet),
/// `l_reg`, `tau`, `reliable_share`, `l_u/weighted_ce`, `l_u/kl`, `lambda_u`, `l_c/pull`, `l_c/push`,
/// `l_c/missing_prototypes`, `l_c/missing_candidates`, `lambda_c`; by option also `vnet/pseudo_ce`,
/// `resnet34/pseudo_ce`, and `tau/C` of each class in place of `tau`.
///
/// # References
/// Lu, Wu, Kateb, Chaddad, "Semi-supervised medical image segmentation via dual networks", ISBI 2025
/// (arXiv 2505.17690). The paper and its released code differ; see [`DualNetworksOptions`].
#[derive(Clone, Debug)]
pub struct DualNetworks {
    options: DualNetworksOptions,
    /// The averaged criterion of both networks, where it is averaged, once there was a batch.
    criterion: Option<[f64; 2]>,
}

/// Picks candidates of each of so many classes from the classes of the unreliable voxels.
type Choose<'a> = &'a mut dyn FnMut(&VoxelBytes, usize) -> Result<Vec<Vec<usize>>>;

impl DualNetworks {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: DualNetworksOptions) -> Result<Self> {
        options.check()?;
        Ok(DualNetworks { options, criterion: None })
    }

    /// The objective with the candidates of the contrast chosen by the caller.
    fn objective_with(
        &mut self,
        batch: &Batch,
        progress: f64,
        networks: &dyn Forward,
        choose: Choose<'_>,
    ) -> Result<Objective> {
        let supervision = Supervision {
            conflict_weight: self.options.conflict_weight,
            conflict_threshold: self.options.conflict_threshold,
        };
        let (mut pair, supervised) = Pair::supervised(batch, networks, supervision)?;
        let winner = self.winner(&supervised);
        pair.log.value("winner", winner as f64);
        let unlabelled = batch.labelled()?..pair.heads[0].scores.patches();
        let mut round = Round { options: &self.options, pair, unlabelled, winner, progress };
        round.consistency()?;
        let selection = round.select()?;
        round.uncertainty(&selection)?;
        round.pseudo_cross_entropy(&selection)?;
        let loser = round.pair.heads[1 - winner].detached(round.unlabelled.clone());
        let candidates = choose(&selection.unreliable(&loser.labels()?)?, loser.classes())?;
        let contrast = round.contrast(&selection, &candidates)?;
        let mut objective = round.pair.objective()?;
        if let Some(contrast) = contrast {
            let loss = &mut objective.losses[1 - winner].1;
            *loss = (&*loss + contrast)?;
        }
        Ok(objective)
    }

    /// The network that does better on the labelled patches.
    fn winner(&mut self, supervised: &[Supervised; 2]) -> usize {
        let now = supervised.map(|s| match self.options.winner {
            WinnerCriterion::CrossEntropyAndDice => s.cross_entropy + s.dice,
            WinnerCriterion::Dice => s.dice,
        });
        let criterion = self.averaged(now);
        let vnet_wins = match self.options.winner_of_ties {
            NetworkName::Vnet => criterion[0] <= criterion[1],
            NetworkName::Resnet34 => criterion[0] < criterion[1],
        };
        usize::from(!vnet_wins)
    }

    /// The criterion averaged over batches, where it is averaged: else a batch leaves nothing behind, so that one whose losses are not
    /// finite, and which is skipped, cannot decide later ones.
    fn averaged(&mut self, now: [f64; 2]) -> [f64; 2] {
        let decay = self.options.winner_decay;
        if decay == 0.0 {
            return now;
        }
        let before = self.criterion.unwrap_or(now);
        *self.criterion.insert([0, 1].map(|i| decay * before[i] + (1.0 - decay) * now[i]))
    }

    /// Draws candidates without replacement, class by class, from the classes of the unreliable voxels. Draws of one step have numbers.
    fn draw_candidates(
        &self,
        unreliable: &VoxelBytes,
        classes: usize,
        step: Step,
        draw: usize,
    ) -> Result<Vec<Vec<usize>>> {
        let (one_in, counts) = (self.options.candidates_one_in, unreliable.counts(classes)?.of_classes);
        let foreground: usize = counts[1..].iter().map(|count| count / one_in).sum();
        let wanted = |class: usize, available: usize| match self.options.candidates {
            CandidateRule::EachClass => candidate_count(available, one_in),
            CandidateRule::ForegroundLeads if class == 0 => foreground.min(available),
            CandidateRule::ForegroundLeads => available / one_in,
        };
        let draw = |(class, &available): (usize, &usize)| {
            let slot = (draw as u64) << 32 | class as u64;
            let mut draws = Draws::new(step.seed, "candidates", step.index, slot);
            draws.sample(available, wanted(class, available))
        };
        unreliable.find(&counts.iter().enumerate().map(draw).collect::<Vec<_>>())
    }
}

const CRITERION: &str = "winner_criterion";

impl Method for DualNetworks {
    fn networks(&self) -> Vec<Network> {
        pair::networks()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let drawing = self.clone();
        let mut draw =
            |unreliable: &VoxelBytes, classes| drawing.draw_candidates(unreliable, classes, step, 0);
        self.objective_with(batch, step.progress(), networks, &mut draw)
    }

    /// The averaged criterion, where it is averaged: two numbers, or none before the first batch.
    fn state(&self) -> BTreeMap<String, Tensor> {
        if self.options.winner_decay == 0.0 {
            return BTreeMap::new();
        }
        let values = self.criterion.map(Vec::from).unwrap_or_default();
        let count = values.len();
        // A vector on the CPU has the shape it is given.
        Tensor::from_vec(values, count, &Device::Cpu).map(|t| (CRITERION.to_owned(), t)).into_iter().collect()
    }

    fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        if self.options.winner_decay == 0.0 {
            return Ok(());
        }
        let Some(tensor) = state.get(CRITERION) else {
            bail!("the checkpoint lacks the method's {CRITERION:?}")
        };
        self.criterion = match tensor.to_vec1::<f64>()?.as_slice() {
            [] => None,
            &[vnet, resnet34] => Some([vnet, resnet34]),
            other => bail!("{CRITERION:?} holds {} numbers instead of two", other.len()),
        };
        Ok(())
    }
}
