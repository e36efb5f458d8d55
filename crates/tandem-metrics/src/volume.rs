//! Differences of volume.

use crate::{Comparison, Metric, Score};
use std::borrow::Cow;

/// `100 ||P| - |R|| / |R|`: by how much the predicted volume is wrong, whichever way, in per cent of the reference's;
/// undefined where the reference is empty.
#[derive(Clone, Copy, Debug)]
pub struct RelativeVolumeDifference;

/// `||P| - |R||` times the volume of a voxel: by how much the predicted volume is wrong, whichever way, in mL (1000 mm³);
/// undefined where both masks are empty.
#[derive(Clone, Copy, Debug)]
pub struct VolumeDifference;

impl Metric for RelativeVolumeDifference {
    fn name(&self) -> Cow<'static, str> {
        "relative_volume_difference".into()
    }
    fn unit(&self) -> &'static str {
        "%"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, reference, _] = comparison.counts();
        match (reference, comparison.emptiness()) {
            (0, Some(reason)) => Score::Undefined(reason),
            _ => Score::Value(100.0 * prediction.abs_diff(reference) as f64 / reference as f64),
        }
    }
}

impl Metric for VolumeDifference {
    fn name(&self) -> Cow<'static, str> {
        "volume_difference".into()
    }
    fn unit(&self) -> &'static str {
        "mL"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, reference, _] = comparison.counts();
        match (prediction + reference, comparison.emptiness()) {
            (0, Some(reason)) => Score::Undefined(reason),
            _ => {
                let voxel = comparison.spacing().iter().product::<f64>() / 1000.0;
                Score::Value(prediction.abs_diff(reference) as f64 * voxel)
            }
        }
    }
}
