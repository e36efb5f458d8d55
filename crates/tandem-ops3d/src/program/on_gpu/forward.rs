//! The forward pass.

use super::super::forward::convolution;
use super::super::{ConvLayer, Mode, Node, NormLayer, Program, Sum};
use super::{Forward, GpuTape, GpuVector, Kept, KeptUnit, Precision};
use crate::Activation;
use crate::conv::Convolution;
use crate::gpu::{Buffer, Kind, NormParameters, Operands, Queue, Rest};
use crate::resize::Resampling;
use candle_core::{Result, bail};
use tandem_random::Draws;

/// An image `(n, c, d, h, w)`, f32: on the host, or its copy on the GPU.
pub(in super::super) enum Image<'a> {
    Host(&'a [f32]),
    Brought(Buffer),
}

/// Runs a program on an image; in training, the running statistics move where they lie.
pub(in super::super) fn forward(
    program: &Program,
    (image, [n, c, d, h, w]): (Image<'_>, [usize; 5]),
    weights: &GpuVector,
    running: &GpuVector,
    (mode, precision): (Mode, Precision),
) -> Result<Forward> {
    let queue = Queue { machine: weights.queue.machine.clone(), precision };
    let tape = GpuTape { weights: weights.buffer.clone(), queue, dims: Vec::new(), kept: Vec::new() };
    let mut pass = Pass { tape, running: running.buffer.clone(), mode };
    let mut heads = Vec::new();
    let needed = program.needed(mode == Mode::Infer);
    let last_uses = program.last_uses(&needed);
    for (index, node) in program.nodes.iter().enumerate() {
        let (dims, kept) = match node {
            _ if !needed[index] => ([0; 5], Kept::Nothing),
            Node::Input => {
                let dims = [n, d, h, w, c];
                let queue = &pass.tape.queue;
                let entered = match &image {
                    Image::Host(planes) => queue.enter(planes, dims)?,
                    Image::Brought(copy) => queue.enter_copy(copy, dims)?,
                };
                (dims, Kept::Image(entered))
            }
            Node::Unit { x, conv, norm, activation, sum } => {
                let shape = convolution(conv, pass.tape.dims[x.0])?;
                (shape.output_dims(), pass.unit(x.0, (conv, &shape), norm, *activation, *sum)?)
            }
            Node::Dropout { x, probability, place } => {
                let dims = pass.tape.dims[x.0];
                (dims, Kept::Scaled { x: x.0, factors: pass.factors(*probability, place, dims)? })
            }
            Node::Double { x, mode } => {
                let [n, d, h, w, channels] = pass.tape.dims[x.0];
                let map = Resampling::new([d, h, w], [2 * d, 2 * h, 2 * w], *mode);
                let tables = pass.tape.queue.tables(&map)?;
                ([n, 2 * d, 2 * h, 2 * w, channels], Kept::Resampled { x: x.0, map, tables })
            }
            Node::Head { x, weight, bias, .. } => {
                let (dims, classes) = (pass.tape.dims[x.0], bias.len());
                let [n, d, h, w, channels] = dims;
                if weight.len() != classes * channels {
                    bail!("the head takes {} channels, its input has {channels}", weight.len() / classes)
                }
                let tape = &pass.tape;
                let parameters = [weight.start, bias.start].map(|at| tape.weights.at(at));
                let made = tape.queue.head(&tape.read(x.0)?, dims, parameters, classes)?;
                heads.push((index, made, [n, classes, d, h, w]));
                ([n, d, h, w, classes], Kept::Nothing)
            }
        };
        pass.tape.dims.push(dims);
        pass.tape.kept.push(kept);
        if mode == Mode::Infer && needed[index] {
            for value in node.reads() {
                if last_uses[value.0] <= index {
                    pass.tape.kept[value.0] = Kept::Nothing;
                }
            }
        }
    }
    Ok(Forward { tape: pass.tape, heads })
}

/// One forward pass under way.
struct Pass {
    tape: GpuTape,
    /// The running statistics, f32.
    running: Buffer,
    mode: Mode,
}

impl Pass {
    fn unit(
        &mut self,
        x: usize,
        (conv, shape): (&ConvLayer, &Convolution),
        layer: &NormLayer,
        activation: Activation,
        sum: Sum,
    ) -> Result<Kept> {
        let (tape, dims) = (&self.tape, shape.output_dims());
        let queue = &tape.queue;
        let middle = queue.stored(dims.iter().product())?;
        let (geometry, spread) = shape.geometry();
        let from = tape.read(x)?;
        let operands =
            Operands { from: &from, weight: tape.weights.at(conv.weight.start), to: &middle, add: false };
        queue.convolve(if spread { Kind::Spread } else { Kind::Respond }, geometry, &operands)?;
        // What was written for the convolution alone makes room for what follows.
        drop(from);

        let of_batch = matches!(self.mode, Mode::Train { .. });
        let values = dims[..4].iter().product::<usize>();
        if of_batch && values < 2 {
            bail!(
                "batch normalisation: {values} value per channel has no variance; use a larger patch or batch, or evaluate"
            )
        }
        // A sum before the activation leaves the ReLU to the sum.
        let before = matches!(sum, Sum::Before(_));
        let relu = activation == Activation::Relu;
        let parameters = NormParameters {
            bias: conv.bias.as_ref().map_or(0, |bias| tape.weights.at(bias.start)),
            gamma: tape.weights.at(layer.scale.start),
            beta: tape.weights.at(layer.shift.start),
            running_mean: self.running.at(layer.mean.start),
            running_variance: self.running.at(layer.variance.start),
            momentum: layer.momentum,
            eps: layer.eps,
        };
        let norm = queue.norm(&middle, dims, &parameters, (of_batch, relu && !before))?;
        let output = match sum {
            Sum::Nothing if of_batch => Some(queue.activate(&middle, dims, &norm, Rest::default())?),
            Sum::Nothing => None,
            Sum::Before(other) | Sum::After(other) => {
                if tape.dims[other.0] != dims {
                    bail!("values of {:?} and {:?} cannot be added", dims, tape.dims[other.0])
                }
                let added = tape.read(other.0)?;
                let rest = Rest { added: Some(&added), relu_of_sum: relu && before };
                Some(queue.activate(&middle, dims, &norm, rest)?)
            }
        };
        Ok(Kept::Unit(Box::new(KeptUnit { middle, norm, output })))
    }

    /// A factor for each channel of each image; none in evaluation.
    fn factors(&self, probability: f64, place: &str, dims: [usize; 5]) -> Result<Option<Buffer>> {
        let Mode::Train { dropout } = self.mode else { return Ok(None) };
        if probability <= 0.0 {
            return Ok(None);
        }
        let mut draws = Draws::new(dropout, &format!("dropout {place}"), 0, 0);
        let factors = crate::dropout::channel_factors(dims[0] * dims[4], probability, &mut draws)?;
        self.tape.queue.copy(&factors).map(Some)
    }
}
