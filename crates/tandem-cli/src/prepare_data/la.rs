//! The left atrium scans of the 2018 Atrial Segmentation Challenge, in the three layouts that they are found in.

use super::asked::{Asked, Options, Scans};
use super::{Arguments, Scan, first, grids, sources, write_scans};
use crate::intensities;
use crate::output::say;
use crate::survey::{Kind, Survey};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tandem_augment::la_benchmark;
use tandem_random::Draws;
use tandem_volume::Subject;
use tandem_volume::layout::{Layout, ScanFiles, ScanFolder};
use tandem_volume::prepared::{PreparedSet, Split, Writer};

/// The classes of the scans and of the phantoms.
pub(super) const CLASSES: [&str; 2] = ["background", "left atrium"];

/// Checks the scans of `--source` and prepares them in `folder`; `None` after Ctrl-C.
pub(super) fn prepare(
    arguments: &Arguments,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let source = arguments.source()?;
    let mut scans = LeftAtria::open(source)?;
    if scans.unlisted() > 0 {
        say(format!("{} scans of {} are in no list and are left out", scans.unlisted(), source.display()));
    }
    if let Some(cases) = arguments.cases {
        scans.folder = scans.folder.first(cases as usize);
    }
    let Some(survey) = Survey::of(&scans.folder, stop)? else { return Ok(None) };
    // An atrium is 1 or 255 in either layout of its own: what is neither is refused where the scan is read.
    let mut passed = [arguments.passed(), vec![Kind::UnknownLabel]].concat();
    // The benchmark's lists say who validates; one label map is something to learn from.
    passed.extend(scans.is_labelled().then_some(Kind::FewLabelled));
    super::refuse_errors(&survey, &scans.folder, &passed)?;
    let writer = Writer::create(folder, "la", scans.description(arguments.seed))?.with_classes(CLASSES)?;
    scans.options(arguments).write(&writer)?;
    let read = |id: &str| scans.read(id, arguments.seed, arguments.resample_labels);
    write_scans(writer, &scans.splits(), read, stop)
}

/// The scans of `--source`, and what is to be done to them.
pub(super) fn asked(arguments: &Arguments) -> Result<Asked> {
    let scans = LeftAtria::open(arguments.source()?)?;
    let options = scans.options(arguments);
    let listed = first(&scans.splits(), arguments.cases).to_vec();
    Ok(Asked { options, scans: Some(Scans { folder: scans.folder, listed }) })
}

/// A folder of left atrium scans.
pub(crate) struct LeftAtria {
    folder: ScanFolder,
}

impl LeftAtria {
    /// Looks at `folder` and its lists; reads no scan yet.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let folder = ScanFolder::open(folder)?;
        let known = [Layout::Pairs, Layout::LaBenchmark, Layout::LaChallenge];
        if !known.contains(&folder.layout()) {
            bail!(
                "{} has the layout of {}, in which the left atrium benchmark does not come; prepare it with prepare-data \
                 custom",
                folder.path().display(),
                folder.layout()
            );
        }
        super::refuse_faults(folder.path(), folder.faults())?;
        Ok(LeftAtria { folder })
    }

    /// The ids with their lists, in order.
    pub(crate) fn splits(&self) -> Vec<(String, Split)> {
        self.folder.scans().iter().map(|scan| (scan.id.clone(), scan.split)).collect()
    }

    /// What was found.
    pub(crate) fn folder(&self) -> &ScanFolder {
        &self.folder
    }

    /// Whether any scan for training has a label map.
    fn is_labelled(&self) -> bool {
        self.folder.scans().iter().any(|scan| scan.split == Split::Train && scan.label.is_some())
    }

    /// How many scans of the folder no list names.
    fn unlisted(&self) -> usize {
        self.folder.unlisted().len()
    }

    /// What decides how the scans are prepared. `--seed` does for the crops of one layout only.
    fn options(&self, arguments: &Arguments) -> Options {
        let crops = self.folder.layout() == Layout::LaChallenge;
        Options::default()
            .with("--seed", crops.then(|| arguments.seed.to_string()))
            .with("--resample-labels", arguments.resample_labels.then(String::new))
    }

    /// Where the scans come from and what is done to them.
    fn description(&self, seed: u64) -> String {
        let done = match self.folder.layout() {
            Layout::LaBenchmark => {
                "the benchmark's HDF5 files (cropped by label and z-scored there); spacing 0.625 mm".to_owned()
            }
            Layout::LaChallenge => format!(
                "the challenge's NRRD files; z-scored over the whole scan, then cropped in i and j around the label \
                 with margins drawn from seed {seed}; all slices kept"
            ),
            _ => "pairs of image and label map, each on its own grid; raw intensities are z-scored over the scan".to_owned(),
        };
        format!("Left atrium, LGE-MRI (2018 Atrial Segmentation Challenge, Xiong et al. 2020): {done}.")
    }

    /// Reads a scan and preprocesses it. `seed` and the scan's place among all key the margins of its crop; a label map on
    /// another grid is refused, or brought to the image's.
    pub(crate) fn read(&self, id: &str, seed: u64, resample_labels: bool) -> Result<Scan> {
        let files = self.folder.scan(id).with_context(|| format!("there is no scan {id}"))?;
        let image = self.folder.read_image(files)?;
        let label = self.folder.read_label(files)?;
        let (subject, note) = match self.folder.layout() {
            Layout::LaBenchmark => (Subject::new(id, image, label)?, None),
            Layout::LaChallenge => {
                let kept = label.is_none();
                let kept =
                    kept.then(|| "no label map to crop by: the whole field of view is kept".to_owned());
                let (raw, moved) = grids::subject(id, image, label, resample_labels)?;
                (la_benchmark(raw, &mut self.margins(id, seed))?, joined([kept, moved]))
            }
            _ => {
                let (image, normalised) = intensities::normalised(image, &[])?;
                let (subject, moved) = grids::subject(id, image, label, resample_labels)?;
                (subject, joined([normalised, moved]))
            }
        };
        check_classes(&subject, files)?;
        Ok(Scan { subject, sources: sources(&self.folder, files)?, note })
    }

    /// What the margins of a scan's crop are drawn from.
    fn margins(&self, id: &str, seed: u64) -> Draws {
        let all = self.folder.scans().iter().chain(self.folder.unlisted());
        Draws::new(seed, "la-margins", 0, all.filter(|other| other.id.as_str() < id).count() as u64)
    }
}

/// All that is to be said of a scan in one note.
fn joined(notes: [Option<String>; 2]) -> Option<String> {
    notes.into_iter().flatten().reduce(|all, note| format!("{all}; {note}"))
}

/// LA has two classes: a third would be taken for atrium by nobody and for background by some.
fn check_classes(subject: &Subject, files: &ScanFiles) -> Result<()> {
    let highest = subject.label().and_then(|label| label.array().iter().copied().max()).unwrap_or(0);
    if highest > 1 {
        let file = files.label.as_ref().unwrap_or(&files.images[0]);
        bail!("{file} holds label {highest}; label maps of the left atrium hold 0 and 1 only");
    }
    Ok(())
}
