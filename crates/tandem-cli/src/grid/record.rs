//! `grid.json`: which runs a grid has, as the last command asked for them.

use super::Axes;
use super::cell::Cell;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tandem_volume::write_whole;

/// What a grid's folder has and a run's has not.
pub(crate) const GRID: &str = "grid.json";

/// A grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GridRecord {
    /// The experiment.
    pub(crate) name: String,
    pub(crate) dataset: String,
    pub(crate) profile: String,
    /// The method that the others are compared with, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) control: Option<String>,
    pub(crate) cells: Vec<CellRecord>,
}

/// One run of a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CellRecord {
    /// Its folder, below the grid's.
    pub(crate) run: String,
    pub(crate) method: String,
    pub(crate) labelled: usize,
    pub(crate) labelled_set: u64,
    /// 0 where there are no folds.
    pub(crate) fold: usize,
    pub(crate) seed: u64,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl GridRecord {
    pub(super) fn new(cells: &[Cell], axes: &Axes, dataset: &str, profile: &str) -> Self {
        let of = |cell: &Cell| CellRecord {
            run: cell.name.clone(),
            method: cell.method.clone(),
            labelled: cell.config.data.labelled,
            labelled_set: cell.config.data.labelled_set,
            fold: cell.config.data.fold,
            seed: cell.config.training.seed,
            failed: None,
        };
        GridRecord {
            name: cells.first().map(|cell| cell.config.name.clone()).unwrap_or_default(),
            dataset: dataset.to_owned(),
            profile: profile.to_owned(),
            control: axes.control.clone(),
            cells: cells.iter().map(of).collect(),
        }
    }

    /// Notes why a run failed.
    pub(super) fn fail(&mut self, run: &str, reason: &str) {
        for cell in self.cells.iter_mut().filter(|cell| cell.run == run) {
            cell.failed = Some(reason.to_owned());
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_whole(folder.join(GRID), text.as_bytes())?)
    }

    /// Reads it.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(GRID);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{} is no grid (give the folder of one, such as runs/grids/NAME): cannot read {GRID}",
                folder.display()
            )
        })?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; give the command of the grid again", path.display()))
    }
}
