//! Pairs `images/ID.nii.gz` and `labels/ID.nii.gz`.
use std::collections::BTreeMap;
use std::path::Path;

use super::{Fault, Found, ScanFiles, names};
use crate::Result;
use crate::prepared::Split;

/// Endings of volumes in a folder: formats of one file, whose digest covers header and voxels.
const ENDINGS: [&str; 4] = [".nii.gz", ".nii", ".nrrd", ".mha"];

pub(super) fn find(folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut labels = volumes(folder, "labels", &mut found.faults)?;
    for (id, image) in volumes(folder, "images", &mut found.faults)? {
        let label = labels.remove(&id);
        let scan = ScanFiles { id: id.clone(), images: vec![image], label, split: Split::Train };
        found.scans.insert(id, scan);
    }
    found.faults.extend(labels.into_values().map(|file| Fault::LabelWithoutImage { file }));
    Ok(found)
}

/// The volumes of the folder `below` by id, which is the name without its ending.
fn volumes(folder: &Path, below: &str, faults: &mut Vec<Fault>) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in names(&folder.join(below))? {
        let Some(id) = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)) else { continue };
        let file = format!("{below}/{name}");
        if let Some(other) = found.insert(id.to_owned(), file.clone()) {
            faults.push(Fault::TwoFiles { id: id.to_owned(), files: [other, file] });
        }
    }
    Ok(found)
}
