//! How predictions are scored.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tandem_metrics::Nsd;

/// How predictions are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Tolerance of the surface Dice in mm.
    ///
    /// Unit: mm. Range: at least 0.
    #[serde(default = "default_nsd_tolerance")]
    pub nsd_tolerance_mm: f64,
}

fn default_nsd_tolerance() -> f64 {
    1.0
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        EvaluationConfig { nsd_tolerance_mm: default_nsd_tolerance() }
    }
}

impl EvaluationConfig {
    /// The surface Dice at this tolerance.
    ///
    /// # Errors
    /// Where the tolerance is not a finite number of 0 or more.
    pub fn nsd(&self) -> Result<Nsd> {
        let problem = || format!("is {}; it must be a number of mm from 0 on", self.nsd_tolerance_mm);
        Nsd::new(self.nsd_tolerance_mm).map_err(|_| Error::config("evaluation.nsd_tolerance_mm", problem()))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::tiny;

    #[test]
    fn a_run_without_the_setting_keeps_its_digest() {
        let config = tiny();
        assert!(!serde_json::to_string(&config).unwrap().contains("evaluation"));
        let mut other = config.clone();
        other.evaluation.nsd_tolerance_mm = 2.0;
        assert_ne!(other.digest().unwrap(), config.digest().unwrap());
    }

    #[test]
    fn a_tolerance_out_of_range_is_named() {
        let mut config = tiny();
        config.evaluation.nsd_tolerance_mm = -1.0;
        let message = config.check().unwrap_err().to_string();
        assert!(message.starts_with("evaluation.nsd_tolerance_mm is -1"), "{message}");
    }
}
