//! Shapes of convolutions: the one place that knows how they relate.

use candle_core::{Result, bail};

/// Stride and zero padding of a convolution, along D, H and W.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv3dParams {
    /// Distance of neighbouring windows, in voxels.
    pub stride: [usize; 3],
    /// Zeros on both sides of each axis.
    pub padding: [usize; 3],
}

impl Conv3dParams {
    /// The same stride and padding along each axis.
    pub fn uniform(stride: usize, padding: usize) -> Self {
        Conv3dParams { stride: [stride; 3], padding: [padding; 3] }
    }
}

/// A convolution's complete geometry: an image `(n, d, h, w, ci)` and its response `(n, d', h', w', co)`.
///
/// A transposed convolution is the same geometry run from the response to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConvShape {
    pub(crate) batch: usize,
    /// Sides of the image.
    pub(crate) image: [usize; 3],
    /// Sides of the response.
    pub(crate) response: [usize; 3],
    pub(crate) kernel: [usize; 3],
    pub(crate) params: Conv3dParams,
    /// Channels of the image.
    pub(crate) ci: usize,
    /// Channels of the response.
    pub(crate) co: usize,
}

impl ConvShape {
    /// From the shapes of an input `(N, D, H, W, Ci)` and a weight `(Co, Ci, kd, kh, kw)`.
    pub(crate) fn of_conv(input: &[usize], weight: &[usize], params: Conv3dParams) -> Result<Self> {
        let (&[batch, d, h, w, channels], &[co, ci, kd, kh, kw]) = (input, weight) else {
            bail!(
                "conv3d takes an input (N, D, H, W, C) and a weight (Co, Ci, kd, kh, kw), got {input:?} and {weight:?}"
            )
        };
        if channels != ci {
            bail!("conv3d: the input has {channels} channels, the weight {weight:?} takes {ci}")
        }
        let (image, kernel) = ([d, h, w], [kd, kh, kw]);
        check("conv3d", kernel, params)?;
        let mut response = [0; 3];
        for axis in 0..3 {
            let padded = image[axis] + 2 * params.padding[axis];
            if padded < kernel[axis] {
                bail!(
                    "conv3d: axis {axis} is {padded} voxels with padding, less than the kernel's {}",
                    kernel[axis]
                )
            }
            response[axis] = (padded - kernel[axis]) / params.stride[axis] + 1;
        }
        Ok(ConvShape { batch, image, response, kernel, params, ci, co })
    }

    /// From the shapes of a transposed convolution's input `(N, D, H, W, Cin)` and weight `(Cin, Cout, kd, kh, kw)`:
    /// its input is the response, its output the image.
    pub(crate) fn of_transposed(input: &[usize], weight: &[usize], params: Conv3dParams) -> Result<Self> {
        let (&[batch, d, h, w, channels], &[co, ci, kd, kh, kw]) = (input, weight) else {
            bail!(
                "conv_transpose3d takes an input (N, D, H, W, C) and a weight (Ci, Co, kd, kh, kw), got {input:?} and {weight:?}"
            )
        };
        if channels != co {
            bail!("conv_transpose3d: the input has {channels} channels, the weight {weight:?} takes {co}")
        }
        let (response, kernel) = ([d, h, w], [kd, kh, kw]);
        check("conv_transpose3d", kernel, params)?;
        let mut image = [0; 3];
        for axis in 0..3 {
            let full = response[axis].saturating_sub(1) * params.stride[axis] + kernel[axis];
            if response[axis] == 0 || full <= 2 * params.padding[axis] {
                bail!(
                    "conv_transpose3d: axis {axis} of the output would be empty for input {input:?} and {params:?}"
                )
            }
            image[axis] = full - 2 * params.padding[axis];
        }
        Ok(ConvShape { batch, image, response, kernel, params, ci, co })
    }

    /// The first image voxel that a voxel of the response reads along each axis; it may lie in the padding.
    pub(crate) fn first_read(&self, voxel: [isize; 3]) -> [isize; 3] {
        let Conv3dParams { stride, padding } = self.params;
        [0, 1, 2].map(|axis| voxel[axis] * stride[axis] as isize - padding[axis] as isize)
    }

    /// The zeros that a response reads around its image.
    pub(crate) fn image_frame(&self) -> Frame {
        Frame { before: self.params.padding, after: self.params.padding }
    }

    /// The zeros that an image reads around the response that spreads into it.
    pub(crate) fn response_frame(&self) -> Frame {
        let axes = [0, 1, 2].map(|axis| self.spread_axis(axis));
        Frame {
            before: axes.each_ref().map(|axis| axis.before),
            after: axes.each_ref().map(|axis| axis.after),
        }
    }

    /// How one axis of a response spreads into its image: image voxels fall into classes by their position modulo the stride; the
    /// voxels of one class see the same taps.
    pub(crate) fn spread_axis(&self, axis: usize) -> SpreadAxis {
        let (stride, padding) = (self.params.stride[axis], self.params.padding[axis]);
        let (kernel, image) = (self.kernel[axis], self.image[axis]);
        let (mut before, mut after) = (0, 0);
        let classes: Vec<SpreadClass> = (0..stride)
            .map(|residue| {
                let first_q = padding.saturating_sub(residue).div_ceil(stride);
                let end_q = (image + padding).saturating_sub(residue).div_ceil(stride).max(first_q);
                let taps = kernel.saturating_sub(residue).div_ceil(stride);
                if taps > 0 && end_q > first_q {
                    before = before.max((taps - 1).saturating_sub(first_q));
                    after = after.max(end_q.saturating_sub(self.response[axis]));
                }
                SpreadClass {
                    residue,
                    taps,
                    count: end_q - first_q,
                    first_image: (stride * first_q + residue).saturating_sub(padding),
                    first_q,
                }
            })
            .collect();
        SpreadAxis { classes, before, after }
    }

    pub(crate) fn image_dims(&self) -> [usize; 5] {
        let [d, h, w] = self.image;
        [self.batch, d, h, w, self.ci]
    }

    pub(crate) fn response_dims(&self) -> [usize; 5] {
        let [d, h, w] = self.response;
        [self.batch, d, h, w, self.co]
    }

    #[cfg(test)]
    pub(crate) fn weight_dims(&self) -> [usize; 5] {
        let [kd, kh, kw] = self.kernel;
        [self.co, self.ci, kd, kh, kw]
    }
}

/// Zeros around an image, along D, H and W.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) before: [usize; 3],
    pub(crate) after: [usize; 3],
}

/// How one axis of a response spreads.
pub(crate) struct SpreadAxis {
    pub(crate) classes: Vec<SpreadClass>,
    /// Zeros that the response needs on either side.
    pub(crate) before: usize,
    pub(crate) after: usize,
}

/// The image voxels `stride * q + residue - padding`.
pub(crate) struct SpreadClass {
    pub(crate) residue: usize,
    /// Taps that reach them: `residue`, `residue + stride`, ... The first of the voxels receives from the response voxels
    /// `first_q + 1 - taps ..= first_q`.
    pub(crate) taps: usize,
    /// How many such voxels the image has, and the first of them.
    pub(crate) count: usize,
    pub(crate) first_image: usize,
    pub(crate) first_q: usize,
}

fn check(name: &str, kernel: [usize; 3], params: Conv3dParams) -> Result<()> {
    if kernel.contains(&0) || params.stride.contains(&0) {
        bail!("{name}: kernel {kernel:?} and stride {:?} must be at least 1", params.stride)
    }
    Ok(())
}
