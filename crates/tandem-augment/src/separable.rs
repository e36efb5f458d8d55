//! Linear filters that go along one axis after the other.

/// What a voxel becomes along an axis: voxels of its line and their weights.
pub(crate) type Taps = Vec<(usize, f32)>;

/// Filters a channel of `shape` voxels along i, j and k in turn: voxel `v` of every line along `axis` becomes the weighted sum
/// `taps(axis)[v]` of the line.
pub(crate) fn filter(voxels: &mut [f32], shape: [usize; 3], taps: impl Fn(usize) -> Vec<Taps>) {
    let mut read = voxels.to_vec();
    for axis in 0..3 {
        let taps = taps(axis);
        // Lines along an axis lie side by side in memory, but for k.
        let run = shape[axis + 1..].iter().product::<usize>();
        let block = (shape[axis] * run).max(1);
        for (read, write) in read.chunks_exact(block).zip(voxels.chunks_exact_mut(block)) {
            for (taps, write) in taps.iter().zip(write.chunks_exact_mut(run)) {
                match run {
                    1 => write[0] = taps.iter().map(|(at, weight)| weight * read[*at]).sum(),
                    _ => sum_runs(taps, read, write),
                }
            }
        }
        if axis < 2 {
            read.copy_from_slice(voxels);
        }
    }
}

/// The weighted sum of runs of voxels.
fn sum_runs(taps: &Taps, read: &[f32], write: &mut [f32]) {
    let run = write.len();
    write.fill(0.0);
    for (at, weight) in taps {
        let read = &read[at * run..][..run];
        write.iter_mut().zip(read).for_each(|(sum, voxel)| *sum += weight * voxel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_axis_has_its_own_taps() {
        let shape = [3, 4, 5];
        let at = |i: usize, j: usize, k: usize| ((i * 31 + j * 17 + k * 7) % 23) as f32;
        let mut voxels: Vec<f32> = (0..60).map(|v| at(v / 20, v / 5 % 4, v % 5)).collect();
        // The mean of a voxel and the next one along i, the next one along j, the first one along k.
        filter(&mut voxels, shape, |axis| {
            let side = shape[axis];
            (0..side)
                .map(|v| match axis {
                    0 => vec![(v, 0.5), ((v + 1).min(side - 1), 0.5)],
                    1 => vec![((v + 1).min(side - 1), 1.0)],
                    _ => vec![(0, 1.0)],
                })
                .collect()
        });
        for (v, voxel) in voxels.into_iter().enumerate() {
            let (i, j) = (v / 20, (v / 5 % 4 + 1).min(3));
            assert_eq!(voxel, 0.5 * (at(i, j, 0) + at((i + 1).min(2), j, 0)));
        }
    }
}
