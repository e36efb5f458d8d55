//! A scan from its own grid and back.

use crate::{Error, Result, SlidingWindow, ensemble, label_map, predict};
use candle_core::Device;
use ndarray::Array4;
use std::ops::ControlFlow;
use tandem_networks::Segmenter;
use tandem_volume::{Geometry, Image, Volume, resample};

/// How scans are segmented: on which grid, and by which windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol {
    /// The window, in voxels of the working grid.
    pub window: SlidingWindow,
    /// Spacing of the working grid in mm, along i, j, k; none for each scan's own.
    pub spacing: Option<[f64; 3]>,
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
    fn new(networks: Vec<Array4<f32>>, geometry: Geometry) -> Result<Self> {
        let ensemble = ensemble(&networks)?;
        Ok(Prediction { networks, ensemble, geometry })
    }

    /// The label map of the ensemble: the likeliest class of each voxel.
    pub fn label(&self) -> Volume<u8> {
        Volume::new(label_map(&self.ensemble), self.geometry.clone())
    }
}

/// Segments a scan: resampled to the protocol's spacing, predicted by sliding window, and the probabilities brought
/// back to the scan's own grid. Intensities must be normalised already, as those of the training data were. `progress` is told how many
/// windows of how many are done, and may end the work. An example is on the [front page](crate).
///
/// # Shapes
/// Channels `(i, j, k)` on the scan's grid to probabilities `(K, i, j, k)` there, and on the working grid where that is another one.
///
/// # Errors
/// As [`predict`]; where there is no network or the networks differ in their classes; where the spacing cannot be used.
pub fn segment(
    networks: &[&dyn Segmenter],
    scan: &Image,
    protocol: &Protocol,
    device: &Device,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Segmentation> {
    if networks.is_empty() {
        return Err(Error::Networks(
            "a scan is segmented by at least one network, but none is given".to_owned(),
        ));
    }
    let own = scan.geometry();
    let mut run = |image: &Image| {
        let channels: Vec<_> = image.channels().iter().map(Volume::array).collect();
        let probabilities = predict(networks, &channels, &protocol.window, device, progress)?;
        Prediction::new(probabilities, image.geometry().clone())
    };
    match protocol.spacing.filter(|spacing| !resample::same_spacing(*spacing, own.spacing())) {
        None => Ok(Segmentation { own: run(scan)?, working: None }),
        Some(spacing) => {
            let image = scan.map(|channel| resample::image_to_spacing(channel, spacing))?;
            let working = run(&image)?;
            let restore = |probabilities: &Array4<f32>| {
                resample::probabilities_onto(probabilities, &working.geometry, own, scan.shape())
            };
            let restored = working.networks.iter().map(restore).collect::<tandem_volume::Result<Vec<_>>>()?;
            Ok(Segmentation { own: Prediction::new(restored, own.clone())?, working: Some(working) })
        }
    }
}
