//! Several heads, and decoders that double by interpolation: against the public operations.

use super::*;
use crate::{Resize, resize3d};

/// Of a half-resolution value: a transposed convolution to the logits, two interpolations with convolutions to further heads,
/// and a head on the value itself.
struct Heads {
    sample: Sample,
    /// Weights and biases of the heads.
    parts: Vec<[Range<usize>; 2]>,
}

const FURTHER: [&str; 3] = ["aligned", "half", "nearest"];
const MODES: [Resize; 2] = [Resize::TrilinearAligned, Resize::Nearest];

fn heads_on(device: &crate::Device) -> Heads {
    let mut flat = Flat::default();
    let same = Conv3dParams::uniform(1, 1);
    let half = Conv3dParams::uniform(2, 0);
    let layers = vec![
        flat.layer([2, 5], 3, same, false),
        flat.layer([5, 7], 2, half, false),
        flat.layer([7, 5], 2, half, true),
        flat.layer([7, 5], 3, same, false),
        flat.layer([7, 5], 3, same, false),
    ];
    let mut part =
        |classes: usize, from: usize| [flat.drawn(classes * from, 0.0, 0.5), flat.drawn(classes, 0.0, 0.5)];
    let parts = vec![part(3, 5), part(3, 5), part(2, 7), part(3, 5)];
    let (mut program, image) = Program::new();
    let unit = |program: &mut Program, x, i: usize, sum| {
        program.unit(x, layers[i].0.clone(), layers[i].1.clone(), Activation::Relu, sum)
    };
    let skip = unit(&mut program, image, 0, Sum::Nothing);
    let down = unit(&mut program, skip, 1, Sum::Nothing);
    let dropped = program.dropout(down, 0.4, "bottom");
    let features = unit(&mut program, dropped, 2, Sum::After(skip));
    let [weight, bias] = parts[0].clone();
    program.head(features, weight, bias);
    let [weight, bias] = parts[2].clone();
    program.further_head("half", dropped, weight, bias);
    for (i, mode) in MODES.into_iter().enumerate() {
        let doubled = program.double(dropped, mode);
        let x = unit(&mut program, doubled, 3 + i, Sum::After(skip));
        let [weight, bias] = parts[1 + 2 * i].clone();
        program.further_head(FURTHER[2 * i], x, weight, bias);
    }
    let (weights, statistics) = flat.finish_on(device);
    let head = parts[0].clone();
    let program = Arc::new(program);
    let values = Var::from_tensor(&weights.values().unwrap()).unwrap();
    let sample = Sample { program, weights, values, statistics, features, layers, head };
    Heads { sample, parts }
}

impl Heads {
    fn run(&self, image: &Tensor, mode: Mode, precision: Precision) -> Outputs {
        let Sample { program, weights, statistics, .. } = &self.sample;
        program.run(image, weights, statistics, (mode, precision)).unwrap()
    }

    /// The logits, and what the further heads make in the order of their names.
    fn by_parts(&self, image: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let statistics = match mode {
            Mode::Train { .. } => Statistics::Batch,
            _ => Statistics::Running,
        };
        let unit = |x: &Tensor, i| self.sample.unit(x, i, statistics, Activation::Relu);
        let skip = unit(&to_channels_last(image)?, 0)?;
        let mut x = unit(&skip, 1)?;
        if let Mode::Train { dropout } = mode {
            x = dropout3d(&x, 0.4, &mut Draws::new(dropout, "dropout bottom", 0, 0))?;
        }
        let (_, d, h, w, _) = skip.dims5()?;
        let mut ends = vec![(unit(&x, 2)? + &skip)?];
        for (i, mode) in MODES.into_iter().enumerate() {
            ends.push((unit(&resize3d(&x, [d, h, w], mode)?, 3 + i)? + &skip)?);
        }
        ends.insert(2, x);
        let head = |(x, [weight, bias]): (&Tensor, &[Range<usize>; 2])| {
            let weight = self.sample.part(weight, &[bias.len(), x.dim(4)?, 1, 1, 1]);
            let bias = self.sample.part(bias, &[bias.len()]);
            to_channels_first(&conv3d(x, &weight, Some(&bias), Conv3dParams::uniform(1, 0))?)
        };
        ends.iter().zip(&self.parts).map(head).collect()
    }
}

