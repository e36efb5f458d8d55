//! The forward pass.

use super::tape::{Kept, KeptUnit, Tape};
use super::{ConvLayer, Mode, Node, NormLayer, Program, Sum};
use crate::Activation;
use crate::conv::Convolution;
use crate::cpu::gather::Store;
use crate::cpu::head::{self, Head};
use crate::cpu::kernels::Kernels;
use crate::cpu::rows::{self, for_rows};
use crate::cpu::scratch::Scratch;
use crate::cpu::transpose::transposed;
use crate::norm::{follow, normalisation};
use crate::resize::Resampling;
use crate::storage::filled;
use candle_core::{Result, bail};
use rayon::prelude::*;
use tandem_random::Draws;

/// What a forward pass makes.
pub(super) struct Forward<S: Kernels> {
    pub(super) tape: Tape<S>,
    /// Of each head that ran, by its node: `(N, K, D, H, W)` and these sides.
    pub(super) heads: Vec<(usize, Vec<f32>, [usize; 5])>,
    /// The running statistics after it.
    pub(super) statistics: Vec<f32>,
}

/// Runs a program on an image `(n, c, d, h, w)`.
pub(super) fn forward<S: Kernels>(
    program: &Program,
    (image, [n, c, d, h, w]): (&[f32], [usize; 5]),
    weights: &[f32],
    mut statistics: Vec<f32>,
    mode: Mode,
) -> Result<Forward<S>> {
    let mut tape = Tape { dims: Vec::new(), kept: Vec::new() };
    let mut heads = Vec::new();
    let needed = program.needed(mode == Mode::Infer);
    let last_uses = program.last_uses(&needed);
    for (index, node) in program.nodes.iter().enumerate() {
        let (dims, kept) = match node {
            _ if !needed[index] => ([0; 5], Kept::Nothing),
            Node::Input => ([n, d, h, w, c], Kept::Image(enter(image, [n, d, h, w, c]))),
            Node::Unit { x, conv, norm, activation, sum } => {
                let shape = convolution(conv, tape.dims[x.0])?;
                let middle = convolve(&tape, x.0, &shape, conv, weights);
                let unit =
                    normalise(middle, conv.to, norm, *activation, *sum, weights, &mut statistics, mode)?;
                (
                    shape.output_dims(),
                    Kept::Unit(Box::new(add_up(&tape, unit, *sum, *activation, shape.output_dims())?)),
                )
            }
            Node::Dropout { x, probability, place } => {
                let dims = tape.dims[x.0];
                let factors = match mode {
                    Mode::Train { dropout } if *probability > 0.0 => {
                        let draws = Draws::new(dropout, &format!("dropout {place}"), 0, 0);
                        Some(factors(draws, *probability, dims)?)
                    }
                    _ => None,
                };
                (dims, Kept::Scaled { x: x.0, factors })
            }
            Node::Double { x, mode } => {
                let [n, d, h, w, channels] = tape.dims[x.0];
                let map = Resampling::new([d, h, w], [2 * d, 2 * h, 2 * w], *mode);
                ([n, 2 * d, 2 * h, 2 * w, channels], Kept::Resampled { x: x.0, map })
            }
            Node::Head { x, weight, bias, .. } => {
                let head = Head { weight: &weights[weight.clone()], bias: &weights[bias.clone()] };
                let [n, d, h, w, channels] = tape.dims[x.0];
                if head.channels() != channels {
                    bail!("the head takes {} channels, its input has {channels}", head.channels())
                }
                heads.push((index, run_head(&tape, x.0, head), [n, head.classes(), d, h, w]));
                ([n, d, h, w, head.classes()], Kept::Nothing)
            }
        };
        tape.dims.push(dims);
        tape.kept.push(kept);
        if mode == Mode::Infer && needed[index] {
            for value in node.reads() {
                if last_uses[value.0] <= index {
                    tape.kept[value.0] = Kept::Nothing;
                }
            }
        }
    }
    Ok(Forward { tape, heads, statistics })
}

/// The geometry of a layer on an input of these dimensions.
pub(super) fn convolution(conv: &ConvLayer, input: [usize; 5]) -> Result<Convolution> {
    let (from, to, k) = (conv.from, conv.to, conv.kernel);
    let channels = if conv.transposed { [from, to] } else { [to, from] };
    Convolution::new(&input, &[channels[0], channels[1], k, k, k], conv.params, conv.transposed)
}

/// An image `(n, c, d, h, w)` as it is stored inside.
fn enter<S: Kernels>(image: &[f32], [n, d, h, w, c]: [usize; 5]) -> Scratch<S> {
    let mut inside = Scratch::take(image.len());
    if c == 1 {
        for_rows(&mut inside, w, |row, to| rows::convert(&image[row * w..][..w], to));
    } else {
        let turned = transposed(image, n, [c, d * h * w]);
        for_rows(&mut inside, w * c, |row, to| rows::convert(&turned[row * w * c..][..w * c], to));
    }
    inside
}

