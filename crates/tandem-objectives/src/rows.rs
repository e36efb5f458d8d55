//! Tensors of a batch as rows of plain numbers: one row of channels for each voxel, patch after patch.

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Voxels of one task. A constant, so that the order of every sum follows from the shape alone, never from the number
/// of threads.
pub(crate) const CHUNK: usize = 8192;

/// The channels of every voxel of some patches of an `(N, C, D, H, W)` tensor, as `(patches * D * H * W, C)`.
///
/// A channels-first view of channels-last storage is copied straight; contiguous tensors are transposed.
pub(crate) fn read(tensor: &Tensor, patches: Range<usize>) -> Result<Vec<f32>> {
    let (_, channels, d, h, w) = tensor.dims5()?;
    let part = tensor.detach().narrow(0, patches.start, patches.len())?;
    let channels_last = part.permute((0, 2, 3, 4, 1))?;
    if channels_last.is_contiguous() {
        return with_slice(&channels_last, |values| values.to_vec());
    }
    let voxels = d * h * w;
    with_slice(&part.contiguous()?, |planes| {
        let mut rows = vec![0.0; planes.len()];
        in_chunks(&mut rows, voxels, channels).for_each(|(patch, first, chunk)| {
            for (v, row) in chunk.chunks_exact_mut(channels).enumerate() {
                for (c, value) in row.iter_mut().enumerate() {
                    *value = planes[(patch * channels + c) * voxels + first + v];
                }
            }
        });
        rows
    })
}

/// Puts the rows of some patches back into a tensor shaped like `like`, zero in the other patches.
///
/// The result is contiguous: candle's backward pass adds it to contiguous zeros.
pub(crate) fn write(rows: &[f32], patches: Range<usize>, like: &Tensor) -> Result<Tensor> {
    let (_, channels, d, h, w) = like.dims5()?;
    let voxels = d * h * w;
    let mut planes = vec![0.0; like.elem_count()];
    let part = &mut planes[patches.start * channels * voxels..patches.end * channels * voxels];
    part.par_chunks_mut(voxels).enumerate().for_each(|(plane, values)| {
        let (patch, c) = (plane / channels, plane % channels);
        let patch = &rows[patch * channels * voxels..][..channels * voxels];
        for (value, row) in values.iter_mut().zip(patch.chunks_exact(channels)) {
            *value = row[c];
        }
    });
    Tensor::from_vec(planes, like.shape(), like.device())
}

/// Chunks of the rows of each patch: the patch, the chunk's first voxel in it, its values.
fn in_chunks(
    rows: &mut [f32],
    voxels: usize,
    channels: usize,
) -> impl ParallelIterator<Item = (usize, usize, &mut [f32])> {
    rows.par_chunks_mut((voxels * channels).max(1)).enumerate().flat_map(move |(patch, values)| {
        values.par_chunks_mut(CHUNK * channels).enumerate().map(move |(i, chunk)| (patch, i * CHUNK, chunk))
    })
}

/// The u8 values of a tensor in order.
pub(crate) fn read_labels(labels: &Tensor) -> Result<Vec<u8>> {
    labels.flatten_all()?.to_vec1()
}

fn with_slice<R>(tensor: &Tensor, use_slice: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("the losses are computed on the CPU so far; this tensor is on {:?}", tensor.device().location())
    };
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(use_slice(&values[start..end])),
        None => bail!("a contiguous tensor is needed, this one has strides {:?}", layout.stride()),
    }
}

/// A number for each chunk of voxels, in order, found in parallel.
pub(crate) fn per_chunk<T: Send>(voxels: usize, value: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    (0..voxels.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| value(chunk * CHUNK..((chunk + 1) * CHUNK).min(voxels)))
        .collect()
}

/// The sum of a value over voxels.
pub(crate) fn sum(voxels: usize, value: impl Fn(usize) -> f64 + Sync) -> f64 {
    per_chunk(voxels, |chunk| chunk.map(&value).sum::<f64>()).into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_of_either_layout_are_the_same_and_return() -> Result<()> {
        let (n, c, s) = (3, 2, (2, 3, 5));
        let contiguous = Tensor::arange(0f32, 180., &Device::Cpu)?.reshape((n, c, s.0, s.1, s.2))?;
        let view = contiguous.permute((0, 2, 3, 4, 1))?.contiguous()?.permute((0, 4, 1, 2, 3))?;
        assert!(!view.is_contiguous());
        let rows = read(&contiguous, 1..3)?;
        assert_eq!(rows, read(&view, 1..3)?);
        assert_eq!(rows[..4], [60., 90., 61., 91.]);
        let back = write(&rows, 1..3, &view)?;
        assert_eq!(
            back.narrow(0, 1, 2)?.flatten_all()?.to_vec1::<f32>()?,
            contiguous.narrow(0, 1, 2)?.flatten_all()?.to_vec1::<f32>()?
        );
        assert_eq!(back.narrow(0, 0, 1)?.abs()?.sum_all()?.to_scalar::<f32>()?, 0.);
        Ok(())
    }

    #[test]
    fn sums_do_not_depend_on_threads() {
        let value = |v: usize| (v as f64).sin();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let n = 5 * CHUNK + 17;
        assert_eq!(one.install(|| sum(n, value)).to_bits(), many.install(|| sum(n, value)).to_bits());
    }
}
