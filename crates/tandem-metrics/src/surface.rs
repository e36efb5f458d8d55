//! The distances between two surfaces.

use crate::bits::{Bits, ones};
use crate::distance_transform::Envelope;
use rayon::prelude::*;

/// The distances between two surfaces, in the unit of the spacing: one entry per surface voxel, in array order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SurfaceDistances {
    /// From each surface voxel of the prediction to the nearest one of the reference.
    pub(crate) to_reference: Vec<f64>,
    /// From each surface voxel of the reference to the nearest one of the prediction.
    pub(crate) to_prediction: Vec<f64>,
}

impl SurfaceDistances {
    /// Both directed lists of two surfaces of one shape, neither of them empty.
    pub(crate) fn between([prediction, reference]: &[Bits; 2], spacing: [f64; 3]) -> Self {
        let (to_reference, to_prediction) = rayon::join(
            || distances(prediction, reference, spacing),
            || distances(reference, prediction, spacing),
        );
        SurfaceDistances { to_reference, to_prediction }
    }
}

/// From each voxel of one surface to the nearest voxel of another.
///
/// Distances within planes of constant i come from a scan along k and a lower envelope along j. Along i, only the
/// few voxels of the surface ask: each looks at the planes beside its own, the nearest first, until none can be nearer.
fn distances(from: &Bits, to: &Bits, spacing: [f64; 3]) -> Vec<f64> {
    let [ni, nj, nk] = from.shape();
    let mut planes = vec![f64::INFINITY; ni * nj * nk];
    let squared = planes.par_chunks_mut((nj * nk).max(1)).enumerate();
    squared.for_each_init(Plane::default, |work, (i, plane)| work.fill(to, i, spacing, plane));

    let at = |i: usize, place: usize| planes[i * nj * nk + place];
    let nearest = |i: usize, place: usize| {
        let mut best = at(i, place);
        for offset in 1..ni {
            let step = (offset as f64 * spacing[0]).powi(2);
            if step >= best || (offset > i && i + offset >= ni) {
                break;
            }
            if offset <= i {
                best = best.min(at(i - offset, place) + step);
            }
            if i + offset < ni {
                best = best.min(at(i + offset, place) + step);
            }
        }
        best.sqrt()
    };
    let of_plane = |i: usize| -> Vec<f64> {
        let rows = (0..nj).filter_map(|j| Some((j, from.row(i, j)?)));
        rows.flat_map(|(j, row)| ones(row).map(move |k| j * nk + k)).map(|place| nearest(i, place)).collect()
    };
    let of_planes: Vec<Vec<f64>> = (0..ni).into_par_iter().map(of_plane).collect();
    of_planes.concat()
}

/// Squared distances within a plane of constant i. It is reused from plane to plane.
#[derive(Default)]
struct Plane {
    /// The rows that hold a voxel: j.
    rows: Vec<usize>,
    /// Their squared distances along k, one row after the other.
    along_k: Vec<f64>,
    envelope: Envelope,
}

impl Plane {
    /// Fills one plane of squared distances; it stays infinite where the mask has no voxel in it.
    fn fill(&mut self, mask: &Bits, i: usize, spacing: [f64; 3], squared: &mut [f64]) {
        let [_, nj, nk] = mask.shape();
        self.rows.clear();
        self.along_k.clear();
        for j in 0..nj {
            let voxels = ones(mask.row(i, j).unwrap_or_default());
            let first = self.along_k.len();
            self.along_k.resize(first + nk, 0.0);
            if squares_along_row(voxels, spacing[2], &mut self.along_k[first..]) {
                self.rows.push(j);
            } else {
                self.along_k.truncate(first);
            }
        }
        if self.rows.is_empty() {
            return;
        }
        for k in 0..nk {
            let heights = self.rows.iter().zip(self.along_k[k..].iter().step_by(nk));
            self.envelope.fit(heights.map(|(&j, &height)| (j, height)), spacing[1]);
            self.envelope.values(nj, |j, value| squared[j * nk + k] = value);
        }
    }
}

/// Squared distances along a row to the nearest of some voxels; false, and nothing done, where there is none.
fn squares_along_row(mut voxels: impl Iterator<Item = usize>, step: f64, squared: &mut [f64]) -> bool {
    let Some(mut last) = voxels.next() else { return false };
    let end = squared.len();
    let mut fill = |range: std::ops::Range<usize>, nearest: usize| {
        for (k, value) in range.clone().zip(&mut squared[range]) {
            let distance = k.abs_diff(nearest) as f64 * step;
            *value = distance * distance;
        }
    };
    fill(0..last, last);
    for next in voxels {
        let middle = (last + next).div_ceil(2);
        fill(last..middle, last);
        fill(middle..next, next);
        last = next;
    }
    fill(last..end, last);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::tests::speckles;
    use crate::distance_transform;

    #[test]
    fn equals_the_whole_distance_transform_at_the_voxels_that_ask() {
        for shape in [(1, 1, 1), (1, 7, 13), (11, 1, 70), (9, 4, 1), (13, 11, 7), (5, 17, 19)] {
            for sparsity in [1, 2, 9, 60] {
                for spacing in [[1.0; 3], [0.8, 0.8, 2.5], [3.1, 0.01, 7.0], [1.0, 4.0, 0.3]] {
                    let (from, to) = (speckles(shape, 4), speckles(shape, sparsity));
                    let whole = distance_transform(to.view(), spacing);
                    let at = from.indexed_iter().filter(|(_, here)| **here).map(|(at, _)| whole[at]);
                    let ours = distances(&Bits::of(from.view()), &Bits::of(to.view()), spacing);
                    assert_eq!(ours.len(), at.clone().count());
                    for (ours, whole) in ours.into_iter().zip(at) {
                        assert!(ours == whole || (ours - whole).abs() <= 1e-9 * whole, "{ours} {whole}");
                    }
                }
            }
        }
    }
}
