//! Compiles the kernels for a GPU, by the compiler that comes with CUDA as a library (NVRTC). It needs no GPU.

use super::super::machine::{BF16, SOURCES, kernels};
use super::libraries::Libraries;
use crate::program::Precision;
use candle_core::{Error, Result, bail};
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString};

/// A program under compilation.
struct Compilation(sys::nvrtcProgram);

impl Drop for Compilation {
    fn drop(&mut self) {
        // SAFETY: it was created and is not used any more.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// All kernels of a precision as machine code of a compute capability, such as 90.
pub(crate) fn compile(precision: Precision, capability: usize) -> Result<Vec<u8>> {
    if let Some(missing) = Libraries::of_process().missing_to_compile() {
        bail!("the kernels cannot be compiled without {missing}");
    }
    let source = CString::new(SOURCES.concat()).map_err(Error::wrap)?;
    let program = Compilation(result::create_program(&source, Some(c"tandem.cu")).map_err(wrap)?);
    let mut options = vec![format!("--gpu-architecture=sm_{capability}"), "--std=c++17".to_owned()];
    if precision == Precision::Bf16 {
        options.push(format!("-D{BF16}"));
    }
    // SAFETY: the program exists; the sizes are those that the library gives.
    unsafe {
        if result::compile_program(program.0, &options).is_err() {
            let log = result::get_program_log(program.0).map_err(wrap)?;
            bail!(
                "the kernels do not compile for sm_{capability}: {}",
                CStr::from_ptr(log.as_ptr()).to_string_lossy()
            )
        }
        let mut size = 0;
        sys::nvrtcGetCUBINSize(program.0, &mut size).result().map_err(wrap)?;
        let mut binary = vec![0u8; size];
        sys::nvrtcGetCUBIN(program.0, binary.as_mut_ptr().cast()).result().map_err(wrap)?;
        Ok(binary)
    }
}

fn wrap(error: result::NvrtcError) -> Error {
    Error::Msg(format!("the compiler of kernels fails: {:?}", error.0))
}

/// Compiles all kernels for a compute capability, and returns a line that says so. It needs no GPU.
pub(crate) fn report(capability: usize) -> Result<String> {
    let mut sizes = Vec::new();
    for precision in [Precision::F32, Precision::Bf16] {
        let binary = compile(precision, capability)?;
        for name in kernels() {
            if !binary.windows(name.len()).any(|bytes| bytes == name.as_bytes()) {
                bail!("the kernel {name} is missing in what was compiled for sm_{capability}");
            }
        }
        sizes.push(binary.len() / 1024);
    }
    let [count, f32, bf16] = [kernels().len(), sizes[0], sizes[1]];
    Ok(format!("sm_{capability}: {count} kernels, {f32} KiB for f32 and {bf16} KiB for bf16"))
}
