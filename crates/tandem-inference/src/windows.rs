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
    /// Windows that pass a network at once, at the most: see [`Self::at_once`]. It changes memory and speed, not the result.
    pub batch: usize,
    /// Whether each window is seen in all eight mirror images, along none, one, two or three of its axes, whose softmaxes
    /// are turned back and averaged: eight times the work.
    pub mirror: bool,
}

/// Voxels that fill all cores. More at once take memory and save no time.
const ENOUGH: usize = 1 << 20;

impl SlidingWindow {
    /// Windows that pass a network at once: the batch, or as many as have 2^20 voxels together, one at least.
    pub fn at_once(&self) -> usize {
        let voxels = self.patch.iter().product::<usize>();
        self.batch.min((ENOUGH / voxels.max(1)).max(1))
    }

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

    /// The images of each window that networks see, the window itself first.
    pub(crate) fn images(&self) -> Vec<[bool; 3]> {
        let all = (0..8).map(|image: u8| [0, 1, 2].map(|axis| image >> axis & 1 == 1));
        all.take(if self.mirror { 8 } else { 1 }).collect()
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

    /// How many windows there are.
    pub(crate) fn windows(&self) -> usize {
        self.starts.iter().map(Vec::len).product()
    }

    /// The windows layer by layer: those that start at the same index along i, which comes first. Given is the first voxel
    /// of each in the padded image; k runs fastest.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (usize, Vec<[usize; 3]>)> {
        let [along_i, along_j, along_k] = &self.starts;
        along_i.iter().map(move |&i| {
            let row = |&j: &usize| along_k.iter().map(move |&k| [i, j, k]);
            (i, along_j.iter().flat_map(row).collect())
        })
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

    const WINDOW: SlidingWindow =
        SlidingWindow { patch: [16; 3], stride: [6, 6, 4], batch: 1, mirror: false };

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
            let ours = grid.layers().flat_map(|(_, starts)| starts).flatten().map(|start| start as i32);
            assert_eq!(ours.collect::<Vec<_>>(), numbers.collect::<Vec<_>>(), "{case}");

            assert_eq!(grid.windows(), grid.layers().map(|(_, starts)| starts.len()).sum::<usize>());
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
    fn large_windows_pass_one_by_one() {
        let at_once = |patch, batch| SlidingWindow { patch, batch, ..WINDOW }.at_once();
        assert_eq!([at_once([112, 112, 80], 4), at_once([160; 3], 4), at_once([96, 96, 48], 4)], [1, 1, 2]);
        assert_eq!(
            [at_once([64, 64, 32], 4), at_once([64, 64, 32], 1), at_once([64, 64, 32], 100)],
            [4, 1, 8]
        );
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
