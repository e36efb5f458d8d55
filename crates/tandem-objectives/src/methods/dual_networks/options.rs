//! Everything in which Dual Networks can be read in more than one way.

use super::super::{check_range, check_weight, pair::NetworkName};
use crate::losses::{ContrastOptions, PrototypeTerm, Weight};
use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

/// Options of [`DualNetworks`](super::DualNetworks).
///
/// The default is the preset `dual-networks`: what the paper describes. [`Self::released`] is what the released code
/// does. Each field says where the two differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DualNetworksOptions {
    /// Weight of the conflict term beside cross-entropy and Dice. The released code has it, summaries of the paper do
    /// not.
    ///
    /// Range: at least 0.
    pub conflict_weight: f64,
    /// The probability from which on a network's class counts in the conflict term; 0 for any.
    ///
    /// Range: 0 to 1.
    pub conflict_threshold: f64,

    /// What the networks are compared by. Released: Dice alone.
    pub winner: WinnerCriterion,
    /// Who wins a tie. Released: the ResNet.
    pub winner_of_ties: NetworkName,
    /// Averages the criterion over batches: `s <- decay s + (1 - decay) x`; 0 judges each batch alone.
    ///
    /// Range: 0 to 1.
    pub winner_decay: f64,

    /// Weight of the cosine consistency, on all patches.
    pub lambda_reg: Weight,
    /// Keeps the consistency from moving the winner.
    pub consistency_spares_winner: bool,

    /// Which classes stand as pseudo-labels for prototypes and for `pseudo_cross_entropy`. Released: foreground if
    /// either network says so.
    pub pseudo_labels: PseudoLabels,
    /// What the entropy is taken of. Released: raw logits, which is NaN for any negative one, and then nothing is
    /// filtered.
    pub entropy: EntropyOf,
    /// The share of voxels below the entropy threshold, 0 to 1. Released: 0.2.
    ///
    /// Range: 0 to 1.
    pub reliable_share: f64,
    /// Whose entropies decide. Released: either network's.
    pub reliable_rule: ReliableRule,
    /// One threshold for each pseudo-label's class, so that the foreground keeps its share too.
    pub reliable_per_class: bool,

    /// Weight of the uncertainty-weighted pseudo-label loss. Released: 1 from the first step.
    pub lambda_u: Weight,
    /// Who teaches whom in the uncertainty-weighted loss. Released: always the V-Net the ResNet.
    pub uncertainty_direction: UncertaintyDirection,
    /// Where the uncertainty-weighted loss applies. Released: all voxels of all patches.
    pub uncertainty_region: UncertaintyRegion,
    /// Weighs the cross-entropy to the pseudo-labels by `exp(-D)`; without it every voxel counts alike.
    pub weigh_by_uncertainty: bool,
    /// Takes the weight `exp(-D)` for a constant.
    pub detach_uncertainty: bool,

    /// Cross-entropy of both networks to the reliable pseudo-labels, beside the uncertainty-weighted one. Released: on
    /// a detached softmax, so without effect.
    pub pseudo_cross_entropy: PseudoCrossEntropy,
    /// Weight of `pseudo_cross_entropy`.
    pub lambda_pseudo: Weight,
    /// Multiplies the mean of `pseudo_cross_entropy` with all voxels over reliable ones. Released: yes.
    pub rescale_pseudo: bool,

    /// Weight of the contrastive term.
    pub lambda_c: Weight,
    /// Whether the contrastive term moves the network. Released: no; it is logged only, as undefined where a class has no candidates.
    pub contrast_gradient: bool,
    /// Which features the contrastive term sees. Released: after dropout.
    pub features: FeatureKind,
    /// Whether the contrastive term's pull moves the prototypes too.
    pub live_prototypes: bool,
    /// What happens between prototypes of two classes. Released: they attract each other.
    pub prototype_term: PrototypeTerm,
    /// The margin up to which prototypes repel each other, as a distance of unit vectors.
    ///
    /// Range: 0 to 2.
    pub margin: f64,
    /// How many candidates of the contrastive term each class gets. Released: as many as the foreground.
    pub candidates: CandidateRule,
    /// One candidate of the contrastive term in this many is drawn; 1 takes all.
    ///
    /// Range: at least 1.
    pub candidates_one_in: usize,
}

/// What the networks of a batch are compared by; the lower value wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WinnerCriterion {
    /// Cross-entropy plus Dice loss on the labelled patches.
    CrossEntropyAndDice,
    /// Dice loss on the labelled patches.
    Dice,
}

/// Where pseudo-labels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PseudoLabels {
    /// The winner's likeliest class.
    Winner,
    /// The winner's likeliest class, or the loser's where the winner says background.
    EitherForeground,
}

/// What the entropy formula is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntropyOf {
    /// Probabilities.
    Softmax,
    /// Logits, as in the released code.
    RawLogits,
}

/// Which voxels of the unlabelled patches are reliable. A network's threshold is the `reliable_share` quantile of its
/// entropies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReliableRule {
    /// The winner's entropy is at most its threshold.
    Winner,
    /// All but the voxels where both entropies reach their thresholds.
    Either,
    /// Both entropies are at most their thresholds.
    Both,
}

/// Who is teacher and who is student.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UncertaintyDirection {
    /// The winner of the batch teaches the loser.
    WinnerToLoser,
    /// The V-Net teaches the ResNet.
    VnetToResnet34,
}

/// Where the uncertainty-weighted loss applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UncertaintyRegion {
    /// The cross-entropy on reliable, the divergence on all voxels of the unlabelled patches.
    Reliable,
    /// All voxels of the unlabelled patches.
    Unlabelled,
    /// All voxels of all patches.
    All,
}

