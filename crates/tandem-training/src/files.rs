//! Texts and JSON of a run folder, written whole or not at all.

use crate::{Error, Result};
use std::fs;
use std::path::Path;
use tandem_volume::write_whole;

/// Writes text whole or not at all.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(write_whole(path, text.as_bytes())?)
}

/// Writes a value as indented JSON, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Error::run_file(path, error.to_string()))?;
    write_text(path, &(text + "\n"))
}

/// Reads a value from JSON.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::run_file(path, format!("does not read as expected: {error}")))
}
