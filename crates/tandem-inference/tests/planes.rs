//! Plane by plane is the same as all at once, bit for bit: for all strides, batches, paddings and grids.

use candle_core::{Device, Result, Tensor};
use ndarray::{Array3, Array4, Axis, Slice, s};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tandem_inference::{On, Protocol, SlidingWindow, ensemble, label_map, predict, segment, segment_planes};
use tandem_networks::{Output, Pass, Segmenter};
use tandem_ops3d::elementary::exp;
use tandem_reference::largest_difference;
use tandem_volume::{Geometry, Image, Volume, resample};

const CLASSES: usize = 3;
const PATCH: [usize; 3] = [4, 3, 5];

/// A network whose answer for a voxel depends on its neighbour along each axis, its place in the window, and the class.
struct Uneven(f32);

impl Segmenter for Uneven {
    fn forward(&self, input: &Tensor, _: Pass) -> Result<Output> {
        let (n, _, d, h, w) = input.dims5()?;
        let voxels = input.flatten_all()?.to_vec1::<f32>()?;
        let mut logits = Vec::with_capacity(n * CLASSES * d * h * w);
        for window in voxels.chunks(d * h * w) {
            for class in 0..CLASSES {
                for (at, voxel) in window.iter().enumerate() {
                    let next = window[(at + 1 + class) % window.len()];
                    let place = (at / (h * w) + 2 * (at / w % h) + 3 * (at % w)) as f32;
                    logits.push(
                        self.0 * voxel * (class as f32 - 0.7) + 0.3 * next - 0.01 * place * class as f32,
                    );
                }
            }
        }
        let logits = Tensor::from_vec(logits, (n, CLASSES, d, h, w), input.device())?;
        Ok(Output {
            features: logits.clone().into(),
            features_dropped: logits.clone().into(),
            logits: logits.into(),
            extra: BTreeMap::new(),
        })
    }
    fn in_channels(&self) -> usize {
        1
    }
    fn num_classes(&self) -> usize {
        CLASSES
    }
    fn size_divisor(&self) -> usize {
        1
    }
}

fn noise(shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(i, j, k)| {
        ((i * 7919 + j * 104_729 + k * 1_299_709) % 997) as f32 / 300.0 - 1.6
    })
}

/// Sums of the whole padded image, window after window, then divided.
fn whole(network: &Uneven, image: &Array3<f32>, window: &SlidingWindow) -> Array4<f32> {
    let [shape, patch] = [<[usize; 3]>::from(image.dim()), window.patch];
    let padded = [0, 1, 2].map(|axis| shape[axis].max(patch[axis]));
    let before = [0, 1, 2].map(|axis| (padded[axis] - shape[axis]) / 2);
    let inside = [0, 1, 2].map(|axis| Slice::from(before[axis]..before[axis] + shape[axis]));
    let mut zeros = Array3::zeros(padded);
    zeros.slice_each_axis_mut(|axis| inside[axis.axis.index()]).assign(image);
    let starts = |axis: usize| {
        let last = padded[axis] - patch[axis];
        (0..=last.div_ceil(window.stride[axis])).map(move |n| (n * window.stride[axis]).min(last))
    };
    let images = if window.mirror { 8 } else { 1 };
    let mut sums = Array4::<f32>::zeros((CLASSES, padded[0], padded[1], padded[2]));
    let mut counts = Array3::<u32>::zeros(padded);
    for i in starts(0) {
        for j in starts(1) {
            for k in starts(2) {
                let place = s![i..i + patch[0], j..j + patch[1], k..k + patch[2]];
                for mirrored in 0..images {
                    let axes = (0..3).filter(|axis| mirrored >> axis & 1 == 1);
                    let mut seen = zeros.slice(place);
                    axes.clone().for_each(|axis| seen.invert_axis(Axis(axis)));
                    let input = Tensor::from_vec(
                        seen.iter().copied().collect::<Vec<_>>(),
                        (1, 1, patch[0], patch[1], patch[2]),
                        &Device::Cpu,
                    );
                    let logits = network.forward(&input.unwrap(), Pass::Infer).unwrap().logits.get().unwrap();
                    let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    let shape = (CLASSES, patch[0], patch[1], patch[2]);
                    let logits = Array4::from_shape_vec(shape, logits).unwrap();
                    let mut logits = logits.view();
                    axes.for_each(|axis| logits.invert_axis(Axis(axis + 1)));
                    for (voxel, logits) in logits.lanes(Axis(0)).into_iter().enumerate() {
                        let at = [
                            i + voxel / (patch[1] * patch[2]),
                            j + voxel / patch[2] % patch[1],
                            k + voxel % patch[2],
                        ];
                        let largest = logits.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
                        let p: Vec<f32> = logits.iter().map(|logit| exp(logit - largest)).collect();
                        let total = p.iter().fold(0.0, |total, p| total + p);
                        for (class, p) in p.iter().enumerate() {
                            sums[[class, at[0], at[1], at[2]]] += p / total;
                        }
                        counts[at] += 1;
                    }
                }
            }
        }
    }
    sums.outer_iter_mut().for_each(|mut sums| {
        sums.zip_mut_with(&counts, |sum, &count| *sum /= count as f32);
    });
    let cut = sums.slice_each_axis(|axis| match axis.axis.index() {
        0 => Slice::from(..),
        spatial => inside[spatial - 1],
    });
    cut.to_owned()
}

