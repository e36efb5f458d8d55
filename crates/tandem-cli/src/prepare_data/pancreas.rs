//! The NIH Pancreas-CT download: CT scans as folders of DICOM slices, and label maps in a folder of their own.

mod alignment;
pub(super) mod phantoms;
mod splits;

use super::asked::{Asked, Options, Scans};
use super::{Arguments, Scan, first, refuse_faults, sources, write_scans};
use crate::output::say;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tandem_augment::{pancreas_coranet, pancreas_mc_net};
use tandem_volume::Subject;
use tandem_volume::layout::{Fault, Layout, ScanFolder};
use tandem_volume::prepared::{PreparedSet, Split, Writer};

pub(super) use splits::PublishedSplit;

/// The classes of the scans and of the phantoms.
const CLASSES: [&str; 2] = ["background", "pancreas"];

/// Prepares the download in `--source` in `folder`; `None` after Ctrl-C.
pub(super) fn prepare(
    arguments: &Arguments,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let scans = PancreasScans::of(arguments)?;
    let origin = "Pancreas, CT (NIH Pancreas-CT, Roth et al. 2016)";
    let writer = Writer::create(folder, "pancreas", scans.description(origin))?;
    Options::default().write(&writer)?;
    scans.write(writer, arguments.cases, stop)
}

/// The scans of `--source`. The recipe is in the name of the prepared folder, and the lists show in the scans.
pub(super) fn asked(arguments: &Arguments) -> Result<Asked> {
    let scans = PancreasScans::of(arguments)?;
    let listed = first(&scans.splits, arguments.cases).to_vec();
    Ok(Asked { options: Options::default(), scans: Some(Scans { folder: scans.folder, listed }) })
}

/// How the scans are prepared: the two published pipelines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Recipe {
    /// MC-Net's: 1 mm by B-splines, -125 to 275 HU, cropped around the label in i and j, z-scored over the crop.
    #[default]
    McNet,
    /// CoraNet's, also BCP's: 1 mm linearly, -125 to 275 HU as 0 to 1, cropped around the label along all axes.
    Coranet,
}

/// A download with its lists.
struct PancreasScans {
    folder: ScanFolder,
    recipe: Recipe,
    splits: Vec<(String, Split)>,
    /// Where the lists come from.
    lists: String,
}

impl PancreasScans {
    /// Those that the command line asks for.
    fn of(arguments: &Arguments) -> Result<Self> {
        Self::open(arguments.source()?, arguments.recipe.unwrap_or_default(), arguments.split)
    }

    /// Looks at the folder `source` and at its own lists, where it has some and none is named; reads no scan yet. Scans of
    /// a published list that are not there are left out, with a line that names them.
    fn open(source: &Path, recipe: Recipe, split: Option<PublishedSplit>) -> Result<Self> {
        let folder = ScanFolder::open(source)?;
        if folder.layout() != Layout::PancreasCt {
            bail!(
                "{} has the layout of {}; prepare it with prepare-data custom, or give the folder with PANCREAS_0001",
                source.display(),
                folder.layout()
            );
        }
        let of_lists = |fault: &Fault| matches!(fault, Fault::MissingScan { .. } | Fault::ListedTwice { .. });
        let of_files: Vec<Fault> =
            folder.faults().iter().filter(|fault| split.is_none() || !of_lists(fault)).cloned().collect();
        refuse_faults(source, &of_files)?;
        if split.is_none() && source.join("train.list").is_file() {
            let splits = folder.scans().iter().map(|scan| (scan.id.clone(), scan.split)).collect();
            return Ok(PancreasScans {
                folder,
                recipe,
                splits,
                lists: "train.list and test.list".to_owned(),
            });
        }
        let split = split.unwrap_or_default();
        let (splits, missing): (Vec<_>, Vec<_>) =
            split.listed().into_iter().partition(|(id, _)| folder.scan(id).is_some());
        if !missing.is_empty() {
            let ids: Vec<&str> = missing.iter().map(|(id, _)| id.as_str()).collect();
            say(format!(
                "{} of the {} scans of split {split} are not in {}: {}{}",
                missing.len(),
                missing.len() + splits.len(),
                source.display(),
                ids.join(", "),
                splits::removed(&ids)
            ));
        }
        Ok(PancreasScans { folder, recipe, splits, lists: format!("split {split}") })
    }

    /// Prepares the first `cases` scans, or all, and says what is to be known of them; `None` after Ctrl-C.
    fn write(&self, writer: Writer, cases: Option<u32>, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
        splits::leak(&self.splits).into_iter().for_each(say);
        let listed = first(&self.splits, cases);
        let Some(set) = write_scans(writer.with_classes(CLASSES)?, listed, |id| self.read(id), stop)? else {
            return Ok(None);
        };
        let cases = &set.manifest().cases;
        let noted: Vec<_> = cases.iter().filter_map(|case| Some((&case.id, case.note.as_ref()?))).collect();
        if let Some((id, note)) = noted.first() {
            say(format!(
                "{} of {} scans have a note in manifest.json; {id}: {note}",
                noted.len(),
                cases.len()
            ));
        }
        Ok(Some(set))
    }

    /// What is done to the scans, which are those that `origin` says.
    fn description(&self, origin: &str) -> String {
        let done = match self.recipe {
            Recipe::McNet => {
                "MC-Net's recipe: 1 mm (cubic B-spline; labels nearest), -125 to 275 HU, cropped along i and j around the \
                 label with 25 voxels of margin, every slice kept, z-scored over the crop"
            }
            Recipe::Coranet => {
                "CoraNet's recipe: 1 mm (linear; labels nearest), -125 to 275 HU scaled to 0..1 by the scan's lowest and \
                 highest value, cropped along i, j and k around the label with 25 voxels of margin, 96 at least"
            }
        };
        format!(
            "{origin}: {done}. The crop looked at the label map of every scan, of \
             test and unlabelled ones too. Lists: {}.",
            self.lists
        )
    }

    /// Reads a scan, brings its label map onto its grid, and applies the recipe.
    fn read(&self, id: &str) -> Result<Scan> {
        let files = self.folder.scan(id).with_context(|| format!("there is no scan {id}"))?;
        let image = self.folder.read_image(files)?.into_channels().swap_remove(0);
        let mut notes = Vec::new();
        let label = match (&files.label, self.folder.read_label(files)?) {
            (Some(file), Some(label)) => {
                let path = self.folder.path().join(file);
                let (label, note) = alignment::onto_image(&image, label, alignment::is_placed(&path)?)
                    .with_context(|| format!("{}", path.display()))?;
                notes.extend(note);
                notes.extend(alignment::doubt(&image, &label));
                Some(label)
            }
            _ => {
                notes.push("no label map to crop by: the whole field of view is kept".to_owned());
                None
            }
        };
        let raw = Subject::new(id, image, label)?;
        let subject = match self.recipe {
            Recipe::McNet => pancreas_mc_net(raw)?,
            Recipe::Coranet => pancreas_coranet(raw)?,
        };
        let sources = sources(&self.folder, files)?;
        Ok(Scan { subject, sources, note: (!notes.is_empty()).then(|| notes.join("; ")) })
    }
}
