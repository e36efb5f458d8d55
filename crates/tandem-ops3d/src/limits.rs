//! What the processor can do at most: the measure of the kernels' rates.

#[cfg(target_arch = "x86_64")]
use crate::cpu::bf16::peak;
use crate::cpu::path::{CpuPath, cpu_path};
use crate::cpu::simd::{Lanes, Portable};
use std::hint::black_box;
use std::time::Instant;

/// Times that each rate is measured; the best counts, because whatever else runs only takes away.
const TRIALS: usize = 8;

/// Rounds of a trial: some tens of milliseconds.
const ROUNDS: u64 = 8_000_000;

/// Fused multiply-adds of f32 on registers, on all threads of the current pool and the vectors of [`cpu_path`]: GFLOP/s.
pub fn fma_gflops() -> f64 {
    let path = cpu_path();
    #[cfg(target_arch = "x86_64")]
    if path >= CpuPath::Avx512 {
        // SAFETY: the path is only chosen where the processor has these instructions.
        return best(ROUNDS, x86::FLOP_AVX512, |rounds| unsafe { x86::avx512(rounds) });
    } else if path >= CpuPath::Avx2 {
        // SAFETY: likewise.
        return best(ROUNDS, x86::FLOP_AVX2, |rounds| unsafe { x86::avx2(rounds) });
    }
    debug_assert_eq!(path, CpuPath::Portable);
    // SAFETY: plain Rust needs no instructions of its own.
    best(ROUNDS / 4, 2 * 6 * Portable::COUNT as u64, |rounds| unsafe { chains::<Portable, 6>(rounds) })
}

/// Products of bf16 with f32 sums on registers, in matrix tiles or in vectors as [`cpu_path`] has them, on all threads of the current
/// pool: GFLOP/s. None where the path multiplies no bf16.
pub fn bf16_gflops() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    match cpu_path() {
        CpuPath::Amx => return Some(best(ROUNDS / 16, peak::FLOP_TILES, peak::tiles)),
        CpuPath::Avx512Bf16 => return Some(best(ROUNDS, peak::FLOP_VECTORS, peak::vectors)),
        _ => {}
    }
    None
}

/// The best rate of all threads at once, `flop` a round.
fn best(rounds: u64, flop: u64, run: impl Fn(u64) + Sync) -> f64 {
    let trial = || {
        let start = Instant::now();
        let threads = rayon::broadcast(|_| run(black_box(rounds))).len();
        (threads as u64 * rounds * flop) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..TRIALS).map(|_| trial()).fold(0.0, f64::max)
}

/// `N` independent sums, each of `rounds` multiply-adds: enough of them hide what one takes.
///
/// # Safety
/// The processor has the lanes' instructions.
#[inline(always)]
unsafe fn chains<L: Lanes, const N: usize>(rounds: u64) {
    // SAFETY: the caller's; the buffer holds a vector of any unit.
    unsafe {
        let (factor, summand) = (L::splat(black_box(0.5)), L::splat(black_box(1.0)));
        let mut values = [summand; N];
        for _ in 0..rounds {
            for value in &mut values {
                *value = summand.add_product(*value, factor);
            }
        }
        let mut kept = [0.0f32; 16];
        for value in values {
            value.store(kept.as_mut_ptr());
            black_box(&kept);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::chains;
    use crate::cpu::simd::{Avx2, Avx512, Lanes};

    pub(super) const FLOP_AVX512: u64 = 2 * 24 * Avx512::COUNT as u64;
    pub(super) const FLOP_AVX2: u64 = 2 * 12 * Avx2::COUNT as u64;

    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) unsafe fn avx512(rounds: u64) {
        // SAFETY: the caller's.
        unsafe { chains::<Avx512, 24>(rounds) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(rounds: u64) {
        // SAFETY: the caller's.
        unsafe { chains::<Avx2, 12>(rounds) }
    }
}
