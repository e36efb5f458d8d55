mod gpu_memory;
mod heads;
mod one_node;
mod scores;

use super::*;
use crate::{
    BatchNorm3d, RunningStatistics, Statistics, VoxelGradient, batch_norm3d, conv_transpose3d, conv3d,
    dropout3d, relu, to_channels_first, to_channels_last,
};
use candle_core::{Device, Var};
use tandem_random::Draws;
use tandem_reference::relative_error;

/// Parameters of a program under construction: one flat vector of each kind.
#[derive(Default)]
struct Flat {
    weights: Vec<f32>,
    statistics: Vec<f32>,
}

impl Flat {
    fn add(all: &mut Vec<f32>, values: impl IntoIterator<Item = f32>) -> Range<usize> {
        let start = all.len();
        all.extend(values);
        start..all.len()
    }

    fn drawn(&mut self, count: usize, centre: f32, spread: f32) -> Range<usize> {
        let mut draws = Draws::new(3, "program", 0, self.weights.len() as u64);
        Self::add(&mut self.weights, (0..count).map(|_| centre + spread * draws.normal() as f32))
    }

    fn conv(
        &mut self,
        [from, to]: [usize; 2],
        kernel: usize,
        params: Conv3dParams,
        transposed: bool,
    ) -> ConvLayer {
        let weight = self.drawn(from * to * kernel.pow(3), 0.0, 0.3);
        ConvLayer { weight, bias: Some(self.drawn(to, 0.0, 0.5)), from, to, kernel, params, transposed }
    }

    fn layer(
        &mut self,
        channels: [usize; 2],
        kernel: usize,
        params: Conv3dParams,
        transposed: bool,
    ) -> (ConvLayer, NormLayer) {
        (self.conv(channels, kernel, params, transposed), self.norm(channels[1]))
    }

    fn finish(self) -> (Weights, super::NormStatistics) {
        self.finish_on(&crate::Device::Cpu)
    }

    fn finish_on(self, device: &crate::Device) -> (Weights, super::NormStatistics) {
        let statistics = super::NormStatistics::new(&self.statistics, device).unwrap();
        (Weights::new(&self.weights, device).unwrap(), statistics)
    }

    fn norm(&mut self, channels: usize) -> NormLayer {
        NormLayer {
            scale: self.drawn(channels, 1.0, 0.3),
            shift: self.drawn(channels, 0.0, 0.3),
            mean: Self::add(&mut self.statistics, (0..channels).map(|c| 0.1 * c as f32)),
            variance: Self::add(&mut self.statistics, (0..channels).map(|c| 1.0 + 0.2 * c as f32)),
            momentum: 0.1,
            eps: 1e-5,
        }
    }
}

/// The gradient that a backward pass left.
fn gradient(weights: &Weights) -> Tensor {
    let gradient = weights.take_gradient().unwrap().to_vec().unwrap();
    let count = gradient.len();
    Tensor::from_vec(gradient, count, &Device::Cpu).unwrap()
}

/// Every kind of node: down, a residual block, dropout, up with a skip, head.
struct Sample {
    program: Arc<Program>,
    weights: Weights,
    /// The same for candle's graph.
    values: Var,
    statistics: super::NormStatistics,
    features: Value,
    layers: Vec<(ConvLayer, NormLayer)>,
    head: [Range<usize>; 2],
}

const KEY: u64 = 77;

/// The devices that programs are tested on; a line says which of them are not there.
fn devices() -> Vec<crate::Device> {
    let (devices, missing) = crate::Device::all();
    missing.iter().for_each(|missing| eprintln!("SKIPPED on a device: {missing}"));
    devices
}

fn sample() -> Sample {
    sample_on(&crate::Device::Cpu)
}

fn sample_on(device: &crate::Device) -> Sample {
    let mut flat = Flat::default();
    let same = Conv3dParams::uniform(1, 1);
    let half = Conv3dParams::uniform(2, 0);
    let layers = vec![
        flat.layer([2, 5], 3, same, false),
        flat.layer([5, 7], 2, half, false),
        flat.layer([7, 7], 3, same, false),
        flat.layer([7, 7], 1, Conv3dParams::uniform(1, 0), false),
        flat.layer([7, 5], 2, half, true),
        flat.layer([5, 5], 3, same, false),
    ];
    let head = [flat.drawn(3 * 5, 0.0, 0.5), flat.drawn(3, 0.0, 0.5)];
    let (mut program, image) = Program::new();
    let unit = |program: &mut Program, x, i: usize, activation, sum| {
        program.unit(x, layers[i].0.clone(), layers[i].1.clone(), activation, sum)
    };
    let (act, id) = (Activation::Relu, Activation::Identity);
    let skip = unit(&mut program, image, 0, act, Sum::Nothing);
    let down = unit(&mut program, skip, 1, act, Sum::Nothing);
    let shortcut = unit(&mut program, down, 3, id, Sum::Nothing);
    let block = unit(&mut program, down, 2, act, Sum::Before(shortcut));
    let dropped = program.dropout(block, 0.4, "bottom");
    let up = unit(&mut program, dropped, 4, act, Sum::After(skip));
    let features = unit(&mut program, up, 5, act, Sum::Nothing);
    program.head(features, head[0].clone(), head[1].clone());
    let (weights, statistics) = flat.finish_on(device);
    let values = Var::from_tensor(&weights.values().unwrap()).unwrap();
    Sample { program: Arc::new(program), weights, values, statistics, features, layers, head }
}

