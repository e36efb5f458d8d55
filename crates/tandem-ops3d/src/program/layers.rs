//! The convolutions of a program by themselves: their shapes, and runs of one layer alone for whoever times it.

use super::backward::head_gradients;
use super::forward::{convolution, convolve, run_head};
use super::tape::{Kept, Tape};
use super::{ConvLayer, Node, Precision, Program};
use crate::Conv3dParams;
use crate::conv::Convolution;
use crate::cpu::gather::Store;
use crate::cpu::head::Head;
use crate::cpu::kernels::Kernels;
use crate::cpu::pad::copy_row;
use crate::cpu::scratch::Scratch;
use candle_core::Result;
use half::bf16;
use tandem_random::Draws;

/// What a convolution's cost depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// `(N, D, H, W, C)` of what it reads.
    pub input: [usize; 5],
    /// Channels it makes.
    pub to: usize,
    /// Side of its kernel.
    pub kernel: usize,
    /// Stride and padding.
    pub params: Conv3dParams,
    /// Whether it is a transposed convolution.
    pub transposed: bool,
    /// Whether it is a head: its output is f32 and channels-first.
    pub head: bool,
    /// Whether training needs the gradient of its input. That of the image is not needed.
    pub input_gradient: bool,
}

impl LayerShape {
    /// Floating-point operations of a forward pass: two a product.
    ///
    /// # Errors
    /// Where the kernel exceeds the padded input.
    pub fn forward_flop(&self) -> Result<u64> {
        let voxels = |[n, d, h, w, _]: [usize; 5]| n * d * h * w;
        // Each input voxel of a transposed convolution meets the whole kernel, as each output voxel of a plain one does.
        let met = if self.transposed { self.input } else { self.geometry()?.output_dims() };
        Ok(2 * (voxels(met) * self.input[4] * self.to * self.kernel.pow(3)) as u64)
    }

    /// Floating-point operations of a forward and a backward pass.
    ///
    /// # Errors
    /// As [`Self::forward_flop`].
    pub fn training_flop(&self) -> Result<u64> {
        Ok(self.forward_flop()? * if self.input_gradient { 3 } else { 2 })
    }

    fn geometry(&self) -> Result<Convolution> {
        convolution(&self.layer(), self.input)
    }

    /// The layer with its weights alone in the vector of weights.
    fn layer(&self) -> ConvLayer {
        ConvLayer {
            weight: 0..self.input[4] * self.to * self.kernel.pow(3),
            bias: None,
            from: self.input[4],
            to: self.to,
            kernel: self.kernel,
            params: self.params,
            transposed: self.transposed,
        }
    }
}

impl Program {
    /// Its convolutions in the order in which they run, for an image `(N, C, D, H, W)`.
    ///
    /// # Errors
    /// Where a kernel exceeds its padded input.
    pub fn layers(&self, image: [usize; 5]) -> Result<Vec<LayerShape>> {
        let dims = self.dims(image)?;
        let layer = |node: &Node| match node {
            Node::Input | Node::Dropout { .. } | Node::Double { .. } => None,
            Node::Unit { x, conv, .. } => Some(LayerShape {
                input: dims[x.0],
                to: conv.to,
                kernel: conv.kernel,
                params: conv.params,
                transposed: conv.transposed,
                head: false,
                input_gradient: x.0 > 0,
            }),
            Node::Head { x, bias, .. } => Some(LayerShape {
                input: dims[x.0],
                to: bias.len(),
                kernel: 1,
                params: Conv3dParams::uniform(1, 0),
                transposed: false,
                head: true,
                input_gradient: true,
            }),
        };
        Ok(self.nodes.iter().filter_map(layer).collect())
    }

    /// `(n, d, h, w, c)` of every value, for an image `(N, C, D, H, W)`.
    ///
    /// # Errors
    /// Where a kernel exceeds its padded input.
    pub(super) fn dims(&self, [n, c, d, h, w]: [usize; 5]) -> Result<Vec<[usize; 5]>> {
        let mut dims: Vec<[usize; 5]> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            dims.push(match node {
                Node::Input => [n, d, h, w, c],
                Node::Unit { x, conv, .. } => convolution(conv, dims[x.0])?.output_dims(),
                Node::Dropout { x, .. } => dims[x.0],
                Node::Double { x, .. } => {
                    let [n, d, h, w, c] = dims[x.0];
                    [n, 2 * d, 2 * h, 2 * w, c]
                }
                Node::Head { x, bias, .. } => {
                    let [n, d, h, w, _] = dims[x.0];
                    [n, d, h, w, bias.len()]
                }
            });
        }
        Ok(dims)
    }
}

