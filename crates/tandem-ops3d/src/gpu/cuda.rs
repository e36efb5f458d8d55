//! A GPU of NVIDIA, by way of its driver. Every library is opened at run time: nothing of CUDA is needed to build this or to start.

pub(crate) mod compile;
mod cudnn;
pub(crate) mod libraries;
mod staging;

use super::Gpu;
use super::machine::{Argument, Geometry, Job, Launch, Machine, THREADS};
use crate::program::Precision;
use candle_core::{Error, Result, bail};
use compile::compile;
use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DeviceRepr, DriverError, LaunchConfig, PushKernelArg,
    result, sys,
};
use cudnn::Convolutions;
use libraries::Libraries;
use staging::Staging;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

// SAFETY: plain numbers in the order and with the padding of C.
unsafe impl DeviceRepr for Geometry {}

/// What is missing for the GPU of that number.
pub(crate) fn missing(ordinal: usize) -> Option<String> {
    let libraries = Libraries::of_process();
    if let Some(missing) = libraries.missing() {
        return Some(missing);
    }
    match CudaContext::device_count() {
        Err(error) => Some(format!("the driver does not start: {}", say(&error))),
        Ok(0) => Some("a GPU that the driver knows".to_owned()),
        Ok(count) if ordinal >= count as usize => Some(format!("number {ordinal}; the driver knows {count}")),
        Ok(_) => None,
    }
}

/// Opens the GPU of that number, with cuDNN where it is there and wanted.
pub(crate) fn open(ordinal: usize, cudnn: bool) -> Result<Gpu> {
    if let Some(missing) = missing(ordinal) {
        bail!("no CUDA device: {missing}");
    }
    Ok(Gpu::of_machine(Arc::new(Cuda::new(ordinal, cudnn)?)))
}

fn say(error: &DriverError) -> String {
    let text = |text: std::result::Result<&std::ffi::CStr, _>| -> Option<String> {
        Some(text.ok()?.to_string_lossy().into_owned())
    };
    text(error.error_name()).unwrap_or_else(|| format!("{error:?}"))
}

fn failed(error: DriverError) -> Error {
    Error::Msg(format!("the GPU fails: {}", say(&error)))
}

struct Cuda {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// As the compiler names it: 90 for Hopper.
    capability: usize,
    loaded: Mutex<Loaded>,
    convolutions: Option<Convolutions>,
    /// What is copied in the order of the stream.
    staging: Mutex<Staging>,
    /// What is copied ahead, on a stream of its own: neither waits for the other, nor do the threads that fill them.
    ahead: Mutex<Staging>,
    stream_ahead: Arc<CudaStream>,
}

/// What was compiled so far, by precision: a program takes some seconds.
#[derive(Default)]
struct Loaded {
    modules: HashMap<Precision, Arc<CudaModule>>,
    functions: HashMap<(&'static str, Precision), CudaFunction>,
}

impl Cuda {
    fn new(ordinal: usize, cudnn: bool) -> Result<Self> {
        let context = CudaContext::new(ordinal).map_err(failed)?;
        // One stream keeps everything in order but what is copied ahead, which `receive` puts before what follows; events of the
        // library would only cost time.
        // SAFETY: all memory is used on this one stream, or was received by it.
        unsafe { context.disable_event_tracking() };
        let [stream, stream_ahead] =
            [context.new_stream().map_err(failed)?, context.new_stream().map_err(failed)?];
        keep_freed_memory(&context)?;
        let (major, minor) = context.compute_capability().map_err(failed)?;
        let convolutions =
            if cudnn && Libraries::of_process().cudnn() { Some(Convolutions::new(&stream)?) } else { None };
        let capability = (10 * major + minor) as usize;
        let staging = |stream| Staging::new(stream).map(Mutex::new).map_err(failed);
        let (staging, ahead) = (staging(&stream)?, staging(&stream_ahead)?);
        let loaded = Mutex::default();
        Ok(Cuda { context, stream, capability, loaded, convolutions, staging, ahead, stream_ahead })
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn function(&self, kernel: &'static str, precision: Precision) -> Result<CudaFunction> {
        let mut loaded = self.loaded();
        if let Some(function) = loaded.functions.get(&(kernel, precision)) {
            return Ok(function.clone());
        }
        let module = match loaded.modules.get(&precision) {
            Some(module) => module.clone(),
            None => {
                let binary = compile(precision, self.capability)?;
                let binary = cudarc::nvrtc::Ptx::from_binary(binary);
                let module = self.context.load_module(binary).map_err(failed)?;
                loaded.modules.insert(precision, module.clone());
                module
            }
        };
        let function = module.load_function(kernel).map_err(failed)?;
        loaded.functions.insert((kernel, precision), function.clone());
        Ok(function)
    }

    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(failed)
    }

    fn allocate_on(&self, stream: &CudaStream, bytes: usize) -> Result<u64> {
        self.bind()?;
        // SAFETY: the stream is alive, and more than no bytes are asked for.
        let address = unsafe { result::malloc_async(stream.cu_stream(), bytes) };
        address.map_err(|error| {
            let free = result::mem_get_info().map_or(0, |(free, _)| free);
            let (asked, free) = (bytes >> 20, free >> 20);
            Error::Msg(format!(
                "the GPU has no memory for {asked} MiB more, {free} MiB are free ({}); use smaller patches or fewer of them",
                say(&error)
            ))
        })
    }
}

/// Freed memory stays with this process: a training step asks for the same again and again.
fn keep_freed_memory(context: &CudaContext) -> Result<()> {
    let pools =
        context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED).map_err(failed)?;
    if pools == 0 {
        bail!("no CUDA device: the GPU or its driver is too old (it has no memory pools)");
    }
    let (pool, mut threshold) = (pool(context)?, u64::MAX);
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is that of a device; the pointer is to a value of the type that the driver takes.
    unsafe { sys::cuMemPoolSetAttribute(pool, attribute, std::ptr::from_mut(&mut threshold).cast()) }
        .result()
        .map_err(failed)
}

