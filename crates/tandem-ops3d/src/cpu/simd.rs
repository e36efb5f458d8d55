//! The vector units a kernel is written for, and the choice between them at run time.
//!
//! A kernel is written once over [`Lanes`] and instantiated for each unit inside a function that switches the unit's
//! instructions on (`#[target_feature]`); the lanes' methods are always inlined there.

use super::path::{CpuPath, cpu_path};

/// The registers that a kernel over channels uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Plain Rust.
    Portable,
    /// Sixteen ymm registers.
    Ymm,
    /// Thirty-two ymm registers, as AVX-512 has them.
    WideYmm,
    /// Thirty-two zmm registers.
    Zmm,
}

impl Unit {
    /// The unit of this process's path: eight channels or fewer would leave half of a zmm register idle.
    pub(crate) fn for_channels(channels: usize) -> Self {
        match cpu_path() {
            CpuPath::Portable => Unit::Portable,
            CpuPath::Avx2 => Unit::Ymm,
            CpuPath::Avx512 | CpuPath::Avx512Bf16 | CpuPath::Amx if channels <= 8 => Unit::WideYmm,
            CpuPath::Avx512 | CpuPath::Avx512Bf16 | CpuPath::Amx => Unit::Zmm,
        }
    }

    /// The unit of this process's path whose squares ([`Lanes::transpose`]) fit into a matrix with such sides, if one's do.
    pub(crate) fn for_squares(sides: [usize; 2]) -> Option<Self> {
        let short = sides[0].min(sides[1]);
        let unit = Unit::for_channels(if short < 16 { 8 } else { short });
        (short >= unit.lanes()).then_some(unit)
    }

    /// Vectors of channels in a block of sums: four, which share few addresses, where there are registers for their sums and
    /// weights, and channels for all of them; else two.
    pub(crate) fn block_vectors(self, channels: usize) -> usize {
        let registers = if matches!(self, Unit::Zmm | Unit::WideYmm) { 32 } else { 16 };
        if registers == 32 && channels >= 4 * self.lanes() { 4 } else { 2 }
    }

    /// Channels in a vector.
    pub(crate) fn lanes(self) -> usize {
        if self == Unit::Zmm { 16 } else { 8 }
    }
}

/// A vector of f32 lanes.
///
/// # Safety
/// Every method needs the unit's instructions to be present on the running processor; pointers must be valid for
/// `COUNT` values.
pub(crate) unsafe trait Lanes: Copy {
    /// Values in a vector.
    const COUNT: usize;
    /// Equal values.
    unsafe fn splat(value: f32) -> Self;
    /// Unaligned load.
    unsafe fn load(from: *const f32) -> Self;
    /// Unaligned store.
    unsafe fn store(self, to: *mut f32);
    /// Store past the caches where the address is aligned and the unit can: for outputs that no cache would hold until they are
    /// read. Whoever streams ends with [`Self::finish`].
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { self.store(to) }
    }
    /// Makes what was streamed visible to other threads before whatever they are told next.
    #[inline(always)]
    unsafe fn finish() {}
    /// Asks for a line of memory that will be read soon; the address may be any.
    #[inline(always)]
    unsafe fn prefetch(_address: *const f32) {}
    /// `self + a * b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn sub(self, other: Self) -> Self;
    /// Transposes `COUNT` rows of `COUNT` values; both sides come with the distance of their rows. The target does not lie in the
    /// source.
    #[inline(always)]
    unsafe fn transpose((from, from_row): (*const f32, usize), (to, to_row): (*mut f32, usize)) {
        for row in 0..Self::COUNT {
            for column in 0..Self::COUNT {
                // SAFETY: the caller's.
                unsafe { *to.add(column * to_row + row) = *from.add(row * from_row + column) };
            }
        }
    }
}

/// The first rows of squares that cover so many rows, a side at least: the last one overlaps the one before.
pub(crate) fn squares(rows: usize, side: usize) -> impl Iterator<Item = usize> {
    (0..rows).step_by(side).map(move |row| row.min(rows - side))
}

/// A buffer that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Target(*mut f32);
// SAFETY: whoever writes through the pointer keeps to a part that nobody else touches.
unsafe impl Send for Target {}
// SAFETY: likewise.
unsafe impl Sync for Target {}

impl Target {
    pub(crate) fn new(buffer: &mut [f32]) -> Self {
        Target(buffer.as_mut_ptr())
    }

