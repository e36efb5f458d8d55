//! Sliding-window prediction.

use crate::sums::Sums;
use crate::windows::Grid;
use crate::{Error, Result, SlidingWindow};
use candle_core::{Device, Tensor};
use ndarray::{Array3, Array4, Axis, CowArray, Ix3, Slice};
use std::ops::{ControlFlow, Range};
use tandem_networks::{Pass, Segmenter};
use tandem_ops3d::WindowPlace;

/// The class probabilities of an image, given by its channels, by each network: the mean softmax over all windows that
/// hold a voxel.
///
/// Windows start every `stride` voxels, and the last one ends with the image. An image smaller than the patch is padded
/// with zeros on both sides, and the padding is cut off the result. Networks run in evaluation mode; all of them see a
/// window before the next is cut. `progress` is told how many windows of how many are done (each mirror image counts), and may
/// end the work. The result is the only thing in memory that grows with the whole image: [`segment_planes`](crate::segment_planes)
/// does without it.
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
/// let window = SlidingWindow { patch: [16; 3], stride: [16, 16, 8], batch: 2, mirror: false };
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
    let [ni, nj, nk] = check(networks, channels, window)?;
    let mut whole: Vec<_> =
        networks.iter().map(|network| Array4::zeros((network.num_classes(), ni, nj, nk))).collect();
    let mut take = |i, planes: Vec<Array3<f32>>| {
        for (whole, plane) in whole.iter_mut().zip(&planes) {
            whole.index_axis_mut(Axis(1), i).assign(plane);
        }
        Ok(())
    };
    slide(networks, channels, window, device, &mut take, progress)?;
    Ok(whole)
}

/// Why networks, channels and window cannot be used together; else the shape of the channels.
pub(crate) fn check(
    networks: &[&dyn Segmenter],
    channels: &[&Array3<f32>],
    window: &SlidingWindow,
) -> Result<[usize; 3]> {
    window.check()?;
    let check =
        |(index, network): (usize, &&dyn Segmenter)| check_network(index, *network, channels.len(), window);
    networks.iter().enumerate().try_for_each(check)?;
    check_channels(channels)
}

/// [`predict`], plane by plane: `take` gets the index along i of each plane in turn and its probabilities `(K, j, k)` by each
/// network. Networks, channels and window have passed their [`check`].
///
/// Windows come in layers along i, and sums are kept for as many planes as a window has: when a layer begins, what lies
/// before it is finished. Each voxel is the same sum in the same order as if all planes were kept.
pub(crate) fn slide(
    networks: &[&dyn Segmenter],
    channels: &[&Array3<f32>],
    window: &SlidingWindow,
    device: &Device,
    take: &mut dyn FnMut(usize, Vec<Array3<f32>>) -> Result<()>,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<()> {
    let shape = channels.first().map_or([0; 3], |first| first.dim().into());
    let grid = Grid::new(shape, window);
    let padded: Vec<_> = channels.iter().map(|channel| grid.pad(channel)).collect();
    let images = window.images();
    let of_network = |network: &&dyn Segmenter| Sums::new(&grid, network.num_classes(), images.len());
    let mut sums: Vec<_> = networks.iter().map(of_network).collect();
    let inside = grid.inside()[0].clone();
    let mut finish = |sums: &mut [Sums], planes: Range<usize>| {
        // Planes of padding are nobody's.
        planes.filter(|i| inside.contains(i)).try_for_each(|i| {
            let finished = sums.iter_mut().enumerate().map(|(network, sums)| sums.finish(i, network));
            take(i - inside.start, finished.collect::<Result<_>>()?)
        })
    };
    let (mut finished, mut done) = (0, 0);
    for (first, starts) in grid.layers() {
        finish(&mut sums, finished..first)?;
        finished = first;
        // All images of a window before the next window, so that no batch changes the order of a sum.
        let of_window =
            |&start: &[usize; 3]| images.iter().map(move |&mirrored| WindowPlace { start, mirrored });
        let seen: Vec<WindowPlace> = starts.iter().flat_map(of_window).collect();
        for batch in seen.chunks(window.at_once()) {
            let input = cut(&grid, &padded, batch, device)?;
            for (network, sums) in networks.iter().zip(&mut sums) {
                sums.add(batch, &network.forward(&input, Pass::Infer)?.logits)?;
            }
            done += batch.len();
            if progress(done, grid.windows() * images.len()).is_break() {
                return Err(Error::Stopped);
            }
        }
    }
    finish(&mut sums, finished..grid.padded()[0])
}

/// Windows as a network takes them: `(N, C, i, j, k)`.
fn cut(
    grid: &Grid,
    padded: &[CowArray<'_, f32, Ix3>],
    batch: &[WindowPlace],
    device: &Device,
) -> Result<Tensor> {
    let [pi, pj, pk] = grid.patch();
    let mut voxels = Vec::<f32>::with_capacity(batch.len() * padded.len() * pi * pj * pk);
    for &WindowPlace { start, mirrored } in batch {
        let within = grid.window(start);
        for channel in padded {
            let mut window = channel.slice_each_axis(|axis| Slice::from(within[axis.axis.index()].clone()));
            (0..3).filter(|axis| mirrored[*axis]).for_each(|axis| window.invert_axis(Axis(axis)));
            window.rows().into_iter().for_each(|row| voxels.extend(row));
        }
    }
    Ok(Tensor::from_vec(voxels, (batch.len(), padded.len(), pi, pj, pk), device)?)
}

/// The one shape of all channels, whose voxels are finite.
fn check_channels(channels: &[&Array3<f32>]) -> Result<[usize; 3]> {
    let shape: [usize; 3] = channels.first().map_or([0; 3], |first| first.dim().into());
    if shape.contains(&0) {
        return Err(Error::Channels(format!(
            "the scan has {shape:?} voxels; give one with a voxel at least"
        )));
    }
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
