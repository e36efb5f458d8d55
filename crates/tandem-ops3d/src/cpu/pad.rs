//! What the convolution kernels read: images in a frame of zeros, or row by row.

use super::element::Element;
use super::scratch::Scratch;
use crate::conv_shape::Frame;
use rayon::prelude::*;
use std::ops::Deref;

/// An image as a kernel reads it.
pub(crate) enum Image<'a, T: Element> {
    /// In the frame of its convolution, for kernels that multiply bf16 values as they are.
    Framed(Padded<'a, T>),
    /// As it is, for kernels that read each row a few times and put it between zeros as they go.
    Rows(Rows<'a, T>),
}

impl<'a, T: Element> Image<'a, T> {
    /// The rows of an image that is read by them.
    pub(crate) fn rows(&self) -> Rows<'a, T> {
        match self {
            Image::Rows(rows) => *rows,
            Image::Framed(_) => unreachable!("kernels that read rows are given a frame"),
        }
    }
}

/// A channels-last image `(n, d, h, w, c)` whose rows are made where they are read.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T: Element> {
    pub(crate) dims: [usize; 5],
    /// Writes row `row` of all rows `(n, d, h)`: the `w * c` values of it, whatever they were before.
    pub(crate) read: &'a ReadRow<'a, T>,
    /// The image, where it lies in memory as it is.
    pub(crate) whole: Option<&'a [T]>,
}

pub(crate) type ReadRow<'a, T> = dyn Fn(usize, &mut [T]) + Sync + 'a;

/// A channels-last image `(n, d, h, w, c)` in a frame of zeros.
pub(crate) struct Padded<'a, T: Element> {
    pub(crate) values: Values<'a, T>,
    /// Batch, sides with the frame, channels.
    pub(crate) dims: [usize; 5],
    pub(crate) frame: Frame,
}

/// Values of one's own, or those of an image that needs no frame.
pub(crate) enum Values<'a, T: Element> {
    Own(Scratch<T>),
    Borrowed(&'a [T]),
}

impl<T: Element> Deref for Values<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Values::Own(values) => values,
            Values::Borrowed(values) => values,
        }
    }
}

impl<'a, T: Element> Padded<'a, T> {
    /// An image in a frame; where there is none to add, the image as it lies in memory.
    pub(crate) fn of(rows: Rows<'a, T>, frame: Frame) -> Self {
        match rows.whole {
            Some(whole) if frame == Frame::default() => {
                Padded { values: Values::Borrowed(whole), dims: rows.dims, frame }
            }
            _ => Padded::filled(rows.dims, frame, rows.read),
        }
    }
}

impl<T: Element> Padded<'static, T> {
    /// Puts an image into a frame, row by row.
    pub(crate) fn filled(dims: [usize; 5], frame: Frame, read: &ReadRow<T>) -> Self {
        let [batch, depth, height, width, channels] = dims;
        let sides = [0, 1, 2].map(|axis| frame.before[axis] + dims[axis + 1] + frame.after[axis]);
        let (row, before) = (sides[2] * channels, frame.before[2] * channels);
        let mut values = Scratch::take(batch * sides[0] * sides[1] * row);
        if !values.is_empty() {
            values.par_chunks_mut(sides[1] * row).enumerate().for_each(|(plane, target)| {
                let (n, z) = (plane / sides[0], plane % sides[0]);
                for (y, target) in target.chunks_exact_mut(row).enumerate() {
                    let (z, y) = (z.wrapping_sub(frame.before[0]), y.wrapping_sub(frame.before[1]));
                    if z >= depth || y >= height {
                        target.fill(T::default());
                        continue;
                    }
                    let (left, rest) = target.split_at_mut(before);
                    let (inside, right) = rest.split_at_mut(width * channels);
                    left.fill(T::default());
                    right.fill(T::default());
                    read((n * depth + z) * height + y, inside);
                }
            });
        }
        let dims = [batch, sides[0], sides[1], sides[2], channels];
        Padded { values: Values::Own(values), dims, frame }
    }

    /// A copy of an image in a frame.
    #[cfg(test)]
    pub(crate) fn copy(image: &[T], dims: [usize; 5], frame: Frame) -> Self {
        Self::filled(dims, frame, &copy_row(image, dims))
    }
}

impl<T: Element> Padded<'_, T> {
    /// From one image, plane, row and voxel to the next.
    pub(crate) fn strides(&self) -> [usize; 4] {
        let [_, d, h, w, c] = self.dims;
        [d * h * w * c, h * w * c, w * c, c]
    }
}

/// Reads the rows of an image in memory.
pub(crate) fn copy_row<T: Element>(image: &[T], dims: [usize; 5]) -> impl Fn(usize, &mut [T]) + Sync {
    let row = dims[3] * dims[4];
    move |index, target| target.copy_from_slice(&image[index * row..][..row])
}
