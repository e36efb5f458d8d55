//! Folders of scans in the layouts that the field keeps them in.
//!
//! | Layout | Images | Label maps |
//! |---|---|---|
//! | [`Layout::NnUnet`] | `imagesTr/CASE_0000.nii.gz`, `_0001` ... for each channel; `imagesTs` | `labelsTr/CASE.nii.gz`, `labelsTs` |
//! | [`Layout::Decathlon`] | as `dataset.json` lists them under `training` and `test` | as listed |
//! | [`Layout::Pairs`] | `images/ID.nii.gz` | `labels/ID.nii.gz` |
//! | [`Layout::LaBenchmark`] | `ID/mri_norm2.h5` | in the same file |
//! | [`Layout::LaChallenge`] | `ID/lgemri.nrrd` | `ID/laendo.nrrd` |
//! | [`Layout::PancreasCt`] | `PANCREAS_0001/STUDY/SERIES/*.dcm` | `label0001.nii.gz` |
//!
//! nnU-Net's and the Decathlon's folders hold a `dataset.json`; in any layout, `train.list` and `test.list` (one id a line)
//! give the order of the scans and their division. A folder is looked at without reading a scan, and what does not fit
//! together is a [`Fault`] beside the scans rather than an error, so that all of it can be told at once.
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::prepared::{Split, check_id};
use crate::{Error, Geometry, Image, Result, Volume, hdf5, read_channels, read_label};

mod dataset_json;
mod decathlon;
mod fault;
mod la;
mod lists;
mod nnunet;
mod pairs;
mod pancreas;

use dataset_json::DatasetJson;
pub use fault::Fault;

/// Voxels of the LA benchmark's HDF5 files, in mm: the files do not say it themselves.
const LA_SPACING_MM: f64 = 0.625;

/// How the scans of a folder are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// nnU-Net's raw data, version 2 or 1
    /// (<https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md>).
    NnUnet,
    /// The Medical Segmentation Decathlon's (<http://medicaldecathlon.com>).
    Decathlon,
    /// Pairs of image and label map.
    Pairs,
    /// The left atrium benchmark's HDF5 files: cropped and z-scored, 0.625 mm.
    LaBenchmark,
    /// The 2018 Atrial Segmentation Challenge's NRRD files: raw, the label is 255.
    LaChallenge,
    /// The NIH Pancreas-CT download: folders of DICOM slices (read with the feature `dicom`), and label maps whose headers do
    /// not say where they lie.
    PancreasCt,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Layout::NnUnet => "nnU-Net raw data",
            Layout::Decathlon => "Medical Segmentation Decathlon",
            Layout::Pairs => "images/ and labels/",
            Layout::LaBenchmark => "left atrium benchmark (HDF5)",
            Layout::LaChallenge => "Atrial Segmentation Challenge (NRRD)",
            Layout::PancreasCt => "NIH Pancreas-CT (DICOM)",
        })
    }
}

/// The files of one scan, relative to their folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanFiles {
    /// Name of the scan.
    pub id: String,
    /// Its images, one a channel in order; or one file that holds all channels.
    pub images: Vec<String>,
    /// Its label map; `None` for an unlabelled scan.
    pub label: Option<String>,
    /// The list that the scan belongs to.
    pub split: Split,
}

/// A folder of scans, looked at.
#[derive(Clone, Debug)]
pub struct ScanFolder {
    folder: PathBuf,
    layout: Layout,
    scans: Vec<ScanFiles>,
    unlisted: Vec<ScanFiles>,
    channels: Vec<String>,
    labels: BTreeMap<u8, String>,
    has_regions: bool,
    faults: Vec<Fault>,
}

/// What a layout finds in a folder, before the lists.
#[derive(Default)]
struct Found {
    scans: BTreeMap<String, ScanFiles>,
    channels: Vec<String>,
    labels: BTreeMap<u8, String>,
    has_regions: bool,
    faults: Vec<Fault>,
}

