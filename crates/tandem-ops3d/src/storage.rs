//! From candle's tensors to slices and back.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The values of a contiguous f32 operand.
pub(crate) fn slice<'a>(name: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else {
        bail!("{name} takes f32 tensors, got {:?}", candle_core::backend::BackendStorage::dtype(storage))
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{name} takes contiguous tensors, got {layout:?}"),
    }
}

/// Runs `f` on the values of tensors on the CPU, which are made contiguous first where they are not.
pub(crate) fn with_slices<const N: usize, R>(
    name: &str,
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let mut dense = Vec::with_capacity(N);
    for tensor in tensors {
        dense.push(tensor.contiguous()?);
    }
    let guards: Vec<_> = dense.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let mut slices = [&[] as &[f32]; N];
    for (target, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("{name} has no implementation for this device yet")
        };
        *target = slice(name, storage, layout)?;
    }
    f(slices)
}

/// A new vector whose every value `fill` writes.
///
/// `fill` must not read the slice before it wrote it: its memory is not cleared first, which would cost a pass over it.
pub(crate) fn filled(len: usize, fill: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(len);
    // SAFETY: the memory is valid for `len` values and borrowed by nobody else. Every kernel that is passed here writes
    // all of it and reads none of it before (the kernels' tests start from NaN), and any bit pattern is an f32.
    unsafe {
        fill(std::slice::from_raw_parts_mut(values.as_mut_ptr(), len));
        values.set_len(len);
    }
    values
}
