//! All kernels but those of convolutions, on every machine, against the kernels of the CPU and plain loops.

use super::{compare, on_all, random, wide};
use crate::cpu::norm::{Normalisation, gradient_sums, moments};
use crate::cpu::rows;
use crate::gpu::{Norm, NormGradients, NormParameters, Queue, Rest};
use crate::resize::{Resampling, Resize};

/// Channels of few and of many voxels a block, more than a block has threads among them.
const CHANNELS: [usize; 5] = [1, 3, 16, 100, 300];
const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// A normalised image, which lacks the bias of its convolution: what it was made of, on the host and on the machine.
struct Case {
    dims: [usize; 5],
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    norm: Normalisation,
    middle: crate::gpu::Buffer,
    parameters: crate::gpu::Buffer,
    there: Norm,
}

impl Case {
    /// Checks the statistics on its way; the running ones begin at 0.5 and 2.
    fn new(queue: &Queue, channels: usize, centre: f32, (of_batch, relu): (bool, bool)) -> Self {
        let dims = [2, 3, 5, 7, channels];
        let count = dims.iter().product::<usize>();
        let shifted: Vec<f32> = random(count, 0).iter().map(|value| value + centre).collect();
        let (x, middle) = queue.given(&shifted);
        let (gamma, beta) = (random(channels, 1), random(channels, 2));
        // Layers without a bias, too.
        let biased = of_batch != relu;
        let bias = if biased { random(channels, 3) } else { vec![0.0; channels] };
        let running: Vec<f32> = [0.5, 2.0].iter().flat_map(|value| vec![*value; channels]).collect();
        let parameters = queue.copy(&[&gamma[..], &beta, &running, &bias].concat()).unwrap();
        let at = |part: usize| parameters.at(part * channels);
        let places = NormParameters {
            bias: if biased { at(4) } else { 0 },
            gamma: at(0),
            beta: at(1),
            running_mean: at(2),
            running_variance: at(3),
            momentum: MOMENTUM,
            eps: EPS,
        };
        let there = queue.norm(&middle, dims, &places, (of_batch, relu)).unwrap();

        let [mean, variance] = if of_batch {
            moments(&x, channels)
        } else {
            [bias.iter().map(|bias| 0.5 - f64::from(*bias)).collect(), vec![2.0; channels]]
        };
        let values = (count / channels) as f64;
        let norm = Normalisation { mean, variance, of_batch: of_batch.then_some(values), eps: EPS, relu };
        let moved = |old: f64, new: f64| if of_batch { (1.0 - MOMENTUM) * old + MOMENTUM * new } else { old };
        let mut expected = [wide(&gamma), wide(&beta)].concat();
        expected.extend(norm.mean.iter().zip(&bias).map(|(mean, bias)| moved(0.5, mean + f64::from(*bias))));
        expected.extend(norm.variance.iter().map(|variance| moved(2.0, variance * values / (values - 1.0))));
        expected.extend(wide(&bias));
        queue.expect_f32(&parameters, &expected, 1e-6, "parameters and running statistics");
        let affine = norm.affine(&gamma, &beta);
        let map = [&affine.mean[..channels], &affine.scale[..channels], &affine.shift[..channels]].concat();
        let mut ours = vec![0.0f32; 3 * channels];
        there.map.download(&mut ours).unwrap();
        for part in 0..3 {
            let range = part * channels..(part + 1) * channels;
            compare(&ours[range.clone()], &wide(&map[range]), 1e-6, "the map of a normalisation");
        }
        Case { dims, x, gamma, beta, norm, middle, parameters, there }
    }

    /// What the map and its ReLU make.
    fn mapped(&self) -> Vec<f32> {
        let mut y = vec![0.0f32; self.x.len()];
        rows::normalise(&self.x, &self.norm.affine(&self.gamma, &self.beta), &mut y);
        y
    }
}

const FORMS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

#[test]
fn normalisations_forwards() {
    on_all(|queue| {
        for channels in CHANNELS {
            for form in FORMS {
                let case = Case::new(queue, channels, 0.3, form);
                let plain = queue.activate(&case.middle, case.dims, &case.there, Rest::default()).unwrap();
                queue.expect(&plain, &wide(&case.mapped()), "a normalised image");

                let (other, added) = queue.given(&random(case.x.len(), 4));
                for relu_of_sum in [false, true] {
                    let rest = Rest { added: Some(&added), relu_of_sum };
                    let ours = queue.activate(&case.middle, case.dims, &case.there, rest).unwrap();
                    let floor = if relu_of_sum { 0.0 } else { f32::NEG_INFINITY };
                    let sums = case
                        .mapped()
                        .into_iter()
                        .zip(&other)
                        .map(|(y, other)| f64::from((y + other).max(floor)));
                    queue.expect(&ours, &sums.collect::<Vec<f64>>(), "a normalised image and a sum");
                }
            }
        }
    });
}

