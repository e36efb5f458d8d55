//! The NIH Pancreas-CT download: CT scans as folders of DICOM slices, and label maps in a folder of their own.

mod alignment;
mod download;
pub(super) mod phantoms;
mod splits;

use super::{Arguments, Scan, first, refuse_faults, write_scans};
use crate::output::say;
use anyhow::{Context, Result};
use clap::ValueEnum;
use download::Download;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tandem_augment::{pancreas_coranet, pancreas_mc_net};
use tandem_volume::layout;
use tandem_volume::prepared::{PreparedSet, Source, Split, Writer};
use tandem_volume::{Subject, read_image, read_label};

pub(super) use splits::PublishedSplit;

/// The classes of the scans and of the phantoms.
const CLASSES: [&str; 2] = ["background", "pancreas"];

/// Prepares the download in `--source` in `folder`; `None` after Ctrl-C.
pub(super) fn prepare(
    arguments: &Arguments,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let scans =
        PancreasScans::open(arguments.source()?, arguments.recipe.unwrap_or_default(), arguments.split)?;
    let origin = "Pancreas, CT (NIH Pancreas-CT, Roth et al. 2016)";
    let writer = Writer::create(folder, "pancreas", scans.description(origin))?;
    scans.write(writer, arguments.cases, stop)
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
    download: Download,
    recipe: Recipe,
    splits: Vec<(String, Split)>,
    /// Where the lists come from.
    lists: String,
}

impl PancreasScans {
    /// Looks at the folder `source` and at its own lists, where it has some and none is named; reads no scan yet. Scans of
    /// a published list that are not there are left out, with a line that names them.
    fn open(source: &Path, recipe: Recipe, split: Option<PublishedSplit>) -> Result<Self> {
        let download = Download::find(source)?;
        let own = match split {
            None => layout::listed(source, |id| download.scan(id).is_some())?,
            Some(_) => None,
        };
        if let Some((splits, faults)) = own {
            refuse_faults(source, &faults)?;
            return Ok(PancreasScans {
                download,
                recipe,
                splits,
                lists: "train.list and test.list".to_owned(),
            });
        }
        let split = split.unwrap_or_default();
        let (splits, missing): (Vec<_>, Vec<_>) =
            split.listed().into_iter().partition(|(id, _)| download.scan(id).is_some());
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
        Ok(PancreasScans { download, recipe, splits, lists: format!("split {split}") })
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
        let files = self.download.scan(id).with_context(|| format!("there is no scan {id}"))?;
        let series = self.download.path(&files.series);
        let image = read_image(&series)?;
        let mut sources = vec![Source::of_folder(&files.series, &series)?];
        let mut notes = Vec::new();
        let label = match &files.label {
            None => {
                notes.push("no label map to crop by: the whole field of view is kept".to_owned());
                None
            }
            Some(name) => {
                let path = self.download.path(name);
                sources.push(Source::of_file(name, &path)?);
                let (label, note) =
                    alignment::onto_image(&image, read_label(&path)?, alignment::is_placed(&path)?)
                        .with_context(|| format!("{}", path.display()))?;
                notes.extend(note);
                notes.extend(alignment::doubt(&image, &label));
                Some(label)
            }
        };
        let raw = Subject::new(id, image, label)?;
        let subject = match self.recipe {
            Recipe::McNet => pancreas_mc_net(raw)?,
            Recipe::Coranet => pancreas_coranet(raw)?,
        };
        Ok(Scan { subject, sources, note: (!notes.is_empty()).then(|| notes.join("; ")) })
    }
}
