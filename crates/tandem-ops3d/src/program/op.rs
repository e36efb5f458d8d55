//! A program in candle's graph.

use super::backward::backward;
use super::forward::{Forward, forward};
use super::read::for_rows;
use super::tape::{Kept, Tape};
use super::{Mode, Precision, Program, Value, Weights};
use crate::cpu::element::Element;
use crate::cpu::kernels::Kernels;
use crate::cpu::scratch::Scratch;
use crate::cpu::transpose::transpose;
use crate::deferred::{Deferred, ReadRow, RowGradient, Source, add_row};
use crate::storage::{filled, slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, Var, bail};
use half::bf16;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a run of a program returns.
#[derive(Clone)]
pub struct Outputs {
    /// `(N, K, D, H, W)`, before the softmax.
    pub logits: Tensor,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outputs").field("logits", &self.logits).finish_non_exhaustive()
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
#[derive(Default)]
struct State {
    tape: Option<AnyTape>,
    /// Gradients of values that left through [`Outputs::value`].
    gradients: Vec<OtherGradient>,
    /// Running statistics after the run.
    statistics: Vec<f32>,
}

/// A gradient that does not come by the logits.
pub(super) struct OtherGradient {
    pub(super) value: Value,
    pub(super) factor: f32,
    pub(super) gradient: RowGradient,
}

enum AnyTape {
    F32(Tape<f32>),
    Bf16(Tape<bf16>),
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn run(
    program: &Arc<Program>,
    x: &Tensor,
    weights: &Weights,
    statistics: &Var,
    mode: Mode,
    precision: Precision,
) -> Result<Outputs> {
    let count = weights.values().elem_count();
    let known: usize = program.nodes.iter().flat_map(|node| node.weights()).map(|range| range.len()).sum();
    if known != count {
        bail!("the layers of a network have {known} weights, its vector has {count}")
    }
    let state = State { statistics: statistics.to_vec1()?, ..State::default() };
    let state = Arc::new(Mutex::new(state));
    let op =
        Run { program: program.clone(), weights: weights.clone(), mode, precision, state: state.clone() };
    // Without gradients there is nothing to keep a graph for.
    let leaf = if mode == Mode::Infer { weights.leaf().detach() } else { weights.leaf().clone() };
    let logits = x.contiguous()?.apply_op2(&leaf, op)?;
    if let Mode::Train { .. } = mode {
        let moved = std::mem::take(&mut lock(&state).statistics);
        statistics.set(&Tensor::from_vec(moved, statistics.shape(), &Device::Cpu)?)?;
    }
    Ok(Outputs { logits, state })
}

struct Run {
    program: Arc<Program>,
    weights: Weights,
    mode: Mode,
    precision: Precision,
    state: Arc<Mutex<State>>,
}

impl Run {
    /// Runs forwards; returns the logits and what is kept.
    fn forward<S: Kernels>(
        &self,
        image: (&[f32], [usize; 5]),
        weights: &[f32],
        keep: fn(Tape<S>) -> AnyTape,
    ) -> Result<(Vec<f32>, [usize; 5])> {
        let statistics = std::mem::take(&mut lock(&self.state).statistics);
        let Forward { tape, logits, logits_dims, statistics } =
            forward::<S>(&self.program, image, weights, statistics, self.mode)?;
        let mut state = lock(&self.state);
        state.statistics = statistics;
        state.tape = (self.mode != Mode::Infer).then(|| keep(tape));
        Ok((logits, logits_dims))
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
        with_slices(self.name(), [self.weights.values()], |[weights]| {
            let (logits, dims) = match self.precision {
                Precision::F32 => self.forward(image, weights, AnyTape::F32)?,
                Precision::Bf16 => self.forward(image, weights, AnyTape::Bf16)?,
            };
            Ok((CpuStorage::F32(logits), Shape::from(&dims)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (tape, others) = {
            let mut state = lock(&self.state);
            (state.tape.take(), std::mem::take(&mut state.gradients))
        };
        let Some(tape) = tape else {
            bail!("a network can be differentiated once only: its activations are used up")
        };
        let image = x.track_op();
        let found = with_slices(self.name(), [self.weights.values(), grad], |[w, grad]| match tape {
            AnyTape::F32(tape) => backward(&self.program, tape, w, grad, others, image),
            AnyTape::Bf16(tape) => backward(&self.program, tape, w, grad, others, image),
        })?;
        let dx = found.image.map(|values| Tensor::from_vec(values, x.shape(), &Device::Cpu)).transpose()?;
        self.weights.give_gradient(found.weights);
        Ok((dx, None))
    }
}

/// A value of a run. What is made of it hangs on the logits, so that its gradient is known before the run's backward pass.
struct Recalled {
    value: Value,
    outputs: Outputs,
}

impl Recalled {
    fn with_tape<R>(&self, f: impl FnOnce(&dyn AnyRows, usize) -> Result<R>) -> Result<R> {
        let state = lock(&self.outputs.state);
        let tape: &dyn AnyRows = match &state.tape {
            Some(AnyTape::F32(tape)) => tape,
            Some(AnyTape::Bf16(tape)) => tape,
            None => bail!("the run kept no activations, or a backward pass used them up"),
        };
        f(tape, self.value.0)
    }

    fn hang(&self, form: Form) -> Result<Tensor> {
        let state = self.outputs.state.clone();
        self.outputs.logits.apply_op1(Recall { value: self.value, dims: self.dims()?, form, state })
    }
}

impl Source for Recalled {
    fn tensor(&self) -> Result<Tensor> {
        let [n, c, d, h, w] = self.dims()?;
        let mut voxels = Scratch::<f32>::take(n * c * d * h * w);
        self.with_rows(&mut |read| for_rows(&mut voxels, w * c, read))?;
        let planes = filled(voxels.len(), |planes| transpose(&voxels, n, [d * h * w, c], planes));
        self.hang(Form::Planes(Mutex::new(planes)))
    }

    fn dims(&self) -> Result<[usize; 5]> {
        self.with_tape(|tape, value| {
            let [n, d, h, w, c] = tape.dims(value)?;
            Ok([n, c, d, h, w])
        })
    }

    fn with_rows(&self, use_rows: &mut dyn FnMut(ReadRow)) -> Result<()> {
        self.with_tape(|tape, value| {
            tape.dims(value)?;
            use_rows(&|row, to| tape.row(value, row, to));
            Ok(())
        })
    }

    fn loss(&self, value: f32, gradient: RowGradient) -> Result<Tensor> {
        self.hang(Form::Loss(value, gradient))
    }
}

/// The values of a tape, whatever their storage.
trait AnyRows: Sync {
    /// `(n, d, h, w, c)` of a value that can be read.
    fn dims(&self, value: usize) -> Result<[usize; 5]>;
    fn row(&self, value: usize, row: usize, to: &mut [f32]);
}

impl<S: Element> AnyRows for Tape<S> {
    fn dims(&self, value: usize) -> Result<[usize; 5]> {
        match (self.dims.get(value), self.kept.get(value)) {
            (Some(_), Some(Kept::Nothing)) => bail!("value {value} of the program is not kept"),
            (Some(dims), Some(_)) => Ok(*dims),
            _ => bail!("the program has no value {value}"),
        }
    }
    fn row(&self, value: usize, row: usize, to: &mut [f32]) {
        self.read_row(value, row, to);
    }
}

struct Recall {
    value: Value,
    /// `(n, c, d, h, w)`.
    dims: [usize; 5],
    form: Form,
    state: Arc<Mutex<State>>,
}

enum Form {
    /// The value itself, until it is a tensor.
    Planes(Mutex<Vec<f32>>),
    /// A loss of it.
    Loss(f32, RowGradient),
}

impl CustomOp1 for Recall {
    fn name(&self) -> &'static str {
        "value of a network"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &self.form {
            Form::Planes(planes) => {
                let planes = std::mem::take(&mut *planes.lock().unwrap_or_else(|p| p.into_inner()));
                Ok((CpuStorage::F32(planes), Shape::from(&self.dims)))
            }
            Form::Loss(value, _) => Ok((CpuStorage::F32(vec![*value]), Shape::from(()))),
        }
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (factor, gradient) = match &self.form {
            Form::Planes(_) => {
                let dims = self.dims;
                let planes = with_slices(self.name(), [grad], |[grad]| Ok(grad.to_vec()))?;
                let rows = dims[0] * dims[2] * dims[3];
                (1.0, RowGradient::new(0..rows, move |row, to| add_row(&planes, dims, row, to)))
            }
            Form::Loss(_, gradient) => (grad.to_scalar::<f32>()?, gradient.clone()),
        };
        lock(&self.state).gradients.push(OtherGradient { value: self.value, factor, gradient });
        // candle wants a gradient for whatever a loss hangs on.
        Ok(Some(logits.zeros_like()?))
    }
}
