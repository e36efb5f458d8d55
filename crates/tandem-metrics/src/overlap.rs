//! Overlap of two masks, counted in voxels.

use crate::{Comparison, Metric, Score, Undefined};

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

impl Metric for Dice {
    fn name(&self) -> &'static str {
        "dice"
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, reference, both] = comparison.counts();
        ratio(2 * both, prediction + reference)
    }
}

impl Metric for Jaccard {
    fn name(&self) -> &'static str {
        "jaccard"
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        let [prediction, reference, both] = comparison.counts();
        ratio(both, prediction + reference - both)
    }
}

fn ratio(part: usize, whole: usize) -> Score {
    match whole {
        0 => Score::Undefined(Undefined::BothEmpty),
        _ => Score::Value(part as f64 / whole as f64),
    }
}
