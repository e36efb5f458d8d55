//! Transposes matrices.

use super::scratch::Scratch;
use super::simd::{Lanes, Target, Unit, Work, on_unit, squares};
use rayon::prelude::*;

/// Rows of the tall side that are handled together: their lines stay in the first-level cache.
const BLOCK: usize = 256;

/// Values that are enough for a task.
const SMALL: usize = 1 << 14;

/// Transposes each of `images` matrices `(rows, columns)`.
pub(crate) fn transpose(x: &[f32], images: usize, [rows, columns]: [usize; 2], y: &mut [f32]) {
    let size = rows * columns;
    if size == 0 || images == 0 {
        return;
    }
    assert!(x.len() == images * size && y.len() == x.len(), "matrices have another size");
    if rows.min(columns) == 1 {
        y.copy_from_slice(x);
        return;
    }
    if let Some(unit) = Unit::for_squares([rows, columns]) {
        let (stretches, target) = (columns.div_ceil(BLOCK), Target::new(y));
        (0..images * stretches).into_par_iter().with_min_len(1 + SMALL / size).for_each(|index| {
            let (image, stretch) = (index / stretches, index % stretches);
            // Equal ones: none is narrower than a square.
            let [first, end] = [stretch, stretch + 1].map(|stretch| stretch * columns / stretches);
            let to = target.at(image * size + first * rows);
            let work =
                Squares { x: &x[image * size + first..], to, sides: [rows, columns], count: end - first };
            // SAFETY: the unit is this process's; each stretch is written once.
            unsafe { on_unit(unit, work) }
        });
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

/// As [`transpose`], in work space.
pub(crate) fn transposed(x: &[f32], images: usize, sides: [usize; 2]) -> Scratch<f32> {
    let mut y = Scratch::take(x.len());
    transpose(x, images, sides, &mut y);
    y
}

/// A stretch of the columns of a matrix, square by square.
struct Squares<'a> {
    /// From the first column on.
    x: &'a [f32],
    to: *mut f32,
    sides: [usize; 2],
    count: usize,
}

impl Work for Squares<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let [rows, columns] = self.sides;
        for row in squares(rows, L::COUNT) {
            for column in squares(self.count, L::COUNT) {
                let from = (self.x[row * columns + column..].as_ptr(), columns);
                // SAFETY: the caller's; both sides are a square wide at least, and squares lie inside of them.
                unsafe { L::transpose(from, (self.to.add(column * rows + row), rows)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_any_sides_are_transposed() {
        let sides =
            [[1, 7], [7, 1], [2, 300], [300, 2], [8, 8], [8, 27], [9, 15], [16, 343], [17, 600], [600, 17]];
        for (sides, images) in sides.into_iter().flat_map(|sides| [(sides, 1), (sides, 3)]) {
            let [rows, columns] = sides;
            let x: Vec<f32> = (0..images * rows * columns).map(|i| i as f32).collect();
            let mut y = vec![-1.0; x.len()];
            transpose(&x, images, sides, &mut y);
            for (at, value) in x.iter().enumerate() {
                let (image, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
                assert_eq!(y[(image * columns + column) * rows + row], *value, "{sides:?} at {at}");
            }
        }
    }
}
