//! How a scan sees an anatomy: turned and bent.

use tandem_random::Draws;

use super::field::Field;
use super::shape::{Matrix, Point, along, rotation, times};
use super::variation::bounded;

/// Distance of the nodes of the deformation, and its amplitude, in mm.
const BEND_STEP: f32 = 24.0;
const BEND: f64 = 3.0;

/// A rotation and a low-frequency deformation.
pub(super) struct Pose {
    turn: Matrix,
    bend: [Field; 3],
    bend_mm: f32,
}

impl Pose {
    pub(super) fn draw(draws: &mut Draws) -> Self {
        let turn = rotation([0.14, 0.14, 0.2].map(|sd| (sd * bounded(draws)) as f32));
        let bend_mm = draws.uniform_in(0.5 * BEND, BEND) as f32;
        // Turned, the scan still fits.
        let bounds = [[-110.0; 3], [110.0; 3]];
        let bend = [(); 3].map(|()| Field::draw(bounds, BEND_STEP, draws));
        Pose { turn, bend, bend_mm }
    }

    /// Where in the anatomy a point of the scan lies.
    pub(super) fn place(&self, p: Point) -> Point {
        let p = times(&self.turn, p);
        let [x, y, z] = &self.bend;
        along(p, [x.at(p), y.at(p), z.at(p)], self.bend_mm)
    }
}
