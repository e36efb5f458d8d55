//! 3-D convolution and transposed convolution on channels-last tensors.

#[cfg(test)]
mod tests;

use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::cpu;
use crate::storage::{filled, slice, with_slices};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor};

/// 3-D convolution: `y[n, o, c] = b[c] + sum over taps k and input channels i of x[n, o * stride + k - padding, i] w[c, i, k]`.
///
/// Differentiable in `x`, `weight` and `bias`.
///
/// # Shapes
/// `x` `(N, D, H, W, Ci)`, `weight` `(Co, Ci, kd, kh, kw)`, `bias` `(Co)`; returns `(N, D', H', W', Co)` with
/// `D' = (D + 2 padding - kd) / stride + 1`, rounded down.
///
/// # Errors
/// Where shapes disagree, the kernel exceeds the padded input, or a tensor is not f32.
///
/// # Example
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tandem_ops3d::{Conv3dParams, conv3d};
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::ones((1, 4, 4, 4, 1), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((1, 1, 3, 3, 3), DType::F32, &Device::Cpu)?;
/// let y = conv3d(&x, &weight, None, Conv3dParams::uniform(1, 1))?;
/// assert_eq!(y.dims(), [1, 4, 4, 4, 1]);
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?[0], 8.0); // a corner sees 2 x 2 x 2 voxels
/// # Ok(())
/// # }
/// ```
pub fn conv3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv3dParams) -> Result<Tensor> {
    let shape = ConvShape::of_conv(x.dims(), weight.dims(), params)?;
    apply(Convolution { shape, direction: Direction::Respond }, x, weight, bias)
}

/// Transposed 3-D convolution: the input gradient of [`conv3d`], as an operation of its own.
///
/// Differentiable in `x`, `weight` and `bias`.
///
/// # Shapes
/// `x` `(N, D, H, W, Ci)`, `weight` `(Ci, Co, kd, kh, kw)`, `bias` `(Co)`; returns `(N, D', H', W', Co)` with
/// `D' = (D - 1) stride - 2 padding + kd`.
///
/// # Errors
/// Where shapes disagree, the output would be empty, or a tensor is not f32.
pub fn conv_transpose3d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv3dParams,
) -> Result<Tensor> {
    let shape = ConvShape::of_transposed(x.dims(), weight.dims(), params)?;
    apply(Convolution { shape, direction: Direction::Spread }, x, weight, bias)
}

/// Which way a convolution's geometry is run.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    /// From image to response: a convolution.
    Respond,
    /// From response to image: a transposed convolution.
    Spread,
}

#[derive(Clone, Copy)]
struct Convolution {
    shape: ConvShape,
    direction: Direction,
}

fn apply(op: Convolution, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        None => x.apply_op2(&weight, op),
        Some(bias) if bias.dims() == [op.output_channels()] => x.apply_op3(&weight, &bias.contiguous()?, op),
        Some(bias) => candle_core::bail!(
            "{}: the bias has shape {:?}, the output {} channels",
            op.label(),
            bias.dims(),
            op.output_channels()
        ),
    }
}

impl Convolution {
    fn label(&self) -> &'static str {
        match self.direction {
            Direction::Respond => "conv3d",
            Direction::Spread => "conv_transpose3d",
        }
    }

    fn output_channels(&self) -> usize {
        match self.direction {
            Direction::Respond => self.shape.co,
            Direction::Spread => self.shape.ci,
        }
    }

    fn run(&self, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, [usize; 5]) {
        let shape = &self.shape;
        let dims = match self.direction {
            Direction::Respond => shape.response_dims(),
            Direction::Spread => shape.image_dims(),
        };
        let output = filled(dims.iter().product(), |output| match self.direction {
            Direction::Respond => cpu::conv::respond(shape, input, weight, bias, output),
            Direction::Spread => cpu::conv::spread(shape, input, weight, bias, output),
        });
        (output, dims)
    }

    /// Gradients of input and weight; what nobody asks for is not computed.
    fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let device = Device::Cpu;
        let back = Convolution {
            shape: self.shape,
            direction: if self.direction == Direction::Respond {
                Direction::Spread
            } else {
                Direction::Respond
            },
        };
        with_slices(self.label(), [x, weight, grad], |[x_values, w, g]| {
            let dx = if x.track_op() {
                let (values, dims) = back.run(g, w, None);
                Some(Tensor::from_vec(values, &dims, &device)?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let (image, response) =
                    if self.direction == Direction::Respond { (x_values, g) } else { (g, x_values) };
                let values = cpu::filter::weight_gradient(&self.shape, image, response);
                Some(Tensor::from_vec(values, &self.shape.weight_dims(), &device)?)
            } else {
                None
            };
            Ok((dx, dw))
        })
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        self.label()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (values, dims) = self.run(slice(self.label(), x, xl)?, slice(self.label(), w, wl)?, None);
        Ok((CpuStorage::F32(values), Shape::from(&dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, grad)
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        self.label()
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let label = self.label();
        let (values, dims) = self.run(slice(label, x, xl)?, slice(label, w, wl)?, Some(slice(label, b, bl)?));
        Ok((CpuStorage::F32(values), Shape::from(&dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, w, grad)?;
        let channels = self.output_channels();
        let db = if b.track_op() {
            let values =
                with_slices(self.label(), [grad], |[g]| Ok(cpu::filter::bias_gradient(g, channels)))?;
            Some(Tensor::from_vec(values, channels, &Device::Cpu)?)
        } else {
            None
        };
        Ok((dx, dw, db))
    }
}
