//! The exact Euclidean distance transform.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView1, ArrayView3, ArrayViewMut1, Axis};

/// The distance from each voxel to the nearest voxel of `mask`, between voxel centres, in the unit of `spacing`;
/// infinite everywhere where the mask is empty. The memory order of the result is not specified.
///
/// Exact for any spacing above zero, in time linear in the number of voxels: one scan along k, then the lower envelope
/// of parabolas along j and along i.
///
/// # References
/// P. F. Felzenszwalb and D. P. Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8 (2012).
pub fn distance_transform(mask: ArrayView3<bool>, spacing: [f64; 3]) -> Array3<f64> {
    let (ni, nj, nk) = mask.dim();
    let within_planes = squared_within_planes(mask, spacing);
    // Lines along i are written into planes of constant j, so that each task has a plane of its own.
    let mut distances = Array3::zeros((nj, ni, nk));
    let planes = distances.outer_iter_mut().into_par_iter().enumerate();
    planes.for_each_init(Envelope::default, |envelope, (j, mut plane)| {
        let lines = within_planes.index_axis(Axis(1), j);
        for (heights, mut line) in lines.columns().into_iter().zip(plane.columns_mut()) {
            envelope.fit(heights.iter().copied().enumerate(), spacing[0]);
            envelope.values(ni, |i, squared| line[i] = squared.sqrt());
        }
    });
    distances.permuted_axes([1, 0, 2])
}

/// Squared distances to the nearest voxel of the mask in the same plane of constant i.
fn squared_within_planes(mask: ArrayView3<bool>, spacing: [f64; 3]) -> Array3<f64> {
    let mut squared = Array3::zeros(mask.dim());
    let planes = squared.outer_iter_mut().into_par_iter().enumerate();
    planes.for_each_init(Envelope::default, |envelope, (i, mut plane)| {
        for (mask_row, row) in mask.index_axis(Axis(0), i).rows().into_iter().zip(plane.rows_mut()) {
            scan(mask_row, row, spacing[2]);
        }
        for mut line in plane.columns_mut() {
            envelope.fit(line.iter().copied().enumerate(), spacing[1]);
            envelope.values(line.len(), |j, squared| line[j] = squared);
        }
    });
    squared
}

/// Squared distances along one row, by a pass each way.
fn scan(mask: ArrayView1<bool>, mut squared: ArrayViewMut1<f64>, step: f64) {
    let mut voxels = f64::INFINITY;
    for (&here, value) in mask.iter().zip(&mut squared) {
        voxels = if here { 0.0 } else { voxels + 1.0 };
        *value = voxels;
    }
    for value in squared.iter_mut().rev() {
        voxels = if *value == 0.0 { 0.0 } else { voxels + 1.0 };
        let distance = voxels.min(*value) * step;
        *value = distance * distance;
    }
}

/// The lower envelope of the parabolas `height[p] + (x - p step)^2` of one line. It is reused from line to line, so
/// that nothing is allocated per line.
#[derive(Default)]
pub(crate) struct Envelope {
    /// The parabolas that are lowest somewhere, from left to right.
    parabolas: Vec<Parabola>,
    step: f64,
}

struct Parabola {
    position: f64,
    height: f64,
    /// Where it takes over from the one before.
    from: f64,
}

impl Envelope {
    /// Takes the parabolas of one line: index and height of each, in the order of the line.
    pub(crate) fn fit(&mut self, heights: impl Iterator<Item = (usize, f64)>, step: f64) {
        self.step = step;
        self.parabolas.clear();
        for (index, height) in heights {
            // No mask voxel there: a parabola at infinity is never the lowest.
            if height.is_infinite() {
                continue;
            }
            let position = index as f64 * step;
            let mut from = f64::NEG_INFINITY;
            while let Some(last) = self.parabolas.last() {
                from = crossing(last, position, height);
                if from > last.from {
                    break;
                }
                self.parabolas.pop();
                from = f64::NEG_INFINITY;
            }
            self.parabolas.push(Parabola { position, height, from });
        }
    }

