//! A network's class scores as the losses see them.

use crate::graph::with_gradient;
use crate::planes::{self, SPAN, Span};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::OnceLock;
use tandem_ops3d::elementary::{exp, ln_1p};
use tandem_ops3d::{ClassScores, Deferred, LogitsGradient, VoxelBytes, Workspace};

/// The softmax and log-softmax of a batch of logits, computed once and read by every loss.
///
/// Losses take a range of its patches, either [`Live`] (they add to a gradient) or [`Detached`] (they only look). Where a network
/// runs on a GPU its logits stay there, and so does the work of those losses that have a kernel; for the others both softmaxes
/// are copied to the host once.
pub struct Scores {
    logits: Deferred,
    classes: usize,
    patches: usize,
    /// Voxels of a patch.
    voxels: usize,
    on_gpu: Option<ClassScores>,
    on_host: OnceLock<OnHost>,
}

/// As planes, in the order of the logits.
struct OnHost {
    probabilities: Workspace,
    log_probabilities: Workspace,
}

/// The gradient of some losses with respect to a batch of logits, zero at first.
pub struct Gradient {
    len: usize,
    /// Nothing until a loss on the host adds to it.
    on_host: Vec<f32>,
    /// Nothing until a loss on a GPU adds to it.
    on_gpu: Option<LogitsGradient>,
}

impl Scores {
    /// Reads logits of shape `(N, K, D, H, W)`: what a network made, or any tensor.
    ///
    /// # Errors
    /// Where the logits are not f32 on the CPU or left on a GPU by a network, have another rank, or classes that are not 2 to 254.
    pub fn new(logits: impl Into<Deferred>) -> Result<Self> {
        let logits = logits.into();
        let [patches, classes, d, h, w] = logits.dims()?;
        if !(2..=254).contains(&classes) {
            bail!("logits need 2 to 254 classes, background included; these have {classes}");
        }
        let on_gpu = logits.class_scores()?;
        let scores = Scores { logits, classes, patches, voxels: d * h * w, on_gpu, on_host: OnceLock::new() };
        if scores.on_gpu.is_none() {
            scores.on_host()?;
        }
        Ok(scores)
    }

    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Patches of the batch.
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// What was read.
    pub fn logits(&self) -> &Deferred {
        &self.logits
    }

    /// A gradient of zeros for [`Self::live`] to add to.
    pub fn zero_gradient(&self) -> Gradient {
        Gradient { len: self.len(), on_host: Vec::new(), on_gpu: None }
    }

    /// Some patches as constants.
    ///
    /// # Panics
    /// Where the batch has not as many.
    pub fn detached(&self, patches: Range<usize>) -> Detached<'_> {
        let (first, count) = (patches.start, patches.len());
        assert!(first + count <= self.patches, "patches {patches:?} are not among {}", self.patches);
        Detached { scores: self, first, patches: count }
    }

    /// Some patches whose losses add to a gradient that [`Self::zero_gradient`] made.
    ///
    /// # Panics
    /// As [`Self::detached`].
    pub fn live<'a>(&'a self, patches: Range<usize>, gradient: &'a mut Gradient) -> Live<'a> {
        Live { scores: self.detached(patches), gradient }
    }

    /// A scalar of candle's graph: a loss of this value and gradient.
    ///
    /// # Errors
    /// Where the gradient is that of other logits, or the device fails.
    pub fn loss(&self, value: f64, gradient: Gradient) -> Result<Tensor> {
        let Some(gpu) = &self.on_gpu else {
            return with_gradient(value, &self.logits.get()?, &self.gradient_tensor(gradient)?);
        };
        let mut sum = gradient.on_gpu.map_or_else(|| gpu.gradient(), Ok)?;
        if !gradient.on_host.is_empty() {
            sum.add(&gradient.on_host)?;
        }
        gpu.loss(value, sum)
    }

    /// A gradient on the host, in the shape of the logits.
    pub(crate) fn gradient_tensor(&self, mut gradient: Gradient) -> Result<Tensor> {
        gradient.on_host();
        Tensor::from_vec(gradient.on_host, &self.logits.dims()?, &candle_core::Device::Cpu)
    }

    /// Values of all patches.
    fn len(&self) -> usize {
        self.patches * self.classes * self.voxels
    }

    fn on_host(&self) -> Result<&OnHost> {
        if let Some(planes) = self.on_host.get() {
            return Ok(planes);
        }
        let [mut probabilities, mut log_probabilities] = [(); 2].map(|()| Workspace::take(self.len()));
        match &self.on_gpu {
            Some(gpu) => gpu.to_host(&mut probabilities, &mut log_probabilities)?,
            None => {
                let (classes, voxels) = (self.classes, self.voxels);
                let p = planes::spans_mut(&mut probabilities, classes, voxels).into_par_iter();
                let log_p = planes::spans_mut(&mut log_probabilities, classes, voxels).into_par_iter();
                planes::with_slice(&self.logits.get()?.detach().contiguous()?, |logits| {
                    p.zip(log_p).for_each(|((span, mut p), (_, mut log_p))| {
                        softmax(|class| &logits[span.of_class(class, classes)], &mut p, &mut log_p);
                    });
                })?;
            }
        }
        Ok(self.on_host.get_or_init(|| OnHost { probabilities, log_probabilities }))
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
/// let loss = loss_of(&logits, |scores| losses::cross_entropy(scores, &vec![0, 1].into(), 1.0))?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// assert!(loss.backward()?.get(&logits).is_some());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn loss_of(
    logits: impl Into<Deferred>,
    loss: impl FnOnce(&mut Live<'_>) -> Result<f64>,
) -> Result<Tensor> {
    let scores = Scores::new(logits)?;
    let mut gradient = scores.zero_gradient();
    let value = loss(&mut scores.live(0..scores.patches(), &mut gradient))?;
    scores.loss(value, gradient)
}

impl Gradient {
    fn on_host(&mut self) -> &mut [f32] {
        self.on_host.resize(self.len, 0.0);
        &mut self.on_host
    }

    fn on_gpu(&mut self, scores: &ClassScores) -> Result<&mut LogitsGradient> {
        match &mut self.on_gpu {
            Some(gradient) => Ok(gradient),
            none => Ok(none.insert(scores.gradient()?)),
        }
    }
}

/// Class probabilities of some patches as constants to the gradient.
#[derive(Clone, Copy)]
pub struct Detached<'a> {
    scores: &'a Scores,
    first: usize,
    patches: usize,
}

