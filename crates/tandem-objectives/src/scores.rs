//! A network's class scores as the losses see them.

use crate::graph::with_gradients;
use crate::rows::{self, CHUNK};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// The softmax and log-softmax of a batch of logits, computed once and read by every loss.
///
/// Losses take a range of its patches, either [`Live`] (they add to a gradient) or [`Detached`] (they only look).
pub struct Scores {
    logits: Tensor,
    classes: usize,
    voxels: usize,
    probabilities: Vec<f32>,
    log_probabilities: Vec<f32>,
}

impl Scores {
    /// Reads logits of shape `(N, K, D, H, W)`, contiguous or a view of channels-last storage.
    ///
    /// # Errors
    /// Where the logits are not f32 on the CPU, have another rank or fewer than two classes.
    pub fn new(logits: &Tensor) -> Result<Self> {
        let (patches, classes, d, h, w) = logits.dims5()?;
        if !(2..=254).contains(&classes) {
            bail!("logits need 2 to 254 classes, background included; these have {classes}");
        }
        let mut log_probabilities = rows::read(logits, 0..patches)?;
        let mut probabilities = vec![0.0; log_probabilities.len()];
        let chunks = probabilities.par_chunks_mut(CHUNK * classes);
        chunks.zip(log_probabilities.par_chunks_mut(CHUNK * classes)).for_each(|(p, log_p)| {
            for (p, log_p) in p.chunks_exact_mut(classes).zip(log_p.chunks_exact_mut(classes)) {
                softmax(p, log_p);
            }
        });
        Ok(Scores { logits: logits.clone(), classes, voxels: d * h * w, probabilities, log_probabilities })
    }

    /// Patches of the batch.
    pub fn patches(&self) -> usize {
        if self.voxels == 0 { 0 } else { self.probabilities.len() / (self.classes * self.voxels) }
    }

    /// The tensor that was read.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// A gradient of zeros for [`Self::live`] to add to.
    pub fn zero_gradient(&self) -> Vec<f32> {
        vec![0.0; self.probabilities.len()]
    }

    /// Some patches as constants.
    pub fn detached(&self, patches: Range<usize>) -> Detached<'_> {
        let range = self.range(patches);
        Detached {
            classes: self.classes,
            probabilities: &self.probabilities[range.clone()],
            log_probabilities: &self.log_probabilities[range],
        }
    }

    /// Some patches whose losses add to a gradient that [`Self::zero_gradient`] made.
    pub fn live<'a>(&'a self, patches: Range<usize>, gradient: &'a mut [f32]) -> Live<'a> {
        let range = self.range(patches.clone());
        Live { scores: self.detached(patches), gradient: &mut gradient[range] }
    }

    /// A gradient in the shape of the logits.
    ///
    /// # Errors
    /// Where the device refuses the tensor.
    pub fn gradient_tensor(&self, gradient: &[f32]) -> Result<Tensor> {
        rows::write(gradient, 0..self.patches(), &self.logits)
    }

    fn range(&self, patches: Range<usize>) -> Range<usize> {
        patches.start * self.voxels * self.classes..patches.end * self.voxels * self.classes
    }
}

/// One loss of one network's logits `(N, K, D, H, W)`, as a scalar of candle's graph.
///
/// # Errors
/// As [`Scores::new`], and where the loss refuses its input.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tandem_objectives::{loss_of, losses};
///
/// let logits = Var::from_tensor(&Tensor::zeros((1, 2, 1, 1, 2), candle_core::DType::F32, &Device::Cpu)?)?;
/// let loss = loss_of(&logits, |scores| losses::cross_entropy(scores, &[0, 1], 1.0))?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// assert!(loss.backward()?.get(&logits).is_some());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn loss_of(logits: &Tensor, loss: impl FnOnce(&mut Live<'_>) -> Result<f64>) -> Result<Tensor> {
    let scores = Scores::new(logits)?;
    let mut gradient = scores.zero_gradient();
    let value = loss(&mut scores.live(0..scores.patches(), &mut gradient))?;
    with_gradients(value, &[(logits, scores.gradient_tensor(&gradient)?)])
}

/// Class probabilities of some voxels as constants to the gradient.
#[derive(Clone, Copy)]
pub struct Detached<'a> {
    classes: usize,
    probabilities: &'a [f32],
    log_probabilities: &'a [f32],
}

impl<'a> Detached<'a> {
    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of voxels, over all patches.
    pub fn voxels(&self) -> usize {
        self.probabilities.len() / self.classes
    }

