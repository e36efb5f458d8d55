//! `summary.json`: the scores, and whose they are.

use crate::files::write_json;
use crate::{Result, SummaryRow};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Which of a run's weights were scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Those of the last step: no score had a part in it.
    Final,
    /// Those of the step with the best score on the validation list, on which their score is therefore too good.
    BestOnValidation,
    /// Those of a run that has not ended.
    Unfinished,
}

/// Scores over cases, and whose they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreSummary {
    /// Which weights.
    pub weights: Selection,
    /// Steps that they were trained for.
    pub steps: u64,
    /// Scans of the list that could not be read, and have no part in the scores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Mean, SD and counts of each metric: by grid, by class, by predictor.
    pub scores: Vec<SummaryRow>,
}

impl ScoreSummary {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}
