//! The published ways to divide the scans of Pancreas-CT into training and test, and what is wrong with them.

use clap::ValueEnum;
use std::fmt;
use tandem_volume::prepared::Split;

/// Scans of the first release. The archive removed two later.
const SCANS: std::ops::RangeInclusive<u32> = 1..=82;

/// One CT, cropped in three ways: what the archive found in 2020, after which it removed the last two.
const ONE_SCAN: [u32; 3] = [2, 25, 70];

/// MC-Net's own lists, which have no order.
const MC_NET_TRAIN: [u32; 62] = [
    57, 18, 62, 31, 20, 17, 32, 79, 61, 64, 70, 19, 48, 76, 41, 52, 49, 71, 72, 34, 10, 15, 77, 80, 27, 47,
    22, 14, 68, 58, 7, 11, 24, 42, 82, 35, 12, 55, 75, 78, 16, 13, 53, 23, 56, 33, 38, 30, 81, 29, 36, 44, 2,
    45, 26, 65, 66, 43, 28, 63, 69, 3,
];
const MC_NET_TEST: [u32; 20] = [50, 59, 37, 60, 40, 74, 4, 46, 8, 54, 5, 73, 1, 39, 6, 67, 25, 51, 21, 9];

/// A published division of the scans. Scores of different ones do not compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PublishedSplit {
    /// MCF's fold 0: 62 for training, 63 to 82 for the test.
    #[default]
    #[value(name = "mcf-0")]
    Mcf0,
    /// MCF's fold 1: 62 for training, 1 to 20 for the test.
    #[value(name = "mcf-1")]
    Mcf1,
    /// MCF's fold 2: 61 for training, 21 to 41 for the test. Its first 12 are those of fold 0.
    #[value(name = "mcf-2")]
    Mcf2,
    /// MCF's fold 3: 61 for training, 42 to 62 for the test. Its first 12 are those of fold 0.
    #[value(name = "mcf-3")]
    Mcf3,
    /// MC-Net's: 62 for training and 20 for the test, in no order.
    McNet,
    /// CoraNet's, also BCP's: the 80 scans without 25 and 70; 62 for training, the last 18 for the test.
    Coranet,
}

impl fmt::Display for PublishedSplit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl PublishedSplit {
    /// The ids of the training list and then of the test list, in their order.
    pub(super) fn listed(self) -> Vec<(String, Split)> {
        let [train, test] = match self {
            PublishedSplit::Mcf0 => fold(63..=82),
            PublishedSplit::Mcf1 => fold(1..=20),
            PublishedSplit::Mcf2 => fold(21..=41),
            PublishedSplit::Mcf3 => fold(42..=62),
            PublishedSplit::McNet => [MC_NET_TRAIN.to_vec(), MC_NET_TEST.to_vec()],
            PublishedSplit::Coranet => {
                let mut all: Vec<u32> = SCANS.filter(|&number| !is_copy(number)).collect();
                let test = all.split_off(62);
                [all, test]
            }
        };
        let of = |split| move |number: u32| (id(number), split);
        train.into_iter().map(of(Split::Train)).chain(test.into_iter().map(of(Split::Test))).collect()
    }
}

/// The name of a scan, which is that of its folder.
pub(super) fn id(number: u32) -> String {
    format!("PANCREAS_{number:04}")
}

/// Whether the archive removed a scan because it is another one once more.
pub(super) fn is_copy(number: u32) -> bool {
    ONE_SCAN[1..].contains(&number)
}

/// A test list of neighbours; all others train.
fn fold(test: std::ops::RangeInclusive<u32>) -> [Vec<u32>; 2] {
    [SCANS.filter(|number| !test.contains(number)).collect(), test.collect()]
}

/// Why scans may be missing: the archive's own doing, where it is only that.
pub(super) fn removed(missing: &[&str]) -> &'static str {
    if missing.iter().all(|missing| ONE_SCAN[1..].iter().any(|&number| id(number) == *missing)) {
        " (the archive removed 25 and 70, which are scan 2 once more)"
    } else {
        ""
    }
}

/// A warning where scans that are one and the same lie on both sides of the lists.
pub(super) fn leak(listed: &[(String, Split)]) -> Option<String> {
    let of = |wanted: Split| {
        let copies = ONE_SCAN.iter().map(|&number| id(number));
        let there = move |id: &String| listed.iter().any(|(other, split)| other == id && *split == wanted);
        copies.filter(there).collect::<Vec<_>>()
    };
    let (train, test) = (of(Split::Train), of(Split::Test));
    (!train.is_empty() && !test.is_empty()).then(|| {
        format!(
            "warning: {} of the training list and {} of the test list are one CT, cropped differently: the test knows a \
             scan of the training; remove one, or compare with papers that kept both",
            train.join(" and "),
            test.join(" and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(split: PublishedSplit, wanted: Split) -> Vec<String> {
        split.listed().into_iter().filter(|(_, split)| *split == wanted).map(|(id, _)| id).collect()
    }

    #[test]
    fn mcfs_folds_are_the_published_lists() {
        let folds = [PublishedSplit::Mcf0, PublishedSplit::Mcf1, PublishedSplit::Mcf2, PublishedSplit::Mcf3];
        for (n, fold) in folds.into_iter().enumerate() {
            assert_eq!(fold.to_string(), format!("mcf-{n}"));
            for (name, split) in [("train", Split::Train), ("test", Split::Test)] {
                let Some(path) = tandem_reference::reference(&format!("splits/pancreas_{name}{n}.list"))
                else {
                    return;
                };
                let text = std::fs::read_to_string(path).unwrap();
                let published: Vec<&str> = text
                    .lines()
                    .filter(|line| !line.is_empty())
                    .map(|line| line.trim_end_matches(".h5"))
                    .collect();
                assert_eq!(ids(fold, split), published, "fold {n}, {name}");
            }
        }
    }

    #[test]
    fn every_split_names_every_scan_once() {
        for split in PublishedSplit::value_variants() {
            let mut all: Vec<String> = split.listed().into_iter().map(|(id, _)| id).collect();
            all.sort();
            all.dedup();
            let (train, test) = (ids(*split, Split::Train).len(), ids(*split, Split::Test).len());
            assert_eq!(all.len(), train + test, "{split}");
            let expected = match split {
                PublishedSplit::Mcf2 | PublishedSplit::Mcf3 => (61, 21),
                PublishedSplit::Coranet => (62, 18),
                _ => (62, 20),
            };
            assert_eq!((train, test), expected, "{split}");
        }
    }

    #[test]
    fn copies_on_both_sides_are_told() {
        let warned = |split: PublishedSplit| leak(&split.listed());
        let first = warned(PublishedSplit::Mcf0).unwrap();
        assert!(
            first.contains("PANCREAS_0002 and PANCREAS_0025 of the training list and PANCREAS_0070"),
            "{first}"
        );
        assert!(warned(PublishedSplit::McNet).unwrap().contains("PANCREAS_0025 of the test list"));
        for split in [PublishedSplit::Mcf3, PublishedSplit::Coranet] {
            assert_eq!(warned(split), None, "{split}");
        }
        assert!(removed(&["PANCREAS_0025", "PANCREAS_0070"]).contains("removed"));
        assert_eq!(removed(&["PANCREAS_0025", "PANCREAS_0071"]), "");
    }
}
