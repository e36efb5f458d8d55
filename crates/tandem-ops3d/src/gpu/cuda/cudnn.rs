//! Convolutions by cuDNN, channels last: f32 by TF32 products, bf16 with f32 sums.
//!
//! For each shape an algorithm is chosen once, by cuDNN's own estimate, among those that give the same bits each time. A shape for
//! which there is none, or whose algorithm turns out not to do it, is left to the own kernels.

use super::super::machine::{Job, Kind, int};
use crate::conv_shape::ConvShape;
use crate::program::Precision;
use candle_core::{Error, Result};
use cudarc::cudnn::result::{self, CudnnError};
use cudarc::cudnn::sys;
use cudarc::driver::{self, CudaStream};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of work space that an algorithm may have.
const WORK_SPACE: usize = 2 << 30;

/// Algorithms that are asked for: as many as any kind of convolution has.
const ALGORITHMS: usize = 10;

pub(super) struct Convolutions(Mutex<Inner>);

struct Inner {
    handle: sys::cudnnHandle_t,
    stream: Arc<CudaStream>,
    /// None where cuDNN has no algorithm.
    plans: HashMap<(Kind, Precision, ConvShape), Option<Plan>>,
    /// What it said where its own choice failed, the first time.
    refusal: Option<CudnnError>,
    /// Address and bytes of the work space, as large as one plan needed so far.
    work: (u64, usize),
}

// SAFETY: a handle and what was made with it may be used by any thread, one at a time: it is behind a mutex.
unsafe impl Send for Inner {}

struct Plan {
    image: Tensor,
    response: Tensor,
    weight: Filter,
    convolution: Description,
    algorithm: Algorithm,
    /// Bytes of work space.
    work: usize,
    /// Whether it did its work once.
    proven: bool,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Respond(sys::cudnnConvolutionFwdAlgo_t),
    Spread(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// Image and response, weight, convolution.
type Descriptors = (
    (sys::cudnnTensorDescriptor_t, sys::cudnnTensorDescriptor_t),
    sys::cudnnFilterDescriptor_t,
    sys::cudnnConvolutionDescriptor_t,
);

struct Tensor(sys::cudnnTensorDescriptor_t);
struct Filter(sys::cudnnFilterDescriptor_t);
struct Description(sys::cudnnConvolutionDescriptor_t);

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: it was created and is not used any more.
        let _ = unsafe { result::destroy_tensor_descriptor(self.0) };
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: likewise.
        let _ = unsafe { result::destroy_filter_descriptor(self.0) };
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: likewise.
        let _ = unsafe { result::destroy_convolution_descriptor(self.0) };
    }
}

fn failed(error: CudnnError) -> Error {
    Error::Msg(format!("cuDNN fails: {:?}", error.0))
}

/// Whether cuDNN says that it does not do what it was asked for, rather than that it failed.
fn is_refusal(error: CudnnError) -> bool {
    // "Bad parameter" and "not supported", each with its kinds.
    (2000..4000).contains(&(error.0 as u32))
}

fn data_type(precision: Precision) -> sys::cudnnDataType_t {
    match precision {
        Precision::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
        Precision::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
    }
}

