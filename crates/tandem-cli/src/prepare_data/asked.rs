//! Whether a folder that is prepared already is what is asked for now.

use super::sources;
use crate::output::say;
use crate::progress::Progress;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_volume::layout::ScanFolder;
use tandem_volume::prepared::{CaseRecord, PreparedSet, Source, Split, Writer};

/// The file beside the manifest that keeps the options.
const FILE: &str = "options.json";

/// The options that decide what a dataset holds, with their values as the command line has them. Those that are not given
/// and have no fixed default are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Options(BTreeMap<String, String>);

/// What is asked for.
pub(super) struct Asked {
    pub(super) options: Options,
    /// `None` for phantoms, which follow from their options.
    pub(super) scans: Option<Scans>,
}

/// The scans of a folder that a dataset is made from, in its order.
pub(super) struct Scans {
    pub(super) folder: ScanFolder,
    pub(super) listed: Vec<(String, Split)>,
}

/// What a comparison came to.
pub(super) enum Compared {
    Same,
    /// How they differ, as the rest of a sentence about the prepared folder.
    Differs(String),
    /// By Ctrl-C.
    Stopped,
}

impl Options {
    /// With one more option, where it is given.
    pub(super) fn with(mut self, name: &str, value: Option<String>) -> Self {
        self.0.extend(value.map(|value| (name.to_owned(), value)));
        self
    }

    /// Keeps them beside the manifest.
    pub(super) fn write(&self, writer: &Writer) -> Result<()> {
        Ok(writer.add_file(FILE, (serde_json::to_string_pretty(self)? + "\n").as_bytes())?)
    }

    /// Those of a prepared folder; `None` where an earlier version prepared it, which kept none.
    fn of(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let damaged = || format!("{} is damaged; prepare the dataset again with --force", path.display());
        serde_json::from_str(&text).map(Some).with_context(damaged)
    }

    /// These options but for what a set that kept none shows: how many phantoms there are.
    fn as_in(&self, set: &PreparedSet) -> Self {
        let mut options = self.clone();
        if let Some(cases) = options.0.get_mut("--cases") {
            *cases = set.manifest().cases.len().to_string();
        }
        options
    }

    /// The first option that is another one than `earlier`.
    fn difference(&self, earlier: &Self) -> Option<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(earlier.0.keys()).collect();
        names.into_iter().find_map(|name| {
            let shown = |value: &String| format!("{name} {value}").trim_end().to_owned();
            match (earlier.0.get(name), self.0.get(name)) {
                (Some(was), Some(is)) if was != is => {
                    Some(format!("was prepared with {}, not with {}", shown(was), shown(is)))
                }
                (Some(was), None) => {
                    Some(format!("was prepared with {}, which is not asked for now", shown(was)))
                }
                (None, Some(is)) => Some(format!("was prepared without {}", shown(is))),
                _ => None,
            }
        })
    }
}

fn purpose(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Test => "the test",
    }
}

/// Millimetres along i, j, k as options have them.
pub(super) fn millimetres([i, j, k]: [f64; 3]) -> String {
    if i == j && j == k { i.to_string() } else { format!("{i} {j} {k}") }
}

impl Asked {
    /// Compares with what lies in `folder`: the options, the lists, and the digest of every file that a scan is made from.
    pub(super) fn compared(&self, folder: &Path, set: &PreparedSet, stop: &AtomicBool) -> Result<Compared> {
        let earlier = Options::of(folder)?.unwrap_or_else(|| {
            say(format!(
                "{} was prepared by a version that kept no options; only what shows in its scans is compared",
                folder.display()
            ));
            self.options.as_in(set)
        });
        if let Some(difference) = self.options.difference(&earlier) {
            return Ok(Compared::Differs(difference));
        }
        self.scans.as_ref().map_or(Ok(Compared::Same), |scans| scans.compared(&set.manifest().cases, stop))
    }
}

impl Scans {
    fn compared(&self, cases: &[CaseRecord], stop: &AtomicBool) -> Result<Compared> {
        if let Some(difference) = self.of_lists(cases) {
            return Ok(Compared::Differs(difference));
        }
        let mut progress = Progress::new("comparing files", cases.len() as u64);
        for (index, case) in cases.iter().enumerate() {
            if stop.load(Ordering::SeqCst) {
                return Ok(Compared::Stopped);
            }
            progress.at(index as u64, &case.id);
            let Some(files) = self.folder.scan(&case.id) else { continue };
            if let Some(difference) = self.of_files(&case.sources, &sources(&self.folder, files)?) {
                return Ok(Compared::Differs(difference));
            }
        }
        Ok(Compared::Same)
    }

