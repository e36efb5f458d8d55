//! Synthetic scans in the layout of the download, so that a run from DICOM to scores needs no download.

use super::splits::{id, is_copy};
use super::{PancreasScans, Recipe};
use crate::prepare_data::asked::{Options, millimetres};
use crate::prepare_data::beside;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_augment::phantom::{ABDOMEN_SPACING_MM, PhantomParams, generate_abdomen};
use tandem_random::Draws;
use tandem_volume::dicom::{SeriesNames, write_series};
use tandem_volume::prepared::{PreparedSet, Writer};
use tandem_volume::{Orientation, Subject, write_label};

/// How the axes of the label maps run: in another order than a CT's, and the other way round.
const LABEL_AXES: &str = "ARI";

/// A set of phantoms, numbered as the scans that the archive still has.
pub(in super::super) struct PancreasPhantoms {
    seed: u64,
    cases: usize,
    spacing_mm: [f64; 3],
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

    /// Writes the phantoms as a download, in a folder that is removed again unless it is `kept`, and prepares that in
    /// `folder`; `None` after Ctrl-C.
    pub(in super::super) fn prepare(
        &self,
        recipe: Recipe,
        kept: Option<&Path>,
        folder: &Path,
        stop: &AtomicBool,
    ) -> Result<Option<PreparedSet>> {
        if let Some(kept) = kept.filter(|kept| kept.exists()) {
            bail!("{} exists already; choose another folder with --download", kept.display());
        }
        let path = kept.map_or_else(|| beside(folder, "download"), |kept| Ok(kept.to_owned()))?;
        let download = Removed(path.clone());
        if self.write(&path, stop)?.is_none() {
            return Ok(None);
        }
        let scans = PancreasScans::open(&path, recipe, None)?;
        let origin = format!("Synthetic CT of an abdomen, not of patients (seed {})", self.seed);
        let writer = Writer::create(folder, "pancreas-phantom", scans.description(&origin))?;
        self.options().write(&writer)?;
        let set = scans.write(writer, None, stop)?;
        if kept.is_some() && set.is_some() {
            download.kept();
        }
        Ok(set)
    }

    /// What they follow from, besides the recipe, which is in the name of the prepared folder.
    pub(in super::super) fn options(&self) -> Options {
        Options::default()
            .with("--cases", Some(self.cases.to_string()))
            .with("--seed", Some(self.seed.to_string()))
            .with("--spacing", Some(millimetres(self.spacing_mm)))
    }

    /// Writes DICOM folders, label maps and lists below `folder`; 18 of 80 are the test list, as in CoraNet's split.
    /// `None` after Ctrl-C.
    fn write(&self, folder: &Path, stop: &AtomicBool) -> Result<Option<()>> {
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
        let image = &image.channels()[0];
        let id = id(number);
        let (uid, scan) = (format!("2.25.{}.{number}", self.seed), folder.join("Pancreas-CT").join(&id));
        let names = SeriesNames { patient: &id, description: "synthetic abdomen", uid: &uid };
        // The order of the names says nothing, as in many an archive.
        let order = Draws::new(self.seed, "abdomen-files", 0, number.into()).permutation(image.shape()[2]);
        let file_name = |k: usize| format!("1-{:03}.dcm", order[k] + 1);
        std::fs::create_dir_all(scan.join("study"))
            .with_context(|| format!("cannot make {}", scan.display()))?;
        write_series(scan.join("study/series"), image, &names, file_name)?;
        if let Some(label) = label {
            let label = label.reoriented(LABEL_AXES.parse::<Orientation>()?)?;
            write_label(folder.join(format!("labels/label{number:04}.nii.gz")), &label)?;
        }
        Ok(())
    }
}

/// A folder that is removed when it goes out of scope.
struct Removed(PathBuf);

impl Removed {
    fn kept(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // Nobody can be told here; the next preparation clears what is left. The empty path of a kept folder is none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
