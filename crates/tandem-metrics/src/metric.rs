//! The seam: a number with a unit, or undefined with a reason.

use crate::{
    Asd, Assd, Comparison, Dice, Hd, Hd95, Hd95Max, Jaccard, Nsd, Precision, RelativeVolumeDifference,
    Sensitivity, VolumeDifference,
};
use std::borrow::Cow;
use std::fmt;

/// A way to score a predicted mask against a reference.
pub trait Metric: Send + Sync {
    /// Short name for table heads: `dice`, `hd95`, `nsd_1mm`.
    fn name(&self) -> Cow<'static, str>;

    /// `mm` for distances (voxels where the comparison has spacing 1), `mL` for volumes, `%`, or empty for ratios.
    fn unit(&self) -> &'static str;

    /// Whether a larger value is the better one.
    fn higher_is_better(&self) -> bool;

    /// The score of one pair.
    fn measure(&self, comparison: &Comparison) -> Score;
}

/// All metrics, in the order of the tables: those of the papers first.
pub fn metrics(nsd: &Nsd) -> [&dyn Metric; 12] {
    [
        &Dice,
        &Jaccard,
        &Hd95,
        &Asd,
        nsd,
        &Assd,
        &Hd95Max,
        &Hd,
        &Sensitivity,
        &Precision,
        &RelativeVolumeDifference,
        &VolumeDifference,
    ]
}

/// What a metric says of one pair of masks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// A finite value, in the metric's unit.
    Value(f64),
    /// The pair has no such value.
    Undefined(Undefined),
}

/// Why a pair has no value of some metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undefined {
    /// No voxel is predicted.
    EmptyPrediction,
    /// The reference has no voxel.
    EmptyReference,
    /// Neither mask has a voxel.
    BothEmpty,
}

impl From<Undefined> for Score {
    fn from(reason: Undefined) -> Self {
        Score::Undefined(reason)
    }
}

impl Score {
    /// The value where there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Score::Value(value) => Some(value),
            Score::Undefined(_) => None,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Score::Value(value) => value.fmt(f),
            Score::Undefined(reason) => write!(f, "undefined ({reason})"),
        }
    }
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undefined::EmptyPrediction => "empty prediction",
            Undefined::EmptyReference => "empty reference",
            Undefined::BothEmpty => "both masks empty",
        })
    }
}
