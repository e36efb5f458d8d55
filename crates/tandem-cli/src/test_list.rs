//! Who opened the test list of a run, and when: `RUN/test-list.jsonl`, one line each time.
//!
//! A choice that is made after a look at the test list makes its scores worthless. So it is written down before a scan is read, and
//! never taken back.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use tandem_training::Program;

/// The file in a run folder.
pub(crate) const FILE: &str = "test-list.jsonl";

/// One look at test scans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    /// UTC.
    pub(crate) time: String,
    /// What looked.
    pub(crate) program: Program,
    /// The networks: their checkpoint, below the run folder, and its SHA-256.
    pub(crate) checkpoint: String,
    pub(crate) checkpoint_digest: String,
    /// Where the scans lie, and which they are.
    pub(crate) scans: String,
    pub(crate) cases: Vec<String>,
}

/// Adds a line to the file of a run folder.
pub(crate) fn write(run: &Path, opening: &Opening) -> Result<()> {
    let path = run.join(FILE);
    let line = serde_json::to_string(opening)? + "\n";
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| {
        file.write_all(line.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}, without which no test scan is opened", path.display()))
}

/// Now, as `2026-01-31T12:00:00Z`.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let opening = Opening {
            time: now(),
            program: Program::this(),
            checkpoint: "checkpoints/step-00000005.safetensors".to_owned(),
            checkpoint_digest: "ab".to_owned(),
            scans: "scans".to_owned(),
            cases: vec!["d".to_owned()],
        };
        write(folder.path(), &opening).unwrap();
        write(folder.path(), &opening).unwrap();
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let lines: Vec<Opening> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, [opening.clone(), opening]);
    }
}
