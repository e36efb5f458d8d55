//! A machine that remembers what took how long.

use super::Gpu;
use super::machine::{Job, Launch, Machine};
use candle_core::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Times of a GPU's work: see [`Gpu::timed`].
pub struct Stopwatch(Arc<Timed>);

/// What a GPU did some times.
#[derive(Clone, Debug)]
pub struct TimedWork {
    /// A kernel, or a convolution by cuDNN and its geometry, or copies.
    pub what: String,
    /// How often.
    pub times: u64,
    /// Seconds of all together.
    pub seconds: f64,
}

impl Gpu {
    /// The same GPU, which waits before and after each piece of work, and the times of these. A step takes longer so, by some
    /// microseconds a piece: what it says is where the time goes.
    pub fn timed(&self) -> (Gpu, Stopwatch) {
        let timed = Arc::new(Timed { machine: self.machine.clone(), table: Mutex::default() });
        (Gpu::of_machine(timed.clone()), Stopwatch(timed))
    }
}

impl Stopwatch {
    /// What copies from the GPU are called: the host waits for each.
    pub const COPIES: &str = "copies from the GPU";

    /// Forgets what was timed so far.
    pub fn reset(&self) {
        self.0.table().clear();
    }

    /// What was done since, the longest first.
    pub fn work(&self) -> Vec<TimedWork> {
        let mut work: Vec<_> = self.0.table().values().cloned().collect();
        work.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.what.cmp(&b.what)));
        work
    }
}

struct Timed {
    machine: Arc<dyn Machine>,
    table: Mutex<HashMap<String, TimedWork>>,
}

impl Timed {
    fn table(&self) -> MutexGuard<'_, HashMap<String, TimedWork>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a piece of work by itself.
    fn of<T>(&self, what: impl FnOnce(&T) -> String, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.machine.wait()?;
        let started = Instant::now();
        let made = work()?;
        self.machine.wait()?;
        let seconds = started.elapsed().as_secs_f64();
        let what = what(&made);
        let mut table = self.table();
        let entry = table.entry(what.clone()).or_insert(TimedWork { what, times: 0, seconds: 0.0 });
        entry.times += 1;
        entry.seconds += seconds;
        Ok(made)
    }
}

fn name_of(job: &Job) -> String {
    let sides = |sides: [usize; 3]| format!("{}x{}x{}", sides[0], sides[1], sides[2]);
    let shape = &job.shape;
    let [image, kernel, stride] = [shape.image, shape.kernel, shape.params.stride].map(sides);
    let (ci, co) = (shape.ci, shape.co);
    format!("cuDNN {:?} {ci} -> {co}, kernel {kernel}, stride {stride}, image {image}", job.kind)
}

impl Machine for Timed {
    fn describe(&self) -> String {
        self.machine.describe()
    }
    fn multiplies_bf16(&self) -> bool {
        self.machine.multiplies_bf16()
    }
    fn free_memory(&self) -> Option<u64> {
        self.machine.free_memory()
    }
    fn held_memory(&self) -> Option<u64> {
        self.machine.held_memory()
    }
    fn peak_memory(&self) -> Option<u64> {
        self.machine.peak_memory()
    }
    fn remarks(&self) -> Option<String> {
        self.machine.remarks()
    }
    fn wait(&self) -> Result<()> {
        self.machine.wait()
    }
    fn allocate(&self, bytes: usize) -> Result<u64> {
        self.machine.allocate(bytes)
    }
    unsafe fn release(&self, address: u64, bytes: usize) {
        // SAFETY: the caller's.
        unsafe { self.machine.release(address, bytes) }
    }
    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's.
        self.of(|()| "clearing".to_owned(), || unsafe { self.machine.clear(address, bytes) })
    }
    unsafe fn upload(&self, from: &[u8], address: u64) -> Result<()> {
        // SAFETY: the caller's.
        self.of(|()| "copies to the GPU".to_owned(), || unsafe { self.machine.upload(from, address) })
    }
    fn bring(&self, from: &[u8]) -> Result<u64> {
        self.of(|_| "copies to the GPU".to_owned(), || self.machine.bring(from))
    }
    fn receive(&self) -> Result<()> {
        self.machine.receive()
    }
    unsafe fn download(&self, address: u64, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller's.
        self.of(|()| Stopwatch::COPIES.to_owned(), || unsafe { self.machine.download(address, to) })
    }
    unsafe fn launch(&self, launch: &Launch) -> Result<()> {
        // SAFETY: the caller's.
        self.of(|()| launch.kernel.to_owned(), || unsafe { self.machine.launch(launch) })
    }
    fn convolves(&self) -> bool {
        self.machine.convolves()
    }
    unsafe fn convolve(&self, job: &Job) -> Result<bool> {
        let name = |done: &bool| if *done { name_of(job) } else { "asking cuDNN in vain".to_owned() };
        // SAFETY: the caller's.
        self.of(name, || unsafe { self.machine.convolve(job) })
    }
}
