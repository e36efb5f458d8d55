//! What is counted and picked among the bytes and numbers of voxels, beside the same on the host.

use super::{machines, random};
use crate::gpu::Buffer;
use crate::{VoxelBytes, VoxelNumbers};

/// No voxel, one, whole spans of those that are counted together, and some more.
const COUNTS: [usize; 5] = [0, 1, 255, 512, 70_001];

/// The same bytes on the host and on each machine.
fn on_each(bytes: &[u8], test: impl Fn(&VoxelBytes, &VoxelBytes)) {
    for machine in machines() {
        let there = Buffer::of(&machine, bytes).unwrap();
        test(&VoxelBytes::from(bytes.to_vec()), &VoxelBytes::on_gpu(there, bytes.len(), 255));
    }
}

/// Numbers that are drawn, and some that are compared in a way of their own.
fn numbers(count: usize) -> Vec<f32> {
    let mut numbers = random(count, 3);
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 2.0, numbers[count - 1]];
    numbers.iter_mut().zip(special).for_each(|(number, special)| *number = special);
    numbers
}

#[test]
fn bytes_are_counted_and_found() {
    for count in COUNTS {
        let bytes: Vec<u8> = (0..count).map(|v| [0, 1, 1, 255, 3, 1, 0][v * v % 7]).collect();
        on_each(&bytes, |host, gpu| {
            for classes in [1, 2, 5] {
                assert_eq!(host.counts(classes).unwrap(), gpu.counts(classes).unwrap());
            }
            let plain = |class| bytes.iter().filter(|byte| **byte == class).count();
            let counts = gpu.counts(2).unwrap();
            assert_eq!(counts.of_classes, [plain(0), plain(1)]);
            assert_eq!((counts.of_none, counts.of_others), (plain(255), plain(3)));
            assert_eq!(gpu.count_set().unwrap(), count - plain(0));
            let voxels =
                [0, 1, 2, 3].map(|class| (0..count).filter(|v| bytes[*v] == class).collect::<Vec<_>>());
            let places =
                voxels.each_ref().map(|of_class| (0..of_class.len()).rev().step_by(3).collect::<Vec<_>>());
            let of_class = |(voxels, places): (&Vec<usize>, &Vec<usize>)| {
                places.iter().map(|place| voxels[*place]).collect()
            };
            let expected: Vec<Vec<usize>> = voxels.iter().zip(&places).map(of_class).collect();
            for bytes in [host, gpu] {
                assert_eq!(bytes.find(&places).unwrap(), expected);
                for class in 0..4 {
                    let mut one_more = places.clone();
                    one_more[class].push(voxels[class].len());
                    assert!(bytes.find(&one_more).is_err(), "class {class}");
                }
                assert!(bytes.find(&[]).unwrap().is_empty());
            }
            for (classes, fits) in [(1, count < 2), (3, !bytes.contains(&3)), (4, true)] {
                assert_eq!(
                    [host, gpu].map(|bytes| bytes.fit(classes).unwrap()),
                    [fits; 2],
                    "{classes} classes"
                );
            }
            // None of this brought the bytes to the host; this does.
            assert_eq!(gpu.values().unwrap(), bytes);
        });
    }
}

#[test]
fn bytes_are_kept_where_a_mask_says() {
    for count in COUNTS {
        let bytes: Vec<u8> = (0..count).map(|v| (v % 11) as u8).collect();
        let mask: Vec<u8> = (0..count).map(|v| [0, 1, 7][v % 3]).collect();
        on_each(&bytes, |host, gpu| {
            for set in [true, false] {
                let expected: Vec<u8> =
                    (0..count).map(|v| if (mask[v] != 0) == set { bytes[v] } else { 255 }).collect();
                for bytes in [host, gpu] {
                    assert_eq!(
                        bytes.keep_where(&mask.clone().into(), set).unwrap().values().unwrap(),
                        expected
                    );
                }
            }
            assert!(gpu.keep_where(&vec![1; count + 1].into(), true).is_err());
        });
    }
}

#[test]
fn numbers_are_ranked_and_compared() {
    for count in COUNTS.into_iter().filter(|count| *count > 0) {
        let mut numbers = numbers(count);
        let mut sorted = numbers.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        for machine in machines() {
            let there =
                |numbers: &[f32]| VoxelNumbers::on_gpu(Buffer::of(&machine, numbers).unwrap(), numbers.len());
            let (host, gpu) = (VoxelNumbers::from(numbers.clone()), there(&numbers));
            for index in [0, 1, 2, count / 3, count / 2, count - 1].into_iter().filter(|index| *index < count)
            {
                let expected = [sorted[index], sorted[count - 1]].map(f32::to_bits);
                for numbers in [&host, &gpu] {
                    let found = numbers.ranked([index, count - 1]).unwrap().unwrap();
                    assert_eq!(found.map(f32::to_bits), expected, "rank {index}");
                }
            }
            assert!(gpu.ranked([0, count]).is_err());
            for threshold in [0.0, f64::from(numbers[count - 1]), 0.1, f64::NAN] {
                let expected: Vec<u8> =
                    numbers.iter().map(|x| u8::from(f64::from(*x) <= threshold)).collect();
                for numbers in [&host, &gpu] {
                    assert_eq!(numbers.at_most(threshold).unwrap().values().unwrap(), expected);
                }
            }
        }
        // Of either sign.
        for nan in [f32::NAN, -f32::NAN] {
            numbers[count / 2] = nan;
            for machine in machines() {
                let gpu = VoxelNumbers::on_gpu(Buffer::of(&machine, &numbers).unwrap(), count);
                assert_eq!(gpu.ranked([0]).unwrap(), None);
                assert_eq!(gpu.at_most(1e30).unwrap().values().unwrap()[count / 2], 0);
            }
            assert_eq!(VoxelNumbers::from(numbers.clone()).ranked([0]).unwrap(), None);
        }
    }
}
