//! The kernels on the CPU: the same sources, compiled as C++ and run thread by thread. It is slow, and it is how the arithmetic
//! of the kernels is tested on machines without a GPU.
//!
//! It is stricter than a GPU: arguments are compared with what a kernel takes, memory begins as NaN and ends with a mark that must
//! stay, copies within a kernel are NaN until they were waited for, and the order of threads and blocks turns with every launch.

use super::machine::{Argument, BF16, Launch, Machine, SOURCES, THREADS, kernels};
use crate::program::Precision;
use candle_core::{Result, bail};
use libloading::Library;
use std::alloc::Layout;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The kernels whose threads wait for each other, in both forms.
const WAITING: [&str; 23] = [
    "moments",
    "normalise",
    "gradient_sums",
    "normalise_backward",
    "head_sums",
    "head_gradients",
    "class_sums",
    "class_totals",
    "count_set",
    "count_before",
    "narrow_search",
    "cross_entropy",
    "overlaps",
    "conflict",
    "cosine",
    "uncertainty",
    "squares",
    "gather_16",
    "gather_32",
    "gather_64",
    "filter_16",
    "filter_32",
    "filter_64",
];

/// What the name of a kernel's wide form ends with.
const WIDE: &str = "_wide";

/// What lies before and after lent memory, and its alignment.
const MARK: [u8; 64] = [0xa5; 64];

/// What a kernel may not do, in any test: misaligned moves, which fail on a GPU, and indices beyond an array.
const TRAPS: [&str; 2] = ["-fsanitize=alignment,bounds", "-fsanitize-undefined-trap-on-error"];

type Forbid = unsafe extern "C" fn(*mut c_void, usize, c_int);

type Emulate =
    unsafe extern "C" fn(*const c_char, *const c_char, *const c_uint, c_uint, *mut *mut c_void) -> c_int;

pub(crate) struct Emulator {
    /// Of f32 and of bf16 activations.
    libraries: [Library; 2],
    /// One launch at a time.
    turn: Mutex<()>,
    /// Bytes that are lent.
    held: AtomicU64,
    /// What was brought and not yet received, by address.
    coming: Mutex<HashMap<u64, Vec<u8>>>,
}

/// The emulator of this process, compiled when it is first asked for; or why there is none.
pub(crate) fn emulator() -> std::result::Result<Arc<dyn Machine>, String> {
    static STARTED: OnceLock<std::result::Result<Arc<Emulator>, String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let libraries = [compile(Precision::F32)?, compile(Precision::Bf16)?];
        Ok(Arc::new(Emulator {
            libraries,
            turn: Mutex::default(),
            held: AtomicU64::new(0),
            coming: Mutex::default(),
        }))
    });
    started.clone().map(|emulator| emulator as Arc<dyn Machine>)
}

fn compile(precision: Precision) -> std::result::Result<Library, String> {
    let mut source = include_str!("emulator.h").to_owned();
    SOURCES.iter().for_each(|part| source.push_str(part));
    source.push_str("\nstatic std::vector<Known> kernels()\n{\n    return {");
    for name in kernels() {
        source.push_str(&format!("KERNEL({name}, {}), ", WAITING.contains(&name.trim_end_matches(WIDE))));
    }
    source.push_str("};\n}\n");

    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let folder = std::env::temp_dir();
    let name = format!("tandem-kernels-{}-{precision:?}", std::process::id());
    let [from, to] = ["cpp", "so"].map(|extension| folder.join(format!("{name}.{extension}")));
    std::fs::write(&from, source).map_err(|error| format!("{}: {error}", from.display()))?;
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O2", "-fno-strict-aliasing", "-shared", "-fPIC"]);
    // A jump to another stack is what some compilers are told to call an error.
    command.args(["-U_FORTIFY_SOURCE", "-o"]).arg(&to).arg(&from).args(TRAPS);
    command.args(std::env::var("CXXFLAGS").unwrap_or_default().split_whitespace());
    if precision == Precision::Bf16 {
        command.arg(format!("-D{BF16}"));
    }
    let output = command.output().map_err(|error| format!("no C++ compiler ({compiler}): {error}"))?;
    let _ = std::fs::remove_file(&from);
    // A compiler that is there and does not take the kernels is no reason to leave out what they are tested by.
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} does not compile the kernels: {errors:.4000}");
    // SAFETY: the library was just made from the sources above; it runs nothing when it is loaded.
    let library = unsafe { Library::new(&to) }.map_err(|error| error.to_string());
    // What is loaded stays.
    let _ = std::fs::remove_file(&to);
    library
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + 2 * MARK.len(), MARK.len()).expect("sizes that were asked for before")
}

