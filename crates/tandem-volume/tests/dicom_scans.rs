//! A DICOM series of another program. The expectations are what `tests/peers/dicom.py` printed, by pydicom and SimpleITK
//! alike.
#![cfg(feature = "dicom")]
use tandem_reference::reference;
use tandem_volume::{dicom, read_image};

#[test]
fn a_ct_series_is_the_volume_that_pydicom_reads() {
    let Some(folder) = reference("scans/dicom-ct") else { return };
    let listed = dicom::series_in(&folder).unwrap();
    let [series] = &listed[..] else { panic!("{} series", listed.len()) };
    assert_eq!((series.modality(), series.slice_count()), ("CT", 17));
    let volume = read_image(&folder).unwrap();
    assert_eq!(volume.shape(), [88, 128, 17]);
    let close = |found: [f64; 3], expected: [f64; 3]| {
        assert!((0..3).all(|n| (found[n] - expected[n]).abs() < 1e-6), "{found:?} {expected:?}");
    };
    let grid = volume.geometry();
    close(grid.spacing(), [2.0; 3]);
    close(grid.position([0.0; 3]), [-82.1807, -122.163, -24.707]);
    close(grid.position([87.0, 127.0, 16.0]), [91.8193, 131.837, 7.293]);
    let mut sums = [0.0f64; 2];
    for ((i, j, k), &value) in volume.array().indexed_iter() {
        sums[0] += f64::from(value);
        sums[1] += f64::from(value) * (i + 2 * j + 3 * k) as f64;
    }
    assert_eq!(sums, [28_382_022.0, 4_866_878_651.0]);
}
