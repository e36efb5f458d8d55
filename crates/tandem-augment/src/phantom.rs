//! Synthetic scans: LGE-like MRI of a left atrium in a box of other anatomy ([`generate`]), and CT of a pancreas among its
//! neighbours ([`generate_abdomen`]).
//!
//! A phantom is drawn in millimetres, so that it can be asked for at any spacing: first the organs (smooth unions of
//! ellipsoids and of tubes along curved centre lines), their pose and a low-frequency deformation, then intensities,
//! border widths, bias field and noise; both together give the voxels. As in the LA benchmark, the label is the cavity
//! of the atrium with its appendage and the first piece of each pulmonary vein, cut at a distance that no border in
//! the image shows; the box is cut around the label, and intensities are like z-scores of a scan larger than the box.
//!
//! What makes it hard on purpose: shape, pose and contrast vary widely between scans; the atrium opens into the left
//! ventricle; aorta, ventricle and the far veins may be brighter than, as bright as, or darker than the atrium; in
//! some scans blood hardly differs from muscle. What a phantom is not: real anatomy, or a stand-in for real data in
//! any claim about patients.

mod abdomen;
mod anatomy;
mod contrast;
mod field;
mod grid;
mod paint;
mod pose;
mod render;
mod shape;
#[cfg(test)]
mod tests;
mod variation;

use serde::{Deserialize, Serialize};
use tandem_volume::{Geometry, Subject, Volume};

use crate::{AugmentError, Result, z_score_in_place};
pub use abdomen::{ABDOMEN_SPACING_MM, generate_abdomen};
use anatomy::Anatomy;
use contrast::Contrast;
use grid::Grid;
use render::Renderer;

/// Which phantom.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomParams {
    /// Seed of the whole set.
    pub seed: u64,
    /// Number of the scan in the set. Two indices share nothing.
    pub index: u64,
    /// Spacing along i, j, k in mm, 0.3 to 5. The anatomy does not depend on it.
    pub spacing_mm: [f64; 3],
}

impl PhantomParams {
    /// Scan `index` of the set of `seed`, at the LA benchmark's 0.625 mm.
    pub fn new(seed: u64, index: u64) -> Self {
        PhantomParams { seed, index, spacing_mm: [0.625; 3] }
    }
}

/// The phantom that `params` name: a labelled subject called `phantom-INDEX`, label 1 = left atrium.
///
/// At 0.625 mm it has about 190 x 140 x 88 voxels, varying from scan to scan. Axis i runs to the patient's left, j to
/// the back, k to the head. The same parameters give the same voxels, whatever the number of threads.
///
/// ```
/// use tandem_augment::phantom::{PhantomParams, generate};
/// let subject = generate(&PhantomParams { spacing_mm: [2.5; 3], ..PhantomParams::new(1337, 0) })?;
/// assert!(subject.label().is_some());
/// # Ok::<(), tandem_augment::AugmentError>(())
/// ```
///
/// # Errors
/// Where a spacing is out of range.
pub fn generate(params: &PhantomParams) -> Result<Subject> {
    let spacing = checked_spacing(params.spacing_mm)?;
    let anatomy = Anatomy::draw(params.seed, params.index);
    let contrast = Contrast::draw(params.seed, params.index);
    let bounds = anatomy.field_of_view(params.seed, params.index);
    let grid = Grid::covering(bounds, spacing.map(|mm| mm as f32));
    let (mut image, label) = Renderer::new(params, &anatomy, &contrast, &grid).render();
    z_score_in_place(&mut image)?;
    image.mapv_inplace(|score| contrast.mean + contrast.deviation * score);
    let geometry = Geometry::new(spacing, origin_of(&grid), direction_of_frame())?;
    let label = Volume::new(label, geometry.clone());
    Ok(Subject::new(format!("phantom-{:03}", params.index), Volume::new(image, geometry), Some(label))?)
}

fn checked_spacing(spacing: [f64; 3]) -> Result<[f64; 3]> {
    if !spacing.iter().all(|mm| (0.3..=5.0).contains(mm)) {
        return Err(AugmentError::PhantomSpacing { spacing });
    }
    Ok(spacing)
}

/// Right to left, front to back, feet to head, seen from RAS+ world axes.
fn direction_of_frame() -> [[f64; 3]; 3] {
    [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
}

/// The first voxel of a grid in RAS+, in mm.
fn origin_of(grid: &Grid) -> [f64; 3] {
    let [x, y, z] = grid.point([0; 3]).map(f64::from);
    [-x, -y, z]
}
