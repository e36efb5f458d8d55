//! The kernel under every direct convolution: each output voxel is a weighted sum over runs of contiguous input values.
//!
//! In channels-last storage the values under one row of a filter, `(kw, ci)`, lie side by side. A convolution's output
//! voxel is then a fixed list of such spans relative to one address; forward, backward-data and transposed convolutions
//! with any kernel and stride differ only in that list and in how addresses advance. A task puts what it reads between
//! zeros and computes all of its output from there. A block computes several voxels times one or two vectors of output
//! channels in registers, so that every weight loaded serves all voxels of the block and every input value all channels.

mod part;
mod single;
mod tiles;

use super::packed::{Packed, WIDTH};
use super::pad::Rows;
use super::scratch;
use super::simd::{Lanes, STREAMED_BYTES, Target, Work, on_unit};
use super::window::{Voxels, Window, cut};
use part::Part;
use rayon::prelude::*;
use std::ops::Range;

/// Convolutions of one image whose outputs make up one output: a convolution is one, the spread of a response one for each
/// class of image voxels. An output row of each lies at every one of its positions along D and H.
pub(crate) struct Gather<'a> {
    pub(crate) input: Rows<'a, f32>,
    /// From one position, and one group of voxels in a row, to the next: in input voxels, and in output values.
    pub(crate) step: [usize; 3],
    pub(crate) output_step: [usize; 3],
    pub(crate) classes: Vec<Class>,
    /// Output values of an image of the batch.
    pub(crate) output: usize,
    pub(crate) store: Store,
}

/// One of the convolutions: `output[position][c] = bias[c] + sum over taps and l of input[position + tap][l] weight[tap][l][c]`.
pub(crate) struct Class {
    /// Positions along D and H, and groups of voxels in a row.
    pub(crate) positions: [Range<usize>; 2],
    pub(crate) groups: usize,
    /// Input voxels that position 0 and the first group read, along each axis.
    pub(crate) reads: Voxels,
    /// Where the output of position 0 and the first group would lie.
    pub(crate) start: isize,
    pub(crate) weight: Packed,
    pub(crate) bias: Option<Vec<f32>>,
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// They are the output.
    Write,
    /// They are added to what the output holds.
    Add,
}

/// Bytes of weights up to which a task computes all channels: the weights stay in the second cache, and the input is read
/// once. Larger weights are read once, block by block, by tasks that share their input.
const KEPT_WEIGHTS: usize = 1 << 20;
/// Bytes of weights from which on taps that lie beyond the image are left out: there are many products of each voxel, and an
/// image that lies in memory is read where it lies.
const CLIPPED_WEIGHTS: usize = 128 << 10;
/// Values of a line of memory.
const LINE: usize = scratch::LINE / size_of::<f32>();