fn go_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn planes_are_the_whole_image_bit_for_bit_for_all_strides() {
    let network = Uneven(1.3);
    for shape in [[11, 7, 9], [4, 5, 13], [9, 2, 3], [3, 7, 6]] {
        let image = noise(shape);
        for n in 0..PATCH.iter().product() {
            let stride = [1 + n / 15, 1 + n / 5 % 3, 1 + n % 5];
            let window = SlidingWindow { patch: PATCH, stride, batch: 1 + n % 4, mirror: n % 7 == 0 };
            let expected = whole(&network, &image, &window);
            let found = predict(&[&network], &[&image], &window, &Device::Cpu, &mut go_on).unwrap();
            assert_eq!(found, [expected], "{shape:?} {window:?}");
        }
    }
}

#[test]
fn planes_come_back_to_the_own_grid_as_the_whole_image_does() {
    let networks: [&dyn Segmenter; 2] = [&Uneven(1.3), &Uneven(-0.4)];
    let direction = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]];
    let own = Geometry::new([0.7, 0.9, 1.1], [5.0, -7.0, 11.0], direction).unwrap();
    let scan = Image::from(Volume::new(noise([17, 12, 9]), own.clone()));
    for (spacing, stride) in
        [([1.0; 3], [2, 3, 1]), ([0.5, 1.3, 0.6], [3, 1, 5]), ([0.7, 0.9, 3.0], [4, 2, 2])]
    {
        let window = SlidingWindow { patch: PATCH, stride, batch: 3, mirror: false };
        let protocol = Protocol { window, spacing: Some(spacing) };
        let image = scan.map(|channel| resample::image_to_spacing(channel, spacing)).unwrap();
        let channel = &image.channels()[0];
        let working = predict(&networks, &[channel.array()], &window, &Device::Cpu, &mut go_on).unwrap();
        let restore = |whole: &Array4<f32>| {
            resample::probabilities_onto(whole, channel.geometry(), &own, scan.shape()).unwrap()
        };
        let restored: Vec<_> = working.iter().map(restore).collect();

        let found = segment(&networks, &scan, &protocol, &Device::Cpu, &mut go_on).unwrap();
        assert_eq!(found.own.networks, restored, "{spacing:?}");
        assert_eq!(found.own.ensemble, ensemble(&restored).unwrap());
        assert_eq!(found.own.geometry, own);
        let on_working = found.working.unwrap();
        assert_eq!(
            (on_working.networks, on_working.ensemble),
            (working.clone(), ensemble(&working).unwrap())
        );
        assert_eq!(&on_working.geometry, channel.geometry());

        let mut labels = Array3::zeros(scan.shape());
        let mut order = [Vec::new(), Vec::new()];
        segment_planes(
            &networks,
            scan.clone(),
            &protocol,
            &Device::Cpu,
            &mut |plane| {
                order[usize::from(plane.on == On::Own)].push(plane.index);
                if plane.on == On::Own {
                    labels.index_axis_mut(Axis(0), plane.index).assign(&plane.label());
                }
                Ok(())
            },
            &mut go_on,
        )
        .unwrap();
        assert_eq!(labels, label_map(&found.own.ensemble));
        assert_eq!(order, [image.shape()[0], 17].map(|side| (0..side).collect::<Vec<_>>()));
    }
}

#[test]
fn mirror_images_are_turned_back() {
    // Of a network that looks at each voxel alone, all mirror images are the same: to the rounding of the mean of eight.
    struct Alone;
    impl Segmenter for Alone {
        fn forward(&self, input: &Tensor, _: Pass) -> Result<Output> {
            let logits = Tensor::cat(&[&input.zeros_like()?, input], 1)?;
            Ok(Output {
                features: logits.clone().into(),
                features_dropped: logits.clone().into(),
                logits: logits.into(),
                extra: BTreeMap::new(),
            })
        }
        fn in_channels(&self) -> usize {
            1
        }
        fn num_classes(&self) -> usize {
            2
        }
        fn size_divisor(&self) -> usize {
            1
        }
    }
    let image = noise([9, 7, 8]);
    let run = |network: &dyn Segmenter, mirror| {
        let window = SlidingWindow { patch: PATCH, stride: [3, 2, 4], batch: 2, mirror };
        predict(&[network], &[&image], &window, &Device::Cpu, &mut go_on).unwrap().swap_remove(0)
    };
    let apart =
        |a: &Array4<f32>, b: &Array4<f32>| largest_difference(a.as_slice().unwrap(), b.as_slice().unwrap());
    assert!(apart(&run(&Alone, true), &run(&Alone, false)) < 1e-6);
    // That of one which looks at its neighbours changes.
    assert!(apart(&run(&Uneven(1.3), true), &run(&Uneven(1.3), false)) > 1e-2);
}

#[test]
fn the_first_error_of_who_takes_planes_ends_the_work() {
    let scan = Image::from(Volume::new(noise([17, 12, 9]), Geometry::isotropic(1.0).unwrap()));
    let window = SlidingWindow { patch: PATCH, stride: PATCH, batch: 1, mirror: false };
    let protocol = Protocol { window, spacing: None };
    let mut taken = 0;
    let mut take = |_: tandem_inference::Plane| {
        taken += 1;
        if taken < 6 { Ok(()) } else { Err(tandem_inference::Error::Networks("full".to_owned())) }
    };
    let mut windows = 0;
    let mut progress = |done, _| {
        windows = done;
        ControlFlow::Continue(())
    };
    let ended = segment_planes(&[&Uneven(1.0)], scan, &protocol, &Device::Cpu, &mut take, &mut progress);
    assert_eq!(ended.unwrap_err().to_string(), "full");
    // Planes 0 to 3 are finished when the second of five layers begins, 4 to 7 when the third does.
    assert_eq!((taken, windows), (6, 2 * 4 * 2));
}
