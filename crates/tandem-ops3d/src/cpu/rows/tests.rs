use super::*;
use crate::cpu::norm::{Normalisation, gradient_sums, moments};
use half::bf16;
use tandem_random::Draws;

/// Images of odd channels and voxels: tiles and chunks that are cut short.
const IMAGES: [[usize; 2]; 8] = [[1, 1], [1, 67], [3, 5], [5, 129], [8, 33], [17, 3], [33, 41], [7, 6_000]];

/// Stored values as f64 sees them, their scale and offset by channel.
struct Case<S> {
    channels: usize,
    x: Vec<S>,
    grad: Vec<S>,
    norm: Normalisation,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

fn stored<S: Element>(len: usize, slot: u64) -> Vec<S> {
    let mut draws = Draws::new(23, "row tests", len as u64, slot);
    (0..len).map(|_| S::from_f32(draws.normal() as f32 + 0.3)).collect()
}

fn exact<S: Element>(values: &[S]) -> Vec<f64> {
    values.iter().map(|value| f64::from(value.to_f32())).collect()
}

impl<S: Element> Case<S> {
    fn new([channels, voxels]: [usize; 2], relu: bool) -> Self {
        let x = stored::<S>(channels * voxels, 0);
        let coefficients = |slot, centre| {
            stored::<f32>(channels, slot).iter().map(|value| centre + 0.2 * value).collect::<Vec<f32>>()
        };
        let variance = coefficients(2, 1.0).into_iter().map(f64::from).collect();
        let mean = coefficients(3, 0.0).into_iter().map(f64::from).collect();
        let norm = Normalisation { mean, variance, of_batch: Some(voxels as f64), eps: 1e-5, relu };
        Case {
            channels,
            grad: stored(x.len(), 1),
            x,
            norm,
            gamma: coefficients(4, 1.0),
            beta: coefficients(5, 0.1),
        }
    }

    fn affine(&self) -> Affine {
        self.norm.affine(&self.gamma, &self.beta)
    }

    /// The normalisation of value `i` before its ReLU, and its input without the mean, by their definitions.
    fn normalised(&self, i: usize) -> [f64; 2] {
        let c = i % self.channels;
        let centred = f64::from(self.x[i].to_f32()) - self.norm.mean[c];
        let inverse_sd = 1.0 / (self.norm.variance[c] + self.norm.eps).sqrt();
        [centred * inverse_sd * f64::from(self.gamma[c]) + f64::from(self.beta[c]), centred]
    }

    /// The gradient that a ReLU lets through.
    fn open_gradient(&self, i: usize) -> f64 {
        let open = !self.norm.relu || self.normalised(i)[0] > 0.0;
        if open { f64::from(self.grad[i].to_f32()) } else { 0.0 }
    }

