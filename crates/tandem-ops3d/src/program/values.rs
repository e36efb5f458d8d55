//! What is asked of the values that a run kept.

use super::tape::{Kept, Tape};
use crate::cpu::element::Element;
use crate::cpu::rows::for_rows;
use crate::cpu::scratch::Scratch;
use crate::cpu::transpose::transpose;
use crate::deferred::{self, Voxels};
use crate::storage::filled;
use crate::voxel_bytes::VoxelBytes;
use candle_core::{Result, bail};

/// The values of a tape, whatever their storage and wherever they lie.
pub(super) trait Values {
    /// `(n, d, h, w, c)` of a value that can be read.
    fn dims(&self, value: usize) -> Result<[usize; 5]>;
    /// `(n, c, d, h, w)`.
    fn planes(&self, value: usize) -> Result<Vec<f32>>;
    /// As [`crate::deferred::Source::class_sums`].
    fn class_sums(
        &self,
        value: usize,
        voxels: Voxels,
        classes: &VoxelBytes,
        count: usize,
    ) -> Result<Vec<f64>>;
    /// As [`crate::Deferred::at`].
    fn at(&self, value: usize, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>>;
}

impl<S: Element> Values for Tape<S> {
    fn dims(&self, value: usize) -> Result<[usize; 5]> {
        let kept = self.kept.get(value).map(|kept| !matches!(kept, Kept::Nothing));
        dims_of_kept(value, self.dims.get(value), kept)
    }
    fn planes(&self, value: usize) -> Result<Vec<f32>> {
        let [n, d, h, w, c] = Values::dims(self, value)?;
        let mut voxels = Scratch::<f32>::take(n * c * d * h * w);
        for_rows(&mut voxels, w * c, |row, to| self.read_row(value, row, to));
        Ok(filled(voxels.len(), |planes| transpose(&voxels, n, [d * h * w, c], planes)))
    }
    fn class_sums(
        &self,
        value: usize,
        voxels: Voxels,
        classes: &VoxelBytes,
        count: usize,
    ) -> Result<Vec<f64>> {
        let classes = classes.values()?;
        Ok(deferred::class_sums(&|row, to| self.read_row(value, row, to), voxels, classes, count))
    }
    fn at(&self, value: usize, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>> {
        Ok(deferred::at(&|row, to| self.read_row(value, row, to), voxels, indices))
    }
}

/// The dims of a value, where there is one and the tape kept it.
pub(super) fn dims_of_kept(
    value: usize,
    dims: Option<&[usize; 5]>,
    kept: Option<bool>,
) -> Result<[usize; 5]> {
    match (dims, kept) {
        (Some(dims), Some(true)) => Ok(*dims),
        (Some(_), Some(false)) => bail!("value {value} of the program is not kept"),
        _ => bail!("the program has no value {value}"),
    }
}
