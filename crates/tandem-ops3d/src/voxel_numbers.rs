//! A number for each voxel of some patches.

use crate::gpu::Buffer;
use crate::mirrored::Mirrored;
use crate::voxel_bytes::VoxelBytes;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// Values of a task.
const SPAN: usize = 2048;

/// An f32 number for each voxel of some patches, in the order (patch, i, j, k). As [`VoxelBytes`] they lie where they were made.
#[derive(Clone)]
pub struct VoxelNumbers(Arc<Mirrored<f32>>);

impl From<Vec<f32>> for VoxelNumbers {
    fn from(numbers: Vec<f32>) -> Self {
        VoxelNumbers(Arc::new(Mirrored::on_host(numbers)))
    }
}

impl std::fmt::Debug for VoxelNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VoxelNumbers of {} voxels", self.len())
    }
}

impl VoxelNumbers {
    pub(crate) fn on_gpu(numbers: Buffer, len: usize) -> Self {
        VoxelNumbers(Arc::new(Mirrored::on_gpu(numbers, len)))
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no voxel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers on the host.
    ///
    /// # Errors
    /// Where they lie on a GPU that fails.
    pub fn values(&self) -> Result<&[f32]> {
        self.0.values()
    }

    /// The numbers at some indices of the sorted numbers; nothing where one of all is NaN.
    ///
    /// # Errors
    /// As [`Self::values`], and where there are not as many.
    pub fn ranked<const N: usize>(&self, indices: [usize; N]) -> Result<Option<[f32; N]>> {
        if let Some(index) = indices.into_iter().find(|index| *index >= self.len()) {
            bail!("of {} numbers none has rank {index}", self.len());
        }
        if let Some((queue, there)) = self.0.only_on_gpu() {
            let places = queue.places_of_ranks(there, &indices, self.len())?;
            return Ok(places.map(|places| std::array::from_fn(|rank| at_place(places[rank]))));
        }
        let numbers = self.values()?;
        if numbers.par_chunks(SPAN).any(|numbers| numbers.iter().any(|x| x.is_nan())) {
            return Ok(None);
        }
        Ok(Some(indices.map(|index| ranked(numbers, index))))
    }

    /// A mask of the numbers that are at most a threshold; NaN is not.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn at_most(&self, threshold: f64) -> Result<VoxelBytes> {
        if let Some((queue, there)) = self.0.only_on_gpu() {
            let mask = queue.at_most(there, threshold, self.len())?;
            return Ok(VoxelBytes::on_gpu(mask, self.len(), VoxelBytes::MASK));
        }
        let numbers = self.values()?.par_iter().with_min_len(SPAN);
        Ok(numbers.map(|x| u8::from(f64::from(*x) <= threshold)).collect::<Vec<u8>>().into())
    }
}

/// Where a number stands in an order of all bits that is that of the numbers.
fn place(number: f32) -> u32 {
    let bits = number.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn at_place(place: u32) -> f32 {
    f32::from_bits(if place >> 31 == 1 { place & !(1 << 31) } else { !place })
}

/// Found among those that share the upper half of its place. None is NaN.
fn ranked(numbers: &[f32], index: usize) -> f32 {
    let upper = |number: f32| (place(number) >> 16) as usize;
    let counts = numbers.par_chunks(64 * SPAN).map(|numbers| {
        let mut counts = vec![0usize; 1 << 16];
        numbers.iter().for_each(|number| counts[upper(*number)] += 1);
        counts
    });
    let counts = counts.reduce(
        || vec![0; 1 << 16],
        |mut sum, counts| {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sum
        },
    );
    let (mut before, mut bin) = (0, 0);
    while before + counts[bin] <= index {
        before += counts[bin];
        bin += 1;
    }
    let mut near: Vec<f32> = numbers.par_iter().copied().filter(|number| upper(*number) == bin).collect();
    *near.select_nth_unstable_by(index - before, f32::total_cmp).1
}