/// Whether both networks learn from reliable pseudo-labels by plain cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PseudoCrossEntropy {
    /// No.
    Off,
    /// Yes, on live logits.
    Live,
    /// On a detached softmax taken for logits, as in the released code: logged, without a gradient.
    DetachedSoftmax,
}

/// Which features make prototypes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// The head's input before its dropout.
    BeforeDropout,
    /// The head's input after its dropout.
    AfterDropout,
}

/// How many candidates are drawn, one in `candidates_one_in` of some number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateRule {
    /// Of each class's own candidates, at least one where there is any.
    EachClass,
    /// Of each foreground class's candidates, rounded down; of the background as many as of all foreground.
    ForegroundLeads,
}

impl Default for DualNetworksOptions {
    fn default() -> Self {
        DualNetworksOptions {
            conflict_weight: 0.5,
            conflict_threshold: 0.6,
            winner: WinnerCriterion::CrossEntropyAndDice,
            winner_of_ties: NetworkName::Vnet,
            winner_decay: 0.0,
            lambda_reg: Weight::constant(1.0),
            consistency_spares_winner: false,
            pseudo_labels: PseudoLabels::Winner,
            entropy: EntropyOf::Softmax,
            reliable_share: 0.8,
            reliable_rule: ReliableRule::Winner,
            reliable_per_class: false,
            lambda_u: Weight::ramped(0.1),
            uncertainty_direction: UncertaintyDirection::WinnerToLoser,
            uncertainty_region: UncertaintyRegion::Reliable,
            weigh_by_uncertainty: true,
            detach_uncertainty: false,
            pseudo_cross_entropy: PseudoCrossEntropy::Off,
            lambda_pseudo: Weight::constant(1.0),
            rescale_pseudo: false,
            lambda_c: Weight::ramped(0.1),
            contrast_gradient: true,
            features: FeatureKind::BeforeDropout,
            live_prototypes: false,
            prototype_term: PrototypeTerm::Repel,
            margin: 1.0,
            candidates: CandidateRule::EachClass,
            candidates_one_in: 100,
        }
    }
}

impl DualNetworksOptions {
    /// The preset `dual-networks-released`: what the released code does, faults included.
    ///
    /// What it trains by is the supervised loss of both networks, the consistency, and the ResNet's imitation of the
    /// V-Net on all patches; the other terms have no gradient there.
    pub fn released() -> Self {
        DualNetworksOptions {
            winner: WinnerCriterion::Dice,
            winner_of_ties: NetworkName::Resnet34,
            pseudo_labels: PseudoLabels::EitherForeground,
            entropy: EntropyOf::RawLogits,
            reliable_share: 0.2,
            reliable_rule: ReliableRule::Either,
            lambda_u: Weight::constant(1.0),
            uncertainty_direction: UncertaintyDirection::VnetToResnet34,
            uncertainty_region: UncertaintyRegion::All,
            pseudo_cross_entropy: PseudoCrossEntropy::DetachedSoftmax,
            rescale_pseudo: true,
            contrast_gradient: false,
            features: FeatureKind::AfterDropout,
            live_prototypes: true,
            prototype_term: PrototypeTerm::Attract,
            candidates: CandidateRule::ForegroundLeads,
            ..Self::default()
        }
    }

    /// The preset `ssl-contrastive`: the parent method, whose networks both learn the winner's reliable pseudo-labels.
    ///
    /// `L_s + L_u + lambda_c L_c` without consistency and without weights by uncertainty. As in its released code, the fifth of
    /// the voxels with the lowest entropy by either network is reliable, and both networks learn there by cross-entropy, rescaled,
    /// with weight 1 from the first step. Mended as in the default: pseudo-labels and contrast have gradients; prototypes
    /// stand still under the pull and repel each other, since the released attraction would undo it. The winner is the network
    /// with the lower `CE + Dice`, as in the paper; the code takes foreground where either network says so, and with gradients that
    /// runs away from the labels (`pseudo_labels` has both).
    ///
    /// # References
    /// "SSL-contrastive", arXiv 2311.12617, and its released code.
    pub fn ssl_contrastive() -> Self {
        DualNetworksOptions {
            lambda_reg: Weight::constant(0.0),
            reliable_share: 0.2,
            reliable_rule: ReliableRule::Either,
            lambda_u: Weight::constant(0.0),
            pseudo_cross_entropy: PseudoCrossEntropy::Live,
            rescale_pseudo: true,
            features: FeatureKind::AfterDropout,
            candidates: CandidateRule::ForegroundLeads,
            ..Self::default()
        }
    }

    /// How prototypes and candidates are compared.
    pub(super) fn contrast(&self) -> ContrastOptions {
        ContrastOptions {
            live_prototypes: self.live_prototypes,
            prototype_term: self.prototype_term,
            margin: self.margin,
        }
    }

    /// Refuses impossible values.
    pub(super) fn check(&self) -> Result<()> {
        check_range("conflict_weight", self.conflict_weight, 0.0..=f64::MAX)?;
        for (option, weight) in [
            ("lambda_reg", self.lambda_reg),
            ("lambda_u", self.lambda_u),
            ("lambda_pseudo", self.lambda_pseudo),
            ("lambda_c", self.lambda_c),
        ] {
            check_weight(option, weight)?;
        }
        for (option, value) in [
            ("conflict_threshold", self.conflict_threshold),
            ("winner_decay", self.winner_decay),
            ("reliable_share", self.reliable_share),
        ] {
            check_range(option, value, 0.0..=1.0)?;
        }
        check_range("margin", self.margin, 0.0..=2.0)?;
        if self.candidates_one_in == 0 {
            bail!("option candidates_one_in is 0; take 1 to use all candidates");
        }
        Ok(())
    }
}
