//! What the passes of a program hold in memory, by its shapes alone.
//!
//! The same walk as that of `forward.rs` and `backward.rs`, with bytes in place of buffers. Left out is the work space of single
//! tasks, which is a few MiB a thread.

use super::{ConvLayer, Node, Precision, Program, Sum};
use crate::Device;
use candle_core::Result;

/// Bytes that the passes of a program hold. Weights, their gradient and what heads make are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What a forward pass leaves to the backward pass.
    pub kept: u64,
    /// The most of a forward pass that leaves it.
    pub forward: u64,
    /// The most of the backward pass, what is still kept included.
    pub backward: u64,
    /// The most of a pass that keeps nothing for a backward pass.
    pub inference: u64,
}

impl Program {
    /// What passes hold of an image `(N, C, D, H, W)` on a device; on the CPU, by the kernels of this process. The work space of
    /// cuDNN is not counted.
    ///
    /// # Errors
    /// Where a kernel exceeds its padded input.
    pub fn footprint(&self, image: [usize; 5], precision: Precision, device: &Device) -> Result<Footprint> {
        let walk = Walk::new(self, image, precision, device)?;
        let (kept, forward) = walk.forward(true);
        let (_, inference) = walk.forward(false);
        Ok(Footprint { kept, forward, backward: walk.backward(kept), inference })
    }
}

/// Sizes of a program's values.
struct Walk<'a> {
    program: &'a Program,
    /// Values of each node.
    counts: Vec<u64>,
    /// Bytes of each stored value.
    stored: u64,
    on_gpu: bool,
    /// Whether images are written as a whole, into frames of zeros, for the convolutions that read them.
    framed: bool,
    /// Whether convolutions write f32 first, which is rounded then.
    widened: bool,
    dims: Vec<[usize; 5]>,
}

/// Bytes that are held, and the most so far.
#[derive(Default)]
struct Held {
    now: u64,
    most: u64,
}

impl Held {
    fn add(&mut self, bytes: u64) {
        self.now += bytes;
        self.most = self.most.max(self.now);
    }

    fn passing(&mut self, bytes: u64) {
        self.most = self.most.max(self.now + bytes);
    }

