//! The backward pass.

use super::forward::convolution;
use super::op::{OtherGradient, Outside};
use super::tape::{Kept, Tape};
use super::vector::{Place, WeightVector};
use super::{ConvLayer, Node, NormLayer, Program, Sum};
use crate::conv::Convolution;
use crate::cpu::gather::Store;
use crate::cpu::head::{self, Head};
use crate::cpu::kernels::Kernels;
use crate::cpu::norm::gradient_sums;
use crate::cpu::pad::Image;
use crate::cpu::rows::{self, for_rows};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::STREAMED_BYTES;
use crate::cpu::transpose::transpose;
use crate::storage::with_slices;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// The gradients that a backward pass is after.
pub(super) struct Gradients {
    pub(super) weights: WeightVector,
    /// `(n, c, d, h, w)`, where it was asked for.
    pub(super) image: Option<Vec<f32>>,
}

/// One backward pass under way: it uses up the tape.
struct Backward<'a, S: Kernels> {
    tape: Tape<S>,
    weights: &'a [f32],
    /// Gradients of values, complete when their node's turn comes.
    values: Vec<Option<Scratch<S>>>,
    /// The gradient of the weights: every node writes its own.
    into: Scratch<f32>,
    image_wanted: bool,
}

/// From the gradients of what the heads made, by their nodes, and those of other values.
pub(super) fn backward<S: Kernels>(
    program: &Program,
    tape: Tape<S>,
    weights: &[f32],
    mut heads: BTreeMap<usize, Tensor>,
    others: Vec<OtherGradient>,
    image_wanted: bool,
) -> Result<Gradients> {
    let values = program.nodes.iter().map(|_| None).collect();
    let mut pass = Backward { tape, weights, values, into: Scratch::take(weights.len()), image_wanted };
    for (index, node) in program.nodes.iter().enumerate().rev() {
        for other in others.iter().filter(|other| other.value.0 == index) {
            pass.add_rows(index, &other.gradient)?;
        }
        match node {
            Node::Input => {}
            Node::Head { x, weight, bias, .. } => pass.head(x.0, weight, bias, heads.remove(&index))?,
            // What no loss depends on has no gradient.
            _ if pass.values[index].is_none() => node.weights().for_each(|range| pass.into[range].fill(0.0)),
            Node::Double { x, .. } => pass.double(index, x.0),
            Node::Dropout { x, .. } => pass.dropout(index, x.0),
            Node::Unit { x, conv, norm, sum, .. } => pass.unit(index, x.0, conv, norm, *sum)?,
        }
        if index > 0 {
            pass.tape.kept[index] = Kept::Nothing;
        }
    }
    let image = pass.values[0].take().map(|gradient| {
        let [n, d, h, w, c] = pass.tape.dims[0];
        let mut rows = Scratch::<f32>::take(gradient.len());
        for_rows(&mut rows, w * c, |row, to| rows::convert(&gradient[row * w * c..][..w * c], to));
        crate::storage::filled(gradient.len(), |planes| transpose(&rows, n, [d * h * w, c], planes))
    });
    Ok(Gradients { weights: WeightVector(Place::Host(pass.into)), image })
}

