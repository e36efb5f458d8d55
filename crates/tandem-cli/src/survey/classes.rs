//! Which classes the label maps for training hold, and whether a run can learn them.

use super::{Finding, Kind, Surveyed};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tandem_volume::layout::{Layout, ScanFolder};
use tandem_volume::prepared::Split;

/// A class with fewer voxels than this in every label map may be strays of a brush.
const FEW_VOXELS: u64 = 10;

/// A class in the label maps of the scans for training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Class {
    pub(crate) label: u8,
    /// What the layout calls it.
    pub(crate) name: Option<String>,
    /// In all label maps.
    pub(crate) voxels: u64,
    /// The label maps that hold it.
    pub(crate) scans: usize,
    /// The most voxels in one label map.
    #[serde(skip)]
    most: u64,
    /// The first scan that has it.
    #[serde(skip)]
    first: Option<String>,
}

impl Class {
    /// As sentences have it: `label 2 (tumour)`.
    fn described(&self) -> String {
        let name = self.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
        format!("label {}{name}", self.label)
    }
}

/// The classes that are known, and those that the label maps hold.
pub(crate) fn classes(known: &BTreeMap<u8, String>, scans: &[Surveyed]) -> Vec<Class> {
    let seen = label_maps(scans).flat_map(|(_, voxels)| voxels.keys());
    let labels: BTreeSet<u8> = known.keys().chain(seen).copied().collect();
    let class = |label| {
        let of = |(scan, voxels): (_, &BTreeMap<u8, u64>)| Some((scan, *voxels.get(&label)?));
        let found: Vec<(&Surveyed, u64)> = label_maps(scans).filter_map(of).collect();
        Class {
            label,
            name: known.get(&label).cloned(),
            voxels: found.iter().map(|(_, voxels)| voxels).sum(),
            scans: found.len(),
            most: found.iter().map(|(_, voxels)| *voxels).max().unwrap_or(0),
            first: found.first().map(|(scan, _)| scan.id.clone()),
        }
    };
    labels.into_iter().map(class).collect()
}

/// Each scan for training that has a label map, with its voxels of each label.
fn label_maps(scans: &[Surveyed]) -> impl Iterator<Item = (&Surveyed, &BTreeMap<u8, u64>)> {
    let training = scans.iter().filter(|scan| scan.split == Split::Train);
    training.filter_map(|scan| Some((scan, scan.label_voxels.as_ref()?)))
}

pub(super) fn findings(folder: &ScanFolder, scans: &[Surveyed]) -> Vec<Finding> {
    found(folder.layout(), folder.labels(), scans)
}

fn found(layout: Layout, known: &BTreeMap<u8, String>, scans: &[Surveyed]) -> Vec<Finding> {
    let (classes, labelled) = (classes(known, scans), label_maps(scans).count());
    let mut findings = Vec::new();
    let numbered = || {
        let seen = classes.iter().map(|class| class.label);
        std::iter::once(0).chain(seen).map(|label| (label, label.to_string())).collect()
    };
    let named = if known.is_empty() { &numbered() } else { known };
    // Benchmarks are prepared by recipes of their own, one scan or only some for the test too.
    let benchmark = matches!(layout, Layout::LaBenchmark | Layout::LaChallenge | Layout::PancreasCt);
    let trains = scans.iter().any(|scan| scan.split == Split::Train);
    for (kind, message) in obstacles(named, labelled) {
        if !benchmark || (kind == Kind::FewLabelled && trains && labelled == 0) {
            findings.push(Finding::new(kind, "-", None, message));
        }
    }
    let foreground = classes.iter().filter(|class| class.label > 0 && class.scans > 0);
    if labelled > 0 && foreground.clone().count() == 0 {
        let message = "no label map for training has a voxel above 0, so there is nothing to learn; draw the structures, or \
                       export the label maps again";
        findings.push(Finding::new(Kind::NoForeground, "-", None, message.to_owned()));
    }
    // Of a single label map every class is in one alone, and a label that is unknown is told of as such.
    let told = |class: &&Class| labelled > 1 && (known.is_empty() || known.contains_key(&class.label));
    findings.extend(foreground.filter(told).filter_map(rare));
    findings
}

