//! The gradient of a convolution's weight: sums over voxels.
//!
//! A tile of sums is `16 response channels x 16 image channels` of one tap. Its factors are the response channel by
//! channel and the image in pairs of voxels, both over the response's voxels in one numbering: rows of the response, each
//! followed by as many zeros as the filter overlaps. In it a tap is an offset, the same for all voxels. Pairs may begin at
//! even and at odd voxels, so that whatever the offset, a tile begins at a cache line; the voxels of a strided image are
//! dealt out by their position modulo the stride, each share an image of its own.
//!
//! An image of one channel would fill a sixteenth of such a tile. Its taps along W take the place of channels: the voxels that
//! follow a voxel are its channels, and the filter has one tap along W.

use super::super::filter::add_parts;
use super::super::pad::Padded;
use super::super::scratch::Scratch;
use super::super::simd::{Avx512, Lanes, Target, squares};
use super::Engine;
use super::blocks::{Block, Cut};
use super::dot;
use super::plan::{DEPTH, WIDTH};
use super::strip::{Source, assemble, channel_rows, pairs};
use super::tile::{self, Tiles};
use crate::conv_shape::ConvShape;
use half::bf16;
use rayon::prelude::*;
use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};

/// Values of a tile of sums.
pub(super) const SUMS: usize = WIDTH * WIDTH;
/// Values of a tile of factors.
const TILE_VALUES: usize = DEPTH * WIDTH;

/// Writes the weight gradient `(co, ci, kd, kh, kw)` from an image in its frame and the gradient of its response in any.
pub(crate) fn weight_gradient(
    shape: &ConvShape,
    image: &Padded<bf16>,
    response: &Padded<bf16>,
    to: &mut [f32],
) {
    let (engine, shape) = (Engine::of_process(), &by_taps(shape));
    let taps: usize = shape.kernel.iter().product();
    let [ci_tiles, co_tiles] = [shape.ci, shape.co].map(|channels| channels.div_ceil(WIDTH));
    let size = taps * ci_tiles * co_tiles * SUMS;
    if shape.response_dims().contains(&0) {
        return to.fill(0.0);
    }
    assert_eq!(to.len(), taps * shape.ci * shape.co, "a gradient is not that of its filters");
    let (cut, target) = (Cut::new(shape), Target::new(to));
    let parts = cut.parts(size);
    let pairs = ci_tiles.div_ceil(2);
    let task = |part: usize, pair: usize| {
        let count = (ci_tiles - 2 * pair).min(2);
        Task {
            engine,
            shape,
            cut: &cut,
            image,
            response,
            blocks: cut.part(part, parts),
            first: 2 * pair,
            count,
        }
    };
    if cut.is_whole() {
        // All sums of a pair of response tiles are there at once: they go to the gradient while they are in the cache.
        return (0..pairs).into_par_iter().for_each(|pair| {
            // SAFETY: the engine is this process's; each task has image channels of its own.
            unsafe { task(0, pair).run(To::Gradient(target)) }
        });
    }
    let mut sums: Scratch<f32> = Scratch::take(parts * size);
    let tasks: Vec<(Task, &mut [f32])> = {
        let mut rest = &mut sums[..];
        let mut tasks = Vec::new();
        for index in 0..parts * pairs {
            let task = task(index / pairs, index % pairs);
            let (sums, after) = rest.split_at_mut(task.inputs().len() * co_tiles * SUMS);
            rest = after;
            tasks.push((task, sums));
        }
        tasks
    };
    tasks.into_par_iter().for_each(|(task, sums)| {
        // SAFETY: the engine is this process's.
        unsafe { task.run(To::Sums(sums)) }
    });
    add_parts(&mut sums, size);
    (0..pairs * co_tiles).into_par_iter().for_each(|index| {
        let (pair, co_tile) = (index / co_tiles, index % co_tiles);
        let first = (2 * pair * taps * co_tiles + co_tile) * SUMS;
        // SAFETY: the engine is this process's; each task has channels of its own.
        unsafe { task(0, pair).unpack(&sums[first..], co_tiles * SUMS, co_tile, target) };
    });
}