impl<S: Kernels> Backward<'_, S> {
    /// Hands a gradient to a value: the buffer itself where it is the first.
    fn give(&mut self, value: usize, gradient: Scratch<S>) {
        match &mut self.values[value] {
            Some(sum) => {
                let row = self.tape.row_len(value);
                for_rows(sum, row, |index, sum| rows::add(&gradient[index * row..][..row], sum));
            }
            none => *none = Some(gradient),
        }
    }

    /// A gradient from outside.
    fn add_rows(&mut self, value: usize, gradient: &Outside) -> Result<()> {
        let [n, d, h, w, c] = self.tape.dims[value];
        let classes = gradient.classes()?;
        let sum = self.values[value].get_or_insert_with(|| {
            let mut zeros = Scratch::take(n * d * h * w * c);
            for_rows(&mut zeros, w * c, |_, to| to.fill(S::default()));
            zeros
        });
        for_rows(sum, w * c, |row, to| {
            let mut added = vec![0.0f32; to.len()];
            gradient.add_row(classes, [n, c, d, h, w], row, &mut added);
            rows::add(&added, to);
        });
        Ok(())
    }

    fn head(
        &mut self,
        x: usize,
        weight: &Range<usize>,
        bias: &Range<usize>,
        gradient: Option<Tensor>,
    ) -> Result<()> {
        let Some(gradient) = gradient else {
            [weight, bias].into_iter().for_each(|range| self.into[range.clone()].fill(0.0));
            return Ok(());
        };
        let head = Head { weight: &self.weights[weight.clone()], bias: &self.weights[bias.clone()] };
        let (gradient, sums) =
            with_slices("a head", [&gradient], |[made]| Ok(head_gradients(&self.tape, x, head, made)))?;
        for (which, range) in [weight, bias].into_iter().enumerate() {
            for (i, into) in self.into[range.clone()].iter_mut().enumerate() {
                *into = sums.iter().map(|sums| f64::from(sums[which][i])).sum::<f64>() as f32;
            }
        }
        self.give(x, gradient);
        Ok(())
    }

    fn dropout(&mut self, index: usize, x: usize) {
        let Some(mut gradient) = self.values[index].take() else { return };
        if let Kept::Scaled { factors: Some(factors), .. } = &self.tape.kept[index] {
            let [_, d, h, ..] = self.tape.dims[index];
            for_rows(&mut gradient, self.tape.row_len(index), |row, to| {
                rows::scale(&factors[row / (d * h)], to);
            });
        }
        self.give(x, gradient);
    }

    fn double(&mut self, index: usize, x: usize) {
        let (Some(gradient), Kept::Resampled { map, .. }) =
            (self.values[index].take(), &self.tape.kept[index])
        else {
            return;
        };
        let (map, [n, d, h, w, c]) = (map.transposed(), self.tape.dims[x]);
        let (mut to, row_len) = (Scratch::take(n * d * h * w * c), self.tape.row_len(index));
        for_rows(&mut to, w * c, |row, to| {
            // f32 until the sum is stored.
            let mut sum = vec![0.0f32; to.len()];
            map.row(row, |row, to| rows::convert(&gradient[row * row_len..][..row_len], to), &mut sum);
            rows::convert(&sum, to);
        });
        self.give(x, to);
    }

    fn unit(&mut self, index: usize, x: usize, conv: &ConvLayer, layer: &NormLayer, sum: Sum) -> Result<()> {
        let (Some(mut gradient), Kept::Unit(unit)) =
            (self.values[index].take(), std::mem::replace(&mut self.tape.kept[index], Kept::Nothing))
        else {
            bail!("a network can be differentiated once only: its activations are used up")
        };
        let (row_len, channels) = (self.tape.row_len(index), conv.to);
        if let (Sum::Before(_), Some(output)) = (sum, &unit.output) {
            for_rows(&mut gradient, row_len, |row, to| rows::close(&output[row * row_len..][..row_len], to));
        }
        let sums = gradient_sums(&unit.middle, &gradient, &unit.affine, channels);
        let voxels = (unit.middle.len() / channels.max(1)) as f64;
        let found = unit.norm.gradients(&self.weights[layer.scale.clone()], &sums, voxels);
        self.into[layer.scale.clone()].copy_from_slice(&found.gamma);
        self.into[layer.shift.clone()].copy_from_slice(&found.beta);
        if let Some(bias) = &conv.bias {
            self.into[bias.clone()].copy_from_slice(&found.input_sum);
        }

        let shape = convolution(conv, self.tape.dims[x])?;
        let read = |row: usize, to: &mut [S]| {
            let range = row * row_len..(row + 1) * row_len;
            let (middle, gradient) = (&unit.middle[range.clone()], &gradient[range]);
            rows::normalise_backward(middle, gradient, &unit.affine, &found.input, to);
        };
        let for_input = x > 0 || self.image_wanted;
        if S::reads_rows() {
            self.convolution(x, conv, &shape, &shape.output_gradient(&read, None, for_input));
            self.hand_on(sum, gradient);
        } else {
            // What the frame was filled from is not needed any more.
            let framed = shape.framed_gradient(&read, for_input);
            drop(unit);
            self.hand_on(sum, gradient);
            self.convolution(x, conv, &shape, &Image::Framed(framed));
        }
        Ok(())
    }

    /// What was added to a unit has the unit's own gradient.
    fn hand_on(&mut self, sum: Sum, gradient: Scratch<S>) {
        if let Sum::Before(other) | Sum::After(other) = sum {
            self.give(other.0, gradient);
        }
    }

    /// The gradients of a convolution's input and weight from that of its output.
    fn convolution(&mut self, x: usize, conv: &ConvLayer, shape: &Convolution, gradient: &Image<S>) {
        if x > 0 || self.image_wanted {
            let weight = &self.weights[conv.weight.clone()];
            let len = shape.input_dims().iter().product();
            let (mut to, store) = match self.values[x].take() {
                Some(sum) => (sum, Store::Add),
                None => (Scratch::take(len), Store::Write),
            };
            shape.input_gradient(gradient, weight, (&mut to, store));
            self.values[x] = Some(to);
        }
        let tape = &self.tape;
        let read = |row: usize, to: &mut [S]| tape.read_row(x, row, to);
        let to = &mut self.into[conv.weight.clone()];
        shape.weight_gradient(&shape.input(&read, tape.whole(x)), gradient, to);
    }
}

/// The gradient of a head's input, and those of its weight and bias by parts that are still to be added.
pub(super) fn head_gradients<S: Kernels>(
    tape: &Tape<S>,
    x: usize,
    head: Head,
    logits: &[f32],
) -> (Scratch<S>, Vec<[Vec<f32>; 2]>) {
    let [n, d, h, w, _] = tape.dims[x];
    let (classes, row_len, volume) = (head.classes(), tape.row_len(x), d * h * w);
    let mut gradient = Scratch::<S>::take(n * d * h * row_len);
    let streamed = size_of_val(&gradient[..]) >= STREAMED_BYTES;
    // A plane a task, each with sums of its own, added in order.
    let tasks = gradient.par_chunks_mut((h * row_len).max(1)).enumerate();
    let sums = tasks
        .map(|(plane, gradient)| {
            let mut sums = [vec![0.0; head.weight.len()], vec![0.0; classes]];
            let [mut buffer, mut dx] = [vec![0.0f32; row_len], vec![0.0f32; row_len]];
            let mut stored = vec![S::default(); row_len];
            for (y, to) in gradient.chunks_mut(row_len).enumerate() {
                let row = plane * h + y;
                let features = tape.row_f32(x, row, &mut buffer);
                dx.fill(0.0);
                for class in 0..classes {
                    let first = (plane / d * classes + class) * volume + row % (d * h) * w;
                    let (grad, [dw, db]) = (&logits[first..first + w], &mut sums);
                    let dw = &mut dw[class * head.channels()..][..head.channels()];
                    head::backward(&head, class, features, grad, &mut dx, dw);
                    db[class] += grad.iter().sum::<f32>();
                }
                if streamed {
                    rows::convert(&dx, &mut stored);
                    rows::stream(&stored, to);
                } else {
                    rows::convert(&dx, to);
                }
            }
            sums
        })
        .collect();
    (gradient, sums)
}
