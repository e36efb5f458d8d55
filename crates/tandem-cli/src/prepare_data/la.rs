//! The left atrium scans of the 2018 Atrial Segmentation Challenge, in the three layouts that they are found in.

use super::{grids, lists};
use crate::intensities;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tandem_augment::la_benchmark;
use tandem_random::Draws;
use tandem_volume::prepared::{Source, Split};
use tandem_volume::{Geometry, Subject, Volume, hdf5, read_image, read_label};

/// Voxels of the benchmark's HDF5 files, in mm: the layout does not say it itself.
const SPACING_MM: f64 = 0.625;

/// Endings of volumes in a folder of pairs: formats of one file, whose digest covers header and voxels.
const ENDINGS: [&str; 4] = [".nii.gz", ".nii", ".nrrd", ".mha"];

/// How the scans of a folder are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `images/ID.nii.gz` and `labels/ID.nii.gz`.
    Pairs,
    /// `ID/mri_norm2.h5`, the benchmark's: cropped and z-scored.
    Benchmark,
    /// `ID/lgemri.nrrd` and `ID/laendo.nrrd`, the challenge's: raw.
    Challenge,
}

/// A folder of scans.
pub(crate) struct ScanFolder {
    folder: PathBuf,
    layout: Layout,
    files: BTreeMap<String, Files>,
    splits: Vec<(String, Split)>,
}

/// The files of one scan, relative to the source folder.
struct Files {
    image: String,
    label: Option<String>,
}

/// A scan that was read and preprocessed.
pub(crate) struct Scan {
    /// Image and label map.
    pub(crate) subject: Subject,
    /// The files that it was made from.
    pub(crate) sources: Vec<Source>,
    /// What was done to this scan only.
    pub(crate) note: Option<String>,
}

impl ScanFolder {
    /// Looks at `folder` and its lists; reads no scan yet.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            bail!("there is no folder {}; give --source the folder of the scans", folder.display());
        }
        let (layout, files) = [Layout::Pairs, Layout::Benchmark, Layout::Challenge]
            .into_iter()
            .find_map(|layout| match layout.files(folder) {
                Ok(files) if files.is_empty() => None,
                Ok(files) => Some(Ok((layout, files))),
                Err(error) => Some(Err(error)),
            })
            .with_context(|| {
                format!(
                    "{} holds no scans; it needs images/ID.nii.gz with labels/ID.nii.gz, or ID/mri_norm2.h5, or \
                     ID/lgemri.nrrd with ID/laendo.nrrd",
                    folder.display()
                )
            })??;
        let splits = lists::splits(folder, &files.keys().cloned().collect())?;
        Ok(ScanFolder { folder: folder.to_owned(), layout, files, splits })
    }

    /// The ids with their lists, in order.
    pub(crate) fn splits(&self) -> &[(String, Split)] {
        &self.splits
    }

    /// How many scans of the folder no list names.
    pub(super) fn unlisted(&self) -> usize {
        self.files.len() - self.splits.len()
    }

    /// Where the scans come from and what is done to them.
    pub(super) fn description(&self, seed: u64) -> String {
        let done = match self.layout {
            Layout::Pairs => "pairs of image and label map, each on its own grid; raw intensities are z-scored over the scan".to_owned(),
            Layout::Benchmark => {
                format!("the benchmark's HDF5 files (cropped by label and z-scored there); spacing {SPACING_MM} mm")
            }
            Layout::Challenge => format!(
                "the challenge's NRRD files; z-scored over the whole scan, then cropped in i and j around the label \
                 with margins drawn from seed {seed}; all slices kept"
            ),
        };
        format!("Left atrium, LGE-MRI (2018 Atrial Segmentation Challenge, Xiong et al. 2020): {done}.")
    }

    /// Reads a scan and preprocesses it. `seed` and the scan's place among all key the margins of its crop; a label map on
    /// another grid is refused, or brought to the image's.
    pub(crate) fn read(&self, id: &str, seed: u64, resample_labels: bool) -> Result<Scan> {
        let files = self.files.get(id).with_context(|| format!("there is no scan {id}"))?;
        let image = self.folder.join(&files.image);
        let label = files.label.as_ref().map(|name| self.folder.join(name));
        let (subject, note) = match self.layout {
            Layout::Pairs => read_pair(id, &image, label.as_deref(), resample_labels)?,
            Layout::Benchmark => (read_benchmark(id, &image)?, None),
            Layout::Challenge => {
                let place = self.files.keys().position(|known| known == id).unwrap_or_default();
                let draws = &mut Draws::new(seed, "la-margins", 0, place as u64);
                read_challenge(id, &image, label.as_deref(), resample_labels, draws)?
            }
        };
        check_classes(&subject, files.label.as_ref().unwrap_or(&files.image))?;
        let sources = std::iter::once(&files.image)
            .chain(&files.label)
            .map(|name| Ok(Source::of_file(name, self.folder.join(name))?))
            .collect::<Result<_>>()?;
        Ok(Scan { subject, sources, note })
    }
}

