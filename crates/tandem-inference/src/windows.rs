//! Where the windows lie.

use crate::{Error, Result};
use ndarray::{Array3, CowArray, Ix3, Slice};
use std::ops::Range;

/// A window that slides over an image, as in the released code of UA-MT and MCF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Voxels of the window along i, j, k; the size the networks were trained at.
    pub patch: [usize; 3],
    /// Voxels from one window to the next; at most the patch.
    pub stride: [usize; 3],
    /// Windows that pass a network at once. It changes memory and speed, not the result.
    pub batch: usize,
}

impl SlidingWindow {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |field, problem: String| Err(Error::Window { field, problem });
        if self.patch.contains(&0) {
            return wrong("patch", format!("{:?} must be at least 1 along every axis", self.patch));
        }
        if self.stride.contains(&0) || self.stride.iter().zip(&self.patch).any(|(stride, side)| stride > side)
        {
            let limits = format!("must be from 1 to the patch {:?}, else voxels are missed", self.patch);
            return wrong("stride", format!("{:?} {limits}", self.stride));
        }
        if self.batch == 0 {
            return wrong("batch", "must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// The windows over one image, which is padded with zeros where it is smaller than the patch.
#[derive(Debug)]
pub(crate) struct Grid {
    patch: [usize; 3],
    image: [usize; 3],
    /// Zeros before the image along each axis: half of those that are missing, rounded down.
    before: [usize; 3],
    padded: [usize; 3],
    /// First voxels of the windows along each axis, in the padded image.
    starts: [Vec<usize>; 3],
}

impl Grid {
    /// The windows over an image of shape `image`. The window has passed its check.
    pub(crate) fn new(image: [usize; 3], window: &SlidingWindow) -> Self {
        let axes = [0, 1, 2];
        let padded = axes.map(|axis| image[axis].max(window.patch[axis]));
        Grid {
            patch: window.patch,
            image,
            before: axes.map(|axis| (padded[axis] - image[axis]) / 2),
            padded,
            starts: axes.map(|axis| starts(padded[axis], window.patch[axis], window.stride[axis])),
        }
    }

    /// The first voxel of every window in the padded image; k runs fastest.
    pub(crate) fn starts(&self) -> Vec<[usize; 3]> {
        let [along_i, along_j, along_k] = &self.starts;
        let rows = along_i.iter().flat_map(|&i| along_j.iter().map(move |&j| (i, j)));
        rows.flat_map(|(i, j)| along_k.iter().map(move |&k| [i, j, k])).collect()
    }

    /// The shape of a window.
    pub(crate) fn patch(&self) -> [usize; 3] {
        self.patch
    }

    /// The shape of the padded image.
    pub(crate) fn padded(&self) -> [usize; 3] {
        self.padded
    }

    /// The image with its padding.
    pub(crate) fn pad<'a>(&self, image: &'a Array3<f32>) -> CowArray<'a, f32, Ix3> {
        if self.padded == self.image {
            return image.into();
        }
        let mut padded = Array3::zeros(self.padded);
        let inside = self.inside();
        padded.slice_each_axis_mut(|axis| Slice::from(inside[axis.axis.index()].clone())).assign(image);
        padded.into()
    }

    /// Where the image lies in the padded one.
    pub(crate) fn inside(&self) -> [Range<usize>; 3] {
        [0, 1, 2].map(|axis| self.before[axis]..self.before[axis] + self.image[axis])
    }

    /// The voxels of the window that starts at `start`.
    pub(crate) fn window(&self, start: [usize; 3]) -> [Range<usize>; 3] {
        [0, 1, 2].map(|axis| start[axis]..start[axis] + self.patch[axis])
    }

    /// How many windows hold each index along each axis. A voxel is in the product of its three counts.
    pub(crate) fn counts(&self) -> [Vec<u32>; 3] {
        [0, 1, 2].map(|axis| {
            let mut counts = vec![0; self.padded[axis]];
            for &start in &self.starts[axis] {
                counts[start..start + self.patch[axis]].iter_mut().for_each(|count| *count += 1);
            }
            counts
        })
    }
}

/// First voxels of the windows along one axis: every `stride` voxels, the last one moved back to end with the image.
fn starts(side: usize, patch: usize, stride: usize) -> Vec<usize> {
    let last = side - patch;
    (0..=last.div_ceil(stride)).map(|index| (index * stride).min(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    const WINDOW: SlidingWindow = SlidingWindow { patch: [16; 3], stride: [6, 6, 4], batch: 1 };

    /// Starts and counts of the released code's loop, for one image larger and one partly smaller than the patch.
    #[test]
    fn windows_lie_where_the_released_code_puts_them() {
        let bytes = include_bytes!("../tests/golden/windows.safetensors");
        let file = SafeTensors::deserialize(bytes).unwrap();
        for (case, image) in [("exact_and_ragged", [24, 22, 20]), ("padded", [13, 20, 11])] {
            let grid = Grid::new(image, &WINDOW);
            let expected = file.tensor(&format!("{case}/starts")).unwrap();
            let numbers =
                expected.data().chunks(4).map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()));
            let ours = grid.starts().into_iter().flatten().map(|start| start as i32);
            assert_eq!(ours.collect::<Vec<_>>(), numbers.collect::<Vec<_>>(), "{case}");

            let counts = grid.counts();
            let inside = grid.inside();
            let expected = file.tensor(&format!("{case}/count")).unwrap();
            let [ni, nj, nk] = image;
            let shape: Vec<usize> = expected.shape().to_vec();
            assert_eq!(shape, [ni, nj, nk]);
            for (at, &count) in expected.data().iter().enumerate() {
                let index = [at / (nj * nk), at / nk % nj, at % nk];
                let ours: u32 = (0..3).map(|axis| counts[axis][inside[axis].start + index[axis]]).product();
                assert_eq!(ours, u32::from(count), "{case} {index:?}");
            }
        }
    }

    #[test]
    fn starts_end_with_the_image_and_leave_no_gap() {
        assert_eq!(starts(16, 16, 5), [0]);
        assert_eq!(starts(17, 16, 5), [0, 1]);
        assert_eq!(starts(26, 16, 5), [0, 5, 10]);
        for (side, patch, stride) in [(40, 16, 16), (41, 16, 16), (100, 7, 3), (9, 9, 1), (33, 32, 31)] {
            let starts = starts(side, patch, stride);
            assert_eq!((starts[0], starts[starts.len() - 1]), (0, side - patch));
            assert!(starts.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= patch));
        }
    }

    #[test]
    fn padding_is_half_before_and_the_rest_after() {
        let grid = Grid::new([13, 20, 11], &WINDOW);
        assert_eq!(grid.inside(), [1..14, 0..20, 2..13]);
        let image = Array3::from_elem((13, 20, 11), 1.0);
        let padded = grid.pad(&image);
        assert_eq!(padded.dim(), (16, 20, 16));
        assert_eq!(padded.sum(), image.sum());
        assert_eq!((padded[[0, 3, 5]], padded[[1, 3, 2]], padded[[13, 3, 12]]), (0.0, 1.0, 1.0));
        assert_eq!((padded[[1, 3, 1]], padded[[14, 3, 5]], padded[[13, 3, 13]]), (0.0, 0.0, 0.0));
    }
}
