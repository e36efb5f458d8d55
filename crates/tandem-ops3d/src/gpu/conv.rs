//! Convolutions on a machine: by its library where it has one that can do them, else by the own kernels.

use super::buffer::Buffer;
use super::machine::{Argument, Geometry, Job, Kind, int};
use super::queue::Queue;
use crate::conv_shape::ConvShape;
use candle_core::Result;

/// Values that a block of the own kernels makes, and channels up to which it makes few.
const TILE: usize = 4096;
const FEW: usize = 16;
const MANY: usize = 64;

/// Blocks that keep a GPU busy: the voxels of a weight's gradient are shared out to about as many.
const BLOCKS: usize = 1024;

/// The parts of a convolution that make another one.
pub(crate) struct Operands<'a> {
    /// The image, or what makes it.
    pub(crate) from: &'a Buffer,
    /// The address of the weight `(co, ci, taps)`, f32.
    pub(crate) weight: u64,
    /// The address of the bias, f32; 0 where there is none.
    pub(crate) bias: u64,
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
        let &Operands { from, weight, bias, to, add } = operands;
        let packed = self.stored(weights(shape))?;
        self.pack("pack_filter", shape, &[Argument::Pointer(weight), (&packed).into()], None)?;
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
        if !unsafe { self.machine.convolve(&job)? } {
            return Ok(false);
        }
        if bias != 0 {
            let dims = if kind == Kind::Spread { shape.image_dims() } else { shape.response_dims() };
            let count: usize = dims.iter().product();
            let arguments = [
                to.into(),
                Argument::Pointer(bias),
                Argument::Long(count as i64),
                Argument::Int(int(dims[4])?),
            ];
            self.run_each("add_bias", count, &arguments)?;
        }
        Ok(true)
    }

    fn gather(&self, kind: Kind, shape: &ConvShape, operands: &Operands) -> Result<()> {
        let spread = kind == Kind::Spread;
        let packed = self.f32s(weights(shape))?;
        let spreads = Argument::Int(spread.into());
        self.pack("pack", shape, &[Argument::Pointer(operands.weight), (&packed).into()], Some(spreads))?;
        let [n, d, h, w, channels] = if spread { shape.image_dims() } else { shape.response_dims() };
        let columns = if channels <= FEW { FEW } else { MANY };
        let kernel = match (spread, columns) {
            (false, FEW) => "respond_16",
            (false, _) => "respond_64",
            (true, FEW) => "spread_16",
            (true, _) => "spread_64",
        };
        let grid = [(n * d * h * w).div_ceil(TILE / columns), channels.div_ceil(columns), 1];
        let arguments = [
            operands.from.into(),
            (&packed).into(),
            Argument::Pointer(operands.bias),
            operands.to.into(),
            Argument::Int(operands.add.into()),
            Argument::Geometry(Geometry::new(shape)?),
        ];
        self.run(kernel, grid, &arguments)
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
                return self.pack("unpack_filter", shape, &[(&packed).into(), Argument::Pointer(to)], None);
            }
        }
        let taps: usize = shape.kernel.iter().product();
        let entries = taps * shape.ci;
        let rows = if shape.co <= FEW { FEW } else { MANY };
        let kernel = if rows == FEW { "filter_16" } else { "filter_64" };
        let tiles = entries.div_ceil(TILE / rows) * shape.co.div_ceil(rows);
        let voxels: usize = shape.response_dims()[..4].iter().product();
        let shares = (BLOCKS / tiles.max(1)).clamp(1, voxels.div_ceil(MANY).max(1));
        let partials = self.f32s(shares * weights(shape))?;
        let grid = [entries.div_ceil(TILE / rows), shape.co.div_ceil(rows), shares];
        let geometry = Argument::Geometry(Geometry::new(shape)?);
        self.run(kernel, grid, &[image.into(), response.into(), (&partials).into(), geometry])?;
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
