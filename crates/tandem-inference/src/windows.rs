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
