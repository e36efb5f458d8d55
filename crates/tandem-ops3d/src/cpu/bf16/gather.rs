//! The kernel under convolutions in both directions: tiles of groups times tiles of weights.

use super::super::gather::Store;
use super::super::simd::STREAMED_BYTES;
use super::Engine;
use super::pack::{Block, Input, Packed, TILE_VALUES};
use super::plan::{Plan, TILE, WIDTH};
use super::tile::{self, Tiles};
use half::bf16;
use rayon::prelude::*;
use std::arch::x86_64::*;

/// Tiles of groups in a task: at the most, so that their input stays in the cache; and at the least, where there are few.
const TASK_TILES: [usize; 2] = [8, 48];
/// Tasks that are wanted, so that no core waits long for another.
const TASKS: usize = 16;
/// Bytes of weights that stay in the second-level cache beside a task's input.
const WEIGHTS_IN_CACHE: usize = 1 << 20;
const STEP: usize = TILE_VALUES * size_of::<bf16>();

/// Runs a plan on all threads.
pub(super) fn run(
    plan: &Plan,
    input: &[bf16],
    (weight, bias): (&[f32], Option<&[f32]>),
    (output, store): (&mut [bf16], Store),
) {
    let engine = Engine::of_process();
    let volume: usize = plan.counts.iter().product();
    if volume == 0 || plan.columns == 0 {
        return;
    }
    check_bounds(plan, input.len(), output.len());
    let outputs = plan.channels[1];
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a gather's bias has another length");
    let packed = Packed::new(plan, weight);
    let biases: Vec<f32> = (0..packed.blocks.len() * 2 * WIDTH)
        .map(|column| bias.filter(|_| column < plan.columns).map_or(0.0, |bias| bias[column % outputs]))
        .collect();
    let job = Job {
        plan,
        pitch: plan.pitch(),
        plane_tiles: plan.plane_tiles(),
        input,
        output: Target(output.as_mut_ptr()),
        packed: &packed,
        biases: &biases,
        add: store == Store::Add,
        stream: store == Store::Write && size_of_val(output) >= STREAMED_BYTES,
        deepest: packed.blocks.iter().map(|block| block.deepest(engine)).max().unwrap_or(0),
    };
    let tiles = match engine {
        Engine::Tiles => plan.counts[0] * plan.counts[1] * job.plane_tiles,
        Engine::Vectors => volume.div_ceil(TILE),
    };
    let blocks = packed.blocks.len();
    // Weights that exceed the cache pass through it once, block by block.
    let outer = if packed.tiles.len() * size_of::<bf16>() > WEIGHTS_IN_CACHE { blocks } else { 1 };
    let inner = blocks / outer;
    let [least, most] = TASK_TILES;
    // Tiles are multiplied by twos.
    let size = tiles.div_ceil(TASKS.div_ceil(outer)).clamp(least, most).next_multiple_of(2);
    let tasks = tiles.div_ceil(size);
    (0..outer * tasks).into_par_iter().for_each(|index| {
        let task = index % tasks * size..tiles.min((index % tasks + 1) * size);
        let block = index / tasks * inner;
        // SAFETY: the bounds were checked; tasks write other rows or columns of the output, which nobody else touches;
        // the engine is this process's.
        unsafe {
            match engine {
                Engine::Tiles => job.task(task, block..block + inner),
                Engine::Vectors => {
                    let groups = task.start * TILE..volume.min(task.end * TILE);
                    job.groups(groups, block..block + inner);
                }
            }
        }
    });
}

/// All that a plan writes, and the beginnings of all that it reads, must lie inside its buffers. Reads beyond the input's
/// end are cut off by the kernel.
fn check_bounds(plan: &Plan, input: usize, output: usize) {
    let reach = |strides: [usize; 4], start: usize| {
        start + (0..4).map(|axis| (plan.counts[axis] - 1) * strides[axis]).sum::<usize>()
    };
    let [n, d, h, _] = plan.output.strides;
    assert!(
        reach([n, d, h, 0], plan.output.start) + plan.row_values <= output,
        "a gather writes past its output"
    );
    if plan.span_len > 0 {
        assert!(reach(plan.input.strides, plan.input.start) < input, "a gather reads past its input");
    }
}

impl Block {
    /// How far the block reads of a group's input, in whole tiles or in whole pairs.
    fn deepest(&self, engine: Engine) -> usize {
        let [first, second] = &self.single;
        let end = |input: &Input| match engine {
            Engine::Tiles => input.offset + super::plan::DEPTH,
            Engine::Vectors => input.offset + 2 * input.pairs,
        };
        self.both.iter().chain(first).chain(second).map(end).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy)]