/// Runs a gather on both cores.
pub(crate) fn gather(plan: &Gather, output: &mut [f32]) {
    let [batch, depth, height, width, values] = plan.input.dims;
    assert_eq!(output.len(), batch * plan.output, "a convolution's output has another size");
    let classes: Vec<&Class> = plan.classes.iter().filter(|class| !class.is_empty()).collect();
    let blocks = classes.iter().map(|class| class.weight.blocks()).max().unwrap_or(0);
    if blocks == 0 {
        return;
    }
    let (stream, target) = (size_of_val(output) >= STREAMED_BYTES, Target::new(output));
    let run = |n: usize, part: &Part, block: usize, window: &Window| {
        let weight = &part.class.weight;
        let channel = block * weight.width;
        if channel >= weight.channels {
            return;
        }
        let valid = (weight.channels - channel).min(weight.width);
        let task = Task { plan, part, window, target, first: n * plan.output, channel, valid, stream };
        task.check_bounds();
        // SAFETY: the task's bounds were checked; tasks write disjoint voxels or channels of the output, which nobody else
        // reads meanwhile; the unit was chosen by what the processor has.
        unsafe { on_unit(weight.unit, task) }
    };
    let bytes = classes.iter().map(|class| class.weight.bytes()).sum::<usize>();
    let parts: Vec<Part> = if bytes > CLIPPED_WEIGHTS {
        let inside = |class| Part::inside(class, [depth, height, width], plan.step);
        classes.iter().copied().flat_map(inside).collect()
    } else {
        classes.iter().copied().map(Part::whole).collect()
    };
    if bytes > KEPT_WEIGHTS {
        let reads = plan.reads(&parts);
        let windows: Vec<_> = (0..batch).into_par_iter().map(|n| Window::of(plan.input, n, &reads)).collect();
        (0..blocks * batch).into_par_iter().for_each(|index| {
            let (block, n) = (index / batch, index % batch);
            parts.iter().for_each(|part| run(n, part, block, &windows[n]));
        });
        return;
    }
    let all = [0, 1].map(|axis| around(classes.iter().map(|class| class.positions[axis].clone())));
    let groups = classes.iter().map(|class| class.groups).max().unwrap_or(0);
    // Voxels that one position reads.
    let one = [0, 1].map(|axis| around(classes.iter().map(|class| class.reads[axis].clone())).len());
    let steps = (one, [plan.step[0], plan.step[1]]);
    let cuts = cut(&all, groups, steps, width * values * size_of::<f32>());
    (0..batch * cuts.len()).into_par_iter().for_each(|index| {
        let (n, positions) = (index / cuts.len(), &cuts[index % cuts.len()]);
        let parts: Vec<Part> = parts.iter().filter_map(|part| part.among(positions)).collect();
        let window = Window::of(plan.input, n, &plan.reads(&parts));
        for part in &parts {
            (0..blocks).for_each(|block| run(n, part, block, &window));
        }
    });
}

impl Gather<'_> {
    /// The input voxels that parts read.
    fn reads(&self, parts: &[Part]) -> Voxels {
        [0, 1, 2].map(|axis| {
            around(parts.iter().filter(|part| !part.reads_nothing()).map(|part| {
                let at = &part.at[axis];
                let [first, last] = [at.start, at.end - 1].map(|at| (at * self.step[axis]) as isize);
                let (start, taps) = (part.class.reads[axis].start, &part.taps[axis]);
                start + taps.start as isize + first..start + taps.end as isize + last
            }))
        })
    }
}

/// The least range around others.
fn around<T: Ord + Default>(ranges: impl Iterator<Item = Range<T>>) -> Range<T> {
    let around = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    around.unwrap_or(T::default()..T::default())
}

impl Class {
    fn is_empty(&self) -> bool {
        self.at().iter().any(Range::is_empty) || self.weight.channels == 0
    }

    /// Positions along D and H, and groups in a row.
    fn at(&self) -> [Range<usize>; 3] {
        let [d, h] = self.positions.clone();
        [d, h, 0..self.groups]
    }
}

/// Some positions of a part times one block of channels.
struct Task<'a> {
    plan: &'a Gather<'a>,
    part: &'a Part<'a>,
    window: &'a Window<'a>,
    target: Target,
    /// Where the output of the task's image begins.
    first: usize,
    channel: usize,
    /// Channels of the block that exist.
    valid: usize,
    /// Whether the output is too large for the caches.
    stream: bool,
}

