//! Dice loss.

use super::cross_entropy::{IGNORE, check_targets};
use crate::planes::{self, SPAN};
use crate::scores::{Live, Planes, add_through_softmax};
use candle_core::Result;
use tandem_ops3d::VoxelBytes;

const SMOOTH: f64 = 1e-5;

/// Which Dice loss of those in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiceForm {
    /// Whether the background is one of the classes that are averaged.
    pub background: bool,
    /// Whether probabilities are squared in the denominator.
    pub squared: bool,
}

impl DiceForm {
    /// That of the V-Net, UA-MT, MCF and Dual Networks: foreground classes, squared denominator.
    pub const FOREGROUND: Self = DiceForm { background: false, squared: true };
    /// That of SSL4MIS: all classes, squared denominator.
    pub const ALL_CLASSES: Self = DiceForm { background: true, squared: true };
    /// That of BCP: all classes, plain denominator.
    pub const PLAIN: Self = DiceForm { background: true, squared: false };

    /// The first class that is averaged.
    fn first(self) -> usize {
        usize::from(!self.background)
    }
}

/// Dice loss with a squared denominator, averaged over the foreground classes: [`dice_of`] with [`DiceForm::FOREGROUND`].
///
/// # Errors
/// As [`dice_of`].
///
/// # References
/// Milletari et al., "V-Net", 3DV 2016; batch-joint sums as in the released code of MCF (Wang et al., CVPR 2023).
pub fn dice(scores: &mut Live<'_>, targets: &VoxelBytes, weight: f64) -> Result<f64> {
    dice_of(scores, targets, DiceForm::FOREGROUND, weight)
}

/// Dice loss: the mean over classes of `1 - (2 sum(p_c y_c) + s) / (sum(p_c^2) + sum(y_c) + s)`, `s = 1e-5`, with `p_c` in place
/// of its square in the plain form.
///
/// The sums run over the voxels of all patches together that are not [`IGNORE`]d; for a mean over patches call it for each.
///
/// # Shapes
/// One target for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where targets are missing or name a class that the logits lack.
pub fn dice_of(scores: &mut Live<'_>, targets: &VoxelBytes, form: DiceForm, weight: f64) -> Result<f64> {
    let read = scores.detached();
    check_targets(read, targets)?;
    let terms = Terms { form, counts: targets.counts(read.classes())?.of_classes, weight };
    if let Some((gpu, patches, gradient)) = scores.on_gpu()? {
        return gpu.dice(patches, targets, form.squared, |sums| terms.of(sums), gradient);
    }
    let (read, targets) = (read.on_host()?, targets.values()?);
    let classes = read.classes;
    let sums: Vec<[f64; 2]> = (0..classes).map(|class| sums(read, targets, class, form.squared)).collect();
    let (value, [by_size, by_overlap]) = terms.of(&sums);
    scores.visit(|span, gradient| {
        let targets = &targets[span.voxels()];
        let mut slopes = vec![0.0; classes * span.len];
        for (c, slopes) in slopes.chunks_exact_mut(span.len).enumerate().skip(form.first()) {
            let (by_size, by_overlap) = (by_size[c], by_overlap[c]);
            for ((slope, &p), &target) in slopes.iter_mut().zip(read.p(c, span)).zip(targets) {
                let size = by_size * if form.squared { p } else { 1.0 };
                let overlap = if target == c as u8 { by_overlap } else { 0.0 };
                *slope = if target == IGNORE { 0.0 } else { size - overlap };
            }
        }
        add_through_softmax(read, span, &slopes, 1.0, gradient);
        []
    });
    Ok(value)
}

/// What makes the loss of the sums over voxels.
struct Terms {
    form: DiceForm,
    /// Voxels of each class.
    counts: Vec<usize>,
    weight: f64,
}

impl Terms {
    /// The loss from each class's overlap and size; and its derivatives: that by p is `by_size * (p or 1) - by_overlap * y`.
    fn of(&self, sums: &[[f64; 2]]) -> (f64, [Vec<f32>; 2]) {
        let (classes, first) = (sums.len(), self.form.first());
        let averaged = (classes - first) as f64;
        let (mut value, mut by_overlap, mut by_size) = (0.0, vec![0f32; classes], vec![0f32; classes]);
        for c in first..classes {
            let [overlap, size] = sums[c];
            let numerator = 2.0 * overlap + SMOOTH;
            let denominator = size + self.counts[c] as f64 + SMOOTH;
            value += (1.0 - numerator / denominator) / averaged;
            by_overlap[c] = (self.weight * 2.0 / denominator / averaged) as f32;
            let power = if self.form.squared { 2.0 } else { 1.0 };
            by_size[c] = (self.weight * power * numerator / denominator.powi(2) / averaged) as f32;
        }
        (value, [by_size, by_overlap])
    }
}

/// Of a class, where there is a target: the sum of p where it is the class, the sum of p or of its square.
fn sums(scores: Planes<'_>, targets: &[u8], class: usize, squared: bool) -> [f64; 2] {
    scores.sums(|span| {
        let [mut overlap, mut size] = [[0.0; SPAN]; 2];
        let voxels = scores.p(class, span).iter().zip(&targets[span.voxels()]);
        for ((overlap, size), (&p, &target)) in overlap.iter_mut().zip(&mut size).zip(voxels) {
            *overlap = if target == class as u8 { p } else { 0.0 };
            let of_voxel = if squared { p * p } else { p };
            *size = if target == IGNORE { 0.0 } else { of_voxel };
        }
        [planes::sum(&overlap), planes::sum(&size)]
    })
}
