//! Synthetic scans in the layout of the download, so that a run from DICOM to scores needs no download.

use super::download::id;
use super::splits::is_copy;
use crate::progress::Progress;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_augment::phantom::{ABDOMEN_SPACING_MM, PhantomParams, generate_abdomen};
use tandem_random::Draws;
use tandem_volume::dicom::{SeriesNames, write_series};
use tandem_volume::{Orientation, Subject, write_label};

/// How the axes of the label maps run: in another order than a CT's, and the other way round.
const LABEL_AXES: &str = "ARI";

/// A set of phantoms, numbered as the scans that the archive still has.
pub(in super::super) struct PancreasPhantoms {
    pub(in super::super) seed: u64,
    pub(in super::super) cases: usize,
    pub(in super::super) spacing_mm: [f64; 3],
}

impl PancreasPhantoms {
    /// As many phantoms, of as many mm a voxel; 80 at 1.2 x 1.2 x 1.5 mm where nothing is said.
    pub(in super::super) fn new(seed: u64, cases: Option<u32>, spacing_mm: Option<f64>) -> Self {
        PancreasPhantoms {
            seed,
            cases: cases.map_or(80, |n| n as usize),
            spacing_mm: spacing_mm.map_or(ABDOMEN_SPACING_MM, |mm| [mm; 3]),
        }
    }

    /// Writes DICOM folders, label maps and lists below `folder`; 18 of 80 are the test list, as in CoraNet's split.
    /// `None` after Ctrl-C.
    pub(in super::super) fn write(&self, folder: &Path, stop: &AtomicBool) -> Result<Option<()>> {
        let labels = folder.join("labels");
        std::fs::create_dir_all(&labels).with_context(|| format!("cannot make {}", labels.display()))?;
        let numbers: Vec<u32> = (1..).filter(|&number| !is_copy(number)).take(self.cases).collect();
        let mut progress = Progress::new("making phantoms", self.cases as u64);
        for (index, &number) in numbers.iter().enumerate() {
            if stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            progress.at(index as u64, "");
            let params =
                PhantomParams { spacing_mm: self.spacing_mm, ..PhantomParams::new(self.seed, index as u64) };
            self.write_scan(folder, number, generate_abdomen(&params)?)?;
        }
        let (train, test) = numbers.split_at(self.cases - self.cases * 18 / 80);
        for (name, numbers) in [("train.list", train), ("test.list", test)] {
            let lines: String = numbers.iter().map(|&number| id(number) + "\n").collect();
            std::fs::write(folder.join(name), lines).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(Some(()))
    }

    fn write_scan(&self, folder: &Path, number: u32, subject: Subject) -> Result<()> {
        let (_, image, label) = subject.into_parts();
        let id = id(number);
        let (uid, scan) = (format!("2.25.{}.{number}", self.seed), folder.join("Pancreas-CT").join(&id));
        let names = SeriesNames { patient: &id, description: "synthetic abdomen", uid: &uid };
        // The order of the names says nothing, as in many an archive.
        let order = Draws::new(self.seed, "abdomen-files", 0, number.into()).permutation(image.shape()[2]);
        let file_name = |k: usize| format!("1-{:03}.dcm", order[k] + 1);
        std::fs::create_dir_all(scan.join("study"))
            .with_context(|| format!("cannot make {}", scan.display()))?;
        write_series(scan.join("study/series"), &image, &names, file_name)?;
        if let Some(label) = label {
            let label = label.reoriented(LABEL_AXES.parse::<Orientation>()?)?;
            write_label(folder.join(format!("labels/label{number:04}.nii.gz")), &label)?;
        }
        Ok(())
    }
}
