//! Synthetic CT of the upper abdomen, with the pancreas as label.
//!
//! Drawn like the phantoms of the atrium: organs in millimetres, their pose and deformation, then HU, border widths and
//! noise; both together give the voxels of one box of 154 x 154 x 150 mm.
//!
//! What makes it hard on purpose: the pancreas is a thin curved organ of lobules with fat between them; the duodenum that
//! holds its head, stomach, bowel and muscles have nearly its HU and touch it, each in a shade of its own from scan to scan;
//! noise hides borders. What a phantom is not: real anatomy, or a stand-in for real data in any claim about patients.

mod organs;
mod render;
#[cfg(test)]
mod tests;

use tandem_random::Draws;
use tandem_volume::{Geometry, Subject, Volume};

use super::grid::Grid;
use super::pose::Pose;
use super::shape::{Matrix, Point, Shape};
use super::{PhantomParams, checked_spacing, direction_of_frame, origin_of};
use crate::Result;
use organs::Organ;
use render::Renderer;

/// The box of a scan, half of it on every side of the origin, in mm.
const HALF_MM: Point = [76.8, 76.8, 75.0];

/// Spacing of the phantoms along i, j, k where nothing else is said, in mm: 128 x 128 x 100 voxels.
pub const ABDOMEN_SPACING_MM: [f64; 3] = [1.2, 1.2, 1.5];

/// The abdomen that `params` name, a CT in whole HU: a labelled subject called `abdomen-INDEX`, label 1 = pancreas.
///
/// Axis i runs to the patient's left, j to the back, k to the head. The same parameters give the same voxels, whatever
/// the number of threads.
///
/// ```
/// use tandem_augment::phantom::{PhantomParams, generate_abdomen};
/// let subject = generate_abdomen(&PhantomParams { spacing_mm: [4.0; 3], ..PhantomParams::new(1337, 0) })?;
/// assert_eq!(subject.image().shape(), [38, 38, 38]);
/// # Ok::<(), tandem_augment::AugmentError>(())
/// ```
///
/// # Errors
/// Where a spacing is out of range.
pub fn generate_abdomen(params: &PhantomParams) -> Result<Subject> {
    let spacing = checked_spacing(params.spacing_mm)?;
    let abdomen = Abdomen::draw(params.seed, params.index);
    let grid = Grid::covering([HALF_MM.map(|mm| -mm), HALF_MM], spacing.map(|mm| mm as f32));
    let (image, label) = Renderer::new(params, &abdomen, &grid).render();
    let geometry = Geometry::new(spacing, origin_of(&grid), direction_of_frame())?;
    let label = Volume::new(label, geometry.clone());
    Ok(Subject::new(format!("abdomen-{:03}", params.index), Volume::new(image, geometry), Some(label))?)
}

/// One patient, and how the scanner sees this one.
struct Abdomen {
    /// In the order in which they are painted.
    organs: Vec<Organ>,
    /// The pancreas, painted last.
    pancreas: Vec<Shape>,
    pose: Pose,
    appearance: Appearance,
}

/// What differs in the look of scans. Values in HU where nothing else is said.
struct Appearance {
    pancreas: f32,
    fat: f32,
    /// Share of fat in the clefts between lobules.
    infiltration: f32,
    /// Amplitude of the texture inside tissues.
    texture: f32,
    /// Standard deviation of the noise.
    noise: f32,
    /// Half the width of a border in mm.
    edge_mm: f32,
}

impl Abdomen {
    fn draw(seed: u64, index: u64) -> Self {
        let draws = |purpose| Draws::new(seed, purpose, 0, index);
        let pose = Pose::draw(&mut draws("abdomen-pose"));
        let mut look = draws("abdomen-appearance");
        let mut within = |low: f64, high: f64| look.uniform_in(low, high) as f32;
        let appearance = Appearance {
            pancreas: within(70.0, 115.0),
            fat: within(-115.0, -85.0),
            infiltration: within(0.2, 0.8),
            texture: within(3.0, 8.0),
            noise: within(10.0, 20.0),
            edge_mm: within(0.8, 1.4),
        };
        let pancreas = organs::pancreas(&mut draws("abdomen-pancreas"));
        let organs = organs::neighbours(appearance.pancreas, &mut draws("abdomen-organs"));
        Abdomen { organs, pancreas, pose, appearance }
    }
}

/// No turn.
const UPRIGHT: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
