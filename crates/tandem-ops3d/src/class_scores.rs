//! The class scores of a network that runs on a GPU.

use crate::gpu::{Buffer, Part, Queue};
use crate::program::HeadOnGpu;
use crate::voxel_bytes::VoxelBytes;
use crate::voxel_numbers::VoxelNumbers;
use candle_core::{Result, Tensor, bail};
use std::ops::Range;
use std::sync::Arc;

/// Softmax and log-softmax of logits `(N, K, D, H, W)` that lie on a GPU, and what losses want of them, computed there: of the
/// logits and their gradient nothing crosses the bus.
///
/// Every function looks at some `patches` of the N, whose voxels are counted in the order (patch, i, j, k). Targets, labels and masks
/// are a byte for each of these voxels; a target that is no class does not count. Functions that learn add their gradient to a
/// [`LogitsGradient`]. What the numbers mean is said where the losses are, in `tandem-objectives`, which has the same
/// arithmetic for logits on the host.
pub struct ClassScores {
    queue: Queue,
    patches: usize,
    classes: usize,
    /// Of a patch.
    voxels: usize,
    p: Buffer,
    log_p: Buffer,
    head: HeadOnGpu,
}

/// Some patches of a second network's scores.
pub type OtherScores<'a> = (&'a ClassScores, Range<usize>);

/// The gradient of a loss with respect to logits on a GPU: it begins as zeros.
pub struct LogitsGradient {
    pub(crate) queue: Queue,
    pub(crate) buffer: Buffer,
    pub(crate) len: usize,
}

/// How [`ClassScores::uncertainty`] weighs its two parts.
#[derive(Clone, Copy, Debug)]
pub struct UncertaintyShares {
    /// The factor of the weighted cross-entropies' sum.
    pub by_entropy: f64,
    /// The factor of the divergences' sum.
    pub by_divergence: f64,
    /// Whether each cross-entropy counts as 1 in place of `exp(-D)`.
    pub unweighted: bool,
    /// Whether `exp(-D)` has a gradient.
    pub live: bool,
    /// Whether the divergence is summed over the reliable voxels alone.
    pub of_reliable: bool,
}

impl ClassScores {
    /// Those of what a head made.
    pub(crate) fn new(head: HeadOnGpu) -> Result<Self> {
        let [patches, classes, d, h, w] = head.dims;
        let voxels = d * h * w;
        let queue = head.queue.in_f32();
        let len = patches * classes * voxels;
        let (p, log_p) = (queue.f32s(len)?, queue.f32s(len)?);
        let scores = ClassScores { queue, patches, classes, voxels, p, log_p, head };
        scores.queue.softmax(&scores.head.logits, scores.part(&(0..patches))?)?;
        Ok(scores)
    }

    /// A gradient of zeros.
    ///
    /// # Errors
    /// Where the device has no memory for it.
    pub fn gradient(&self) -> Result<LogitsGradient> {
        let len = self.len();
        let buffer = self.queue.f32s(len)?;
        buffer.clear()?;
        Ok(LogitsGradient { queue: self.queue.clone(), buffer, len })
    }

    /// A scalar of candle's graph, of a known value and a known gradient with respect to the logits.
    ///
    /// # Errors
    /// Where the gradient is that of other logits.
    pub fn loss(&self, value: f64, gradient: LogitsGradient) -> Result<Tensor> {
        self.own(&gradient)?;
        self.head.loss(value as f32, Arc::new(gradient))
    }

    /// Copies softmax and log-softmax of all patches to the host.
    ///
    /// # Errors
    /// Where there is not room for all of them, or the device fails.
    pub fn to_host(&self, p: &mut [f32], log_p: &mut [f32]) -> Result<()> {
        let len = self.len();
        if [p.len(), log_p.len()] != [len; 2] {
            bail!("the {len} class scores do not fit {} and {} values", p.len(), log_p.len());
        }
        self.p.download(p)?;
        self.log_p.download(log_p)
    }

    /// The likeliest class of every voxel; the lowest of several.
    ///
    /// # Errors
    /// Where the patches are not there, or the device fails.
    pub fn labels(&self, patches: Range<usize>) -> Result<VoxelBytes> {
        let part = self.part(&patches)?;
        Ok(VoxelBytes::on_gpu(self.queue.likeliest(part)?, part.count, self.classes))
    }