impl Emulator {
    fn coming(&self) -> MutexGuard<'_, HashMap<u64, Vec<u8>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forbids the marks around lent memory to kernels, reads of them too, where a soak watches; or allows them again.
    ///
    /// # Safety
    /// `start` is that of memory of this many bytes with its marks.
    unsafe fn forbid_marks(&self, start: *mut u8, bytes: usize, forbidden: bool) {
        // SAFETY: the function has this type; both marks lie where the caller says.
        unsafe {
            let Ok(forbid) = self.libraries[0].get::<Forbid>(b"forbid\0") else { return };
            for mark in [start, start.add(MARK.len() + bytes)] {
                forbid(mark.cast(), MARK.len(), forbidden.into());
            }
        }
    }
}

impl Machine for Emulator {
    fn describe(&self) -> String {
        "CUDA kernels, emulated on the CPU".to_owned()
    }

    fn held_memory(&self) -> Option<u64> {
        Some(self.held.load(Ordering::Relaxed))
    }

    fn allocate(&self, bytes: usize) -> Result<u64> {
        // SAFETY: the layout is not empty; what is written lies within it.
        unsafe {
            let start = std::alloc::alloc(layout(bytes));
            if start.is_null() {
                bail!("no memory for {bytes} bytes");
            }
            start.copy_from_nonoverlapping(MARK.as_ptr(), MARK.len());
            // NaN, as f32 and as bf16.
            start.add(MARK.len()).write_bytes(0xff, bytes);
            start.add(MARK.len() + bytes).copy_from_nonoverlapping(MARK.as_ptr(), MARK.len());
            self.forbid_marks(start, bytes, true);
            self.held.fetch_add(bytes as u64, Ordering::Relaxed);
            Ok(start.add(MARK.len()) as u64)
        }
    }

    unsafe fn release(&self, address: u64, bytes: usize) {
        let coming = self.coming().contains_key(&address);
        assert!(
            !coming || std::thread::panicking(),
            "memory was given back before what was brought to it was received"
        );
        self.held.fetch_sub(bytes as u64, Ordering::Relaxed);
        // SAFETY: it was allocated with as many bytes and the marks.
        unsafe {
            let start = (address as *mut u8).sub(MARK.len());
            self.forbid_marks(start, bytes, false);
            for mark in [start, start.add(MARK.len() + bytes)] {
                let mark = std::slice::from_raw_parts(mark, MARK.len());
                assert!(mark == MARK || std::thread::panicking(), "a kernel wrote outside of its memory");
            }
            std::alloc::dealloc(start, layout(bytes));
        }
    }

    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { (address as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    unsafe fn upload(&self, from: &[u8], address: u64) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { (address as *mut u8).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    /// The copy is made when it is received, as late as on a GPU: before that it is NaN.
    fn bring(&self, from: &[u8]) -> Result<u64> {
        let address = self.allocate(from.len())?;
        self.coming().insert(address, from.to_vec());
        Ok(address)
    }

    fn receive(&self) -> Result<()> {
        for (address, bytes) in self.coming().drain() {
            // SAFETY: as many bytes were allocated there, and were not given back before this.
            unsafe { self.upload(&bytes, address) }?;
        }
        Ok(())
    }

    unsafe fn download(&self, address: u64, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { to.as_mut_ptr().copy_from_nonoverlapping(address as *const u8, to.len()) };
        Ok(())
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<()> {
        let &Launch { kernel, precision, grid, arguments } = launch;
        let library = &self.libraries[usize::from(precision == Precision::Bf16)];
        let letters: String = arguments.iter().map(Argument::letter).collect();
        let mut values: Vec<*mut c_void> = arguments.iter().map(Argument::value).collect();
        let [name, letters] = [kernel, &letters].map(|text| CString::new(text).unwrap_or_default());
        let grid = grid.map(|blocks| blocks as c_uint);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the function has this type; it calls the kernel after it compared the arguments' types.
        let failed = unsafe {
            let emulate = library.get::<Emulate>(b"emulate\0").map_err(candle_core::Error::wrap)?;
            emulate(name.as_ptr(), letters.as_ptr(), grid.as_ptr(), THREADS as c_uint, values.as_mut_ptr())
        };
        match failed {
            0 => Ok(()),
            1 => bail!("there is no kernel {kernel}"),
            _ => bail!("the kernel {kernel} takes other arguments than {letters:?}"),
        }
    }
}
