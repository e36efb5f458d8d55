//! Connected components of a mask.

use ndarray::{Array3, ArrayView3};

/// Voxels of one row that touch each other: `start..end` along k.
#[derive(Clone, Copy)]
struct Run {
    row: usize,
    start: usize,
    end: usize,
}

/// The largest connected component of a mask. Voxels are connected that share a face, an edge or a corner (26
/// neighbours). Of several that are equally large it is the one whose first voxel comes first in the array's order; of
/// an empty mask there is none, and the result is empty.
///
/// Runs of voxels are joined, not voxels: the time grows with the voxels only as far as they have to be read.
///
/// # References
/// L. He, Y. Chao, K. Suzuki, "A run-based two-scan labeling algorithm", IEEE Transactions on Image Processing 17 (2008).
pub fn largest_component(mask: ArrayView3<bool>) -> Array3<bool> {
    let runs = runs(mask);
    let components = components(&runs, mask.dim());
    let mut sizes = vec![0usize; runs.len()];
    for (run, &component) in runs.iter().zip(&components) {
        sizes[component] += run.end - run.start;
    }
    // A component has the number of its first run, so that the first of the largest is the one to keep.
    let most = sizes.iter().copied().max().unwrap_or(0);
    let largest = sizes.iter().position(|size| *size == most);
    let mut kept = Array3::from_elem(mask.dim(), false);
    let (_, rows_of_a_plane, _) = mask.dim();
    for (run, &component) in runs.iter().zip(&components) {
        if Some(component) == largest {
            let (i, j) = (run.row / rows_of_a_plane, run.row % rows_of_a_plane);
            (run.start..run.end).for_each(|k| kept[(i, j, k)] = true);
        }
    }
    kept
}

/// All runs, in the array's order.
fn runs(mask: ArrayView3<bool>) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, voxels) in mask.rows().into_iter().enumerate() {
        let mut start = None;
        for (k, &here) in voxels.iter().enumerate() {
            match start {
                None if here => start = Some(k),
                Some(first) if !here => {
                    runs.push(Run { row, start: first, end: k });
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(first) = start {
            runs.push(Run { row, start: first, end: voxels.len() });
        }
    }
    runs
}

/// The component of each run, by the number of the component's first run.
fn components(runs: &[Run], (ni, nj, _): (usize, usize, usize)) -> Vec<usize> {
    // Where the runs of each row begin.
    let mut first = vec![0; ni * nj + 1];
    runs.iter().for_each(|run| first[run.row + 1] += 1);
    (0..ni * nj).for_each(|row| first[row + 1] += first[row]);
    let of_row = |row: usize| first[row]..first[row + 1];

    let mut parents: Vec<usize> = (0..runs.len()).collect();
    for row in (0..ni * nj).filter(|row| !of_row(*row).is_empty()) {
        let (i, j) = (row / nj, row % nj);
        // The rows beside this one that come before it.
        let beside = [
            (i > 0 && j > 0).then(|| row - nj - 1),
            (i > 0).then(|| row - nj),
            (i > 0 && j + 1 < nj).then(|| row - nj + 1),
            (j > 0).then(|| row - 1),
        ];
        for other in beside.into_iter().flatten() {
            join(&mut parents, runs, of_row(row), of_row(other));
        }
    }
    (0..runs.len()).map(|run| root(&mut parents, run)).collect()
}

/// Joins the runs of two neighbouring rows where they touch, a corner included.
fn join(
    parents: &mut [usize],
    runs: &[Run],
    mut row: std::ops::Range<usize>,
    mut other: std::ops::Range<usize>,
) {
    while !row.is_empty() && !other.is_empty() {
        let (a, b) = (runs[row.start], runs[other.start]);
        if a.start <= b.end && b.start <= a.end {
            let (a, b) = (root(parents, row.start), root(parents, other.start));
            parents[a.max(b)] = a.min(b);
        }
        // The run that ends first can touch no further one.
        if a.end < b.end { row.start += 1 } else { other.start += 1 }
    }
}

/// The first run of a run's component; the way there is shortened.
fn root(parents: &mut [usize], mut run: usize) -> usize {
    while parents[run] != run {
        parents[run] = parents[parents[run]];
        run = parents[run];
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By flooding from voxel to voxel, in the array's order.
    fn by_definition(mask: &Array3<bool>) -> Array3<bool> {
        let mut largest: Vec<(usize, usize, usize)> = Vec::new();
        let mut seen = Array3::from_elem(mask.dim(), false);
        for (first, _) in mask.indexed_iter().filter(|(_, here)| **here) {
            let mut component = Vec::new();
            let mut open = if seen[first] { Vec::new() } else { vec![first] };
            seen[first] = true;
            while let Some((i, j, k)) = open.pop() {
                component.push((i, j, k));
                for step in 0..27 {
                    let at = (i + step / 9, j + step / 3 % 3, k + step % 3);
                    let at = (at.0.wrapping_sub(1), at.1.wrapping_sub(1), at.2.wrapping_sub(1));
                    if mask.get(at) == Some(&true) && !seen[at] {
                        seen[at] = true;
                        open.push(at);
                    }
                }
            }
            if component.len() > largest.len() {
                largest = component;
            }
        }
        Array3::from_shape_fn(mask.dim(), |at| largest.contains(&at))
    }

    #[test]
    fn equals_flooding_on_speckles_of_any_density() {
        let mut state = 1u64;
        for shape in [(6, 7, 9), (1, 9, 5), (5, 1, 9), (9, 5, 1), (1, 1, 1), (12, 3, 4)] {
            for sparsity in [1, 2, 3, 5, 9, 14, 40] {
                let mask = Array3::from_shape_fn(shape, |_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33).is_multiple_of(sparsity)
                });
                assert_eq!(largest_component(mask.view()), by_definition(&mask), "{shape:?} 1/{sparsity}");
            }
        }
    }

    #[test]
    fn corners_connect_and_a_tie_goes_to_the_first() {
        let of = |voxels: &[[usize; 3]]| {
            let mut mask = Array3::from_elem((4, 4, 6), false);
            voxels.iter().for_each(|at| mask[*at] = true);
            mask
        };
        let (first, second) = ([[0, 3, 5], [1, 2, 4]], [[3, 0, 0], [3, 0, 1]]);
        let both = of(&[first, second].concat());
        assert_eq!(largest_component(both.view()), of(&first));
        let more = of(&[&first[..], &second, &[[3, 1, 2]]].concat());
        assert_eq!(largest_component(more.view()), of(&[&second[..], &[[3, 1, 2]]].concat()));
        assert_eq!(largest_component(of(&[]).view()), of(&[]));
    }
}
