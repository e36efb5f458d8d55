//! Which pseudo-labels are believed.

use super::options::{DualNetworksOptions, EntropyOf, PseudoLabels, ReliableRule};
use crate::losses::{entropy, entropy_of_planes, quantile};
use crate::planes::{SPAN, with_slice};
use crate::scores::Scores;
use candle_core::Result;
use rayon::prelude::*;
use std::ops::Range;
use tandem_ops3d::{VoxelBytes, VoxelNumbers};

/// The pseudo-label of every unlabelled voxel, and whether it is reliable.
pub(super) struct Selection {
    pub(super) labels: VoxelBytes,
    /// A mask.
    pub(super) reliable: VoxelBytes,
    /// The labels of reliable voxels; elsewhere [`IGNORE`](crate::losses::IGNORE).
    pub(super) targets: VoxelBytes,
    /// The winner's entropy thresholds: one, or one for each class.
    pub(super) thresholds: Vec<f64>,
}

impl Selection {
    pub(super) fn new(
        options: &DualNetworksOptions,
        scores: [&Scores; 2],
        unlabelled: Range<usize>,
        winner: usize,
    ) -> Result<Self> {
        let labels = labels(options.pseudo_labels, scores, unlabelled.clone(), winner)?;
        let (classes, voxels) = (scores[winner].classes(), labels.len());
        let network = |i: usize| -> Result<Filter> {
            let entropies = match options.entropy {
                EntropyOf::Softmax => entropy(scores[i].detached(unlabelled.clone()))?,
                EntropyOf::RawLogits => {
                    let logits = scores[i].logits().get()?;
                    let logits = logits.narrow(0, unlabelled.start, unlabelled.len())?.contiguous()?;
                    with_slice(&logits, |logits| {
                        entropy_of_planes(logits, classes, voxels / unlabelled.len().max(1)).into()
                    })?
                }
            };
            let share = options.reliable_share;
            let thresholds = if options.reliable_per_class {
                let of_class = |class| class_quantile(&entropies, &labels, class as u8, share);
                (0..classes).map(of_class).collect::<Result<_>>()?
            } else {
                vec![quantile(&entropies, share)?]
            };
            Ok(Filter { entropies, thresholds })
        };
        let first = network(winner)?;
        let reliable = match (options.reliable_rule, first.thresholds.as_slice()) {
            (ReliableRule::Winner, [threshold]) => first.entropies.at_most(*threshold)?,
            (ReliableRule::Winner, _) => mask(&labels, [&first; 2], |[first, _]| first.is_low())?,
            (ReliableRule::Both, _) => {
                mask(&labels, [&first, &network(1 - winner)?], |both| both.iter().all(Voxel::is_low))?
            }
            (ReliableRule::Either, _) => {
                mask(&labels, [&first, &network(1 - winner)?], |both| !both.iter().all(Voxel::is_high))?
            }
        };
        let targets = labels.keep_where(&reliable, true)?;
        Ok(Selection { labels, reliable, targets, thresholds: first.thresholds })
    }

    pub(super) fn reliable_share(&self) -> Result<f64> {
        Ok(self.reliable.count_set()? as f64 / self.reliable.len().max(1) as f64)
    }

    /// What a network gives unreliable voxels to; elsewhere [`IGNORE`](crate::losses::IGNORE).
    pub(super) fn unreliable(&self, predicted: &VoxelBytes) -> Result<VoxelBytes> {
        predicted.keep_where(&self.reliable, false)
    }
}

/// One network's entropies and where it cuts them.
struct Filter {
    entropies: VoxelNumbers,
    /// One, or one for each class.
    thresholds: Vec<f64>,
}

/// A network's entropy at a voxel, and the threshold there. Comparisons with NaN are false, as in the released code.
struct Voxel {
    entropy: f64,
    threshold: f64,
}

impl Voxel {
    /// At most the threshold: a strict bound would leave nothing where many voxels tie.
    fn is_low(&self) -> bool {
        self.entropy <= self.threshold
    }

    fn is_high(&self) -> bool {
        self.entropy >= self.threshold
    }
}

/// The voxels that a rule takes, by what two networks say of each.
fn mask(
    labels: &VoxelBytes,
    filters: [&Filter; 2],
    rule: impl Fn([Voxel; 2]) -> bool + Sync,
) -> Result<VoxelBytes> {
    let labels = labels.values()?;
    let entropies = [filters[0].entropies.values()?, filters[1].entropies.values()?];
    let reliable = (0..labels.len()).into_par_iter().with_min_len(SPAN).map(|v| {
        let network = |i: usize| {
            let thresholds = &filters[i].thresholds;
            let threshold = thresholds[if thresholds.len() == 1 { 0 } else { usize::from(labels[v]) }];
            Voxel { entropy: entropies[i][v].into(), threshold }
        };
        u8::from(rule([network(0), network(1)]))
    });
    Ok(reliable.collect::<Vec<u8>>().into())
}

fn labels(
    rule: PseudoLabels,
    scores: [&Scores; 2],
    unlabelled: Range<usize>,
    winner: usize,
) -> Result<VoxelBytes> {
    let labels = scores[winner].detached(unlabelled.clone()).labels()?;
    if rule != PseudoLabels::EitherForeground {
        return Ok(labels);
    }
    let others = scores[1 - winner].detached(unlabelled).labels()?;
    let either = labels.values()?.iter().zip(others.values()?);
    Ok(either.map(|(label, other)| if *label == 0 { *other } else { *label }).collect::<Vec<u8>>().into())
}

fn class_quantile(entropies: &VoxelNumbers, labels: &VoxelBytes, class: u8, share: f64) -> Result<f64> {
    let of_class = entropies.values()?.iter().zip(labels.values()?).filter(|(_, label)| **label == class);
    quantile(&of_class.map(|(entropy, _)| *entropy).collect::<Vec<f32>>().into(), share)
}
