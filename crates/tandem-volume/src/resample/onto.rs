//! Volumes brought to the grid of another one.
use ndarray::Array3;

use super::axis::{self, Taps};
use super::{largest_share, places, spline};
use crate::{Error, Geometry, Image, Orientation, Result, Volume};

/// How a scan is read between its voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Along straight lines between neighbours: never beyond the values that are there.
    Linear,
    /// Along cubic B-splines through all values: smoother, and may overshoot at edges.
    CubicSpline,
}

/// How a label map is read between its voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelInterpolation {
    /// The class of the nearest voxel.
    Nearest,
    /// The class with the largest share when each one's region is interpolated linearly; the higher class of two equal
    /// shares.
    Linear,
}

/// Resamples a scan onto the grid `target` of `shape` voxels, by physical position; a position outside the scan takes
/// the value at its border.
///
/// Along axes that become coarser the scan is smoothed first, so that nothing aliases: by a Gaussian whose variance in
/// voxels is (r^2 - 1) / (8 ln 2) at r times the spacing (Cardoso et al. 2015, "Scale factor point spread function
/// matching").
///
/// ```
/// use ndarray::Array3;
/// use tandem_volume::resample::{Interpolation, image_onto};
/// use tandem_volume::{Geometry, Volume};
/// let ramp = Array3::from_shape_fn((4, 2, 2), |(i, _, _)| i as f32);
/// let target = Geometry::isotropic(1.0)?.starting_at([0.5, 0.0, 0.0])?;
/// let moved = image_onto(&Volume::new(ramp, Geometry::isotropic(1.0)?), &target, [3, 1, 1], Interpolation::Linear)?;
/// assert_eq!(moved.array().as_slice(), Some(&[0.5, 1.5, 2.5][..]));
/// # Ok::<(), tandem_volume::Error>(())
/// ```
///
/// # Errors
/// Where a side of the scan is 0, the new grid would not fit an array, or the axes of the two grids are not parallel.
pub fn image_onto(
    image: &Volume<f32>,
    target: &Geometry,
    shape: [usize; 3],
    interpolation: Interpolation,
) -> Result<Volume<f32>> {
    let (image, plan) = planned(image, target, shape)?;
    Ok(Volume::new(plan.apply(image, interpolation), target.clone()))
}

/// As [`image_onto`], but a new voxel is the value at its centre also where the grid becomes coarser: nothing is smoothed,
/// so fine detail may alias. Published pipelines that resample with ITK or scipy do so.
///
/// # Errors
/// As for [`image_onto`].
pub fn image_sampled_onto(
    image: &Volume<f32>,
    target: &Geometry,
    shape: [usize; 3],
    interpolation: Interpolation,
) -> Result<Volume<f32>> {
    let (image, plan) = planned(image, target, shape)?;
    let plan = Onto { ratio: [1.0; 3], ..plan };
    Ok(Volume::new(plan.apply(image, interpolation), target.clone()))
}

/// Resamples a label map onto the grid `target` of `shape` voxels, by physical position; a position outside the label
/// map takes the class at its border. [`LabelInterpolation::Linear`] smooths like [`image_onto`].
///
/// # Errors
/// As for [`image_onto`].
pub fn label_onto(
    label: &Volume<u8>,
    target: &Geometry,
    shape: [usize; 3],
    interpolation: LabelInterpolation,
) -> Result<Volume<u8>> {
    let (label, plan) = planned(label, target, shape)?;
    let labels = match interpolation {
        LabelInterpolation::Nearest => plan.nearest(&label),
        LabelInterpolation::Linear => {
            largest_share(&label, shape, |region| plan.apply(region, Interpolation::Linear))
        }
    };
    Ok(Volume::new(labels, target.clone()))
}

/// The label map on the grid of its image, and how far its corners lay from those of the image, in mm: resampled by
/// [`label_onto`] with [`LabelInterpolation::Linear`] where that is more than float noise (0.01 mm), else as it is.
///
/// # Errors
/// As for [`label_onto`].
pub fn label_to_image(label: Volume<u8>, image: &Image) -> Result<(Volume<u8>, f64)> {
    let corner = |geometry: &Geometry, shape: [usize; 3], n: usize| {
        geometry.position([0, 1, 2].map(|axis| (n >> axis & 1) as f64 * (shape[axis] as f64 - 1.0)))
    };
    let shift = |n: usize| {
        let (a, b) = (corner(label.geometry(), label.shape(), n), corner(image.geometry(), image.shape(), n));
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    };
    let shift = (0..8).map(shift).fold(0.0, f64::max);
    if image.check_grid("the label map", &label).is_ok() {
        return Ok((label, shift));
    }
    Ok((label_onto(&label, image.geometry(), image.shape(), LabelInterpolation::Linear)?, shift))
}

/// The voxels with axes that run as those of `target`, and how to bring them there.
fn planned<T: Clone>(volume: &Volume<T>, target: &Geometry, shape: [usize; 3]) -> Result<(Array3<T>, Onto)> {
    let volume = volume.reoriented(Orientation::of(target))?;
    let plan = Onto::new(volume.geometry(), volume.shape(), target, shape)?;
    Ok((volume.into_parts().0, plan))
}

/// How an array is brought to another grid with parallel axes.
struct Onto {
    old: [usize; 3],
    shape: [usize; 3],
    /// For each axis, the fractional old indices of the new voxels.
    places: [Vec<f64>; 3],
    /// New over old spacing.
    ratio: [f64; 3],
}

impl Onto {
    fn new(geometry: &Geometry, old: [usize; 3], target: &Geometry, shape: [usize; 3]) -> Result<Self> {
        if old.contains(&0) {
            return Err(Error::Argument(format!("a volume of shape {old:?} has no voxels to resample")));
        }
        if shape.iter().map(|&side| side as f64).product::<f64>() * 4.0 > isize::MAX as f64 {
            return Err(Error::Argument(format!(
                "a grid of {shape:?} voxels fits no array; choose a smaller one"
            )));
        }
        let ratio = [0, 1, 2].map(|axis| axis::ratio(geometry.spacing()[axis], target.spacing()[axis]));
        Ok(Onto { old, shape, places: places(geometry, target, shape)?, ratio })
    }

    /// Axis by axis, the last one first: smooths where the axis becomes coarser, then interpolates.
    fn apply(&self, mut array: Array3<f32>, interpolation: Interpolation) -> Array3<f32> {
        for axis in (0..3).rev() {
            let (old, places) = (self.old[axis], self.places[axis].iter().copied());
            if self.ratio[axis] > 1.0 {
                array = Taps::smoothing(old, self.ratio[axis]).apply(&array, axis);
            }
            array = match interpolation {
                Interpolation::Linear => Taps::at(places, old).apply(&array, axis),
                Interpolation::CubicSpline => {
                    Taps::spline(places, old).apply(&spline::coefficients(array, axis), axis)
                }
            };
        }
        array
    }

    fn nearest(&self, array: &Array3<u8>) -> Array3<u8> {
        let voxel = |axis: usize, place: f64| ((place + 0.5).max(0.0) as usize).min(self.old[axis] - 1);
        let [i, j, k] = [0, 1, 2]
            .map(|axis| self.places[axis].iter().map(|&place| voxel(axis, place)).collect::<Vec<_>>());
        Array3::from_shape_fn(self.shape, |(ni, nj, nk)| array[[i[ni], j[nj], k[nk]]])
    }
}

#[cfg(test)]
mod tests;
