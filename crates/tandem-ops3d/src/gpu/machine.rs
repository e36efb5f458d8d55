//! What runs kernels: a GPU, or in tests its emulation on the CPU.

use crate::conv_shape::ConvShape;
use crate::program::Precision;
use candle_core::{Result, bail};

/// The sources of the kernels: one program, the file that the others need first.
#[cfg(any(test, feature = "cuda", feature = "emulator"))]
pub(crate) const SOURCES: [&str; 14] = [
    include_str!("kernels/stored.cu"),
    include_str!("kernels/pointwise.cu"),
    include_str!("kernels/sums.cu"),
    include_str!("kernels/head.cu"),
    include_str!("kernels/features.cu"),
    include_str!("kernels/voxels.cu"),
    include_str!("kernels/scores.cu"),
    include_str!("kernels/windows.cu"),
    include_str!("kernels/weights.cu"),
    include_str!("kernels/resample.cu"),
    include_str!("kernels/matrices.cu"),
    include_str!("kernels/conv.cu"),
    include_str!("kernels/gather.cu"),
    include_str!("kernels/filter.cu"),
];

/// The names of all kernels.
#[cfg(any(test, feature = "cuda", feature = "emulator"))]
pub(crate) fn kernels() -> Vec<&'static str> {
    const BEFORE: &str = "extern \"C\" __global__ void ";
    let names = |source: &'static str| source.split(BEFORE).skip(1).filter_map(|rest| rest.split('(').next());
    SOURCES.into_iter().flat_map(names).collect()
}

/// Defined where activations are stored in bf16.
#[cfg(any(test, feature = "cuda", feature = "emulator"))]
pub(crate) const BF16: &str = "STORED_BF16";

/// Threads of a block.
pub(crate) const THREADS: usize = 256;

/// Memory and kernels that run one after the other, in the order in which they are asked for.
pub(crate) trait Machine: Send + Sync {
    /// What it is, for people and for the records of a run.
    fn describe(&self) -> String;

    /// Whether it has units that multiply matrices of bf16.
    fn multiplies_bf16(&self) -> bool {
        false
    }

    /// Bytes of its memory that nobody uses.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Bytes that this process holds.
    fn held_memory(&self) -> Option<u64> {
        None
    }

    /// The most bytes that this process ever held at once.
    fn peak_memory(&self) -> Option<u64> {
        None
    }

    /// What is worth knowing of the work so far.
    fn remarks(&self) -> Option<String> {
        None
    }

    /// Waits until all that was asked for has run.
    fn wait(&self) -> Result<()> {
        Ok(())
    }

    /// Memory of that many bytes, more than none, with unspecified contents.
    fn allocate(&self, bytes: usize) -> Result<u64>;

    /// Takes memory back once all that was asked for has run.
    ///
    /// # Safety
    /// `address` is from [`Self::allocate`] with as many bytes, and is not used any more.
    unsafe fn release(&self, address: u64, bytes: usize);

    /// Clears memory.
    ///
    /// # Safety
    /// As many bytes are allocated at `address`.
    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()>;

    /// Copies to the machine.
    ///
    /// # Safety
    /// As many bytes are allocated at `address`.
    unsafe fn upload(&self, from: &[u8], address: u64) -> Result<()>;

    /// Memory with a copy of some bytes, which is made beside the work that was asked for: nothing of it may be touched before
    /// [`Self::receive`].
    fn bring(&self, from: &[u8]) -> Result<u64> {
        let address = self.allocate(from.len())?;
        // SAFETY: it was just allocated.
        unsafe { self.upload(from, address) }?;
        Ok(address)
    }

    /// Whatever is asked for from now on finds all that was brought before.
    fn receive(&self) -> Result<()> {
        Ok(())
    }

    /// Waits, and copies from the machine.
    ///
    /// # Safety
    /// As many bytes are allocated at `address`.
    unsafe fn download(&self, address: u64, to: &mut [u8]) -> Result<()>;

    /// Runs a kernel.
    ///
    /// # Safety
    /// The arguments are what the kernel takes, and what they point to is allocated and large enough.
    unsafe fn launch(&self, launch: &Launch) -> Result<()>;

    /// Whether there is a library that [`Self::convolve`] asks.
    fn convolves(&self) -> bool {
        false
    }

    /// A convolution by a library, where the machine has one and that one can do it; false, and nothing done, where not.
    ///
    /// # Safety
    /// The job's addresses hold what [`Job`] says.
    unsafe fn convolve(&self, _job: &Job) -> Result<bool> {
        Ok(false)
    }
}

/// A kernel on a grid of blocks of [`THREADS`] threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'static str,
    pub(crate) precision: Precision,
    pub(crate) grid: [usize; 3],
    pub(crate) arguments: &'a [Argument],
}

/// A convolution on channels-last images. All three are stored in the precision, the weight as `(co, taps, ci)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) shape: ConvShape,
    pub(crate) precision: Precision,
    /// Whether the result is added to what is there.
    pub(crate) add: bool,
    pub(crate) image: u64,
    pub(crate) response: u64,
    pub(crate) weight: u64,
}

/// Which of a convolution's three parts is made from the other two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The response of an image.
    Respond,
    /// The image that a response spreads into.
    Spread,
    /// The gradient of the weight.
    Filter,
}

/// A kernel's argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    Pointer(u64),
    Int(i32),
    Long(i64),
    Double(f64),
    Geometry(Geometry),
}

/// What the driver has ways of its own for.
#[cfg(any(test, feature = "emulator"))]
impl Argument {
    /// Its type, as the emulator names it.
    pub(crate) fn letter(&self) -> char {
        match self {
            Argument::Pointer(_) => 'p',
            Argument::Int(_) => 'i',
            Argument::Long(_) => 'l',
            Argument::Double(_) => 'd',
            Argument::Geometry(_) => 'g',
        }
    }

    /// Where its value lies.
    pub(crate) fn value(&self) -> *mut std::ffi::c_void {
        match self {
            Argument::Pointer(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Argument::Int(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Argument::Long(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Argument::Double(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Argument::Geometry(value) => std::ptr::from_ref(value).cast_mut().cast(),
        }
    }
}

/// A convolution's geometry, as `conv.cu` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    batch: i32,
    image: [i32; 3],
    response: [i32; 3],
    kernel: [i32; 3],
    stride: [i32; 3],
    padding: [i32; 3],
    ci: i32,
    co: i32,
}

impl Geometry {
    /// # Errors
    /// Where a side is too long for the kernels.
    pub(crate) fn new(shape: &ConvShape) -> Result<Self> {
        let three =
            |sides: [usize; 3]| -> Result<[i32; 3]> { Ok([int(sides[0])?, int(sides[1])?, int(sides[2])?]) };
        Ok(Geometry {
            batch: int(shape.batch)?,
            image: three(shape.image)?,
            response: three(shape.response)?,
            kernel: three(shape.kernel)?,
            stride: three(shape.params.stride)?,
            padding: three(shape.params.padding)?,
            ci: int(shape.ci)?,
            co: int(shape.co)?,
        })
    }
}

/// A number as kernels take it.
pub(crate) fn int(value: usize) -> Result<i32> {
    match i32::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) => bail!("{value} is too large for a kernel on the GPU; use smaller patches"),
    }
}
