//! What a program holds on a GPU, counted on the emulated one.

use super::*;
use crate::gpu::machine::{Argument, Job, Machine};
use crate::gpu::tests::WithLibrary;
use crate::gpu::{Gpu, emulator};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A machine that counts the bytes it has lent: now, and at most.
struct Counting {
    machine: Arc<dyn Machine>,
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Machine for Counting {
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
    unsafe fn launch(
        &self,
        kernel: &'static str,
        precision: Precision,
        grid: [usize; 3],
        arguments: &[Argument],
    ) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { self.machine.launch(kernel, precision, grid, arguments) }
    }
    fn convolves(&self) -> bool {
        self.machine.convolves()
    }
    unsafe fn convolve(&self, job: &Job) -> Result<bool> {
        // SAFETY: the caller's.
        unsafe { self.machine.convolve(job) }
    }
}

/// Steps hold as much as each other, return all of it but weights and momentum, and hold what the estimate says.
#[test]
fn steps_on_a_gpu_give_their_memory_back_and_hold_what_is_estimated() {
    let machine = match emulator::emulator() {
        // Work space of convolutions is not counted: a library stands in for them.
        Ok(machine) => Arc::new(WithLibrary(machine)),
        Err(reason) => {
            eprintln!("SKIPPED: memory on a GPU, for there is {reason}");
            return;
        }
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let counting = Arc::new(Counting {
            machine: machine.clone(),
            live: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let device = crate::Device::Cuda(Gpu(counting.clone()));
        let sample = sample_on(&device);
        let dims = [2, 2, 16, 12, 20];
        let image = Tensor::randn(0f32, 1.0, &dims, &Device::Cpu).unwrap();
        let of_weights = 4 * sample.weights.count();
        assert_eq!(counting.live.load(Ordering::Relaxed), of_weights);
        let mut momentum = None;
        let step = Descent { rate: 1e-3, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        let mut peaks = Vec::new();
        for _ in 0..3 {
            counting.peak.store(0, Ordering::Relaxed);
            let mode = (Mode::Train { dropout: KEY }, precision);
            let outputs = sample.program.run(&image, &sample.weights, &sample.statistics, mode).unwrap();
            let features = outputs.value(sample.features);
            let gradient = VoxelGradient {
                patches: 1..2,
                voxels: vec![5, 9],
                of_voxels: features.at(1..2, &[5, 9]).unwrap(),
                ..VoxelGradient::default()
            };
            let loss = features.loss(0.0, gradient).unwrap();
            (outputs.logits.sqr().unwrap().sum_all().unwrap() + loss).unwrap().backward().unwrap();
            drop((outputs, features));
            let gradient = sample.weights.take_gradient().unwrap();
            sample.weights.descend(&gradient, &mut momentum, &step).unwrap();
            drop(gradient);
            assert_eq!(counting.live.load(Ordering::Relaxed), 2 * of_weights, "weights and momentum");
            peaks.push(counting.peak.load(Ordering::Relaxed));
        }
        assert_eq!(peaks[1], peaks[2]);
        let footprint = sample.program.footprint(dims, precision, &device).unwrap();
        let estimated = footprint.forward.max(footprint.backward) + 4 * of_weights as u64;
        let ratio = peaks[2] as f64 / estimated as f64;
        assert!((0.9..1.2).contains(&ratio), "{precision:?}: {} held, {estimated} estimated", peaks[2]);
    }
}
