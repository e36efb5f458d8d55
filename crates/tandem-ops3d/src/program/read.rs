//! Reads values of a tape row by row, computing those that are not kept.

use super::tape::{Kept, Tape};
use crate::conv_shape::Frame;
use crate::cpu::element::Element;
use crate::cpu::pad::Padded;
use crate::cpu::rows;
use rayon::prelude::*;

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
        }
    }

    /// A value in a frame.
    pub(super) fn framed(&self, value: usize, frame: Frame) -> Padded<S> {
        Padded::new(self.dims[value], frame, |row, to| self.read_row(value, row, to))
    }
}

/// Runs `f` on every row, several rows a task.
pub(super) fn for_rows<T: Element>(values: &mut [T], row: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if row == 0 {
        return;
    }
    let rows = (32 * 1024 / row).max(1);
    values.par_chunks_mut(rows * row).enumerate().for_each(|(chunk, values)| {
        for (index, values) in values.chunks_mut(row).enumerate() {
            f(chunk * rows + index, values);
        }
    });
}
