//! The backward pass.

use super::super::backward::Gradients;
use super::super::forward::convolution;
use super::super::op::{HeadGradient, OtherGradient, Outside};
use super::super::vector::{Place, WeightVector};
use super::super::{ConvLayer, Node, NormLayer, Program, Sum};
use super::{GpuTape, GpuVector, Kept};
use crate::conv::Convolution;
use crate::gpu::{Buffer, Kind, NormGradients, Operands};
use crate::storage::with_slices;
use candle_core::{Result, bail};
use std::ops::Range;

/// From the gradients of what the heads made, by their nodes, and those of other values.
pub(in super::super) fn backward(
    program: &Program,
    tape: GpuTape,
    weights: &GpuVector,
    heads: Vec<(usize, HeadGradient)>,
    others: Vec<OtherGradient>,
    image_wanted: bool,
) -> Result<Gradients> {
    let mut gradient = weights.like()?;
    // What no loss depends on has no gradient.
    gradient.clear()?;
    let into = gradient.buffer.clone();
    let values = program.nodes.iter().map(|_| None).collect();
    let mut pass = Pass { tape, values, into, image_wanted };
    for (index, node) in program.nodes.iter().enumerate().rev() {
        for other in others.iter().filter(|other| other.value.0 == index) {
            pass.add_outside(index, &other.gradient)?;
        }
        match node {
            Node::Input => {}
            Node::Head { x, weight, bias, .. } => {
                let gradients = heads.iter().filter(|(head, _)| *head == index).map(|(_, gradient)| gradient);
                if let Some(gradient) = pass.sum_of(gradients)? {
                    pass.head(x.0, weight, bias, &gradient)?;
                }
            }
            Node::Double { x, .. } => pass.double(index, x.0)?,
            Node::Dropout { x, .. } => pass.dropout(index, x.0)?,
            Node::Unit { x, conv, norm, sum, .. } => pass.unit(index, x.0, conv, norm, *sum)?,
        }
        if index > 0 {
            pass.tape.kept[index] = Kept::Nothing;
        }
    }
    let image = pass.values[0].take().map(|gradient| pass.tape.queue.leave(&gradient, pass.tape.dims[0]));
    Ok(Gradients { weights: WeightVector(Place::Gpu(gradient)), image: image.transpose()? })
}

/// One backward pass under way: it uses up the tape.
struct Pass {
    tape: GpuTape,
    /// Gradients of values, complete when their node's turn comes. Nobody else has these buffers.
    values: Vec<Option<Buffer>>,
    /// The gradient of the weights, f32: every node writes its own.
    into: Buffer,
    image_wanted: bool,
}

impl Pass {
    fn count(&self, value: usize) -> usize {
        self.tape.dims[value].iter().product()
    }

    /// Hands a gradient to a value: the buffer itself where it is the first.
    fn give(&mut self, value: usize, gradient: Buffer) -> Result<()> {
        match &self.values[value] {
            Some(sum) => self.tape.queue.add(&gradient, sum, self.count(value)),
            None => {
                self.values[value] = Some(gradient);
                Ok(())
            }
        }
    }

    /// A gradient from outside.
    fn add_outside(&mut self, value: usize, gradient: &Outside) -> Result<()> {
        let (queue, dims) = (&self.tape.queue, self.tape.dims[value]);
        let sum = match self.values[value].take() {
            Some(sum) => sum,
            None => {
                let zeros = queue.stored(self.count(value))?;
                zeros.clear()?;
                zeros
            }
        };
        match gradient {
            Outside::Planes(planes) => queue.enter_into(planes, dims, &sum, true)?,
            Outside::Voxels(factor, gradient) => {
                let first = gradient.patches.start * dims[1..4].iter().product::<usize>();
                let scaled = |values: &[f32]| values.iter().map(|value| factor * value).collect::<Vec<f32>>();
                let there = gradient.classes.on(&queue.machine)?;
                let classes = (first, &there, gradient.classes.len());
                queue.add_to_classes(&sum, classes, &scaled(&gradient.of_classes), dims[4])?;
                let voxels: Vec<i64> = gradient.voxels.iter().map(|voxel| (first + voxel) as i64).collect();
                queue.add_to_voxels(&sum, &voxels, &scaled(&gradient.of_voxels), dims[4])?;
            }
        }
        self.values[value] = Some(sum);
        Ok(())
    }

