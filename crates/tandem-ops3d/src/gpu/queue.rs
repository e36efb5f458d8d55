//! The kernels as functions of buffers.

mod features;
mod scores;
mod voxels;
mod weights;
mod windows;

pub(crate) use scores::Part;

use super::buffer::Buffer;
use super::machine::{Argument, Launch, Machine, THREADS, int};
use crate::program::Precision;
use crate::resize::Resampling;
use candle_core::Result;
use std::sync::Arc;

/// The kernels of one precision on a machine. They run in the order in which they are called.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) precision: Precision,
}

/// A normalisation on the machine.
pub(crate) struct Norm {
    /// Mean, scale and shift of all channels, f32.
    pub(crate) map: Buffer,
    /// Mean and 1 / SD of all channels, f64.
    kept: Buffer,
    pub(crate) relu: bool,
    of_batch: bool,
}

/// Where a normalisation's parameters lie: addresses of f32 values of all channels.
pub(crate) struct NormParameters {
    /// What the convolution before it left out, for it moves the mean alone; 0 where there is none.
    pub(crate) bias: u64,
    pub(crate) gamma: u64,
    pub(crate) beta: u64,
    pub(crate) running_mean: u64,
    pub(crate) running_variance: u64,
    pub(crate) momentum: f64,
    pub(crate) eps: f64,
}

/// Where the gradients of a normalisation go: addresses of f32 values of all channels; 0 where there is no bias before it.
pub(crate) struct NormGradients {
    pub(crate) gamma: u64,
    pub(crate) beta: u64,
    pub(crate) bias: u64,
}

/// What a layer does to a normalised convolution.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rest<'a> {
    pub(crate) added: Option<&'a Buffer>,
    pub(crate) relu_of_sum: bool,
}

/// A [`Resampling`] on the machine.
pub(crate) struct Tables {
    from: [usize; 3],
    to: [usize; 3],
    starts: Buffer,
    sources: Buffer,
    weights: Buffer,
}

fn pointer(buffer: Option<&Buffer>) -> Argument {
    Argument::Pointer(buffer.map_or(0, Buffer::address))
}

impl From<&Buffer> for Argument {
    fn from(buffer: &Buffer) -> Self {
        Argument::Pointer(buffer.address())
    }
}

fn long(value: usize) -> Argument {
    Argument::Long(value as i64)
}

/// Blocks whose threads have an element each.
fn each(count: usize) -> [usize; 3] {
    [count.div_ceil(THREADS), 1, 1]
}

/// Blocks that sum voxels: by shape alone, so that the bits are the same on every machine.
fn summing(voxels: usize, channels: usize) -> usize {
    let at_once = (THREADS / channels.clamp(1, THREADS)).max(1);
    (voxels / (16 * at_once)).clamp(1, 512)
}

/// Both sums of all blocks, added in an order that the shape gives.
fn total(of_blocks: &[f64]) -> [f64; 2] {
    of_blocks.chunks_exact(2).fold([0.0; 2], |sum, block| [sum[0] + block[0], sum[1] + block[1]])
}

fn voxels([n, d, h, w, _]: [usize; 5]) -> usize {
    n * d * h * w
}

impl Queue {
    /// The same kernels for f32 values: logits and weights are that whatever activations are stored as.
    pub(crate) fn in_f32(&self) -> Self {
        Queue { machine: self.machine.clone(), precision: Precision::F32 }
    }

    pub(super) fn run(&self, kernel: &'static str, grid: [usize; 3], arguments: &[Argument]) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let launch = Launch { kernel, precision: self.precision, grid, arguments };
        // SAFETY: the functions below and those of convolutions are the only callers; each passes what its kernel takes, on buffers
        // of the sizes that it was given. The emulator's tests check both.
        unsafe { self.machine.launch(&launch) }
    }

    /// Runs a kernel that gives each of so many elements a thread.
    pub(super) fn run_each(&self, kernel: &'static str, count: usize, arguments: &[Argument]) -> Result<()> {
        self.run(kernel, each(count), arguments)
    }

