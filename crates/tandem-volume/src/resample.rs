//! Changing the spacing of volumes, and bringing predictions back.
//!
//! A resampled grid covers the same box as the old one: the outer faces of its first voxels lie where they lay, so the
//! centre of the first voxel moves by half the difference of the spacings. Along an axis of n voxels the new grid has
//! n * old spacing / new spacing voxels, rounded up so that no anatomy is lost; a last voxel that sticks out is the
//! mean of what it covers.
//!
//! An axis that becomes coarser is averaged over the area that each new voxel covers, which does not alias (for an
//! integer factor: plain block means); an axis that becomes finer is interpolated linearly, clamped at the borders.
//!
//! [`image_onto`] and [`label_onto`] bring a volume to the grid of another one instead, by physical position.
use ndarray::{Array3, Array4, Axis, Zip};

use crate::{Error, Geometry, Result, Volume};

mod axis;
mod onto;
mod planes;
mod spline;

use axis::Taps;
pub use onto::{
    Interpolation, LabelInterpolation, image_onto, image_sampled_onto, label_onto, label_to_image,
};
pub use planes::PlanesOnto;

/// How far two axes may part over their length and still be parallel, in voxels: what headers lose by rounding.
const TURNED: f64 = 0.1;

/// How far two spacings may differ and still be one, relatively: headers store them in 32 bits and rounded.
const SAME_SPACING: f64 = 1e-4;

/// Whether a spacing is another one up to what headers lose by rounding, so that nothing needs resampling.
pub fn same_spacing(a: [f64; 3], b: [f64; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME_SPACING * b)
}

/// Resamples a scan to `spacing` in mm along i, j, k.
///
/// ```
/// use ndarray::Array3;
/// use tandem_volume::{Geometry, Volume, resample};
/// let fine = Array3::from_shape_fn((4, 2, 2), |(i, _, _)| i as f32);
/// let coarse = resample::image_to_spacing(&Volume::new(fine, Geometry::isotropic(0.5)?), [1.0; 3])?;
/// assert_eq!(coarse.array().as_slice(), Some(&[0.5, 2.5][..]));
/// assert_eq!(coarse.geometry().origin(), [0.25; 3]);
/// # Ok::<(), tandem_volume::Error>(())
/// ```
///
/// # Errors
/// Where the spacing is not positive and finite, or so fine that the volume would not fit an array.
pub fn image_to_spacing(image: &Volume<f32>, spacing: [f64; 3]) -> Result<Volume<f32>> {
    let plan = Plan::new(image.geometry(), image.shape(), spacing)?;
    Ok(Volume::new(plan.apply(image.array()), plan.geometry))
}

/// Resamples a label map with values below `classes` to `spacing` in mm along i, j, k.
///
/// Every new voxel takes the class of its largest share, and the higher class of two equal shares: with two classes,
/// the foreground from a share of one half.
///
/// # Errors
/// Where the spacing is not positive and finite, or so fine that the volume would not fit an array, or a label is not
/// below `classes`.
pub fn label_to_spacing(label: &Volume<u8>, spacing: [f64; 3], classes: usize) -> Result<Volume<u8>> {
    let highest = label.array().iter().max();
    if let Some(value) = highest.filter(|&&value| usize::from(value) >= classes) {
        return Err(Error::Argument(format!(
            "the label map has the value {value}, but {classes} classes have the labels 0..={}",
            classes.saturating_sub(1)
        )));
    }
    let plan = Plan::new(label.geometry(), label.shape(), spacing)?;
    let labels = largest_share(label.array(), plan.shape, |region| plan.apply(&region));
    Ok(Volume::new(labels, plan.geometry))
}

/// For each voxel of a new grid of `shape`, the class whose region has the largest share there once `resample` has
/// brought every one (1 inside, 0 outside) to it; the higher class of two equal shares.
fn largest_share(
    label: &Array3<u8>,
    shape: [usize; 3],
    resample: impl Fn(Array3<f32>) -> Array3<f32>,
) -> Array3<u8> {
    let mut present = [false; 256];
    label.iter().for_each(|&value| present[usize::from(value)] = true);
    let mut labels = Array3::zeros(shape);
    let mut largest = Array3::from_elem(shape, f32::NEG_INFINITY);
    for class in (0..=255u8).filter(|&class| present[usize::from(class)]) {
        let share = resample(label.mapv(|value| f32::from(u8::from(value == class))));
        Zip::from(&mut labels).and(&mut largest).and(&share).for_each(|label, largest, &share| {
            if share >= *largest {
                (*label, *largest) = (class, share);
            }
        });
    }
    labels
}