    /// Hands out index and height of the envelope at the `len` voxels of the line; infinite where there is no parabola.
    pub(crate) fn values(&self, len: usize, mut put: impl FnMut(usize, f64)) {
        let Some(mut lowest) = self.parabolas.first() else {
            return (0..len).for_each(|index| put(index, f64::INFINITY));
        };
        let mut later = self.parabolas[1..].iter().peekable();
        for index in 0..len {
            let x = index as f64 * self.step;
            while let Some(next) = later.next_if(|next| next.from <= x) {
                lowest = next;
            }
            let offset = x - lowest.position;
            put(index, lowest.height + offset * offset);
        }
    }
}

/// Where the parabola at `position` falls below `last`, which lies to its left.
fn crossing(last: &Parabola, position: f64, height: f64) -> f64 {
    let rise = (height + position * position) - (last.height + last.position * last.position);
    rise / (2.0 * (position - last.position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::tests::speckles;
    use ndarray::Array3;

    /// The definition: the least distance to any mask voxel.
    fn by_definition(mask: &Array3<bool>, spacing: [f64; 3]) -> Array3<f64> {
        let points: Vec<_> = mask.indexed_iter().filter(|(_, on)| **on).map(|(at, _)| at).collect();
        Array3::from_shape_fn(mask.dim(), |(i, j, k)| {
            let squared = |&(a, b, c): &(usize, usize, usize)| {
                let offsets = [i as f64 - a as f64, j as f64 - b as f64, k as f64 - c as f64];
                offsets.iter().zip(spacing).map(|(offset, step)| (offset * step).powi(2)).sum::<f64>()
            };
            points.iter().map(squared).fold(f64::INFINITY, f64::min).sqrt()
        })
    }

    #[test]
    fn equals_the_definition_for_odd_shapes_and_anisotropic_spacing() {
        for shape in [(1, 1, 1), (1, 7, 13), (11, 1, 5), (9, 4, 1), (13, 11, 7), (5, 17, 19)] {
            for sparsity in [1, 2, 9, 60] {
                for spacing in [[1.0; 3], [0.625; 3], [0.8, 0.8, 2.5], [3.1, 0.01, 7.0]] {
                    let mask = speckles(shape, sparsity);
                    let (ours, expected) =
                        (distance_transform(mask.view(), spacing), by_definition(&mask, spacing));
                    assert_eq!(ours.dim(), shape);
                    for (at, &value) in expected.indexed_iter() {
                        // Rounding only: a few units in the last place of the largest squared position.
                        let close = ours[at] == value || (ours[at] - value).abs() <= 1e-9 * value;
                        assert!(close, "{shape:?} 1/{sparsity} {spacing:?} at {at:?}: {} {value}", ours[at]);
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_mask_is_infinitely_far() {
        let distances = distance_transform(Array3::from_elem((3, 4, 5), false).view(), [1.0; 3]);
        assert!(distances.iter().all(|&distance| distance == f64::INFINITY));
        assert_eq!(distance_transform(Array3::from_elem((0, 4, 5), true).view(), [1.0; 3]).len(), 0);
    }

    #[test]
    fn a_view_in_another_memory_order_gives_the_same() {
        let mask = speckles((6, 7, 8), 20);
        let spacing = [0.5, 1.0, 2.0];
        let turned = distance_transform(mask.view().permuted_axes([2, 1, 0]), [2.0, 1.0, 0.5]);
        assert_eq!(distance_transform(mask.view(), spacing).permuted_axes([2, 1, 0]).dim(), turned.dim());
        for (at, &distance) in by_definition(&mask, spacing).indexed_iter() {
            assert!((turned[[at.2, at.1, at.0]] - distance).abs() < 1e-12);
        }
    }
}
