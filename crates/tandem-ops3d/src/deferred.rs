//! Values of a network that are made where somebody asks for them.

use crate::cpu::transpose::transpose;
use crate::storage::{filled, with_slices};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A value `(N, C, D, H, W)` of a network that costs nothing until it is asked for, and is made anew each time.
///
/// As a tensor ([`Self::get`]) it can enter any graph. A loss that knows its own gradient does better with
/// [`Self::with_rows`] and [`Self::loss`]: it reads what it needs and says what it adds, and no tensor is made in either
/// direction. A row is the `W` voxels of one `(n, d, h)`, channels last; rows are counted over all images.
#[derive(Clone)]
pub struct Deferred(Arc<dyn Source>);

/// Where a deferred value comes from.
pub(crate) trait Source: Send + Sync {
    fn tensor(&self) -> Result<Tensor>;
    fn dims(&self) -> Result<[usize; 5]>;
    fn with_rows(&self, use_rows: &mut dyn FnMut(ReadRow)) -> Result<()>;
    fn loss(&self, value: f32, gradient: RowGradient) -> Result<Tensor>;
}

/// Writes the row of an index, `(W, C)`.
pub type ReadRow<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// The gradient of a loss with respect to a deferred value, row by row.
#[derive(Clone)]
pub struct RowGradient {
    pub(crate) rows: Range<usize>,
    pub(crate) add: Arc<AddRow>,
}

type AddRow = dyn Fn(usize, &mut [f32]) + Send + Sync;

impl RowGradient {
    /// `add` adds to the gradient `(W, C)` of a row of that index; rows outside of `rows` have none.
    pub fn new(rows: Range<usize>, add: impl Fn(usize, &mut [f32]) + Send + Sync + 'static) -> Self {
        RowGradient { rows, add: Arc::new(add) }
    }
}

impl Deferred {
    pub(crate) fn new(source: impl Source + 'static) -> Self {
        Deferred(Arc::new(source))
    }

    /// The value as a tensor, differentiable where the network is.
    ///
    /// # Errors
    /// Where it cannot be made (any more).
    pub fn get(&self) -> Result<Tensor> {
        self.0.tensor()
    }

    /// `(N, C, D, H, W)`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn dims(&self) -> Result<[usize; 5]> {
        self.0.dims()
    }

    /// Runs `f` with a function that reads rows.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn with_rows<R>(&self, f: impl FnOnce(ReadRow) -> R) -> Result<R> {
        let (mut f, mut result) = (Some(f), None);
        self.0.with_rows(&mut |read| result = f.take().map(|f| f(read)))?;
        result.ok_or_else(|| candle_core::Error::Msg("a deferred value gave no rows".to_owned()))
    }

    /// A scalar of candle's graph, of a known value and a known gradient with respect to this.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn loss(&self, value: f64, gradient: RowGradient) -> Result<Tensor> {
        self.0.loss(value as f32, gradient)
    }

    /// The same as a constant to the gradient.
    pub fn detach(&self) -> Self {
        Self::new(Constant(self.clone()))
    }
}

impl From<Tensor> for Deferred {
    /// A tensor `(N, C, D, H, W)` that exists already.
    fn from(tensor: Tensor) -> Self {
        Self::new(tensor)
    }
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deferred")
    }
}

struct Constant(Deferred);

impl Source for Constant {
    fn tensor(&self) -> Result<Tensor> {
        Ok(self.0.get()?.detach())
    }
    fn dims(&self) -> Result<[usize; 5]> {
        self.0.dims()
    }
    fn with_rows(&self, use_rows: &mut dyn FnMut(ReadRow)) -> Result<()> {
        self.0.0.with_rows(use_rows)
    }
    fn loss(&self, value: f32, _: RowGradient) -> Result<Tensor> {
        Tensor::new(value, &Device::Cpu)
    }
}

impl Source for Tensor {
    fn tensor(&self) -> Result<Tensor> {
        Ok(self.clone())
    }
    fn dims(&self) -> Result<[usize; 5]> {
        self.dims5().map(Into::into)
    }
    fn with_rows(&self, use_rows: &mut dyn FnMut(ReadRow)) -> Result<()> {
        let dims = Source::dims(self)?;
        with_slices("a deferred value", [&self.detach()], |[planes]| {
            use_rows(&|row, to| {
                to.fill(0.0);
                add_row(planes, dims, row, to);
            });
            Ok(())
        })
    }
    fn loss(&self, value: f32, gradient: RowGradient) -> Result<Tensor> {
        self.apply_op1(LossOfTensor { value, gradient })
    }
}

/// Adds a row of a tensor `(n, c, d, h, w)`.
pub(crate) fn add_row(planes: &[f32], [_, c, d, h, w]: [usize; 5], row: usize, to: &mut [f32]) {
    let (image, line) = (row / (d * h), row % (d * h));
    for channel in 0..c {
        let from = &planes[((image * c + channel) * d * h + line) * w..][..w];
        to[channel..].iter_mut().step_by(c).zip(from).for_each(|(to, from)| *to += from);
    }
}

struct LossOfTensor {
    value: f32,
    gradient: RowGradient,
}

impl CustomOp1 for LossOfTensor {
    fn name(&self) -> &'static str {
        "loss of a tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let (n, c, d, h, w) = x.dims5()?;
        let factor = upstream.to_scalar::<f32>()?;
        let mut voxels = vec![0.0; x.elem_count()];
        voxels.par_chunks_mut((w * c).max(1)).enumerate().for_each(|(row, to)| {
            if self.gradient.rows.contains(&row) {
                (self.gradient.add)(row, to);
                to.iter_mut().for_each(|value| *value *= factor);
            }
        });
        let planes = filled(voxels.len(), |planes| transpose(&voxels, n, [d * h * w, c], planes));
        Ok(Some(Tensor::from_vec(planes, x.shape(), &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn rows_are_channels_last_and_their_gradient_returns() -> Result<()> {
        let dims = [2, 3, 2, 2, 4];
        let values: Vec<f32> = (0..96).map(|i| (i as f32).sin()).collect();
        let x = Var::from_vec(values, &dims, &Device::Cpu)?;
        let deferred = Deferred::from(x.as_tensor().clone());
        assert_eq!(deferred.dims()?, dims);
        let expected = x.permute((0, 2, 3, 4, 1))?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
        let rows = deferred.with_rows(|read| {
            let mut rows = vec![f32::NAN; 96];
            rows.chunks_mut(12).enumerate().for_each(|(row, to)| read(row, to));
            rows
        })?;
        assert_eq!(rows, expected);

        // Every value is its own gradient, in the second image only.
        let gradient = RowGradient::new(4..8, move |row, to| {
            to.iter_mut().zip(&rows[row * 12..]).for_each(|(to, value)| *to += value);
        });
        let loss = deferred.loss(1.5, gradient.clone())?;
        assert_eq!(loss.to_scalar::<f32>()?, 1.5);
        let found = (loss * 2.0)?.backward()?;
        let found = found.get(&x).unwrap();
        let difference = (found.narrow(0, 1, 1)? - (x.narrow(0, 1, 1)? * 2.0)?)?;
        assert_eq!(difference.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        assert_eq!(found.narrow(0, 0, 1)?.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        assert!(deferred.detach().loss(1.5, gradient)?.backward()?.get(&x).is_none());
        Ok(())
    }
}
