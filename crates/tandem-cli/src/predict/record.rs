//! How the files of a scan were made: `ID.json` beside them. A repeated command knows by it what is done.
//!
//! It is written before the first of the files, as not done, and again after the last one, as done. So files that no record
//! speaks of are somebody else's, and a record that is not done is that of a command which was stopped.

use super::cases::Case;
use super::volumes::ClassVolume;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use tandem_training::Program;
use tandem_volume::write_whole;

/// The format of the file.
const FORMAT: u32 = 1;

/// The file of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) format: u32,
    /// Whether all outputs are there.
    pub(super) done: bool,
    /// The files of the scan.
    pub(super) scan: Vec<ScanFile>,
    pub(super) model: Networks,
    pub(super) settings: Settings,
    pub(super) program: Program,
    /// UTC.
    pub(super) time: String,
    /// The files that were made, the label map first.
    pub(super) outputs: Vec<String>,
    /// What was done to the intensities; nothing where they were said to be prepared.
    pub(super) intensities: Option<String>,
    /// How the axes were turned before the networks saw the scan, where they were; what was made was turned back.
    #[serde(default)]
    pub(super) axes: Option<String>,
    pub(super) volumes: Vec<ClassVolume>,
    /// Wall time of reading, segmenting and writing.
    pub(super) seconds: f64,
}

/// A file of a scan, or a folder of slices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ScanFile {
    file: PathBuf,
    /// Bytes of the file, or of all files of the folder.
    bytes: u64,
    /// When it was last changed, or the last of them, in seconds since 1970.
    changed: u64,
}

/// The networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Networks {
    /// Where they lay.
    pub(super) path: PathBuf,
    /// Digest of their weights.
    pub(super) digest: String,
}

/// What decides how the files look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) intensities: String,
    pub(super) uncertainty: bool,
    pub(super) probabilities: bool,
    pub(super) largest_component: bool,
    /// `none` or `mirror`.
    pub(super) tta: String,
}

/// How far a scan is.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// Nothing is there, or what is there may be replaced.
    Open,
    /// All is there.
    Done(Vec<ClassVolume>),
}

impl Record {
    /// Of a scan that is about to be segmented.
    ///
    /// # Errors
    /// Where the scan's files are not there.
    pub(super) fn begun(
        case: &Case,
        model: &Networks,
        settings: &Settings,
        outputs: &[PathBuf],
    ) -> Result<Self> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Record {
            format: FORMAT,
            done: false,
            scan: case.files.iter().map(|file| ScanFile::of(file)).collect::<Result<_>>()?,
            model: model.clone(),
            settings: settings.clone(),
            program: Program::this(),
            time: crate::test_list::now(),
            outputs: outputs.iter().map(name).collect(),
            intensities: None,
            axes: None,
            volumes: Vec::new(),
            seconds: 0.0,
        })
    }

    pub(super) fn write(&self, folder: &Path, id: &str) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(write_whole(path(folder, id), text.as_bytes())?)
    }

    /// How far the scan `id` is whose files this record would speak of.
    ///
    /// # Errors
    /// Where the folder holds files that would be lost: those of another scan or model, of other settings, or of nobody
    /// knows what. The message says which, and what to do.
    pub(super) fn state(&self, folder: &Path, id: &str) -> Result<State> {
        let path = path(folder, id);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let there = self.outputs.iter().map(|name| folder.join(name)).find(|path| path.exists());
                return match there {
                    None => Ok(State::Open),
                    Some(there) => bail!(
                        "{} is there, but no {} says how it was made; choose another --out, or replace it with --overwrite",
                        there.display(),
                        path.display()
                    ),
                };
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let Ok(before) = serde_json::from_str::<Record>(&text) else {
            bail!(
                "{} is damaged or of another program; choose another --out, or replace it with --overwrite",
                path.display()
            );
        };
        let there = |name: &String| folder.join(name).exists();
        if !before.done && !before.outputs.iter().any(there) {
            return Ok(State::Open);
        }
        if let Some(difference) = self.difference(&before) {
            bail!(
                "{}: {id} was made {difference}; choose another --out, or replace it with --overwrite",
                folder.display()
            );
        }
        Ok(if before.done && before.outputs.iter().all(there) {
            State::Done(before.volumes)
        } else {
            State::Open
        })
    }

    /// In what the record before this one differs.
    fn difference(&self, before: &Record) -> Option<String> {
        // Where the scan lies does not matter, nor where the model does.
        let names = |record: &Record| -> Vec<_> {
            let name =
                |scan: &ScanFile| (scan.file.file_name().map(ToOwned::to_owned), scan.bytes, scan.changed);
            record.scan.iter().map(name).collect()
        };
        if names(self) != names(before) {
            let files: Vec<_> = before.scan.iter().map(|scan| scan.file.display().to_string()).collect();
            return Some(format!("of another scan ({}) or before that was changed", files.join(", ")));
        }
        if self.model.digest != before.model.digest {
            return Some(format!("by other networks ({})", before.model.path.display()));
        }
        (self.settings != before.settings).then(|| format!("with other settings ({})", before.settings))
    }
}

