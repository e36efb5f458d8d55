//! A block that is pasted from one patch into another.

use crate::method::Step;
use tandem_random::Draws;

/// A block of a patch's voxels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// The patch's sides.
    pub(super) patch: [usize; 3],
    pub(super) start: [usize; 3],
    pub(super) sides: [usize; 3],
}

impl Block {
    /// A block of a share of the patch's sides, anywhere in it.
    pub(super) fn draw(patch: [usize; 3], share: f64, step: Step) -> Self {
        let mut draws = Draws::new(step.seed, "copy-paste", step.index, 0);
        // A side that is a whole number of voxels stays one.
        let sides = patch.map(|side| (side as f64 * share + 1e-9) as usize);
        let start = [0, 1, 2].map(|axis| draws.below(patch[axis] - sides[axis] + 1));
        Block { patch, start, sides }
    }

    /// Patches with this block of others in them.
    pub(super) fn paste<T: Copy>(&self, outside: &[T], inside: &[T]) -> Vec<T> {
        let mut mixed = outside.to_vec();
        let [d, h, w] = self.patch;
        let range = |axis: usize| self.start[axis]..self.start[axis] + self.sides[axis];
        for plane in 0..outside.len() / (d * h * w).max(1) {
            for i in range(0) {
                for j in range(1) {
                    let row = ((plane * d + i) * h + j) * w;
                    let run = row + range(2).start..row + range(2).end;
                    mixed[run.clone()].copy_from_slice(&inside[run]);
                }
            }
        }
        mixed
    }
}