/// Where all memory of a GPU comes from.
fn pool(context: &CudaContext) -> Result<sys::CUmemoryPool> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: the device is that of the context; the pointer is to a value of the type that the driver takes.
    unsafe { sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()) }.result().map_err(failed)?;
    Ok(pool)
}

/// A number of bytes that the pool tells.
fn of_pool(context: &CudaContext, attribute: sys::CUmemPool_attribute) -> Option<u64> {
    let (pool, mut bytes) = (pool(context).ok()?, 0u64);
    // SAFETY: the pool is that of the device; the pointer is to a value of the type that the driver gives.
    unsafe { sys::cuMemPoolGetAttribute(pool, attribute, std::ptr::from_mut(&mut bytes).cast()) }
        .result()
        .ok()?;
    Some(bytes)
}

impl Machine for Cuda {
    fn describe(&self) -> String {
        let name = self.context.name().unwrap_or_else(|_| "a GPU".to_owned());
        let convolutions = match &self.convolutions {
            Some(convolutions) => format!("cuDNN {}", convolutions.version()),
            None => "own convolutions (no cuDNN)".to_owned(),
        };
        format!(
            "{name}, compute capability {}.{}, {convolutions}",
            self.capability / 10,
            self.capability % 10
        )
    }

    fn multiplies_bf16(&self) -> bool {
        // Ampere was the first.
        self.capability >= 80
    }

    fn free_memory(&self) -> Option<u64> {
        self.bind().ok()?;
        result::mem_get_info().ok().map(|(free, _)| free as u64)
    }

    fn held_memory(&self) -> Option<u64> {
        of_pool(&self.context, sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)
    }

    fn peak_memory(&self) -> Option<u64> {
        of_pool(&self.context, sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)
    }

    fn remarks(&self) -> Option<String> {
        Some(self.convolutions.as_ref()?.remarks())
    }

    fn wait(&self) -> Result<()> {
        self.bind()?;
        self.stream_ahead.synchronize().map_err(failed)?;
        self.stream.synchronize().map_err(failed)
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.allocate_on(&self.stream, bytes)
    }

    unsafe fn release(&self, address: u64, _: usize) {
        // Where the GPU has failed, what it failed with was said before.
        if self.bind().is_ok() {
            // SAFETY: the caller's.
            let _ = unsafe { result::free_async(address, self.stream.cu_stream()) };
        }
    }

    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's.
        unsafe { result::memset_d8_async(address, 0, bytes, self.stream.cu_stream()) }.map_err(failed)
    }

    unsafe fn upload(&self, from: &[u8], address: u64) -> Result<()> {
        self.bind()?;
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's; the context is bound.
        unsafe { staging.copy(from, address) }.map_err(failed)
    }

    fn bring(&self, from: &[u8]) -> Result<u64> {
        // Lent by the stream that copies, so that it need not wait for the other one.
        let address = self.allocate_on(&self.stream_ahead, from.len())?;
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: it was just allocated; the context is bound.
        match unsafe { ahead.copy(from, address) } {
            Ok(()) => Ok(address),
            Err(error) => {
                // SAFETY: nobody else knows the memory.
                let _ = unsafe { result::free_async(address, self.stream_ahead.cu_stream()) };
                Err(failed(error))
            }
        }
    }

    fn receive(&self) -> Result<()> {
        self.stream.join(&self.stream_ahead).map_err(failed)
    }

    unsafe fn download(&self, address: u64, to: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller's.
        unsafe { result::memcpy_dtoh_async(to, address, self.stream.cu_stream()) }.map_err(failed)?;
        self.stream.synchronize().map_err(failed)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<()> {
        let &Launch { kernel, precision, grid, arguments } = launch;
        let function = self.function(kernel, precision)?;
        let mut launch = self.stream.launch_builder(&function);
        for argument in arguments {
            match argument {
                Argument::Pointer(value) => launch.arg(value),
                Argument::Int(value) => launch.arg(value),
                Argument::Long(value) => launch.arg(value),
                Argument::Double(value) => launch.arg(value),
                Argument::Geometry(value) => launch.arg(value),
            };
        }
        let [x, y, z] = grid.map(|blocks| blocks as u32);
        let shape =
            LaunchConfig { grid_dim: (x, y, z), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller's.
        unsafe { launch.launch(shape) }
            .map_err(|error| Error::Msg(format!("the kernel {kernel} does not start: {}", say(&error))))?;
        Ok(())
    }

    fn convolves(&self) -> bool {
        self.convolutions.is_some()
    }

    unsafe fn convolve(&self, job: &Job) -> Result<bool> {
        let Some(convolutions) = &self.convolutions else { return Ok(false) };
        self.bind()?;
        // SAFETY: the caller's.
        unsafe { convolutions.run(job) }
    }
}
