//! One batch of Dual Networks: its terms, one by one.

use super::super::pair::{Log, NAMES};
use super::options::{DualNetworksOptions, PseudoCrossEntropy, UncertaintyDirection, UncertaintyRegion};
use super::reliable::Selection;
use crate::losses::{
    Contrast, ContrastInput, Features, UncertaintyOptions, contrast, cosine_consistency, cross_entropy,
    cross_entropy_of_softmax, uncertainty,
};
use crate::scores::{Live, Scores};
use candle_core::{Result, Tensor};
use std::ops::Range;

/// Values, gradients and log of a batch in the making.
pub(super) struct Round<'a> {
    pub(super) options: &'a DualNetworksOptions,
    pub(super) scores: &'a [Scores; 2],
    pub(super) unlabelled: Range<usize>,
    /// 0 for the V-Net, 1 for the ResNet.
    pub(super) winner: usize,
    /// The share of the run that is done.
    pub(super) progress: f64,
    /// The loss of each network.
    pub(super) totals: [f64; 2],
    /// The gradient of each network's loss with respect to its own logits.
    pub(super) own: [Vec<f32>; 2],
    /// The gradient of the loser's loss with respect to the winner's logits.
    pub(super) on_winner: Option<Vec<f32>>,
    pub(super) log: Log,
}

impl Round<'_> {
    fn loser(&self) -> usize {
        1 - self.winner
    }

    /// Cosine consistency of both networks on all patches, in the loser's loss.
    pub(super) fn consistency(&mut self) -> Result<()> {
        let weight = self.options.lambda_reg.at(self.progress);
        let (winner, loser) = (&self.scores[self.winner], &self.scores[self.loser()]);
        let all = 0..winner.patches();
        let mut on_winner = winner.zero_gradient();
        let mut student = loser.live(all.clone(), &mut self.own[1 - self.winner]);
        let value = cosine_consistency(&mut student, &mut winner.live(all, &mut on_winner), weight)?;
        if !self.options.consistency_spares_winner {
            self.on_winner = Some(on_winner);
        }
        self.totals[1 - self.winner] += weight * value;
        self.log.value("l_reg", value);
        Ok(())
    }

    /// Pseudo-labels of the unlabelled patches and which of them are reliable.
    pub(super) fn select(&mut self) -> Result<Selection> {
        let selection = Selection::new(self.options, self.scores, self.unlabelled.clone(), self.winner)?;
        match selection.thresholds.as_slice() {
            [tau] => self.log.value_or("tau", *tau, "an entropy is not a number"),
            taus => {
                for (class, tau) in taus.iter().enumerate() {
                    self.log.value_or(format!("tau/{class}"), *tau, "no voxel of the class, or no entropy");
                }
            }
        }
        let share = selection.reliable_count() as f64 / selection.reliable.len().max(1) as f64;
        self.log.value("reliable_share", share);
        Ok(selection)
    }

    /// Uncertainty-weighted pseudo-labels, in the loser's loss.
    pub(super) fn uncertainty(&mut self, selection: &Selection) -> Result<()> {
        let weight = self.options.lambda_u.at(self.progress);
        let teacher = match self.options.uncertainty_direction {
            UncertaintyDirection::WinnerToLoser => self.winner,
            UncertaintyDirection::VnetToResnet34 => 0,
        };
        let (patches, reliable) = match self.options.uncertainty_region {
            UncertaintyRegion::Reliable => (self.unlabelled.clone(), Some(selection.reliable.as_slice())),
            UncertaintyRegion::Unlabelled => (self.unlabelled.clone(), None),
            UncertaintyRegion::All => (0..self.scores[0].patches(), None),
        };
        let options = UncertaintyOptions { reliable, detach_weight: self.options.detach_uncertainty };
        let taught = self.scores[teacher].detached(patches.clone());
        let labels = taught.labels();
        let mut student = self.live_in_loss_of_loser(1 - teacher, patches);
        let value = uncertainty(&mut student, taught, &labels, options, weight)?;
        self.totals[1 - self.winner] += weight * (value.weighted_cross_entropy + value.divergence);
        self.log.value("l_u/weighted_ce", value.weighted_cross_entropy);
        self.log.value("l_u/kl", value.divergence);
        self.log.value("lambda_u", weight);
        Ok(())
    }

    /// A network's scores, whose gradient is that of the loser's loss.
    fn live_in_loss_of_loser(&mut self, network: usize, patches: Range<usize>) -> Live<'_> {
        let scores = &self.scores[network];
        let gradient = if network == self.winner {
            self.on_winner.get_or_insert_with(|| scores.zero_gradient())
        } else {
            &mut self.own[network]
        };
        scores.live(patches, gradient)
    }

    /// Plain cross-entropy of both networks to the reliable pseudo-labels, each in its own loss.
    pub(super) fn pseudo_cross_entropy(&mut self, selection: &Selection) -> Result<()> {
        if self.options.pseudo_cross_entropy == PseudoCrossEntropy::Off {
            return Ok(());
        }
        let targets = selection.targets();
        let rescale = if self.options.rescale_pseudo {
            targets.len() as f64 / selection.reliable_count().max(1) as f64
        } else {
            1.0
        };
        let weight = self.options.lambda_pseudo.at(self.progress);
        for i in 0..2 {
            let value = if self.options.pseudo_cross_entropy == PseudoCrossEntropy::Live {
                let mut live = self.scores[i].live(self.unlabelled.clone(), &mut self.own[i]);
                let value = rescale * cross_entropy(&mut live, &targets, weight * rescale)?;
                self.totals[i] += weight * value;
                value
            } else {
                rescale
                    * cross_entropy_of_softmax(self.scores[i].detached(self.unlabelled.clone()), &targets)?
            };
            self.log.value(format!("{}/pseudo_ce", NAMES[i]), value);
        }
        Ok(())
    }

    /// Prototype contrast of the loser's features, in the loser's loss; returns the gradient of the features.
    pub(super) fn contrast(
        &mut self,
        selection: &Selection,
        features: &Tensor,
        candidates: &[Vec<usize>],
    ) -> Result<Option<Tensor>> {
        let live = self.options.contrast_gradient;
        let lambda = self.options.lambda_c.at(self.progress);
        let read = Features::new(features, self.unlabelled.clone())?;
        let mut gradient = read.zero_gradient();
        let input = ContrastInput {
            labels: &selection.labels,
            reliable: &selection.reliable,
            candidates,
            options: self.options.contrast(),
        };
        let value = contrast(&read, &mut gradient, &input, if live { lambda } else { 0.0 })?;
        self.log_contrast(value, lambda);
        if !live {
            return Ok(None);
        }
        self.totals[1 - self.winner] += lambda * (value.pull + value.push);
        Ok(Some(read.gradient_tensor(&gradient)?))
    }

    /// Terms that are left out count as 0, except where the released code would take the mean of nothing.
    fn log_contrast(&mut self, value: Contrast, lambda: f64) {
        let released = !self.options.contrast_gradient;
        let defined = |value, missing| if released && missing > 0 { f64::NAN } else { value };
        let pull = defined(value.pull, value.missing_prototypes + value.missing_candidates);
        self.log.value_or("l_c/pull", pull, "a class has no prototype or no candidate");
        self.log.value_or(
            "l_c/push",
            defined(value.push, value.missing_prototypes),
            "a class has no prototype",
        );
        self.log.value("l_c/missing_prototypes", value.missing_prototypes as f64);
        self.log.value("l_c/missing_candidates", value.missing_candidates as f64);
        self.log.value("lambda_c", lambda);
    }
}
