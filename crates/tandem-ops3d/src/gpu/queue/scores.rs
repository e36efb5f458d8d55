//! What losses want of class scores, and add to the gradient of the logits. Both are planes `(n, classes, voxels)`, f32.

use super::{Argument, Buffer, Queue, int, long, pointer, summing, total};
use crate::class_scores::UncertaintyShares;
use candle_core::Result;

/// Some patches of class scores.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// Where softmax and log-softmax of the first patch begin.
    pub(crate) p: u64,
    pub(crate) log_p: u64,
    /// Voxels of all patches, and of one.
    pub(crate) count: usize,
    pub(crate) voxels: usize,
    pub(crate) classes: usize,
}

impl Part {
    fn ending(&self) -> Result<[Argument; 3]> {
        Ok([long(self.count), long(self.voxels), Argument::Int(int(self.classes)?)])
    }
}

impl Queue {
    /// Softmax and log-softmax of logits, into those of all patches.
    pub(crate) fn softmax(&self, logits: &Buffer, of: Part) -> Result<()> {
        self.each_voxel("softmax", of, [logits.into(), Argument::Pointer(of.p), Argument::Pointer(of.log_p)])
    }

    /// The likeliest class of each voxel.
    pub(crate) fn likeliest(&self, of: Part) -> Result<Buffer> {
        let labels = Buffer::new(&self.machine, of.count)?;
        self.each_voxel("likeliest_classes", of, [Argument::Pointer(of.log_p), (&labels).into()])?;
        Ok(labels)
    }

    /// The likeliest class of each voxel by the mean of one network or two; 255 where that is below a threshold.
    pub(crate) fn pseudo_labels(&self, of: Part, second: Option<Part>, threshold: f64) -> Result<Buffer> {
        let labels = Buffer::new(&self.machine, of.count)?;
        let second = second.map_or(0, |second| second.p);
        let scores = [of.p, second].map(Argument::Pointer);
        let rest = [Argument::Double(threshold), (&labels).into()];
        self.each_voxel("pseudo_labels", of, scores.into_iter().chain(rest))?;
        Ok(labels)
    }

    /// The entropy of each voxel.
    pub(crate) fn entropies(&self, of: Part) -> Result<Buffer> {
        let found = self.f32s(of.count)?;
        self.each_voxel("entropies", of, [Argument::Pointer(of.p), (&found).into()])?;
        Ok(found)
    }

    /// 1 where two networks say different things.
    pub(crate) fn conflicts(&self, a: Part, b: Part, threshold: f64) -> Result<Buffer> {
        let mask = Buffer::new(&self.machine, a.count)?;
        let scores = [a.p, a.log_p, b.p, b.log_p].map(Argument::Pointer);
        let rest = [Argument::Double(threshold), (&mask).into()];
        self.each_voxel("conflicts", a, scores.into_iter().chain(rest))?;
        Ok(mask)
    }

    /// The sum of the cross-entropies; `scale` times its gradient is added.
    pub(crate) fn cross_entropy(&self, of: Part, targets: &Buffer, scale: f64, gradient: u64) -> Result<f64> {
        let arguments = [
            Argument::Pointer(of.p),
            Argument::Pointer(of.log_p),
            targets.into(),
            Argument::Double(scale),
            Argument::Pointer(gradient),
        ];
        Ok(self.sums("cross_entropy", of, &arguments)?[0])
    }

    /// Of each class the sum of p where it is the target, and that of p or its square where there is a target.
    pub(crate) fn overlaps(&self, of: Part, targets: &Buffer, squared: bool) -> Result<Vec<[f64; 2]>> {
        let of_class = 2 * summing(of.count, 1);
        let partials = self.f64s(of.classes * of_class)?;
        for class in 0..of.classes {
            let [kind, squared] = [Argument::Int(int(class)?), Argument::Int(squared.into())];
            let to = partials.address() + (class * of_class * size_of::<f64>()) as u64;
            self.start_sums("overlaps", of, &[Argument::Pointer(of.p), targets.into(), kind, squared], to)?;
        }
        let of_blocks: Vec<f64> = partials.values(of.classes * of_class)?;
        Ok(of_blocks.chunks_exact(of_class).map(total).collect())
    }

