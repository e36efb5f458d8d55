//! Which taps of a convolution meet its image, and where.

use super::Class;
use std::ops::Range;

/// Positions of a class along D and H, and groups in a row, and the taps that count there.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) class: &'a Class,
    pub(super) at: [Range<usize>; 3],
    /// Of the voxels that the class reads along each axis.
    pub(super) taps: [Range<usize>; 3],
}

impl<'a> Part<'a> {
    /// All of a class: some taps may meet the zeros around an image.
    pub(super) fn whole(class: &'a Class) -> Self {
        Part { class, at: class.at(), taps: class.reads.each_ref().map(|reads| 0..reads.len()) }
    }

    /// A class by the taps that meet an image of such sides, positions `step` apart: no zeros are read.
    pub(super) fn inside(class: &'a Class, sides: [usize; 3], step: [usize; 3]) -> Vec<Self> {
        let at = class.at();
        let [d, h, w] = [0, 1, 2].map(|axis| cut(&at[axis], &class.reads[axis], sides[axis], step[axis]));
        let mut parts = Vec::new();
        for d in &d {
            for h in &h {
                for w in &w {
                    let axes = [d, h, w];
                    let (at, taps) = (axes.map(|axis| axis.at.clone()), axes.map(|axis| axis.taps.clone()));
                    parts.push(Part { class, at, taps });
                }
            }
        }
        parts
    }

    /// What of it lies among some positions along D and H.
    pub(super) fn among(&self, positions: &[Range<usize>; 2]) -> Option<Self> {
        let mut part = self.clone();
        for (at, positions) in part.at.iter_mut().zip(positions) {
            *at = at.start.max(positions.start)..at.end.min(positions.end);
        }
        part.at.iter().all(|at| !at.is_empty()).then_some(part)
    }

    /// Whether all taps count.
    pub(super) fn is_whole(&self) -> bool {
        (0..3).all(|axis| self.taps[axis].len() == self.class.reads[axis].len())
    }

    /// Whether nothing but the bias is left.
    pub(super) fn reads_nothing(&self) -> bool {
        self.taps.iter().any(Range::is_empty)
    }

    /// The first voxel that a position reads.
    pub(super) fn first_read(&self, at: [usize; 3], step: [usize; 3]) -> [isize; 3] {
        [0, 1, 2].map(|i| self.class.reads[i].start + (self.taps[i].start + at[i] * step[i]) as isize)
    }
}

/// Neighbouring positions along an axis by which the same taps meet the image.
struct Stretch {
    at: Range<usize>,
    taps: Range<usize>,
}

fn cut(at: &Range<usize>, reads: &Range<isize>, side: usize, step: usize) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for position in at.clone() {
        let first = reads.start + (position * step) as isize;
        let end = (side as isize - first).clamp(0, reads.len() as isize) as usize;
        let taps = (-first).clamp(0, end as isize) as usize..end;
        match stretches.last_mut() {
            Some(last) if last.taps == taps => last.at.end = position + 1,
            _ => stretches.push(Stretch { at: position..position + 1, taps }),
        }
    }
    stretches
}
