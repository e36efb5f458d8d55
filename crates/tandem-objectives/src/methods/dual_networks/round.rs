//! One batch of Dual Networks: its terms, one by one.

use super::super::pair::{NAMES, Pair};
use super::options::{
    DualNetworksOptions, FeatureKind, PseudoCrossEntropy, UncertaintyDirection, UncertaintyRegion,
};
use super::reliable::Selection;
use crate::losses::{
    Contrast, ContrastInput, UncertaintyOptions, contrast, cosine_consistency, cross_entropy,
    cross_entropy_of_softmax, uncertainty,
};
use candle_core::{Result, Tensor};
use std::ops::Range;

/// Values, gradients and log of a batch in the making.
pub(super) struct Round<'a> {
    pub(super) options: &'a DualNetworksOptions,
    pub(super) pair: Pair,
    pub(super) unlabelled: Range<usize>,
    /// 0 for the V-Net, 1 for the ResNet.
    pub(super) winner: usize,
    /// The share of the run that is done.
    pub(super) progress: f64,
}

impl Round<'_> {
    /// Cosine consistency of both networks on all patches, in the loser's loss.
    pub(super) fn consistency(&mut self) -> Result<()> {
        let weight = self.options.lambda_reg.at(self.progress);
        let all = 0..self.pair.heads[0].scores.patches();
        let (of_winner, of_loser) = self.pair.winner_and_loser(self.winner);
        let mut spared;
        let mut of_winner = if self.options.consistency_spares_winner {
            spared = of_winner.scores.zero_gradient();
            of_winner.scores.live(all.clone(), &mut spared)
        } else {
            of_winner.live(all.clone())
        };
        let value = cosine_consistency(&mut of_loser.live(all), &mut of_winner, weight)?;
        of_loser.total += weight * value;
        self.pair.log.value("l_reg", value);
        Ok(())
    }

    /// Pseudo-labels of the unlabelled patches and which of them are reliable.
    pub(super) fn select(&mut self) -> Result<Selection> {
        let scores = self.pair.heads.each_ref().map(|head| &head.scores);
        let selection = Selection::new(self.options, scores, self.unlabelled.clone(), self.winner)?;
        match selection.thresholds.as_slice() {
            [tau] => self.pair.log.value_or("tau", *tau, "an entropy is not a number"),
            taus => {
                for (class, tau) in taus.iter().enumerate() {
                    self.pair.log.value_or(
                        format!("tau/{class}"),
                        *tau,
                        "no voxel of the class, or no entropy",
                    );
                }
            }
        }
        self.pair.log.value("reliable_share", selection.reliable_share()?);
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
            UncertaintyRegion::Reliable => (self.unlabelled.clone(), Some(&selection.reliable)),
            UncertaintyRegion::Unlabelled => (self.unlabelled.clone(), None),
            UncertaintyRegion::All => (0..self.pair.heads[0].scores.patches(), None),
        };
        let options = UncertaintyOptions {
            reliable,
            detach_weight: self.options.detach_uncertainty,
            unweighted: !self.options.weigh_by_uncertainty,
            ..UncertaintyOptions::default()
        };
        let (teacher, student) = self.pair.winner_and_loser(teacher);
        let taught = teacher.detached(patches.clone());
        let labels = taught.labels()?;
        let value = uncertainty(&mut student.live(patches), taught, &labels, options, weight)?;
        self.pair.heads[1 - self.winner].total += weight * (value.weighted_cross_entropy + value.divergence);
        self.pair.log.value("l_u/weighted_ce", value.weighted_cross_entropy);
        self.pair.log.value("l_u/kl", value.divergence);
        self.pair.log.value("lambda_u", weight);
        Ok(())
    }

    /// Plain cross-entropy of both networks to the reliable pseudo-labels, each in its own loss.
    pub(super) fn pseudo_cross_entropy(&mut self, selection: &Selection) -> Result<()> {
        if self.options.pseudo_cross_entropy == PseudoCrossEntropy::Off {
            return Ok(());
        }
        let targets = &selection.targets;
        let rescale = if self.options.rescale_pseudo {
            targets.len() as f64 / selection.reliable.count_set()?.max(1) as f64
        } else {
            1.0
        };
        let weight = self.options.lambda_pseudo.at(self.progress);
        for (name, head) in NAMES.into_iter().zip(&mut self.pair.heads) {
            let value = if self.options.pseudo_cross_entropy == PseudoCrossEntropy::Live {
                let mut live = head.live(self.unlabelled.clone());
                let value = rescale * cross_entropy(&mut live, targets, weight * rescale)?;
                head.total += weight * value;
                value
            } else {
                rescale * cross_entropy_of_softmax(head.detached(self.unlabelled.clone()), targets)?
            };
            self.pair.log.value(format!("{name}/pseudo_ce"), value);
        }
        Ok(())
    }

    /// Prototype contrast of the loser's features, a part of the loser's loss where it moves the network.
    pub(super) fn contrast(
        &mut self,
        selection: &Selection,
        candidates: &[Vec<usize>],
    ) -> Result<Option<Tensor>> {
        let lambda = self.options.lambda_c.at(self.progress);
        let loser = &self.pair.predictions[1 - self.winner];
        let features = match self.options.features {
            FeatureKind::BeforeDropout => &loser.features,
            FeatureKind::AfterDropout => &loser.features_dropped,
        };
        let input =
            ContrastInput { members: &selection.targets, candidates, options: self.options.contrast() };
        let (value, gradient) = contrast(features, self.unlabelled.clone(), &input, lambda)?;
        let loss = self
            .options
            .contrast_gradient
            .then(|| features.loss(lambda * (value.pull + value.push), gradient));
        let loss = loss.transpose()?;
        self.log_contrast(value, lambda);
        Ok(loss)
    }

    /// Terms that are left out count as 0, except where the released code would take the mean of nothing.
    fn log_contrast(&mut self, value: Contrast, lambda: f64) {
        let released = !self.options.contrast_gradient;
        let defined = |value, missing| if released && missing > 0 { f64::NAN } else { value };
        let pull = defined(value.pull, value.missing_prototypes + value.missing_candidates);
        self.pair.log.value_or("l_c/pull", pull, "a class has no prototype or no candidate");
        self.pair.log.value_or(
            "l_c/push",
            defined(value.push, value.missing_prototypes),
            "a class has no prototype",
        );
        self.pair.log.value("l_c/missing_prototypes", value.missing_prototypes as f64);
        self.pair.log.value("l_c/missing_candidates", value.missing_candidates as f64);
        self.pair.log.value("lambda_c", lambda);
    }
}
