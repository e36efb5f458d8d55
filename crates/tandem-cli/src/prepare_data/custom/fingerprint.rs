//! What the scans of a folder are like: all that a plan is made from.

use crate::survey::{Survey, Surveyed, median};
use serde::Serialize;
use std::collections::BTreeMap;
use tandem_volume::layout::{Layout, ScanFolder};
use tandem_volume::prepared::{Names, Split};

/// The scans of a folder in numbers. Of test scans it holds no label.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fingerprint {
    pub(super) layout: Layout,
    /// What `dataset.json` calls the channels.
    pub(super) channels: Vec<String>,
    /// Label values with their names, or those that were found where nothing names them.
    pub(super) classes: BTreeMap<u8, String>,
    /// Scans for training that have a label map.
    pub(super) labelled: usize,
    /// Scans for training that have none.
    pub(super) unlabelled: usize,
    /// Scans for the test.
    pub(super) test: usize,
    /// Medians over the scans for training, along i, j, k.
    pub(super) median_shape: [f64; 3],
    /// In mm.
    pub(super) median_spacing: [f64; 3],
    /// In ml, of each class above 0: the smallest, the mean and the largest over labelled scans for training.
    pub(super) class_volumes_ml: BTreeMap<u8, [f64; 3]>,
    pub(super) scans: Vec<Surveyed>,
}

impl Fingerprint {
    pub(super) fn of(folder: &ScanFolder, survey: &Survey) -> Self {
        let mut scans = survey.scans.clone();
        for scan in scans.iter_mut().filter(|scan| scan.split == Split::Test) {
            scan.label_voxels = None;
        }
        let training: Vec<&Surveyed> = scans.iter().filter(|scan| scan.split == Split::Train).collect();
        let labelled: Vec<&Surveyed> =
            training.iter().copied().filter(|scan| scan.label_voxels.is_some()).collect();
        let volumes = class_volumes_ml(&labelled);
        let classes = if folder.labels().is_empty() {
            let seen = volumes.keys().copied().filter(|value| *value > 0);
            std::iter::once(0).chain(seen).map(|value| (value, value.to_string())).collect()
        } else {
            folder.labels().clone()
        };
        let shapes = training.iter().map(|scan| scan.shape.map(|side| side as f64));
        let spacings = training.iter().map(|scan| scan.spacing);
        Fingerprint {
            layout: folder.layout(),
            channels: folder.channels().to_vec(),
            classes,
            labelled: labelled.len(),
            unlabelled: training.len() - labelled.len(),
            test: scans.len() - training.len(),
            // No scan, no plan: its first check says so.
            median_shape: median(shapes).unwrap_or_default(),
            median_spacing: median(spacings).unwrap_or_default(),
            class_volumes_ml: volumes,
            scans,
        }
    }

    /// The channels of every scan.
    pub(super) fn channel_names(&self) -> Names {
        let found = self.scans.first().map_or(1, |scan| scan.intensities.len());
        if self.channels.len() == found { named(self.channels.clone()) } else { Names::Numbered(found) }
    }

    /// The classes from 0 to the highest label.
    pub(super) fn class_names(&self) -> Names {
        let highest = self.classes.keys().last().copied().unwrap_or(0).max(1);
        let name = |value| self.classes.get(&value).cloned().unwrap_or_else(|| value.to_string());
        let nobody_named = self.classes.iter().all(|(value, name)| *name == value.to_string());
        let names = (0..=highest).map(name).collect::<Vec<_>>();
        if nobody_named { Names::Numbered(names.len()) } else { named(names) }
    }
}

/// Names where there are some that can be told apart, else their number.
fn named(names: Vec<String>) -> Names {
    let count = names.len();
    Some(Names::Named(names)).filter(|names| names.check().is_ok()).unwrap_or(Names::Numbered(count))
}

fn class_volumes_ml(labelled: &[&Surveyed]) -> BTreeMap<u8, [f64; 3]> {
    let mut volumes: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for scan in labelled {
        let ml = scan.spacing.iter().product::<f64>() / 1000.0;
        for (class, voxels) in scan.label_voxels.iter().flatten().filter(|(class, _)| **class > 0) {
            volumes.entry(*class).or_default().push(*voxels as f64 * ml);
        }
    }
    let summary = |volumes: Vec<f64>| {
        let smallest = volumes.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = volumes.iter().copied().fold(0.0, f64::max);
        [smallest, volumes.iter().sum::<f64>() / volumes.len() as f64, largest]
    };
    volumes.into_iter().map(|(class, volumes)| (class, summary(volumes))).collect()
}
