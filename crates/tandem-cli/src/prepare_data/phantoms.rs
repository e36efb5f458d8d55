//! The synthetic dataset that stands in where no scans are prepared.

use super::asked::Options;
use crate::progress::Progress;
use anyhow::Result;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_augment::phantom::{self, PhantomParams};
use tandem_volume::prepared::{NewCase, PreparedSet, Source, Split, Writer};

/// A set of phantoms: the last fifth of them is the test list, as in the benchmark's 80 and 20.
pub(super) struct Phantoms {
    seed: u64,
    cases: usize,
    spacing_mm: f64,
}

impl Phantoms {
    /// As many phantoms, of as many mm a voxel; 100 at 0.625 mm where nothing is said.
    pub(super) fn new(seed: u64, cases: Option<u32>, spacing_mm: Option<f64>) -> Self {
        let cases = cases.map_or(100, |n| n as usize);
        Phantoms { seed, cases, spacing_mm: spacing_mm.unwrap_or(0.625) }
    }

    /// Makes and writes them; `None` after Ctrl-C, and then nothing is left behind.
    pub(super) fn write(&self, folder: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
        let mut writer =
            Writer::create(folder, "phantom", self.description())?.with_classes(super::la::CLASSES)?;
        self.options().write(&writer)?;
        let mut progress = Progress::new("making phantoms", self.cases as u64);
        for index in 0..self.cases {
            if stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            progress.at(index as u64, "");
            let spacing_mm = [self.spacing_mm; 3];
            let params = PhantomParams { spacing_mm, ..PhantomParams::new(self.seed, index as u64) };
            let subject = phantom::generate(&params)?;
            let source = Source { file: format!("phantom {index} of seed {}", self.seed), sha256: None };
            let split = if index < self.cases - self.cases / 5 { Split::Train } else { Split::Test };
            writer.add(NewCase { subject: &subject, split, sources: vec![source], note: None })?;
        }
        Ok(Some(writer.finish()?))
    }

    /// What they follow from.
    pub(super) fn options(&self) -> Options {
        Options::default()
            .with("--cases", Some(self.cases.to_string()))
            .with("--seed", Some(self.seed.to_string()))
            .with("--spacing", Some(self.spacing_mm.to_string()))
    }

    fn description(&self) -> String {
        format!(
            "Synthetic LGE-like scans of a left atrium among its neighbours, not of patients: seed {}, {} mm, z-scored.",
            self.seed, self.spacing_mm
        )
    }
}
