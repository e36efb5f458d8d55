//! Reads values of a tape row by row, computing those that are not kept.

use super::tape::{Kept, Tape};
use crate::cpu::element::Element;
use crate::cpu::rows;

impl<S: Element> Tape<S> {
    /// Values in a row `(w, c)` of a value.
    pub(super) fn row_len(&self, value: usize) -> usize {
        self.dims[value][3] * self.dims[value][4]
    }

    /// Writes row `row` of all rows `(n, d, h)` of a value.
    pub(super) fn read_row<T: Element>(&self, value: usize, row: usize, to: &mut [T]) {
        let from = row * to.len();
        match &self.kept[value] {
            Kept::Nothing => unreachable!("a value is read after its last use"),
            Kept::Image(image) => rows::convert(&image[from..from + to.len()], to),
            Kept::Unit(unit) => match &unit.output {
                Some(output) => rows::convert(&output[from..from + to.len()], to),
                None => rows::normalise(&unit.middle[from..from + to.len()], &unit.affine, to),
            },
            Kept::Scaled { x, factors } => {
                self.read_row(*x, row, to);
                if let Some(factors) = factors {
                    let [_, d, h, ..] = self.dims[value];
                    rows::scale(&factors[row / (d * h)], to);
                }
            }
            Kept::Resampled { x, map } => {
                // f32 until it is stored.
                let mut sum = vec![0.0f32; to.len()];
                map.row(row, |row, to| self.read_row(*x, row, to), &mut sum);
                rows::convert(&sum, to);
            }
        }
    }

    /// Row `row` in f32: as it lies in memory where it does so, else written to the buffer, which is as long as a row.
    pub(super) fn row_f32<'a>(&'a self, value: usize, row: usize, buffer: &'a mut [f32]) -> &'a [f32] {
        let from = row * buffer.len();
        match self.whole(value).and_then(|values| S::as_f32(&values[from..from + buffer.len()])) {
            Some(lent) => lent,
            None => {
                self.read_row(value, row, buffer);
                buffer
            }
        }
    }

    /// A value that lies in memory as it is.
    pub(super) fn whole(&self, value: usize) -> Option<&[S]> {
        match &self.kept[value] {
            Kept::Image(image) => Some(image),
            Kept::Unit(unit) => unit.output.as_deref(),
            _ => None,
        }
    }
}