/// The same sum with the taps along W in place of the channels, where there is one channel.
fn by_taps(shape: &ConvShape) -> ConvShape {
    let mut shape = *shape;
    if shape.ci == 1 {
        (shape.ci, shape.kernel[2]) = (shape.kernel[2], 1);
    }
    shape
}

/// From a row of sixteen image channels for each tap to `(ci, tap)`.
///
/// # Safety
/// The processor has the instructions; the target holds the channels.
#[target_feature(enable = "avx512f")]
unsafe fn unpack_squares(from: &[f32], stride: usize, taps: usize, to: *mut f32) {
    assert!((taps - 1) * stride + WIDTH <= from.len(), "a gradient has no sums");
    for tap in squares(taps, WIDTH) {
        // SAFETY: the last square ends with the last tap, of which both sides have all values.
        unsafe { Avx512::transpose((from[tap * stride..].as_ptr(), stride), (to.add(tap), taps)) };
    }
}

/// A part of the voxels times one or two tiles of image channels and all response channels.
struct Task<'a> {
    /// That of this process: its instructions are there.
    engine: Engine,
    /// See [`by_taps`].
    shape: &'a ConvShape,
    cut: &'a Cut,
    image: &'a Padded<'a, bf16>,
    response: &'a Padded<'a, bf16>,
    blocks: &'a [Block],
    /// First tile of image channels, and their number.
    first: usize,
    count: usize,
}

/// Where a task leaves its sums.
enum To<'a> {
    /// With those of its part, `(tap, ci tile, co tile)`.
    Sums(&'a mut [f32]),
    /// In the gradient itself, pair by pair of response tiles: there is one block.
    Gradient(Target),
}