#[test]
fn a_mean_far_from_zero_costs_no_digits() {
    on_all(|queue| {
        // Compared with the sums of chunks in `Case::new`.
        if queue.precision == crate::program::Precision::F32 {
            Case::new(queue, 3, 1000.0, (true, true));
        }
    });
}

#[test]
fn normalisations_backwards() {
    on_all(|queue| {
        for channels in CHANNELS {
            for form in FORMS {
                let case = Case::new(queue, channels, 0.3, form);
                let (grad, grad_there) = queue.given(&random(case.x.len(), 6));
                let found = queue.f32s(3 * channels).unwrap();
                let [gamma, beta, bias] = [0, 1, 2].map(|part| found.at(part * channels));
                let to = NormGradients { gamma, beta, bias };
                let ours = queue
                    .norm_backward(
                        (&case.middle, &grad_there),
                        case.dims,
                        (&case.there, case.parameters.at(0)),
                        &to,
                    )
                    .unwrap();

                let affine = case.norm.affine(&case.gamma, &case.beta);
                let sums = gradient_sums(&case.x, &grad, &affine, channels);
                let voxels = (case.x.len() / channels) as f64;
                let expected = case.norm.gradients(&case.gamma, &sums, voxels);
                let mut dx = vec![0.0f32; case.x.len()];
                rows::normalise_backward(&case.x, &grad, &affine, &expected.input, &mut dx);
                queue.expect(&ours, &wide(&dx), "the gradient of a normalisation's input");
                let mut vectors = vec![0.0f32; 3 * channels];
                found.download(&mut vectors).unwrap();
                let [gamma, rest] = [&vectors[..channels], &vectors[channels..]];
                compare(gamma, &wide(&expected.gamma), 1e-5, "the gradient of gamma");
                compare(&rest[..channels], &wide(&expected.beta), 1e-5, "the gradient of beta");
                // Of batch statistics it is 0 but for rounding; the gradient of beta is its measure then.
                let scale = expected.beta.iter().fold(1.0f64, |most, value| most.max(f64::from(value.abs())));
                for (ours, expected) in rest[channels..].iter().zip(&expected.input_sum) {
                    assert!(f64::from((ours - expected).abs()) < 1e-4 * scale, "{ours} {expected}");
                }
            }
        }
    });
}

#[test]
fn heads() {
    on_all(|queue| {
        for (channels, classes) in [(1, 2), (16, 2), (5, 3), (300, 4)] {
            let dims = [2, 3, 4, 5, channels];
            let (count, volume) = (120, 60);
            let (x, there) = queue.given(&random(count * channels, 0));
            let (weight, bias) = (random(classes * channels, 1), random(classes, 2));
            let parameters = queue.copy(&[&weight[..], &bias].concat()).unwrap();
            let at = |place: usize| parameters.at(place);
            let made = queue.head(&there, dims, [at(0), at(classes * channels)], classes).unwrap();
            let mut logits = vec![0.0f32; count * classes];
            made.download(&mut logits).unwrap();
            // Of (n, k, d, h, w): the voxel of (n, d, h, w), and the class.
            let place = |i: usize| (i / (classes * volume) * volume + i % volume, i / volume % classes);
            let product =
                |v: usize, k: usize, c: usize| f64::from(x[v * channels + c] * weight[k * channels + c]);
            let expected: Vec<f64> = (0..logits.len())
                .map(place)
                .map(|(v, k)| f64::from(bias[k]) + (0..channels).map(|c| product(v, k, c)).sum::<f64>())
                .collect();
            compare(&logits, &expected, 1e-5, "logits");

            let grad = random(logits.len(), 3);
            let found = queue.f32s(classes * channels + classes).unwrap();
            let to = [found.at(0), found.at(classes * channels)];
            let dx =
                queue.head_backward(&there, dims, &queue.copy(&grad).unwrap(), at(0), classes, to).unwrap();
            let (mut of_x, mut of_parameters) =
                (vec![0.0f64; x.len()], vec![0.0f64; classes * (channels + 1)]);
            for (i, grad) in grad.iter().enumerate() {
                let ((v, k), grad) = (place(i), f64::from(*grad));
                for c in 0..channels {
                    of_x[v * channels + c] += grad * f64::from(weight[k * channels + c]);
                    of_parameters[k * channels + c] += grad * f64::from(x[v * channels + c]);
                }
                of_parameters[classes * channels + k] += grad;
            }
            queue.expect(&dx, &of_x, "the gradient of a head's input");
            queue.expect_f32(&found, &of_parameters, 1e-5, "the gradients of a head's parameters");
        }
    });
}

