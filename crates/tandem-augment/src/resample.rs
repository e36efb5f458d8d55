//! A patch read at places between its voxels.

use ndarray::{Array3, Array4};

use crate::Patch;

/// The places where a row of voxels is read, in voxels of the patch, along i, j and k.
pub(crate) type Places<'a> = [&'a mut [f32]; 3];

/// A patch of the same shape whose row `(i, j)` is read at the places that `places` fills in.
///
/// Images are interpolated linearly; a label is that of the nearest voxel, so that classes are never mixed. Beyond its border a
/// patch goes on as at the border.
pub(crate) fn resampled(patch: &Patch, mut places: impl FnMut([usize; 2], Places<'_>)) -> Patch {
    let (shape, grid) = (patch.shape(), Grid::of(patch.shape()));
    let mut image = Array4::zeros(patch.image().dim());
    let mut label = patch.label().map(|label| Array3::zeros(label.dim()));
    // The arrays of a patch lie in order, as fresh ones do.
    let images = (patch.image().as_slice().unwrap_or_default(), image.as_slice_mut().unwrap_or_default());
    let mut labels = patch
        .label()
        .and_then(|label| label.as_slice())
        .zip(label.as_mut().and_then(|label| label.as_slice_mut()));
    let voxels = shape.iter().product::<usize>().max(1);
    let [mut at_i, mut at_j, mut at_k] = [0; 3].map(|_| vec![0f32; shape[2]]);
    let mut corners = vec![Corner::default(); shape[2]];
    for row in 0..shape[0] * shape[1] {
        places([row / shape[1], row % shape[1]], [&mut at_i, &mut at_j, &mut at_k]);
        let at = at_i.iter().zip(&at_j).zip(&at_k).map(|((i, j), k)| [*i, *j, *k]);
        let here = row * shape[2]..(row + 1) * shape[2];
        if let Some((from, to)) = &mut labels {
            to[here.clone()].iter_mut().zip(at.clone()).for_each(|(to, at)| *to = from[grid.nearest(at)]);
        }
        corners.iter_mut().zip(at).for_each(|(corner, at)| *corner = grid.corner(at));
        for (from, to) in images.0.chunks_exact(voxels).zip(images.1.chunks_exact_mut(voxels)) {
            to[here.clone()].iter_mut().zip(&corners).for_each(|(to, corner)| *to = corner.of(from));
        }
    }
    Patch::on_one_grid(image, label, patch.spacing())
}

/// Where voxels of a patch lie in memory.
struct Grid {
    strides: [usize; 3],
    /// The last voxel along i, j, k.
    last: [f32; 3],
}

impl Grid {
    fn of([i, j, k]: [usize; 3]) -> Self {
        Grid { strides: [j * k, k, 1], last: [i, j, k].map(|side| side.saturating_sub(1) as f32) }
    }

    fn corner(&self, at: [f32; 3]) -> Corner {
        let mut corner = Corner::default();
        for axis in 0..3 {
            let place = at[axis].clamp(0.0, self.last[axis]);
            let below = place as usize;
            corner.first += below * self.strides[axis];
            corner.share[axis] = place - below as f32;
            // The last voxel has no next one, nor a share of it.
            corner.next[axis] = if corner.share[axis] > 0.0 { self.strides[axis] } else { 0 };
        }
        corner
    }

    fn nearest(&self, at: [f32; 3]) -> usize {
        (0..3).map(|axis| (at[axis].clamp(0.0, self.last[axis]) + 0.5) as usize * self.strides[axis]).sum()
    }
}

/// The eight voxels around a place.
#[derive(Clone, Copy, Default)]
struct Corner {
    first: usize,
    /// From one voxel to the next along i, j, k.
    next: [usize; 3],
    /// The share of the next one.
    share: [f32; 3],
}

impl Corner {
    fn of(&self, voxels: &[f32]) -> f32 {
        let ([ni, nj, nk], [si, sj, sk]) = (self.next, self.share);
        let between = |a: f32, b: f32, share: f32| a + share * (b - a);
        let along_k = |at: usize| between(voxels[at], voxels[at + nk], sk);
        let along_j = |at: usize| between(along_k(at), along_k(at + nj), sj);
        between(along_j(self.first), along_j(self.first + ni), si)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbered;

    /// The patch read at places that are shifted by so many voxels.
    fn shifted(patch: &Patch, [di, dj, dk]: [f32; 3]) -> Patch {
        resampled(patch, |[i, j], [at_i, at_j, at_k]| {
            at_i.fill(i as f32 + di);
            at_j.fill(j as f32 + dj);
            at_k.iter_mut().enumerate().for_each(|(k, at)| *at = k as f32 + dk);
        })
    }

    #[test]
    fn voxels_are_themselves_and_linear_between() {
        let patch = numbered([4, 5, 6]);
        assert_eq!(shifted(&patch, [0.0; 3]), patch);
        let read = shifted(&patch, [0.5, 0.25, 0.75]);
        for ((c, i, j, k), value) in
            read.image().indexed_iter().filter(|((_, i, j, k), _)| *i < 3 && *j < 4 && *k < 5)
        {
            let mut expected = 0.0;
            for (ni, nj, nk) in (0..8).map(|n| (n >> 2, n >> 1 & 1, n & 1)) {
                let share = 0.5 * [0.75, 0.25][nj] * [0.25, 0.75][nk];
                expected += share * f64::from(patch.image()[[c, i + ni, j + nj, k + nk]]);
            }
            assert!((f64::from(*value) - expected).abs() < 1e-4, "{value} {expected}");
        }
    }

    #[test]
    fn labels_are_those_of_the_nearest_voxel_and_the_border_goes_on() {
        let patch = numbered([4, 5, 6]);
        let read = shifted(&patch, [0.4, -0.4, 0.6]);
        for ((i, j, k), class) in read.label().unwrap().indexed_iter() {
            assert_eq!(*class, patch.label().unwrap()[[i, j, (k + 1).min(5)]]);
        }
        let far = shifted(&patch, [-9.0, 9.0, 0.0]);
        assert_eq!(far.image()[[1, 2, 2, 3]], patch.image()[[1, 0, 4, 3]]);
        assert_eq!(far.label().unwrap()[[2, 2, 3]], patch.label().unwrap()[[0, 4, 3]]);
    }
}
