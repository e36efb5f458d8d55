//! A network's last layer: a 1x1x1 convolution to few classes, which is all memory and no arithmetic.

use super::simd::on_every_path;

/// Its weight `(classes, channels)` and bias.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

impl Head<'_> {
    pub(crate) fn classes(&self) -> usize {
        self.bias.len()
    }
    pub(crate) fn channels(&self) -> usize {
        self.weight.len() / self.bias.len()
    }
}

on_every_path! {
    /// The logits `(voxel, class)` of features `(voxel, channel)`.
    fn forward(head: &Head, features: &[f32], logits: &mut [f32]) {
        let channels = head.channels();
        for (x, y) in features.chunks_exact(channels).zip(logits.chunks_exact_mut(head.classes())) {
            for ((y, weight), bias) in y.iter_mut().zip(head.weight.chunks_exact(channels)).zip(head.bias) {
                *y = bias + dot(x, weight);
            }
        }
    }
}

/// A dot product in eight sums: a fixed order that vector units follow.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a_blocks, b_blocks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let pairs = [sums[0] + sums[4], sums[1] + sums[5], sums[2] + sums[6], sums[3] + sums[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + rest
}

on_every_path! {
    /// The gradient of the features is written, those of weight and bias are added to.
    fn backward(head: &Head, features: &[f32], grad: &[f32], dx: &mut [f32], dw: &mut [f32], db: &mut [f32]) {
        let (channels, classes) = (head.channels(), head.classes());
        let voxels = features.chunks_exact(channels).zip(grad.chunks_exact(classes));
        for ((x, grad), dx) in voxels.zip(dx.chunks_exact_mut(channels)) {
            dx.fill(0.0);
            for (class, grad) in grad.iter().enumerate() {
                let weight = &head.weight[class * channels..][..channels];
                let dw = &mut dw[class * channels..][..channels];
                db[class] += grad;
                for (((dx, dw), x), weight) in dx.iter_mut().zip(dw).zip(x).zip(weight) {
                    *dx += grad * weight;
                    *dw += grad * x;
                }
            }
        }
    }
}