    fn free(&mut self, bytes: u64) {
        self.now = self.now.saturating_sub(bytes);
    }
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program, image: [usize; 5], precision: Precision, device: &Device) -> Result<Self> {
        let dims = program.dims(image)?;
        let bf16 = precision == Precision::Bf16;
        let on_gpu = matches!(device, Device::Cuda(_));
        let tiles = !on_gpu && precision.kernels().multiplies_bf16();
        Ok(Walk {
            program,
            counts: dims.iter().map(|dims| dims.iter().product::<usize>() as u64).collect(),
            stored: if bf16 { 2 } else { 4 },
            on_gpu,
            framed: bf16 && tiles,
            widened: bf16 && !tiles && !on_gpu,
            dims,
        })
    }

    /// Bytes of a node's values, as they are stored.
    fn bytes(&self, node: usize) -> u64 {
        self.counts[node] * self.stored
    }

    /// What a pass keeps of a node, with a backward pass in view or not.
    fn kept(&self, node: usize, training: bool) -> u64 {
        match &self.program.nodes[node] {
            Node::Unit { sum, .. } => {
                // The output beside the convolution.
                let output = *sum != Sum::Nothing || self.on_gpu && training;
                self.bytes(node) * if output { 2 } else { 1 }
            }
            Node::Input => self.bytes(node),
            Node::Dropout { .. } | Node::Double { .. } | Node::Head { .. } => 0,
        }
    }

    /// What is written of a node on a GPU where it is read, unless it is kept as it is read.
    fn read(&self, node: usize, training: bool) -> u64 {
        match &self.program.nodes[node] {
            Node::Input => 0,
            Node::Unit { sum, .. } if training || *sum != Sum::Nothing => 0,
            _ => self.bytes(node),
        }
    }

    /// Values of a node in a frame, as a convolution reads them.
    fn in_frame(&self, node: usize, conv: &ConvLayer) -> u64 {
        let [n, d, h, w, c] = self.dims[node];
        let padding = conv.params.padding;
        let sides = [d + 2 * padding[0], h + 2 * padding[1], w + 2 * padding[2]];
        (n * c) as u64 * sides.iter().product::<usize>() as u64 * self.stored
    }

    /// What is written of a node for a convolution: so much on a GPU, a frame on a CPU that has them.
    fn written(&self, on_gpu: u64, node: usize, conv: &ConvLayer) -> u64 {
        match (self.on_gpu, self.framed) {
            (true, _) => on_gpu,
            (false, true) => self.in_frame(node, conv),
            (false, false) => 0,
        }
    }

    /// Work space of a convolution from one node's values to another's: a frame, an f32 copy, filters in their transform
    /// (64 points for 27 taps).
    fn work(&self, from: usize, to: usize, conv: &ConvLayer, training: bool) -> u64 {
        let image = self.written(self.read(from, training), from, conv);
        let wide = if self.widened { 4 * self.counts[to] } else { 0 };
        let filters =
            4 * (conv.from * conv.to) as u64 * if conv.kernel == 3 { 64 } else { conv.kernel.pow(3) as u64 };
        image + wide + filters
    }

    /// What is kept in the end, and the most that was held.
    fn forward(&self, keep: bool) -> (u64, u64) {
        let mut held = Held::default();
        let needed = self.program.needed(!keep);
        let last_uses = self.program.last_uses(&needed);
        for (index, node) in self.program.nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
            match node {
                Node::Input => held.add(self.kept(index, keep)),
                Node::Unit { x, conv, sum, .. } => {
                    held.passing(self.bytes(index) + self.work(x.0, index, conv, keep));
                    held.add(self.kept(index, keep));
                    if let (true, Sum::Before(other) | Sum::After(other)) = (self.on_gpu, *sum) {
                        held.passing(self.read(other.0, keep));
                    }
                }
                Node::Dropout { .. } | Node::Double { .. } | Node::Head { .. } => {}
            }
            if !keep {
                for value in node.reads().into_iter().filter(|value| last_uses[value.0] <= index) {
                    held.free(self.kept(value.0, keep));
                }
            }
        }
        (held.now, held.most)
    }

    fn backward(&self, kept: u64) -> u64 {
        let mut held = Held { now: kept, most: kept };
        // Whether a node's gradient is there.
        let mut there = vec![false; self.program.nodes.len()];
        // Hands a gradient that is held already to a node.
        let give = |held: &mut Held, there: &mut Vec<bool>, to: usize| {
            if std::mem::replace(&mut there[to], true) {
                held.free(self.bytes(to));
            }
        };
        for (index, node) in self.program.nodes.iter().enumerate().rev() {
            match node {
                Node::Input => {}
                Node::Head { x, .. } => {
                    held.add(self.bytes(x.0));
                    give(&mut held, &mut there, x.0);
                }
                Node::Dropout { x, .. } => give(&mut held, &mut there, x.0),
                Node::Double { x, .. } => {
                    held.add(self.bytes(x.0));
                    held.free(self.bytes(index));
                    give(&mut held, &mut there, x.0);
                }
                Node::Unit { x, conv, sum, .. } => {
                    let own = self.kept(index, true);
                    // What the gradient of the convolution is written into.
                    let inner = self.written(self.bytes(index), index, conv);
                    held.add(inner);
                    if inner > 0 {
                        held.free(own);
                        self.hand_on(index, *sum, &mut held, &mut there);
                    }
                    if x.0 > 0 && !std::mem::replace(&mut there[x.0], true) {
                        held.add(self.bytes(x.0));
                    }
                    held.passing(self.work(x.0, x.0, conv, true));
                    if inner == 0 {
                        self.hand_on(index, *sum, &mut held, &mut there);
                        held.free(own);
                    }
                    held.free(inner);
                }
            }
        }
        held.most
    }

    /// What was added to a unit takes over the unit's gradient, or adds it to its own.
    fn hand_on(&self, index: usize, sum: Sum, held: &mut Held, there: &mut [bool]) {
        match sum {
            Sum::Before(other) | Sum::After(other) if !std::mem::replace(&mut there[other.0], true) => {}
            _ => held.free(self.bytes(index)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forward::forward;
    use super::super::tape::{Kept, Tape};
    use super::super::{Mode, NormLayer, Value};
    use super::*;
    use crate::cpu::kernels::Kernels;
    use crate::{Activation, Conv3dParams, Resize};
    use half::bf16;

    /// A convolution of 3x3x3 taps whose parameters begin at `at`.
    fn unit(program: &mut Program, x: Value, [from, to]: [usize; 2], at: &mut usize, sum: Sum) -> Value {
        let mut next = |len: usize| {
            *at += len;
            *at - len..*at
        };
        let conv = ConvLayer {
            weight: next(27 * from * to),
            bias: None,
            from,
            to,
            kernel: 3,
            params: Conv3dParams::uniform(1, 1),
            transposed: false,
        };
        let (scale, shift) = (next(to), next(to));
        let norm = NormLayer { scale, shift, mean: 0..to, variance: to..2 * to, momentum: 0.1, eps: 1e-5 };
        program.unit(x, conv, norm, Activation::Relu, sum)
    }

    /// Two units, the second of which adds the first, dropout and a head; and how many weights they have.
    fn program() -> (Program, usize) {
        with_head(|_, _, _| {})
    }

    /// The same with more, made of the second unit and the number of weights so far.
    fn with_head(more: impl FnOnce(&mut Program, Value, &mut usize)) -> (Program, usize) {
        let (mut program, image) = Program::new();
        let mut count = 0;
        let first = unit(&mut program, image, [1, 4], &mut count, Sum::Nothing);
        let second = unit(&mut program, first, [4, 4], &mut count, Sum::Before(first));
        let dropped = program.dropout(second, 0.5, "head");
        program.head(dropped, count..count + 8, count + 8..count + 10);
        count += 10;
        more(&mut program, second, &mut count);
        (program, count)
    }

    fn held<S: Kernels>(tape: &Tape<S>) -> u64 {
        let values = tape.kept.iter().map(|kept| match kept {
            Kept::Image(image) => image.len(),
            Kept::Unit(unit) => unit.middle.len() + unit.output.as_ref().map_or(0, |output| output.len()),
            Kept::Nothing | Kept::Scaled { .. } | Kept::Resampled { .. } => 0,
        });
        (values.sum::<usize>() * size_of::<S>()) as u64
    }

    /// What a forward pass holds in the end.
    fn kept<S: Kernels>(image: [usize; 5], mode: Mode) -> u64 {
        let (program, weights) = program();
        let voxels = vec![1.0; image.iter().product()];
        held(&forward::<S>(&program, (&voxels, image), &vec![0.1; weights], vec![1.0; 8], mode).unwrap().tape)
    }

    #[test]
    fn what_is_kept_is_what_a_forward_pass_keeps() {
        let image = [2, 1, 6, 5, 7];
        let of = |precision| program().0.footprint(image, precision, &Device::Cpu).unwrap();
        let train = Mode::Train { dropout: 1 };
        assert_eq!(of(Precision::F32).kept, kept::<f32>(image, train));
        assert_eq!(of(Precision::Bf16).kept, kept::<bf16>(image, train));
        let found = of(Precision::F32);
        assert!(found.inference < found.forward && found.forward < found.backward, "{found:?}");
    }

    /// A GPU keeps for the backward pass what a convolution reads, which the CPU makes anew.
    #[test]
    fn on_a_gpu_images_are_written_for_convolutions() {
        let Ok(gpu) = Device::emulated() else {
            eprintln!("SKIPPED: the footprint on a GPU, for there is no emulator");
            return;
        };
        let image = [2, 1, 6, 5, 7];
        let of = |device: &Device| program().0.footprint(image, Precision::F32, device).unwrap();
        let (cpu, gpu) = (of(&Device::Cpu), of(&gpu));
        let values = 4 * 4 * (2 * 6 * 5 * 7);
        assert_eq!(gpu.kept, cpu.kept + values);
        // What the second convolution reads, and what is added to it.
        assert!(gpu.inference >= cpu.inference + values, "{gpu:?} {cpu:?}");
        // The gradients of the second unit and of its convolution.
        assert!(gpu.backward >= gpu.kept + 2 * values, "{gpu:?} {cpu:?}");
    }

    #[test]
    fn further_heads_cost_training_and_not_inference() {
        let (larger, weights) = with_head(|program, x, count| {
            let doubled = program.double(x, Resize::Nearest);
            let last = unit(program, doubled, [4, 4], count, Sum::Nothing);
            program.further_head("double", last, *count..*count + 8, *count + 8..*count + 10);
            *count += 10;
        });
        let image = [2, 1, 6, 5, 7];
        let of = |program: &Program| program.footprint(image, Precision::F32, &Device::Cpu).unwrap();
        let (small, large) = (of(&program().0), of(&larger));
        assert_eq!(large.inference, small.inference);
        // What lies on the doubled grid: the convolution, and the gradient of what it reads.
        let doubled = 4 * 8 * 4 * (2 * 6 * 5 * 7);
        assert_eq!(large.kept, small.kept + doubled);
        assert!(large.backward >= large.kept + 2 * doubled, "{large:?}");
        let voxels = vec![1.0; image.iter().product()];
        let mode = Mode::Train { dropout: 1 };
        let ran = forward::<f32>(&larger, (&voxels, image), &vec![0.1; weights], vec![1.0; 8], mode).unwrap();
        assert_eq!(held(&ran.tape), large.kept);
    }

    #[test]
    fn footprints_grow_with_the_image() {
        let of =
            |side| program().0.footprint([1, 1, side, side, side], Precision::F32, &Device::Cpu).unwrap();
        let (small, large) = (of(8), of(16));
        assert_eq!(large.kept, 8 * small.kept);
        assert!(large.backward > 7 * small.backward && large.inference > 7 * small.inference);
    }
}
