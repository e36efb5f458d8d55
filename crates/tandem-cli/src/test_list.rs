//! Who opened the test list of a run, and when: `RUN/test-list.jsonl`, one line each time.
//!
//! A choice that is made after a look at the test list makes its scores worthless. So it is written down before a scan is read, and
//! never taken back.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
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
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    utc(seconds)
}

/// Seconds since 1970 as a time of the Gregorian calendar, whose years begin in March here, so that leap days come last.
fn utc(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        // By `date -u -d @SECONDS`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

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
