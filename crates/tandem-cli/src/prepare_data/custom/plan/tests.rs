use super::*;
use crate::survey::Finding;
use std::collections::BTreeMap;
use tandem_volume::layout::Layout;

/// Six labelled scans of 100 x 90 x 80 voxels, whose labelled voxels are 0 to 100, and as many unlabelled ones as asked for.
fn scans(unlabelled: usize) -> Vec<Surveyed> {
    let scan = |n: usize, labels: &[u8]| Surveyed::sample(&format!("scan-{n:02}"), [1.0, 1.0, 2.0], labels);
    (0..6).map(|n| scan(n, &[0, 1, 2])).chain((6..6 + unlabelled).map(|n| scan(n, &[]))).collect()
}

fn propose(channels: &[&str], scans: Vec<Surveyed>, wishes: Wishes) -> Result<Plan> {
    propose_with(&[0, 1, 2], channels, scans, wishes)
}

fn propose_with(classes: &[u8], channels: &[&str], scans: Vec<Surveyed>, wishes: Wishes) -> Result<Plan> {
    let labelled = scans.iter().filter(|scan| scan.label_voxels.is_some()).count();
    let fingerprint = Fingerprint {
        layout: Layout::Pairs,
        channels: channels.iter().map(|name| (*name).to_owned()).collect(),
        classes: classes.iter().map(|value| (*value, value.to_string())).collect(),
        labelled,
        unlabelled: scans.len() - labelled,
        test: 0,
        median_shape: [100.0, 90.0, 80.0],
        median_spacing: [1.0, 1.0, 2.0],
        class_volumes_ml: BTreeMap::new(),
        scans: scans.clone(),
    };
    Plan::propose(&fingerprint, &Survey { scans, findings: Vec::<Finding>::new() }, &wishes, None)
}

#[test]
fn a_fifth_of_the_labelled_scans_validates() {
    let plan = propose(&[], scans(4), Wishes::default()).unwrap();
    assert_eq!((plan.labelled, plan.validation, plan.unlabelled, plan.classes), (5, 1, 4, 3));
    assert_eq!((plan.method, plan.batch), ("dual-networks", [2, 2]));
    assert_eq!(plan.full.spacing_mm, [1.0, 1.0, 2.0]);
    assert_eq!(plan.quick.spacing_mm, [1.0, 1.0, 2.0], "720,000 voxels are few enough");
}

#[test]
fn without_unlabelled_scans_the_control_is_proposed() {
    let plan = propose(&[], scans(0), Wishes::default()).unwrap();
    assert_eq!(plan.method, "supervised-ensemble");
    assert!(plan.lines().iter().any(|line| line.contains("lower data.labelled")), "{:?}", plan.lines());
}

#[test]
fn ct_gets_a_window_around_its_labelled_voxels_and_other_scans_are_z_scored() {
    let of = |channels: &[&str], wishes| propose(channels, scans(1), wishes).unwrap().normalisation;
    assert_eq!(of(&["T1"], Wishes::default()), [Normalisation::ZScore]);
    assert_eq!(of(&["CT"], Wishes::default()), [Normalisation::Window { low: 0.0, high: 100.0 }]);
    let asked = Normalisation::Window { low: -5.0, high: 5.0 };
    assert_eq!(of(&["CT"], Wishes { normalisation: Some(asked), ..Wishes::default() }), [asked]);
    // Nothing says what it is, but there is air.
    assert_eq!(of(&[], Wishes::default()), [Normalisation::ZScore]);
    let mut with_air = scans(1);
    with_air.iter_mut().for_each(|scan| scan.intensities[0].min = -1024.0);
    let plan = propose(&[], with_air, Wishes::default()).unwrap();
    assert!(matches!(plan.normalisation[..], [Normalisation::Window { .. }]));
}

#[test]
fn the_window_is_taken_from_scans_that_train_with_their_label() {
    let mut all = scans(1);
    // The last labelled scan validates.
    all[5].foreground[0] = vec![5000.0; 1000];
    let plan = propose(&["CT"], all, Wishes::default()).unwrap();
    assert_eq!(plan.normalisation, [Normalisation::Window { low: 0.0, high: 100.0 }]);
}

#[test]
fn one_labelled_scan_is_not_enough() {
    let all: Vec<Surveyed> = scans(3).split_off(5);
    let message = propose(&[], all, Wishes::default()).unwrap_err().to_string();
    assert!(message.contains("only one scan for training has a label map"), "{message}");
}

#[test]
fn a_mask_of_255_is_no_network_of_256_classes() {
    let message = propose_with(&[0, 255], &[], scans(1), Wishes::default()).unwrap_err().to_string();
    assert!(message.contains("the labels are [0, 255]") && message.contains("0, 1, 2 ..."), "{message}");
    assert_eq!(propose_with(&[0, 1, 3], &[], scans(1), Wishes::default()).unwrap().classes, 4);
}

#[test]
fn a_grid_on_which_scans_vanish_is_refused() {
    let with = |spacing| propose(&[], scans(1), Wishes { spacing: Some(spacing), ..Wishes::default() });
    assert!(with([25.0, 20.0, 40.0]).is_ok());
    let message = with([200.0; 3]).unwrap_err().to_string();
    assert!(message.contains("0 x 0 x 1 voxels") && message.contains("1 x 1 x 2 mm"), "{message}");
}

#[test]
fn a_scan_of_few_slices_may_keep_them() {
    let mut plan = propose(&[], scans(1), Wishes::default()).unwrap();
    let scans = scans(1);
    let fingerprint = Fingerprint {
        layout: Layout::Pairs,
        channels: Vec::new(),
        classes: BTreeMap::new(),
        labelled: 6,
        unlabelled: 1,
        test: 0,
        median_shape: [100.0, 90.0, 2.0],
        median_spacing: [1.0, 1.0, 8.0],
        class_volumes_ml: BTreeMap::new(),
        scans,
    };
    assert!(plan.size(&fingerprint, Some([1.0, 1.0, 8.0]), None).is_ok());
    assert!(plan.size(&fingerprint, Some([1.0, 1.0, 16.0]), None).is_err());
}