    /// The likeliest class of every voxel by the mean softmax of one network or two; 255 where its mean probability is below
    /// `threshold`. The lowest of several.
    ///
    /// # Errors
    /// As [`Self::conflicts`].
    pub fn pseudo_labels(
        &self,
        patches: Range<usize>,
        second: Option<OtherScores<'_>>,
        threshold: f64,
    ) -> Result<VoxelBytes> {
        let part = self.part(&patches)?;
        let second = second.map(|second| self.beside(part, &second)).transpose()?;
        let labels = self.queue.pseudo_labels(part, second, threshold)?;
        Ok(VoxelBytes::on_gpu(labels, part.count, self.classes))
    }

    /// The entropy of every voxel, in nats.
    ///
    /// # Errors
    /// As [`Self::labels`].
    pub fn entropies(&self, patches: Range<usize>) -> Result<VoxelNumbers> {
        let part = self.part(&patches)?;
        Ok(VoxelNumbers::on_gpu(self.queue.entropies(part)?, part.count))
    }

    /// 1 for every voxel where two networks say different things: each its likeliest class where that has at least `threshold`
    /// probability, else background.
    ///
    /// # Errors
    /// As [`Self::labels`], and where the other network's patches have other voxels or classes.
    pub fn conflicts(
        &self,
        patches: Range<usize>,
        other: OtherScores<'_>,
        threshold: f64,
    ) -> Result<VoxelBytes> {
        let part = self.part(&patches)?;
        let mask = self.queue.conflicts(part, self.beside(part, &other)?, threshold)?;
        Ok(VoxelBytes::on_gpu(mask, part.count, VoxelBytes::MASK))
    }

    /// The sum of the cross-entropies. `scale` times its gradient is added.
    ///
    /// # Errors
    /// As [`Self::labels`], and where targets or gradient do not fit.
    pub fn cross_entropy(
        &self,
        patches: Range<usize>,
        targets: &VoxelBytes,
        scale: f64,
        gradient: &mut LogitsGradient,
    ) -> Result<f64> {
        let part = self.covered(&patches, [targets])?;
        let to = self.place(&patches, gradient)?;
        self.queue.cross_entropy(part, &self.here(targets)?, scale, to)
    }

    /// A Dice loss in two passes. The first finds, of each class, the sum of p where the class is the target, and that of p, or of its
    /// square, where there is a target. `of_sums` makes of them the loss, which is returned, and its derivatives by the sizes
    /// and by minus the overlaps; the second adds the gradient that follows.
    ///
    /// # Errors
    /// As [`Self::cross_entropy`], and where there is not a derivative for each class.
    pub fn dice(
        &self,
        patches: Range<usize>,
        targets: &VoxelBytes,
        squared: bool,
        of_sums: impl FnOnce(&[[f64; 2]]) -> (f64, [Vec<f32>; 2]),
        gradient: &mut LogitsGradient,
    ) -> Result<f64> {
        let part = self.covered(&patches, [targets])?;
        let to = self.place(&patches, gradient)?;
        let targets = self.here(targets)?;
        let (value, [by_size, by_overlap]) = of_sums(&self.queue.overlaps(part, &targets, squared)?);
        if [by_size.len(), by_overlap.len()] != [self.classes; 2] {
            bail!("a Dice loss has a derivative for each of {} classes", self.classes);
        }
        self.queue.add_dice(part, &targets, [&by_size, &by_overlap], squared, to)?;
        Ok(value)
    }

    /// The sum of the squared errors of the foreground probabilities where the mask is not 0. `scale` times half of its gradient is added.
    ///
    /// # Errors
    /// As [`Self::cross_entropy`].
    pub fn conflict(
        &self,
        patches: Range<usize>,
        [targets, mask]: [&VoxelBytes; 2],
        scale: f64,
        gradient: &mut LogitsGradient,
    ) -> Result<f64> {
        let part = self.covered(&patches, [targets, mask])?;
        let to = self.place(&patches, gradient)?;
        self.queue.conflict(part, [&self.here(targets)?, &self.here(mask)?], scale, to)
    }