/// One layer on a random image, run by the code that runs it in a network, normalisation apart.
///
/// The bias is left out: its gradient comes with the normalisation's.
pub struct LayerTrial(Stored);

enum Stored {
    F32(Trial<f32>),
    Bf16(Trial<bf16>),
}

struct Trial<S: Kernels> {
    shape: LayerShape,
    geometry: Convolution,
    /// The image alone.
    tape: Tape<S>,
    weights: Vec<f32>,
    /// The gradient of what the layer makes; of a head, f32 and channels-first.
    gradient: Scratch<S>,
    logits_gradient: Vec<f32>,
}

impl LayerTrial {
    /// Draws image, weights and gradient.
    ///
    /// # Errors
    /// Where the kernel exceeds the padded input.
    pub fn new(shape: LayerShape, precision: Precision) -> Result<Self> {
        Ok(LayerTrial(match precision {
            Precision::F32 => Stored::F32(Trial::new(shape)?),
            Precision::Bf16 => Stored::Bf16(Trial::new(shape)?),
        }))
    }

    /// The forward pass; returns a value of the output.
    pub fn forward(&self) -> f32 {
        match &self.0 {
            Stored::F32(trial) => trial.forward(),
            Stored::Bf16(trial) => trial.forward(),
        }
    }

    /// The gradients of weight and, where it is needed, input; returns a value of the former.
    pub fn backward(&self) -> f32 {
        match &self.0 {
            Stored::F32(trial) => trial.backward(),
            Stored::Bf16(trial) => trial.backward(),
        }
    }
}

impl<S: Kernels> Trial<S> {
    fn new(shape: LayerShape) -> Result<Self> {
        let geometry = shape.geometry()?;
        let mut draws = Draws::new(1, "layer trial", 0, 0);
        let mut stored = |dims: [usize; 5]| {
            let mut values = Scratch::<S>::take(dims.iter().product());
            values.fill_with(|| S::from_f32(draws.normal() as f32));
            values
        };
        let image = stored(shape.input);
        let gradient = stored(geometry.output_dims());
        let logits_gradient = gradient.iter().map(|value| value.to_f32()).collect();
        let weights = shape.layer().weight.map(|_| 0.1 * draws.normal() as f32).collect();
        let tape = Tape { dims: vec![shape.input], kept: vec![Kept::Image(image)] };
        Ok(Trial { shape, geometry, tape, weights, gradient, logits_gradient })
    }

    fn forward(&self) -> f32 {
        if self.shape.head {
            run_head(&self.tape, 0, self.head(&vec![0.0; self.shape.to]))[0]
        } else {
            convolve(&self.tape, 0, &self.geometry, &self.shape.layer(), &self.weights)[0].to_f32()
        }
    }

    fn backward(&self) -> f32 {
        if self.shape.head {
            let bias = vec![0.0; self.shape.to];
            let (_, sums) = head_gradients(&self.tape, 0, self.head(&bias), &self.logits_gradient);
            return sums[0][0][0];
        }
        let read_gradient = copy_row(&self.gradient, self.geometry.output_dims());
        let gradient = self.geometry.output_gradient(
            &read_gradient,
            Some(&self.gradient[..]),
            self.shape.input_gradient,
        );
        if self.shape.input_gradient {
            let mut to = Scratch::take(self.shape.input.iter().product());
            self.geometry.input_gradient(&gradient, &self.weights, (&mut to, Store::Write));
        }
        let read = |row: usize, to: &mut [S]| self.tape.read_row(0, row, to);
        let input = self.geometry.input(&read, self.tape.whole(0));
        let mut to = Scratch::take(self.weights.len());
        self.geometry.weight_gradient(&input, &gradient, &mut to);
        to[0]
    }

    fn head<'a>(&'a self, bias: &'a [f32]) -> Head<'a> {
        Head { weight: &self.weights, bias }
    }
}

#[cfg(test)]
mod tests;
