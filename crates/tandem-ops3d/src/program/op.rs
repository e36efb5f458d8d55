//! A program in candle's graph.

use super::backward::backward;
use super::forward::{Forward, forward};
use super::on_gpu::{self, GpuTape, GpuVector};
use super::tape::Tape;
use super::values::Values;
use super::vector::Place;
use super::{Mode, Node, NormStatistics, Precision, Program, Value, Weights};
use crate::class_scores::LogitsGradient;
use crate::cpu::kernels::Kernels;
use crate::deferred::{Deferred, Source, VoxelGradient, Voxels, add_row};
use crate::device::Device;
use crate::gpu::{Buffer, Queue};
use crate::storage::{slice, with_slices};
use crate::voxel_bytes::VoxelBytes;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use half::bf16;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a run of a program returns.
#[derive(Clone)]
pub struct Outputs {
    /// `(N, K, D, H, W)`, f32, before the softmax. They lie where the network ran; unlike other values they can be had whatever the
    /// run kept.
    pub logits: Deferred,
    /// What the further heads make, `(N, K, D, H, W)` at their own resolution, by their names; empty in [`Mode::Infer`].
    pub heads: BTreeMap<String, Tensor>,
    run: Tensor,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outputs").field("heads", &self.heads).finish_non_exhaustive()
    }
}

impl Outputs {
    /// Another value of the run, `(N, C, D, H, W)`, f32, differentiable. To ask for it is an error where the run kept no
    /// activations, or a backward pass used them up.
    pub fn value(&self, value: Value) -> Deferred {
        Deferred::new(Recalled { value, outputs: self.clone() })
    }
}

/// What a run keeps, and what the graph tells it before its own turn in the backward pass comes.
///
/// To candle the run itself makes a zero. Heads and other values are operations on that zero: the graph then knows all of
/// their gradients before it comes to the run's, and however many there are, there is one backward pass.
#[derive(Default)]
struct State {
    tape: Option<AnyTape>,
    /// What the heads made, until it leaves: by their nodes, with `(n, k, d, h, w)`.
    made: Vec<(usize, Made, [usize; 5])>,
    /// Gradients of what the heads made, by their nodes. One head may have several.
    heads: Vec<(usize, HeadGradient)>,
    /// Gradients of values that left through [`Outputs::value`].
    gradients: Vec<OtherGradient>,
}

/// What a head made.
enum Made {
    Host(Vec<f32>),
    /// f32, and what runs kernels there.
    Gpu(Buffer, Queue),
}

/// The gradient of a loss with respect to what a head made.
pub(super) enum HeadGradient {
    Host(Tensor),
    /// That of a loss on a GPU, and what it is multiplied by.
    Gpu(f32, Arc<LogitsGradient>),
}

/// A gradient that does not come by a head.
pub(super) struct OtherGradient {
    pub(super) value: Value,
    pub(super) gradient: Outside,
}

pub(super) enum Outside {
    /// That of a tensor `(n, c, d, h, w)`.
    Planes(Vec<f32>),
    /// That of a loss, and what it is multiplied by.
    Voxels(f32, Arc<VoxelGradient>),
}

impl Outside {
    /// The class of each voxel on the host, where the gradient has one for each class.
    pub(super) fn classes(&self) -> Result<&[u8]> {
        match self {
            Outside::Planes(_) => Ok(&[]),
            Outside::Voxels(_, gradient) => gradient.classes.values(),
        }
    }

