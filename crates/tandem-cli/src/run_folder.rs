//! What a run folder says about itself.

use crate::grid::GRID;
use crate::test_list::{self, Opening};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::path::Path;
use tandem_training::{Config, RunRecord};

/// The data, the lists and the digests of a run.
pub(crate) fn record(folder: &Path) -> Result<RunRecord> {
    read(folder, "run.json")
}

/// The resolved settings of a run.
pub(crate) fn config(folder: &Path) -> Result<Config> {
    read(folder, "config.json")
}

/// Every look at the test list so far.
pub(crate) fn test_openings(folder: &Path) -> Result<Vec<Opening>> {
    let path = folder.join(test_list::FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    lines.with_context(|| format!("{} is damaged; restore or remove it", path.display()))
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| {
        let remedy = match folder.join(GRID).exists() {
            true => "it is a grid, which goes on by the command that began it; give one of its runs",
            false => "give the folder of a run, such as runs/NAME",
        };
        format!("{} is no run folder ({remedy}): cannot read {name}", folder.display())
    })?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; restore it, or start the run anew", path.display()))
}
