//! The kernel under every convolution: each output voxel is a weighted sum over runs of contiguous input values.
//!
//! In channels-last storage the values under one row of a filter, `(kw, ci)`, lie side by side. A convolution's output
//! voxel is then a fixed list of [`Span`]s relative to one base address; forward, backward-data and transposed
//! convolutions with any kernel and stride differ only in that list and in how base addresses advance.
//! A block computes several voxels times one or two vectors of output channels in registers, so that every weight loaded
//! serves all voxels of the block and every input value all channels.

use super::simd::{Lanes, Portable, STREAMED_BYTES, Unit};
use rayon::prelude::*;

/// A run of input values that takes part in every output voxel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Where it starts, from the voxel's base address.
    pub(crate) offset: usize,
    /// How many values.
    pub(crate) len: usize,
}

/// Where the voxels of a gather lie: base addresses are linear in `(n, d, h, w)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) start: usize,
    pub(crate) strides: [usize; 4],
}

impl Walk {
    fn at(&self, index: [usize; 4]) -> usize {
        self.start + (0..4).map(|axis| index[axis] * self.strides[axis]).sum::<usize>()
    }
}

/// One gather: `output[v][c] = bias[c] + sum over spans and l of input[base(v) + span + l] * weight[span][l][c]`.
pub(crate) struct Gather<'a> {
    pub(crate) counts: [usize; 4],
    pub(crate) input: Walk,
    pub(crate) output: Walk,
    pub(crate) spans: &'a [Span],
    /// `weight(span, l, c)` laid out as [`pack`] makes it.
    pub(crate) weight: &'a Packed,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) store: Store,
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// They are the output.
    Write,
    /// They are added to what the output holds.
    Add,
}

/// Weights in the order in which the kernel reads them: for each block of channels, span by span, value by value.
pub(crate) struct Packed {
    values: super::scratch::Scratch<f32>,
    rows: usize,
    channels: usize,
    unit: Unit,
}

/// Where weights lie in a parameter: each row (one value of one span) and each output adds its part. A row and an output
/// whose voxels meet in no tap have none.
pub(crate) struct Addresses<'a> {
    /// Address and voxel of each row, in the order of the spans.
    pub(crate) rows: &'a [(usize, usize)],
    /// Address and voxel of each output.
    pub(crate) outputs: &'a [(usize, usize)],
    /// The tap by which a row's voxel reaches an output's.
    pub(crate) tap: &'a (dyn Fn(usize, usize) -> Option<usize> + Sync),
}

impl Packed {
    pub(crate) fn new(parameter: &[f32], addresses: &Addresses) -> Self {
        let &Addresses { rows: from, outputs, tap } = addresses;
        let (rows, channels) = (from.len(), outputs.len());
        let unit = Unit::for_channels(channels);
        let lanes = unit.lanes();
        let padded = channels.div_ceil(lanes) * lanes;
        let mut values = super::scratch::Scratch::take(rows * padded);
        if rows > 0 && channels > 0 {
            values.par_chunks_mut(2 * lanes * rows).enumerate().for_each(|(index, block)| {
                let first = index * 2 * lanes;
                let width = block.len() / rows;
                let outputs = &outputs[first..channels.min(first + width)];
                for (&(start, voxel), values) in from.iter().zip(block.chunks_exact_mut(width)) {
                    let (values, tail) = values.split_at_mut(outputs.len());
                    let mut reached = (usize::MAX, None);
                    for (value, &(offset, output)) in values.iter_mut().zip(outputs) {
                        if reached.0 != output {
                            reached = (output, tap(voxel, output));
                        }
                        *value = reached.1.map_or(0.0, |tap| parameter[start + offset + tap]);
                    }
                    tail.fill(0.0);
                }
            });
        }
        Packed { values, rows, channels, unit }
    }
}

/// Voxels that one task computes for one block of channels.
const TASK_VOXELS: usize = 960;