    /// Runs the narrow form of a kernel, or its wide one where images of so many channels allow it; each thread has some
    /// neighbouring values of `count`.
    fn run_values(
        &self,
        forms: [&'static str; 2],
        count: usize,
        channels: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        let (kernel, width) = self.form(forms, channels);
        self.run(kernel, each(count / width), arguments)
    }

    /// The form of a kernel for so many channels, and how many of them a thread has: sixteen bytes, as `stored.cu` has it.
    fn form(&self, [narrow, wide]: [&'static str; 2], channels: usize) -> (&'static str, usize) {
        let width = self.width();
        if channels.is_multiple_of(width) { (wide, width) } else { (narrow, 1) }
    }

    /// Stored values that are moved at once, sixteen bytes.
    pub(super) fn width(&self) -> usize {
        16 / self.size()
    }

    /// Bytes of a stored value.
    fn size(&self) -> usize {
        match self.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        }
    }

    /// Room for stored values.
    pub(crate) fn stored(&self, len: usize) -> Result<Buffer> {
        Buffer::new(&self.machine, len * self.size())
    }

    /// Room for f32 values.
    pub(crate) fn f32s(&self, len: usize) -> Result<Buffer> {
        Buffer::new(&self.machine, len * size_of::<f32>())
    }

    fn f64s(&self, len: usize) -> Result<Buffer> {
        Buffer::new(&self.machine, len * size_of::<f64>())
    }

    /// A copy of values on the host.
    pub(crate) fn copy(&self, values: &[f32]) -> Result<Buffer> {
        Buffer::of(&self.machine, values)
    }

    /// An image `(n, c, d, h, w)` of the host as it is stored here, `(n, d, h, w, c)`.
    pub(crate) fn enter(&self, planes: &[f32], dims: [usize; 5]) -> Result<Buffer> {
        let to = self.stored(planes.len())?;
        self.enter_into(planes, dims, &to, false)?;
        Ok(to)
    }

    /// The same into a buffer, or added to what it holds.
    pub(crate) fn enter_into(&self, planes: &[f32], dims: [usize; 5], to: &Buffer, add: bool) -> Result<()> {
        self.arrange(&self.copy(planes)?, dims, to, add)
    }

    /// As [`Self::enter`], of planes that are on the machine.
    pub(crate) fn enter_copy(&self, planes: &Buffer, dims: [usize; 5]) -> Result<Buffer> {
        let to = self.stored(dims.iter().product())?;
        self.arrange(planes, dims, &to, false)?;
        Ok(to)
    }

    fn arrange(&self, planes: &Buffer, [n, d, h, w, c]: [usize; 5], to: &Buffer, add: bool) -> Result<()> {
        let count = n * d * h * w * c;
        let arguments = [
            planes.into(),
            to.into(),
            Argument::Int(add.into()),
            long(count),
            Argument::Int(int(c)?),
            long(d * h * w),
        ];
        self.run_each("enter", count, &arguments)
    }

    /// The way back.
    pub(crate) fn leave(&self, x: &Buffer, [n, d, h, w, c]: [usize; 5]) -> Result<Vec<f32>> {
        let count = n * d * h * w * c;
        let wide = self.f32s(count)?;
        let arguments = [x.into(), (&wide).into(), long(count), Argument::Int(int(c)?), long(d * h * w)];
        self.run_each("leave", count, &arguments)?;
        wide.values(count)
    }

    /// The normalisation of an image by its own statistics, which move the running ones, or by these.
    pub(crate) fn norm(
        &self,
        x: &Buffer,
        dims: [usize; 5],
        parameters: &NormParameters,
        (of_batch, relu): (bool, bool),
    ) -> Result<Norm> {
        let (count, channels) = (voxels(dims), dims[4]);
        let blocks = if of_batch { summing(count, channels) } else { 0 };
        let partials = self.f64s(2 * blocks * channels)?;
        if of_batch {
            let arguments = [x.into(), (&partials).into(), long(count), Argument::Int(int(channels)?)];
            let (kernel, _) = self.form(["moments", "moments_wide"], channels);
            self.run(kernel, [blocks, 1, 1], &arguments)?;
        }
        let norm = Norm { map: self.f32s(3 * channels)?, kept: self.f64s(2 * channels)?, relu, of_batch };
        let &NormParameters { bias, gamma, beta, running_mean, running_variance, momentum, eps } = parameters;
        let arguments = [
            (&partials).into(),
            Argument::Int(int(blocks)?),
            long(count),
            Argument::Int(int(channels)?),
            Argument::Pointer(bias),
            Argument::Pointer(gamma),
            Argument::Pointer(beta),
            Argument::Pointer(running_mean),
            Argument::Pointer(running_variance),
            Argument::Double(momentum),
            Argument::Double(eps),
            Argument::Int(of_batch.into()),
            (&norm.map).into(),
            (&norm.kept).into(),
        ];
        self.run("normalise", [channels, 1, 1], &arguments)?;
        Ok(norm)
    }

    /// A normalised image and the rest of its layer.
    pub(crate) fn activate(
        &self,
        middle: &Buffer,
        dims: [usize; 5],
        norm: &Norm,
        rest: Rest,
    ) -> Result<Buffer> {
        let (count, channels) = (dims.iter().product::<usize>(), dims[4]);
        let to = self.stored(count)?;
        let arguments = [
            middle.into(),
            (&norm.map).into(),
            Argument::Int(norm.relu.into()),
            pointer(rest.added),
            Argument::Int(rest.relu_of_sum.into()),
            (&to).into(),
            long(count),
            Argument::Int(int(channels)?),
        ];
        self.run_values(["activate", "activate_wide"], count, channels, &arguments)?;
        Ok(to)
    }

    /// The gradient of a normalisation's input from that of what its activation makes, and those of its parameters.
    pub(crate) fn norm_backward(
        &self,
        (middle, grad): (&Buffer, &Buffer),
        dims: [usize; 5],
        (norm, gamma): (&Norm, u64),
        to: &NormGradients,
    ) -> Result<Buffer> {
        let (count, channels) = (voxels(dims), dims[4]);
        let blocks = summing(count, channels);
        let partials = self.f64s(2 * blocks * channels)?;
        let (relu, width) = (Argument::Int(norm.relu.into()), Argument::Int(int(channels)?));
        let arguments =
            [middle.into(), grad.into(), (&norm.map).into(), relu, (&partials).into(), long(count), width];
        let (kernel, _) = self.form(["gradient_sums", "gradient_sums_wide"], channels);
        self.run(kernel, [blocks, 1, 1], &arguments)?;
        let gradient = self.f32s(3 * channels)?;
        let arguments = [
            (&partials).into(),
            Argument::Int(int(blocks)?),
            long(count),
            width,
            Argument::Pointer(gamma),
            (&norm.kept).into(),
            Argument::Int(norm.of_batch.into()),
            Argument::Pointer(to.gamma),
            Argument::Pointer(to.beta),
            Argument::Pointer(to.bias),
            (&gradient).into(),
        ];
        self.run("normalise_backward", [channels, 1, 1], &arguments)?;
        let dx = self.stored(count * channels)?;
        let arguments = [
            middle.into(),
            grad.into(),
            (&norm.map).into(),
            (&gradient).into(),
            relu,
            (&dx).into(),
            long(count * channels),
            width,
        ];
        let forms = ["activate_backward", "activate_backward_wide"];
        self.run_values(forms, count * channels, channels, &arguments)?;
        Ok(dx)
    }

    /// An image whose channels are multiplied by a factor each, image by image.
    pub(crate) fn scale(&self, x: &Buffer, dims: [usize; 5], factors: &Buffer) -> Result<Buffer> {
        let count = dims.iter().product();
        let to = self.stored(count)?;
        let arguments = [
            x.into(),
            factors.into(),
            (&to).into(),
            long(count),
            Argument::Int(int(dims[4])?),
            long(dims[1..].iter().product()),
        ];
        self.run_values(["scale", "scale_wide"], count, dims[4], &arguments)?;
        Ok(to)
    }

    /// Clears a gradient where the output of a ReLU is not positive.
    pub(crate) fn close(&self, y: &Buffer, grad: &Buffer, count: usize) -> Result<()> {
        let forms = ["close_gradient", "close_gradient_wide"];
        self.run_values(forms, count, count, &[y.into(), grad.into(), long(count)])
    }

    /// `y + x` into `y`.
    pub(crate) fn add(&self, x: &Buffer, y: &Buffer, count: usize) -> Result<()> {
        self.run_values(["add", "add_wide"], count, count, &[x.into(), y.into(), long(count)])
    }

    /// What a head makes: planes `(n, k, d, h, w)`.
    pub(crate) fn head(
        &self,
        x: &Buffer,
        dims: [usize; 5],
        [weight, bias]: [u64; 2],
        classes: usize,
    ) -> Result<Buffer> {
        let count = voxels(dims);
        let logits = self.f32s(count * classes)?;
        let arguments = [
            x.into(),
            Argument::Pointer(weight),
            Argument::Pointer(bias),
            (&logits).into(),
            long(count),
            long(dims[1..4].iter().product()),
            Argument::Int(int(dims[4])?),
            Argument::Int(int(classes)?),
        ];
        self.run_each("head", count, &arguments)?;
        Ok(logits)
    }

    /// The gradient of a head's input from that of its logits; those of weight and bias go to these addresses.
    pub(crate) fn head_backward(
        &self,
        x: &Buffer,
        dims: [usize; 5],
        grad: &Buffer,
        weight: u64,
        classes: usize,
        to: [u64; 2],
    ) -> Result<Buffer> {
        let (count, channels) = (voxels(dims), dims[4]);
        let dx = self.stored(count * channels)?;
        let (plane, width) = (long(dims[1..4].iter().product()), Argument::Int(int(channels)?));
        let kinds = Argument::Int(int(classes)?);
        let arguments = [
            grad.into(),
            Argument::Pointer(weight),
            (&dx).into(),
            long(count * channels),
            plane,
            width,
            kinds,
        ];
        let forms = ["head_backward", "head_backward_wide"];
        self.run_values(forms, count * channels, channels, &arguments)?;
        let blocks = summing(count, channels);
        let partials = self.f64s(2 * blocks * channels)?;
        for class in 0..classes {
            let sums = Argument::from(&partials);
            let arguments =
                [x.into(), grad.into(), sums, long(count), plane, width, kinds, Argument::Int(int(class)?)];
            let (kernel, _) = self.form(["head_sums", "head_sums_wide"], channels);
            self.run(kernel, [blocks, 1, 1], &arguments)?;
            let [weight, bias] = [to[0] + 4 * (class * channels) as u64, to[1] + 4 * class as u64];
            let arguments = [
                sums,
                Argument::Int(int(blocks)?),
                width,
                Argument::Pointer(weight),
                Argument::Pointer(bias),
            ];
            self.run("head_gradients", [channels, 1, 1], &arguments)?;
        }
        Ok(dx)
    }

    /// A resampling as kernels read it.
    pub(crate) fn tables(&self, map: &Resampling) -> Result<Tables> {
        let (mut starts, mut sources, mut weights) = (vec![], vec![], vec![]);
        for axis in map.axes() {
            for taps in axis {
                starts.push(int(sources.len())?);
                for (source, weight) in taps {
                    sources.push(int(*source)?);
                    weights.push(*weight);
                }
            }
            starts.push(int(sources.len())?);
        }
        Ok(Tables {
            from: map.source_sides(),
            to: map.sides(),
            starts: Buffer::of(&self.machine, &starts)?,
            sources: Buffer::of(&self.machine, &sources)?,
            weights: Buffer::of(&self.machine, &weights)?,
        })
    }

    /// Images `(n, .., c)` resampled.
    pub(crate) fn resample(&self, x: &Buffer, n: usize, c: usize, tables: &Tables) -> Result<Buffer> {
        let count = n * c * tables.to.iter().product::<usize>();
        let to = self.stored(count)?;
        let mut arguments = vec![x.into(), (&to).into(), long(count), Argument::Int(int(c)?)];
        for side in tables.from.into_iter().chain(tables.to) {
            arguments.push(Argument::Int(int(side)?));
        }
        arguments.extend([&tables.starts, &tables.sources, &tables.weights].map(Argument::from));
        self.run_each("resample", count, &arguments)?;
        Ok(to)
    }
}
