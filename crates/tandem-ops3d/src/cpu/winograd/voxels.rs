//! The transforms along one axis, and that along W: from rows of voxels to points of tiles and back.

use super::super::simd::Lanes;

/// Points along one axis.
pub(super) const AXIS: usize = 4;

/// `B' d`.
///
/// # Safety
/// Here and below: the processor has the lanes' instructions.
#[inline(always)]
pub(super) unsafe fn enter<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 4] {
    // SAFETY: the caller's.
    unsafe { [a.sub(c), b.add(c), c.sub(b), b.sub(d)] }
}

/// `A' m`.
#[inline(always)]
pub(super) unsafe fn leave<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 2] {
    // SAFETY: the caller's.
    unsafe { [a.add(b).add(c), b.sub(c).sub(d)] }
}

/// `A y`.
#[inline(always)]
pub(super) unsafe fn leave_transposed<L: Lanes>([a, b]: [L; 2]) -> [L; 4] {
    // SAFETY: the caller's.
    unsafe { [a, a.add(b), a.sub(b), L::splat(0.0).sub(b)] }
}

/// The tiles of one line: for each of four points along W a matrix `(tile, channel)`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Channels, filled up to whole vectors.
    pub(super) stride: usize,
    /// From one point to the next.
    pub(super) point: usize,
}

impl Layout {
    pub(super) fn new(tiles: usize, stride: usize) -> Self {
        // Not a multiple of a page, else the points of a tile share few places of the first cache.
        Layout { stride, point: (tiles * stride).next_multiple_of(1024) + 16 }
    }

    pub(super) fn len(self) -> usize {
        AXIS * self.point
    }
}

/// A row of voxels to tiles, the first `taken` of their channels: `B' d`. The last vector of a voxel reads into the next one;
/// what it finds there meets no weight.
///
/// # Safety
/// The row holds the tiles' voxels and a vector more, the target the tiles.
#[inline(always)]
pub(super) unsafe fn image<L: Lanes>(
    line: *const f32,
    channels: usize,
    taken: usize,
    tiles: usize,
    to: (*mut f32, Layout),
) {
    // SAFETY: the caller's.
    unsafe {
        // One vector a voxel: a loop that the compiler unrolls.
        match channels == L::COUNT {
            true => image_of::<L>(line, L::COUNT, L::COUNT, tiles, to),
            false => image_of::<L>(line, channels, taken, tiles, to),
        }
    }
}

#[inline(always)]
unsafe fn image_of<L: Lanes>(
    line: *const f32,
    channels: usize,
    taken: usize,
    tiles: usize,
    (to, layout): (*mut f32, Layout),
) {
    // SAFETY: the caller's.
    unsafe {
        for tile in 0..tiles {
            let from = line.add(2 * tile * channels);
            let to = to.add(tile * layout.stride);
            for c in (0..taken).step_by(L::COUNT) {
                let value = |voxel: usize| L::load(from.add(voxel * channels + c));
                let points = enter([value(0), value(1), value(2), value(3)]);
                for x in 0..AXIS {
                    points[x].store(to.add(x * layout.point + c));
                }
            }
        }
    }
}

/// A row of a response's gradient to tiles, likewise: `A y`.
///
/// # Safety
/// As [`image`].
#[inline(always)]
pub(super) unsafe fn gradient<L: Lanes>(
    line: *const f32,
    channels: usize,
    taken: usize,
    tiles: usize,
    to: (*mut f32, Layout),
) {
    // SAFETY: the caller's.
    unsafe {
        // One vector a voxel: a loop that the compiler unrolls.
        match channels == L::COUNT {
            true => gradient_of::<L>(line, L::COUNT, L::COUNT, tiles, to),
            false => gradient_of::<L>(line, channels, taken, tiles, to),
        }
    }
}

#[inline(always)]
unsafe fn gradient_of<L: Lanes>(
    line: *const f32,
    channels: usize,
    taken: usize,
    tiles: usize,
    (to, layout): (*mut f32, Layout),
) {
    // SAFETY: the caller's.
    unsafe {
        for tile in 0..tiles {
            let from = line.add(2 * tile * channels);
            let to = to.add(tile * layout.stride);
            for c in (0..taken).step_by(L::COUNT) {
                let points = leave_transposed([L::load(from.add(c)), L::load(from.add(channels + c))]);
                for x in 0..AXIS {
                    points[x].store(to.add(x * layout.point + c));
                }
            }
        }
    }
}

/// Tiles to a row of voxels: `A' m`. The last vector of a voxel writes into the next one, which is written after it.
///
/// # Safety
/// As [`image`], the other way.
#[inline(always)]
pub(super) unsafe fn response<L: Lanes>(
    from: (*const f32, Layout),
    channels: usize,
    tiles: usize,
    line: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        match channels == L::COUNT {
            true => response_of::<L>(from, L::COUNT, tiles, line),
            false => response_of::<L>(from, channels, tiles, line),
        }
    }
}

#[inline(always)]
unsafe fn response_of<L: Lanes>(
    (from, layout): (*const f32, Layout),
    channels: usize,
    tiles: usize,
    line: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        for tile in 0..tiles {
            let from = from.add(tile * layout.stride);
            let to = line.add(2 * tile * channels);
            if channels.is_multiple_of(L::COUNT) {
                for c in (0..channels).step_by(L::COUNT) {
                    let [first, second] = voxels::<L>(from.add(c), layout.point);
                    first.store(to.add(c));
                    second.store(to.add(channels + c));
                }
            } else {
                for voxel in 0..2 {
                    for c in (0..channels).step_by(L::COUNT) {
                        voxels::<L>(from.add(c), layout.point)[voxel].store(to.add(voxel * channels + c));
                    }
                }
            }
        }
    }
}

/// The two voxels of a tile, whose points lie that far apart. No closure: one that is not inlined calls every vector instruction.
#[inline(always)]
unsafe fn voxels<L: Lanes>(from: *const f32, point: usize) -> [L; 2] {
    // SAFETY: the caller's.
    unsafe {
        leave([
            L::load(from),
            L::load(from.add(point)),
            L::load(from.add(2 * point)),
            L::load(from.add(3 * point)),
        ])
    }
}
