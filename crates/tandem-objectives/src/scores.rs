//! A network's class scores as the losses see them.

use crate::graph::with_gradients;
use crate::planes::{self, SPAN, Span};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;
use tandem_ops3d::Workspace;
use tandem_ops3d::elementary::{exp, ln_1p};

/// The softmax and log-softmax of a batch of logits, computed once and read by every loss.
///
/// Losses take a range of its patches, either [`Live`] (they add to a gradient) or [`Detached`] (they only look).
pub struct Scores {
    logits: Tensor,
    classes: usize,
    patches: usize,
    /// Voxels of a patch.
    voxels: usize,
    /// As planes, in the order of the logits.
    probabilities: Workspace,
    log_probabilities: Workspace,
}

impl Scores {
    /// Reads logits of shape `(N, K, D, H, W)`.
    ///
    /// # Errors
    /// Where the logits are not f32 on the CPU, have another rank or fewer than two classes.
    pub fn new(logits: &Tensor) -> Result<Self> {
        let (patches, classes, d, h, w) = logits.dims5()?;
        if !(2..=254).contains(&classes) {
            bail!("logits need 2 to 254 classes, background included; these have {classes}");
        }
        let voxels = d * h * w;
        let [mut probabilities, mut log_probabilities] =
            [(); 2].map(|()| Workspace::take(patches * classes * voxels));
        let p = planes::spans_mut(&mut probabilities, classes, voxels).into_par_iter();
        let log_p = planes::spans_mut(&mut log_probabilities, classes, voxels).into_par_iter();
        planes::with_slice(&logits.detach().contiguous()?, |logits| {
            p.zip(log_p).for_each(|((span, mut p), (_, mut log_p))| {
                softmax(|class| &logits[span.of_class(class, classes)], &mut p, &mut log_p);
            });
        })?;
        Ok(Scores { logits: logits.clone(), classes, patches, voxels, probabilities, log_probabilities })
    }

    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Patches of the batch.
    pub fn patches(&self) -> usize {
        self.patches
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
        let range = self.range(&patches);
        Detached {
            classes: self.classes,
            patches: patches.len(),
            voxels: self.voxels,
            probabilities: &self.probabilities[range.clone()],
            log_probabilities: &self.log_probabilities[range],
        }
    }

    /// Some patches whose losses add to a gradient that [`Self::zero_gradient`] made.
    pub fn live<'a>(&'a self, patches: Range<usize>, gradient: &'a mut [f32]) -> Live<'a> {
        let range = self.range(&patches);
        Live { scores: self.detached(patches), gradient: &mut gradient[range] }
    }

    /// A gradient in the shape of the logits.
    ///
    /// # Errors
    /// Where it has another size.
    pub fn gradient_tensor(&self, gradient: Vec<f32>) -> Result<Tensor> {
        Tensor::from_vec(gradient, self.logits.shape(), self.logits.device())
    }

    fn range(&self, patches: &Range<usize>) -> Range<usize> {
        let patch = self.voxels * self.classes;
        patches.start * patch..patches.end * patch
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
    with_gradients(value, &[(logits, scores.gradient_tensor(gradient)?)])
}

/// Class probabilities of some patches as constants to the gradient.
#[derive(Clone, Copy)]
pub struct Detached<'a> {
    classes: usize,
    patches: usize,
    voxels: usize,
    probabilities: &'a [f32],
    log_probabilities: &'a [f32],
}

impl<'a> Detached<'a> {
    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of patches.
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// Number of voxels, over all patches.
    pub fn voxels(&self) -> usize {
        self.patches * self.voxels
    }

    /// Softmax of every voxel, `(patch, class, i, j, k)`.
    pub fn probabilities(&self) -> &'a [f32] {
        self.probabilities
    }

    /// Log-softmax of every voxel, `(patch, class, i, j, k)`.
    pub fn log_probabilities(&self) -> &'a [f32] {
        self.log_probabilities
    }

    /// The likeliest class of every voxel, `(patch, i, j, k)`; the lowest one of several.
    pub fn labels(&self) -> Vec<u8> {
        self.per_voxel(|span, labels| self.likeliest(span, labels, &mut [0.0; SPAN]))
    }

    /// The likeliest class of each voxel of a span, and its log-probability.
    pub(crate) fn likeliest(&self, span: Span, labels: &mut [u8], log_p: &mut [f32]) {
        labels.fill(0);
        log_p[..span.len].copy_from_slice(self.log_p(0, span));
        // Compared as log-probabilities, which keep the order where a softmax saturates.
        for class in 1..self.classes {
            for ((label, largest), &log_p) in labels.iter_mut().zip(&mut *log_p).zip(self.log_p(class, span))
            {
                let larger = log_p > *largest;
                *label = if larger { class as u8 } else { *label };
                *largest = if larger { log_p } else { *largest };
            }
        }
    }

    /// The probabilities of a class.
    pub(crate) fn p(&self, class: usize, span: Span) -> &'a [f32] {
        &self.probabilities[span.of_class(class, self.classes)]
    }

    /// The log-probabilities of a class.
    pub(crate) fn log_p(&self, class: usize, span: Span) -> &'a [f32] {
        &self.log_probabilities[span.of_class(class, self.classes)]
    }

    /// A number for each voxel, found span by span.
    pub(crate) fn per_voxel<T: Copy + Default + Send>(&self, fill: impl Fn(Span, &mut [T]) + Sync) -> Vec<T> {
        planes::per_voxel((self.patches, self.voxels), fill)
    }

    /// A number for each class of each voxel, `(patch, class, i, j, k)`, found span by span.
    pub(crate) fn per_class(&self, fill: impl Fn(Span, Slices) + Sync) -> Vec<f32> {
        let mut all = vec![0.0; self.probabilities.len()];
        let parts = planes::spans_mut(&mut all, self.classes, self.voxels).into_par_iter();
        parts.for_each(|(span, mut values)| fill(span, &mut values));
        all
    }

    /// Several sums over all voxels, found span by span.
    pub(crate) fn sums<const N: usize>(&self, sums: impl Fn(Span) -> [f64; N] + Sync + Send) -> [f64; N] {
        planes::add_up(planes::spans(self.patches, self.voxels).into_par_iter().map(sums))
    }

    pub(crate) fn check_voxels(&self, what: &str, count: usize) -> Result<()> {
        if count != self.voxels() {
            bail!("{what} cover {count} voxels, the logits {}", self.voxels());
        }
        Ok(())
    }
}

