//! A network as one differentiable operation.
//!
//! candle's backward pass clears, adds and keeps a tensor for every edge of a graph. A [`Program`] is a whole network to candle:
//! an image and one flat vector of weights go in, logits come out, and the gradient of the weights is left beside them. Besides
//! the head that makes the logits there may be others, which are differentiated in the same backward pass.
//! Inside, only the convolutions' outputs are kept. Whatever lies between two convolutions (normalisation, ReLU, residual sums,
//! dropout, resizing) is computed while the next convolution's input is put into its frame of zeros, and again in the backward pass:
//! cheaper than reading it from memory. The backward pass frees every buffer after its last use.

mod backward;
mod estimate;
mod forward;
mod layers;
mod on_gpu;
mod op;
mod read;
mod shared;
mod statistics;
mod tape;
#[cfg(test)]
mod tests;
mod values;
mod vector;
mod weights;

pub use estimate::Footprint;
pub use layers::{LayerShape, LayerTrial};
pub(crate) use op::HeadOnGpu;
pub use op::Outputs;
pub use statistics::NormStatistics;
pub use vector::{Descent, WeightVector};
pub use weights::Weights;

use crate::{Activation, Conv3dParams, CpuPath, Resize, cpu_path};
use candle_core::{Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// A value of a program: an image `(N, D, H, W, C)` that a layer makes and others read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

impl Value {
    /// Which of [`Program::nodes`] makes it.
    pub fn node(self) -> usize {
        self.0
    }
}

/// A convolution, plain or transposed, with where its parameters lie in the flat vector of weights.
#[derive(Clone, Debug)]
pub struct ConvLayer {
    /// `(to, from, k, k, k)`; of a transposed convolution `(from, to, k, k, k)`.
    pub weight: Range<usize>,
    /// `(to)`.
    pub bias: Option<Range<usize>>,
    /// Channels it reads.
    pub from: usize,
    /// Channels it makes.
    pub to: usize,
    /// Side of its kernel.
    pub kernel: usize,
    /// Stride and padding.
    pub params: Conv3dParams,
    /// Whether it is a transposed convolution.
    pub transposed: bool,
}

/// A batch normalisation, with where its parameters lie.
#[derive(Clone, Debug)]
pub struct NormLayer {
    /// Gamma, in the flat vector of weights.
    pub scale: Range<usize>,
    /// Beta, in the flat vector of weights.
    pub shift: Range<usize>,
    /// Running mean, in the flat vector of statistics.
    pub mean: Range<usize>,
    /// Running unbiased variance, in the flat vector of statistics.
    pub variance: Range<usize>,
    /// Share of a new batch in the running values.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

/// What is added to a normalised convolution, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Nothing.
    Nothing,
    /// Before the activation, as in a residual block.
    Before(Value),
    /// After it, as in a decoder with adding skips.
    After(Value),
}

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, and dropout drawn from this key.
    Train {
        /// The same key drops the same channels.
        dropout: u64,
    },
    /// Running statistics, no dropout; differentiable.
    Evaluate,
    /// As [`Self::Evaluate`], but nothing is kept for a backward pass, and what only further heads need is not run.
    Infer,
}

/// How activations and their gradients are stored. Sums, statistics, weights and logits are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// bfloat16, with kernels of its own where the processor multiplies it ([`CpuPath::multiplies_bf16`]), else with those of f32.
    Bf16,
}

impl Precision {
    /// The faster one on a device: bf16 where it multiplies them as they are, else f32.
    pub fn fastest(device: &crate::Device) -> Self {
        let multiplies = match device {
            crate::Device::Cpu => cpu_path().multiplies_bf16(),
            crate::Device::Cuda(gpu) => gpu.multiplies_bf16(),
        };
        if multiplies { Precision::Bf16 } else { Precision::F32 }
    }

    /// The path whose kernels run in this process: [`cpu_path`], but the wider ones are for bf16 alone.
    pub fn kernels(self) -> CpuPath {
        match self {
            Precision::F32 => cpu_path().min(CpuPath::Avx512),
            Precision::Bf16 => cpu_path(),
        }
    }
}

/// A network: layers in the order in which they run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    nodes: Vec<Node>,
}

/// A layer, which makes a [`Value`].
#[derive(Clone, Debug)]
pub enum Node {
    /// The image.
    Input,
    /// See [`Program::unit`].
    Unit {
        /// What it reads.
        x: Value,
        /// Its convolution.
        conv: ConvLayer,
        /// What normalises that.
        norm: NormLayer,
        /// What follows.
        activation: Activation,
        /// What is added, and where.
        sum: Sum,
    },
    /// See [`Program::dropout`].
    Dropout {
        /// What it reads.
        x: Value,
        /// Share of channels that training drops.
        probability: f64,
        /// What tells it from the others.
        place: String,
    },
    /// See [`Program::double`].
    Double {
        /// What it reads.
        x: Value,
        /// How voxels are made.
        mode: Resize,
    },
    /// See [`Program::head`]. The one without a name makes the logits.
    Head {
        /// What it reads.
        x: Value,
        /// Its name.
        name: Option<String>,
        /// `(K, C)`, in the flat vector of weights.
        weight: Range<usize>,
        /// `(K)`, in the flat vector of weights.
        bias: Range<usize>,
    },
}

