//! What losses want of features, and add to their gradient.

use super::{compare, on_all, random};

/// Two of three images of 60 voxels are looked at, from voxel 60 on.
const FIRST: usize = 60;
const VOXELS: usize = 120;

/// Classes 0 and 1, one that is counted and has no voxel, and two that nobody counts.
fn classes() -> Vec<u8> {
    (0..VOXELS).map(|voxel| [0, 1, 1, 3, 255][voxel % 5]).collect()
}

#[test]
fn sums_of_classes_and_voxels() {
    on_all(|queue| {
        for channels in [1, 3, 16, 300] {
            let (x, there) = queue.given(&random(180 * channels, 0));
            let classes = classes();
            let bytes = queue.bytes(&classes);
            let found = queue.class_sums(&there, (FIRST, &bytes, VOXELS), 3, channels).unwrap();
            let mut expected = vec![0.0; 3 * (channels + 1)];
            for (voxel, class) in classes.iter().enumerate().filter(|(_, class)| **class < 3) {
                let sums = &mut expected[usize::from(*class) * (channels + 1)..][..channels + 1];
                for channel in 0..channels {
                    sums[channel] += f64::from(x[(FIRST + voxel) * channels + channel]);
                }
                sums[channels] += 1.0;
            }
            let found: Vec<f32> = found.iter().map(|sum| *sum as f32).collect();
            compare(&found, &expected, 1e-7, "sums of classes");

            let voxels = [179, 0, 61, 61];
            let expected: Vec<f32> =
                voxels.iter().flat_map(|voxel| x[voxel * channels..][..channels].to_vec()).collect();
            let voxels = voxels.map(|voxel| voxel as i64);
            assert_eq!(queue.voxels(&there, &voxels, channels).unwrap(), expected);
        }
    });
}

#[test]
fn gradients_of_classes_and_voxels() {
    on_all(|queue| {
        for channels in [1, 3, 16, 300] {
            let (y, there) = queue.given(&random(180 * channels, 1));
            let mut expected: Vec<f64> = y.iter().map(|value| f64::from(*value)).collect();
            let (classes, vectors) = (classes(), random(2 * channels, 2));
            queue
                .add_to_classes(&there, (FIRST, &queue.bytes(&classes), VOXELS), &vectors, channels)
                .unwrap();
            for (voxel, class) in classes.iter().enumerate().filter(|(_, class)| **class < 2) {
                for channel in 0..channels {
                    expected[(FIRST + voxel) * channels + channel] +=
                        f64::from(vectors[usize::from(*class) * channels + channel]);
                }
            }
            queue.expect_after(2, &there, &expected, "gradients of classes");

            let (voxels, vectors) = ([0, 61, 179], random(3 * channels, 3));
            queue.add_to_voxels(&there, &voxels, &vectors, channels).unwrap();
            for (at, voxel) in voxels.iter().enumerate() {
                for channel in 0..channels {
                    expected[*voxel as usize * channels + channel] +=
                        f64::from(vectors[at * channels + channel]);
                }
            }
            queue.expect_after(3, &there, &expected, "gradients of voxels");
        }
        // Nothing to add is no fault.
        let (_, there) = queue.given(&[1.0, 2.0]);
        queue.add_to_classes(&there, (0, &queue.bytes(&[]), 0), &[], 2).unwrap();
        queue.add_to_voxels(&there, &[], &[], 2).unwrap();
        assert!(queue.voxels(&there, &[], 2).unwrap().is_empty());
    });
}