/// Class probabilities of some patches, and the gradient with respect to their logits that losses add to.
pub struct Live<'a> {
    scores: Detached<'a>,
    gradient: &'a mut [f32],
}

/// Values of a span, one slice a class.
pub(crate) type Slices<'a, 'b> = &'a mut [&'b mut [f32]];

impl<'a> Live<'a> {
    /// The same voxels as constants.
    pub fn detached(&self) -> Detached<'a> {
        self.scores
    }

    /// Visits every span with its part of the gradient, in parallel, and adds up what the visits return.
    pub(crate) fn visit<const N: usize>(
        &mut self,
        visit: impl Fn(Span, Slices) -> [f64; N] + Sync,
    ) -> [f64; N] {
        let parts = planes::spans_mut(self.gradient, self.scores.classes, self.scores.voxels).into_par_iter();
        planes::add_up(parts.map(|(span, mut gradient)| visit(span, &mut gradient)))
    }

    /// [`Self::visit`] for the same voxels of two networks.
    pub(crate) fn visit_both<const N: usize>(
        &mut self,
        other: &mut Live<'_>,
        visit: impl Fn(Span, Slices, Slices) -> [f64; N] + Sync,
    ) -> [f64; N] {
        let (classes, voxels) = (self.scores.classes, self.scores.voxels);
        let own = planes::spans_mut(self.gradient, classes, voxels).into_par_iter();
        let others = planes::spans_mut(other.gradient, classes, voxels).into_par_iter();
        planes::add_up(own.zip(others).map(|((span, mut a), (_, mut b))| visit(span, &mut a, &mut b)))
    }
}

/// Adds `scale * d/d(logits)`, where `slopes` are the derivatives with respect to the probabilities, class after class.
pub(crate) fn add_through_softmax(
    scores: Detached<'_>,
    span: Span,
    slopes: &[f32],
    scale: f32,
    gradient: Slices,
) {
    add_through(|class| scores.p(class, span), slopes, scale, gradient);
}

/// The same where the probabilities of each class of a span, the softmax of something else, are given.
pub(crate) fn add_through<'a>(p: impl Fn(usize) -> &'a [f32], slopes: &[f32], scale: f32, gradient: Slices) {
    let len = gradient.first().map_or(1, |gradient| gradient.len());
    let mut mean = [0.0; SPAN];
    for (class, slopes) in slopes.chunks_exact(len).enumerate() {
        for ((mean, p), slope) in mean.iter_mut().zip(p(class)).zip(slopes) {
            *mean += p * slope;
        }
    }
    for ((class, slopes), gradient) in slopes.chunks_exact(len).enumerate().zip(gradient) {
        let values = p(class).iter().zip(slopes).zip(&mean);
        for (gradient, ((p, slope), mean)) in gradient.iter_mut().zip(values) {
            *gradient += scale * p * (slope - mean);
        }
    }
}

/// Softmax and log-softmax of a span, one slice a class.
fn softmax<'a>(logits: impl Fn(usize) -> &'a [f32], p: Slices, log_p: Slices) {
    let (mut largest, mut best) = ([f32::NEG_INFINITY; SPAN], [0u32; SPAN]);
    for class in 0..p.len() {
        for ((largest, best), &z) in largest.iter_mut().zip(&mut best).zip(logits(class)) {
            let larger = z > *largest;
            *largest = if larger { z } else { *largest };
            *best = if larger { class as u32 } else { *best };
        }
    }
    // Without the largest term, which is 1: what a certain network leaves to the others is not rounded away.
    let mut others = [0.0; SPAN];
    for (class, (p, log_p)) in p.iter_mut().zip(&mut *log_p).enumerate() {
        let values = logits(class).iter().zip(&largest).zip(&best);
        for (((p, log_p), others), ((z, largest), best)) in
            p.iter_mut().zip(log_p.iter_mut()).zip(&mut others).zip(values)
        {
            *log_p = z - largest;
            *p = exp(*log_p);
            *others += if *best == class as u32 { 0.0 } else { *p };
        }
    }
    let mut log_total = [0.0; SPAN];
    log_total.iter_mut().zip(&others).for_each(|(log, others)| *log = ln_1p(*others, 1.0 + others));
    for (p, log_p) in p.iter_mut().zip(log_p) {
        for ((p, log_p), (others, log)) in
            p.iter_mut().zip(log_p.iter_mut()).zip(others.iter().zip(&log_total))
        {
            *p /= 1.0 + others;
            *log_p -= log;
        }
    }
}
