//! What shows only between the scans of a folder.

use super::{Finding, Kind, Surveyed, classes};
use std::collections::{BTreeMap, BTreeSet};
use tandem_volume::Orientation;
use tandem_volume::layout::ScanFolder;

/// A spacing so many times larger or smaller than the median is an outlier.
const OUTLIER: f64 = 2.0;

pub(super) fn findings(folder: &ScanFolder, scans: &[Surveyed]) -> Vec<Finding> {
    let mut findings = duplicates(scans);
    findings.extend(channels(scans));
    findings.extend(spacings(scans));
    findings.extend(orientations(scans));
    let of_classes = classes::findings(folder, scans);
    // Where most numbers are passed over, that is an error already.
    let told = of_classes.iter().any(|finding| finding.kind == Kind::UnusableLabels);
    if !(told && folder.labels().is_empty()) {
        findings.extend(unused_labels(folder.labels(), scans));
    }
    findings.extend(of_classes);
    findings
}

fn duplicates(scans: &[Surveyed]) -> Vec<Finding> {
    let mut first: BTreeMap<u64, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for scan in scans {
        match first.get(&scan.digest) {
            None => {
                first.insert(scan.digest, &scan.id);
            }
            Some(other) => {
                let message = format!("{} has the same voxels as {other}; remove one", scan.id);
                findings.push(Finding::new(Kind::Duplicate, &scan.id, None, message));
            }
        }
    }
    findings
}

fn channels(scans: &[Surveyed]) -> Vec<Finding> {
    let Some((first, others)) = scans.split_first() else { return Vec::new() };
    others
        .iter()
        .filter(|scan| scan.intensities.len() != first.intensities.len())
        .map(|scan| {
            let message = format!(
                "the scan has {} channels, but {} has {}; all scans need the same",
                scan.intensities.len(),
                first.id,
                first.intensities.len()
            );
            Finding::new(Kind::Channels, &scan.id, None, message)
        })
        .collect()
}

fn spacings(scans: &[Surveyed]) -> Vec<Finding> {
    let Some(median) = median(scans.iter().map(|scan| scan.spacing)) else { return Vec::new() };
    let far = |spacing: [f64; 3]| spacing.iter().zip(median).any(|(a, b)| a / b > OUTLIER || b / a > OUTLIER);
    let outlier = |scan: &Surveyed| {
        let [spacing, median] = [scan.spacing, median].map(|mm| mm.map(|mm| format!("{mm:.3}")).join(" x "));
        let message = format!(
            "the spacing {spacing} mm is more than {OUTLIER} times off the median {median} mm; is the header right?"
        );
        Finding::new(Kind::Spacing, &scan.id, None, message)
    };
    scans.iter().filter(|scan| far(scan.spacing)).map(outlier).collect()
}

/// How the axes of most scans run, in doubt those of the first; `None` where there is no scan.
pub(crate) fn usual_orientation(scans: &[Surveyed]) -> Option<Orientation> {
    let count = |one: &Surveyed| scans.iter().filter(|scan| scan.orientation == one.orientation).count();
    // The last of the highest counts is taken.
    scans.iter().rev().max_by_key(|scan| count(scan)).map(|scan| scan.orientation)
}

fn orientations(scans: &[Surveyed]) -> Vec<Finding> {
    let Some(usual) = usual_orientation(scans) else { return Vec::new() };
    let other = scans.iter().filter(|scan| scan.orientation != usual);
    other
        .map(|scan| {
            let message = format!(
                "the axes run {}, in most scans {usual}; networks see voxel axes, so prepare-data custom turns them, and \
                 predict new ones",
                scan.orientation
            );
            Finding::new(Kind::Orientation, &scan.id, None, message)
        })
        .collect()
}

/// Labels that no map bears: of those that the layout knows, or, where it knows none, numbers that are passed over.
fn unused_labels(known: &BTreeMap<u8, String>, scans: &[Surveyed]) -> Vec<Finding> {
    let seen: BTreeSet<u8> =
        scans.iter().filter_map(|scan| scan.label_voxels.as_ref()).flat_map(|v| v.keys().copied()).collect();
    let Some(&highest) = seen.last() else { return Vec::new() };
    let finding = |message| Finding::new(Kind::UnusedLabel, "-", None, message);
    if known.is_empty() {
        let missing = (0..highest).filter(|value| !seen.contains(value)).count();
        if missing == 0 {
            return Vec::new();
        }
        let message = format!(
            "the label maps hold {seen:?} only, so {missing} of {} classes are empty; number the labels 0, 1, 2 ...",
            usize::from(highest) + 1
        );
        return vec![finding(message)];
    }
    let unused = known.iter().filter(|(value, _)| !seen.contains(value));
    unused.map(|(value, name)| finding(format!("no label map holds the label {value} ({name})"))).collect()
}

/// The median along each axis; `None` where there is none.
pub(crate) fn median(values: impl Iterator<Item = [f64; 3]> + Clone) -> Option<[f64; 3]> {
    let along = |axis: usize| {
        let mut sorted: Vec<f64> = values.clone().map(|value| value[axis]).collect();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            even if even % 2 == 0 => Some((sorted[half - 1] + sorted[half]) / 2.0),
            _ => Some(sorted[half]),
        }
    };
    Some([along(0)?, along(1)?, along(2)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(id: &str, spacing: [f64; 3], labels: &[u8]) -> Surveyed {
        Surveyed::sample(id, spacing, labels)
    }

    #[test]
    fn the_same_voxels_twice_are_found_once() {
        let scans = [scan("ab", [1.0; 3], &[]), scan("b", [1.0; 3], &[]), scan("ba", [1.0; 3], &[])];
        let found = duplicates(&scans);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].scan.as_str(), found[0].message.as_str()),
            ("ba", "ba has the same voxels as ab; remove one")
        );
    }

    #[test]
    fn a_spacing_is_far_off_beyond_twice_the_median() {
        let spacings = [[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [1.0, 1.0, 4.0], [1.0, 0.4, 2.0]];
        let scans: Vec<Surveyed> = (0..4).map(|n| scan(&n.to_string(), spacings[n], &[])).collect();
        let found: Vec<String> = super::spacings(&scans).into_iter().map(|finding| finding.scan).collect();
        assert_eq!(found, ["3"]);
        assert_eq!(median(spacings.into_iter()), Some([1.0, 1.0, 2.0]));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn labels_that_nothing_bears_are_told() {
        let scans = [scan("a", [1.0; 3], &[0, 2]), scan("b", [1.0; 3], &[0])];
        let known = BTreeMap::from([0, 1, 2].map(|value| (value, format!("name {value}"))));
        let told = |known| {
            unused_labels(known, &scans).into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(told(&known), ["no label map holds the label 1 (name 1)"]);
        assert!(
            told(&BTreeMap::new())[0]
                .starts_with("the label maps hold {0, 2} only, so 1 of 3 classes are empty")
        );
    }
}