    /// The address of a value; it is not used outside of the buffer.
    pub(crate) fn at(self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

/// Bytes of an output from which on it is streamed: then it would not be in the caches of the cores any more when it is read. Tests
/// have outputs of both kinds.
pub(crate) const STREAMED_BYTES: usize = if cfg!(test) { 4 << 10 } else { 4 << 20 };

/// Work for vectors of any unit, with the rows of registers that the unit holds beside one vector (`R1`) and two (`R2`).
pub(crate) trait Work {
    /// Does it.
    ///
    /// # Safety
    /// The processor has the unit's instructions.
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self);
}

/// Does a piece of work with a unit's instructions switched on.
///
/// # Safety
/// The processor has them.
#[inline]
pub(crate) unsafe fn on_unit(unit: Unit, work: impl Work) {
    // SAFETY: the caller's.
    unsafe {
        match unit {
            #[cfg(target_arch = "x86_64")]
            Unit::Zmm => x86::zmm(work),
            #[cfg(target_arch = "x86_64")]
            Unit::WideYmm => x86::wide_ymm(work),
            #[cfg(target_arch = "x86_64")]
            Unit::Ymm => x86::ymm(work),
            // Units that another kind of processor has are never chosen.
            _ => work.run::<Portable, 6, 4>(),
        }
    }
}

/// Eight values in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

// SAFETY: no instructions beyond the target's own; loads and stores touch exactly eight values.
unsafe impl Lanes for Portable {
    const COUNT: usize = 8;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for eight readable values.
        Portable(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for eight writable values.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for i in 0..8 {
            self.0[i] += a.0[i] * b.0[i];
        }
        self
    }
    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
        self
    }
    #[inline(always)]
    unsafe fn sub(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a -= b);
        self
    }
}

/// One value: what is left after whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct One(f32);

// SAFETY: no instructions beyond the target's own; loads and stores touch exactly one value.
unsafe impl Lanes for One {
    const COUNT: usize = 1;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        One(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for a readable value.
        One(unsafe { from.read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for a writable value.
        unsafe { to.write(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        One(self.0 + a.0 * b.0)
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        One(self.0 + other.0)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        One(self.0 - other.0)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86;

/// Compiles a plain function for each path and calls the one of this process; its type parameters are stored numbers.
///
/// For loops that the compiler vectorises by itself; the arithmetic is the same on every path.
macro_rules! on_every_path {
    ($(#[$doc:meta])* fn $name:ident $(<$($stored:ident),+>)? ($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "the macro passes a kernel's slices through")]
        pub(crate) fn $name $(<$($stored: $crate::cpu::element::Element),+>)? ($($arg: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "see above")]
            fn plain $(<$($stored: $crate::cpu::element::Element),+>)? ($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu::path::{CpuPath, cpu_path};
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
                #[allow(clippy::too_many_arguments, reason = "see above")]
                fn avx512 $(<$($stored: $crate::cpu::element::Element),+>)? ($($arg: $type),*) { plain($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "see above")]
                fn avx2 $(<$($stored: $crate::cpu::element::Element),+>)? ($($arg: $type),*) { plain($($arg),*) }
                match cpu_path() {
                    // SAFETY: the path is only chosen where the processor has these instructions.
                    CpuPath::Avx512 | CpuPath::Avx512Bf16 | CpuPath::Amx => return unsafe { avx512($($arg),*) },
                    // SAFETY: likewise.
                    CpuPath::Avx2 => return unsafe { avx2($($arg),*) },
                    CpuPath::Portable => {}
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use on_every_path;

#[cfg(test)]
mod tests {
    use super::*;

    /// A square between others, with rows further apart than it is wide.
    struct Square<'a>(&'a [f32], &'a mut [f32]);

    impl Work for Square<'_> {
        unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
            // SAFETY: both sides have 16 rows of 19 and of 21 values, and three before them.
            unsafe { L::transpose((self.0[3..].as_ptr(), 19), (self.1[3..].as_mut_ptr(), 21)) }
        }
    }

    #[test]
    fn a_square_is_transposed_and_nothing_beside_it_is_written() {
        let unit = Unit::for_channels(16);
        let from: Vec<f32> = (0..3 + 16 * 19).map(|i| i as f32).collect();
        let mut to = vec![-1.0; 3 + 16 * 21];
        // SAFETY: the unit is this process's.
        unsafe { on_unit(unit, Square(&from, &mut to)) };
        for (at, value) in to.iter().enumerate() {
            let place = at.checked_sub(3).map(|at| [at / 21, at % 21]);
            let inside = place.filter(|[row, column]| (*row).max(*column) < unit.lanes());
            let expected = inside.map_or(-1.0, |[row, column]| from[3 + column * 19 + row]);
            assert_eq!(*value, expected, "at {at}");
        }
    }
}