/// Runs a gather on both cores.
pub(crate) fn gather(plan: &Gather, input: &[f32], output: &mut [f32]) {
    let voxels: usize = plan.counts.iter().product();
    let channels = plan.weight.channels;
    if voxels == 0 || channels == 0 {
        return;
    }
    check_bounds(plan, input.len(), output.len());
    let lanes = plan.weight.unit.lanes();
    let blocks = channels.div_ceil(2 * lanes);
    let tasks = voxels.div_ceil(TASK_VOXELS);
    let (output_bytes, target) = (size_of_val(output), Target(output.as_mut_ptr()));
    // Blocks of channels outermost: a thread keeps one block's weights in its cache.
    (0..blocks * tasks).into_par_iter().for_each(|index| {
        let (block, task) = (index / tasks, index % tasks);
        let channel = block * 2 * lanes;
        let work = Task {
            plan,
            first: task * TASK_VOXELS,
            last: voxels.min((task + 1) * TASK_VOXELS),
            channel,
            valid: (channels - channel).min(2 * lanes),
            weight: &plan.weight.values[channel * plan.weight.rows..],
            stream: output_bytes >= STREAMED_BYTES,
        };
        let two = channels - channel > lanes;
        // SAFETY: every address a task touches was bounded by `check_bounds`; tasks write disjoint voxels or channels
        // of the output, which nobody else reads meanwhile; the unit was chosen by what the processor has.
        unsafe {
            match (plan.weight.unit, two) {
                #[cfg(target_arch = "x86_64")]
                (Unit::Zmm, true) => x86::task_zmm_2(&work, input, target),
                #[cfg(target_arch = "x86_64")]
                (Unit::Zmm, false) => x86::task_zmm_1(&work, input, target),
                // Chosen for one vector of channels only.
                #[cfg(target_arch = "x86_64")]
                (Unit::WideYmm, _) => x86::task_wide_ymm(&work, input, target),
                #[cfg(target_arch = "x86_64")]
                (Unit::Ymm, true) => x86::task_ymm_2(&work, input, target),
                #[cfg(target_arch = "x86_64")]
                (Unit::Ymm, false) => x86::task_ymm_1(&work, input, target),
                (Unit::Portable, true) => run_task::<Portable, 4, 2>(&work, input, target),
                (Unit::Portable, false) => run_task::<Portable, 6, 1>(&work, input, target),
            }
        }
    });
}

/// The largest addresses that a plan reads and writes must lie inside its buffers. The kernels rely on it.
fn check_bounds(plan: &Gather, input: usize, output: usize) {
    let last = plan.counts.map(|count| count - 1);
    let reach = plan.spans.iter().map(|span| span.offset + span.len).max().unwrap_or(0);
    assert!(plan.input.at(last) + reach <= input, "a gather reads past its input");
    assert!(plan.output.at(last) + plan.weight.channels <= output, "a gather writes past its output");
    let rows: usize = plan.spans.iter().map(|span| span.len).sum();
    assert_eq!(rows, plan.weight.rows, "a gather's weights do not fit its spans");
    assert!(
        plan.bias.is_none_or(|bias| bias.len() == plan.weight.channels),
        "a gather's bias has another length"
    );
}

#[derive(Clone, Copy)]
struct Target(*mut f32);
// SAFETY: tasks write disjoint parts of the buffer behind the pointer.
unsafe impl Send for Target {}
// SAFETY: likewise.
unsafe impl Sync for Target {}

/// A range of voxels times one block of channels.
struct Task<'a> {
    plan: &'a Gather<'a>,
    first: usize,
    last: usize,
    channel: usize,
    /// Channels of the block that exist.
    valid: usize,
    weight: &'a [f32],
    /// Whether the output is too large for the caches.
    stream: bool,
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::simd::{Avx2, Avx512};
    use super::{Target, Task, run_task};

    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) unsafe fn task_zmm_2(task: &Task, input: &[f32], target: Target) {
        // SAFETY: the caller's.
        unsafe { run_task::<Avx512, 12, 2>(task, input, target) }
    }
    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) unsafe fn task_zmm_1(task: &Task, input: &[f32], target: Target) {
        // SAFETY: the caller's.
        unsafe { run_task::<Avx512, 12, 1>(task, input, target) }
    }
    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    pub(super) unsafe fn task_wide_ymm(task: &Task, input: &[f32], target: Target) {
        // SAFETY: the caller's.
        unsafe { run_task::<Avx2, 12, 1>(task, input, target) }
    }
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn task_ymm_2(task: &Task, input: &[f32], target: Target) {
        // SAFETY: the caller's.
        unsafe { run_task::<Avx2, 6, 2>(task, input, target) }
    }
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn task_ymm_1(task: &Task, input: &[f32], target: Target) {
        // SAFETY: the caller's.
        unsafe { run_task::<Avx2, 12, 1>(task, input, target) }
    }
}