/// Interpolates probabilities (K, i, j, k) that lie on the grid `geometry` at the voxels of the grid `target`, which
/// has `target_shape` voxels: how a prediction returns to the scan's own grid.
///
/// Trilinear by physical position; a position outside the old grid takes the value at its border.
///
/// # Shapes
/// (K, i, j, k) -> (K, target i, target j, target k).
///
/// # Errors
/// Where a side of the probabilities is 0, or the axes of the two grids run in other directions.
pub fn probabilities_onto(
    probabilities: &Array4<f32>,
    geometry: &Geometry,
    target: &Geometry,
    target_shape: [usize; 3],
) -> Result<Array4<f32>> {
    let (classes, ni, nj, nk) = probabilities.dim();
    let mut planes = PlanesOnto::new(geometry, [ni, nj, nk], target, target_shape)?;
    let [ti, tj, tk] = target_shape;
    let mut restored = Array4::zeros((classes, ti, tj, tk));
    for plane in probabilities.axis_iter(Axis(1)) {
        for (i, plane) in planes.push(plane.to_owned())? {
            restored.index_axis_mut(Axis(1), i).assign(&plane);
        }
    }
    Ok(restored)
}

/// For each axis, the fractional indices on `geometry` of the voxels of a grid `target` with parallel axes.
fn places(geometry: &Geometry, target: &Geometry, target_shape: [usize; 3]) -> Result<[Vec<f64>; 3]> {
    let first = geometry.index(target.position([0.0; 3]));
    let last = target_shape.map(|side| side.saturating_sub(1) as f64);
    let mut places = [Vec::new(), Vec::new(), Vec::new()];
    for axis in 0..3 {
        let mut end = [0.0; 3];
        end[axis] = last[axis];
        let end = geometry.index(target.position(end));
        if (0..3).any(|other| other != axis && (end[other] - first[other]).abs() > TURNED) {
            return Err(Error::Grid(format!(
                "the axes of the two grids run in other directions ({:?} and {:?}); bring both to one orientation",
                geometry.direction(),
                target.direction()
            )));
        }
        let step = (end[axis] - first[axis]) / last[axis].max(1.0);
        places[axis] = (0..target_shape[axis]).map(|n| first[axis] + n as f64 * step).collect();
    }
    Ok(places)
}

/// How a grid is brought to another spacing.
struct Plan {
    geometry: Geometry,
    shape: [usize; 3],
    /// For each axis, what the new voxels are made of; `None` where the axis stays.
    taps: [Option<Taps>; 3],
}

impl Plan {
    fn new(geometry: &Geometry, shape: [usize; 3], spacing: [f64; 3]) -> Result<Self> {
        // Checks the spacing; the origin follows.
        let resampled = Geometry::new(spacing, geometry.origin(), geometry.direction())?;
        let ratio = [0, 1, 2].map(|axis| axis::ratio(geometry.spacing()[axis], spacing[axis]));
        let sides = [0, 1, 2].map(|axis| axis::side(shape[axis], ratio[axis]));
        if sides.iter().product::<f64>() * 4.0 > isize::MAX as f64 {
            return Err(Error::Argument(format!(
                "a spacing of {spacing:?} mm would make {sides:?} voxels of the scan's {shape:?}; choose a coarser one"
            )));
        }
        let sides = sides.map(|side| side as usize);
        let first = ratio.map(|ratio| (ratio - 1.0) / 2.0);
        Ok(Plan {
            geometry: Geometry::new(spacing, geometry.position(first), resampled.direction())?,
            shape: sides,
            taps: [0, 1, 2].map(|axis| {
                (ratio[axis] != 1.0).then(|| Taps::resizing(shape[axis], sides[axis], ratio[axis]))
            }),
        })
    }

    /// Axis by axis, the last one first: it is contiguous and shrinks the work of the others.
    fn apply(&self, array: &Array3<f32>) -> Array3<f32> {
        let mut resampled: Option<Array3<f32>> = None;
        for (axis, taps) in self.taps.iter().enumerate().rev() {
            if let Some(taps) = taps {
                resampled = Some(taps.apply(resampled.as_ref().unwrap_or(array), axis));
            }
        }
        resampled.unwrap_or_else(|| array.clone())
    }
}

#[cfg(test)]
mod tests;
