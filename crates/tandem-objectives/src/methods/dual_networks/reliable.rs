//! Which pseudo-labels are believed.

use super::options::{DualNetworksOptions, EntropyOf, PseudoLabels, ReliableRule};
use crate::losses::{entropy, entropy_of_planes, members, quantile};
use crate::planes::{SPAN, with_slice};
use crate::scores::Scores;
use candle_core::Result;
use rayon::prelude::*;
use std::ops::Range;

/// The pseudo-label of every unlabelled voxel, and whether it is reliable.
pub(super) struct Selection {
    pub(super) labels: Vec<u8>,
    pub(super) reliable: Vec<bool>,
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
                        entropy_of_planes(logits, classes, voxels / unlabelled.len().max(1))
                    })?
                }
            };
            let thresholds = if options.reliable_per_class {
                (0..classes)
                    .map(|c| class_quantile(&entropies, &labels, c as u8, options.reliable_share))
                    .collect()
            } else {
                vec![quantile(&entropies, options.reliable_share)]
            };
            Ok(Filter { entropies, thresholds })
        };
        let first = network(winner)?;
        let voxels = (0..labels.len()).into_par_iter().with_min_len(SPAN);
        let reliable = match options.reliable_rule {
            ReliableRule::Winner => voxels.map(|v| first.is_low(v, labels[v])).collect(),
            ReliableRule::Both => {
                let second = network(1 - winner)?;
                voxels.map(|v| first.is_low(v, labels[v]) && second.is_low(v, labels[v])).collect()
            }
            ReliableRule::Either => {
                let second = network(1 - winner)?;
                voxels.map(|v| !(first.is_high(v, labels[v]) && second.is_high(v, labels[v]))).collect()
            }
        };
        Ok(Selection { labels, reliable, thresholds: first.thresholds })
    }

    pub(super) fn reliable_count(&self) -> usize {
        self.reliable.iter().filter(|&&r| r).count()
    }

    /// The labels with unreliable voxels ignored.
    pub(super) fn targets(&self) -> Vec<u8> {
        members(&self.labels, &self.reliable)
    }

    /// For each class the unreliable voxels that a network gives to it.
    pub(super) fn unreliable_by_class(&self, predicted: &[u8], classes: usize) -> Vec<Vec<usize>> {
        let chunks = predicted.par_chunks(16 * SPAN).zip(self.reliable.par_chunks(16 * SPAN));
        let of_chunk = |(chunk, (predicted, reliable)): (usize, (&[u8], &[bool]))| {
            let mut voxels = vec![Vec::new(); classes];
            for (v, (class, reliable)) in predicted.iter().zip(reliable).enumerate() {
                if !reliable {
                    voxels[usize::from(*class)].push(chunk * 16 * SPAN + v);
                }
            }
            voxels
        };
        let chunks: Vec<Vec<Vec<usize>>> = chunks.enumerate().map(of_chunk).collect();
        (0..classes).map(|class| chunks.iter().flat_map(|chunk| &chunk[class]).copied().collect()).collect()
    }
}

/// One network's entropies and where it cuts them. Comparisons with NaN are false, as in the released code.
struct Filter {
    entropies: Vec<f32>,
    thresholds: Vec<f64>,
}

impl Filter {
    fn threshold(&self, label: u8) -> f64 {
        self.thresholds[if self.thresholds.len() == 1 { 0 } else { usize::from(label) }]
    }

    /// At most the threshold: a strict bound would leave nothing where many voxels tie.
    fn is_low(&self, voxel: usize, label: u8) -> bool {
        f64::from(self.entropies[voxel]) <= self.threshold(label)
    }

    fn is_high(&self, voxel: usize, label: u8) -> bool {
        f64::from(self.entropies[voxel]) >= self.threshold(label)
    }
}

fn labels(
    rule: PseudoLabels,
    scores: [&Scores; 2],
    unlabelled: Range<usize>,
    winner: usize,
) -> Result<Vec<u8>> {
    let mut labels = scores[winner].detached(unlabelled.clone()).labels()?;
    if rule == PseudoLabels::EitherForeground {
        let others = scores[1 - winner].detached(unlabelled).labels()?;
        labels
            .iter_mut()
            .zip(others)
            .filter(|(label, _)| **label == 0)
            .for_each(|(label, other)| *label = other);
    }
    Ok(labels)
}

fn class_quantile(entropies: &[f32], labels: &[u8], class: u8, share: f64) -> f64 {
    let of_class: Vec<f32> =
        entropies.iter().zip(labels).filter(|(_, l)| **l == class).map(|(e, _)| *e).collect();
    quantile(&of_class, share)
}
