//! Overlap of two masks, counted in voxels.

use crate::{Comparison, Metric, Score};
use std::borrow::Cow;

/// `2 |P and R| / (|P| + |R|)`; 0 where one mask is empty, undefined where both are.
///
/// # References
/// L. R. Dice, "Measures of the amount of ecologic association between species", Ecology 26 (1945).
#[derive(Clone, Copy, Debug)]
pub struct Dice;

/// `|P and R| / |P or R|`; 0 where one mask is empty, undefined where both are.
///
/// # References
/// P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11 (1912).
#[derive(Clone, Copy, Debug)]
pub struct Jaccard;

/// `|P and R| / |R|`, also called recall: the share of the reference that is found; undefined where it is empty.
#[derive(Clone, Copy, Debug)]
pub struct Sensitivity;

/// `|P and R| / |P|`: the share of the prediction that is right; undefined where it is empty.
#[derive(Clone, Copy, Debug)]
pub struct Precision;

impl Metric for Dice {
    fn name(&self) -> Cow<'static, str> {
        "dice".into()
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, reference, both] = comparison.counts();
        ratio(comparison, 2 * both, prediction + reference)
    }
}

impl Metric for Jaccard {
    fn name(&self) -> Cow<'static, str> {
        "jaccard".into()
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, reference, both] = comparison.counts();
        ratio(comparison, both, prediction + reference - both)
    }
}

impl Metric for Sensitivity {
    fn name(&self) -> Cow<'static, str> {
        "sensitivity".into()
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [_, reference, both] = comparison.counts();
        ratio(comparison, both, reference)
    }
}

impl Metric for Precision {
    fn name(&self) -> Cow<'static, str> {
        "precision".into()
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, _, both] = comparison.counts();
        ratio(comparison, both, prediction)
    }
}

/// A ratio of counts; undefined where there is nothing to divide by, which only an empty mask can cause.
fn ratio(comparison: &Comparison, part: usize, whole: usize) -> Score {
    match (whole, comparison.emptiness()) {
        (0, Some(reason)) => Score::Undefined(reason),
        _ => Score::Value(part as f64 / whole as f64),
    }
}
