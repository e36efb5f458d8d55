//! Distances between the surfaces of two masks, in the unit of the spacing; undefined where a mask is empty.

use crate::{Comparison, Metric, Score, SurfaceDistances};
use std::borrow::Cow;

/// The 95th percentile of both directed lists of surface distances taken together, with linear interpolation between
/// ranks (numpy's and medpy's rule).
///
/// A surface are the voxels of a mask that have a neighbour outside of it, of six, or lie at the border of the array; a directed list
/// holds the distance from each surface voxel of one mask to the nearest one of the other.
///
/// # Units
/// That of the comparison's spacing: mm, or voxels in [`Comparison::in_voxels`]. Undefined where a mask is empty.
///
/// # References
/// Huttenlocher, Klanderman and Rucklidge, "Comparing images using the Hausdorff distance", IEEE TPAMI 15 (1993); as `hd95` of medpy.
#[derive(Clone, Copy, Debug)]
pub struct Hd95;

/// The larger of the two directed 95th percentiles, each with linear interpolation between ranks. Where one direction is
/// worse than the other, it is larger than [`Hd95`]; MONAI and others call this one HD95.
///
/// # Units
/// That of the comparison's spacing: mm, or voxels in [`Comparison::in_voxels`]. Undefined where a mask is empty.
#[derive(Clone, Copy, Debug)]
pub struct Hd95Max;

/// Hausdorff distance: the largest of both directed lists of surface distances (see [`Hd95`]).
///
/// # Units
/// That of the comparison's spacing: mm, or voxels in [`Comparison::in_voxels`]. Undefined where a mask is empty.
#[derive(Clone, Copy, Debug)]
pub struct Hd;

/// Average surface distance, in one direction: the mean distance from the predicted surface to the reference's. It
/// does not see what the prediction leaves out; [`Assd`] does. As `asd` of medpy.
///
/// # Units
/// That of the comparison's spacing: mm, or voxels in [`Comparison::in_voxels`]. Undefined where a mask is empty.
#[derive(Clone, Copy, Debug)]
pub struct Asd;

/// Average symmetric surface distance: the mean of both directed lists of surface distances (see [`Hd95`]) taken together.
///
/// # Units
/// That of the comparison's spacing: mm, or voxels in [`Comparison::in_voxels`]. Undefined where a mask is empty.
#[derive(Clone, Copy, Debug)]
pub struct Assd;

impl Metric for Hd95 {
    fn name(&self) -> Cow<'static, str> {
        "hd95".into()
    }
    fn unit(&self) -> &'static str {
        "mm"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        of_distances(comparison, |distances| percentile(pooled(distances).collect(), 0.95))
    }
}

impl Metric for Hd95Max {
    fn name(&self) -> Cow<'static, str> {
        "hd95_max".into()
    }
    fn unit(&self) -> &'static str {
        "mm"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        of_distances(comparison, |SurfaceDistances { to_reference, to_prediction }| {
            percentile(to_reference.clone(), 0.95).max(percentile(to_prediction.clone(), 0.95))
        })
    }
}

impl Metric for Hd {
    fn name(&self) -> Cow<'static, str> {
        "hd".into()
    }
    fn unit(&self) -> &'static str {
        "mm"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        of_distances(comparison, |distances| pooled(distances).fold(0.0, f64::max))
    }
}

impl Metric for Asd {
    fn name(&self) -> Cow<'static, str> {
        "asd".into()
    }
    fn unit(&self) -> &'static str {
        "mm"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        of_distances(comparison, |distances| mean(distances.to_reference.iter().copied()))
    }
}

impl Metric for Assd {
    fn name(&self) -> Cow<'static, str> {
        "assd".into()
    }
    fn unit(&self) -> &'static str {
        "mm"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        of_distances(comparison, |distances| mean(pooled(distances)))
    }
}

/// A number of the distances that doubles where all of them do.
fn of_distances(comparison: &Comparison, reduce: impl FnOnce(&SurfaceDistances) -> f64) -> Score {
    match comparison.surface_distances() {
        Ok(distances) => Score::Value(reduce(distances) * comparison.spacing()[0]),
        Err(reason) => Score::Undefined(reason),
    }
}

fn pooled(distances: &SurfaceDistances) -> impl Iterator<Item = f64> {
    distances.to_reference.iter().chain(&distances.to_prediction).copied()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

/// The value at rank `quantile * (n - 1)` of the sorted list, interpolated linearly. The list is not empty.
fn percentile(mut values: Vec<f64>, quantile: f64) -> f64 {
    let rank = quantile * (values.len() - 1) as f64;
    let (below, share) = (rank.floor() as usize, rank.fract());
    let (_, &mut low, rest) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = rest.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    // numpy's way round, so that both ends are exact.
    if share < 0.5 { low + (high - low) * share } else { high - (high - low) * (1.0 - share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_interpolates_between_ranks() {
        assert_eq!(percentile(vec![4.0], 0.95), 4.0);
        assert_eq!(percentile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(percentile(vec![2.0, 0.0], 0.95), 1.9);
        // Rank 0.95 * 10 = 9.5, halfway between the two largest of 0..=10.
        assert_eq!(percentile((0..=10).rev().map(f64::from).collect(), 0.95), 9.5);
    }
}
