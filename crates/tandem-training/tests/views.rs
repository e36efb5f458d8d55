//! What the patches of a batch look like: random changes of them, and their strong view.

use crate::run::prepared;
use std::path::Path;
use tandem_training::{Dataset, Lists, Patch, Picks};
use tandem_volume::prepared::PreparedSet;

/// Two labelled scans and two that are not, in patches of 16 voxels.
fn dataset(scans: &Path) -> Dataset {
    let ids = |range: std::ops::Range<u64>| range.map(|index| format!("ball{index}")).collect();
    let lists = Lists { labelled: ids(0..2), unlabelled: ids(2..4), validation: vec![] };
    Dataset::open(&PreparedSet::open(scans).unwrap(), &lists, [16; 3], 5).unwrap()
}

fn patches(dataset: &Dataset, step: u64) -> Vec<Patch> {
    dataset.patches(step, &Picks { labelled: vec![1, 0], unlabelled: vec![3, 2] }).unwrap()
}

#[test]
fn a_strong_view_is_the_image_with_other_intensities_and_is_made_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let (plain, seeing) = (dataset(&scans), dataset(&scans).with_strong_view(true));
    let (first, second) = (patches(&seeing, 3), patches(&seeing, 4));
    assert_eq!(first, patches(&seeing, 3));
    for (patch, of_plain) in first.iter().zip(patches(&plain, 3)) {
        assert!(of_plain.strong.is_none());
        assert_eq!((&patch.image, &patch.label), (&of_plain.image, &of_plain.label));
        assert_ne!(patch.strong.as_ref().unwrap(), &patch.image);
    }
    let changes: Vec<_> =
        [&first[0], &first[1], &second[0]].map(|patch| patch.strong.as_ref().unwrap() - &patch.image).into();
    assert!(changes[0] != changes[1] && changes[0] != changes[2], "step and slot give other draws");
}
