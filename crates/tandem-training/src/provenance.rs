//! By what a run was made: the program, the machine, and how long it took, piece by piece where it was stopped and resumed.

use crate::files::{read_json, write_json};
use crate::{Result, host};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The program that made something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// The commit that it was built from; `-dirty` where files under version control had been changed. None where it was built
    /// outside of a checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of the `Cargo.lock` that it was built with: the version of every dependency.
    pub dependencies: String,
}

impl Program {
    /// This program.
    pub fn this() -> Self {
        Program {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("TANDEM_COMMIT").map(str::to_owned),
            dependencies: sha256(include_bytes!("../../../Cargo.lock")),
        }
    }
}

/// A run from its start or resume to its end or stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Steps that were done before, and after it (up to its last checkpoint, where it was killed).
    pub steps: [u64; 2],
    /// What ran.
    pub program: Program,
    /// The processor's name, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Its threads.
    pub threads: usize,
    /// Wall time, validation included.
    pub seconds: f64,
    /// The most memory that the process held, in bytes, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

/// All pieces of a run, with their sum: the file `provenance.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Wall time of all pieces.
    pub seconds: f64,
    /// The most memory of any piece, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// In the order of time.
    pub pieces: Vec<Piece>,
}

impl Provenance {
    /// Adds up the pieces.
    pub fn of(pieces: Vec<Piece>) -> Self {
        let seconds = pieces.iter().map(|piece| piece.seconds).sum();
        Provenance { seconds, peak_memory: pieces.iter().filter_map(|piece| piece.peak_memory).max(), pieces }
    }
}

/// Writes the pieces of a run while it works.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    path: PathBuf,
    before: Vec<Piece>,
    /// What of the piece is known when it begins.
    piece: Piece,
    started: Instant,
}

impl Stopwatch {
    /// Starts a piece of a run after so many steps, which the pieces so far are kept beside.
    pub(crate) fn start(path: &Path, steps: u64) -> Result<Self> {
        let before = if path.exists() { read_json::<Provenance>(path)?.pieces } else { Vec::new() };
        let piece = Piece {
            steps: [steps, steps],
            program: Program::this(),
            processor: host::processor(),
            threads: rayon::current_num_threads(),
            seconds: 0.0,
            peak_memory: None,
        };
        Ok(Stopwatch { path: path.to_owned(), before, piece, started: Instant::now() })
    }

    /// Writes the file as of now, after so many steps.
    pub(crate) fn write(&self, steps: u64) -> Result<Provenance> {
        let piece = Piece {
            steps: [self.piece.steps[0], steps],
            seconds: self.started.elapsed().as_secs_f64(),
            peak_memory: host::peak_memory(),
            ..self.piece.clone()
        };
        let pieces = self.before.iter().cloned().chain([piece]).collect();
        let provenance = Provenance::of(pieces);
        write_json(&self.path, &provenance)?;
        Ok(provenance)
    }
}

/// SHA-256 of bytes, hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_says_what_it_was_built_from() {
        let program = Program::this();
        assert_eq!(program.version, env!("CARGO_PKG_VERSION"));
        let lock = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        assert_eq!(program.dependencies, sha256(&lock));
        if let Some(commit) = program.commit {
            let hash = commit.strip_suffix("-dirty").unwrap_or(&commit);
            assert!(hash.len() == 40 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{commit}");
        }
    }

    #[test]
    fn pieces_add_up_and_a_piece_is_written_over_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("provenance.json");
        let first = Stopwatch::start(&path, 0).unwrap();
        first.write(2).unwrap();
        let one = first.write(4).unwrap();
        assert_eq!((one.pieces.len(), one.pieces[0].steps), (1, [0, 4]));
        let both = Stopwatch::start(&path, 4).unwrap().write(6).unwrap();
        assert_eq!(both.pieces.iter().map(|piece| piece.steps).collect::<Vec<_>>(), [[0, 4], [4, 6]]);
        assert_eq!(both.seconds, both.pieces[0].seconds + both.pieces[1].seconds);
        assert_eq!(both.peak_memory, both.pieces.iter().filter_map(|piece| piece.peak_memory).max());
        assert_eq!(read_json::<Provenance>(&path).unwrap(), both);
    }
}
