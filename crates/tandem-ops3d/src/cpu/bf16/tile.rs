//! The tile registers of a thread.

#[cfg(test)]
mod emulated;

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Whether this process may use tiles: the processor has them, and the system saves them.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let vectors = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16");
        // AVX-512 implies that leaf 7 exists. EDX: bf16 products, tiles.
        let tiles = (1 << 22) | (1 << 24);
        vectors && __cpuid_count(7, 0).edx & tiles == tiles && permitted()
    })
}

/// Whether tiles are plain memory here: in this crate's own tests, where the processor has none and all else that their kernels need.
#[cfg(test)]
pub(crate) fn emulated() -> bool {
    !available() && is_x86_feature_detected!("avx512bf16")
}

/// Goes on with what is emulated where tiles are.
macro_rules! unless_emulated {
    ($emulated:expr) => {
        #[cfg(test)]
        if emulated() {
            return $emulated;
        }
    };
}

/// Asks the system to save the tiles of this process's threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let status: i64;
    // SAFETY: a system call without pointers; the kernel keeps all registers but rax, rcx and r11.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => status, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    status == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// The sides of eight tiles, as `ldtilecfg` takes them.
#[repr(C, align(64))]
struct Sides {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// This thread's tiles, in use until dropped.
pub(super) struct Tiles {
    /// They belong to one thread.
    thread: PhantomData<*const ()>,
}

impl Tiles {
    /// Tiles with so many rows of 64 bytes each.
    ///
    /// # Safety
    /// [`available`], and no other `Tiles` of this thread exist.
    pub(super) unsafe fn new(rows: [u8; 8]) -> Self {
        unless_emulated!(emulated::configure(rows));
        let mut sides = Sides { palette: 1, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        sides.bytes[..8].fill(64);
        sides.rows[..8].copy_from_slice(&rows);
        // SAFETY: a valid description, on a processor with tiles.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &sides, options(nostack, readonly, preserves_flags)) };
        Tiles { thread: PhantomData }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        unless_emulated!(emulated::release());
        // SAFETY: the tiles were configured on this thread.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Clears tile `T`.
///
/// # Safety
/// Here and below: [`Tiles`] of this thread exist, and the compiler itself uses no tiles.
#[inline(always)]
pub(super) unsafe fn zero<const T: usize>() {
    unless_emulated!(emulated::zero(T));
    // SAFETY: the caller's.
    unsafe { asm!("tilezero tmm{t}", t = const T, options(nostack, nomem, preserves_flags)) };
}

/// Loads tile `T`; rows lie `stride` bytes apart.
///
/// # Safety
/// All rows are readable.
#[inline(always)]
pub(super) unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
    // SAFETY: the caller's.
    unless_emulated!(unsafe { emulated::load(T, from, stride) });
    // SAFETY: the caller's.
    unsafe {
        asm!("tileloadd tmm{t}, [{p} + {s}*1]", t = const T, p = in(reg) from, s = in(reg) stride,
            options(nostack, readonly, preserves_flags));
    }
}

/// Stores tile `T`; rows lie `stride` bytes apart.
///
/// # Safety
/// All rows are writable.
#[inline(always)]
pub(super) unsafe fn store<const T: usize>(to: *mut u8, stride: usize) {
    // SAFETY: the caller's.
    unless_emulated!(unsafe { emulated::store(T, to, stride) });
    // SAFETY: the caller's.
    unsafe {
        asm!("tilestored [{p} + {s}*1], tmm{t}", t = const T, p = in(reg) to, s = in(reg) stride,
            options(nostack, preserves_flags));
    }
}

/// `C += A * B` for bf16 pairs.
///
/// # Safety
/// The tiles' sides fit.
#[inline(always)]
pub(super) unsafe fn multiply<const C: usize, const A: usize, const B: usize>() {
    unless_emulated!(emulated::multiply(C, A, B));
    // SAFETY: the caller's.
    unsafe {
        asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
            options(nostack, nomem, preserves_flags));
    }
}
