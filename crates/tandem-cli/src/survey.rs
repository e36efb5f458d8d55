//! A folder of scans, looked at voxel by voxel before anything is made of it: what is in each scan, and what is wrong.

mod across;
mod classes;
mod finding;
mod scan;

pub(crate) use across::{median, usual_orientation};
pub(crate) use classes::{Class, classes, obstacles};
pub(crate) use finding::{Finding, Kind, Severity};
pub(crate) use scan::{Surveyed, percentile};

use crate::progress::Progress;
use anyhow::{Context, Result};
use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_volume::layout::{Fault, ScanFolder};

/// Scans that are in memory at the same time.
const AT_ONCE: usize = 4;

/// What was found in a folder.
pub(crate) struct Survey {
    /// The scans whose files could be read, in the folder's order.
    pub(crate) scans: Vec<Surveyed>,
    /// What is wrong, worst first.
    pub(crate) findings: Vec<Finding>,
}

impl Survey {
    /// Reads every scan of a folder, whatever is wrong with the others; `None` after Ctrl-C.
    pub(crate) fn of(folder: &ScanFolder, stop: &AtomicBool) -> Result<Option<Self>> {
        let progress = Mutex::new((0, Progress::new("checking", folder.scans().len() as u64)));
        let survey = |files| {
            if stop.load(Ordering::SeqCst) {
                return None;
            }
            let surveyed = scan::survey(folder, files);
            // A thread that panicked ends the survey anyway.
            if let Ok(mut progress) = progress.lock() {
                progress.0 += 1;
                let done = progress.0;
                progress.1.at(done, &files.id);
            }
            Some(surveyed)
        };
        let threads = rayon::current_num_threads().min(AT_ONCE);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let surveyed: Option<Vec<_>> = pool
            .context("cannot start the threads that read scans")?
            .install(|| folder.scans().par_iter().map(survey).collect());
        drop(progress);
        let Some(surveyed) = surveyed else { return Ok(None) };
        let mut findings: Vec<Finding> = folder.faults().iter().map(of_fault).collect();
        let mut scans = Vec::new();
        for (scan, found) in surveyed {
            scans.extend(scan);
            findings.extend(found);
        }
        findings.extend(across::findings(folder, &scans));
        findings.sort_by(|a, b| (a.kind, &a.scan).cmp(&(b.kind, &b.scan)));
        Ok(Some(Survey { scans, findings }))
    }

    /// How many findings are errors, and how many are warnings.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        (count(Severity::Error), count(Severity::Warning))
    }
}

fn of_fault(fault: &Fault) -> Finding {
    let kind = match fault {
        Fault::LabelWithoutImage { .. } => Kind::LabelWithoutImage,
        _ => Kind::Folder,
    };
    Finding::new(kind, "-", Some(fault.file()), fault.to_string())
}
