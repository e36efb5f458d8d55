//! Consistency of several heads with their mean.

use crate::planes::{self, SPAN, Span};
use crate::scores::{Live, Planes, add_through_softmax};
use candle_core::{Result, bail};
use rayon::prelude::*;
use tandem_ops3d::elementary::{exp, ln};

/// The two parts of the loss; their sum is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pyramid {
    /// The squared differences, rectified.
    pub rectified: f64,
    /// The divergences.
    pub divergence: f64,
}

/// Uncertainty-rectified pyramid consistency: every head is drawn to the mean of all, least where it is far from it.
///
/// With the mean `q` of the softmaxes `p_s`, a voxel's divergence `D_s = KL(q || p_s)` and means over voxels (and classes), the mean
/// over heads of `mean(exp(-D_s) (q - p_s)^2) / (mean(exp(-D_s)) + 1e-8) + mean(D_s)`. Everything is live: `q`, and `D_s` inside
/// the exponential.
///
/// # Errors
/// Where there is no head, or the heads cover different numbers of voxels or classes.
///
/// # References
/// Luo et al., "Efficient semi-supervised gross target volume of nasopharyngeal carcinoma segmentation via uncertainty rectified
/// pyramid consistency", MICCAI 2021, as the released code computes it.
pub fn pyramid(heads: &mut [Live<'_>], weight: f64) -> Result<Pyramid> {
    let Some(first) = heads.first().map(Live::detached) else { bail!("a pyramid needs a head") };
    for read in heads.iter().map(Live::detached) {
        first.check_voxels("the scores of a head", read.voxels())?;
        if read.classes() != first.classes() {
            bail!("the heads of a pyramid have {} and {} classes", first.classes(), read.classes());
        }
    }
    let (count, classes, voxels) = (heads.len() as f64, first.classes() as f64, first.voxels().max(1) as f64);
    let reads: Vec<Planes> = heads.iter().map(|head| head.detached().on_host()).collect::<Result<_>>()?;
    let first = reads[0];
    let mean = first.per_class(|span, mean| {
        for (class, mean) in mean.iter_mut().enumerate() {
            for read in &reads {
                mean.iter_mut().zip(read.p(class, span)).for_each(|(mean, p)| *mean += p / count as f32);
            }
        }
    });
    let mean_of = |class: usize, span: Span| &mean[span.of_class(class, first.classes)];

    let mut found = Pyramid { rectified: 0.0, divergence: 0.0 };
    let share = weight / count;
    // Of each head and voxel, the derivatives by its divergence and by its squared difference.
    let mut slopes = Vec::with_capacity(reads.len());
    for read in &reads {
        let mut distances = distances(*read, mean_of);
        let [products, weights, divergence] = read.sums(|span| {
            let [mut products, mut weights, mut divergences] = [[0.0; SPAN]; 3];
            let sums = products.iter_mut().zip(&mut weights).zip(&mut divergences);
            for (((product, weight), sum), [divergence, square]) in sums.zip(&distances[span.voxels()]) {
                (*weight, *sum) = (exp(-divergence), *divergence);
                *product = *weight * square;
            }
            [planes::sum(&products), planes::sum(&weights), planes::sum(&divergences)]
        });
        let weights = weights / voxels + 1e-8;
        let rectified = products / voxels / classes / weights;
        found.rectified += rectified / count;
        found.divergence += divergence / voxels / count;
        let scale = (share / voxels) as f32;
        let (rectified, per_weight, classes) = (rectified as f32, (1.0 / weights) as f32, classes as f32);
        distances.par_iter_mut().with_min_len(SPAN).for_each(|[divergence, square]| {
            let weight = exp(-*divergence) * per_weight;
            *divergence = scale * (1.0 + weight * (rectified - *square / classes));
            *square = scale * weight / classes;
        });
        slopes.push(distances);
    }

    // By the mean itself.
    let by_mean = first.per_class(|span, by_mean| {
        for (class, by_mean) in by_mean.iter_mut().enumerate() {
            for (read, slopes) in reads.iter().zip(&slopes) {
                let scores = read.p(class, span).iter().zip(read.log_p(class, span));
                let voxels = mean_of(class, span).iter().zip(scores).zip(&slopes[span.voxels()]);
                for (sum, ((&mean, (&p, log_p)), [by_divergence, by_square])) in
                    by_mean.iter_mut().zip(voxels)
                {
                    *sum += by_divergence * (log(mean) - log_p) + 2.0 * by_square * (mean - p);
                }
            }
        }
    });
    for ((head, read), slopes) in heads.iter_mut().zip(&reads).zip(&slopes) {
        head.visit(|span, gradient| {
            let slopes = &slopes[span.voxels()];
            let mut by_p = vec![0.0; read.classes * span.len];
            for (class, (by_p, gradient)) in
                by_p.chunks_exact_mut(span.len).zip(gradient.iter_mut()).enumerate()
            {
                let by_mean = &by_mean[span.of_class(class, read.classes)];
                let scores = mean_of(class, span).iter().zip(read.p(class, span)).zip(by_mean).zip(slopes);
                for ((by_p, gradient), (((mean, p), by_mean), [by_divergence, by_square])) in
                    by_p.iter_mut().zip(gradient.iter_mut()).zip(scores)
                {
                    *by_p = by_mean / count as f32 - 2.0 * by_square * (mean - p);
                    *gradient += by_divergence * (p - mean);
                }
            }
            add_through_softmax(*read, span, &by_p, 1.0, gradient);
            []
        });
    }
    Ok(found)
}

/// Of each voxel the divergence from the mean, and the squared difference summed over classes.
fn distances<'a>(read: Planes<'_>, mean_of: impl Fn(usize, Span) -> &'a [f32] + Sync) -> Vec<[f32; 2]> {
    read.per_voxel(|span, distances: &mut [[f32; 2]]| {
        for class in 0..read.classes {
            let scores = read.p(class, span).iter().zip(read.log_p(class, span));
            let voxels = mean_of(class, span).iter().zip(scores);
            for ([divergence, square], (&mean, (&p, log_p))) in distances.iter_mut().zip(voxels) {
                *divergence += mean * (log(mean) - log_p);
                *square += (mean - p) * (mean - p);
            }
        }
    })
}

/// A logarithm that stays finite, so that 0 ln 0 is 0.
fn log(mean: f32) -> f32 {
    ln(mean.max(f32::MIN_POSITIVE))
}