    fn head(
        &mut self,
        x: usize,
        weight: &Range<usize>,
        bias: &Range<usize>,
        gradient: &Buffer,
    ) -> Result<()> {
        let (tape, classes) = (&self.tape, bias.len());
        let (features, dims) = (tape.read(x)?, tape.dims[x]);
        let to = [weight.start, bias.start].map(|at| self.into.at(at));
        let from = tape.weights.at(weight.start);
        let found = tape.queue.head_backward(&features, dims, gradient, from, classes, to)?;
        self.give(x, found)
    }

    /// The sum of what a head's gradient is given in parts.
    fn sum_of<'a>(&self, parts: impl Iterator<Item = &'a HeadGradient>) -> Result<Option<Buffer>> {
        let queue = self.tape.queue.in_f32();
        let mut sum: Option<(Buffer, usize)> = None;
        for part in parts {
            let (part, count) = match part {
                HeadGradient::Host(tensor) => {
                    (with_slices("a head", [tensor], |[planes]| queue.copy(planes))?, tensor.elem_count())
                }
                HeadGradient::Gpu(factor, gradient) => {
                    if *factor != 1.0 {
                        queue.multiply(&gradient.buffer, gradient.len, *factor)?;
                    }
                    (gradient.buffer.clone(), gradient.len)
                }
            };
            match &sum {
                Some((sum, len)) if *len == count => queue.add(&part, sum, count)?,
                Some(_) => bail!("gradients of one head have different sizes"),
                None => sum = Some((part, count)),
            }
        }
        Ok(sum.map(|(sum, _)| sum))
    }

    fn dropout(&mut self, index: usize, x: usize) -> Result<()> {
        let Some(mut gradient) = self.values[index].take() else { return Ok(()) };
        if let Kept::Scaled { factors: Some(factors), .. } = &self.tape.kept[index] {
            gradient = self.tape.queue.scale(&gradient, self.tape.dims[index], factors)?;
        }
        self.give(x, gradient)
    }

    fn double(&mut self, index: usize, x: usize) -> Result<()> {
        let (Some(gradient), Kept::Resampled { map, .. }) =
            (self.values[index].take(), &self.tape.kept[index])
        else {
            return Ok(());
        };
        let [n, .., c] = self.tape.dims[index];
        let queue = &self.tape.queue;
        let to = queue.resample(&gradient, n, c, &queue.tables(&map.transposed())?)?;
        self.give(x, to)
    }

    fn unit(&mut self, index: usize, x: usize, conv: &ConvLayer, layer: &NormLayer, sum: Sum) -> Result<()> {
        let Some(gradient) = self.values[index].take() else { return Ok(()) };
        let Kept::Unit(unit) = std::mem::replace(&mut self.tape.kept[index], Kept::Nothing) else {
            bail!("a network can be differentiated once only: its activations are used up")
        };
        let (queue, dims) = (&self.tape.queue, self.tape.dims[index]);
        if let (Sum::Before(_), Some(output)) = (sum, &unit.output) {
            queue.close(output, &gradient, self.count(index))?;
        }
        let to = NormGradients {
            gamma: self.into.at(layer.scale.start),
            beta: self.into.at(layer.shift.start),
            bias: conv.bias.as_ref().map_or(0, |bias| self.into.at(bias.start)),
        };
        let gamma = self.tape.weights.at(layer.scale.start);
        let inner = queue.norm_backward((&unit.middle, &gradient), dims, (&unit.norm, gamma), &to)?;
        drop(unit);
        // What was added to a unit has the unit's own gradient.
        if let Sum::Before(other) | Sum::After(other) = sum {
            self.give(other.0, gradient)?;
        }
        self.convolution(x, conv, &convolution(conv, self.tape.dims[x])?, &inner)
    }

    /// The gradients of a convolution's input and weight from that of its output.
    fn convolution(
        &mut self,
        x: usize,
        conv: &ConvLayer,
        shape: &Convolution,
        gradient: &Buffer,
    ) -> Result<()> {
        let (geometry, spread) = shape.geometry();
        let queue = &self.tape.queue;
        if x > 0 || self.image_wanted {
            let there = self.values[x].take();
            let add = there.is_some();
            let to = match there {
                Some(sum) => sum,
                None => queue.stored(self.count(x))?,
            };
            let weight = self.tape.weights.at(conv.weight.start);
            let operands = Operands { from: gradient, weight, to: &to, add };
            queue.convolve(if spread { Kind::Respond } else { Kind::Spread }, geometry, &operands)?;
            self.values[x] = Some(to);
        }
        let input = self.tape.read(x)?;
        let [image, response] = if spread { [gradient, &input] } else { [&input, gradient] };
        queue.filter(geometry, image, response, self.into.at(conv.weight.start))
    }
}