    /// The first difference in which scans there are, in which list and order.
    fn of_lists(&self, cases: &[CaseRecord]) -> Option<String> {
        let source = self.folder.path().display();
        for (id, split) in &self.listed {
            match cases.iter().find(|case| case.id == *id) {
                None => return Some(format!("was prepared without scan {id} of {source}")),
                Some(case) if case.split != *split => {
                    let [was, is] = [case.split, *split].map(purpose);
                    return Some(format!("has scan {id} for {was}, which {source} has for {is} now"));
                }
                Some(_) => {}
            }
        }
        let listed: BTreeSet<&String> = self.listed.iter().map(|(id, _)| id).collect();
        if let Some(case) = cases.iter().find(|case| !listed.contains(&case.id)) {
            return Some(format!("holds scan {}, which is not asked for now", case.id));
        }
        let moved = cases.iter().zip(&self.listed).find(|(case, (id, _))| case.id != *id);
        moved.map(|(case, (id, _))| format!("has scan {} where {source} lists {id} now", case.id))
    }

    /// The first difference between the files that a scan was made from and those that it would be made from.
    fn of_files(&self, earlier: &[Source], now: &[Source]) -> Option<String> {
        let source = self.folder.path().display();
        let find =
            |sources: &[Source], file: &str| sources.iter().find(|source| source.file == file).cloned();
        let changed = now.iter().find_map(|source_now| match find(earlier, &source_now.file) {
            None => Some(format!("was prepared without {}, which {source} has now", source_now.file)),
            Some(was) if was != *source_now => {
                Some(format!("was prepared from another {} than {source} has now", source_now.file))
            }
            Some(_) => None,
        });
        let gone = || earlier.iter().find(|was| find(now, &was.file).is_none());
        changed.or_else(|| {
            gone().map(|was| format!("was prepared with {}, which {source} no longer has", was.file))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> Options {
        given.iter().fold(Options::default(), |all, (name, value)| all.with(name, Some((*value).to_owned())))
    }

    #[test]
    fn the_first_option_that_differs_is_told() {
        let earlier = options(&[("--crop", "none"), ("--spacing", "3")]);
        let told = |given: &[(&str, &str)]| options(given).difference(&earlier);
        assert_eq!(told(&[("--crop", "none"), ("--spacing", "3")]), None);
        assert_eq!(
            told(&[("--crop", "none"), ("--spacing", "3 3 4")]).as_deref(),
            Some("was prepared with --spacing 3, not with --spacing 3 3 4")
        );
        assert_eq!(
            told(&[("--crop", "none")]).as_deref(),
            Some("was prepared with --spacing 3, which is not asked for now")
        );
        assert_eq!(
            told(&[("--crop", "none"), ("--spacing", "3"), ("--zscore", "")]).as_deref(),
            Some("was prepared without --zscore")
        );
        assert_eq!((millimetres([3.0; 3]), millimetres([3.0, 3.0, 4.5])), ("3".into(), "3 3 4.5".into()));
    }

    #[test]
    fn a_file_that_is_new_gone_or_changed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("images")).unwrap();
        std::fs::write(dir.path().join("images/a.nii"), "").unwrap();
        let scans = Scans { folder: ScanFolder::open(dir.path()).unwrap(), listed: Vec::new() };
        let source = |file: &str, sha256: &str| Source { file: file.into(), sha256: Some(sha256.into()) };
        let told = |earlier: &[Source], now: &[Source]| scans.of_files(earlier, now).unwrap_or_default();
        let (image, label) = (source("images/a.nii", "1"), source("labels/a.nii", "2"));
        let both = [image.clone(), label];
        assert_eq!(scans.of_files(&both, &both), None);
        assert!(told(&both[..1], &both).contains("without labels/a.nii"));
        assert!(told(&both, &both[..1]).contains("with labels/a.nii"));
        assert!(told(&both, &[image, source("labels/a.nii", "3")]).contains("another labels/a.nii"));
    }
}
