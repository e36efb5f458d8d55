//! Programs of one node and a head, on every device in f32 against the CPU, and in bf16 against f32: what a single operation may differ
//! by; with images in every layout.

use super::*;

/// What precedes the head, from an image of `channels`.
type Build = fn(&mut Program, Value, &mut Flat, usize) -> Value;

const TOLERANCE: f32 = 1e-2;

/// Without a bias: a normalisation by the batch's own statistics takes it out again, and its gradient is noise.
fn unit(
    program: &mut Program,
    x: Value,
    flat: &mut Flat,
    channels: usize,
    (activation, sum): (Activation, Sum),
) -> Value {
    let conv = ConvLayer {
        weight: flat.drawn(channels * channels, 0.0, 0.3),
        bias: None,
        from: channels,
        to: channels,
        kernel: 1,
        params: Conv3dParams::uniform(1, 0),
        transposed: false,
    };
    let norm = flat.norm(channels);
    // Far from 0, so that rounding opens and closes no ReLU; every other channel is closed.
    for (c, shift) in flat.weights[norm.shift.clone()].iter_mut().enumerate() {
        *shift = if c.is_multiple_of(2) { 8.0 } else { -8.0 };
    }
    program.unit(x, conv, norm, activation, sum)
}

const NODES: [(&str, Build); 8] = [
    ("head", |_, x, _, _| x),
    ("dropout", |program, x, _, _| program.dropout(x, 0.4, "here")),
    ("double, nearest", |program, x, _, _| program.double(x, Resize::Nearest)),
    ("double, trilinear", |program, x, _, _| program.double(x, Resize::TrilinearAligned)),
    ("normalise", |program, x, flat, channels| {
        unit(program, x, flat, channels, (Activation::Identity, Sum::Nothing))
    }),
    ("normalise and ReLU", |program, x, flat, channels| {
        unit(program, x, flat, channels, (Activation::Relu, Sum::Nothing))
    }),
    ("add before", |program, x, flat, channels| {
        unit(program, x, flat, channels, (Activation::Relu, Sum::Before(x)))
    }),
    ("add after", |program, x, flat, channels| {
        unit(program, x, flat, channels, (Activation::Relu, Sum::After(x)))
    }),
];

/// Logits, and the gradients of weights and image.
fn run(
    build: Build,
    [n, c, d, h, w]: [usize; 5],
    mode: Mode,
    (device, precision): (&crate::Device, Precision),
    layout: Layout,
) -> [Tensor; 3] {
    let mut flat = Flat::default();
    let (mut program, x) = Program::new();
    let value = build(&mut program, x, &mut flat, c);
    let head = [flat.drawn(3 * c, 0.0, 0.5), flat.drawn(3, 0.0, 0.5)];
    program.head(value, head[0].clone(), head[1].clone());
    let (weights, statistics) = flat.finish_on(device);
    let mut draws = Draws::new(5, "one node", 0, 0);
    let image: Vec<f32> = (0..n * c * d * h * w).map(|_| draws.normal() as f32).collect();
    let image = Var::from_vec(image, (n, c, d, h, w), &Device::Cpu).unwrap();
    let seen = layout(&image);
    let logits = Arc::new(program).run(&seen, &weights, &statistics, (mode, precision)).unwrap().logits;
    let logits = logits.get().unwrap();
    let upstream: Vec<f32> = (0..logits.elem_count()).map(|_| draws.normal() as f32).collect();
    let upstream = Tensor::from_vec(upstream, logits.dims(), &Device::Cpu).unwrap();
    let gradients = (&logits * upstream).unwrap().sum_all().unwrap().backward().unwrap();
    [logits.detach(), gradient(&weights), gradients.get(&image).unwrap().clone()]
}

type Layout = fn(&Tensor) -> Tensor;

/// The same values behind other strides and offsets.
const LAYOUTS: [(&str, Layout); 4] = [
    ("contiguous", |image| image.clone()),
    ("transposed", |image| {
        let turned = image.permute((4, 3, 2, 1, 0)).unwrap().contiguous().unwrap();
        turned.permute((4, 3, 2, 1, 0)).unwrap()
    }),
    ("narrowed", |image| {
        let width = image.dims()[4];
        Tensor::cat(&[image, image], 4).unwrap().narrow(4, width, width).unwrap()
    }),
    ("offset", |image| {
        let count = image.dims()[0];
        Tensor::cat(&[image, image], 0).unwrap().narrow(0, count, count).unwrap()
    }),
];

/// Calls `check` with every device, node, size and mode, and what they are.
fn for_each(check: impl Fn(&crate::Device, Build, [usize; 5], Mode, &str)) {
    for device in devices() {
        for dims in [[1, 1, 3, 5, 7], [2, 3, 1, 4, 9], [1, 17, 5, 3, 3]] {
            for mode in [Mode::Train { dropout: KEY }, Mode::Evaluate] {
                for (name, build) in NODES {
                    check(&device, build, dims, mode, &format!("{name}, {mode:?}, {dims:?}, {device:?}"));
                }
            }
        }
    }
}

fn compare(ours: &[Tensor; 3], expected: &[Tensor; 3], tolerance: f32, of: &str) {
    for (what, (ours, expected)) in
        ["logits", "d weights", "d image"].into_iter().zip(ours.iter().zip(expected))
    {
        let error = error(ours, expected);
        assert!(error < tolerance, "{of}: {what} off by {error}");
    }
}

#[test]
fn each_in_bf16_is_within_one_percent_of_f32() {
    let as_it_is = LAYOUTS[0].1;
    for_each(|device, build, dims, mode, of| {
        let ours = run(build, dims, mode, (device, Precision::Bf16), as_it_is);
        let expected = run(build, dims, mode, (&crate::Device::Cpu, Precision::F32), as_it_is);
        compare(&ours, &expected, TOLERANCE, of);
    });
}

#[test]
fn each_in_f32_is_the_same_on_every_device_and_in_every_layout() {
    for_each(|device, build, dims, mode, of| {
        let expected = run(build, dims, mode, (&crate::Device::Cpu, Precision::F32), LAYOUTS[0].1);
        for (name, layout) in LAYOUTS {
            let ours = run(build, dims, mode, (device, Precision::F32), layout);
            compare(&ours, &expected, 1e-5, &format!("{of}, {name}"));
        }
    });
}
