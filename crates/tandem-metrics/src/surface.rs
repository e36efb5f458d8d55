//! The distances between two surfaces.

use crate::bits::{Bits, nearest_one, ones};
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
/// A search of the rows around each voxel costs as many rows as a disc holds whose radius is the distance: little where the
/// surfaces are close, and very much where they are not. A transform of the whole box costs the same whatever the surfaces
/// are. A sample of the voxels says which of the two is cheaper.
fn distances(from: &Bits, to: &Bits, spacing: [f64; 3]) -> Vec<f64> {
    let [ni, nj, nk] = from.shape();
    let voxels = |i: usize| {
        let rows = (0..nj).filter_map(move |j| Some((j, from.row(i, j)?)));
        rows.flat_map(move |(j, row)| ones(row).map(move |k| [i, j, k]))
    };
    let sample =
        (0..ni).flat_map(voxels).step_by(SAMPLED).map(|at| nearest(to, at, spacing, f64::INFINITY).1);
    let (sampled, rows) = sample.fold((0, 0), |(sampled, rows), of_one| (sampled + 1, rows + of_one));
    let cost_of_search = rows * from.count() / sampled.max(1);
    let of_planes: Vec<Vec<f64>> = if cost_of_search < ROWS_FOR_A_VOXEL * ni * nj * nk {
        (0..ni).into_par_iter().map(|i| search(voxels(i), to, spacing)).collect()
    } else {
        let field = Field::of(to, spacing);
        (0..ni).into_par_iter().map(|i| voxels(i).map(|at| field.nearest(at)).collect()).collect()
    };
    of_planes.concat()
}

/// One voxel in so many is in the sample.
const SAMPLED: usize = 128;

/// So many rows can be searched in the time that the transform takes for a voxel.
const ROWS_FOR_A_VOXEL: usize = 2;

/// Distances of some voxels of a plane, each searched for no farther than the one before allows.
fn search(voxels: impl Iterator<Item = [usize; 3]>, to: &Bits, spacing: [f64; 3]) -> Vec<f64> {
    let mut before: Option<([usize; 3], f64)> = None;
    let distance = |at: [usize; 3]| {
        let most = before.map_or(f64::INFINITY, |(other, distance)| {
            let step = [0, 1, 2].map(|axis| at[axis].abs_diff(other[axis]) as f64 * spacing[axis]);
            // More than rounding can take away.
            (distance + step.iter().map(|step| step * step).sum::<f64>().sqrt()).powi(2) * (1.0 + 1e-9)
        });
        let distance = nearest(to, at, spacing, most).0.sqrt();
        before = Some((at, distance));
        distance
    };
    voxels.map(distance).collect()
}

/// The squared distance to the nearest voxel of a mask, where it is less than `most`, and the number of rows that were
/// looked at.
fn nearest(to: &Bits, [i, j, k]: [usize; 3], spacing: [f64; 3], most: f64) -> (f64, usize) {
    let [ni, nj, _] = to.shape();
    let square = |voxels: usize, axis: usize| (voxels as f64 * spacing[axis]).powi(2);
    // Both ways from a place, without counting the place itself twice.
    let both_ways = |at: usize, offset: usize, side: usize| {
        [(offset > 0).then(|| at.checked_sub(offset)).flatten(), Some(at + offset).filter(|at| *at < side)]
    };
    let (mut best, mut rows) = (most, 0);
    for along_i in 0..ni {
        let of_i = square(along_i, 0);
        if of_i >= best {
            break;
        }
        let planes = both_ways(i, along_i, ni);
        for along_j in 0..nj {
            let of_row = of_i + square(along_j, 1);
            if of_row >= best {
                break;
            }
            let lines = both_ways(j, along_j, nj);
            for (i, j) in planes.iter().flatten().flat_map(|i| lines.iter().flatten().map(move |j| (*i, *j)))
            {
                rows += 1;
                if let Some(along_k) = to.row(i, j).and_then(|row| nearest_one(row, k)) {
                    best = best.min(of_row + square(along_k, 2));
                }
            }
        }
    }
    (best, rows)
}

/// Squared distances to a mask within its planes of constant i: a scan along k and a lower envelope along j.
struct Field {
    shape: [usize; 3],
    planes: Vec<f64>,
    step: f64,
}

impl Field {
    fn of(mask: &Bits, spacing: [f64; 3]) -> Self {
        let [ni, nj, nk] = mask.shape();
        let mut planes = vec![f64::INFINITY; ni * nj * nk];
        let squared = planes.par_chunks_mut((nj * nk).max(1)).enumerate();
        squared.for_each_init(Plane::default, |work, (i, plane)| work.fill(mask, i, spacing, plane));
        Field { shape: [ni, nj, nk], planes, step: spacing[0] }
    }

    /// The distance of a voxel. Only the few of a surface ask, so that there is no envelope along i: the planes beside the
    /// voxel's own are looked at, the nearest first, until none can be nearer.
    fn nearest(&self, [i, j, k]: [usize; 3]) -> f64 {
        let [ni, nj, nk] = self.shape;
        let at = |i: usize| self.planes[(i * nj + j) * nk + k];
        let mut best = at(i);
        for offset in 1..ni {
            let step = (offset as f64 * self.step).powi(2);
            if step >= best {
                break;
            }
            if offset <= i {
                best = best.min(at(i - offset) + step);
            }
            if i + offset < ni {
                best = best.min(at(i + offset) + step);
            }
        }
        best.sqrt()
    }
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
                    let (from, to) = (Bits::of(from.view()), Bits::of(to.view()));
                    let voxels = || from.rows().flat_map(|(i, j, row)| ones(row).map(move |k| [i, j, k]));
                    let field = Field::of(&to, spacing);
                    let of_field: Vec<f64> = voxels().map(|at| field.nearest(at)).collect();
                    for ours in [distances(&from, &to, spacing), of_field, search(voxels(), &to, spacing)] {
                        assert_eq!(ours.len(), at.clone().count());
                        for (ours, whole) in ours.into_iter().zip(at.clone()) {
                            assert!(ours == whole || (ours - whole).abs() <= 1e-9 * whole, "{ours} {whole}");
                        }
                    }
                }
            }
        }
    }
}
