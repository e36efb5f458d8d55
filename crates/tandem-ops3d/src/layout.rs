//! Between channels-last and channels-first tensors.
//!
//! A permuted view would do, but candle adds gradients in the order of the viewed axes, element by element; these copy
//! in both directions.

use crate::cpu::transpose::transpose;
use crate::storage::{filled, slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

/// `(N, D, H, W, C)` to a contiguous `(N, C, D, H, W)`.
///
/// # Errors
/// Where the rank is not 5 or the tensor is not f32.
pub fn to_channels_first(x: &Tensor) -> Result<Tensor> {
    let (n, d, h, w, c) = x.dims5()?;
    x.contiguous()?.apply_op1(Transpose { images: n, rows: d * h * w, columns: c, to: [n, c, d, h, w] })
}

/// `(N, C, D, H, W)` to a contiguous `(N, D, H, W, C)`.
///
/// # Errors
/// Where the rank is not 5 or the tensor is not f32.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let (n, c, d, h, w) = x.dims5()?;
    x.contiguous()?.apply_op1(Transpose { images: n, rows: c, columns: d * h * w, to: [n, d, h, w, c] })
}

/// Each image is a matrix that is transposed.
struct Transpose {
    images: usize,
    rows: usize,
    columns: usize,
    to: [usize; 5],
}

impl Transpose {
    fn run(&self, x: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
        filled(x.len(), |y| transpose(x, self.images, [rows, columns], y))
    }
}

impl CustomOp1 for Transpose {
    fn name(&self) -> &'static str {
        "layout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.run(slice(self.name(), x, layout)?, [self.rows, self.columns]);
        Ok((CpuStorage::F32(y), Shape::from(&self.to)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_slices(self.name(), [grad], |[grad]| Ok(self.run(grad, [self.columns, self.rows])))?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn both_directions_and_their_gradients_equal_a_permutation() -> Result<()> {
        for dims in [[2, 3, 5, 7, 4], [1, 9, 20, 3, 17], [2, 2, 2, 2, 1]] {
            let count: usize = dims.iter().product();
            let values: Vec<f32> = (0..count).map(|i| (i as f32).sin()).collect();
            let x = Var::from_vec(values, &dims, &Device::Cpu)?;
            let y = to_channels_first(&x)?;
            let flat = |t: &Tensor| t.contiguous()?.flatten_all()?.to_vec1::<f32>();
            assert_eq!(flat(&y)?, flat(&x.permute((0, 4, 1, 2, 3))?)?);
            assert_eq!(flat(&to_channels_last(&y)?)?, flat(&x)?);
            // Each value's gradient is its own square: it must come back to its own place.
            let grads = (y.sqr()? * 0.5)?.sum_all()?.backward()?;
            assert_eq!(flat(grads.get(&x).unwrap())?, flat(&x)?);
        }
        Ok(())
    }
}
