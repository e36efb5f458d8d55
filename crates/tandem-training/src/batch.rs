//! The only place where voxels become tensors.

use crate::Result;
use crate::dataset::Patch;
use candle_core::{Device, Tensor, bail};
use tandem_objectives::Batch;
use tandem_ops3d::Brought;

/// Stacks patches of one size, labelled ones first, into images `(B, C, D, H, W)` and labels `(L, D, H, W)`, and their strong
/// views, where they have one, into images of the same shape.
///
/// # Errors
/// Where there is no patch, the patches differ in size or channels, or some have a strong view and others have none.
pub fn stack(patches: &[Patch], device: &Device) -> Result<Batch> {
    let Some(first) = patches.first() else {
        return Err(candle_core::Error::Msg("a batch needs at least one patch".into()).into());
    };
    let (c, d, h, w) = first.image.dim();
    let labelled = patches.iter().take_while(|patch| patch.label.is_some()).count();
    let mut images: Vec<f32> = Vec::with_capacity(patches.len() * first.image.len());
    let mut labels: Vec<u8> = Vec::with_capacity(labelled * d * h * w);
    let mut strong: Vec<f32> = Vec::with_capacity(first.strong.as_ref().map_or(0, |_| images.capacity()));
    for patch in patches {
        check_size(patch, first)?;
        images.extend(patch.image.iter());
        labels.extend(patch.label.iter().flatten());
        strong.extend(patch.strong.iter().flatten());
    }
    let shape = (patches.len(), c, d, h, w);
    Ok(Batch {
        images: Tensor::from_vec(images, shape, device)?,
        labels: Tensor::from_vec(labels, (labelled, d, h, w), device)?,
        strong: first.strong.as_ref().map(|_| Tensor::from_vec(strong, shape, device)).transpose()?,
    })
}

/// A batch whose images lie where the networks run, before a step asks for them.
pub(crate) struct Staged {
    pub(crate) batch: Batch,
    /// Kept as long as the batch.
    _images: Option<Brought>,
}

/// Stacks patches, and brings their images to where the networks run.
pub(crate) fn stage(patches: &[Patch], device: &tandem_networks::Device) -> Result<Staged> {
    let batch = stack(patches, &Device::Cpu)?;
    Ok(Staged { _images: device.bring(&batch.images)?, batch })
}

fn check_size(patch: &Patch, first: &Patch) -> candle_core::Result<()> {
    let size = first.image.shape();
    let fits = patch.label.as_ref().is_none_or(|label| label.shape() == &size[1..])
        && patch.strong.as_ref().is_none_or(|view| view.shape() == size);
    if patch.image.shape() != size || !fits {
        bail!("a patch of a batch has size {:?}, the first has {size:?}", patch.image.shape());
    }
    if patch.strong.is_some() != first.strong.is_some() {
        bail!("some patches of a batch have a strong view, others have none");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, Array4};

    /// Two channels, the second 1000 higher.
    fn patch(first: f32, label: Option<u8>) -> Patch {
        let value = |(c, i, j, k)| first + (1000 * c + i * 12 + j * 4 + k) as f32;
        let image = Array4::from_shape_fn((2, 2, 3, 4), value);
        Patch { image, label: label.map(|class| Array3::from_elem((2, 3, 4), class)), strong: None }
    }

    #[test]
    fn the_axes_of_a_patch_are_those_of_the_tensor() {
        let batch = stack(&[patch(0.0, Some(1)), patch(100.0, None)], &Device::Cpu).unwrap();
        assert_eq!(batch.images.dims(), [2, 2, 2, 3, 4]);
        assert_eq!(batch.labels.dims(), [1, 2, 3, 4]);
        let at = |place: [usize; 5]| {
            let voxel = place.iter().fold(batch.images.clone(), |part, &index| part.get(index).unwrap());
            voxel.to_scalar::<f32>().unwrap()
        };
        assert_eq!((at([0, 0, 1, 2, 3]), at([1, 0, 0, 1, 0])), (23.0, 104.0));
        assert_eq!((at([0, 1, 1, 2, 3]), at([1, 1, 0, 1, 0])), (1023.0, 1104.0));
        assert_eq!(batch.labels.flatten_all().unwrap().to_vec1::<u8>().unwrap(), [1; 24]);
    }

    #[test]
    fn strong_views_are_stacked_like_the_images() {
        let seen = |value: f32| {
            let patch = patch(value, None);
            Patch { strong: Some(&patch.image + 0.5), ..patch }
        };
        let batch = stack(&[seen(0.0), seen(100.0)], &Device::Cpu).unwrap();
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let strong = batch.strong.as_ref().unwrap();
        assert_eq!(strong.dims(), batch.images.dims());
        assert!(flat(strong).iter().zip(flat(&batch.images)).all(|(strong, image)| *strong == image + 0.5));
        assert!(stack(&[patch(0.0, None)], &Device::Cpu).unwrap().strong.is_none());
        for mixed in [[seen(0.0), patch(0.0, None)], [patch(0.0, None), seen(0.0)]] {
            assert!(stack(&mixed, &Device::Cpu).unwrap_err().to_string().contains("strong view"));
        }
    }

    #[test]
    fn patches_of_two_sizes_are_refused() {
        for dims in [(2, 2, 2, 2), (1, 2, 3, 4)] {
            let other = Patch { image: Array4::zeros(dims), label: None, strong: None };
            assert!(stack(&[patch(0.0, None), other], &Device::Cpu).is_err());
        }
        assert!(stack(&[], &Device::Cpu).is_err());
    }
}
