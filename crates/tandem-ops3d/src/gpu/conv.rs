//! Convolutions on a machine: by its library where it has one that can do them, else by the own kernels.

use super::buffer::Buffer;
use super::machine::{Argument, Geometry, Job, Kind, int};
use super::queue::Queue;
use crate::conv_shape::ConvShape;
use candle_core::Result;

/// A form of an own kernel: channels that a block makes, and the voxels (or a weight's entries) that it makes of them.
type Form = (usize, usize, &'static str);

/// Narrow to wide: the first that has all channels is taken, or the last for several blocks.
const GATHER: [Form; 3] = [(16, 256, "gather_16"), (32, 256, "gather_32"), (64, 128, "gather_64")];
const FILTER: [Form; 3] = [(16, 256, "filter_16"), (32, 256, "filter_32"), (64, 128, "filter_64")];

fn form_for(forms: [Form; 3], channels: usize) -> Form {
    forms.into_iter().find(|(made, ..)| *made >= channels).unwrap_or(forms[2])
}

/// Voxels that a share of a weight's gradient has at least.
const SHARE: usize = 64;

/// Blocks that keep a GPU busy: the voxels of a weight's gradient are shared out to about as many.
const BLOCKS: usize = 1024;

/// The parts of a convolution that make another one.
pub(crate) struct Operands<'a> {
    /// The image, or what makes it.
    pub(crate) from: &'a Buffer,
    /// The address of the weight `(co, ci, taps)`, f32.
    pub(crate) weight: u64,
    pub(crate) to: &'a Buffer,
    /// Whether the result is added to what is there.
    pub(crate) add: bool,
}

impl Queue {
    /// The response of an image, or the image that a response spreads into.
    pub(crate) fn convolve(&self, kind: Kind, shape: &ConvShape, operands: &Operands) -> Result<()> {
        if !self.by_library(kind, shape, operands)? {
            self.gather(kind, shape, operands)?;
        }
        Ok(())
    }

    fn by_library(&self, kind: Kind, shape: &ConvShape, operands: &Operands) -> Result<bool> {
        if !self.machine.convolves() {
            return Ok(false);
        }
        let &Operands { from, weight, to, add } = operands;
        let packed = self.packed(shape, weight, false)?;
        let (image, response) = if kind == Kind::Spread { (to, from) } else { (from, to) };
        let job = Job {
            kind,
            shape: *shape,
            precision: self.precision,
            add,
            image: image.address(),
            response: response.address(),
            weight: packed.address(),
        };
        // SAFETY: the buffers are those of this shape.
        unsafe { self.machine.convolve(&job) }
    }

    fn gather(&self, kind: Kind, shape: &ConvShape, operands: &Operands) -> Result<()> {
        let spread = kind == Kind::Spread;
        let packed = self.packed(shape, operands.weight, spread)?;
        let ([n, sides @ .., channels], read) =
            if spread { (shape.image_dims(), shape.co) } else { (shape.response_dims(), shape.ci) };
        // Voxels of an image that meet the same taps are a class, the first of which has the most voxels.
        let stride = if spread { shape.params.stride } else { [1; 3] };
        let of_class: usize = sides.iter().zip(stride).map(|(side, stride)| side.div_ceil(stride)).product();
        let (columns, rows, kernel) = form_for(GATHER, channels);
        let classes = stride.iter().product();
        let grid = [(n * of_class).div_ceil(rows), channels.div_ceil(columns), classes];
        let arguments = [
            operands.from.into(),
            (&packed).into(),
            operands.to.into(),
            Argument::Int(operands.add.into()),
            Argument::Int(spread.into()),
            self.lies_in_pieces(&[read]),
            Argument::Geometry(Geometry::new(shape)?),
        ];
        self.run(kernel, grid, &arguments)
    }

    /// A weight as convolutions read it, `(co, taps, ci)`, or to spread `(ci, taps, co)`; the address is that of `(co, ci, taps)`, f32.
    fn packed(&self, shape: &ConvShape, weight: u64, spread: bool) -> Result<Buffer> {
        let packed = self.stored(weights(shape))?;
        let spread = Argument::Int(spread.into());
        self.pack("pack", shape, &[Argument::Pointer(weight), (&packed).into()], Some(spread))?;
        Ok(packed)
    }

    /// Whether all these channels can be moved sixteen bytes at once.
    fn lies_in_pieces(&self, channels: &[usize]) -> Argument {
        Argument::Int(channels.iter().all(|channels| channels.is_multiple_of(self.width())).into())
    }

    /// Writes the gradient of the weight, `(co, ci, taps)`, to an address.
    pub(crate) fn filter(&self, shape: &ConvShape, image: &Buffer, response: &Buffer, to: u64) -> Result<()> {
        if self.machine.convolves() {
            let packed = self.stored(weights(shape))?;
            let job = Job {
                kind: Kind::Filter,
                shape: *shape,
                precision: self.precision,
                add: false,
                image: image.address(),
                response: response.address(),
                weight: packed.address(),
            };
            // SAFETY: the buffers are those of this shape.
            if unsafe { self.machine.convolve(&job)? } {
                return self.pack("unpack", shape, &[(&packed).into(), Argument::Pointer(to)], None);
            }
        }
        let entries = shape.kernel.iter().product::<usize>() * shape.ci;
        let (rows, columns, kernel) = form_for(FILTER, shape.co);
        let [across, down] = [entries.div_ceil(columns), shape.co.div_ceil(rows)];
        let voxels: usize = shape.response_dims()[..4].iter().product();
        let shares = (BLOCKS / (across * down).max(1)).clamp(1, voxels.div_ceil(SHARE).max(1));
        let partials = self.f32s(shares * weights(shape))?;
        let arguments = [
            image.into(),
            response.into(),
            (&partials).into(),
            self.lies_in_pieces(&[shape.ci, shape.co]),
            Argument::Geometry(Geometry::new(shape)?),
        ];
        self.run(kernel, [across, down, shares], &arguments)?;
        let shares = Argument::Int(int(shares)?);
        self.pack("sum_filters", shape, &[(&partials).into(), shares, Argument::Pointer(to)], None)
    }

    /// Runs a kernel whose last arguments are a weight's sizes and, where there is one, another.
    fn pack(
        &self,
        kernel: &'static str,
        shape: &ConvShape,
        first: &[Argument],
        last: Option<Argument>,
    ) -> Result<()> {
        let taps = shape.kernel.iter().product();
        let sizes = [Argument::Int(int(shape.co)?), Argument::Int(int(shape.ci)?), Argument::Int(int(taps)?)];
        let arguments: Vec<Argument> = first.iter().copied().chain(sizes).chain(last).collect();
        self.run_each(kernel, weights(shape), &arguments)
    }
}

/// Values of a weight.
fn weights(shape: &ConvShape) -> usize {
    shape.co * shape.ci * shape.kernel.iter().product::<usize>()
}
