//! Where networks run.

use candle_core::{Result, Tensor};

pub use crate::gpu::{Brought, Gpu, Stopwatch, TimedWork};

/// Where networks run, and where their weights and logits lie. Tensors lie in the memory of the host either way: a pass takes its image to
/// the device, and logits come back as a tensor where somebody asks for one (`Deferred::get`).
#[derive(Clone, Debug, Default)]
pub enum Device {
    /// The processors of the host.
    #[default]
    Cpu,
    /// A GPU.
    Cuda(Gpu),
}

impl Device {
    /// The GPU of that number.
    ///
    /// # Errors
    /// Where something is missing for it: see [`Self::missing_for_cuda`].
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Self::open(ordinal, true)
    }

    /// The same, with this crate's own convolutions even where cuDNN is found: they round as f32 does, and are slower.
    ///
    /// # Errors
    /// As [`Self::cuda`].
    pub fn cuda_without_cudnn(ordinal: usize) -> Result<Self> {
        Self::open(ordinal, false)
    }

    #[cfg(feature = "cuda")]
    fn open(ordinal: usize, cudnn: bool) -> Result<Self> {
        crate::gpu::cuda::open(ordinal, cudnn).map(Device::Cuda)
    }

    #[cfg(not(feature = "cuda"))]
    fn open(_: usize, _: bool) -> Result<Self> {
        candle_core::bail!("no CUDA device: {}", without_cuda())
    }

    /// What is missing for a GPU of that number; none where there is one.
    pub fn missing_for_cuda(ordinal: usize) -> Option<String> {
        #[cfg(feature = "cuda")]
        {
            crate::gpu::cuda::missing(ordinal)
        }
        #[cfg(not(feature = "cuda"))]
        {
            let _ = ordinal;
            Some(without_cuda().to_owned())
        }
    }

    /// Which libraries of CUDA are found and in which folders they are looked for, in lines for people.
    pub fn cuda_libraries() -> Vec<String> {
        #[cfg(feature = "cuda")]
        {
            crate::gpu::cuda::libraries::report()
        }
        #[cfg(not(feature = "cuda"))]
        {
            vec![without_cuda().to_owned()]
        }
    }

    /// Compiles all kernels for GPUs of a compute capability, such as 90, and says so in a line. It needs the compiler and no GPU.
    ///
    /// # Errors
    /// Where the compiler is missing, or a kernel does not compile.
    pub fn compile_for_cuda(capability: usize) -> Result<String> {
        #[cfg(feature = "cuda")]
        {
            crate::gpu::cuda::compile::report(capability)
        }
        #[cfg(not(feature = "cuda"))]
        {
            candle_core::bail!("no kernels for sm_{capability}: {}", without_cuda())
        }
    }

    /// The devices whose arithmetic is that of f32: the CPU, the emulated GPU where this program was built with it, and the first GPU
    /// with this crate's own convolutions. Second, what is missing for the others. For tests, which run one body on each.
    pub fn all() -> (Vec<Self>, Vec<String>) {
        let (mut found, mut missing) = (vec![Device::Cpu], Vec::new());
        let mut keep = |opened: Result<Self>| match opened {
            Ok(device) => found.push(device),
            Err(error) => missing.push(error.to_string()),
        };
        #[cfg(any(test, feature = "emulator"))]
        keep(Self::emulated());
        if cfg!(feature = "cuda") {
            keep(Self::cuda_without_cudnn(0));
        }
        (found, missing)
    }

    /// Copies an f32 tensor to where networks run; nothing where that is the host. As long as what is returned lives, networks that
    /// run there on this very tensor (or a clone of it) read the copy: so another thread can bring the next batch while a step runs.
    ///
    /// # Errors
    /// Where it is not f32, is a variable (whose values may change), or the device has no memory for it.
    pub fn bring(&self, tensor: &Tensor) -> Result<Option<Brought>> {
        match self {
            Device::Cpu => Ok(None),
            Device::Cuda(gpu) => gpu.bring(tensor).map(Some),
        }
    }

    /// The kernels of the GPU, emulated on the CPU: slow, for tests.
    ///
    /// # Errors
    /// Where there is no C++ compiler.
    #[cfg(any(test, feature = "emulator"))]
    pub fn emulated() -> Result<Self> {
        match crate::gpu::emulator::emulator() {
            Ok(machine) => Ok(Device::Cuda(crate::gpu::Gpu::of_machine(machine))),
            Err(reason) => candle_core::bail!("no emulator: {reason}"),
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn without_cuda() -> &'static str {
    "this program was built without CUDA; cargo xtask cuda-build makes one that has it"
}