impl Sample {
    fn part(&self, range: &Range<usize>, dims: &[usize]) -> Tensor {
        self.values.narrow(0, range.start, range.len()).unwrap().reshape(dims).unwrap()
    }

    /// One unit by the public operations.
    fn unit(
        &self,
        x: &Tensor,
        index: usize,
        statistics: Statistics,
        activation: Activation,
    ) -> Result<Tensor> {
        let (conv, norm) = &self.layers[index];
        let (a, b) = if conv.transposed { (conv.from, conv.to) } else { (conv.to, conv.from) };
        let weight = self.part(&conv.weight, &[a, b, conv.kernel, conv.kernel, conv.kernel]);
        let bias = self.part(conv.bias.as_ref().unwrap(), &[conv.to]);
        let apply = if conv.transposed { conv_transpose3d } else { conv3d };
        let running = |range: &Range<usize>| Var::from_tensor(&self.statistics.part(range.clone())?);
        let norm = BatchNorm3d {
            weight: self.part(&norm.scale, &[conv.to]),
            bias: self.part(&norm.shift, &[conv.to]),
            running: RunningStatistics {
                mean: running(&norm.mean)?,
                variance: running(&norm.variance)?,
                momentum: 0.1,
            },
            eps: 1e-5,
        };
        batch_norm3d(&apply(x, &weight, Some(&bias), conv.params)?, &norm, statistics, activation)
    }

    /// Logits and features by the public operations.
    fn by_parts(&self, image: &Tensor, mode: Mode) -> Result<[Tensor; 2]> {
        let statistics = match mode {
            Mode::Train { .. } => Statistics::Batch,
            _ => Statistics::Running,
        };
        let (act, id) = (Activation::Relu, Activation::Identity);
        let skip = self.unit(&to_channels_last(image)?, 0, statistics, act)?;
        let down = self.unit(&skip, 1, statistics, act)?;
        let shortcut = self.unit(&down, 3, statistics, id)?;
        let mut x = relu(&(self.unit(&down, 2, statistics, id)? + shortcut)?)?;
        if let Mode::Train { dropout } = mode {
            x = dropout3d(&x, 0.4, &mut Draws::new(dropout, "dropout bottom", 0, 0))?;
        }
        let up = (self.unit(&x, 4, statistics, act)? + skip)?;
        let features = self.unit(&up, 5, statistics, act)?;
        let weight = self.part(&self.head[0], &[3, 5, 1, 1, 1]);
        let bias = self.part(&self.head[1], &[3]);
        let logits = conv3d(&features, &weight, Some(&bias), Conv3dParams::uniform(1, 0))?;
        Ok([to_channels_first(&logits)?, to_channels_first(&features)?])
    }
}

fn image() -> Var {
    let mut draws = Draws::new(4, "program image", 0, 0);
    let values: Vec<f32> = (0..2 * 2 * 4 * 6 * 8).map(|_| draws.normal() as f32).collect();
    Var::from_vec(values, (2, 2, 4, 6, 8), &Device::Cpu).unwrap()
}

