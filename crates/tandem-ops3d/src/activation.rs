//! ReLU with PyTorch's gradient at 0, alone and behind a residual addition.

use crate::cpu::pointwise;
use crate::storage::{filled, slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

/// `max(x, 0)`. Its gradient at 0 is 0, as in PyTorch (candle's own is 1).
///
/// # Shapes
/// Any; returns the same.
///
/// # Errors
/// Where the tensor is not f32.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Relu)
}

/// `max(a + b, 0)`: the end of a residual block, in one pass over memory.
///
/// # Shapes
/// Two of one shape; returns the same.
///
/// # Errors
/// Where shapes differ or a tensor is not f32.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.shape() != b.shape() {
        bail!("add_relu takes two tensors of one shape, got {:?} and {:?}", a.dims(), b.dims())
    }
    a.contiguous()?.apply_op2(&b.contiguous()?, AddRelu)
}

struct Relu;
struct AddRelu;

fn gradient(name: &str, y: &Tensor, grad: &Tensor) -> Result<Tensor> {
    with_slices(name, [y, grad], |[y_values, grad]| {
        let dx = filled(grad.len(), |dx| pointwise::open_gradient(y_values, grad, dx));
        Tensor::from_vec(dx, y.shape(), &Device::Cpu)
    })
}

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice("relu", x, layout)?;
        Ok((CpuStorage::F32(filled(x.len(), |y| pointwise::relu(x, y))), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient("relu", y, grad)?))
    }
}

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add_relu"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (slice("add_relu", a, al)?, slice("add_relu", b, bl)?);
        Ok((CpuStorage::F32(filled(a.len(), |y| pointwise::add_relu(a, b, y))), al.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient("add_relu", y, grad)?;
        Ok((Some(gradient.clone()), Some(gradient)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn gradient_at_zero_is_zero() {
        let x = Var::new(&[-1.0f32, 0.0, 1.0], &Device::Cpu).unwrap();
        let grads = relu(&x).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn both_sides_of_a_residual_get_the_open_gradient() {
        let a = Var::new(&[-1.0f32, 2.0, 1.0], &Device::Cpu).unwrap();
        let b = Var::new(&[0.5f32, -1.0, -1.0], &Device::Cpu).unwrap();
        let y = add_relu(&a, &b).unwrap();
        assert_eq!(y.to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.0]);
        let grads = y.sum_all().unwrap().backward().unwrap();
        for input in [&a, &b] {
            assert_eq!(grads.get(input).unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        let x = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
        assert!(relu(&x).unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    }
}
