//! Where the download keeps what.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How far below the source folder scans and label maps are looked for: the archive's own folders lie above them.
const DEPTH: usize = 3;

/// A folder with `PANCREAS_0001/STUDY/SERIES/*.dcm` and `label0001.nii.gz` somewhere below it.
pub(super) struct Download {
    folder: PathBuf,
    scans: BTreeMap<String, Files>,
}

/// The files of one scan, relative to the source folder.
pub(super) struct Files {
    /// The folder of the slices.
    pub(super) series: String,
    pub(super) label: Option<String>,
}

/// What was found on the way, by the number of the scan.
#[derive(Default)]
struct Found {
    scans: BTreeMap<u32, PathBuf>,
    labels: BTreeMap<u32, PathBuf>,
}

impl Download {
    /// Looks through `folder`; reads no file.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        let mut found = Found::default();
        found.look(folder, DEPTH)?;
        if found.scans.is_empty() {
            bail!(
                "{} holds no scans; it needs PANCREAS_0001/STUDY/SERIES/*.dcm and label0001.nii.gz, in folders of \
                 their own if they are",
                folder.display()
            );
        }
        let relative = |path: &Path| {
            path.strip_prefix(folder)
                .unwrap_or(path)
                .to_string_lossy()
                .replace(std::path::MAIN_SEPARATOR, "/")
        };
        let mut scans = BTreeMap::new();
        for (number, scan) in &found.scans {
            let series = relative(&series_of(scan)?);
            let label = found.labels.get(number).map(|path| relative(path));
            scans.insert(id(*number), Files { series, label });
        }
        Ok(Download { folder: folder.to_owned(), scans })
    }

    pub(super) fn scan(&self, id: &str) -> Option<&Files> {
        self.scans.get(id)
    }

    /// The path of what [`Files`] names.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The name of a scan, which is that of its folder.
pub(super) fn id(number: u32) -> String {
    format!("PANCREAS_{number:04}")
}

impl Found {
    fn look(&mut self, folder: &Path, depth: usize) -> Result<()> {
        for (name, path) in entries(folder)? {
            if path.is_dir() {
                match number(&name, "PANCREAS_", "") {
                    Some(number) => note(&mut self.scans, number, path)?,
                    None if depth > 0 => self.look(&path, depth - 1)?,
                    None => {}
                }
            } else if let Some(number) =
                [".nii.gz", ".nii"].iter().find_map(|end| number(&name, "label", end))
            {
                note(&mut self.labels, number, path)?;
            }
        }
        Ok(())
    }
}

fn note(found: &mut BTreeMap<u32, PathBuf>, number: u32, path: PathBuf) -> Result<()> {
    match found.insert(number, path.clone()) {
        Some(other) => bail!("both {} and {} are scan {number}; remove one", other.display(), path.display()),
        None => Ok(()),
    }
}

fn number(name: &str, start: &str, end: &str) -> Option<u32> {
    let digits = name.strip_prefix(start)?.strip_suffix(end)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The folder of slices below that of a scan. The archive has one for each.
fn series_of(scan: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    collect_series(scan, DEPTH, &mut found)?;
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => bail!("{} holds no .dcm files; download the scan again", scan.display()),
        [first, second, ..] => bail!(
            "both {} and {} hold slices of one scan; keep the series that the label map was drawn on",
            first.display(),
            second.display()
        ),
    }
}

fn collect_series(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = entries(folder)?;
    let is_slice = |path: &Path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("dcm"));
    if entries.iter().any(|(_, path)| is_slice(path)) {
        found.push(folder.to_owned());
    }
    for (_, path) in entries.iter().filter(|(_, path)| depth > 0 && path.is_dir()) {
        collect_series(path, depth - 1, found)?;
    }
    Ok(())
}

/// Names and paths in a folder, sorted, without hidden ones, which other programs leave behind.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let list = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut entries = Vec::new();
    for entry in list {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn scans_and_label_maps_are_found_in_the_archives_folders() {
        let folder = folder(&[
            "manifest-1/Pancreas-CT/PANCREAS_0002/study/series/1-001.dcm",
            "manifest-1/Pancreas-CT/PANCREAS_0001/study/series/1-001.dcm",
            "manifest-1/Pancreas-CT/LICENSE",
            "TCIA_pancreas_labels-02-05-2017/label0001.nii.gz",
            "TCIA_pancreas_labels-02-05-2017/._label0001.nii.gz",
            "TCIA_pancreas_labels-02-05-2017/label0025.nii.gz",
        ]);
        let download = Download::find(folder.path()).unwrap();
        assert_eq!(download.scans.keys().collect::<Vec<_>>(), ["PANCREAS_0001", "PANCREAS_0002"]);
        let first = download.scan("PANCREAS_0001").unwrap();
        assert_eq!(first.series, "manifest-1/Pancreas-CT/PANCREAS_0001/study/series");
        assert_eq!(first.label.as_deref(), Some("TCIA_pancreas_labels-02-05-2017/label0001.nii.gz"));
        assert!(download.path(&first.series).join("1-001.dcm").is_file());
        assert!(download.scan("PANCREAS_0002").unwrap().label.is_none());
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for (files, message) in [
            (&["label0001.nii.gz"][..], "holds no scans"),
            (&["PANCREAS_0001/study/notes.txt"], "no .dcm files"),
            (&["PANCREAS_0001/a/b/1.dcm", "PANCREAS_0001/a/c/1.dcm"], "hold slices of one scan"),
            (&["PANCREAS_0001/a/1.dcm", "old/PANCREAS_0001/a/1.dcm"], "are scan 1; remove one"),
            (&["PANCREAS_0001/a/1.dcm", "label0001.nii", "x/label0001.nii.gz"], "are scan 1; remove one"),
        ] {
            let folder = folder(files);
            let error = Download::find(folder.path()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(
            Download::find(Path::new("nowhere")).map(|_| ()).unwrap_err().to_string().contains("nowhere")
        );
    }
}
