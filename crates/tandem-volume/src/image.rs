//! Scans of one or several channels.
use crate::geometry::SAME_GRID_MM;
use crate::{Error, Geometry, Result, Volume};

/// A scan: one volume a channel, such as T1 and FLAIR, all on one grid. Most scans have a single channel, and a volume
/// becomes such a scan by `into()`.
///
/// ```
/// use ndarray::Array3;
/// use tandem_volume::{Geometry, Image, Volume};
/// let grid = Geometry::isotropic(1.0)?;
/// let channel = |value| Volume::new(Array3::from_elem((4, 3, 2), value), grid.clone());
/// let image = Image::new(vec![channel(0.5), channel(2.0)])?;
/// assert_eq!((image.channels().len(), image.shape()), (2, [4, 3, 2]));
/// # Ok::<(), tandem_volume::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    channels: Vec<Volume<f32>>,
}

impl Image {
    /// A scan of these channels. All are taken to lie on the grid of the first.
    ///
    /// # Errors
    /// Where there is none, or one differs from the first in shape or lies farther from it than 0.01 mm at any corner.
    pub fn new(channels: Vec<Volume<f32>>) -> Result<Self> {
        let mut channels = channels.into_iter();
        let Some(first) = channels.next() else {
            return Err(Error::Argument("a scan needs at least one channel".to_owned()));
        };
        let mut image = Image::from(first);
        for (index, channel) in (1..).zip(channels) {
            image.check_grid(&format!("channel {index}"), &channel).map_err(Error::Grid)?;
            image.channels.push(Volume::new(channel.into_parts().0, image.geometry().clone()));
        }
        Ok(image)
    }

    /// A scan of one channel or more that are known to lie on one grid.
    pub(crate) fn on_one_grid(channels: Vec<Volume<f32>>) -> Self {
        debug_assert!(!channels.is_empty());
        Image { channels }
    }

    /// The channels, in order; at least one.
    pub fn channels(&self) -> &[Volume<f32>] {
        &self.channels
    }

    /// The channels, in order; at least one.
    pub fn into_channels(self) -> Vec<Volume<f32>> {
        self.channels
    }

    /// The number of voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        self.channels[0].shape()
    }

    /// The physical grid.
    pub fn geometry(&self) -> &Geometry {
        self.channels[0].geometry()
    }

    /// Each channel changed by `change`, such as resampled or normalised.
    ///
    /// # Errors
    /// The first error of `change`; where it leaves the channels on different grids.
    pub fn map<E: From<Error>>(
        &self,
        change: impl FnMut(&Volume<f32>) -> Result<Volume<f32>, E>,
    ) -> Result<Self, E> {
        let channels = self.channels.iter().map(change).collect::<Result<_, E>>()?;
        Ok(Image::new(channels)?)
    }

    /// Says why `other`, called `name`, does not lie on this grid.
    pub(crate) fn check_grid<T>(&self, name: &str, other: &Volume<T>) -> Result<(), String> {
        if other.shape() != self.shape() {
            return Err(format!(
                "{name} has shape {:?}, but the image has {:?}; resample it to the image",
                other.shape(),
                self.shape()
            ));
        }
        let shift = self.geometry().corner_shift(other.geometry(), self.shape());
        // NaN passes no comparison.
        if shift <= SAME_GRID_MM {
            return Ok(());
        }
        Err(format!(
            "{name} and the image have the same shape, but their corners lie up to {shift:.3} mm apart in the patient (at \
             most {SAME_GRID_MM} mm passes); resample it to the image"
        ))
    }
}

impl From<Volume<f32>> for Image {
    fn from(channel: Volume<f32>) -> Self {
        Image { channels: vec![channel] }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn channel(side: usize, start: f64) -> Volume<f32> {
        let grid = Geometry::isotropic(1.0).unwrap().starting_at([0.0, start, 0.0]).unwrap();
        Volume::new(Array3::from_elem([4, 3, side], start as f32), grid)
    }

    #[test]
    fn channels_lie_on_the_grid_of_the_first() {
        let image = Image::new(vec![channel(2, 0.0), channel(2, 0.004)]).unwrap();
        assert_eq!(image.channels()[1].geometry(), image.geometry());
        assert_eq!(image.channels()[1].array()[[0, 0, 0]], 0.004);
        let moved = Image::new(vec![channel(2, 0.0), channel(2, 0.5)]).unwrap_err().to_string();
        assert!(moved.starts_with("channel 1 and the image") && moved.contains("0.500 mm apart"), "{moved}");
        let shape = Image::new(vec![channel(2, 0.0), channel(3, 0.0)]).unwrap_err().to_string();
        assert!(shape.starts_with("channel 1 has shape [4, 3, 3]"), "{shape}");
        assert!(Image::new(Vec::new()).is_err());
    }

    #[test]
    fn every_channel_is_changed_and_the_first_error_ends_it() {
        let image = Image::new(vec![channel(2, 0.0), channel(2, 0.0)]).unwrap();
        let mut calls = 0.0;
        let changed = image.map::<Error>(|channel| {
            calls += 1.0;
            Ok(Volume::new(channel.array() + calls, channel.geometry().clone()))
        });
        let values: Vec<f32> =
            changed.unwrap().channels().iter().map(|channel| channel.array()[[1, 1, 1]]).collect();
        assert_eq!(values, [1.0, 2.0]);
        let failed = image.map(|_| Err(Error::Argument("no".to_owned())));
        assert!(failed.is_err());
    }
}