impl Task<'_> {
    /// Where a group reads first, and where it writes its first channel.
    fn place(&self, at: [usize; 3]) -> [usize; 2] {
        let Gather { step, output_step, .. } = self.plan;
        let nothing = self.part.reads_nothing();
        let from = if nothing { 0 } else { self.window.at(self.part.first_read(at, *step)) };
        let to: usize = (0..3).map(|i| at[i] * output_step[i]).sum();
        [from, self.first + to.wrapping_add_signed(self.part.class.start)]
    }

    /// Where the values of each span begin, from the address of their group, and its rows of weights; and the length of each.
    fn spans(&self) -> (Vec<[usize; 2]>, usize) {
        let [plane, row, voxel] = self.window.strides;
        let [d, h, w] = &self.part.taps;
        let [_, lines, columns] = self.part.class.reads.each_ref().map(|reads| reads.len());
        if w.is_empty() {
            return (Vec::new(), 0);
        }
        let span = |z: usize, y: usize| {
            let weight = ((z * lines + y) * columns + w.start) * voxel;
            [(z - d.start) * plane + (y - h.start) * row, weight]
        };
        (d.clone().flat_map(|z| h.clone().map(move |y| span(z, y))).collect(), w.len() * voxel)
    }

    /// The largest addresses that a task reads and writes must lie inside its buffers. The kernels rely on it.
    fn check_bounds(&self) {
        let (spans, len) = self.spans();
        let class = self.part.class;
        let last = self.place(self.part.at.each_ref().map(|at| at.end - 1));
        let [reach, weights] =
            spans.last().map_or([0; 2], |[span, weight]| [last[0] + span + len, weight + len]);
        assert!(reach <= self.window.len(), "a gather reads past its input");
        assert!(weights <= class.weight.rows, "a gather's weights do not fit its spans");
        let end = self.first + self.plan.output;
        let first = self.place(self.part.at.each_ref().map(|at| at.start));
        assert!(first[1] >= self.first, "a gather writes before its output");
        assert!(last[1] + class.weight.channels <= end, "a gather writes past its output");
        let bias = class.bias.as_ref();
        assert!(
            bias.is_none_or(|bias| bias.len() == class.weight.channels),
            "a gather's bias has another length"
        );
    }
}

impl Work for Task<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        // SAFETY: the caller's. With many registers it is those for addresses that limit a block of one vector.
        unsafe {
            let taps = if R1 >= 24 { self.taps_of_one_channel() } else { None };
            match (self.valid.div_ceil(L::COUNT), R1 >= 24) {
                (_, true) if matches!(taps, Some(5..=8)) => self.tiles::<L>(),
                (_, true) if taps == Some(3) => self.single::<L, 10>(),
                (4, _) => self.blocks::<L, 6, 4>(),
                (3, _) => self.blocks::<L, 8, 3>(),
                (2, _) => self.blocks::<L, R2, 2>(),
                (_, true) => self.blocks::<L, R2, 1>(),
                (_, false) => self.blocks::<L, R1, 1>(),
            }
            L::finish();
        }
    }
}

impl Task<'_> {
    /// Computes a task in blocks of `R` groups times `B` vectors.
    ///
    /// # Safety
    /// The bounds of [`Self::check_bounds`] hold, and the processor has the lanes' instructions.
    #[inline(always)]
    unsafe fn blocks<L: Lanes, const R: usize, const B: usize>(&self) {
        let (spans, len) = self.spans();
        let Class { weight, bias: own_bias, .. } = self.part.class;
        let weight = weight.block(self.channel).as_ptr();
        let mut bias = [0.0f32; WIDTH];
        if let Some(values) = own_bias {
            bias[..self.valid].copy_from_slice(&values[self.channel..self.channel + self.valid]);
        }
        let mut cursor = Cursor::new(self);
        let total = self.part.at.iter().map(|at| at.len()).product();
        // Lines of memory under one span of a block whose groups lie in one row.
        let between = (R - 1) * self.plan.step[2] * self.window.strides[2];
        let lines = (between + len).div_ceil(LINE);
        let mut done = 0;
        while done < total {
            let count = R.min(total - done);
            // A short block repeats its last group, and stores it once.
            let (mut from, mut to) = ([self.window.as_ptr(); R], [0usize; R]);
            for r in 0..R {
                from[r] = self.window.as_ptr().wrapping_add(cursor.read);
                to[r] = cursor.written + self.channel;
                if r + 1 < count || r + 1 == R {
                    cursor.advance(self);
                }
            }
            // SAFETY: `check_bounds`; the weights hold `rows * B * COUNT` values for this block.
            unsafe {
                let next = (self.window.as_ptr().wrapping_add(cursor.read), lines);
                let sums = block::<L, R, B>(&from, next, (&spans, len), weight, &bias);
                for r in 0..count {
                    let to = self.target.at(to[r]);
                    store::<L, B>(&sums[r], to, self.valid, (self.plan.store, self.stream));
                }
            }
            done += count;
        }
    }
}