/// The convolution of a value, by a layer of this geometry.
pub(super) fn convolve<S: Kernels>(
    tape: &Tape<S>,
    x: usize,
    shape: &Convolution,
    conv: &ConvLayer,
    weights: &[f32],
) -> Scratch<S> {
    let mut middle = Scratch::take(shape.output_dims().iter().product());
    let bias = conv.bias.as_ref().map(|bias| &weights[bias.clone()]);
    let read = |row: usize, to: &mut [S]| tape.read_row(x, row, to);
    let to = (&mut middle[..], Store::Write);
    shape.run(&shape.input(&read, tape.whole(x)), &weights[conv.weight.clone()], bias, to);
    middle
}

#[allow(clippy::too_many_arguments, reason = "a layer's parts, in one place")]
fn normalise<S: Kernels>(
    middle: Scratch<S>,
    channels: usize,
    layer: &NormLayer,
    activation: Activation,
    sum: Sum,
    weights: &[f32],
    statistics: &mut [f32],
    mode: Mode,
) -> Result<KeptUnit<S>> {
    // A sum before the activation leaves the ReLU to the sum.
    let relu = activation == Activation::Relu && !matches!(sum, Sum::Before(_));
    let running = [&layer.mean, &layer.variance].map(|range| statistics[range.clone()].to_vec());
    let fixed = !matches!(mode, Mode::Train { .. });
    let norm =
        normalisation(&middle, channels, fixed.then_some([&running[0], &running[1]]), (layer.eps, relu))?;
    let [mut mean, mut variance] = running;
    follow(&mut mean, &mut variance, &norm, layer.momentum);
    statistics[layer.mean.clone()].copy_from_slice(&mean);
    statistics[layer.variance.clone()].copy_from_slice(&variance);
    let affine = norm.affine(&weights[layer.scale.clone()], &weights[layer.shift.clone()]);
    Ok(KeptUnit { middle, norm, affine, output: None })
}

/// Adds another value where the layer says so.
fn add_up<S: Kernels>(
    tape: &Tape<S>,
    mut unit: KeptUnit<S>,
    sum: Sum,
    activation: Activation,
    dims: [usize; 5],
) -> Result<KeptUnit<S>> {
    let (Sum::Before(other) | Sum::After(other)) = sum else { return Ok(unit) };
    if tape.dims[other.0] != dims {
        bail!("values of {:?} and {:?} cannot be added", dims, tape.dims[other.0])
    }
    let relu = matches!(sum, Sum::Before(_)) && activation == Activation::Relu;
    let row_len = dims[3] * dims[4];
    let mut output = Scratch::<S>::take(unit.middle.len());
    for_rows(&mut output, row_len, |row, to| {
        // f32 until the sum is stored.
        let mut both = [vec![0.0f32; row_len], vec![0.0f32; row_len]];
        let [own, added] = &mut both;
        rows::normalise(&unit.middle[row * row_len..][..row_len], &unit.affine, own);
        tape.read_row(other.0, row, added);
        if relu {
            rows::add_relu(added, own);
        } else {
            rows::add(added, own);
        }
        rows::convert(own, to);
    });
    unit.output = Some(output);
    Ok(unit)
}

/// A factor for each channel of each image.
fn factors(mut draws: Draws, probability: f64, dims: [usize; 5]) -> Result<Vec<Vec<f32>>> {
    let channels = dims[4];
    let factors = crate::dropout::channel_factors(dims[0] * channels, probability, &mut draws)?;
    Ok(factors.chunks(channels).map(|image| rows::repeat(channels, |c| image[c])).collect())
}

/// What a head makes: `(n, k, d, h, w)`.
pub(super) fn run_head<S: Kernels>(tape: &Tape<S>, x: usize, head: Head) -> Vec<f32> {
    let [n, d, h, w, _] = tape.dims[x];
    let (classes, plane) = (head.classes(), h * w);
    filled(n * classes * d * plane, |logits| {
        if logits.is_empty() {
            return;
        }
        // A task is a plane of one image: the classes' planes lie apart.
        let mut tasks: Vec<Vec<&mut [f32]>> = (0..n * d).map(|_| Vec::with_capacity(classes)).collect();
        for (index, logits) in logits.chunks_mut(plane).enumerate() {
            tasks[index / (classes * d) * d + index % d].push(logits);
        }
        tasks.into_par_iter().enumerate().for_each(|(index, mut classes)| {
            let (mut buffer, mut room) = (vec![0.0f32; tape.row_len(x)], Vec::new());
            for y in 0..h {
                let features = tape.row_f32(x, index * h + y, &mut buffer);
                let mut rows: Vec<_> = classes.iter_mut().map(|logits| &mut logits[y * w..][..w]).collect();
                head::forward(&head, features, &mut room, &mut rows);
            }
        });
    })
}