impl Program {
    /// A program that begins with an image.
    pub fn new() -> (Self, Value) {
        (Program { nodes: vec![Node::Input] }, Value(0))
    }

    /// `sum(activation(norm(conv(x))))`; see [`Sum`].
    pub fn unit(
        &mut self,
        x: Value,
        conv: ConvLayer,
        norm: NormLayer,
        activation: Activation,
        sum: Sum,
    ) -> Value {
        self.push(Node::Unit { x, conv, norm, activation, sum })
    }

    /// Drops whole channels of each image in training (see [`crate::dropout3d`]); `place` tells apart the dropouts of a network.
    pub fn dropout(&mut self, x: Value, probability: f64, place: &str) -> Value {
        self.push(Node::Dropout { x, probability, place: place.to_owned() })
    }

    /// Doubles the sides.
    pub fn double(&mut self, x: Value, mode: Resize) -> Value {
        self.push(Node::Double { x, mode })
    }

    /// What makes the logits: a 1x1x1 convolution to classes, with weight `(K, C)` and bias `(K)` in the flat vector of weights.
    pub fn head(&mut self, x: Value, weight: Range<usize>, bias: Range<usize>) {
        self.push(Node::Head { x, name: None, weight, bias });
    }

    /// A further head of that name, on a value of any resolution; see [`Outputs::heads`].
    pub fn further_head(&mut self, name: &str, x: Value, weight: Range<usize>, bias: Range<usize>) {
        self.push(Node::Head { x, name: Some(name.to_owned()), weight, bias });
    }

    fn push(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value(self.nodes.len() - 1)
    }

    /// The layers in the order in which they run, to be looked at.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Channels that all further heads make.
    pub fn further_channels(&self) -> usize {
        let channels = |node: &Node| match node {
            Node::Head { name: Some(_), bias, .. } => bias.len(),
            _ => 0,
        };
        self.nodes.iter().map(channels).sum()
    }

    /// Which nodes run: of inference those that the logits need, else all.
    fn needed(&self, inference: bool) -> Vec<bool> {
        let mut needed = vec![!inference; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            needed[index] |= matches!(node, Node::Input | Node::Head { name: None, .. });
            if needed[index] {
                node.reads().iter().for_each(|value| needed[value.0] = true);
            }
        }
        needed
    }

    /// For each value the last of the needed nodes that needs it: a value that is computed where it is read needs what it is made of
    /// for as long.
    fn last_uses(&self, needed: &[bool]) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for (index, node) in self.nodes.iter().enumerate().rev().filter(|(index, _)| needed[*index]) {
            let until = match node {
                Node::Dropout { .. } | Node::Double { .. } => last[index],
                _ => index,
            };
            for value in node.reads() {
                last[value.0] = last[value.0].max(until);
            }
        }
        last
    }

    /// Runs the network on `(N, C, D, H, W)`; returns logits `(N, K, D, H, W)`, f32, what further heads make, and access to other
    /// values.
    ///
    /// Differentiable once in `x` and `weights`: the backward pass uses up what the forward pass kept. It leaves the gradient of
    /// the weights in [`Weights::take_gradient`]. In training, the running statistics in `statistics` are moved.
    ///
    /// # Errors
    /// Where shapes disagree, a tensor is not f32, there is not one head for the logits, or the layers do not have all of the weights.
    pub fn run(
        self: &Arc<Self>,
        x: &Tensor,
        weights: &Weights,
        statistics: &NormStatistics,
        (mode, precision): (Mode, Precision),
    ) -> Result<Outputs> {
        op::run(self, x, weights, statistics, mode, precision)
    }
}

impl Node {
    /// Where its weights lie.
    fn weights(&self) -> impl Iterator<Item = Range<usize>> {
        let ranges = match self {
            Node::Input | Node::Dropout { .. } | Node::Double { .. } => [None, None, None, None],
            Node::Head { weight, bias, .. } => [Some(weight), Some(bias), None, None],
            Node::Unit { conv, norm, .. } => {
                [Some(&conv.weight), conv.bias.as_ref(), Some(&norm.scale), Some(&norm.shift)]
            }
        };
        ranges.into_iter().flatten().cloned()
    }

    fn reads(&self) -> Vec<Value> {
        match self {
            Node::Input => vec![],
            Node::Unit { x, sum: Sum::Nothing, .. }
            | Node::Dropout { x, .. }
            | Node::Double { x, .. }
            | Node::Head { x, .. } => vec![*x],
            Node::Unit { x, sum: Sum::Before(other) | Sum::After(other), .. } => vec![*x, *other],
        }
    }
}
