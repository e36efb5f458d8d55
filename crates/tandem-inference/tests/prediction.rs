//! Sliding windows and whole scans, with networks whose answers are known.

use candle_core::{D, Device, Result, Tensor};
use ndarray::{Array3, Array4};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tandem_inference::{Error, Protocol, SlidingWindow, predict, segment};
use tandem_networks::{Output, Pass, Segmenter};
use tandem_volume::{Geometry, Image, Volume};

const WINDOW: SlidingWindow = SlidingWindow { patch: [8, 6, 4], stride: [3, 5, 4], batch: 3, mirror: false };

/// Logits of class 1 = the voxel plus a slope along each axis of the *window*, of class 0 = 0. So a voxel's answer
/// depends on where it lies in the window. Of several channels each counts twice as much as the one before.
struct Sloped {
    slope: f32,
    channels: usize,
    divisor: usize,
}

const PLAIN: Sloped = Sloped { slope: 0.0, channels: 1, divisor: 1 };
const SLOPED: Sloped = Sloped { slope: 0.1, channels: 1, divisor: 2 };

impl Sloped {
    fn logit(&self, voxel: f32, at: [usize; 3]) -> f32 {
        voxel + self.slope * (at[0] as f32 - 2.0 * at[1] as f32 + 3.0 * at[2] as f32)
    }
}

impl Segmenter for Sloped {
    fn forward(&self, input: &Tensor, pass: Pass) -> Result<Output> {
        assert_eq!(pass, Pass::Infer);
        let (n, c, d, h, w) = input.dims5()?;
        let weights: Vec<f32> = (0..c).map(|channel| (1 << channel) as f32).collect();
        let weights = Tensor::from_vec(weights, (1, c, 1, 1, 1), input.device())?;
        let voxels = input.broadcast_mul(&weights)?.sum(1)?.flatten_all()?.to_vec1::<f32>()?;
        let place = |at: usize| [at / (h * w) % d, at / w % h, at % w];
        let logits = voxels.iter().enumerate().map(|(at, &voxel)| self.logit(voxel, place(at)));
        let foreground = Tensor::from_vec(logits.collect(), (n, 1, d, h, w), input.device())?;
        let logits = Tensor::cat(&[&foreground.zeros_like()?, &foreground], 1)?;
        // A view in another memory order must serve as well.
        let logits = logits.transpose(1, D::Minus1)?.contiguous()?.transpose(1, D::Minus1)?;
        Ok(Output {
            features: logits.clone().into(),
            features_dropped: logits.clone().into(),
            logits: logits.into(),
            extra: BTreeMap::new(),
        })
    }
    fn in_channels(&self) -> usize {
        self.channels
    }
    fn num_classes(&self) -> usize {
        2
    }
    fn size_divisor(&self) -> usize {
        self.divisor
    }
}

fn image(shape: (usize, usize, usize)) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(i, j, k)| ((3 * i + 5 * j + 7 * k) % 11) as f32 / 5.0 - 1.0)
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The released code's loop, voxel by voxel: for each voxel, the mean over the windows that hold it.
fn by_definition(network: &Sloped, image: &Array3<f32>, window: &SlidingWindow) -> Array3<f32> {
    let starts = |axis: usize| {
        let (side, patch, stride) = (image.shape()[axis], window.patch[axis], window.stride[axis]);
        let steps = ((side - patch) as f64 / stride as f64).ceil() as usize + 1;
        (0..steps).map(move |step| (stride * step).min(side - patch)).collect::<Vec<_>>()
    };
    let holding = |axis: usize, index: usize| {
        let patch = window.patch[axis];
        starts(axis)
            .into_iter()
            .filter(move |start| (*start..start + patch).contains(&index))
            .collect::<Vec<_>>()
    };
    Array3::from_shape_fn(image.dim(), |(i, j, k)| {
        let (mut sum, mut count) = (0.0, 0);
        for a in holding(0, i) {
            for b in holding(1, j) {
                for c in holding(2, k) {
                    sum += sigmoid(network.logit(image[[i, j, k]], [i - a, j - b, k - c]));
                    count += 1;
                }
            }
        }
        sum / count as f32
    })
}

fn foreground(probabilities: &Array4<f32>) -> Array3<f32> {
    probabilities.index_axis(ndarray::Axis(0), 1).to_owned()
}