struct Target(*mut bf16);
// SAFETY: tasks write disjoint parts of the buffer behind the pointer.
unsafe impl Send for Target {}
// SAFETY: likewise.
unsafe impl Sync for Target {}

pub(super) struct Job<'a> {
    pub(super) plan: &'a Plan,
    pitch: usize,
    plane_tiles: usize,
    pub(super) input: &'a [bf16],
    output: Target,
    pub(super) packed: &'a Packed,
    biases: &'a [f32],
    add: bool,
    /// Whether the output is too large for the caches.
    stream: bool,
    /// How far a group's input reaches.
    pub(super) deepest: usize,
}

/// Where a tile of groups lies: its first row and group, and the first values of its plane in the input and the output.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    group: usize,
    input: usize,
    output: usize,
}

/// Sums of two tiles of groups times two tiles of columns.
#[repr(C, align(64))]
struct Sums([[f32; TILE * WIDTH]; 4]);

impl Job<'_> {
    fn place(&self, tile: usize) -> Place {
        let (plane, position) = (tile / self.plane_tiles, tile % self.plane_tiles * TILE);
        let (image, plane) = (plane / self.plan.counts[1], plane % self.plan.counts[1]);
        let [row, group] = [position / self.pitch, position % self.pitch];
        let (from, to) = (&self.plan.input, &self.plan.output);
        let plane_input = from.start + image * from.strides[0] + plane * from.strides[1];
        Place {
            row,
            group,
            input: plane_input + row * from.strides[2] + group * from.strides[3],
            output: to.start + image * to.strides[0] + plane * to.strides[1],
        }
    }

    /// A range of tiles times a range of blocks of columns.
    ///
    /// # Safety
    /// [`check_bounds`]; the processor has tiles and the instructions below.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn task(&self, tiles: std::ops::Range<usize>, blocks: std::ops::Range<usize>) {
        // SAFETY: the caller's; a thread runs one task at a time, and a task starts no others.
        unsafe {
            let _tiles = Tiles::new([16; 8]);
            let mut sums = Sums([[0.0; TILE * WIDTH]; 4]);
            for index in blocks {
                let block = &self.packed.blocks[index];
                for first in tiles.clone().step_by(2) {
                    // A last single tile is computed twice and stored once.
                    let pair = [first, (first + 1).min(tiles.end - 1)].map(|tile| self.place(tile));
                    let reach = pair[0].input.max(pair[1].input)
                        + (TILE - 1) * self.plan.input.strides[3]
                        + self.deepest;
                    if reach <= self.input.len() {
                        self.products::<false>(pair, block);
                    } else {
                        self.products::<true>(pair, block);
                    }
                    let to = sums.0.as_mut_ptr().cast::<u8>();
                    tile::store::<0>(to, 64);
                    tile::store::<1>(to.add(1024), 64);
                    tile::store::<2>(to.add(2048), 64);
                    tile::store::<3>(to.add(3072), 64);
                    for m in 0..2.min(tiles.end - first) {
                        self.store_tile(pair[m], [&sums.0[2 * m], &sums.0[2 * m + 1]], index);
                    }
                }
            }
            // What was streamed is seen by whoever is told that the task is done.
            _mm_sfence();
        }
    }

    /// Sums up a block in the tiles 0 to 3: groups times columns.
    ///
    /// # Safety
    /// As [`Self::task`]. Unless `AT_END`, all the groups' inputs lie inside the buffer.
    #[inline(always)]
    unsafe fn products<const AT_END: bool>(&self, places: [Place; 2], block: &Block) {
        let stride = self.plan.input.strides[3] * size_of::<bf16>();
        let [a, b] = places.map(|place| place.input);
        // SAFETY: the caller's; the weights hold a tile for each product below.
        unsafe {
            let mut weight = self.packed.tiles.as_ptr().add(block.first_value).cast::<u8>();
            tile::zero::<0>();
            tile::zero::<1>();
            tile::zero::<2>();
            tile::zero::<3>();
            for &Input { offset, .. } in &block.both {
                tile::load::<6>(weight, 64);
                self.load::<4, AT_END>(a + offset, stride);
                tile::multiply::<0, 4, 6>();
                tile::load::<7>(weight.add(STEP), 64);
                tile::multiply::<1, 4, 7>();
                self.load::<5, AT_END>(b + offset, stride);
                tile::multiply::<2, 5, 6>();
                tile::multiply::<3, 5, 7>();
                weight = weight.add(2 * STEP);
            }
            for &Input { offset, .. } in &block.single[0] {
                tile::load::<6>(weight, 64);
                self.load::<4, AT_END>(a + offset, stride);
                tile::multiply::<0, 4, 6>();
                self.load::<5, AT_END>(b + offset, stride);
                tile::multiply::<2, 5, 6>();
                weight = weight.add(STEP);
            }
            for &Input { offset, .. } in &block.single[1] {
                tile::load::<7>(weight, 64);
                self.load::<4, AT_END>(a + offset, stride);
                tile::multiply::<1, 4, 7>();
                self.load::<5, AT_END>(b + offset, stride);
                tile::multiply::<3, 5, 7>();
                weight = weight.add(STEP);
            }
        }
    }

    /// Loads the input of sixteen groups. At the end of the buffer, what does not exist reads as zero.
    ///
    /// # Safety
    /// As [`Self::products`].
    #[inline(always)]
    unsafe fn load<const T: usize, const AT_END: bool>(&self, first: usize, stride: usize) {
        // SAFETY: all rows lie inside the buffer, or are copied within its bounds.
        unsafe {
            if AT_END {
                let rows = copy_rows(self.input, first, stride / size_of::<bf16>());
                tile::load::<T>(rows.0.as_ptr().cast(), 64);
            } else {
                tile::load::<T>(self.input.as_ptr().add(first).cast(), stride);
            }
        }
    }

    /// Rounds and stores the sums of sixteen groups, as far as they exist.
    ///
    /// # Safety
    /// As [`Self::task`].
    #[inline(always)]
    unsafe fn store_tile(&self, place: Place, sums: [&[f32; TILE * WIDTH]; 2], block: usize) {
        let [.., rows, groups] = self.plan.counts;
        let [.., row_stride, group_stride] = self.plan.output.strides;
        let (mut row, mut group) = (place.row, place.group);
        // SAFETY: the caller's.
        unsafe {
            for r in 0..TILE {
                if row >= rows {
                    break;
                }
                if group < groups {
                    let values = [0, 1].map(|i| _mm512_loadu_ps(sums[i].as_ptr().add(r * WIDTH)));
                    self.store_group([place.output + row * row_stride, group * group_stride], values, block);
                }
                group += 1;
                if group == self.pitch {
                    (row, group) = (row + 1, 0);
                }
            }
        }
    }

    /// Rounds and stores the sums of one group, as far as its row goes; its place is that of its row, and its own from there.
    ///
    /// # Safety
    /// As [`Self::task`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    pub(super) unsafe fn store_group(&self, [row, group]: [usize; 2], mut values: [__m512; 2], block: usize) {
        let column = block * 2 * WIDTH;
        let at = group + column;
        let valid = (self.plan.columns - column).min(2 * WIDTH).min(self.plan.row_values.saturating_sub(at));
        let mask = if valid == 2 * WIDTH { u32::MAX } else { (1 << valid) - 1 };
        let to = self.output.0.wrapping_add(row + at);
        // SAFETY: the biases cover whole blocks; a group's columns are cut to those of its row.
        unsafe {
            for i in 0..2 {
                let bias = _mm512_loadu_ps(self.biases.as_ptr().add(column + i * WIDTH));
                values[i] = _mm512_add_ps(values[i], bias);
            }
            if self.add {
                let old = _mm512_maskz_loadu_epi16(mask, to.cast());
                let halves = [_mm512_castsi512_si256(old), _mm512_extracti64x4_epi64::<1>(old)];
                for i in 0..2 {
                    let old = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves[i]));
                    values[i] = _mm512_add_ps(values[i], _mm512_castsi512_ps(old));
                }
            }
            let rounded = _mm512_cvtne2ps_pbh(values[1], values[0]);
            let rounded = std::mem::transmute::<__m512bh, __m512i>(rounded);
            if self.stream && mask == u32::MAX && (to as usize).is_multiple_of(64) {
                _mm512_stream_si512(to.cast(), rounded);
            } else if mask == u32::MAX {
                _mm512_storeu_si512(to.cast(), rounded);
            } else {
                _mm512_mask_storeu_epi16(to.cast(), mask, rounded);
            }
        }
    }
}

#[repr(C, align(64))]
struct Rows([[bf16; super::plan::DEPTH]; TILE]);

/// Sixteen runs of a buffer that may end before them.
#[cold]
fn copy_rows(input: &[bf16], first: usize, stride: usize) -> Rows {
    let mut rows = Rows([[bf16::ZERO; super::plan::DEPTH]; TILE]);
    for (r, row) in rows.0.iter_mut().enumerate() {
        let rest = input.get(first + r * stride..).unwrap_or(&[]);
        let count = rest.len().min(row.len());
        row[..count].copy_from_slice(&rest[..count]);
    }
    rows
}