    /// By channel, the sum of `f` over the voxels.
    fn sums(&self, f: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        (0..self.x.len()).for_each(|i| sums[i % self.channels] += f(i));
        sums
    }
}

/// Within `tolerance` of the largest expected value.
fn close_to<S: Element>(what: &str, ours: &[S], expected: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    for (i, (ours, expected)) in exact(ours).iter().zip(expected).enumerate() {
        let error = (ours - expected).abs() / largest;
        // Written so that NaN fails.
        assert!(error < tolerance, "{what}, value {i}: {ours}, not {expected}");
    }
}

fn normalisation<S: Element>(tolerance: f64) {
    for (image, relu) in IMAGES.into_iter().flat_map(|image| [(image, false), (image, true)]) {
        let case = Case::<S>::new(image, relu);
        let (affine, values) = (case.affine(), case.x.len());
        let mut y = vec![S::from_f32(f32::NAN); values];
        normalise(&case.x, &affine, &mut y);
        let cut = |value: f64| if relu { value.max(0.0) } else { value };
        let expected: Vec<f64> = (0..values).map(|i| cut(case.normalised(i)[0])).collect();
        close_to(&format!("normalise {image:?}"), &y, &expected, tolerance);

        // Sums are f32 and f64 whatever is stored.
        let ours = gradient_sums(&case.x, &case.grad, &affine, case.channels);
        let sums = [
            case.sums(|i| case.open_gradient(i) * case.normalised(i)[1]),
            case.sums(|i| case.open_gradient(i)),
        ];
        let single = |sums: &[f64]| sums.iter().map(|sum| *sum as f32).collect::<Vec<f32>>();
        for (ours, expected) in ours.iter().zip(&sums) {
            close_to(&format!("gradient sums {image:?}"), &single(ours), expected, 1e-4);
        }

        let voxels = image[1] as f64;
        let gradients = case.norm.gradients(&case.gamma, &ours, voxels);
        let mut dx = vec![S::from_f32(f32::NAN); values];
        normalise_backward(&case.x, &case.grad, &affine, &gradients.input, &mut dx);
        let expected: Vec<f64> = (0..values)
            .map(|i| {
                let c = i % case.channels;
                let variance = case.norm.variance[c] + case.norm.eps;
                let own = (sums[1][c] + case.normalised(i)[1] * sums[0][c] / variance) / voxels;
                f64::from(case.gamma[c]) / variance.sqrt() * (case.open_gradient(i) - own)
            })
            .collect();
        close_to(&format!("normalise_backward {image:?}"), &dx, &expected, tolerance);
    }
}

fn statistics<S: Element>() {
    for image in IMAGES {
        let case = Case::<S>::new(image, false);
        let [mean, variance] = moments(&case.x, case.channels);
        let voxels = image[1] as f64;
        let of =
            |f: &dyn Fn(usize) -> f64| case.sums(f).into_iter().map(|sum| sum / voxels).collect::<Vec<f64>>();
        let x = exact(&case.x);
        let expected = of(&|i| x[i]);
        let squares = of(&|i| (x[i] - expected[i % case.channels]).powi(2));
        for (ours, expected) in [(mean, expected), (variance, squares)] {
            let single: Vec<f32> = ours.into_iter().map(|value| value as f32).collect();
            close_to(&format!("moments {image:?}"), &single, &expected, 1e-5);
        }
    }
}

fn sums_and_factors<S: Element>(tolerance: f64) {
    for [channels, voxels] in IMAGES {
        let (a, b) = (stored::<S>(channels * voxels, 6), stored::<S>(channels * voxels, 7));
        let (x, y) = (exact(&a), exact(&b));
        let check = |what: &str, run: &dyn Fn(&mut [S]), expected: &dyn Fn(usize) -> f64| {
            let mut ours = b.clone();
            run(&mut ours);
            let expected: Vec<f64> = (0..y.len()).map(expected).collect();
            close_to(&format!("{what} {channels} x {voxels}"), &ours, &expected, tolerance);
        };
        check("add", &|to| add(&a, to), &|i| x[i] + y[i]);
        check("add_relu", &|to| add_relu(&a, to), &|i| (x[i] + y[i]).max(0.0));
        check("close", &|to| close(&a, to), &|i| if x[i] > 0.0 { y[i] } else { 0.0 });
        check("convert", &|to| convert(&a, to), &|i| x[i]);
        check("convert_all", &|to| convert_all(&a, to), &|i| x[i]);
        let factor = |c: usize| if c.is_multiple_of(3) { 0.0 } else { 1.0 / 0.6 };
        let tile = repeat(channels, |c| factor(c) as f32);
        check("scale", &|to| scale(&tile, to), &|i| y[i] * factor(i % channels));
    }
}

#[test]
fn rows_in_f32_follow_their_definitions() {
    normalisation::<f32>(1e-5);
    statistics::<f32>();
    sums_and_factors::<f32>(1e-6);
}

#[test]
fn rows_in_bf16_are_within_one_percent() {
    normalisation::<bf16>(1e-2);
    statistics::<bf16>();
    sums_and_factors::<bf16>(1e-2);
}

#[test]
fn a_streamed_copy_is_a_copy_wherever_it_begins() {
    fn check<S: Element>() {
        for (len, first) in [(0, 0), (1, 3), (31, 0), (64, 16), (257, 1), (1_000, 5)] {
            let x = stored::<S>(first + len, 7);
            let mut y = vec![S::from_f32(-9.0); 16 + len + 1];
            stream(&x[first..], &mut y[16..16 + len]);
            assert_eq!(exact(&y[16..16 + len]), exact(&x[first..]), "{len} from {first}");
            assert!(exact(&y[..16]).iter().chain(&exact(&y[16 + len..])).all(|beside| *beside == -9.0));
        }
    }
    check::<f32>();
    check::<bf16>();
}
