//! Zero padding of channels-last images.

use super::scratch::Scratch;
use rayon::prelude::*;

/// A padded copy of `(n, d, h, w, c)` and its sides.
pub(crate) struct Padded {
    pub(crate) values: Scratch,
    pub(crate) sides: [usize; 3],
}

/// Copies an image between `before` and `after` zeros on each axis.
pub(crate) fn pad(image: &[f32], dims: [usize; 5], before: [usize; 3], after: [usize; 3]) -> Padded {
    let [batch, d, h, w, c] = dims;
    let sides = [0, 1, 2].map(|axis| before[axis] + dims[axis + 1] + after[axis]);
    let plane = sides[1] * sides[2] * c;
    let mut values = Scratch::take(batch * sides[0] * plane);
    if plane > 0 {
        values.par_chunks_mut(plane).enumerate().for_each(|(index, target)| {
            let (n, z) = (index / sides[0], index % sides[0]);
            if z < before[0] || z >= before[0] + d {
                return target.fill(0.0);
            }
            let source = &image[(n * d + z - before[0]) * h * w * c..][..h * w * c];
            pad_plane(source, [h, w * c], target, [before[1], before[2] * c], sides[2] * c);
        });
    }
    Padded { values, sides }
}

/// Copies the rows of a plane; `before` counts rows and values.
fn pad_plane(
    source: &[f32],
    [rows, width]: [usize; 2],
    target: &mut [f32],
    before: [usize; 2],
    target_width: usize,
) {
    if target_width == 0 {
        return;
    }
    for (y, target) in target.chunks_exact_mut(target_width).enumerate() {
        if y < before[0] || y >= before[0] + rows {
            target.fill(0.0);
            continue;
        }
        target[..before[1]].fill(0.0);
        target[before[1]..before[1] + width].copy_from_slice(&source[(y - before[0]) * width..][..width]);
        target[before[1] + width..].fill(0.0);
    }
}
