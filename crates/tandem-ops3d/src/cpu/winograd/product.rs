//! Tiles times filters, point by point.

use super::super::simd::Lanes;
use super::weights::Transformed;

/// The products of one point: `(tile, input) x (input, output)`. Both sides come with their rows' distance.
///
/// # Safety
/// The processor has the lanes' instructions; both sides store whole blocks of `R1` and `R2` tiles.
#[inline(always)]
pub(super) unsafe fn product<L: Lanes, const R1: usize, const R2: usize>(
    image: (&[f32], usize),
    weights: &Transformed,
    bias: Option<&[f32]>,
    point: usize,
    tiles: usize,
    (response, stride): (&mut [f32], usize),
) {
    for channel in (0..weights.padded).step_by(2 * L::COUNT) {
        let width = (weights.padded - channel).min(2 * L::COUNT);
        let mut start = [0.0; 64];
        if let Some(bias) = bias {
            start[..width].copy_from_slice(&bias[channel..channel + width]);
        }
        let filters =
            Filters { weight: weights.block(point, channel), inputs: weights.inputs, start: Some(&start) };
        let response = (&mut response[channel..], stride);
        // SAFETY: the caller's.
        unsafe {
            match (width > L::COUNT, image.1 == L::COUNT) {
                (true, _) => blocks::<L, R2, R2, 2, false>(image, &filters, tiles, response),
                // A distance that the compiler knows: then addresses need no registers.
                (false, true) => {
                    blocks::<L, R1, R2, 1, false>((image.0, L::COUNT), &filters, tiles, response)
                }
                (false, false) => blocks::<L, R2, R2, 1, false>(image, &filters, tiles, response),
            }
        }
    }
}

/// The filters of one point to one block of channels.
pub(super) struct Filters<'a> {
    /// `(input, output)`.
    pub(super) weight: &'a [f32],
    pub(super) inputs: usize,
    /// What sums begin with; else they are added to.
    pub(super) start: Option<&'a [f32; 64]>,
}

/// Blocks of `R` tiles; a last one of few in a block of `SHORT`. `FAR` says that tiles and sums lie in outer caches: then those of the
/// next block are asked for meanwhile.
///
/// # Safety
/// As [`product`].
#[inline(always)]
pub(super) unsafe fn blocks<L: Lanes, const R: usize, const SHORT: usize, const B: usize, const FAR: bool>(
    image: (&[f32], usize),
    filters: &Filters,
    tiles: usize,
    response: (&mut [f32], usize),
) {
    let mut tile = 0;
    // SAFETY: the caller's.
    unsafe {
        while tile < tiles {
            if tiles - tile > SHORT {
                block::<L, R, B, FAR>(image, filters, tile, (response.0.as_mut_ptr(), response.1));
                tile += R;
            } else {
                block::<L, SHORT, B, FAR>(image, filters, tile, (response.0.as_mut_ptr(), response.1));
                tile += SHORT;
            }
        }
    }
}

/// The sums of one block, in registers.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const B: usize, const FAR: bool>(
    (image, image_stride): (&[f32], usize),
    filters: &Filters,
    tile: usize,
    (response, stride): (*mut f32, usize),
) {
    // SAFETY: the caller's.
    unsafe {
        let image = image.as_ptr().add(tile * image_stride);
        let rows: [*const f32; R] = std::array::from_fn(|r| image.add(r * image_stride));
        let to = response.add(tile * stride);
        let mut sums = [[L::splat(0.0); B]; R];
        for r in 0..R {
            for b in 0..B {
                sums[r][b] = L::load(match filters.start {
                    Some(start) => start.as_ptr().add(b * L::COUNT),
                    None => to.add(r * stride + b * L::COUNT),
                });
            }
        }
        // With each input a share of what the next block reads.
        let next = [image.wrapping_add(R * image_stride), to.wrapping_add(R * stride).cast_const()];
        let share = [image_stride, stride].map(|stride| (R * stride).div_ceil(filters.inputs.max(1)));
        let mut weight = filters.weight.as_ptr();
        for input in 0..filters.inputs {
            for i in 0..if FAR { 2 } else { 0 } {
                L::prefetch(next[i].wrapping_add(input * share[i]));
            }
            let mut weights = [L::splat(0.0); B];
            for b in 0..B {
                weights[b] = L::load(weight.add(b * L::COUNT));
            }
            for r in 0..R {
                let value = L::splat(*rows[r].add(input));
                for b in 0..B {
                    sums[r][b] = sums[r][b].add_product(value, weights[b]);
                }
            }
            weight = weight.add(B * L::COUNT);
        }
        for r in 0..R {
            for b in 0..B {
                sums[r][b].store(to.add(r * stride + b * L::COUNT));
            }
        }
    }
}
