//! The only place where voxels become tensors.

use crate::Result;
use crate::dataset::Patch;
use candle_core::{Device, Tensor, bail};
use tandem_objectives::Batch;

/// Stacks patches of one size, labelled ones first, into images `(B, 1, D, H, W)` and labels `(L, D, H, W)`.
///
/// # Errors
/// Where there is no patch, or the patches differ in size.
pub fn stack(patches: &[Patch], device: &Device) -> Result<Batch> {
    let Some(first) = patches.first() else {
        return Err(candle_core::Error::Msg("a batch needs at least one patch".into()).into());
    };
    let (d, h, w) = first.image.dim();
    let labelled = patches.iter().take_while(|patch| patch.label.is_some()).count();
    let mut images: Vec<f32> = Vec::with_capacity(patches.len() * d * h * w);
    let mut labels: Vec<u8> = Vec::with_capacity(labelled * d * h * w);
    for patch in patches {
        check_size(patch, (d, h, w))?;
        images.extend(patch.image.iter());
        labels.extend(patch.label.iter().flatten());
    }
    Ok(Batch {
        images: Tensor::from_vec(images, (patches.len(), 1, d, h, w), device)?,
        labels: Tensor::from_vec(labels, (labelled, d, h, w), device)?,
    })
}

fn check_size(patch: &Patch, size: (usize, usize, usize)) -> candle_core::Result<()> {
    if patch.image.dim() != size || patch.label.as_ref().is_some_and(|label| label.dim() != size) {
        bail!("a patch of a batch has size {:?}, the first has {size:?}", patch.image.dim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    fn patch(first: f32, label: Option<u8>) -> Patch {
        let image = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| first + (i * 12 + j * 4 + k) as f32);
        Patch { image, label: label.map(|class| Array3::from_elem((2, 3, 4), class)) }
    }

    #[test]
    fn the_axes_of_a_patch_are_those_of_the_tensor() {
        let batch = stack(&[patch(0.0, Some(1)), patch(100.0, None)], &Device::Cpu).unwrap();
        assert_eq!(batch.images.dims(), [2, 1, 2, 3, 4]);
        assert_eq!(batch.labels.dims(), [1, 2, 3, 4]);
        let at = |b: usize, i: usize, j: usize, k: usize| {
            let voxel =
                batch.images.get(b).unwrap().get(0).unwrap().get(i).unwrap().get(j).unwrap().get(k).unwrap();
            voxel.to_scalar::<f32>().unwrap()
        };
        assert_eq!((at(0, 1, 2, 3), at(1, 0, 1, 0)), (23.0, 104.0));
        assert_eq!(batch.labels.flatten_all().unwrap().to_vec1::<u8>().unwrap(), [1; 24]);
    }

    #[test]
    fn patches_of_two_sizes_are_refused() {
        let other = Patch { image: Array3::zeros((2, 2, 2)), label: None };
        assert!(stack(&[patch(0.0, None), other], &Device::Cpu).is_err());
        assert!(stack(&[], &Device::Cpu).is_err());
    }
}
