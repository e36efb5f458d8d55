//! How a loss that knows its own gradients joins candle's graph.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// A scalar tensor of a known value, whose gradients with respect to up to three inputs are known too.
///
/// A chain of tensor operations would touch every voxel a dozen times and keep each intermediate for the backward
/// pass. The losses of this crate compute value and gradient together in plain loops and enter the graph here: the
/// backward pass only multiplies the stored gradients with the upstream scalar.
///
/// # Shapes
/// Each gradient has the shape of its input; the result has none.
///
/// # Errors
/// Where there are no inputs or more than three, a shape differs, or an input is not an f32 tensor on the CPU.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tandem_objectives::with_gradients;
///
/// let x = Var::new(&[3f32, 4.], &Device::Cpu)?;
/// let half_square = with_gradients(12.5, &[(&x, Tensor::new(&[3f32, 4.], &Device::Cpu)?)])?;
/// let gradients = (half_square * 2.0)?.backward()?;
/// assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>()?, [6., 8.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn with_gradients(value: f64, inputs: &[(&Tensor, Tensor)]) -> Result<Tensor> {
    for (input, gradient) in inputs {
        if input.shape() != gradient.shape() {
            bail!("the gradient has shape {:?}, its input {:?}", gradient.dims(), input.dims());
        }
    }
    let gradients = inputs.iter().map(|(_, gradient)| gradient.detach()).collect();
    let op = Known { value: value as f32, gradients };
    match inputs {
        [(a, _)] => a.apply_op1(op),
        [(a, _), (b, _)] => a.apply_op2(b, op),
        [(a, _), (b, _), (c, _)] => a.apply_op3(b, c, op),
        _ => bail!("a loss hangs on one to three tensors, not on {}", inputs.len()),
    }
}

/// A value and its gradients, found before the graph asks for them.
struct Known {
    value: f32,
    gradients: Vec<Tensor>,
}

impl Known {
    fn forward(&self) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn gradient(&self, input: usize, upstream: &Tensor) -> Result<Option<Tensor>> {
        let gradient = &self.gradients[input];
        let scale = upstream.to_scalar::<f32>()?;
        // The sum of the losses is what is differentiated, so the factor is nearly always one.
        Ok(Some(if scale == 1.0 { gradient.clone() } else { gradient.affine(f64::from(scale), 0.0)? }))
    }
}

const NAME: &str = "loss";

impl CustomOp1 for Known {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(0, upstream)
    }
}

impl CustomOp2 for Known {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(0, upstream)?, self.gradient(1, upstream)?))
    }
}

impl CustomOp3 for Known {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(0, upstream)?, self.gradient(1, upstream)?, self.gradient(2, upstream)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn upstream_factors_and_all_three_inputs_are_honoured() -> Result<()> {
        let vars = (0..3).map(|i| Var::new(&[i as f32], &Device::Cpu)).collect::<Result<Vec<_>>>()?;
        let gradient = |i: usize| Tensor::full(i as f32 + 1., 1, &Device::Cpu);
        let inputs = (0..3)
            .map(|i| Ok((vars[i].as_tensor(), gradient(i)?)))
            .collect::<Result<Vec<(&Tensor, Tensor)>>>()?;
        for count in 1..=3 {
            let gradients = (with_gradients(7., &inputs[..count])? * 3.)?.backward()?;
            for i in 0..count {
                assert_eq!(gradients.get(&vars[i]).unwrap().to_vec1::<f32>()?, [3. * (i as f32 + 1.)]);
            }
        }
        Ok(())
    }

    #[test]
    fn a_gradient_of_another_shape_is_refused() {
        let x = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        let wrong = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(with_gradients(0., &[(&x, wrong)]).is_err());
        assert!(with_gradients(0., &[]).is_err());
    }
}