impl Layout {
    /// The scans of `folder` in this layout, by id; none where it is another layout.
    fn files(self, folder: &Path) -> Result<BTreeMap<String, Files>> {
        match self {
            Layout::Pairs => {
                let labels = volumes(&folder.join("labels"))?;
                let pair = |(id, image): (String, String)| {
                    let label = labels.get(&id).map(|name| format!("labels/{name}"));
                    (id, Files { image: format!("images/{image}"), label })
                };
                Ok(volumes(&folder.join("images"))?.into_iter().map(pair).collect())
            }
            Layout::Benchmark => subfolders(folder, "mri_norm2.h5", None),
            Layout::Challenge => subfolders(folder, "lgemri.nrrd", Some("laendo.nrrd")),
        }
    }
}

/// The volumes of a folder: id (the name without its ending) and file name. A folder that is not there has none.
fn volumes(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in names(folder)? {
        let Some(id) = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)) else { continue };
        if let Some(other) = found.insert(id.to_owned(), name.clone()) {
            bail!("{}: both {other} and {name} are scan {id}; remove one", folder.display());
        }
    }
    Ok(found)
}

/// The folders below `folder` that hold `image`, with `label` where that is there too.
fn subfolders(folder: &Path, image: &str, label: Option<&str>) -> Result<BTreeMap<String, Files>> {
    let with_image = names(folder)?.into_iter().filter(|id| folder.join(id).join(image).is_file());
    let files = |id: String| {
        let label = label.filter(|name| folder.join(&id).join(name).is_file());
        let files = Files { image: format!("{id}/{image}"), label: label.map(|name| format!("{id}/{name}")) };
        (id, files)
    };
    Ok(with_image.map(files).collect())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("cannot list {}", folder.display()))?.file_name();
        // A name that is not text is no id, and hidden files are leftovers of other programs.
        names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
    }
    Ok(names)
}

fn read_pair(
    id: &str,
    image: &Path,
    label: Option<&Path>,
    resample_labels: bool,
) -> Result<(Subject, Option<String>)> {
    let label = label.map(read_label).transpose()?;
    let (image, normalised) = intensities::normalised(&read_image(image)?.into())?;
    let (subject, moved) = grids::subject(id, image, label, resample_labels)?;
    Ok((subject, joined([normalised, moved])))
}

fn read_benchmark(id: &str, path: &Path) -> Result<Subject> {
    let (image, label) = hdf5::read_subject(path)?;
    let geometry = Geometry::isotropic(SPACING_MM)?;
    let label = label.map(|label| Volume::new(label, geometry.clone()));
    Ok(Subject::new(id, Volume::new(image, geometry.clone()), label)?)
}

fn read_challenge(
    id: &str,
    image: &Path,
    label: Option<&Path>,
    resample_labels: bool,
    draws: &mut Draws,
) -> Result<(Subject, Option<String>)> {
    let kept = label.is_none().then(|| "no label map to crop by: the whole field of view is kept".to_owned());
    let label = label.map(read_label).transpose()?;
    let (raw, moved) = grids::subject(id, read_image(image)?.into(), label, resample_labels)?;
    Ok((la_benchmark(raw, draws)?, joined([kept, moved])))
}

/// All that is to be said of a scan in one note.
fn joined(notes: [Option<String>; 2]) -> Option<String> {
    notes.into_iter().flatten().reduce(|all, note| format!("{all}; {note}"))
}

/// LA has two classes: a third would be taken for atrium by nobody and for background by some.
fn check_classes(subject: &Subject, file: &str) -> Result<()> {
    let highest = subject.label().and_then(|label| label.array().iter().copied().max()).unwrap_or(0);
    if highest > 1 {
        bail!("{file} holds label {highest}; label maps of the left atrium hold 0 and 1 only");
    }
    Ok(())
}
