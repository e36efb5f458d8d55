//! The NIH Pancreas-CT download: `PANCREAS_0001/STUDY/SERIES/*.dcm` and `label0001.nii.gz`, below folders of the archive's.
use std::collections::BTreeMap;
use std::path::Path;

use super::{Fault, Found, ScanFiles, names};
use crate::Result;
use crate::prepared::Split;

/// How many folders lie between the download and its scans, or between a scan and its slices, at most.
const DEPTH: usize = 3;

pub(super) fn find(folder: &Path) -> Result<Found> {
    let mut files = Files::default();
    let mut faults = Vec::new();
    files.collect(folder, "", DEPTH, &mut faults)?;
    let mut found = Found { faults, ..Found::default() };
    found.labels = [(0, "background"), (1, "pancreas")].map(|(value, name)| (value, name.to_owned())).into();
    for (number, scan) in files.scans {
        let id = format!("PANCREAS_{number}");
        let mut series = Vec::new();
        collect_series(folder, &scan, DEPTH, &mut series)?;
        let label = files.labels.remove(&number);
        match series.as_slice() {
            [] => found.faults.push(Fault::NoSlices { folder: scan }),
            [first, others @ ..] => {
                let two = others.iter().map(|other| [first.clone(), other.clone()]);
                found.faults.extend(two.map(|files| Fault::TwoFiles { id: id.clone(), files }));
                let scan =
                    ScanFiles { id: id.clone(), images: vec![first.clone()], label, split: Split::Train };
                found.scans.insert(id, scan);
            }
        }
    }
    found.faults.extend(files.labels.into_values().map(|file| Fault::LabelWithoutImage { file }));
    Ok(found)
}

/// Folders of scans and files of label maps, by the digits in their names.
#[derive(Default)]
struct Files {
    scans: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

impl Files {
    fn collect(&mut self, folder: &Path, below: &str, depth: usize, faults: &mut Vec<Fault>) -> Result<()> {
        for name in names(&folder.join(below))? {
            let path = joined(below, &name);
            let (kind, number) = if folder.join(&path).is_dir() {
                match digits(&name, "PANCREAS_", "") {
                    None if depth > 0 => {
                        self.collect(folder, &path, depth - 1, faults)?;
                        continue;
                    }
                    number => (&mut self.scans, number),
                }
            } else {
                (
                    &mut self.labels,
                    digits(&name, "label", ".nii.gz").or_else(|| digits(&name, "label", ".nii")),
                )
            };
            let Some(number) = number else { continue };
            if let Some(other) = kind.insert(number.to_owned(), path.clone()) {
                faults.push(Fault::TwoFiles { id: format!("PANCREAS_{number}"), files: [other, path] });
            }
        }
        Ok(())
    }
}

/// The folders from `below` on that hold slices.
fn collect_series(folder: &Path, below: &str, depth: usize, found: &mut Vec<String>) -> Result<()> {
    let names = names(&folder.join(below))?;
    if names.iter().any(|name| name.to_ascii_lowercase().ends_with(".dcm")) {
        found.push(below.to_owned());
    }
    for name in names.iter().filter(|_| depth > 0) {
        let path = joined(below, name);
        if folder.join(&path).is_dir() {
            collect_series(folder, &path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn joined(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

/// The four digits of a scan's number between `start` and `end`.
fn digits<'a>(name: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let digits = name.strip_prefix(start)?.strip_suffix(end)?;
    (digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}
