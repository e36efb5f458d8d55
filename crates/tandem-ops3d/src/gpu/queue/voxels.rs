//! What is counted and picked among the bytes and numbers of voxels.

use super::{Argument, Buffer, Queue, int, long, summing};
use candle_core::Result;

/// Bounds that [`Queue::count_before`] counts at once, as `voxels.cu` has it.
pub(crate) const BOUNDS: usize = 16;

impl Queue {
    /// How many bytes of each span are each class, and 255: `(classes + 1, spans)`.
    pub(crate) fn count_bytes(
        &self,
        bytes: &Buffer,
        count: usize,
        span: usize,
        classes: usize,
    ) -> Result<Vec<i32>> {
        let spans = count.div_ceil(span);
        let len = (classes + 1) * spans;
        let counts = Buffer::new(&self.machine, len * size_of::<i32>())?;
        let [span, classes] = [Argument::Int(int(span)?), Argument::Int(int(classes)?)];
        let arguments = [bytes.into(), (&counts).into(), long(count), span, classes, long(spans)];
        self.run_each("count_bytes", spans, &arguments)?;
        counts.values(len)
    }

    /// The voxels that hold a byte for the so-and-so-manieth time behind a first voxel: of each place first voxel and rank.
    pub(crate) fn find_bytes(
        &self,
        bytes: &Buffer,
        count: usize,
        wanted: u8,
        places: &[i64],
    ) -> Result<Vec<i64>> {
        let len = places.len() / 2;
        let (there, found) =
            (Buffer::of(&self.machine, places)?, Buffer::new(&self.machine, len * size_of::<i64>())?);
        let wanted = Argument::Int(wanted.into());
        let arguments = [bytes.into(), (&there).into(), wanted, (&found).into(), long(count), long(len)];
        self.run_each("find_bytes", len, &arguments)?;
        found.values(len)
    }

    /// The bytes where a mask is set, or where it is not; 255 elsewhere.
    pub(crate) fn keep_bytes(
        &self,
        bytes: &Buffer,
        mask: &Buffer,
        where_set: bool,
        count: usize,
    ) -> Result<Buffer> {
        let kept = Buffer::new(&self.machine, count)?;
        let where_set = Argument::Int(where_set.into());
        let arguments = [bytes.into(), mask.into(), where_set, (&kept).into(), long(count)];
        self.run_each("keep_bytes", count, &arguments)?;
        Ok(kept)
    }

    /// 1 where an f32 number is at most a threshold.
    pub(crate) fn at_most(&self, numbers: &Buffer, threshold: f64, count: usize) -> Result<Buffer> {
        let mask = Buffer::new(&self.machine, count)?;
        let arguments = [numbers.into(), Argument::Double(threshold), (&mask).into(), long(count)];
        self.run_each("at_most", count, &arguments)?;
        Ok(mask)
    }

    /// How many f32 numbers come before `first`, before `first + step`, and so on, by the order of `VoxelNumbers`.
    pub(crate) fn count_before(
        &self,
        numbers: &Buffer,
        first: u64,
        step: u64,
        count: usize,
    ) -> Result<[usize; BOUNDS]> {
        let blocks = summing(count, 1);
        let partials = self.f64s(BOUNDS * blocks)?;
        let [first, step] = [first, step].map(|bound| Argument::Long(bound as i64));
        self.run(
            "count_before",
            [blocks, 1, 1],
            &[numbers.into(), first, step, (&partials).into(), long(count)],
        )?;
        let mut counts = [0; BOUNDS];
        for of_block in partials.values::<f64>(BOUNDS * blocks)?.chunks_exact(BOUNDS) {
            counts.iter_mut().zip(of_block).for_each(|(sum, count)| *sum += *count as usize);
        }
        Ok(counts)
    }
}
