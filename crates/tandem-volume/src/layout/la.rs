//! The two layouts of the left atrium scans: one folder a scan.
use std::collections::BTreeMap;
use std::path::Path;

use super::{Found, ScanFiles, names};
use crate::Result;
use crate::prepared::Split;

pub(super) fn find_benchmark(folder: &Path) -> Result<Found> {
    find(folder, "mri_norm2.h5", "mri_norm2.h5", 1)
}

pub(super) fn find_challenge(folder: &Path) -> Result<Found> {
    find(folder, "lgemri.nrrd", "laendo.nrrd", 255)
}

/// The folders that hold `image`, with `label` where that is there too.
fn find(folder: &Path, image: &str, label: &str, atrium: u8) -> Result<Found> {
    let mut scans = BTreeMap::new();
    for id in names(folder)? {
        let file = |name: &str| folder.join(&id).join(name).is_file().then(|| format!("{id}/{name}"));
        if let Some(image) = file(image) {
            let scan =
                ScanFiles { id: id.clone(), images: vec![image], label: file(label), split: Split::Train };
            scans.insert(id, scan);
        }
    }
    let labels = [(0, "background"), (atrium, "left atrium")].map(|(value, name)| (value, name.to_owned()));
    Ok(Found { scans, labels: labels.into(), ..Found::default() })
}