fn cosine(a: &Tensor, b: &Tensor) -> f32 {
    let dot = |a: &Tensor, b: &Tensor| (a * b).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Length of the difference, relative to that of the expected values.
fn distance(ours: &Tensor, expected: &Tensor) -> f32 {
    let length = |t: Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    length((ours - expected).unwrap()) / length(expected.clone())
}

/// Largest difference, relative to the largest expected value.
fn error(ours: &Tensor, expected: &Tensor) -> f32 {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (ours, expected) = (flat(ours), flat(expected));
    relative_error(&ours, &expected) as f32
}

/// A loss on logits and features, each with its own weight at every voxel.
fn loss(logits: &Tensor, features: &Tensor) -> Result<Tensor> {
    let weighted = |t: &Tensor, step: f64| -> Result<Tensor> {
        let count = t.elem_count();
        let weights = (Tensor::arange(0.0, count as f32, &Device::Cpu)?.affine(step, 0.0)?.sin()? + 1.5)?;
        (t.flatten_all()? * weights)?.sum_all()
    };
    weighted(&logits.sqr()?, 0.7)? + weighted(&features.sqr()?, 0.3)?
}

fn check(mode: Mode, precision: Precision, error: fn(&Tensor, &Tensor) -> f32, tolerance: f32) {
    devices().iter().for_each(|device| check_on(device, mode, precision, error, tolerance));
}

fn check_on(
    device: &crate::Device,
    mode: Mode,
    precision: Precision,
    error: fn(&Tensor, &Tensor) -> f32,
    tolerance: f32,
) {
    let sample = sample_on(device);
    let image = image();
    let [logits, features] = sample.by_parts(&image, mode).unwrap();
    let expected = loss(&logits, &features).unwrap().backward().unwrap();
    let outputs = sample.program.run(&image, &sample.weights, &sample.statistics, (mode, precision)).unwrap();
    let recalled = outputs.value(sample.features).get().unwrap();
    let made = outputs.logits.get().unwrap();
    assert!(error(&made, &logits) < tolerance, "{}", error(&made, &logits));
    assert!(error(&recalled, &features) < tolerance);
    let ours = loss(&made, &recalled).unwrap().backward().unwrap();
    let gradients = [
        (&gradient(&sample.weights), expected.get(&sample.values).unwrap()),
        (ours.get(&image).unwrap(), expected.get(&image).unwrap()),
    ];
    for (ours, expected) in gradients {
        match precision {
            Precision::F32 => {
                assert!(error(ours, expected) < tolerance, "{mode:?}: {}", error(ours, expected))
            }
            // What is left of a gradient after six normalisations is a small difference of large numbers: its direction counts.
            Precision::Bf16 => assert!(cosine(ours, expected) > 0.95, "{mode:?}: {}", cosine(ours, expected)),
        }
    }
    assert!(outputs.value(sample.features).get().is_err(), "the activations are used up");
}

#[test]
fn equals_its_parts() {
    for mode in [Mode::Train { dropout: KEY }, Mode::Evaluate] {
        check(mode, Precision::F32, error, 2e-5);
        // Seven layers of roundings to eight bits each way; the worst of few voxels says little, their length does.
        check(mode, Precision::Bf16, distance, 5e-2);
    }
}

#[test]
fn inference_gives_the_same_logits_and_keeps_nothing() {
    for device in devices() {
        let sample = sample_on(&device);
        let image = image();
        let run = |mode| {
            sample.program.run(&image, &sample.weights, &sample.statistics, (mode, Precision::F32)).unwrap()
        };
        let [kept, lean] = [run(Mode::Evaluate), run(Mode::Infer)];
        let logits = lean.logits.get().unwrap();
        assert_eq!(error(&logits, &kept.logits.get().unwrap()), 0.0);
        assert!(lean.value(sample.features).get().is_err());
        assert!(logits.sum_all().unwrap().backward().is_err());
    }
}

#[test]
fn detached_logits_keep_nothing_of_their_run() {
    for device in devices() {
        let sample = sample_on(&device);
        let mode = Mode::Train { dropout: KEY };
        let mode = (mode, Precision::F32);
        let run = sample.program.run(&image(), &sample.weights, &sample.statistics, mode);
        let outputs = run.unwrap();
        let (live, logits) = (outputs.logits.clone(), outputs.logits.detach());
        let expected = live.get().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        drop(outputs);
        assert!(Arc::strong_count(&sample.program) > 1, "the graph of live logits holds the run");
        drop(live);
        assert_eq!(Arc::strong_count(&sample.program), 1, "{device:?}");
        assert_eq!(logits.get().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
    }
}

#[test]
fn a_loss_on_features_alone_reaches_the_weights() {
    for device in devices() {
        let sample = sample_on(&device);
        let mode = (Mode::Evaluate, Precision::F32);
        let outputs = sample.program.run(&image(), &sample.weights, &sample.statistics, mode).unwrap();
        let loss = outputs.value(sample.features).get().unwrap().sqr().unwrap().sum_all().unwrap();
        loss.backward().unwrap();
        let gradient = sample.weights.take_gradient().unwrap().to_vec().unwrap();
        assert!(gradient[sample.layers[0].0.weight.clone()].iter().any(|g| *g != 0.0));
        assert!(gradient[sample.head[0].clone()].iter().all(|g| *g == 0.0));
    }
}

/// The same loss of logits and features, once through a tensor of features and once by their voxels.
#[test]
fn a_loss_by_voxels_is_the_loss_of_the_tensor() {
    devices().iter().for_each(by_voxels_on);
}

fn by_voxels_on(device: &crate::Device) {
    let sample = sample_on(device);
    for precision in [Precision::F32, Precision::Bf16] {
        let mode = (Mode::Train { dropout: KEY }, precision);
        let run = || sample.program.run(&image(), &sample.weights, &sample.statistics, mode).unwrap();
        let gradient_of = |outputs: &Outputs, of_features: Tensor| {
            let total =
                (outputs.logits.get().unwrap().sqr().unwrap().sum_all().unwrap() + of_features).unwrap();
            total.backward().unwrap();
            gradient(&sample.weights)
        };
        let outputs = run();
        let features = outputs.value(sample.features).get().unwrap();
        let second = features.narrow(0, 1, 1).unwrap().sqr().unwrap().sum_all().unwrap();
        let value = f64::from(second.to_scalar::<f32>().unwrap());
        let expected = gradient_of(&outputs, (second * 3.0).unwrap());

        let outputs = run();
        let deferred = outputs.value(sample.features);
        let [n, c, d, h, w] = deferred.dims().unwrap();
        assert_eq!([n, c, d, h, w], features.dims());
        // All voxels of the second image, in an order of their own, and their sums by class.
        let count = d * h * w;
        let voxels: Vec<usize> = (0..count).map(|i| (i * 7 + 3) % count).collect();
        let found = deferred.at(1..2, &voxels).unwrap();
        let planes = features.narrow(0, 1, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (at, voxel) in voxels.iter().enumerate() {
            (0..c).for_each(|channel| assert_eq!(found[at * c + channel], planes[channel * count + voxel]));
        }
        let classes: Vec<u8> = (0..count).map(|voxel| [1, 0, 9][voxel % 3]).collect();
        let sums = deferred.class_sums(1..2, &classes.clone().into(), 2).unwrap();
        for (class, sums) in sums.iter().enumerate() {
            let of_class = || (0..count).filter(|voxel| usize::from(classes[*voxel]) == class);
            assert_eq!(sums.voxels, of_class().count());
            for (channel, sum) in sums.channels.iter().enumerate() {
                let plain: f64 = of_class().map(|voxel| f64::from(planes[channel * count + voxel])).sum();
                assert!((sum - plain).abs() < 1e-9 * count as f64, "{sum} {plain}");
            }
        }
        let all: Vec<usize> = (0..count).collect();
        let of_voxels = deferred.at(1..2, &all).unwrap().iter().map(|x| 2.0 * x).collect();
        let gradient = VoxelGradient { patches: 1..2, voxels: all, of_voxels, ..VoxelGradient::default() };
        let loss = deferred.loss(value, gradient).unwrap();
        let ours = gradient_of(&outputs, (loss * 3.0).unwrap());
        assert_eq!(error(&ours, &expected), 0.0, "{precision:?} {device:?}");
    }
}

#[test]
fn training_moves_the_running_statistics_and_evaluation_does_not() {
    let mut moved: Option<Tensor> = None;
    for device in devices() {
        let sample = sample_on(&device);
        let values = || sample.statistics.values().unwrap().to_vec1::<f32>().unwrap();
        let before = values();
        let run = |mode| {
            sample.program.run(&image(), &sample.weights, &sample.statistics, (mode, Precision::F32)).unwrap()
        };
        run(Mode::Evaluate);
        assert_eq!(values(), before);
        run(Mode::Train { dropout: 1 });
        assert!(values().iter().zip(&before).all(|(a, b)| a != b));
        let ours = sample.statistics.values().unwrap();
        if let Some(first) = &moved {
            assert!(error(&ours, first) < 1e-5, "{device:?}");
        }
        moved = Some(ours);
    }
}

#[test]
fn gradients_add_up_until_they_are_taken() {
    let sample = sample();
    let mode = (Mode::Evaluate, Precision::F32);
    let backward = || {
        let outputs = sample.program.run(&image(), &sample.weights, &sample.statistics, mode).unwrap();
        outputs.logits.get().unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    };
    assert!(sample.weights.take_gradient().is_none());
    backward();
    let once = gradient(&sample.weights);
    backward();
    backward();
    assert_eq!(error(&gradient(&sample.weights), &(once * 2.0).unwrap()), 0.0);
    assert!(sample.weights.take_gradient().is_none());
}

#[test]
fn weights_without_a_layer_are_refused() {
    let Sample { program, weights, statistics, .. } = sample();
    let mut more = weights.values().unwrap().to_vec1::<f32>().unwrap();
    more.push(0.0);
    let more = Weights::new(&more, &crate::Device::Cpu).unwrap();
    let mode = (Mode::Evaluate, Precision::F32);
    assert!(program.run(&image(), &more, &statistics, mode).unwrap_err().to_string().contains("layers"));
}