    /// The sum of `1 - cos` of two networks' probabilities. `scale` times its gradients are added.
    ///
    /// # Errors
    /// As [`Self::labels`], and where the other network's scores or a gradient do not fit.
    pub fn cosine(
        &self,
        patches: Range<usize>,
        other: OtherScores<'_>,
        scale: f64,
        [own, others]: [&mut LogitsGradient; 2],
    ) -> Result<f64> {
        let part = self.part(&patches)?;
        let beside = self.beside(part, &other)?;
        let gradients = [self.place(&patches, own)?, other.0.place(&other.1, others)?];
        self.queue.cosine(part, beside, scale, gradients)
    }

    /// The sums of the cross-entropies to pseudo-labels, weighted and of the reliable voxels (all where there is no mask), and of
    /// the divergences from a teacher. The gradient of both, each times its factor, is added.
    ///
    /// # Errors
    /// As [`Self::cross_entropy`] and [`Self::conflicts`].
    pub fn uncertainty(
        &self,
        patches: Range<usize>,
        teacher: OtherScores<'_>,
        (labels, reliable): (&VoxelBytes, Option<&VoxelBytes>),
        shares: UncertaintyShares,
        gradient: &mut LogitsGradient,
    ) -> Result<[f64; 2]> {
        let part = self.covered(&patches, [labels].into_iter().chain(reliable))?;
        let parts = [part, self.beside(part, &teacher)?];
        let to = self.place(&patches, gradient)?;
        let reliable = reliable.map(|reliable| self.here(reliable)).transpose()?;
        self.queue.uncertainty(parts, &self.here(labels)?, reliable.as_ref(), shares, to)
    }

    /// Logits of all patches.
    fn len(&self) -> usize {
        self.patches * self.classes * self.voxels
    }

    fn part(&self, patches: &Range<usize>) -> Result<Part> {
        if patches.start > patches.end || patches.end > self.patches {
            bail!("patches {patches:?} are not among the {} of a batch", self.patches);
        }
        let first = patches.start * self.classes * self.voxels;
        let [p, log_p] = [&self.p, &self.log_p].map(|planes| planes.at(first));
        let count = patches.len() * self.voxels;
        Ok(Part { p, log_p, count, voxels: self.voxels, classes: self.classes })
    }

    /// Patches of another network, voxel by voxel beside these.
    fn beside(&self, own: Part, (other, patches): &OtherScores<'_>) -> Result<Part> {
        let part = other.part(patches)?;
        let shape = |part: Part| [part.count, part.voxels, part.classes];
        if shape(part) != shape(own) || !Arc::ptr_eq(&self.queue.machine, &other.queue.machine) {
            bail!("class scores of {:?} and {:?} do not lie side by side on a GPU", shape(own), shape(part));
        }
        Ok(part)
    }

    /// The patches, where each of these has a byte for each voxel.
    fn covered<'a>(
        &self,
        patches: &Range<usize>,
        bytes: impl IntoIterator<Item = &'a VoxelBytes>,
    ) -> Result<Part> {
        let part = self.part(patches)?;
        if let Some(bytes) = bytes.into_iter().find(|bytes| bytes.len() != part.count) {
            bail!("targets cover {} voxels, the logits {}", bytes.len(), part.count);
        }
        Ok(part)
    }

    fn here(&self, bytes: &VoxelBytes) -> Result<Buffer> {
        bytes.on(&self.queue.machine)
    }

    /// Where the gradient of these patches begins.
    fn place(&self, patches: &Range<usize>, gradient: &LogitsGradient) -> Result<u64> {
        self.own(gradient)?;
        Ok(gradient.buffer.at(patches.start * self.classes * self.voxels))
    }

    fn own(&self, gradient: &LogitsGradient) -> Result<()> {
        let len = self.len();
        if gradient.len != len || !Arc::ptr_eq(&self.queue.machine, &gradient.queue.machine) {
            bail!("a gradient of {} values is not that of {len} logits", gradient.len);
        }
        Ok(())
    }
}

impl LogitsGradient {
    /// Adds what was found on the host.
    ///
    /// # Errors
    /// Where it has another size, or the device fails.
    pub fn add(&mut self, planes: &[f32]) -> Result<()> {
        if planes.len() != self.len {
            bail!("{} values cannot be added to a gradient of {}", planes.len(), self.len);
        }
        self.queue.add(&self.queue.copy(planes)?, &self.buffer, self.len)
    }
}
