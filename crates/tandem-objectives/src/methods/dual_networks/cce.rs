//! Cross consistency enhancement: Dual Networks in which both networks teach.

use super::super::{check_weight, pair};
use super::reliable::Selection;
use super::{DualNetworks, DualNetworksOptions, NAMES, Pair, Supervision};
use crate::losses::{ContrastInput, UncertaintyOptions, Weight, contrast, uncertainty};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`DualNetworksCce`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DualNetworksCceOptions {
    /// Weight of the conflict term beside cross-entropy and Dice.
    ///
    /// Range: at least 0.
    pub conflict_weight: f64,
    /// The probability from which on a network's class counts in the conflict term; 0 for any.
    ///
    /// Range: 0 to 1.
    pub conflict_threshold: f64,
    /// The share of voxels below the entropy threshold, 0 to 1.
    ///
    /// Range: 0 to 1.
    pub reliable_share: f64,
    /// Weight of the uncertainty-weighted pseudo-label loss.
    pub lambda_u: Weight,
    /// Weight of the contrastive term.
    pub lambda_c: Weight,
    /// One candidate of the contrast in this many is drawn; 1 takes all.
    ///
    /// Range: at least 1.
    pub candidates_one_in: usize,
}

impl Default for DualNetworksCceOptions {
    fn default() -> Self {
        let dual = DualNetworksOptions::default();
        DualNetworksCceOptions {
            conflict_weight: dual.conflict_weight,
            conflict_threshold: dual.conflict_threshold,
            reliable_share: dual.reliable_share,
            lambda_u: dual.lambda_u,
            lambda_c: dual.lambda_c,
            candidates_one_in: dual.candidates_one_in,
        }
    }
}

/// The successor of Dual Networks: each network learns from the other one's reliable voxels.
///
/// Both minimise `L_s + lambda_u L_u + lambda_c L_c`. `L_s` is that of [`DualNetworks`]. The other network's likeliest classes are
/// pseudo-labels where its entropy is at most its 0.8 quantile; `L_u` is the mean over these voxels of
/// `exp(-D) CE + D`, `D = KL(other || own)`, the other one a constant. `L_c` draws own features of the other voxels to the prototypes
/// that own features of these make, as in [`DualNetworks`]. There is no winner and no cosine consistency.
///
/// Terms of the log: `vnet/ce`, `vnet/dice`, `vnet/conflict`; of what the V-Net learns from the ResNet `vnet/tau`,
/// `vnet/reliable_share`, `vnet/weighted_ce`, `vnet/kl`, `vnet/pull`, `vnet/push`, `vnet/missing_prototypes`,
/// `vnet/missing_candidates`; the same of `resnet34`; `lambda_u`, `lambda_c`.
///
/// # References
/// Lu, Wu, Chaddad, Daqqaq, Kateb, "Enhancing dual network based semi-supervised medical image segmentation with
/// uncertainty-guided pseudo-labeling", Knowledge-Based Systems 2025 (arXiv 2509.13084). Neither its code nor its
/// coefficients are public: this is built from the abstract, with the weights of [`DualNetworks`].
#[derive(Clone, Debug)]
pub struct DualNetworksCce {
    options: DualNetworksCceOptions,
    /// What selects voxels and draws candidates.
    dual: DualNetworks,
}

impl DualNetworksCce {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: DualNetworksCceOptions) -> Result<Self> {
        check_weight("lambda_u", options.lambda_u)?;
        check_weight("lambda_c", options.lambda_c)?;
        let dual = DualNetworks::new(DualNetworksOptions {
            conflict_weight: options.conflict_weight,
            conflict_threshold: options.conflict_threshold,
            reliable_share: options.reliable_share,
            candidates_one_in: options.candidates_one_in,
            ..DualNetworksOptions::default()
        })?;
        Ok(DualNetworksCce { options, dual })
    }
}

impl Method for DualNetworksCce {
    fn networks(&self) -> Vec<Network> {
        pair::networks()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let supervision = Supervision {
            conflict_weight: self.options.conflict_weight,
            conflict_threshold: self.options.conflict_threshold,
        };
        let (mut pair, _) = Pair::supervised(batch, networks, supervision)?;
        let unlabelled = batch.labelled()?..pair.heads[0].scores.patches();
        let [lambda_u, lambda_c] =
            [self.options.lambda_u, self.options.lambda_c].map(|weight| weight.at(step.progress()));
        let mut contrasts = Vec::new();
        for (student, name) in NAMES.into_iter().enumerate() {
            let scores = pair.heads.each_ref().map(|head| &head.scores);
            let selection = Selection::new(&self.dual.options, scores, unlabelled.clone(), 1 - student)?;
            let (teacher, own) = pair.winner_and_loser(1 - student);
            let options = UncertaintyOptions {
                reliable: Some(&selection.reliable),
                divergence_of_reliable: true,
                ..UncertaintyOptions::default()
            };
            let taught = teacher.detached(unlabelled.clone());
            let mut live = own.live(unlabelled.clone());
            let l_u = uncertainty(&mut live, taught, &selection.labels, options, lambda_u)?;
            own.total += lambda_u * (l_u.weighted_cross_entropy + l_u.divergence);

            let said = own.detached(unlabelled.clone());
            let unreliable = selection.unreliable(&said.labels()?)?;
            let input = ContrastInput {
                members: &selection.targets,
                candidates: &self.dual.draw_candidates(&unreliable, said.classes(), step, student)?,
                options: self.dual.options.contrast(),
            };
            let features = &pair.predictions[student].features;
            let (l_c, gradient) = contrast(features, unlabelled.clone(), &input, lambda_c)?;
            contrasts.push(features.loss(lambda_c * (l_c.pull + l_c.push), gradient)?);

            let share = selection.reliable_share()?;
            let mut log = |term: &str, value| pair.log.value(format!("{name}/{term}"), value);
            log("tau", selection.thresholds[0]);
            log("reliable_share", share);
            log("weighted_ce", l_u.weighted_cross_entropy);
            log("kl", l_u.divergence);
            log("pull", l_c.pull);
            log("push", l_c.push);
            log("missing_prototypes", l_c.missing_prototypes as f64);
            log("missing_candidates", l_c.missing_candidates as f64);
        }
        pair.log.value("lambda_u", lambda_u);
        pair.log.value("lambda_c", lambda_c);
        let mut objective = pair.objective()?;
        for ((_, loss), contrast) in objective.losses.iter_mut().zip(contrasts) {
            *loss = (&*loss + contrast)?;
        }
        Ok(objective)
    }
}