impl Task<'_> {
    /// Sums up all blocks of the part.
    ///
    /// # Safety
    /// The engine is this process's; nobody else writes the gradient of these channels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn run(&self, mut to: To) {
        let engine = self.engine;
        let (cut, co_tiles) = (self.cut, self.shape.co.div_ceil(WIDTH));
        let image_plane = self.image_plane();
        let image_planes = self.blocks.iter().map(|block| block.image_planes.len()).max().unwrap_or(0);
        let response_planes = self.blocks.iter().map(|block| block.planes.len()).max().unwrap_or(0);
        let mut image: Scratch<bf16> = Scratch::take(image_planes * image_plane);
        let mut response: Scratch<bf16> =
            Scratch::take(response_planes * co_tiles * cut.chunks * TILE_VALUES);
        let mut strip: Scratch<bf16> = Scratch::take((2 * cut.pairs + 2) * WIDTH);
        let inputs: Vec<usize> = self.inputs();
        let mut own: Scratch<f32> =
            Scratch::take(if matches!(to, To::Gradient(_)) { inputs.len() * 2 * SUMS } else { 0 });
        // SAFETY: the caller's; a thread runs one task at a time, and a task starts no others.
        let _tiles = (engine == Engine::Tiles).then(|| unsafe { Tiles::new([16; 8]) });
        for (index, block) in self.blocks.iter().enumerate() {
            self.prepare_image(block, &mut strip, &mut image);
            self.prepare_response(block, &mut strip, &mut response);
            let [depth, planes] = [self.shape.response[0], self.image.dims[1]];
            let stride = self.shape.params.stride[0];
            let starts: Vec<usize> = block
                .planes
                .clone()
                .map(|p| (p / depth * planes + p % depth * stride - block.image_planes.start) * image_plane)
                .collect();
            let pairs = match engine {
                Engine::Tiles => Vec::new(),
                Engine::Vectors => dot::pairs_of_voxels(block.rows.len(), cut.pitch, self.shape.response[2]),
            };
            let factors = Factors {
                image: &image,
                response: &response,
                starts: &starts,
                chunks: cut.chunks,
                pairs: &pairs,
                plane: co_tiles * cut.chunks * TILE_VALUES,
                fresh: index == 0,
            };
            for co in (0..co_tiles).step_by(2) {
                let pair = co + 1 < co_tiles;
                let group = match engine {
                    Engine::Tiles if pair => 2,
                    Engine::Tiles => 6,
                    Engine::Vectors => 3,
                };
                let (values, stride) = match &mut to {
                    To::Sums(sums) => (&mut sums[co * SUMS..], co_tiles * SUMS),
                    To::Gradient(_) => (&mut own[..], 2 * SUMS),
                };
                for (inputs, values) in inputs.chunks(group).zip(values.chunks_mut(group * stride)) {
                    let sums = Sums { values, stride };
                    let from = co * cut.chunks * TILE_VALUES;
                    // SAFETY: the caller's, and `inputs` and `prepare_*` agree on the factors' layout.
                    unsafe {
                        match engine {
                            Engine::Tiles if pair => factors.pairs(from, inputs, sums),
                            Engine::Tiles => factors.singles(from, inputs, sums),
                            Engine::Vectors => {
                                let channels = (self.shape.co - co * WIDTH).min(2 * WIDTH);
                                factors.vectors(from, channels, inputs, sums);
                            }
                        }
                    }
                }
                if let To::Gradient(gradient) = to {
                    for (at, co) in (co..co_tiles.min(co + 2)).enumerate() {
                        // SAFETY: the caller's.
                        unsafe { self.unpack(&own[at * SUMS..], 2 * SUMS, co, gradient) };
                    }
                }
            }
        }
    }

    /// From tiles of `(co, ci)` for each input, `stride` values apart, to the gradient `(co, ci, tap)` of one tile of response channels.
    ///
    /// # Safety
    /// The processor has the instructions; nobody else writes the gradient of these channels.
    #[target_feature(enable = "avx512f")]
    unsafe fn unpack(&self, sums: &[f32], stride: usize, co_tile: usize, gradient: Target) {
        let taps: usize = self.shape.kernel.iter().product();
        // From one channel, and from one tap, to the next.
        let [at_channel, at_tap] = match self.image.dims[4] == self.shape.ci {
            true => [taps, 1],
            false => [1, self.shape.ci],
        };
        for o in 0..WIDTH.min(self.shape.co - co_tile * WIDTH) {
            for tile in 0..self.count {
                let first = (self.first + tile) * WIDTH;
                let (from, step) = (&sums[tile * stride + o * WIDTH..], self.count * stride);
                let to = gradient.at((co_tile * WIDTH + o) * self.shape.ci * taps + first * at_channel);
                let valid = WIDTH.min(self.shape.ci - first);
                // SAFETY: the channels exist, and are the caller's.
                unsafe {
                    if taps >= WIDTH && valid == WIDTH && at_tap == 1 {
                        // Written next: what is written to memory is read first.
                        let next = to.wrapping_add(self.shape.ci * taps);
                        for line in (0..taps * WIDTH).step_by(WIDTH) {
                            _mm_prefetch::<_MM_HINT_ET0>(next.wrapping_add(line).cast());
                        }
                        unpack_squares(from, step, taps, to);
                        continue;
                    }
                    for tap in 0..taps {
                        for (channel, value) in from[tap * step..][..valid].iter().enumerate() {
                            *to.add(channel * at_channel + tap * at_tap) = *value;
                        }
                    }
                }
            }
        }
    }

    /// Values of the pairs of one plane of the image.
    fn image_plane(&self) -> usize {
        self.cut.shares() * self.count * self.cut.parities * self.cut.pairs * 2 * WIDTH
    }

    /// Where the pairs of each tap and tile of channels begin, from the response's plane on.
    fn inputs(&self) -> Vec<usize> {
        let (cut, [kd, kh, kw]) = (self.cut, self.shape.kernel);
        let [_, sh, sw] = self.shape.params.stride;
        let mut inputs = Vec::new();
        for tap in 0..kd * kh * kw {
            let [d, h, w] = [tap / (kh * kw), tap / kw % kh, tap % kw];
            let share = h % sh * cut.shares[1] + w % sw;
            let offset = h / sh * cut.pitch + w / sw;
            for tile in 0..self.count {
                let copy = (share * self.count + tile) * cut.parities + offset % 2;
                inputs.push(d * self.image_plane() + (copy * cut.pairs + offset / 2) * 2 * WIDTH);
            }
        }
        inputs
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn prepare_image(&self, block: &Block, strip: &mut [bf16], image: &mut [bf16]) {
        let (cut, [_, sh, sw]) = (self.cut, self.shape.params.stride);
        let depth = self.image.dims[1];
        let copies = image.chunks_exact_mut(cut.parities * cut.pairs * 2 * WIDTH);
        let per_plane = cut.shares() * self.count;
        for (index, copies) in copies.enumerate().take(block.image_planes.len() * per_plane) {
            let (plane, rest) = (block.image_planes.start + index / per_plane, index % per_plane);
            let (share, tile) = (rest / self.count, rest % self.count);
            let source = Source {
                image: self.image,
                first: [
                    plane / depth,
                    plane % depth,
                    block.rows.start * sh + share / cut.shares[1],
                    share % cut.shares[1],
                ],
                steps: [sh, sw],
                counts: [block.rows.len() + cut.overlap, cut.pitch],
                channels: self.shape.ci,
                channel: (self.first + tile) * WIDTH,
            };
            assemble(&source, cut.pitch, strip);
            for (parity, copy) in copies.chunks_exact_mut(cut.pairs * 2 * WIDTH).enumerate() {
                pairs(strip, parity, copy);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn prepare_response(&self, block: &Block, strip: &mut [bf16], response: &mut [bf16]) {
        let (cut, depth) = (self.cut, self.shape.response[0]);
        let co_tiles = self.shape.co.div_ceil(WIDTH);
        let before = self.response.frame.before;
        let strip = &mut strip[..cut.chunks * TILE_VALUES];
        let tiles = response.chunks_exact_mut(cut.chunks * TILE_VALUES);
        for (index, tiles) in tiles.enumerate().take(block.planes.len() * co_tiles) {
            let (plane, tile) = (block.planes.start + index / co_tiles, index % co_tiles);
            let first = [plane / depth, before[0] + plane % depth, before[1] + block.rows.start, before[2]];
            let source = Source {
                image: self.response,
                first,
                steps: [1, 1],
                counts: [block.rows.len(), self.shape.response[2]],
                channels: self.shape.co,
                channel: tile * WIDTH,
            };
            assemble(&source, cut.pitch, strip);
            channel_rows(strip, tiles);
        }
    }
}

/// Tiles of sums, `stride` values from one input to the next; those of two response tiles lie side by side.
pub(super) struct Sums<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
}

/// The prepared factors of a block.
pub(super) struct Factors<'a> {
    pub(super) image: &'a [bf16],
    pub(super) response: &'a [bf16],
    /// Where the image values under each plane of the response begin.
    pub(super) starts: &'a [usize],
    /// Tiles in a plane of the response, and values of its tiles of all channels.
    pub(super) chunks: usize,
    pub(super) plane: usize,
    /// See [`dot::pairs_of_voxels`].
    pub(super) pairs: &'a [[usize; 2]],
    /// Whether these are the first products of their sums.
    pub(super) fresh: bool,
}

impl Factors<'_> {
    /// # Safety
    /// The tile exists in the sums; tiles are configured.
    #[inline(always)]
    unsafe fn begin<const T: usize>(&self, sums: &Sums, tile: usize) {
        // SAFETY: the caller's.
        unsafe {
            if self.fresh {
                tile::zero::<T>();
            } else {
                tile::load::<T>(sums.values[tile..tile + SUMS].as_ptr().cast(), 64);
            }
        }
    }

    /// Two tiles of response channels, from `from` on, times one or two inputs.
    ///
    /// # Safety
    /// Inputs begin so that all their chunks exist; tiles are configured.
    #[inline(always)]
    unsafe fn pairs(&self, from: usize, inputs: &[usize], sums: Sums) {
        let second = if inputs.len() > 1 { sums.stride } else { 0 };
        let inputs = [inputs[0], inputs[inputs.len() - 1]];
        // SAFETY: the caller's.
        unsafe {
            self.begin::<0>(&sums, 0);
            self.begin::<1>(&sums, second);
            self.begin::<2>(&sums, SUMS);
            self.begin::<3>(&sums, second + SUMS);
            for (plane, start) in self.starts.iter().enumerate() {
                let mut a = self.response[plane * self.plane + from..].as_ptr();
                let [mut b, mut c] = inputs.map(|input| self.image[start + input..].as_ptr());
                let other = self.chunks * TILE_VALUES;
                for _ in 0..self.chunks {
                    tile::load::<6>(b.cast(), 64);
                    tile::load::<4>(a.cast(), 64);
                    tile::multiply::<0, 4, 6>();
                    tile::load::<7>(c.cast(), 64);
                    tile::multiply::<1, 4, 7>();
                    tile::load::<5>(a.wrapping_add(other).cast(), 64);
                    tile::multiply::<2, 5, 6>();
                    tile::multiply::<3, 5, 7>();
                    [a, b, c] = [a, b, c].map(|pointer| pointer.wrapping_add(TILE_VALUES));
                }
            }
            let mut end = |tile: usize| sums.values[tile..tile + SUMS].as_mut_ptr().cast::<u8>();
            // With a single input both columns are equal.
            tile::store::<1>(end(second), 64);
            tile::store::<3>(end(second + SUMS), 64);
            tile::store::<0>(end(0), 64);
            tile::store::<2>(end(SUMS), 64);
        }
    }

    /// One tile of response channels times one to six inputs.
    ///
    /// # Safety
    /// As [`Self::pairs`].
    #[inline(always)]
    unsafe fn singles(&self, from: usize, inputs: &[usize], sums: Sums) {
        // SAFETY: the caller's.
        unsafe {
            match inputs.len() {
                6 => self.several::<6>(from, inputs, sums),
                5 => self.several::<5>(from, inputs, sums),
                4 => self.several::<4>(from, inputs, sums),
                3 => self.several::<3>(from, inputs, sums),
                2 => self.several::<2>(from, inputs, sums),
                _ => self.several::<1>(from, inputs, sums),
            }
        }
    }

    /// # Safety
    /// As [`Self::pairs`]; there are `N` inputs.
    #[inline(always)]
    unsafe fn several<const N: usize>(&self, from: usize, inputs: &[usize], sums: Sums) {
        macro_rules! each {
            ($do:ident) => {
                $do!(0);
                $do!(1);
                $do!(2);
                $do!(3);
                $do!(4);
                $do!(5);
            };
        }
        // SAFETY: the caller's.
        unsafe {
            macro_rules! begin {
                ($i:literal) => {
                    if $i < N {
                        self.begin::<$i>(&sums, $i * sums.stride);
                    }
                };
            }
            each!(begin);
            for (plane, start) in self.starts.iter().enumerate() {
                let mut a = self.response[plane * self.plane + from..].as_ptr();
                let mut b = [std::ptr::null::<bf16>(); N];
                for (b, input) in b.iter_mut().zip(inputs) {
                    *b = self.image[start + input..].as_ptr();
                }
                for _ in 0..self.chunks {
                    tile::load::<6>(a.cast(), 64);
                    macro_rules! multiply {
                        ($i:literal) => {
                            if $i < N {
                                tile::load::<7>(b[$i].cast(), 64);
                                tile::multiply::<$i, 6, 7>();
                            }
                        };
                    }
                    each!(multiply);
                    a = a.wrapping_add(TILE_VALUES);
                    b = b.map(|pointer| pointer.wrapping_add(TILE_VALUES));
                }
            }
            macro_rules! end {
                ($i:literal) => {
                    if $i < N {
                        let tile = $i * sums.stride;
                        tile::store::<$i>(sums.values[tile..tile + SUMS].as_mut_ptr().cast(), 64);
                    }
                };
            }
            each!(end);
        }
    }
}
