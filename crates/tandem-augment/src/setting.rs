//! What random transforms share as settings of an [`Augmentation`](crate::Augmentation).

use tandem_random::Draws;

use crate::{AugmentError, Drawn, RandomTransform, Result};

/// A random transform that an augmentation can be asked for.
pub(crate) trait Setting: RandomTransform<Drawn: Into<Drawn>> {
    /// Its name among the settings; its draws are keyed by it too.
    const NAME: &'static str;

    /// How often it is drawn.
    fn probability(&self) -> f64;

    /// # Errors
    /// Where a number is out of range.
    fn check(&self) -> Result<()>;
}

/// # Errors
/// Where a number does not lie between two others.
pub(crate) fn in_range(field: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let problem = format!("is {value}; it must lie between {low} and {high}");
    Err(AugmentError::Setting { field: field.to_owned(), problem })
}

/// Ranges of a number, written as `[low, high]`.
pub(crate) mod range {
    use super::*;

    /// # Errors
    /// Where a range falls, or leaves the numbers that make sense.
    pub(crate) fn check(field: &str, [low, high]: [f64; 2], least: f64, most: f64) -> Result<()> {
        if low <= high && least <= low && high <= most {
            return Ok(());
        }
        let problem =
            format!("is [{low}, {high}]; give a lower and a higher number between {least} and {most}");
        Err(AugmentError::Setting { field: field.to_owned(), problem })
    }

    /// Uniform in a range.
    pub(crate) fn draw([low, high]: [f64; 2], draws: &mut Draws) -> f64 {
        draws.uniform_in(low, high)
    }

    /// A factor in a range, its logarithm uniform: as likely to halve as to double.
    pub(crate) fn draw_factor([low, high]: [f64; 2], draws: &mut Draws) -> f64 {
        // What is rounded does not leave the range.
        draws.uniform_in(low.ln(), high.ln()).exp().max(low).min(high)
    }
}
