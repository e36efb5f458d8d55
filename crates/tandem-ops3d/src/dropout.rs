//! Dropout of whole channels.

use crate::cpu::pointwise;
use crate::storage::{filled, slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use tandem_random::Draws;

/// Drops whole channels of each image with the given probability and scales the others by `1 / (1 - probability)`
/// (Tompson et al. 2015; PyTorch's `Dropout3d`).
///
/// # Shapes
/// `(N, D, H, W, C)`; returns the same.
///
/// # Errors
/// Where the rank is not 5, the tensor is not f32, or the probability is not in [0, 1).
pub fn dropout3d(x: &Tensor, probability: f64, draws: &mut Draws) -> Result<Tensor> {
    let (n, _, _, _, channels) = x.dims5()?;
    let factors = channel_factors(n * channels, probability, draws)?;
    x.contiguous()?.apply_op1(ScaleChannels { factors, channels })
}

/// What each channel of each image is multiplied by.
pub(crate) fn channel_factors(count: usize, probability: f64, draws: &mut Draws) -> Result<Vec<f32>> {
    if !(0.0..1.0).contains(&probability) {
        bail!("dropout3d: the probability {probability} is not in [0, 1)")
    }
    let kept = (1.0 / (1.0 - probability)) as f32;
    Ok((0..count).map(|_| if draws.chance(probability) { 0.0 } else { kept }).collect())
}

struct ScaleChannels {
    /// `(N, C)`.
    factors: Vec<f32>,
    channels: usize,
}

impl CustomOp1 for ScaleChannels {
    fn name(&self) -> &'static str {
        "dropout3d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(self.name(), x, layout)?;
        let y = filled(x.len(), |y| pointwise::scale_channels(x, &self.factors, self.channels, y));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_slices(self.name(), [grad], |[grad]| {
            Ok(filled(grad.len(), |dx| pointwise::scale_channels(grad, &self.factors, self.channels, dx)))
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Var};

    #[test]
    fn whole_channels_drop_and_the_gradient_follows() {
        let x = Var::ones((3, 2, 1, 2, 40), DType::F32, &Device::Cpu).unwrap();
        let y = dropout3d(&x, 0.5, &mut Draws::new(1, "dropout", 0, 0)).unwrap();
        let values: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
        for n in 0..3 {
            for c in 0..40 {
                let channel: Vec<f32> = (0..4).map(|voxel| values[(n * 4 + voxel) * 40 + c]).collect();
                assert!(channel == [0.0; 4] || channel == [2.0; 4], "{channel:?}");
            }
        }
        let dropped = values.iter().filter(|value| **value == 0.0).count() / 4;
        // 120 coins: 60 +- 4 standard deviations.
        assert!((38..=82).contains(&dropped), "{dropped}");
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), values);
    }

    #[test]
    fn the_same_key_drops_the_same_channels() {
        let x = Tensor::ones((1, 1, 1, 1, 64), DType::F32, &Device::Cpu).unwrap();
        let drop = |slot| {
            let y = dropout3d(&x, 0.5, &mut Draws::new(1, "dropout", 0, slot)).unwrap();
            y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(drop(0), drop(0));
        assert_ne!(drop(0), drop(1));
    }
}