/// A loss of all that the heads made.
fn loss_of(made: &[Tensor]) -> Tensor {
    let pair = |pair: &[Tensor]| loss(&pair[0], &pair[1]).unwrap();
    (pair(&made[..2]) + pair(&made[2..])).unwrap()
}

fn made(outputs: &Outputs) -> Vec<Tensor> {
    assert!(outputs.heads.keys().eq(FURTHER));
    [outputs.logits.get().unwrap()].into_iter().chain(outputs.heads.values().cloned()).collect()
}

#[test]
fn all_heads_equal_their_parts_and_are_differentiated_together() {
    devices().iter().for_each(all_heads_on);
}

fn all_heads_on(device: &crate::Device) {
    let (heads, image) = (heads_on(device), image());
    for mode in [Mode::Train { dropout: KEY }, Mode::Evaluate] {
        let expected = heads.by_parts(&image, mode).unwrap();
        let gradients = loss_of(&expected).backward().unwrap();
        let expected_weights = gradients.get(&heads.sample.values).unwrap();
        let expected_image = gradients.get(&image).unwrap();
        for (precision, error, tolerance) in
            [(Precision::F32, error as fn(&Tensor, &Tensor) -> f32, 2e-5), (Precision::Bf16, distance, 5e-2)]
        {
            let ours = made(&heads.run(&image, mode, precision));
            for (ours, expected) in ours.iter().zip(&expected) {
                assert_eq!(ours.dims(), expected.dims());
                assert!(error(ours, expected) < tolerance, "{mode:?}: {}", error(ours, expected));
            }
            let gradients = loss_of(&ours).backward().unwrap();
            let ours = [&gradient(&heads.sample.weights), gradients.get(&image).unwrap()];
            for (ours, expected) in ours.into_iter().zip([expected_weights, expected_image]) {
                match precision {
                    Precision::F32 => assert!(error(ours, expected) < tolerance, "{}", error(ours, expected)),
                    Precision::Bf16 => assert!(cosine(ours, expected) > 0.95, "{}", cosine(ours, expected)),
                }
            }
        }
    }
}

#[test]
fn inference_runs_the_logits_alone() {
    for device in devices() {
        let (heads, image) = (heads_on(&device), image());
        let [kept, lean] = [Mode::Evaluate, Mode::Infer].map(|mode| heads.run(&image, mode, Precision::F32));
        assert_eq!(error(&lean.logits.get().unwrap(), &kept.logits.get().unwrap()), 0.0);
        assert!(lean.heads.is_empty() && lean.value(heads.sample.features).get().is_err());
    }
}

#[test]
fn a_loss_of_one_head_reaches_what_is_before_it_and_nothing_else() {
    for device in devices() {
        let heads = heads_on(&device);
        let outputs = heads.run(&image(), Mode::Train { dropout: KEY }, Precision::F32);
        outputs.heads["nearest"].sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = heads.sample.weights.take_gradient().unwrap().to_vec().unwrap();
        let reached = |range: &Range<usize>| gradient[range.clone()].iter().any(|g| *g != 0.0);
        let layers: Vec<bool> = heads.sample.layers.iter().map(|(conv, _)| reached(&conv.weight)).collect();
        assert_eq!(layers, [true, true, false, false, true]);
        let parts: Vec<bool> = heads.parts.iter().map(|[weight, _]| reached(weight)).collect();
        assert_eq!(parts, [false, false, false, true]);
    }
}

#[test]
fn a_program_needs_one_head_for_its_logits() {
    let mut flat = Flat::default();
    let (mut program, image_value) = Program::new();
    let [weight, bias] = [flat.drawn(2, 0.0, 0.5), flat.drawn(1, 0.0, 0.5)];
    program.further_head("alone", image_value, weight, bias);
    let (weights, statistics) = flat.finish();
    let mode = (Mode::Evaluate, Precision::F32);
    let refused = Arc::new(program).run(&image(), &weights, &statistics, mode);
    assert!(refused.unwrap_err().to_string().contains("logits"));
}
