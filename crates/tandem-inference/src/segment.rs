//! A scan from its own grid and back.

use crate::predict::{check, slide};
use crate::{Error, Result, SlidingWindow, ensemble, label_map};
use candle_core::Device;
use ndarray::{Array2, Array3, Array4, Axis};
use std::ops::ControlFlow;
use tandem_networks::Segmenter;
use tandem_volume::resample::{self, PlanesOnto};
use tandem_volume::{Geometry, Image, Volume};

/// How scans are segmented: on which grid, and by which windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol {
    /// The window, in voxels of the working grid.
    pub window: SlidingWindow,
    /// Spacing of the working grid in mm, along i, j, k; none for each scan's own.
    pub spacing: Option<[f64; 3]>,
}

/// Which grid a plane lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The scan's own.
    Own,
    /// The working grid, where that is another one.
    Working,
}

/// What the networks say of all voxels of a grid that have one index along i.
#[derive(Clone, Debug)]
pub struct Plane<'a> {
    /// Its grid.
    pub on: On,
    /// Where the voxels of that grid lie.
    pub geometry: &'a Geometry,
    /// How many there are.
    pub shape: [usize; 3],
    /// The plane's index along i.
    pub index: usize,
    /// `(K, j, k)` by each network, in the order they were given.
    pub networks: Vec<Array3<f32>>,
    /// Their mean.
    pub ensemble: Array3<f32>,
}

impl Plane<'_> {
    /// The label map of the ensemble, `(j, k)`.
    pub fn label(&self) -> Array2<u8> {
        label_map(&self.ensemble)
    }
}

/// Segments a scan: resampled to the protocol's spacing, predicted by sliding window, and the probabilities brought
/// back to the scan's own grid. Intensities must be normalised already, as those of the training data were.
///
/// `take` gets every plane of the scan's own grid, and of the working grid where that is another one; those of each grid in
/// order. Beside the scan and what `take` keeps, memory holds the probabilities of as many planes of the working grid as a
/// window has: networks * classes * window's side along i * sides along j and k * 4 bytes.
///
/// # Errors
/// As [`predict`](crate::predict); where there is no network or the networks differ in their classes; where the spacing cannot
/// be used; the first error of `take`.
pub fn segment_planes(
    networks: &[&dyn Segmenter],
    scan: Image,
    protocol: &Protocol,
    device: &Device,
    take: &mut dyn FnMut(Plane) -> Result<()>,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<()> {
    if networks.is_empty() {
        return Err(Error::Networks(
            "a scan is segmented by at least one network, but none is given".to_owned(),
        ));
    }
    let (own, own_shape) = (scan.geometry().clone(), scan.shape());
    let spacing = protocol.spacing.filter(|spacing| !resample::same_spacing(*spacing, own.spacing()));
    let image = match spacing {
        None => scan,
        Some(spacing) => {
            let image = scan.map(|channel| resample::image_to_spacing(channel, spacing))?;
            // The scan on its own grid is not needed any more, and leaves room for what is to come.
            drop(scan);
            image
        }
    };
    let (geometry, shape) = (image.geometry(), image.shape());
    let channels: Vec<_> = image.channels().iter().map(Volume::array).collect();
    check(networks, &channels, &protocol.window)?;
    let back = |_| PlanesOnto::new(geometry, shape, &own, own_shape);
    let resampled = networks.iter().filter(|_| spacing.is_some());
    let mut back = resampled.map(back).collect::<tandem_volume::Result<Vec<_>>>()?;
    let mut taken = |index, planes: Vec<Array3<f32>>| {
        let ensemble_of = ensemble(&planes)?;
        if spacing.is_none() {
            let (on, networks, ensemble) = (On::Own, planes, ensemble_of);
            return take(Plane { on, geometry, shape, index, networks, ensemble });
        }
        let restored = planes.iter().zip(&mut back).map(|(plane, back)| back.push(plane.clone()));
        let restored = restored.collect::<tandem_volume::Result<Vec<_>>>()?;
        take(Plane { on: On::Working, geometry, shape, index, networks: planes, ensemble: ensemble_of })?;
        // All networks complete the same planes.
        let mut restored: Vec<_> = restored.into_iter().map(Vec::into_iter).collect();
        while let Some(planes) = restored.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
            let index = planes[0].0;
            let networks: Vec<_> = planes.into_iter().map(|(_, plane)| plane).collect();
            let ensemble = ensemble(&networks)?;
            take(Plane { on: On::Own, geometry: &own, shape: own_shape, index, networks, ensemble })?;
        }
        Ok(())
    };
    slide(networks, &channels, &protocol.window, device, &mut taken, progress)
}

/// What the networks say of one scan.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// On the scan's own grid.
    pub own: Prediction,
    /// On the working grid, where that is another one.
    pub working: Option<Prediction>,
}

/// Class probabilities on one grid.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// `(K, i, j, k)` by each network, in the order they were given.
    pub networks: Vec<Array4<f32>>,
    /// Their mean, `(K, i, j, k)`.
    pub ensemble: Array4<f32>,
    /// Where the voxels lie.
    pub geometry: Geometry,
}

impl Prediction {
    /// Of the grid of a plane; all zero.
    fn empty(plane: &Plane) -> Self {
        let [ni, nj, nk] = plane.shape;
        let zeros = |plane: &Array3<f32>| Array4::zeros((plane.dim().0, ni, nj, nk));
        Prediction {
            networks: plane.networks.iter().map(zeros).collect(),
            ensemble: zeros(&plane.ensemble),
            geometry: plane.geometry.clone(),
        }
    }

    fn put(&mut self, plane: &Plane) {
        let put = |whole: &mut Array4<f32>, values| whole.index_axis_mut(Axis(1), plane.index).assign(values);
        self.networks.iter_mut().zip(&plane.networks).for_each(|(whole, values)| put(whole, values));
        put(&mut self.ensemble, &plane.ensemble);
    }

    /// The label map of the ensemble: the likeliest class of each voxel.
    pub fn label(&self) -> Volume<u8> {
        Volume::new(label_map(&self.ensemble), self.geometry.clone())
    }
}

/// [`segment_planes`], with all planes in memory. An example is on the [front page](crate).
///
/// # Errors
/// As [`segment_planes`].
pub fn segment(
    networks: &[&dyn Segmenter],
    scan: &Image,
    protocol: &Protocol,
    device: &Device,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Segmentation> {
    let (mut own, mut working) = (None, None);
    let mut take = |plane: Plane| {
        let whole = if plane.on == On::Own { &mut own } else { &mut working };
        whole.get_or_insert_with(|| Prediction::empty(&plane)).put(&plane);
        Ok(())
    };
    segment_planes(networks, scan.clone(), protocol, device, &mut take, progress)?;
    let own = own.ok_or_else(|| Error::Networks("the networks returned no plane".to_owned()))?;
    Ok(Segmentation { own, working })
}
