//! What is kept of a step that broke: enough to run it again and look at it.

use crate::files::write_json;
use crate::{Augmented, Breakdown, Checkpoint, Error, Result};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use tandem_objectives::Batch;
use tandem_volume::write_whole;

/// What `failure.json` says.
#[derive(Serialize)]
struct Failure<'a> {
    #[serde(flatten)]
    breakdown: &'a Breakdown,
    /// Of each patch of the batch, in its order: the scan, and what was drawn for it.
    patches: &'a [Augmented],
}

/// Writes what broke, the batch and how it came about, and the state of the run before the step into a folder of its own below `failures`, and gives
/// that folder.
pub(crate) fn keep(
    failures: &Path,
    breakdown: &Breakdown,
    patches: &[Augmented],
    batch: &Batch,
    before: &Checkpoint,
) -> Result<PathBuf> {
    let folder = failures.join(format!("step-{:08}", breakdown.record.step));
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let path = folder.join("batch.safetensors");
    let views = [("images", &batch.images), ("labels", &batch.labels)].into_iter();
    let bytes = safetensors::serialize(views.chain(batch.strong.as_ref().map(|view| ("strong", view))), None)
        .map_err(|error| Error::run_file(&path, format!("cannot be written: {error}")))?;
    write_whole(&path, &bytes)?;
    before.save(&folder.join("state.safetensors"))?;
    write_json(&folder.join("failure.json"), &Failure { breakdown, patches })?;
    Ok(folder)
}
