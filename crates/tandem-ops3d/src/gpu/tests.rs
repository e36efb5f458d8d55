mod convolutions;
mod features;
mod layers;
mod scores;
mod timed;
mod voxels;
mod windows;

use super::machine::{Job, Kind, Launch, Machine};
use super::{Buffer, Queue};
use crate::program::Precision;
use crate::reference;
use candle_core::Result;
use half::bf16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tandem_random::Draws;

/// The machines that kernels are tested on; a line says which of them are not there.
fn machines() -> Vec<Arc<dyn Machine>> {
    let mut found: Vec<Arc<dyn Machine>> = Vec::new();
    match super::emulator::emulator() {
        Ok(machine) => {
            found.push(Arc::new(WithLibrary::new(machine.clone())));
            found.push(machine);
        }
        Err(reason) => eprintln!("SKIPPED: the emulated kernels, for there is {reason}"),
    }
    #[cfg(feature = "cuda")]
    match super::cuda::open(0, false) {
        Ok(gpu) => found.push(gpu.machine),
        Err(reason) => eprintln!("SKIPPED: the kernels on a GPU, for there is {reason}"),
    }
    found
}

/// Runs a test on every machine, in both precisions.
fn on_all(test: impl Fn(&Queue)) {
    for machine in machines() {
        for precision in [Precision::F32, Precision::Bf16] {
            test(&Queue { machine: machine.clone(), precision });
        }
    }
}

impl Queue {
    /// What a value may lose when it is stored, relative to the largest: half of a unit in the last of eight bits, or what sums of f32
    /// products lose in any case.
    fn tolerance(&self) -> f64 {
        match self.precision {
            Precision::F32 => 1e-5,
            Precision::Bf16 => 1.0 / 256.0 + 1e-5,
        }
    }

    /// Values as they are once stored, and their buffer.
    fn given(&self, values: &[f32]) -> (Vec<f32>, Buffer) {
        // A row of one voxel a value: their order stays.
        let buffer = self.enter(values, [1, values.len(), 1, 1, 1]).unwrap();
        let values = match self.precision {
            Precision::F32 => values.to_vec(),
            Precision::Bf16 => values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect(),
        };
        (values, buffer)
    }

    /// The buffer of some bytes.
    fn bytes(&self, bytes: &[u8]) -> Buffer {
        Buffer::of(&self.machine, bytes).unwrap()
    }

    /// Stored values on the host, in their own order.
    fn widened(&self, x: &Buffer, count: usize) -> Result<Vec<f32>> {
        self.leave(x, [1, count, 1, 1, 1])
    }

    /// Compares stored values, relative to the largest expected one.
    fn expect(&self, ours: &Buffer, expected: &[f64], what: &str) {
        self.expect_after(1, ours, expected, what);
    }

    /// The same of values that were stored so many times on their way.
    fn expect_after(&self, stored: usize, ours: &Buffer, expected: &[f64], what: &str) {
        let tolerance = stored as f64 * self.tolerance();
        compare(&self.widened(ours, expected.len()).unwrap(), expected, tolerance, what);
    }

    /// Compares f32 values.
    fn expect_f32(&self, ours: &Buffer, expected: &[f64], tolerance: f64, what: &str) {
        let mut values = vec![0.0f32; expected.len()];
        ours.download(&mut values).unwrap();
        compare(&values, expected, tolerance, what);
    }
}

fn compare(ours: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    let largest = expected.iter().fold(1e-30f64, |most, value| most.max(value.abs()));
    for (at, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let error = (f64::from(*ours) - expected).abs() / largest;
        // Written so that a NaN fails.
        assert!(error <= tolerance, "{what}: value {at} is {ours}, not {expected}");
    }
}

fn random(len: usize, slot: u64) -> Vec<f32> {
    let mut draws = Draws::new(23, "gpu tests", 0, slot);
    (0..len).map(|_| draws.normal() as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// A machine with a library of convolutions: plain loops in place of cuDNN, with its layouts.
/// It counts the bytes that it has lent: now, and at most.
pub(crate) struct WithLibrary {
    machine: Arc<dyn Machine>,
    pub(crate) live: AtomicUsize,
    pub(crate) peak: AtomicUsize,
}

impl WithLibrary {
    pub(crate) fn new(machine: Arc<dyn Machine>) -> Self {
        WithLibrary { machine, live: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Stored values at an address.
    fn read(&self, job: &Job, address: u64, len: usize) -> Result<Vec<f32>> {
        let mut bytes = vec![0; len * size(job)];
        // SAFETY: the job says so.
        unsafe { self.machine.download(address, &mut bytes)? };
        let f32s = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(match job.precision {
            Precision::F32 => bytes.chunks(4).map(f32s).collect(),
            Precision::Bf16 => bytes.chunks(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        })
    }

    fn write(&self, job: &Job, address: u64, values: &[f64]) -> Result<()> {
        let mut values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        if job.add {
            let there = self.read(job, address, values.len())?;
            values.iter_mut().zip(there).for_each(|(value, there)| *value += there);
        }
        let bytes: Vec<u8> = match job.precision {
            Precision::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Precision::Bf16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        };
        // SAFETY: the job says so.
        unsafe { self.machine.upload(&bytes, address) }
    }
}

fn size(job: &Job) -> usize {
    if job.precision == Precision::F32 { 4 } else { 2 }
}

impl Machine for WithLibrary {
    fn describe(&self) -> String {
        self.machine.describe()
    }
    fn allocate(&self, bytes: usize) -> Result<u64> {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(live, Ordering::Relaxed);
        self.machine.allocate(bytes)
    }
    unsafe fn release(&self, address: u64, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { self.machine.release(address, bytes) }
    }
    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.machine.clear(address, bytes) }
    }
    unsafe fn upload(&self, from: &[u8], address: u64) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.machine.upload(from, address) }
    }
    unsafe fn download(&self, address: u64, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.machine.download(address, to) }
    }
    unsafe fn launch(&self, launch: &Launch) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.machine.launch(launch) }
    }
    fn convolves(&self) -> bool {
        true
    }
    unsafe fn convolve(&self, job: &Job) -> Result<bool> {
        let shape = &job.shape;
        // As cuDNN does with what it has no algorithm for.
        if shape.ci == 1 {
            return Ok(false);
        }
        let len = |dims: [usize; 5]| dims.iter().product::<usize>();
        let (taps, weights) = (shape.kernel.iter().product::<usize>(), len(shape.weight_dims()));
        // From (co, taps, ci) to (co, ci, taps).
        let place = |i: usize| (i / (taps * shape.ci) * taps + i % taps) * shape.ci + i / taps % shape.ci;
        let turned = || -> Result<Vec<f32>> {
            let packed = self.read(job, job.weight, weights)?;
            Ok((0..weights).map(|i| packed[place(i)]).collect())
        };
        let image = || self.read(job, job.image, len(shape.image_dims()));
        let response = || self.read(job, job.response, len(shape.response_dims()));
        match job.kind {
            Kind::Respond => {
                self.write(job, job.response, &reference::respond(shape, &image()?, &turned()?))?
            }
            Kind::Spread => {
                self.write(job, job.image, &reference::spread(shape, &response()?, &turned()?))?
            }
            Kind::Filter => {
                let found = reference::weight_gradient(shape, &image()?, &response()?);
                let mut packed = vec![0.0; weights];
                (0..weights).for_each(|i| packed[place(i)] = found[i]);
                self.write(job, job.weight, &packed)?;
            }
        }
        Ok(true)
    }
}
