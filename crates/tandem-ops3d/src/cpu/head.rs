//! A network's last layer: a 1x1x1 convolution to few classes, which is all memory and no arithmetic.

use super::simd::{Lanes, Unit, Work, on_every_path, on_unit, squares};

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

/// The logits of a row of voxels from their features `(voxel, channel)`, a row for each class. Where there is a vector of both, voxels
/// come to lie side by side first, in `room` for a vector of each channel: sums across a vector would cost more than the products.
pub(crate) fn forward(head: &Head, features: &[f32], room: &mut Vec<f32>, logits: &mut [&mut [f32]]) {
    let channels = head.channels();
    let voxels = features.len() / channels;
    assert!(logits.iter().all(|logits| logits.len() == voxels), "a head's logits have another size");
    if let Some(unit) = Unit::for_squares([voxels, channels]) {
        room.resize(channels * unit.lanes(), 0.0);
        // SAFETY: the unit is this process's; both sides are a vector wide at least, and the room has one of each channel.
        return unsafe { on_unit(unit, Row { head, features, room, logits }) };
    }
    for (class, logits) in logits.iter_mut().enumerate() {
        let (weight, bias) = (&head.weight[class * channels..][..channels], head.bias[class]);
        for (y, x) in logits.iter_mut().zip(features.chunks_exact(channels)) {
            *y = bias + x.iter().zip(weight).map(|(x, weight)| x * weight).sum::<f32>();
        }
    }
}

/// A row of voxels.
struct Row<'a, 'b> {
    head: &'a Head<'a>,
    features: &'a [f32],
    room: &'a mut [f32],
    logits: &'a mut [&'b mut [f32]],
}

impl Work for Row<'_, '_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let channels = self.head.channels();
        let room = self.room.as_mut_ptr();
        for voxel in squares(self.features.len() / channels, L::COUNT) {
            // SAFETY: squares lie inside of features and room, and rows of logits are as long as the row of voxels.
            unsafe {
                for channel in squares(channels, L::COUNT) {
                    let from = self.features[voxel * channels + channel..].as_ptr();
                    L::transpose((from, channels), (room.add(channel * L::COUNT), L::COUNT));
                }
                let classes = self.head.weight.chunks_exact(channels).zip(self.head.bias);
                for ((weight, bias), logits) in classes.zip(&mut *self.logits) {
                    // Two sums: an addition waits for the one before.
                    let mut sums = [L::splat(*bias), L::splat(0.0)];
                    for (channel, weight) in weight.iter().enumerate() {
                        let values = L::load(room.add(channel * L::COUNT));
                        sums[channel % 2] = sums[channel % 2].add_product(L::splat(*weight), values);
                    }
                    sums[0].add(sums[1]).store(logits[voxel..].as_mut_ptr());
                }
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_weighted_sums_whatever_the_sides() {
        let sides = [
            [1, 1, 2],
            [7, 16, 3],
            [40, 7, 2],
            [8, 8, 1],
            [16, 9, 2],
            [33, 17, 2],
            [31, 40, 3],
            [112, 16, 2],
        ];
        // One room for all: what an earlier row left there must not matter.
        let mut room = vec![f32::NAN; 3];
        for [voxels, channels, classes] in sides {
            let mut draws = tandem_random::Draws::new(11, "head", voxels as u64, channels as u64);
            let mut random = |len: usize| (0..len).map(|_| draws.normal() as f32).collect::<Vec<f32>>();
            let [features, weight, bias] = [voxels * channels, classes * channels, classes].map(&mut random);
            let head = Head { weight: &weight, bias: &bias };
            let mut logits = vec![vec![f32::NAN; voxels]; classes];
            let mut rows: Vec<&mut [f32]> = logits.iter_mut().map(Vec::as_mut_slice).collect();
            forward(&head, &features, &mut room, &mut rows);
            for (class, logits) in logits.iter().enumerate() {
                for (voxel, logit) in logits.iter().enumerate() {
                    let products = (0..channels).map(|c| {
                        f64::from(features[voxel * channels + c]) * f64::from(weight[class * channels + c])
                    });
                    let expected = f64::from(bias[class]) + products.sum::<f64>();
                    assert!(
                        (f64::from(*logit) - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
                        "{voxels} voxels, {channels} channels: {logit} {expected}"
                    );
                }
            }
        }
    }
}
