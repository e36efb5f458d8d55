//! Writing a prepared folder, all or nothing.
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;

use super::case::PreparedSet;
use super::manifest::{
    CaseRecord, FORMAT, Intensity, Manifest, Normalisation, Source, Split, check_id, unknown,
};
use super::names::Names;

use crate::whole::Aside;
use crate::{Error, Orientation, Result, Subject, Volume, nifti};

/// The file that says what the folder holds.
const MANIFEST: &str = "manifest.json";

/// Writes a prepared folder aside; [`Writer::finish`] renames it into place. A writer that is dropped before that
/// leaves nothing behind.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    aside: Aside,
    manifest: Manifest,
}

/// A case to be added to a prepared folder.
#[derive(Clone, Debug)]
pub struct NewCase<'a> {
    /// Name, prepared image with all its channels, and label map.
    pub subject: &'a Subject,
    /// The list that the case belongs to.
    pub split: Split,
    /// The files that it was made from.
    pub sources: Vec<Source>,
    /// What was done to this case only.
    pub note: Option<String>,
}

impl Writer {
    /// Starts the folder `dir`, which must not exist, for `dataset`; `description` says where the scans come from and
    /// what was done to them.
    ///
    /// # Errors
    /// Where `dir` exists already, or the folder aside cannot be made.
    pub fn create(
        dir: impl AsRef<Path>,
        dataset: impl Into<String>,
        description: impl Into<String>,
    ) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let aside = Aside::make(&dir)?;
        for folder in ["images", "labels"] {
            let folder = aside.0.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        let (dataset, description) = (dataset.into(), description.into());
        Ok(Writer {
            dir,
            aside,
            manifest: Manifest {
                format: FORMAT,
                dataset,
                description,
                normalisation: Vec::new(),
                orientation: None,
                channels: unknown(),
                classes: unknown(),
                cases: Vec::new(),
            },
        })
    }

    /// Says how the intensities of each channel were normalised, so that new scans can be.
    pub fn with_normalisation(mut self, normalisation: Vec<Normalisation>) -> Self {
        self.manifest.normalisation = normalisation;
        self
    }

    /// Says which way the axes of all cases run, so that new scans can be turned.
    pub fn with_orientation(mut self, orientation: Orientation) -> Self {
        self.manifest.orientation = Some(orientation);
        self
    }

    /// Writes a file of that name beside the manifest, for people and other programs; nothing here reads it.
    ///
    /// # Errors
    /// Where the name is not plain or is taken, or the file cannot be written.
    pub fn add_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        check_id(name).map_err(Error::Argument)?;
        let path = self.aside.0.join(name);
        if path.exists() || name == MANIFEST {
            return Err(Error::Argument(format!("the file {name:?} is there twice; name every file once")));
        }
        fs::write(&path, bytes).map_err(Error::io(&path))
    }

    /// Says which channels every image has. Without it, all must have as many as the first one added.
    ///
    /// # Errors
    /// Where a name is empty or there twice.
    pub fn with_channels(mut self, channels: impl Into<Names>) -> Result<Self> {
        self.manifest.channels = channels.into();
        self.manifest.channels.check()?;
        Ok(self)
    }

    /// Says which classes the label maps have, background included. Without it, they go up to the highest label added.
    ///
    /// # Errors
    /// Where a name is empty or there twice.
    pub fn with_classes(mut self, classes: impl Into<Names>) -> Result<Self> {
        self.manifest.classes = classes.into();
        self.manifest.classes.check()?;
        Ok(self)
    }

    /// Writes a case and its entry in the manifest.
    ///
    /// # Errors
    /// Where the id is not a plain file name or is taken, the channels or classes are not those of the folder, a voxel is
    /// not finite, or a file cannot be written.
    pub fn add(&mut self, case: NewCase<'_>) -> Result<()> {
        let subject = case.subject;
        let id = subject.id();
        check_id(id).map_err(Error::Argument)?;
        if self.manifest.case(id).is_some() {
            return Err(Error::Argument(format!("the case {id:?} is there twice; name every case once")));
        }
        let channels = subject.image().channels();
        let label = subject.label().map(Volume::array);
        let highest_label = label.map(|label| label.iter().copied().max().unwrap_or(0));
        self.check_names(id, channels.len(), highest_label)?;
        let of = |channel: &Volume<f32>| channel.array().as_slice().and_then(Intensity::of);
        let intensity = channels.iter().map(of).collect::<Option<_>>().ok_or_else(|| {
            Error::Argument(format!(
                "the image of {id:?} has no voxels, or some that are NaN or infinite; repair it"
            ))
        })?;
        let file = format!("{id}.nii");
        let image = self.aside.0.join("images").join(&file);
        fs::write(&image, nifti::encode(channels, &image)?).map_err(Error::io(&image))?;
        if let Some(label) = subject.label() {
            let path = self.aside.0.join("labels").join(&file);
            fs::write(&path, nifti::encode(slice::from_ref(label), &path)?).map_err(Error::io(&path))?;
        }
        self.manifest.cases.push(CaseRecord {
            id: id.to_owned(),
            split: case.split,
            labelled: label.is_some(),
            shape: subject.image().shape(),
            spacing: subject.image().geometry().spacing(),
            sources: case.sources,
            intensity,
            foreground_voxels: label.map(|label| label.iter().filter(|&&value| value > 0).count() as u64),
            highest_label,
            note: case.note,
        });
        Ok(())
    }

    /// The first case decides how many channels there are where nobody said so.
    fn check_names(&mut self, id: &str, channels: usize, highest_label: Option<u8>) -> Result<()> {
        let Manifest { channels: expected, classes, .. } = &mut self.manifest;
        if *expected == unknown() {
            *expected = Names::Numbered(channels);
        }
        if expected.count() != channels {
            return Err(Error::Argument(format!(
                "the image of {id:?} has {channels} channel(s), but those of the folder have {}; give every scan the same",
                expected.count()
            )));
        }
        match highest_label {
            Some(label) if *classes != unknown() && usize::from(label) >= classes.count() => {
                Err(Error::Argument(format!(
                    "the label map of {id:?} holds label {label}, but the folder has {} classes, 0 included; correct one of \
                     them",
                    classes.count()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Writes the manifest, renames the folder into place and opens it.
    ///
    /// # Errors
    /// Where there is no case, or the folder cannot be renamed.
    pub fn finish(mut self) -> Result<PreparedSet> {
        self.manifest.count_classes();
        if self.manifest.cases.is_empty() {
            return Err(Error::Argument(format!("no case was prepared for {}", self.dir.display())));
        }
        let path = self.aside.0.join(MANIFEST);
        let mut text = serde_json::to_string_pretty(&self.manifest)
            .map_err(|error| Error::file(&path, format!("the manifest cannot be written ({error})")))?;
        text.push('\n');
        fs::write(&path, text).map_err(Error::io(&path))?;
        self.aside.rename(&self.dir)?;
        PreparedSet::open(&self.dir)
    }
}