impl Convolutions {
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let handle = result::create_handle().map_err(failed)?;
        let inner =
            Inner { handle, stream: stream.clone(), plans: HashMap::new(), refusal: None, work: (0, 0) };
        // SAFETY: both are alive.
        unsafe { result::set_stream(handle, stream.cu_stream().cast()) }.map_err(failed)?;
        Ok(Convolutions(Mutex::new(inner)))
    }

    pub(super) fn version(&self) -> String {
        let version = result::get_version();
        format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }

    /// How many kinds of convolution cuDNN did and how many it left to the own kernels, in words.
    pub(super) fn remarks(&self) -> String {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = inner.plans.values().filter(|plan| plan.is_none()).count();
        let why = inner.refusal.map_or_else(String::new, |error| format!(" (cuDNN said {:?})", error.0));
        let done = inner.plans.len() - refused;
        format!("cuDNN ran {done} kinds of convolution, the own kernels {refused}{why}")
    }

    /// Runs a job, or returns false where cuDNN cannot do it.
    ///
    /// # Safety
    /// The job's addresses hold what [`Job`] says.
    pub(super) unsafe fn run(&self, job: &Job) -> Result<bool> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (job.kind, job.precision, job.shape);
        if !inner.plans.contains_key(&key) {
            let plan = Plan::new(inner.handle, job)?;
            inner.plans.insert(key, plan);
        }
        let Some(Some(plan)) = inner.plans.get(&key) else { return Ok(false) };
        let bytes = plan.work;
        inner.make_room(bytes)?;
        let Inner { handle, plans, refusal, work, .. } = &mut *inner;
        let Some(kept) = plans.get_mut(&key) else { return Ok(false) };
        let Some(plan) = kept else { return Ok(false) };
        // SAFETY: the caller's; the work space is as large as the plan wants it.
        match unsafe { plan.run(*handle, job, work.0) } {
            Ok(()) => {
                plan.proven = true;
                Ok(true)
            }
            // An algorithm that was proposed and is refused at its first use has not begun.
            Err(error) if !plan.proven && is_refusal(error) => {
                refusal.get_or_insert(error);
                *kept = None;
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Inner {
    /// Sees to a work space of as many bytes.
    fn make_room(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.work.1 {
            return Ok(());
        }
        let failed =
            |error| Error::Msg(format!("no work space of {bytes} bytes for a convolution: {error:?}"));
        let stream = self.stream.cu_stream();
        let (address, old) = self.work;
        self.work = (0, 0);
        // SAFETY: memory of this stream, which is given back in the order of its use.
        unsafe {
            if old > 0 {
                driver::result::free_async(address, stream).map_err(failed)?;
            }
            self.work = (driver::result::malloc_async(stream, bytes).map_err(failed)?, bytes);
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: nothing uses them any more.
        unsafe {
            if self.work.1 > 0 {
                let _ = driver::result::free_async(self.work.0, self.stream.cu_stream());
            }
            let _ = result::destroy_handle(self.handle);
        }
    }
}

impl Plan {
    /// None where cuDNN has no algorithm for the job.
    fn new(handle: sys::cudnnHandle_t, job: &Job) -> Result<Option<Self>> {
        let Job { shape, precision, kind, .. } = job;
        let image = tensor(shape.image_dims(), *precision)?;
        let response = tensor(shape.response_dims(), *precision)?;
        let (weight, convolution) = (filter(shape, *precision)?, description(shape, *precision)?);
        let (Some(image), Some(response), Some(weight), Some(convolution)) =
            (image, response, weight, convolution)
        else {
            return Ok(None);
        };
        let descriptors = ((image.0, response.0), weight.0, convolution.0);
        // SAFETY: all descriptors are alive, and there is room for as many answers as are asked for.
        let chosen = unsafe { choose(handle, *kind, *precision, descriptors) };
        let Some((algorithm, work, math)) = chosen else { return Ok(None) };
        // cuDNN looks at all ways of multiplying, whatever it was asked for: algorithm and work space are for the one it names.
        // SAFETY: the descriptor is alive.
        if unsafe { result::set_convolution_math_type(convolution.0, math) }.is_err() {
            return Ok(None);
        }
        Ok(Some(Plan { image, response, weight, convolution, algorithm, work, proven: false }))
    }

    /// # Safety
    /// The job's addresses hold what [`Job`] says, and `work` the plan's work space.
    unsafe fn run(
        &self,
        handle: sys::cudnnHandle_t,
        job: &Job,
        work: u64,
    ) -> std::result::Result<(), CudnnError> {
        let pointer = |address: u64| address as *mut c_void;
        let (one, kept) = (1.0f32, if job.add { 1.0f32 } else { 0.0 });
        let (one, kept) = (std::ptr::from_ref(&one).cast(), std::ptr::from_ref(&kept).cast());
        let [image, response, weight] = [job.image, job.response, job.weight].map(pointer);
        let (convolution, space) = (self.convolution.0, pointer(work));
        // SAFETY: the caller's; the descriptors are those of the job's shape.
        unsafe {
            match self.algorithm {
                Algorithm::Respond(algorithm) => result::convolution_forward(
                    handle,
                    one,
                    self.image.0,
                    image,
                    self.weight.0,
                    weight,
                    convolution,
                    algorithm,
                    space,
                    self.work,
                    kept,
                    self.response.0,
                    response,
                ),
                Algorithm::Spread(algorithm) => result::convolution_backward_data(
                    handle,
                    one,
                    self.weight.0,
                    weight,
                    self.response.0,
                    response,
                    convolution,
                    algorithm,
                    space,
                    self.work,
                    kept,
                    self.image.0,
                    image,
                ),
                Algorithm::Filter(algorithm) => result::convolution_backward_filter(
                    handle,
                    one,
                    self.image.0,
                    image,
                    self.response.0,
                    response,
                    convolution,
                    algorithm,
                    space,
                    self.work,
                    kept,
                    self.weight.0,
                    weight,
                ),
            }
        }
    }
}

/// The algorithm that cuDNN expects to be the fastest of those that may be used, its work space, and how it multiplies.
///
/// # Safety
/// The descriptors are alive.
unsafe fn choose(
    handle: sys::cudnnHandle_t,
    kind: Kind,
    precision: Precision,
    ((image, response), weight, convolution): Descriptors,
) -> Option<(Algorithm, usize, sys::cudnnMathType_t)> {
    // What is f32 may become TF32 on the matrix units, and nothing narrower: that would be a conversion.
    let keeps_f32 = |math| math != sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
    // Each kind has its own function and its own type of answers, of the same fields.
    macro_rules! first {
        ($ask:path, $answer:ty, $wrap:path, $($descriptor:expr),+) => {{
            let mut count: c_int = 0;
            // SAFETY: zeros are a valid answer (the first of every enumeration); the rest is the caller's.
            let answers = unsafe {
                let mut answers: [$answer; ALGORITHMS] = std::mem::zeroed();
                $ask(handle, $($descriptor),+, ALGORITHMS as c_int, &mut count, answers.as_mut_ptr()).ok()?;
                answers
            };
            let usable = |answer: &&$answer| {
                answer.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                    && answer.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC
                    && answer.memory <= WORK_SPACE
                    && (precision == Precision::Bf16 || keeps_f32(answer.mathType))
            };
            let answer = answers.iter().take(count as usize).find(usable)?;
            Some(($wrap(answer.algo), answer.memory, answer.mathType))
        }};
    }
    match kind {
        Kind::Respond => first!(
            result::get_convolution_forward_algorithm,
            sys::cudnnConvolutionFwdAlgoPerf_t,
            Algorithm::Respond,
            image,
            weight,
            convolution,
            response
        ),
        Kind::Spread => first!(
            result::get_convolution_backward_data_algorithm,
            sys::cudnnConvolutionBwdDataAlgoPerf_t,
            Algorithm::Spread,
            weight,
            response,
            convolution,
            image
        ),
        Kind::Filter => first!(
            result::get_convolution_backward_filter_algorithm,
            sys::cudnnConvolutionBwdFilterAlgoPerf_t,
            Algorithm::Filter,
            image,
            response,
            convolution,
            weight
        ),
    }
}

/// Of channels-last images `(n, d, h, w, c)`; cuDNN names the sides as `(n, c, d, h, w)` whatever the strides. None where cuDNN
/// does not take them.
fn tensor([n, d, h, w, c]: [usize; 5], precision: Precision) -> Result<Option<Tensor>> {
    let mut dims = [0; 5];
    let mut strides = [0; 5];
    for (to, from) in dims.iter_mut().zip([n, c, d, h, w]) {
        *to = int(from)?;
    }
    for (to, from) in strides.iter_mut().zip([d * h * w * c, 1, h * w * c, w * c, c]) {
        *to = int(from)?;
    }
    let tensor = Tensor(result::create_tensor_descriptor().map_err(failed)?);
    // SAFETY: the descriptor is alive; there are five dimensions and strides.
    let set = unsafe {
        result::set_tensornd_descriptor(tensor.0, data_type(precision), 5, dims.as_ptr(), strides.as_ptr())
    };
    Ok(set.is_ok().then_some(tensor))
}

/// Of a weight `(co, taps, ci)`.
fn filter(shape: &ConvShape, precision: Precision) -> Result<Option<Filter>> {
    let [d, h, w] = shape.kernel;
    let mut dims = [0; 5];
    for (to, from) in dims.iter_mut().zip([shape.co, shape.ci, d, h, w]) {
        *to = int(from)?;
    }
    let filter = Filter(result::create_filter_descriptor().map_err(failed)?);
    // Channels last, of any number of sides.
    let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
    // SAFETY: the descriptor is alive; there are five dimensions.
    let set =
        unsafe { result::set_filternd_descriptor(filter.0, data_type(precision), format, 5, dims.as_ptr()) };
    Ok(set.is_ok().then_some(filter))
}

fn description(shape: &ConvShape, precision: Precision) -> Result<Option<Description>> {
    let three =
        |sides: [usize; 3]| -> Result<[c_int; 3]> { Ok([int(sides[0])?, int(sides[1])?, int(sides[2])?]) };
    let (padding, stride) = (three(shape.params.padding)?, three(shape.params.stride)?);
    let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
    let sums = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
    // The default rounds the factors of f32 products to TF32 and nothing else; "allow conversion" would let them be f16.
    let math = match precision {
        Precision::F32 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
        Precision::Bf16 => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
    };
    let description = Description(result::create_convolution_descriptor().map_err(failed)?);
    // SAFETY: the descriptor is alive; there are three sides.
    let set = unsafe {
        result::set_convolutionnd_descriptor(
            description.0,
            3,
            padding.as_ptr(),
            stride.as_ptr(),
            [1; 3].as_ptr(),
            mode,
            sums,
        )
        .and_then(|()| result::set_convolution_math_type(description.0, math))
    };
    Ok(set.is_ok().then_some(description))
}
