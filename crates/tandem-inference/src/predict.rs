//! Sliding-window prediction.

use crate::sums::Sums;
use crate::windows::Grid;
use crate::{Error, Result, SlidingWindow};
use candle_core::{Device, Tensor};
use ndarray::{Array3, Array4, Slice};
use std::ops::ControlFlow;
use tandem_networks::{Pass, Segmenter};

/// The class probabilities of an image, given by its channels, by each network: the mean softmax over all windows that
/// hold a voxel.
///
/// Windows start every `stride` voxels, and the last one ends with the image. An image smaller than the patch is padded
/// with zeros on both sides, and the padding is cut off the result. Networks run in evaluation mode; all of them see a
/// window before the next is cut. `progress` is told how many windows of how many are done, and may
/// end the work.
///
/// # Shapes
/// One `(i, j, k)` per channel to one `(K, i, j, k)` per network.
///
/// # Errors
/// [`Error::Stopped`] where `progress` ended it. Where a field of the window is out of range, the patch does not fit a network's divisor, a network takes another
/// number of channels or fails, the channels differ in shape, or the image or a network's output is not finite.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use ndarray::Array3;
/// use std::ops::ControlFlow;
/// use tandem_inference::{SlidingWindow, label_map, predict};
/// use tandem_networks::{NetworkConfig, build};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = NetworkConfig { filters: 2, ..Default::default() };
/// let (network, _) = build("vnet", &config, 1337, &tandem_networks::Device::Cpu)?;
/// let window = SlidingWindow { patch: [16; 3], stride: [16, 16, 8], batch: 2 };
/// let scan = Array3::zeros((20, 16, 12));
/// let probabilities = predict(&[network.as_ref()], &[&scan], &window, &Device::Cpu, &mut |done, of| {
///     println!("{done} of {of} windows");
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(probabilities[0].dim(), (2, 20, 16, 12));
/// assert_eq!(label_map(&probabilities[0]).dim(), scan.dim());
/// # Ok(())
/// # }
/// ```
///
/// # References
/// The released code of L. Yu et al., "Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium
/// segmentation", MICCAI 2019, which later methods on the same data share.
pub fn predict(
    networks: &[&dyn Segmenter],
    channels: &[&Array3<f32>],
    window: &SlidingWindow,
    device: &Device,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Array4<f32>>> {
    window.check()?;
    let check =
        |(index, network): (usize, &&dyn Segmenter)| check_network(index, *network, channels.len(), window);
    networks.iter().enumerate().try_for_each(check)?;
    let shape = check_channels(channels)?;
    let grid = Grid::new(shape, window);
    let padded: Vec<_> = channels.iter().map(|channel| grid.pad(channel)).collect();
    let mut sums: Vec<_> = networks.iter().map(|network| Sums::new(&grid, network.num_classes())).collect();

    let starts = grid.starts();
    let [pi, pj, pk] = window.patch;
    for (index, batch) in starts.chunks(window.batch).enumerate() {
        let mut voxels = Vec::<f32>::with_capacity(batch.len() * padded.len() * pi * pj * pk);
        for &start in batch {
            let within = grid.window(start);
            for channel in &padded {
                let window = channel.slice_each_axis(|axis| Slice::from(within[axis.axis.index()].clone()));
                window.rows().into_iter().for_each(|row| voxels.extend(row));
            }
        }
        let input = Tensor::from_vec(voxels, (batch.len(), padded.len(), pi, pj, pk), device)?;
        for (network, sum) in networks.iter().zip(&mut sums) {
            let logits = network.forward(&input, Pass::Infer)?.logits;
            sum.add(batch, &logits)?;
        }
        if progress(index * window.batch + batch.len(), starts.len()).is_break() {
            return Err(Error::Stopped);
        }
    }
    sums.into_iter().enumerate().map(|(index, sum)| sum.average(index)).collect()
}

/// The one shape of all channels, whose voxels are finite.
fn check_channels(channels: &[&Array3<f32>]) -> Result<[usize; 3]> {
    let shape = channels.first().map_or([0; 3], |first| first.dim().into());
    for channel in channels {
        if <[usize; 3]>::from(channel.dim()) != shape {
            let shapes = format!("{shape:?} and {:?}", channel.shape());
            return Err(Error::Channels(format!(
                "channels of one scan have the shapes {shapes}; resample one of them"
            )));
        }
        if let Some(((i, j, k), _)) = channel.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::Image([i, j, k]));
        }
    }
    Ok(shape)
}

fn check_network(
    index: usize,
    network: &dyn Segmenter,
    channels: usize,
    window: &SlidingWindow,
) -> Result<()> {
    if network.in_channels() != channels {
        let wanted = network.in_channels();
        return Err(Error::Channels(format!(
            "network {index} takes scans of {wanted} channel(s), but this one has {channels}; give it those it was trained \
             on"
        )));
    }
    if !(1..=256).contains(&network.num_classes()) {
        let classes = network.num_classes();
        return Err(Error::Networks(format!(
            "network {index} has {classes} classes; a label map holds 1 to 256"
        )));
    }
    let divisor = network.size_divisor();
    if window.patch.iter().any(|side| side % divisor != 0) {
        let problem = format!(
            "{:?} must be a multiple of {divisor} along every axis for network {index}",
            window.patch
        );
        return Err(Error::Window { field: "patch", problem });
    }
    Ok(())
}