    /// Softmax of a voxel.
    #[inline]
    pub fn probabilities(&self, voxel: usize) -> &'a [f32] {
        &self.probabilities[voxel * self.classes..][..self.classes]
    }

    /// Log-softmax of a voxel.
    #[inline]
    pub fn log_probabilities(&self, voxel: usize) -> &'a [f32] {
        &self.log_probabilities[voxel * self.classes..][..self.classes]
    }

    /// The likeliest class of a voxel; the lowest one of several.
    #[inline]
    pub fn class(&self, voxel: usize) -> u8 {
        // Compared as log-probabilities, which keep the order where a softmax saturates.
        let scores = self.log_probabilities(voxel);
        (1..self.classes).fold(0, |best, c| if scores[c] > scores[best] { c } else { best }) as u8
    }

    /// The likeliest class of every voxel.
    pub fn labels(&self) -> Vec<u8> {
        let mut labels = vec![0; self.voxels()];
        labels.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, labels)| {
            labels.iter_mut().enumerate().for_each(|(v, label)| *label = self.class(chunk * CHUNK + v));
        });
        labels
    }

    pub(crate) fn check_voxels(&self, what: &str, count: usize) -> Result<()> {
        if count != self.voxels() {
            bail!("{what} cover {count} voxels, the logits {}", self.voxels());
        }
        Ok(())
    }
}

/// Class probabilities of some voxels, and the gradient with respect to their logits that losses add to.
pub struct Live<'a> {
    scores: Detached<'a>,
    gradient: &'a mut [f32],
}

impl<'a> Live<'a> {
    /// The same voxels as constants.
    pub fn detached(&self) -> Detached<'a> {
        self.scores
    }

    /// Visits every voxel with its row of the gradient, in parallel, and sums what the visits return.
    pub(crate) fn visit(&mut self, visit: impl Fn(usize, &mut [f32]) -> f64 + Sync) -> f64 {
        let classes = self.scores.classes;
        let chunks = self.gradient.par_chunks_mut(CHUNK * classes).enumerate().map(|(chunk, rows)| {
            let rows = rows.chunks_exact_mut(classes).enumerate();
            rows.map(|(v, row)| visit(chunk * CHUNK + v, row)).sum::<f64>()
        });
        // Collected first: a parallel sum would add in an order of its own.
        chunks.collect::<Vec<_>>().into_iter().sum()
    }

    /// [`Self::visit`] for the same voxels of two networks.
    pub(crate) fn visit_both(
        &mut self,
        other: &mut Live<'_>,
        visit: impl Fn(usize, &mut [f32], &mut [f32]) -> f64 + Sync,
    ) -> f64 {
        let classes = self.scores.classes;
        let both =
            self.gradient.par_chunks_mut(CHUNK * classes).zip(other.gradient.par_chunks_mut(CHUNK * classes));
        let chunks = both.enumerate().map(|(chunk, (a, b))| {
            let rows = a.chunks_exact_mut(classes).zip(b.chunks_exact_mut(classes)).enumerate();
            rows.map(|(v, (a, b))| visit(chunk * CHUNK + v, a, b)).sum::<f64>()
        });
        chunks.collect::<Vec<_>>().into_iter().sum()
    }
}

/// Adds `scale * d/d(logits)` where `by_probability(c)` is the derivative with respect to `p[c]`.
#[inline]
pub(crate) fn add_through_softmax(
    row: &mut [f32],
    p: &[f32],
    scale: f32,
    by_probability: impl Fn(usize) -> f32,
) {
    let mean: f32 = p.iter().enumerate().map(|(c, p)| p * by_probability(c)).sum();
    for (c, gradient) in row.iter_mut().enumerate() {
        *gradient += scale * p[c] * (by_probability(c) - mean);
    }
}

/// Softmax into `p`, log-softmax in place of the logits.
#[inline]
fn softmax(p: &mut [f32], logits: &mut [f32]) {
    let best = (1..logits.len()).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
    let largest = logits[best];
    // Without the largest term, which is 1: what a certain network leaves to the others is not rounded away.
    let mut others = 0.0;
    for (c, (p, z)) in p.iter_mut().zip(logits.iter_mut()).enumerate() {
        *z -= largest;
        *p = if c == best { 1.0 } else { z.exp() };
        others += if c == best { 0.0 } else { *p };
    }
    let total = 1.0 + others;
    let log_total = ln_1p(others, total);
    for (p, z) in p.iter_mut().zip(logits.iter_mut()) {
        *p /= total;
        *z -= log_total;
    }
}

/// `ln(1 + x)`, where `sum` is the rounded `1 + x`: the logarithm of what was rounded, times what rounding took
/// (W. Kahan's correction). Exact to a few units in the last place, at a fraction of the library's time.
#[inline]
fn ln_1p(x: f32, sum: f32) -> f32 {
    if sum == 1.0 { x } else { sum.ln() * (x / (sum - 1.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_logarithms_keep_their_digits() {
        for x in [0.0, 1e-12, 3e-8, 1e-7, 2.5e-3, 0.3, 1.0, 20.0_f32] {
            let (got, want) = (f64::from(ln_1p(x, 1.0 + x)), f64::from(x).ln_1p());
            assert!((got - want).abs() <= 4e-7 * want, "ln(1 + {x}) is {want}, not {got}");
        }
    }
}