    /// Adds the row `(w, c)` of an index of all rows of a value `(n, c, d, h, w)`, to zeros, with [`Self::classes`].
    pub(super) fn add_row(&self, classes: &[u8], dims: [usize; 5], row: usize, to: &mut [f32]) {
        match self {
            Outside::Planes(planes) => add_row(planes, dims, row, to),
            Outside::Voxels(factor, gradient) => {
                gradient.add_row(classes, dims, row, to);
                to.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

enum AnyTape {
    F32(Tape<f32>),
    Bf16(Tape<bf16>),
    Gpu(GpuTape),
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn run(
    program: &Arc<Program>,
    x: &Tensor,
    weights: &Weights,
    statistics: &NormStatistics,
    mode: Mode,
    precision: Precision,
) -> Result<Outputs> {
    let count = weights.count();
    let known: usize = program.nodes.iter().flat_map(|node| node.weights()).map(|range| range.len()).sum();
    if known != count {
        bail!("the layers of a network have {known} weights, its vector has {count}")
    }
    let is_main = |node: &&Node| matches!(node, Node::Head { name: None, .. });
    if program.nodes.iter().filter(is_main).count() != 1 {
        bail!("a program needs one head without a name, which makes the logits")
    }
    let state = Arc::new(Mutex::new(State::default()));
    let brought = match weights.device() {
        Device::Cuda(gpu) => gpu.brought(x)?,
        Device::Cpu => None,
    };
    let op = Run {
        program: program.clone(),
        weights: weights.clone(),
        statistics: statistics.clone(),
        brought,
        mode,
        precision,
        state: state.clone(),
    };
    // Without gradients there is nothing to keep a graph for.
    let leaf = if mode == Mode::Infer { weights.leaf().detach() } else { weights.leaf().clone() };
    let run = x.contiguous()?.apply_op2(&leaf, op)?;
    let (mut logits, mut heads) = (None, BTreeMap::new());
    let all = std::mem::take(&mut lock(&state).made);
    for (index, made, dims) in all {
        let place = Hung { value: Value(index), dims, run: run.clone(), state: state.clone() };
        let made: Deferred = match made {
            Made::Host(planes) => place.hang(Form::Head(Mutex::new(planes)))?.into(),
            Made::Gpu(logits, queue) => Deferred::new(HeadOnGpu { dims, logits, queue, place: Some(place) }),
        };
        match &program.nodes[index] {
            Node::Head { name: Some(name), .. } => drop(heads.insert(name.clone(), made.get()?)),
            _ => logits = Some(made),
        }
    }
    let Some(logits) = logits else { bail!("the head that makes the logits did not run") };
    Ok(Outputs { logits, heads, run, state })
}

struct Run {
    program: Arc<Program>,
    weights: Weights,
    statistics: NormStatistics,
    /// The image's copy on the GPU, where it was brought.
    brought: Option<Buffer>,
    mode: Mode,
    precision: Precision,
    state: Arc<Mutex<State>>,
}

impl Run {
    /// Runs forwards; leaves what the heads make and what is kept in the state.
    fn forward<S: Kernels>(
        &self,
        image: (&[f32], [usize; 5]),
        weights: &[f32],
        keep: fn(Tape<S>) -> AnyTape,
    ) -> Result<()> {
        let before = self.statistics.0.read().to_vec()?;
        let Forward { tape, heads, statistics } =
            forward::<S>(&self.program, image, weights, before, self.mode)?;
        if let Mode::Train { .. } = self.mode {
            self.statistics.set(&statistics)?;
        }
        let made = heads.into_iter().map(|(node, planes, dims)| (node, Made::Host(planes), dims));
        self.leave(keep(tape), made.collect());
        Ok(())
    }

    /// The same on a GPU.
    fn forward_on_gpu(&self, image: (&[f32], [usize; 5]), weights: &GpuVector) -> Result<()> {
        let statistics = self.statistics.0.read();
        let Place::Gpu(running) = &statistics.0 else {
            bail!("the running statistics of a network do not lie where its weights lie")
        };
        let how = (self.mode, self.precision);
        let (planes, dims) = image;
        let image = self.brought.clone().map_or(on_gpu::Image::Host(planes), on_gpu::Image::Brought);
        let on_gpu::Forward { tape, heads } =
            on_gpu::forward(&self.program, (image, dims), weights, running, how)?;
        let queue = &tape.queue;
        let made = heads.into_iter().map(|(node, made, dims)| (node, Made::Gpu(made, queue.clone()), dims));
        let made = made.collect();
        self.leave(AnyTape::Gpu(tape), made);
        Ok(())
    }

    fn leave(&self, tape: AnyTape, made: Vec<(usize, Made, [usize; 5])>) {
        let mut state = lock(&self.state);
        state.made = made;
        state.tape = (self.mode != Mode::Infer).then_some(tape);
    }
}

impl CustomOp2 for Run {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let &[n, c, d, h, width] = xl.dims() else {
            bail!("a network takes (N, C, D, H, W), got {:?}", xl.dims())
        };
        let image = (slice(self.name(), x, xl)?, [n, c, d, h, width]);
        match (&self.weights.read().0, self.precision) {
            (Place::Gpu(weights), _) => self.forward_on_gpu(image, weights)?,
            (Place::Host(weights), Precision::F32) => self.forward(image, weights, AnyTape::F32)?,
            (Place::Host(weights), Precision::Bf16) => self.forward(image, weights, AnyTape::Bf16)?,
        }
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let State { tape, heads, gradients: others, .. } = std::mem::take(&mut *lock(&self.state));
        let Some(tape) = tape else {
            bail!("a network can be differentiated once only: its activations are used up")
        };
        let image = x.track_op();
        let found = match (tape, &self.weights.read().0) {
            (AnyTape::F32(tape), Place::Host(w)) => {
                backward(&self.program, tape, w, on_host(heads)?, others, image)?
            }
            (AnyTape::Bf16(tape), Place::Host(w)) => {
                backward(&self.program, tape, w, on_host(heads)?, others, image)?
            }
            (AnyTape::Gpu(tape), Place::Gpu(w)) => {
                on_gpu::backward(&self.program, tape, w, heads, others, image)?
            }
            _ => bail!("the weights of a network moved to another device between its passes"),
        };
        let host = &candle_core::Device::Cpu;
        let dx = found.image.map(|values| Tensor::from_vec(values, x.shape(), host)).transpose()?;
        self.weights.give_gradient(found.weights)?;
        Ok((dx, None))
    }
}

/// The gradients of heads that ran on the host.
fn on_host(heads: Vec<(usize, HeadGradient)>) -> Result<BTreeMap<usize, Tensor>> {
    let of_head = |(node, gradient)| match gradient {
        HeadGradient::Host(gradient) => Ok((node, gradient)),
        HeadGradient::Gpu(..) => bail!("a head on the host has a gradient on a GPU"),
    };
    heads.into_iter().map(of_head).collect()
}

/// Where something that a run made hangs in candle's graph.
#[derive(Clone)]
struct Hung {
    value: Value,
    /// `(n, c, d, h, w)`.
    dims: [usize; 5],
    run: Tensor,
    state: Arc<Mutex<State>>,
}

impl Hung {
    fn hang(&self, form: Form) -> Result<Tensor> {
        self.run.apply_op1(Recall { place: self.clone(), form })
    }
}

/// What a head made on a GPU. It stays there, until somebody wants it as a tensor.
#[derive(Clone)]
pub(crate) struct HeadOnGpu {
    /// `(n, k, d, h, w)`.
    pub(crate) dims: [usize; 5],
    /// f32.
    pub(crate) logits: Buffer,
    pub(crate) queue: Queue,
    /// Nothing where it is a constant to the gradient.
    place: Option<Hung>,
}

impl HeadOnGpu {
    /// A scalar of a known value and gradient.
    pub(crate) fn loss(&self, value: f32, gradient: Arc<LogitsGradient>) -> Result<Tensor> {
        match &self.place {
            Some(place) => place.hang(Form::HeadLoss(value, gradient)),
            None => Tensor::new(value, &candle_core::Device::Cpu),
        }
    }
}

impl Source for HeadOnGpu {
    fn tensor(&self) -> Result<Tensor> {
        let planes = self.logits.values(self.dims.iter().product())?;
        match &self.place {
            Some(place) => place.hang(Form::Head(Mutex::new(planes))),
            None => Tensor::from_vec(planes, &self.dims, &candle_core::Device::Cpu),
        }
    }
    fn dims(&self) -> Result<[usize; 5]> {
        Ok(self.dims)
    }
    fn class_sums(&self, voxels: Voxels, classes: &VoxelBytes, count: usize) -> Result<Vec<f64>> {
        self.tensor()?.class_sums(voxels, classes, count)
    }
    fn at(&self, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>> {
        self.tensor()?.at(voxels, indices)
    }
    fn loss(&self, value: f32, gradient: Arc<VoxelGradient>) -> Result<Tensor> {
        Source::loss(&self.tensor()?, value, gradient)
    }
    fn on_gpu(&self) -> Option<HeadOnGpu> {
        Some(self.clone())
    }
    fn detached(&self) -> Option<Deferred> {
        Some(Deferred::new(HeadOnGpu { place: None, ..self.clone() }))
    }
}

/// A value of a run that is made where somebody asks for it.
struct Recalled {
    value: Value,
    outputs: Outputs,
}

impl Recalled {
    fn with_tape<R>(&self, f: impl FnOnce(&dyn Values, usize) -> Result<R>) -> Result<R> {
        let state = lock(&self.outputs.state);
        let tape: &dyn Values = match &state.tape {
            Some(AnyTape::F32(tape)) => tape,
            Some(AnyTape::Bf16(tape)) => tape,
            Some(AnyTape::Gpu(tape)) => tape,
            None => bail!("the run kept no activations, or a backward pass used them up"),
        };
        f(tape, self.value.0)
    }

    fn hang(&self, form: Form) -> Result<Tensor> {
        let (run, state) = (self.outputs.run.clone(), self.outputs.state.clone());
        Hung { value: self.value, dims: self.dims()?, run, state }.hang(form)
    }
}

impl Source for Recalled {
    fn tensor(&self) -> Result<Tensor> {
        let planes = self.with_tape(|tape, value| tape.planes(value))?;
        self.hang(Form::Planes(Mutex::new(planes)))
    }

    fn dims(&self) -> Result<[usize; 5]> {
        self.with_tape(|tape, value| {
            let [n, d, h, w, c] = tape.dims(value)?;
            Ok([n, c, d, h, w])
        })
    }

    fn class_sums(&self, voxels: Voxels, classes: &VoxelBytes, count: usize) -> Result<Vec<f64>> {
        self.with_tape(|tape, value| tape.class_sums(value, voxels, classes, count))
    }

    fn at(&self, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>> {
        self.with_tape(|tape, value| tape.at(value, voxels, indices))
    }

    fn loss(&self, value: f32, gradient: Arc<VoxelGradient>) -> Result<Tensor> {
        self.hang(Form::Loss(value, gradient))
    }
}

struct Recall {
    place: Hung,
    form: Form,
}

enum Form {
    /// What a head made, until it is a tensor.
    Head(Mutex<Vec<f32>>),
    /// A loss of what a head made on a GPU.
    HeadLoss(f32, Arc<LogitsGradient>),
    /// The value itself, until it is a tensor.
    Planes(Mutex<Vec<f32>>),
    /// A loss of it.
    Loss(f32, Arc<VoxelGradient>),
}

impl CustomOp1 for Recall {
    fn name(&self) -> &'static str {
        "value of a network"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &self.form {
            Form::Head(planes) | Form::Planes(planes) => {
                let planes = std::mem::take(&mut *planes.lock().unwrap_or_else(|p| p.into_inner()));
                Ok((CpuStorage::F32(planes), Shape::from(&self.place.dims)))
            }
            Form::Loss(value, _) | Form::HeadLoss(value, _) => {
                Ok((CpuStorage::F32(vec![*value]), Shape::from(())))
            }
        }
    }

    fn bwd(&self, run: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        // candle wants a gradient for whatever a loss hangs on.
        let nothing = Ok(Some(run.zeros_like()?));
        let Hung { value, state, .. } = &self.place;
        let gradient = match &self.form {
            Form::Head(_) => {
                lock(state).heads.push((value.0, HeadGradient::Host(grad.clone())));
                return nothing;
            }
            Form::HeadLoss(_, gradient) => {
                let gradient = HeadGradient::Gpu(grad.to_scalar()?, gradient.clone());
                lock(state).heads.push((value.0, gradient));
                return nothing;
            }
            Form::Planes(_) => Outside::Planes(with_slices(self.name(), [grad], |[grad]| Ok(grad.to_vec()))?),
            Form::Loss(_, gradient) => Outside::Voxels(grad.to_scalar::<f32>()?, gradient.clone()),
        };
        lock(state).gradients.push(OtherGradient { value: *value, gradient });
        nothing
    }
}
