//! Transposes matrices with one short side.

use rayon::prelude::*;

/// Rows of the tall side that are handled together: their lines stay in the first-level cache.
const BLOCK: usize = 256;

/// Transposes each of `images` matrices `(rows, columns)`.
pub(crate) fn transpose(x: &[f32], images: usize, [rows, columns]: [usize; 2], y: &mut [f32]) {
    let size = rows * columns;
    if size == 0 || images == 0 {
        return;
    }
    if rows > columns {
        // The short side becomes the outer one: each task writes one long row of one image.
        y.par_chunks_mut(rows).enumerate().for_each(|(index, y)| {
            let x = &x[index / columns * size..][..size];
            let column = index % columns;
            y.iter_mut().zip(x.chunks_exact(columns)).for_each(|(y, row)| *y = row[column]);
        });
        return;
    }
    // The short side becomes the inner one: each task writes a stretch of short rows.
    y.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(y, x)| {
        y.par_chunks_mut(BLOCK * rows).enumerate().for_each(|(block, y)| {
            let first = block * BLOCK;
            for (row, x) in x.chunks_exact(columns).enumerate() {
                let x = &x[first..(first + BLOCK).min(columns)];
                y[row..].iter_mut().step_by(rows).zip(x).for_each(|(y, x)| *y = *x);
            }
        });
    });
}