#[test]
fn resampling_and_its_gradient() {
    on_all(|queue| {
        for mode in [Resize::Nearest, Resize::Trilinear, Resize::TrilinearAligned] {
            for (from, to) in [([2, 3, 4], [4, 6, 8]), ([5, 3, 1], [2, 7, 3])] {
                let map = Resampling::new(from, to, mode);
                for map in [map.transposed(), map] {
                    let (n, c) = (2, 3);
                    let count = |sides: [usize; 3]| n * c * sides.iter().product::<usize>();
                    let (x, there) = queue.given(&random(count(map.source_sides()), 0));
                    let ours = queue.resample(&there, n, c, &queue.tables(&map).unwrap()).unwrap();
                    let (from_row, row_len) = (map.source_sides()[2] * c, map.sides()[2] * c);
                    let mut expected = vec![0.0f32; count(map.sides())];
                    for (row, to) in expected.chunks_mut(row_len).enumerate() {
                        let read = |row: usize, to: &mut [f32]| {
                            to.copy_from_slice(&x[row * from_row..][..from_row]);
                        };
                        map.row(row, read, to);
                    }
                    queue.expect(&ours, &wide(&expected), &format!("{mode:?} {from:?} {to:?}"));
                }
            }
        }
    });
}

#[test]
fn what_is_done_value_by_value() {
    on_all(|queue| {
        for channels in CHANNELS {
            let dims = [2, 3, 2, 5, channels];
            let count: usize = dims.iter().product();
            let (x, x_there) = queue.given(&random(count, 0));
            let (y, y_there) = queue.given(&random(count, 1));

            let factors = random(2 * channels, 2);
            let factor = |i: usize| factors[i / (count / 2) * channels + i % channels];
            let ours = queue.scale(&x_there, dims, &queue.copy(&factors).unwrap()).unwrap();
            let expected: Vec<f64> = (0..count).map(|i| f64::from(x[i]) * f64::from(factor(i))).collect();
            queue.expect(&ours, &expected, "scaled channels");

            queue.add(&x_there, &y_there, count).unwrap();
            let sum: Vec<f64> = (0..count).map(|i| f64::from(x[i]) + f64::from(y[i])).collect();
            queue.expect(&y_there, &sum, "a sum");

            let (grad, grad_there) = queue.given(&random(count, 3));
            queue.close(&x_there, &grad_there, count).unwrap();
            let open = |i: usize| if x[i] > 0.0 { f64::from(grad[i]) } else { 0.0 };
            queue.expect(&grad_there, &(0..count).map(open).collect::<Vec<_>>(), "a closed gradient");

            // Between channels first and channels last.
            let inside = queue.enter(&x, dims).unwrap();
            let volume = count / 2 / channels;
            let first = |i: usize| {
                (i / (volume * channels) * channels + i % channels) * volume + i / channels % volume
            };
            queue.expect(&inside, &(0..count).map(|i| f64::from(x[first(i)])).collect::<Vec<_>>(), "entered");
            assert_eq!(queue.leave(&inside, dims).unwrap(), x);
            queue.enter_into(&x, dims, &inside, true).unwrap();
            queue.expect_after(
                2,
                &inside,
                &(0..count).map(|i| 2.0 * f64::from(x[first(i)])).collect::<Vec<_>>(),
                "entered twice",
            );
        }
    });
}

#[test]
fn what_is_no_number_stays_none() {
    on_all(|queue| {
        let dims = [1, 1, 1, 2, 2];
        let (_, x) = queue.given(&[f32::NAN, 1.0, 2.0, 3.0]);
        let parameters = queue.copy(&[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]).unwrap();
        let [gamma, beta, running_mean, running_variance] = [0, 2, 4, 6].map(|at| parameters.at(at));
        let places = NormParameters {
            bias: 0,
            gamma,
            beta,
            running_mean,
            running_variance,
            momentum: MOMENTUM,
            eps: EPS,
        };
        let norm = queue.norm(&x, dims, &places, (true, true)).unwrap();
        let y = queue.activate(&x, dims, &norm, Rest::default()).unwrap();
        let y = queue.widened(&y, 4).unwrap();
        assert!(y[0].is_nan() && y[2].is_nan() && y[1].is_finite() && y[3].is_finite(), "{y:?}");
    });
}
