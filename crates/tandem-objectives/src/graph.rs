//! How a loss that knows its own gradient joins candle's graph.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// A scalar tensor of a known value, whose gradient with respect to an input is known too. A loss of several inputs is a sum of such.
///
/// A chain of tensor operations would touch every voxel a dozen times and keep each intermediate for the backward
/// pass. The losses of this crate compute value and gradient together in plain loops and enter the graph here: the
/// backward pass only multiplies the stored gradient with the upstream scalar.
///
/// # Shapes
/// The gradient has the shape of its input; the result has none.
///
/// # Errors
/// Where the shapes differ, or the input is not on the CPU.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tandem_objectives::with_gradient;
///
/// let x = Var::new(&[3f32, 4.], &Device::Cpu)?;
/// let half_square = with_gradient(12.5, &x, &Tensor::new(&[3f32, 4.], &Device::Cpu)?)?;
/// let gradients = (half_square * 2.0)?.backward()?;
/// assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>()?, [6., 8.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn with_gradient(value: f64, input: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    if input.shape() != gradient.shape() {
        bail!("the gradient has shape {:?}, its input {:?}", gradient.dims(), input.dims());
    }
    input.apply_op1(Known { value: value as f32, gradient: gradient.detach() })
}

/// A value and its gradient, found before the graph asks for them.
struct Known {
    value: f32,
    gradient: Tensor,
}

impl CustomOp1 for Known {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let scale = upstream.to_scalar::<f32>()?;
        // The sum of the losses is what is differentiated, so the factor is nearly always one.
        let of_one = scale == 1.0;
        Ok(Some(if of_one { self.gradient.clone() } else { self.gradient.affine(f64::from(scale), 0.0)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn losses_of_several_inputs_add_up() -> Result<()> {
        let vars = [Var::new(&[0f32], &Device::Cpu)?, Var::new(&[1f32], &Device::Cpu)?];
        let gradient = |value: f32| Tensor::full(value, 1, &Device::Cpu);
        let sum =
            (with_gradient(7., &vars[0], &gradient(1.)?)? + with_gradient(2., &vars[1], &gradient(2.)?)?)?;
        assert_eq!(sum.to_scalar::<f32>()?, 9.);
        let gradients = (sum * 3.)?.backward()?;
        for (var, expected) in vars.iter().zip([3., 6.]) {
            assert_eq!(gradients.get(var).unwrap().to_vec1::<f32>()?, [expected]);
        }
        Ok(())
    }

    #[test]
    fn a_gradient_of_another_shape_is_refused() {
        let [x, wrong] = [2, 3].map(|side| Tensor::zeros(side, DType::F32, &Device::Cpu).unwrap());
        assert!(with_gradient(0., &x, &wrong).is_err());
    }
}
