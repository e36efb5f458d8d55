//! From files, in which i is the fastest axis, to arrays, in which k is, and back.
use std::ops::Range;

use ndarray::Array3;
use rayon::prelude::*;

/// The row along i of a file's values, i fastest, by k and j.
pub(super) fn rows<'a, S>(values: &'a [S], [ni, nj, _]: [usize; 3]) -> impl Fn(usize, usize) -> &'a [S] {
    move |k, j| &values[(k * nj + j) * ni..][..ni]
}

/// The array `[i, j, k]` of what `convert` makes of a file's values: `row` gives those along i, by k and j.
pub(super) fn from_rows<'a, S: Copy + Default + Sync + 'a, T: Copy + Default + Send>(
    row: impl Fn(usize, usize) -> &'a [S] + Sync,
    shape: [usize; 3],
    convert: impl Fn(S) -> T + Sync,
) -> Array3<T> {
    let [ni, nj, nk] = shape;
    Array3::from_shape_vec((ni, nj, nk), reversed(row, [nk, nj, ni], convert))
        .expect("as many values as the product of the shape")
}

/// The values of an array `[i, j, k]` with i fastest, as files store them.
pub(crate) fn to_i_fastest<T: Copy + Default + Send + Sync>(array: &Array3<T>) -> Vec<T> {
    part_to_i_fastest(array, 0..array.dim().2)
}

/// The same of a part of the array along k.
pub(crate) fn part_to_i_fastest<T: Copy + Default + Send + Sync>(
    array: &Array3<T>,
    k: Range<usize>,
) -> Vec<T> {
    let (ni, nj, nk) = array.dim();
    let array = array.as_standard_layout();
    let values = array.as_slice().expect("a standard layout is one slice");
    reversed(|i, j| &values[(i * nj + j) * nk..][k.clone()], [ni, nj, k.len()], |value| value)
}

/// Reverses the axes of an array of sides `[a, b, c]` and converts its values: the last axis was the fastest, the first
/// one becomes it. `row` gives the values along the last axis.
///
/// Works by blocks that fit the cache, since one of the two sides is always walked with a large stride.
pub(crate) fn reversed<'a, S: Copy + Default + Sync + 'a, T: Copy + Default + Send>(
    row: impl Fn(usize, usize) -> &'a [S] + Sync,
    [a, b, c]: [usize; 3],
    convert: impl Fn(S) -> T + Sync,
) -> Vec<T> {
    const SIDE: usize = 64;
    /// Fewer values than this are not worth another thread.
    const FEW: usize = 1 << 16;
    let mut values = vec![T::default(); a * b * c];
    if values.is_empty() {
        return values;
    }
    let reverse_part = |(part, values): (usize, &mut [T])| {
        let (z0, depth) = (part * SIDE, values.len() / (b * a));
        let mut block = [[S::default(); SIDE]; SIDE];
        for y in 0..b {
            for x0 in (0..a).step_by(SIDE) {
                let width = SIDE.min(a - x0);
                for (x, to) in block[..width].iter_mut().enumerate() {
                    let from = &row(x0 + x, y)[z0..z0 + depth];
                    match <&[S; SIDE]>::try_from(from) {
                        Ok(from) => *to = *from,
                        Err(_) => to[..depth].copy_from_slice(from),
                    }
                }
                // The smaller one is `depth`, which the compiler does not know.
                for z in 0..depth.min(SIDE) {
                    let to = &mut values[(z * b + y) * a + x0..][..width];
                    to.iter_mut().zip(&block).for_each(|(to, row)| *to = convert(row[z]));
                }
            }
        }
    };
    if values.len() < FEW {
        values.chunks_mut(SIDE * b * a).enumerate().for_each(reverse_part);
    } else {
        values.par_chunks_mut(SIDE * b * a).enumerate().for_each(reverse_part);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_is_fastest_in_files_and_k_in_arrays() {
        let shape = [37, 3, 41]; // larger than a tile, and no multiple of it
        let file: Vec<u32> = (0..37 * 3 * 41).collect();
        let array = from_rows(rows(&file, shape), shape, |value| value);
        for ((i, j, k), &value) in array.indexed_iter() {
            assert_eq!(value as usize, i + 37 * (j + 3 * k));
        }
        assert_eq!(to_i_fastest(&array), file);
        assert_eq!(part_to_i_fastest(&array, 5..23), file[5 * 37 * 3..23 * 37 * 3]);
    }
}
