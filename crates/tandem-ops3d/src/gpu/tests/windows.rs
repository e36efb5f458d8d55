//! Windows of a prediction against plain loops.

use super::{compare, machines, random};
use crate::gpu::Queue;
use crate::program::Precision;
use crate::window_sums::WindowPlace;

#[test]
fn windows_are_added_where_they_lie() {
    const WINDOW: [usize; 3] = [4, 5, 6];
    // Wider than a window, and taller.
    const PLANE: [usize; 2] = [8, 9];
    for machine in machines() {
        let queue = Queue { machine, precision: Precision::F32 };
        for classes in [2, 3] {
            let (voxels, len) = (120, classes * 4 * 72);
            let sums = queue.copy(&vec![0.5; len]).unwrap();
            let mut expected = vec![0.5f64; len];
            let places = [
                ([0, 0, 0], [false; 3]),
                ([3, 2, 1], [true, false, true]),
                ([6, 3, 3], [false, true, false]),
            ];
            for (slot, (start, mirrored)) in places.into_iter().enumerate() {
                let logits: Vec<f32> =
                    random(classes * voxels, slot as u64).iter().map(|z| 4.0 * z).collect();
                let there = queue.copy(&logits).unwrap();
                let place = WindowPlace { start, mirrored };
                queue.add_window(there.at(0), &sums, (classes, WINDOW), PLANE, &place).unwrap();
                for v in 0..voxels {
                    let at = [v / 30, v / 6 % 5, v % 6];
                    let from = [0, 1, 2].map(|a| if mirrored[a] { WINDOW[a] - 1 - at[a] } else { at[a] });
                    let z = |c: usize| f64::from(logits[c * voxels + (from[0] * 5 + from[1]) * 6 + from[2]]);
                    let total: f64 = (0..classes).map(|c| z(c).exp()).sum();
                    for c in 0..classes {
                        let plane = c * 4 + (start[0] + at[0]) % 4;
                        expected[(plane * 8 + start[1] + at[1]) * 9 + start[2] + at[2]] += z(c).exp() / total;
                    }
                }
            }
            let mut found = vec![0.0f32; len];
            sums.download(&mut found).unwrap();
            compare(&found, &expected, 1e-6, "windows");
        }
    }
}
