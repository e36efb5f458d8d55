//! What is counted and picked among the bytes and numbers of voxels.

use super::{Argument, Buffer, Queue, int, long, summing, total};
use candle_core::Result;

/// Bounds that are counted at once, as `voxels.cu` has it.
const BOUNDS: usize = 16;

/// Bytes of a search: two values, as `voxels.cu` has it.
const SEARCH: usize = 2 * size_of::<i64>();

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

    /// How many bytes are not 0.
    pub(crate) fn count_set(&self, bytes: &Buffer, count: usize) -> Result<usize> {
        let blocks = summing(count, 1);
        let partials = self.f64s(2 * blocks)?;
        self.run("count_set", [blocks, 1, 1], &[bytes.into(), (&partials).into(), long(count)])?;
        let [set, _] = total(&partials.values::<f64>(2 * blocks)?);
        Ok(set as usize)
    }

    /// The voxels that hold a byte for the so-and-so-manieth time behind a first voxel: of each place byte, first voxel and rank.
    pub(crate) fn find_bytes(&self, bytes: &Buffer, count: usize, places: &[[i64; 3]]) -> Result<Vec<i64>> {
        let len = places.len();
        let (there, found) = (
            Buffer::of(&self.machine, places.as_flattened())?,
            Buffer::new(&self.machine, len * size_of::<i64>())?,
        );
        let arguments = [bytes.into(), (&there).into(), (&found).into(), long(count), long(len)];
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

    /// The places of the f32 numbers of some ranks, by the order of `VoxelNumbers`; nothing where a number is NaN.
    pub(crate) fn places_of_ranks(
        &self,
        numbers: &Buffer,
        ranks: &[usize],
        count: usize,
    ) -> Result<Option<Vec<u32>>> {
        let searches = Buffer::new(&self.machine, ranks.len() * SEARCH)?;
        searches.clear()?;
        for (at, rank) in ranks.iter().enumerate() {
            self.search(numbers, *rank, count, searches.address() + (at * SEARCH) as u64)?;
        }
        let found: Vec<i64> = searches.values(ranks.len() * SEARCH / size_of::<i64>())?;
        let places = found.chunks_exact(2).map(|search| (search[1] == 0).then_some(search[0] as u32));
        Ok(places.collect())
    }

    /// Sixteen parts of the order's 2^32 places, sixteen parts of the one that has the number, and so on.
    fn search(&self, numbers: &Buffer, rank: usize, count: usize, search: u64) -> Result<()> {
        let blocks = summing(count, 1);
        let (search, partials) = (Argument::Pointer(search), self.f64s(BOUNDS * blocks)?);
        for digit in (0..8).rev() {
            let step = long(1 << (4 * digit));
            let arguments = [numbers.into(), search, step, (&partials).into(), long(count)];
            self.run("count_before", [blocks, 1, 1], &arguments)?;
            let begins = Argument::Int((digit == 7).into());
            let blocks = Argument::Int(int(blocks)?);
            let arguments = [(&partials).into(), blocks, long(rank), step, begins, search, long(count)];
            self.run("narrow_search", [1, 1, 1], &arguments)?;
        }
        Ok(())
    }
}
