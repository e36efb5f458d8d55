//! 3-D convolution and transposed convolution on channels-last tensors.

#[cfg(test)]
mod tests;

use crate::conv_shape::{Conv3dParams, ConvShape, Frame};
use crate::cpu;
use crate::cpu::gather::Store;
use crate::cpu::kernels::Kernels;
use crate::cpu::pad::{Image, Padded, ReadRow, Rows, copy_row};
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
    apply(Convolution::new(x.dims(), weight.dims(), params, false)?, x, weight, bias)
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
    apply(Convolution::new(x.dims(), weight.dims(), params, true)?, x, weight, bias)
}

/// Which way a convolution's geometry is run.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    /// From image to response: a convolution.
    Respond,
    /// From response to image: a transposed convolution.
    Spread,
}

/// One convolution of either direction.
#[derive(Clone, Copy)]
pub(crate) struct Convolution {
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
    /// Of an input and a weight of these shapes.
    pub(crate) fn new(x: &[usize], weight: &[usize], params: Conv3dParams, transposed: bool) -> Result<Self> {
        Ok(if transposed {
            Convolution { shape: ConvShape::of_transposed(x, weight, params)?, direction: Direction::Spread }
        } else {
            Convolution { shape: ConvShape::of_conv(x, weight, params)?, direction: Direction::Respond }
        })
    }

    pub(crate) fn label(&self) -> &'static str {
        match self.direction {
            Direction::Respond => "conv3d",
            Direction::Spread => "conv_transpose3d",
        }
    }

    pub(crate) fn output_channels(&self) -> usize {
        match self.direction {
            Direction::Respond => self.shape.co,
            Direction::Spread => self.shape.ci,
        }
    }

    pub(crate) fn output_dims(&self) -> [usize; 5] {
        match self.direction {
            Direction::Respond => self.shape.response_dims(),
            Direction::Spread => self.shape.image_dims(),
        }
    }

    /// The geometry, and whether it is run from response to image.
    pub(crate) fn geometry(&self) -> (&ConvShape, bool) {
        (&self.shape, self.direction == Direction::Spread)
    }

    /// The frame in which kernels read the input, and that of the output's gradient.
    fn frames(&self) -> [Frame; 2] {
        let (image, response) = (self.shape.image_frame(), self.shape.response_frame());
        match self.direction {
            Direction::Respond => [image, response],
            Direction::Spread => [response, image],
        }
    }

    /// The input as the kernels read it; `whole` where it lies in memory as it is.
    pub(crate) fn input<'a, S: Kernels>(
        &self,
        read: &'a ReadRow<'a, S>,
        whole: Option<&'a [S]>,
    ) -> Image<'a, S> {
        self.image(Rows { dims: self.input_dims(), read, whole }, self.frames()[0])
    }

    /// The output's gradient as the kernels read it; `whole` where it lies in memory as it is. `for_input` says whether the
    /// input's gradient will be asked for.
    pub(crate) fn output_gradient<'a, S: Kernels>(
        &self,
        read: &'a ReadRow<'a, S>,
        whole: Option<&'a [S]>,
        for_input: bool,
    ) -> Image<'a, S> {
        self.image(Rows { dims: self.output_dims(), read, whole }, self.gradient_frame(for_input))
    }

    /// The weight's gradient takes a response in any frame.
    fn gradient_frame(&self, for_input: bool) -> Frame {
        match self.direction {
            Direction::Respond if !for_input => Frame::default(),
            _ => self.frames()[1],
        }
    }

    fn image<'a, S: Kernels>(&self, rows: Rows<'a, S>, frame: Frame) -> Image<'a, S> {
        if S::reads_rows() { Image::Rows(rows) } else { Image::Framed(Padded::of(rows, frame)) }
    }

    /// The output's gradient in its frame, for kernels that do not read rows.
    pub(crate) fn framed_gradient<S: Kernels>(
        &self,
        read: &ReadRow<S>,
        for_input: bool,
    ) -> Padded<'static, S> {
        Padded::filled(self.output_dims(), self.gradient_frame(for_input), read)
    }

    /// The output of an input.
    pub(crate) fn run<S: Kernels>(
        &self,
        input: &Image<S>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [S], Store),
    ) {
        match self.direction {
            Direction::Respond => S::respond(&self.shape, input, weight, bias, to),
            Direction::Spread => S::spread(&self.shape, input, weight, bias, to),
        }
    }

    /// The gradient of the input from that of the output: the same convolution in the other direction.
    pub(crate) fn input_gradient<S: Kernels>(&self, grad: &Image<S>, weight: &[f32], to: (&mut [S], Store)) {
        match self.direction {
            Direction::Respond => S::spread(&self.shape, grad, weight, None, to),
            Direction::Spread => S::respond(&self.shape, grad, weight, None, to),
        }
    }

    /// Writes the gradient of the weight, in its own layout.
    pub(crate) fn weight_gradient<S: Kernels>(&self, input: &Image<S>, grad: &Image<S>, to: &mut [f32]) {
        match self.direction {
            Direction::Respond => S::weight_gradient(&self.shape, input, grad, to),
            Direction::Spread => S::weight_gradient(&self.shape, grad, input, to),
        }
    }

    pub(crate) fn input_dims(&self) -> [usize; 5] {
        match self.direction {
            Direction::Respond => self.shape.image_dims(),
            Direction::Spread => self.shape.response_dims(),
        }
    }

    fn forward(&self, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let read = copy_row(input, self.input_dims());
        let input = self.input(&read, Some(input));
        filled(self.output_dims().iter().product(), |y| self.run(&input, weight, bias, (y, Store::Write)))
    }

    /// Gradients of input and weight; what nobody asks for is not computed.
    fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu);
        with_slices(self.label(), [x, weight, grad], |[input, w, grad]| {
            let (read_input, read_grad) =
                (copy_row(input, self.input_dims()), copy_row(grad, self.output_dims()));
            let grad = self.output_gradient(&read_grad, Some(grad), x.track_op());
            let input_gradient =
                || filled(input.len(), |dx| self.input_gradient(&grad, w, (dx, Store::Write)));
            let input_image = self.input(&read_input, Some(input));
            let weight_gradient = || filled(w.len(), |dw| self.weight_gradient(&input_image, &grad, dw));
            let dx = x.track_op().then(|| tensor(input_gradient(), x)).transpose()?;
            let dw = weight.track_op().then(|| tensor(weight_gradient(), weight));
            Ok((dx, dw.transpose()?))
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
        let values = self.forward(slice(self.label(), x, xl)?, slice(self.label(), w, wl)?, None);
        Ok((CpuStorage::F32(values), Shape::from(&self.output_dims())))
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
        let values = self.forward(slice(label, x, xl)?, slice(label, w, wl)?, Some(slice(label, b, bl)?));
        Ok((CpuStorage::F32(values), Shape::from(&self.output_dims())))
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