    /// Adds a Dice loss's gradient, from its derivatives by the sizes and by the overlaps of all classes.
    pub(crate) fn add_dice(
        &self,
        of: Part,
        targets: &Buffer,
        [by_size, by_overlap]: [&[f32]; 2],
        squared: bool,
        gradient: u64,
    ) -> Result<()> {
        let (by_size, by_overlap) = (self.copy(by_size)?, self.copy(by_overlap)?);
        let arguments = [
            Argument::Pointer(of.p),
            targets.into(),
            (&by_size).into(),
            (&by_overlap).into(),
            Argument::Int(squared.into()),
            Argument::Pointer(gradient),
        ];
        self.each_voxel("dice", of, arguments)
    }

    /// The sum of squared errors where the mask is not 0; `scale / 2` times its gradient is added.
    pub(crate) fn conflict(
        &self,
        of: Part,
        [targets, mask]: [&Buffer; 2],
        scale: f64,
        gradient: u64,
    ) -> Result<f64> {
        let arguments = [
            Argument::Pointer(of.p),
            targets.into(),
            mask.into(),
            Argument::Double(scale),
            Argument::Pointer(gradient),
        ];
        Ok(self.sums("conflict", of, &arguments)?[0])
    }

    /// The sum of `1 - cos` of two networks; `scale` times its gradients are added.
    pub(crate) fn cosine(&self, a: Part, b: Part, scale: f64, gradients: [u64; 2]) -> Result<f64> {
        let [of_a, of_b] = gradients.map(Argument::Pointer);
        let arguments = [Argument::Pointer(a.p), Argument::Pointer(b.p), Argument::Double(scale), of_a, of_b];
        Ok(self.sums("cosine", a, &arguments)?[0])
    }

    /// The sums of weighted cross-entropies and of divergences; their gradient is added.
    pub(crate) fn uncertainty(
        &self,
        [student, teacher]: [Part; 2],
        labels: &Buffer,
        reliable: Option<&Buffer>,
        shares: UncertaintyShares,
        gradient: u64,
    ) -> Result<[f64; 2]> {
        let [p, log_p, taught, log_taught] =
            [student.p, student.log_p, teacher.p, teacher.log_p].map(Argument::Pointer);
        let arguments = [
            p,
            log_p,
            taught,
            log_taught,
            labels.into(),
            pointer(reliable),
            Argument::Double(shares.by_entropy),
            Argument::Double(shares.by_divergence),
            Argument::Int(shares.unweighted.into()),
            Argument::Int(shares.live.into()),
            Argument::Int(shares.of_reliable.into()),
            Argument::Pointer(gradient),
        ];
        self.sums("uncertainty", student, &arguments)
    }

    /// Runs a kernel that gives each voxel a thread.
    fn each_voxel(
        &self,
        kernel: &'static str,
        of: Part,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Result<()> {
        let arguments: Vec<Argument> = arguments.into_iter().chain(of.ending()?).collect();
        self.run_each(kernel, of.count, &arguments)
    }

    /// Runs a kernel that sums over voxels; its two sums.
    fn sums(&self, kernel: &'static str, of: Part, arguments: &[Argument]) -> Result<[f64; 2]> {
        let sums = 2 * summing(of.count, 1);
        let partials = self.f64s(sums)?;
        self.start_sums(kernel, of, arguments, partials.address())?;
        Ok(total(&partials.values::<f64>(sums)?))
    }

    /// Asks for a kernel that sums over voxels; two sums of each block go to an address.
    fn start_sums(&self, kernel: &'static str, of: Part, arguments: &[Argument], to: u64) -> Result<()> {
        let mut all = arguments.to_vec();
        all.push(Argument::Pointer(to));
        all.extend(of.ending()?);
        self.run(kernel, [summing(of.count, 1), 1, 1], &all)
    }
}
