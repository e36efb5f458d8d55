//! What a program holds on a GPU, and when it waits for it, counted on the emulated one.

use super::*;
use crate::Stopwatch;
use crate::gpu::tests::WithLibrary;
use crate::gpu::{Gpu, emulator};
use std::sync::atomic::Ordering;

/// Steps hold as much as each other, return all of it but weights and momentum, and hold what the estimate says.
#[test]
fn steps_on_a_gpu_give_their_memory_back_and_hold_what_is_estimated() {
    let machine = match emulator::emulator() {
        Ok(machine) => machine,
        Err(reason) => {
            eprintln!("SKIPPED: memory on a GPU, for there is {reason}");
            return;
        }
    };
    for precision in [Precision::F32, Precision::Bf16] {
        // Work space of convolutions is not counted: a library stands in for them.
        let counting = Arc::new(WithLibrary::new(machine.clone()));
        let device = crate::Device::Cuda(Gpu::of_machine(counting.clone()));
        let sample = sample_on(&device);
        let dims = [2, 2, 16, 12, 20];
        let image = Tensor::randn(0f32, 1.0, &dims, &Device::Cpu).unwrap();
        let of_weights = 4 * sample.weights.count();
        let of_statistics = 4 * sample.statistics.count();
        assert_eq!(counting.live.load(Ordering::Relaxed), of_weights + of_statistics);
        let mut momentum = None;
        let step = Descent { rate: 1e-3, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        let (mut peaks, mut of_logits) = (Vec::new(), 0);
        for _ in 0..3 {
            counting.peak.store(0, Ordering::Relaxed);
            let mode = (Mode::Train { dropout: KEY }, precision);
            let outputs = sample.program.run(&image, &sample.weights, &sample.statistics, mode).unwrap();
            let features = outputs.value(sample.features);
            of_logits = outputs.logits.dims().unwrap().iter().product::<usize>() as u64 * 4;
            let gradient = VoxelGradient {
                patches: 1..2,
                voxels: vec![5, 9],
                of_voxels: features.at(1..2, &[5, 9]).unwrap(),
                ..VoxelGradient::default()
            };
            let loss = features.loss(0.0, gradient).unwrap();
            (outputs.logits.get().unwrap().sqr().unwrap().sum_all().unwrap() + loss)
                .unwrap()
                .backward()
                .unwrap();
            drop((outputs, features));
            let gradient = sample.weights.take_gradient().unwrap();
            sample.weights.descend(&gradient, &mut momentum, &step).unwrap();
            drop(gradient);
            let (kept, expected) = (counting.live.load(Ordering::Relaxed), 2 * of_weights + of_statistics);
            assert_eq!(kept, expected, "weights, momentum and running statistics");
            peaks.push(counting.peak.load(Ordering::Relaxed));
        }
        assert_eq!(peaks[1], peaks[2]);
        let footprint = sample.program.footprint(dims, precision, &device).unwrap();
        // Logits and their gradient are not among what a program holds.
        let passes = footprint.forward.max(footprint.backward) + 2 * of_logits;
        let estimated = passes + 4 * of_weights as u64;
        let ratio = peaks[2] as f64 / estimated as f64;
        assert!((0.9..1.2).contains(&ratio), "{precision:?}: {} held, {estimated} estimated", peaks[2]);
    }
}

/// A GPU whose pieces of work are counted, and a program on it; a line says where there is none.
fn counted() -> Option<(crate::Device, Stopwatch, Sample)> {
    let Ok(crate::Device::Cuda(gpu)) = crate::Device::emulated() else {
        eprintln!("SKIPPED: copies to and from a GPU, for there is no emulator");
        return None;
    };
    let (gpu, stopwatch) = gpu.timed();
    let device = crate::Device::Cuda(gpu);
    let sample = sample_on(&device);
    Some((device, stopwatch, sample))
}

/// How often something was done.
fn times(stopwatch: &Stopwatch, what: &str) -> u64 {
    stopwatch.work().iter().find(|work| work.what == what).map_or(0, |work| work.times)
}

/// What a pass makes is asked for and not waited for: the host goes on to the next one.
#[test]
fn a_forward_pass_copies_nothing_from_a_gpu() {
    let Some((_, stopwatch, sample)) = counted() else { return };
    let image = Tensor::randn(0f32, 1.0, &[2, 2, 8, 12, 4], &Device::Cpu).unwrap();
    let mode = (Mode::Train { dropout: KEY }, Precision::Bf16);
    stopwatch.reset();
    let outputs = sample.program.run(&image, &sample.weights, &sample.statistics, mode).unwrap();
    let copies = || times(&stopwatch, Stopwatch::COPIES);
    assert_eq!(copies(), 0);
    outputs.logits.get().unwrap();
    assert_eq!(copies(), 1);
}

/// Networks read the copy of an image that was brought, and make of it what they make of the image.
#[test]
fn an_image_that_was_brought_is_not_copied_again() {
    let Some((device, stopwatch, sample)) = counted() else { return };
    // Channels last, so that what is brought is not what lies in memory.
    let image =
        Tensor::randn(0f32, 1.0, &[2, 8, 12, 4, 2], &Device::Cpu).unwrap().permute((0, 4, 1, 2, 3)).unwrap();
    let run = || {
        stopwatch.reset();
        let mode = (Mode::Infer, Precision::F32);
        let outputs = sample.program.run(&image, &sample.weights, &sample.statistics, mode).unwrap();
        let copies = times(&stopwatch, "copies to the GPU");
        (outputs.logits.get().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), copies)
    };
    let (expected, copies) = run();
    assert_eq!(copies, 1);
    let brought = device.bring(&image).unwrap();
    assert_eq!(run(), (expected.clone(), 0));
    drop(brought);
    assert_eq!(run(), (expected, 1));
    drop(device.bring(&image).unwrap());
    assert!(device.bring(sample.values.as_tensor()).unwrap_err().to_string().contains("variable"));
    assert!(device.bring(&image.to_dtype(candle_core::DType::F64).unwrap()).is_err());
}
