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
    /// The logits of one class from features `(voxel, channel)`.
    fn forward(head: &Head, class: usize, features: &[f32], logits: &mut [f32]) {
        let channels = head.channels();
        let (weight, bias) = (&head.weight[class * channels..][..channels], head.bias[class]);
        match channels {
            // Counts that the compiler knows.
            8 => forward_of::<8>(weight, bias, features, logits),
            16 => forward_of::<16>(weight, bias, features, logits),
            _ => {
                let voxels = logits.iter_mut().zip(features.chunks_exact(channels));
                voxels.for_each(|(y, x)| *y = bias + dot(x, weight));
            }
        }
    }
}

#[inline(always)]
fn forward_of<const C: usize>(weight: &[f32], bias: f32, features: &[f32], logits: &mut [f32]) {
    let mut own = [0.0; C];
    own.copy_from_slice(weight);
    let (voxels, _) = features.as_chunks::<C>();
    logits.iter_mut().zip(voxels).for_each(|(y, x)| *y = bias + dot(x, &own));
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
    /// From the gradient of one class's logits: that of the features `dx` and that of the class's weight are added to.
    fn backward(head: &Head, class: usize, features: &[f32], grad: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let channels = head.channels();
        let weight = &head.weight[class * channels..][..channels];
        match channels {
            8 => backward_of::<8>(weight, features, grad, dx, dw),
            16 => backward_of::<16>(weight, features, grad, dx, dw),
            _ => {
                let voxels = features.chunks_exact(channels).zip(dx.chunks_exact_mut(channels)).zip(grad);
                for ((x, dx), grad) in voxels {
                    for (((dx, dw), x), weight) in dx.iter_mut().zip(&mut *dw).zip(x).zip(weight) {
                        *dx += grad * weight;
                        *dw += grad * x;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn backward_of<const C: usize>(
    weight: &[f32],
    features: &[f32],
    grad: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
) {
    let (mut own, mut sums) = ([0.0f32; C], [0.0f32; C]);
    own.copy_from_slice(weight);
    let ((x, _), (dx, _)) = (features.as_chunks::<C>(), dx.as_chunks_mut::<C>());
    for ((x, dx), grad) in x.iter().zip(dx).zip(grad) {
        for c in 0..C {
            dx[c] += grad * own[c];
            sums[c] += grad * x[c];
        }
    }
    dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
}