/// What keeps any run from learning these classes, named by their labels, from so many label maps: what `check-data` tells is
/// what `prepare-data custom` refuses.
pub(crate) fn obstacles(classes: &BTreeMap<u8, String>, labelled: usize) -> Vec<(Kind, String)> {
    let mut obstacles = Vec::new();
    if labelled < 2 {
        let (found, more) = match labelled {
            0 => ("no scan", "two"),
            _ => ("only one scan", "one more"),
        };
        let message = format!(
            "{found} for training has a label map that can be read, and a run needs one to learn from and one to validate on; \
             label at least {more}"
        );
        obstacles.push((Kind::FewLabelled, message));
    }
    if let Some((value, _)) = classes.iter().find(|(_, name)| name.as_str() == "ignore") {
        let message = format!(
            "label {value} is called `ignore`, which no method here knows; give these voxels a class of their own"
        );
        obstacles.push((Kind::UnusableLabels, message));
    }
    let numbers: Vec<u8> = classes.keys().copied().collect();
    if numbers.last().is_some_and(|highest| usize::from(*highest) + 1 > 2 * numbers.len()) {
        let message = format!(
            "the labels are {numbers:?}, and most numbers between are nothing; number them 0, 1, 2 ... instead"
        );
        obstacles.push((Kind::UnusableLabels, message));
    }
    obstacles
}

