//! Surface elements: what lies at a corner where eight voxels meet.

use crate::bits::{Bits, before};

/// Ways in which eight voxels can be of a mask or not.
pub(crate) const CODES: usize = 256;

/// The surface elements that are not alike: which of the eight voxels are of the mask (voxel (a, b, c), each 0 or 1, is bit
/// 4a + 2b + c), and the triangles that separate them from the others, through the middles of the edges between them. A
/// triangle is its area times its normal, in eighths of a voxel's faces, without signs. All other codes are turned or
/// mirrored versions of these, or have the mask's voxels and the others exchanged.
///
/// # References
/// W. E. Lorensen, H. E. Cline, "Marching cubes", SIGGRAPH 1987. Where marching cubes leaves open how a polygon is cut
/// into triangles or which voxels are connected, this is as in `surface-distance`, so that areas are equal.
const KINDS: [(u8, &[[u8; 3]]); 13] = [
    (0b0000_0001, &[[1, 1, 1]]),
    (0b0000_0011, &[[2, 2, 0], [2, 2, 0]]),
    (0b0000_0110, &[[1, 1, 1], [1, 1, 1]]),
    (0b0000_0111, &[[1, 1, 1], [2, 2, 2], [4, 0, 0]]),
    (0b0000_1111, &[[4, 0, 0], [4, 0, 0]]),
    (0b0001_0110, &[[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    (0b0001_0111, &[[1, 1, 1], [1, 1, 1], [2, 2, 2], [2, 2, 2]]),
    (0b0001_1000, &[[1, 1, 1], [1, 1, 1]]),
    (0b0001_1001, &[[1, 1, 1], [0, 2, 2], [0, 2, 2]]),
    (0b0001_1011, &[[1, 1, 1], [0, 2, 2], [2, 0, 2], [3, 3, 3]]),
    (0b0001_1110, &[[1, 1, 1], [1, 1, 1], [2, 2, 2], [4, 0, 0]]),
    (0b0011_1100, &[[2, 2, 0], [2, 2, 0], [2, 2, 0], [2, 2, 0]]),
    (0b0110_1001, &[[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]]),
];

const ORDERS_OF_AXES: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The area of the surface element of each code, for voxels of some size.
pub(crate) fn areas([si, sj, sk]: [f64; 3]) -> [f64; CODES] {
    let faces = [sj * sk, si * sk, si * sj];
    let mut areas = [0.0; CODES];
    for (kind, triangles) in KINDS {
        for axes in ORDERS_OF_AXES {
            let area = |triangle: &[u8; 3]| {
                let sides = [0, 1, 2].map(|axis| f64::from(triangle[axes[axis]]) / 8.0 * faces[axis]);
                sides.iter().map(|side| side * side).sum::<f64>().sqrt()
            };
            let area = triangles.iter().map(area).sum();
            for mirrored in 0..8 {
                let code = turned(kind, axes, mirrored);
                areas[usize::from(code)] = area;
                areas[usize::from(!code)] = area;
            }
        }
    }
    areas
}

/// A code with its axes in another order and some of them mirrored (bits 4, 2 and 1 of `mirrored` for i, j and k).
fn turned(code: u8, axes: [usize; 3], mirrored: usize) -> u8 {
    let voxels = (0..8usize).filter(|voxel| code >> voxel & 1 == 1);
    voxels.fold(0, |turned, voxel| {
        let bit = |axis: usize| voxel >> (2 - axes[axis]) & 1;
        turned | 1 << ((4 * bit(0) + 2 * bit(1) + bit(2)) ^ mirrored)
    })
}

/// The rows of voxels around a row of corners, by i and j; without words where they lie outside. Corner (i, j, k) is
/// where voxel (i, j, k) touches those before it.
fn around(mask: &Bits, i: usize, j: usize) -> [&[u64]; 4] {
    let row = |i: usize, j: usize| mask.row(i, j).unwrap_or_default();
    let (before_i, before_j) = (i.wrapping_sub(1), j.wrapping_sub(1));
    [row(before_i, before_j), row(before_i, j), row(i, before_j), row(i, j)]
}

/// The corners that have a surface element: where some of the eight voxels are of the mask and some are not. What lies
/// outside is not of the mask.
pub(crate) fn borders(mask: &Bits) -> Bits {
    Bits::by_row(mask.shape().map(|side| side + 1), |i, j, to| {
        let rows = around(mask, i, j);
        for (at, to) in to.iter_mut().enumerate() {
            let (mut some, mut all) = (0, u64::MAX);
            for row in rows {
                let (here, before) = (row.get(at).copied().unwrap_or(0), before(row, at));
                some |= here | before;
                all &= here & before;
            }
            *to = some & !all;
        }
    })
}

/// Which of the eight voxels around a corner are of the mask.
pub(crate) fn code(mask: &Bits, [i, j, k]: [usize; 3]) -> usize {
    let voxel = |row: &[u64], k: usize| row.get(k / 64).map_or(0, |word| word >> (k % 64) & 1) as usize;
    around(mask, i, j).iter().rev().fold(0, |code, row| {
        let before = k.checked_sub(1).map_or(0, |before| voxel(row, before));
        code << 2 | voxel(row, k) << 1 | before
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_but_the_two_without_a_surface_has_an_area() {
        let areas = areas([1.0; 3]);
        assert_eq!((areas[0], areas[255]), (0.0, 0.0));
        assert!(areas[1..255].iter().all(|area| *area > 0.0));
    }

    #[test]
    fn flat_and_slanted_surfaces_have_their_true_area() {
        let areas = areas([2.0, 3.0, 5.0]);
        // The four voxels of i = 0: a face of 3 x 5. Two of them, along k: a rectangle of 5 over a hypotenuse.
        assert_eq!(areas[0b0000_1111], 15.0);
        assert!((areas[0b0000_0011] - 5.0 * (1.0f64 + 1.5 * 1.5).sqrt()).abs() < 1e-12);
        // One voxel: the triangle through the middles of three edges.
        let triangle = [15.0f64, 10.0, 6.0].map(|face| face / 8.0);
        let area = triangle.iter().map(|side| side * side).sum::<f64>().sqrt();
        assert!((areas[1] - area).abs() < 1e-12);
    }
}