impl<'a> Detached<'a> {
    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.scores.classes
    }

    /// Number of patches.
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// Number of voxels, over all patches.
    pub fn voxels(&self) -> usize {
        self.patches * self.scores.voxels
    }

    /// Softmax of every voxel, `(patch, class, i, j, k)`.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn probabilities(&self) -> Result<&'a [f32]> {
        Ok(self.on_host()?.probabilities)
    }

    /// The likeliest class of every voxel, `(patch, i, j, k)`; the lowest one of several.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn labels(&self) -> Result<VoxelBytes> {
        if let Some((gpu, patches)) = self.on_gpu() {
            return gpu.labels(patches);
        }
        let read = self.on_host()?;
        Ok(read.per_voxel(|span, labels| read.likeliest(span, labels, &mut [0.0; SPAN])).into())
    }

    /// The scores as planes on the host.
    pub(crate) fn on_host(self) -> Result<Planes<'a>> {
        let Scores { classes, voxels, .. } = *self.scores;
        let OnHost { probabilities, log_probabilities } = self.scores.on_host()?;
        let range = self.range();
        Ok(Planes {
            classes,
            patches: self.patches,
            voxels,
            probabilities: &probabilities[range.clone()],
            log_probabilities: &log_probabilities[range],
        })
    }

    /// The scores where they are on a GPU, and which patches these are there.
    pub(crate) fn on_gpu(self) -> Option<(&'a ClassScores, Range<usize>)> {
        let patches = self.first..self.first + self.patches;
        self.scores.on_gpu.as_ref().map(|gpu| (gpu, patches))
    }

    /// Where its values lie among those of the batch.
    fn range(self) -> Range<usize> {
        let patch = self.scores.voxels * self.scores.classes;
        self.first * patch..(self.first + self.patches) * patch
    }

    pub(crate) fn check_voxels(&self, what: &str, count: usize) -> Result<()> {
        if count != self.voxels() {
            bail!("{what} cover {count} voxels, the logits {}", self.voxels());
        }
        Ok(())
    }
}

/// Class probabilities of some patches on the host.
#[derive(Clone, Copy)]
pub(crate) struct Planes<'a> {
    pub(crate) classes: usize,
    patches: usize,
    /// Of a patch.
    voxels: usize,
    /// `(patch, class, i, j, k)`.
    probabilities: &'a [f32],
    log_probabilities: &'a [f32],
}

impl<'a> Planes<'a> {
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
}

/// Class probabilities of some patches, and the gradient with respect to their logits that losses add to.
pub struct Live<'a> {
    scores: Detached<'a>,
    gradient: &'a mut Gradient,
}

/// Values of a span, one slice a class.
pub(crate) type Slices<'a, 'b> = &'a mut [&'b mut [f32]];

impl<'a> Live<'a> {
    /// The same voxels as constants.
    pub fn detached(&self) -> Detached<'a> {
        self.scores
    }

    /// The scores where they are on a GPU, which patches these are there, and the gradient.
    pub(crate) fn on_gpu(&mut self) -> Result<Option<(&'a ClassScores, Range<usize>, &mut LogitsGradient)>> {
        let Some((gpu, patches)) = self.scores.on_gpu() else { return Ok(None) };
        Ok(Some((gpu, patches, self.gradient.on_gpu(gpu)?)))
    }

    /// Visits every span with its part of the gradient on the host, in parallel, and adds up what the visits return.
    pub(crate) fn visit<const N: usize>(
        &mut self,
        visit: impl Fn(Span, Slices) -> [f64; N] + Sync,
    ) -> [f64; N] {
        planes::add_up(self.spans().into_par_iter().map(|(span, mut gradient)| visit(span, &mut gradient)))
    }

    /// [`Self::visit`] for the same voxels of two networks.
    pub(crate) fn visit_both<const N: usize>(
        &mut self,
        other: &mut Live<'_>,
        visit: impl Fn(Span, Slices, Slices) -> [f64; N] + Sync,
    ) -> [f64; N] {
        let (own, others) = (self.spans().into_par_iter(), other.spans().into_par_iter());
        planes::add_up(own.zip(others).map(|((span, mut a), (_, mut b))| visit(span, &mut a, &mut b)))
    }

    fn spans(&mut self) -> Vec<(Span, Vec<&mut [f32]>)> {
        let Scores { classes, voxels, .. } = *self.scores.scores;
        planes::spans_mut(&mut self.gradient.on_host()[self.scores.range()], classes, voxels)
    }
}

/// Adds `scale * d/d(logits)`, where `slopes` are the derivatives with respect to the probabilities, class after class.
pub(crate) fn add_through_softmax(
    scores: Planes<'_>,
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