/// The sums of one block, in registers. Meanwhile it asks for what the next block reads, so many lines of memory under each
/// span, one with each value: they would be waited for otherwise, and few can be on their way at once.
///
/// # Safety
/// As [`Task::blocks`]; what is asked for may lie anywhere.
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const B: usize>(
    from: &[*const f32; R],
    (next, lines): (*const f32, usize),
    (spans, len): (&[[usize; 2]], usize),
    weights: *const f32,
    bias: &[f32; WIDTH],
) -> [[L; B]; R] {
    // SAFETY: the caller's; `bias` holds as many values as the widest block.
    unsafe {
        let mut sums = [[L::splat(0.0); B]; R];
        for b in 0..B {
            let start = L::load(bias.as_ptr().add(b * L::COUNT));
            for row in &mut sums {
                row[b] = start;
            }
        }
        for [span, first] in spans {
            let row = from.map(|pointer| pointer.add(*span));
            let next = next.wrapping_add(*span);
            let mut weight = weights.add(first * B * L::COUNT);
            for l in 0..len {
                if l < lines {
                    L::prefetch(next.wrapping_add(l * LINE));
                }
                let mut weights = [L::splat(0.0); B];
                for b in 0..B {
                    weights[b] = L::load(weight.add(b * L::COUNT));
                }
                for r in 0..R {
                    let value = L::splat(*row[r].add(l));
                    for b in 0..B {
                        sums[r][b] = sums[r][b].add_product(value, weights[b]);
                    }
                }
                weight = weight.add(B * L::COUNT);
            }
        }
        sums
    }
}

/// Stores the channels of one group that exist, past the caches if `stream` says so.
///
/// # Safety
/// `to` is valid for `valid` values.
#[inline(always)]
unsafe fn store<L: Lanes, const B: usize>(
    sums: &[L; B],
    to: *mut f32,
    valid: usize,
    (store, stream): (Store, bool),
) {
    // SAFETY: whole vectors only where all their channels exist; else through a buffer as wide as any block.
    unsafe {
        let mut buffer = [0.0f32; WIDTH];
        let whole = valid == B * L::COUNT;
        let at = if whole { to } else { buffer.as_mut_ptr() };
        if store == Store::Add && !whole {
            at.copy_from_nonoverlapping(to, valid);
        }
        for b in 0..B {
            let at = at.add(b * L::COUNT);
            match store {
                Store::Write if whole && stream => sums[b].stream(at),
                Store::Write => sums[b].store(at),
                Store::Add => sums[b].add(L::load(at)).store(at),
            }
        }
        if !whole {
            to.copy_from_nonoverlapping(at, valid);
        }
    }
}

/// A group of a task and its two addresses.
struct Cursor {
    at: [usize; 3],
    read: usize,
    written: usize,
    /// Both addresses of the first group of the row.
    row: [usize; 2],
}

impl Cursor {
    /// The first one.
    fn new(task: &Task) -> Self {
        let at = task.part.at.each_ref().map(|at| at.start);
        let row = task.place(at);
        Cursor { at, read: row[0], written: row[1], row }
    }

    /// The next one; past the last the addresses must not be used.
    #[inline(always)]
    fn advance(&mut self, task: &Task) {
        let [d, h, w] = &task.part.at;
        let (step, output_step) = (task.plan.step, task.plan.output_step);
        self.at[2] += 1;
        if self.at[2] < w.end {
            self.read += step[2] * task.window.strides[2];
            self.written += output_step[2];
            return;
        }
        self.at = [self.at[0], self.at[1] + 1, w.start];
        if self.at[1] < h.end {
            self.row = [self.row[0] + step[1] * task.window.strides[1], self.row[1] + output_step[1]];
        } else {
            self.at = [self.at[0] + 1, h.start, w.start];
            if self.at[0] < d.end {
                self.row = task.place(self.at);
            }
        }
        [self.read, self.written] = self.row;
    }
}