/// Computes a task in blocks of `R` voxels times `B` vectors.
///
/// # Safety
/// The bounds of [`check_bounds`] hold, and the processor has the lanes' instructions.
#[inline(always)]
unsafe fn run_task<L: Lanes, const R: usize, const B: usize>(task: &Task, input: &[f32], target: Target) {
    let plan = task.plan;
    let mut bias = [0.0f32; 32];
    if let Some(values) = plan.bias {
        bias[..task.valid].copy_from_slice(&values[task.channel..task.channel + task.valid]);
    }
    let mut cursor = Cursor::new(plan, task.first);
    let mut voxel = task.first;
    while voxel < task.last {
        let count = R.min(task.last - voxel);
        // A short block repeats its last voxel, and stores it once.
        let (mut from, mut to) = ([input.as_ptr(); R], [0usize; R]);
        for r in 0..R {
            // SAFETY: `check_bounds`.
            from[r] = unsafe { input.as_ptr().add(cursor.input) };
            to[r] = cursor.output + task.channel;
            if r + 1 < count || r + 1 == R {
                cursor.advance(plan);
            }
        }
        // SAFETY: `check_bounds`; the weights hold `rows * B * COUNT` values for this block.
        unsafe {
            let sums = block::<L, R, B>(&from, plan.spans, task.weight.as_ptr(), &bias);
            for r in 0..count {
                store::<L, B>(&sums[r], target.0.add(to[r]), task, plan.store);
            }
        }
        voxel += count;
    }
    // SAFETY: the processor has the lanes' instructions.
    unsafe { L::finish() };
}

/// The sums of one block, in registers.
///
/// # Safety
/// As [`run_task`].
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const B: usize>(
    from: &[*const f32; R],
    spans: &[Span],
    mut weight: *const f32,
    bias: &[f32; 32],
) -> [[L; B]; R] {
    // SAFETY: the caller's; `bias` holds 32 values, at least `B * COUNT`.
    unsafe {
        let mut sums = [[L::splat(0.0); B]; R];
        for b in 0..B {
            let start = L::load(bias.as_ptr().add(b * L::COUNT));
            for row in &mut sums {
                row[b] = start;
            }
        }
        for span in spans {
            let row = from.map(|pointer| pointer.add(span.offset));
            for l in 0..span.len {
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

/// Stores the channels of one voxel that exist.
///
/// # Safety
/// `to` is valid for the task's `valid` values.
#[inline(always)]
unsafe fn store<L: Lanes, const B: usize>(sums: &[L; B], to: *mut f32, task: &Task, store: Store) {
    let valid = task.valid;
    // SAFETY: whole vectors only where all their channels exist; else through a buffer of 32 values.
    unsafe {
        let mut buffer = [0.0f32; 32];
        let whole = valid == B * L::COUNT;
        let at = if whole { to } else { buffer.as_mut_ptr() };
        if store == Store::Add && !whole {
            at.copy_from_nonoverlapping(to, valid);
        }
        for b in 0..B {
            let at = at.add(b * L::COUNT);
            match store {
                Store::Write if whole && task.stream => sums[b].stream(at),
                Store::Write => sums[b].store(at),
                Store::Add => sums[b].add_product(L::load(at), L::splat(1.0)).store(at),
            }
        }
        if !whole {
            to.copy_from_nonoverlapping(at, valid);
        }
    }
}

/// A voxel and its two addresses.
struct Cursor {
    index: [usize; 4],
    input: usize,
    output: usize,
}

impl Cursor {
    fn new(plan: &Gather, mut voxel: usize) -> Self {
        let mut index = [0; 4];
        for axis in (0..4).rev() {
            index[axis] = voxel % plan.counts[axis];
            voxel /= plan.counts[axis];
        }
        Cursor { index, input: plan.input.at(index), output: plan.output.at(index) }
    }

    /// The next voxel; past the last one the addresses are out of range and must not be used.
    #[inline(always)]
    fn advance(&mut self, plan: &Gather) {
        self.index[3] += 1;
        if self.index[3] < plan.counts[3] {
            self.input += plan.input.strides[3];
            self.output += plan.output.strides[3];
            return;
        }
        for axis in (1..4).rev() {
            if self.index[axis] == plan.counts[axis] {
                self.index[axis] = 0;
                self.index[axis - 1] += 1;
            }
        }
        self.input = plan.input.at(self.index);
        self.output = plan.output.at(self.index);
    }
}