impl std::fmt::Display for Settings {
    /// As the command line has them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--intensities {}", self.intensities)?;
        let options = [
            (self.uncertainty, " --uncertainty"),
            (self.probabilities, " --probabilities"),
            (self.largest_component, " --largest-component"),
        ];
        options.iter().filter(|(on, _)| *on).try_for_each(|(_, name)| f.write_str(name))?;
        write!(f, " --tta {}", self.tta)
    }
}

impl ScanFile {
    fn of(path: &Path) -> Result<Self> {
        let metadata = |path: &Path| -> Result<Metadata, tandem_volume::Error> {
            std::fs::metadata(path)
                .map_err(|source| tandem_volume::Error::Io { path: path.to_owned(), source })
        };
        let changed = |of: &Metadata| {
            let since = of.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            since.map_or(0, |since| since.as_secs())
        };
        let own = metadata(path)?;
        let (mut bytes, mut last) = (own.len(), changed(&own));
        if own.is_dir() {
            (bytes, last) = (0, 0);
            let entries =
                std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            for entry in entries {
                let of = metadata(&entry.with_context(|| format!("cannot read {}", path.display()))?.path())?;
                (bytes, last) = (bytes + of.len(), last.max(changed(&of)));
            }
        }
        let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(ScanFile { file, bytes, changed: last })
    }
}

/// The file of a scan.
pub(super) fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let (intensities, tta) = ("auto".to_owned(), "none".to_owned());
        Settings { intensities, uncertainty: false, probabilities: false, largest_component: false, tta }
    }

    fn record(folder: &Path) -> Record {
        let scan = folder.join("in/a.nii");
        if !scan.exists() {
            std::fs::create_dir_all(folder.join("in")).unwrap();
            std::fs::write(&scan, "voxels").unwrap();
        }
        let case = Case { id: "a".to_owned(), files: vec![scan], layout: None };
        let model = Networks { path: "run".into(), digest: "1234".to_owned() };
        Record::begun(&case, &model, &settings(), &[case.label(folder), case.map(folder, "entropy")]).unwrap()
    }

    #[test]
    fn what_was_stopped_is_open_and_what_is_done_stays_so_until_a_file_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record(folder.path());
        let state = |record: &Record| record.state(folder.path(), "a").unwrap();
        assert_eq!(state(&record), State::Open);
        record.write(folder.path(), "a").unwrap();
        record.outputs.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        assert_eq!(state(&record), State::Open);
        record.done = true;
        record.volumes = vec![ClassVolume { class: "1".to_owned(), voxels: 7, ml: 0.1 }];
        record.write(folder.path(), "a").unwrap();
        assert_eq!(state(&record), State::Done(record.volumes.clone()));
        std::fs::remove_file(folder.path().join("a_entropy.nii.gz")).unwrap();
        assert_eq!(state(&record), State::Open);
    }

    #[test]
    fn what_would_be_lost_is_told_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let first = record(folder.path());
        let refused = |record: &Record, words: &[&str]| {
            let message = record.state(folder.path(), "a").unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
            assert!(message.contains("choose another --out, or replace it with --overwrite"), "{message}");
        };
        std::fs::write(folder.path().join("a.nii.gz"), "").unwrap();
        refused(&first, &["a.nii.gz is there, but no ", "a.json says"]);
        first.write(folder.path(), "a").unwrap();
        // What another command has begun only, and left no file of, is nobody's loss.
        std::fs::remove_file(folder.path().join("a.nii.gz")).unwrap();
        let begun = Record { settings: Settings { uncertainty: true, ..settings() }, ..first.clone() };
        assert_eq!(begun.state(folder.path(), "a").unwrap(), State::Open);
        std::fs::write(folder.path().join("a.nii.gz"), "").unwrap();
        let model = Networks { path: "other".into(), digest: "5".to_owned() };
        refused(&Record { model, ..first.clone() }, &["by other networks (run)"]);
        let settings = Settings { uncertainty: true, ..settings() };
        refused(
            &Record { settings, ..first.clone() },
            &["with other settings (--intensities auto --tta none)"],
        );
        std::fs::write(folder.path().join("in/a.nii"), "other voxels").unwrap();
        refused(&record(folder.path()), &["of another scan", "in/a.nii"]);
        std::fs::write(path(folder.path(), "a"), "{}").unwrap();
        refused(&first, &["a.json is damaged"]);
    }

    #[test]
    fn a_folder_of_slices_is_known_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1"), "ab").unwrap();
        let one = ScanFile::of(folder.path()).unwrap();
        std::fs::write(folder.path().join("2"), "c").unwrap();
        assert_eq!((one.bytes, ScanFile::of(folder.path()).unwrap().bytes), (2, 3));
        assert!(ScanFile::of(&folder.path().join("3")).unwrap_err().to_string().contains("check the path"));
    }
}