impl ScanFolder {
    /// Finds the layout of `folder` and its scans; reads its lists and its `dataset.json`, and no scan.
    ///
    /// # Errors
    /// Where there is no such folder, no layout fits it, or `dataset.json` or a list cannot be read.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(Error::file(folder, "there is no such folder; give the folder of the scans"));
        }
        let (layout, mut found) = find(folder)?;
        if found.scans.is_empty() && found.faults.is_empty() {
            let needs = "its dataset.json is there, but none of the images that it describes";
            return Err(Error::file(
                folder,
                format!("{needs}; copy them, or give the folder that holds them"),
            ));
        }
        let (scans, unlisted) = lists::arrange(folder, &mut found)?;
        let misnamed = scans.iter().filter_map(|scan| {
            let file = scan.images[0].clone();
            check_id(&scan.id).err().map(|problem| Fault::Name { file, problem })
        });
        found.faults.extend(misnamed);
        let Found { channels, labels, has_regions, faults, .. } = found;
        let folder = folder.to_owned();
        Ok(ScanFolder { folder, layout, scans, unlisted, channels, labels, has_regions, faults })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Its layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The scans, in the order of the lists; where there are none, sorted by id, those of the test list last.
    pub fn scans(&self) -> &[ScanFiles] {
        &self.scans
    }

    /// The scan of that name, be it in a list or not.
    pub fn scan(&self, id: &str) -> Option<&ScanFiles> {
        self.scans.iter().chain(&self.unlisted).find(|scan| scan.id == id)
    }

    /// The scans that no list names, where there are lists.
    pub fn unlisted(&self) -> &[ScanFiles] {
        &self.unlisted
    }

    /// The folder with its first `count` scans alone; the others count as if no list named them.
    pub fn first(mut self, count: usize) -> Self {
        let others = self.scans.split_off(count.min(self.scans.len()));
        self.unlisted.extend(others);
        self
    }

    /// What `dataset.json` calls the channels, such as `CT`; empty where nothing names them.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// The label values that the layout knows with their names; empty where it does not say.
    pub fn labels(&self) -> &BTreeMap<u8, String> {
        &self.labels
    }

    /// Whether `dataset.json` names regions of several label values, as nnU-Net does where structures contain each other. The
    /// label maps hold disjoint values all the same, and [`ScanFolder::labels`] has the names of all regions for each.
    pub fn has_regions(&self) -> bool {
        self.has_regions
    }

    /// What does not fit together.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Reads the image of a scan of this folder, with all its channels.
    ///
    /// # Errors
    /// As for [`read_channels`].
    pub fn read_image(&self, scan: &ScanFiles) -> Result<Image> {
        let files: Vec<PathBuf> = scan.images.iter().map(|file| self.folder.join(file)).collect();
        match files.as_slice() {
            [file] if self.layout == Layout::LaBenchmark => {
                Ok(Volume::new(hdf5::read_subject(file)?.0, Geometry::isotropic(LA_SPACING_MM)?).into())
            }
            files => read_channels(files),
        }
    }

    /// Reads the label map of a scan of this folder; `None` where it has none.
    ///
    /// # Errors
    /// As for [`read_label`].
    pub fn read_label(&self, scan: &ScanFiles) -> Result<Option<Volume<u8>>> {
        let Some(path) = scan.label.as_ref().map(|file| self.folder.join(file)) else { return Ok(None) };
        if self.layout != Layout::LaBenchmark {
            return read_label(path).map(Some);
        }
        let label = hdf5::read_subject(path)?.1;
        label.map(|label| Ok(Volume::new(label, Geometry::isotropic(LA_SPACING_MM)?))).transpose()
    }
}

fn find(folder: &Path) -> Result<(Layout, Found)> {
    if let Some(json) = DatasetJson::read(folder)? {
        if nnunet::fits(folder, &json)? {
            return Ok((Layout::NnUnet, nnunet::find(folder, &json)?));
        }
        if json.training.is_some() {
            return Ok((Layout::Decathlon, decathlon::find(folder, &json)?));
        }
    }
    type Find = fn(&Path) -> Result<Found>;
    let layouts: [(Layout, Find); 4] = [
        (Layout::Pairs, pairs::find),
        (Layout::LaBenchmark, la::find_benchmark),
        (Layout::LaChallenge, la::find_challenge),
        (Layout::PancreasCt, pancreas::find),
    ];
    for (layout, find) in layouts {
        let found = find(folder)?;
        if !found.scans.is_empty() {
            return Ok((layout, found));
        }
    }
    Err(Error::file(
        folder,
        "the folder holds no scans in a layout that is known; it needs images/ID.nii.gz with labels/ID.nii.gz, or \
         nnU-Net's or the Decathlon's dataset.json with imagesTr and labelsTr, or ID/mri_norm2.h5, or ID/lgemri.nrrd with \
         ID/laendo.nrrd, or PANCREAS_0001 with label0001.nii.gz",
    ))
}

/// The names in a folder, sorted; none where it is not there.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io(folder))?.file_name();
        // A name that is not text is no id, and hidden files are leftovers of other programs.
        names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
