//! Where everything lies. The frame of the anatomy has the atrium's centre at the origin and is in mm: x to the
//! patient's left, y to the back, z to the head. A scan sees it turned and bent.

mod atrium;
mod organs;

use tandem_random::Draws;

use super::pose::Pose;
use super::shape::Point;
pub(super) use atrium::{Atrium, BLEND_MM, blended};
pub(super) use organs::Organ;

/// The part of a scan's frame that the box is looked for in, and the margin of the fields around it, in mm.
const SEARCH: Point = [85.0, 65.0, 50.0];
/// The step of that search, in mm. It is the same for every spacing, so that the box is, too.
const SEARCH_STEP: f32 = 2.5;
/// The box has the depth of the benchmark's scans, and room for its patch in the plane, in mm.
const DEPTH: f32 = 55.0;
const PATCH: f32 = 70.0;

/// The anatomy of one scan.
pub(super) struct Anatomy {
    pub(super) atrium: Atrium,
    /// In the order in which they are painted.
    pub(super) organs: Vec<Organ>,
    pose: Pose,
}

impl Anatomy {
    pub(super) fn draw(seed: u64, index: u64) -> Self {
        let draws = |purpose| Draws::new(seed, purpose, 0, index);
        let pose = Pose::draw(&mut draws("phantom-pose"));
        let atrium = Atrium::draw(&mut draws("phantom-atrium"));
        let organs = organs::draw(&atrium, &mut draws("phantom-organs"));
        Anatomy { atrium, organs, pose }
    }

    /// Where in the anatomy a point of the scan lies.
    pub(super) fn place(&self, p: Point) -> Point {
        self.pose.place(p)
    }

    /// The corners of the scan's box in mm: around the label in the plane, with margins as the LA benchmark's; of one
    /// depth along z, the label somewhere in the middle.
    pub(super) fn field_of_view(&self, seed: u64, index: u64) -> [Point; 2] {
        let [mut low, mut high] = self.label_bounds();
        let mut draws = Draws::new(seed, "phantom-box", 0, index);
        for axis in 0..2 {
            let extra = (PATCH - (high[axis] - low[axis])).max(0.0) / 2.0;
            low[axis] -= extra + draws.uniform_in(6.25, 12.5) as f32;
            high[axis] += extra + draws.uniform_in(6.25, 12.5) as f32;
        }
        let middle = 0.5 * (low[2] + high[2]) + draws.uniform_in(-4.0, 4.0) as f32;
        (low[2], high[2]) = (middle - 0.5 * DEPTH, middle + 0.5 * DEPTH);
        [low, high]
    }

    fn label_bounds(&self) -> [Point; 2] {
        let (mut low, mut high) = ([f32::MAX; 3], [f32::MIN; 3]);
        let steps = SEARCH.map(|half| (2.0 * half / SEARCH_STEP) as usize + 1);
        for i in 0..steps[0] {
            for j in 0..steps[1] {
                for k in 0..steps[2] {
                    let index = [i, j, k];
                    let p = [0, 1, 2].map(|a| index[a] as f32 * SEARCH_STEP - SEARCH[a]);
                    if blended(&self.atrium.parts, self.place(p)) < 0.0 {
                        low = [0, 1, 2].map(|a| low[a].min(p[a]));
                        high = [0, 1, 2].map(|a| high[a].max(p[a]));
                    }
                }
            }
        }
        [low, high]
    }
}