/// A class that hardly occurs.
fn rare(class: &Class) -> Option<Finding> {
    let (label, voxels) = (class.described(), class.voxels);
    let (scan, message) = match (&class.first, class.scans) {
        (Some(scan), 1) => {
            let message = format!(
                "{label} is in the label map of {scan} alone, with {voxels} voxels, and cannot be learnt and validated too; clear \
                 it where it is a stray, else label more scans with it"
            );
            (scan.as_str(), message)
        }
        (_, scans) if class.most < FEW_VOXELS => {
            let message = format!(
                "{label} has {voxels} voxels in {scans} label maps, at most {} in one; clear them where they are strays",
                class.most
            );
            ("-", message)
        }
        _ => return None,
    };
    Some(Finding::new(Kind::RareClass, scan, None, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `a`, `b` ... with these voxels of each label.
    fn scans(label_maps: &[&[(u8, u64)]]) -> Vec<Surveyed> {
        let scan = |(id, voxels): (char, &&[(u8, u64)])| {
            let label_voxels = Some(voxels.iter().copied().collect());
            Surveyed { label_voxels, ..Surveyed::sample(&id.to_string(), [1.0; 3], &[]) }
        };
        ('a'..).zip(label_maps).map(scan).collect()
    }

    fn names(names: &[(u8, &str)]) -> BTreeMap<u8, String> {
        names.iter().map(|(label, name)| (*label, (*name).to_owned())).collect()
    }

    #[track_caller]
    fn check(layout: Layout, known: &[(u8, &str)], label_maps: &[&[(u8, u64)]], expected: &[(Kind, &str)]) {
        let found = found(layout, &names(known), &scans(label_maps));
        let kinds: Vec<Kind> = found.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, expected.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), "{found:?}");
        for (finding, (_, part)) in found.iter().zip(expected) {
            assert!(finding.message.contains(part), "no {part:?} in {:?}", finding.message);
        }
    }

    #[test]
    fn classes_are_counted_over_the_label_maps_for_training() {
        let mut scans = scans(&[&[(0, 90), (1, 10)], &[(0, 95), (1, 4), (2, 1)], &[(3, 100)]]);
        scans[2].split = Split::Test;
        let known = names(&[(0, "background"), (1, "liver"), (4, "spleen")]);
        let told: Vec<_> =
            classes(&known, &scans).into_iter().map(|c| (c.label, c.name, c.voxels, c.scans)).collect();
        let name = |name: &str| Some(name.to_owned());
        let expected = [
            (0, name("background"), 185, 2),
            (1, name("liver"), 14, 2),
            (2, None, 1, 1),
            (4, name("spleen"), 0, 0),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn one_label_map_is_not_enough_but_for_a_benchmark() {
        let one: &[&[(u8, u64)]] = &[&[(0, 90), (1, 10)]];
        let told = [(Kind::FewLabelled, "only one scan for training has a label map")];
        check(Layout::Pairs, &[], one, &told);
        check(Layout::NnUnet, &[(0, "background"), (1, "ball")], one, &told);
        check(Layout::PancreasCt, &[(0, "background"), (1, "pancreas")], one, &[]);
        check(Layout::Pairs, &[], &[], &[(Kind::FewLabelled, "no scan for training has a label map")]);
        check(Layout::LaBenchmark, &[], &[], &[]);
        let unlabelled = [Surveyed::sample("a", [1.0; 3], &[])];
        assert_eq!(found(Layout::LaBenchmark, &names(&[]), &unlabelled)[0].kind, Kind::FewLabelled);
    }

    #[test]
    fn labels_that_make_no_classes_are_errors() {
        for highest in [4, 255] {
            let mask = [(0, 90), (highest, 10)];
            let masks: [&[(u8, u64)]; 2] = [&mask; 2];
            let told = format!("the labels are [0, {highest}], and most numbers between are nothing");
            check(Layout::Pairs, &[], &masks, &[(Kind::UnusableLabels, &told)]);
        }
        // No voxel need be 0.
        let masks: [&[(u8, u64)]; 2] = [&[(255, 100)]; 2];
        check(Layout::Pairs, &[], &masks, &[(Kind::UnusableLabels, "the labels are [0, 255]")]);
        let masks: [&[(u8, u64)]; 2] = [&[(0, 90), (1, 10), (3, 10)]; 2];
        check(Layout::Pairs, &[], &masks, &[]);
        let ignore = [(0, "background"), (1, "ball"), (2, "ignore")];
        check(
            Layout::NnUnet,
            &ignore,
            &masks[..0],
            &[
                (Kind::FewLabelled, "label at least two"),
                (Kind::UnusableLabels, "label 2 is called `ignore`"),
            ],
        );
        // The challenge's own label is 255.
        let masks: [&[(u8, u64)]; 2] = [&[(0, 90), (255, 10)]; 2];
        check(Layout::LaChallenge, &[(0, "background"), (255, "left atrium")], &masks, &[]);
    }

    #[test]
    fn label_maps_that_are_all_empty_teach_nothing() {
        let empty: [&[(u8, u64)]; 3] = [&[(0, 100)]; 3];
        check(Layout::Pairs, &[], &empty, &[(Kind::NoForeground, "nothing to learn")]);
        check(Layout::Pairs, &[(0, "background"), (1, "ball")], &empty, &[(Kind::NoForeground, "above 0")]);
    }

    #[test]
    fn a_class_of_one_scan_or_of_a_few_voxels_is_told() {
        let stray: [&[(u8, u64)]; 3] = [&[(1, 40)], &[(1, 40), (2, 1)], &[(1, 40)]];
        let told = [(Kind::RareClass, "label 2 is in the label map of b alone, with 1 voxels")];
        check(Layout::Pairs, &[], &stray, &told);
        assert_eq!(found(Layout::Pairs, &names(&[]), &scans(&stray))[0].scan, "b");
        let few: [&[(u8, u64)]; 3] = [&[(1, 40), (2, 9)], &[(1, 9), (2, 3)], &[(1, 5)]];
        let known = [(0, "background"), (1, "liver"), (2, "tumour")];
        let told = [(Kind::RareClass, "label 2 (tumour) has 12 voxels in 2 label maps, at most 9 in one")];
        check(Layout::NnUnet, &known, &few, &told);
        // What is unknown is an error already.
        check(Layout::NnUnet, &known[..2], &stray, &[]);
    }
}