fn largest_difference(a: &Array3<f32>, b: &Array3<f32>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    tandem_reference::largest_difference(a.as_slice().unwrap(), b.as_slice().unwrap())
}

#[test]
fn overlapping_windows_are_averaged_and_networks_kept_apart() {
    let image = image((19, 13, 10));
    let networks: [&dyn Segmenter; 2] = [&SLOPED, &PLAIN];
    let probabilities =
        predict(&networks, &[&image], &WINDOW, &Device::Cpu, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(probabilities.len(), 2);
    for (network, ours) in [&SLOPED, &PLAIN].into_iter().zip(&probabilities) {
        assert!(largest_difference(&foreground(ours), &by_definition(network, &image, &WINDOW)) < 1e-6);
        let sums = ours.sum_axis(ndarray::Axis(0));
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    }
}

#[test]
fn the_batch_changes_no_bit() {
    let image = image((19, 13, 10));
    let with = |batch| {
        let window = SlidingWindow { batch, ..WINDOW };
        predict(&[&SLOPED], &[&image], &window, &Device::Cpu, &mut |_, _| ControlFlow::Continue(())).unwrap()
    };
    let one = with(1);
    assert!([2, 7, 1000].into_iter().all(|batch| with(batch) == one));
}

#[test]
fn an_image_smaller_than_the_patch_is_padded_and_cut_back() {
    let image = image((5, 13, 1));
    let probabilities =
        predict(&[&PLAIN], &[&image], &WINDOW, &Device::Cpu, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert!(largest_difference(&foreground(&probabilities[0]), &image.mapv(sigmoid)) < 1e-6);
}

#[test]
fn every_channel_reaches_the_network() {
    let (first, second) = (image((19, 5, 10)), image((19, 5, 10)).mapv(|voxel| 0.25 - voxel));
    let two = Sloped { channels: 2, ..SLOPED };
    let run = |channels: &[&Array3<f32>]| {
        predict(&[&two], channels, &WINDOW, &Device::Cpu, &mut |_, _| ControlFlow::Continue(()))
    };
    let summed = predict(&[&SLOPED], &[&(&first + &second * 2.0)], &WINDOW, &Device::Cpu, &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert_eq!(run(&[&first, &second]).unwrap(), summed.unwrap());
    let other = run(&[&first, &image((19, 5, 9))]).unwrap_err().to_string();
    assert!(other.contains("[19, 5, 10] and [19, 5, 9]"), "{other}");
    let one = run(&[&first]).unwrap_err().to_string();
    assert!(one.contains("takes scans of 2 channel(s), but this one has 1"), "{one}");

    let geometry = || Geometry::with_spacing([1.0, 1.0, 2.0]).unwrap();
    let scan = Image::new([first, second].map(|array| Volume::new(array, geometry())).to_vec()).unwrap();
    let protocol = Protocol { window: WINDOW, spacing: Some([2.0; 3]) };
    let found =
        segment(&[&two], &scan, &protocol, &Device::Cpu, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(found.own.label().shape(), [19, 5, 10]);
    assert_eq!(found.working.unwrap().ensemble.dim(), (2, 10, 3, 10));
}

#[test]
fn progress_counts_every_window_once() {
    let mut calls = Vec::new();
    predict(&[&PLAIN], &[&image((19, 13, 10))], &WINDOW, &Device::Cpu, &mut |done, of| {
        calls.push((done, of));
        ControlFlow::Continue(())
    })
    .unwrap();
    // 5 x 3 x 3 windows, three at a time.
    assert_eq!(calls, (1..=15).map(|batch| (3 * batch, 45)).collect::<Vec<_>>());
}

#[test]
fn progress_may_end_the_work_after_any_window() {
    let mut calls = 0;
    let stopped = predict(&[&PLAIN], &[&image((19, 13, 10))], &WINDOW, &Device::Cpu, &mut |done, _| {
        calls += 1;
        if done < 9 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!(calls, 3);
}

#[test]
fn what_cannot_be_predicted_is_refused_with_a_reason() {
    let image = image((9, 9, 9));
    let run = |network: &dyn Segmenter, image: &Array3<f32>, window: SlidingWindow| {
        predict(&[network], &[image], &window, &Device::Cpu, &mut |_, _| ControlFlow::Continue(()))
            .unwrap_err()
    };
    let window = |change: fn(&mut SlidingWindow)| {
        let mut window = WINDOW;
        change(&mut window);
        run(&PLAIN, &image, window).to_string()
    };
    assert!(window(|w| w.patch[1] = 0).contains("patch [8, 0, 4]"));
    assert!(window(|w| w.stride[2] = 5).contains("stride [3, 5, 5]"));
    assert!(window(|w| w.stride[0] = 0).contains("stride [0, 5, 4]"));
    assert!(window(|w| w.batch = 0).contains("batch must be at least 1"));

    let odd = SlidingWindow { patch: [8, 7, 4], ..WINDOW };
    assert!(run(&SLOPED, &image, odd).to_string().contains("multiple of 2"));
    let coloured = Sloped { channels: 3, ..PLAIN };
    assert!(
        run(&coloured, &image, WINDOW)
            .to_string()
            .contains("takes scans of 3 channel(s), but this one has 1")
    );
    let mut spoilt = image.clone();
    spoilt[[1, 2, 3]] = f32::NAN;
    assert!(matches!(run(&PLAIN, &spoilt, WINDOW), Error::Image([1, 2, 3])));
    let diverged = Sloped { slope: f32::NAN, ..PLAIN };
    assert!(matches!(run(&diverged, &image, WINDOW), Error::Diverged(0)));
}

fn scan(shape: (usize, usize, usize), spacing: [f64; 3]) -> Volume<f32> {
    // A ball of 12 mm across in the middle, on a dark ground.
    let side = |axis: usize| [shape.0, shape.1, shape.2][axis] as f64 - 1.0;
    let array = Array3::from_shape_fn(shape, |(i, j, k)| {
        let offset = |axis: usize, at: usize| (at as f64 - side(axis) / 2.0) * spacing[axis];
        let squared = offset(0, i).powi(2) + offset(1, j).powi(2) + offset(2, k).powi(2);
        if squared < 36.0 { 4.0 } else { -4.0 }
    });
    let direction = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    Volume::new(array, Geometry::new(spacing, [5.0, -7.0, 11.0], direction).unwrap())
}

#[test]
fn a_scan_at_the_working_spacing_is_not_resampled() {
    let scan = scan((24, 22, 20), [1.0, 1.0, 1.0000001]);
    for spacing in [None, Some([1.0; 3])] {
        let protocol = Protocol { window: WINDOW, spacing };
        let found =
            segment(&[&PLAIN, &SLOPED], &scan.clone().into(), &protocol, &Device::Cpu, &mut |_, _| {
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(found.working.is_none());
        assert_eq!(found.own.geometry, *scan.geometry());
        let expected =
            predict(&[&PLAIN], &[scan.array()], &WINDOW, &Device::Cpu, &mut |_, _| ControlFlow::Continue(()))
                .unwrap();
        assert_eq!(found.own.networks[0], expected[0]);
        assert_eq!(found.own.label().shape(), scan.shape());
    }
}

#[test]
fn a_scan_comes_back_on_its_own_grid() {
    let scan = scan((48, 44, 30), [0.5, 0.5, 0.8]);
    let protocol = Protocol { window: WINDOW, spacing: Some([1.0; 3]) };
    let found = segment(&[&PLAIN, &PLAIN], &scan.clone().into(), &protocol, &Device::Cpu, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let working = found.working.unwrap();
    assert_eq!(working.geometry.spacing(), [1.0; 3]);
    assert_eq!(working.ensemble.dim(), (2, 24, 22, 24));

    let label = found.own.label();
    assert_eq!((label.shape(), label.geometry()), (scan.shape(), scan.geometry()));
    let truth = scan.array().mapv(|voxel| u8::from(voxel > 0.0));
    let both = truth.iter().zip(label.array()).filter(|(a, b)| **a == 1 && **b == 1).count() as f64;
    let dice = 2.0 * both / (truth.iter().chain(label.array()).filter(|voxel| **voxel == 1).count() as f64);
    // Half a working voxel of blur at the surface of a ball 12 mm across.
    assert!(dice > 0.95, "{dice}");
    assert!(found.own.ensemble.iter().all(|probability| (0.0..=1.0).contains(probability)));
}

#[test]
fn a_scan_needs_a_network() {
    let protocol = Protocol { window: WINDOW, spacing: None };
    let error = segment(&[], &scan((9, 9, 9), [1.0; 3]).into(), &protocol, &Device::Cpu, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert!(error.to_string().contains("at least one network"));
}
