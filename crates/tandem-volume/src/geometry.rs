//! Where the voxels of an array lie in the patient.
use crate::{Error, Result};

/// The largest cosine between two axes that still counts as a right angle: what headers in f32 lose by rounding.
const SKEW: f64 = 1e-3;

/// How far two grids may lie apart at any corner and still be one, in mm: what headers in f32 lose by rounding.
pub(crate) const SAME_GRID_MM: f64 = 0.01;

/// The physical grid of an array `[i, j, k]`: spacing in mm, position of voxel (0, 0, 0), and direction of the axes.
///
/// The world is NIfTI's RAS+: x grows to the patient's right, y to the front, z to the head, all in mm. Positions are
/// those of voxel centres. The spacing is positive and finite, and the axes are unit vectors at right angles; they may
/// be left-handed.
///
/// ```
/// use tandem_volume::Geometry;
/// let grid = Geometry::with_spacing([0.625, 0.625, 2.5])?;
/// assert_eq!(grid.position([2.0, 0.0, 1.0]), [1.25, 0.0, 2.5]);
/// # Ok::<(), tandem_volume::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    spacing: [f64; 3],
    origin: [f64; 3],
    /// `direction[row][axis]`: column `axis` is the unit vector along that voxel axis.
    direction: [[f64; 3]; 3],
}

impl Geometry {
    /// A grid with `spacing` in mm along i, j, k, voxel (0, 0, 0) centred at `origin` in mm, and unit axes in the
    /// columns of `direction` (`direction[row][axis]`).
    ///
    /// # Errors
    /// Where the spacing is not positive and finite, the origin is not finite, or the columns of `direction` are not
    /// unit vectors at right angles (to 0.001).
    pub fn new(spacing: [f64; 3], origin: [f64; 3], direction: [[f64; 3]; 3]) -> Result<Self> {
        if !spacing.iter().all(|&s| s.is_finite() && s > 0.0) {
            return Err(Error::Geometry(format!(
                "the spacing {spacing:?} mm is not positive and finite along every axis; correct the file's header"
            )));
        }
        if !origin.iter().all(|x| x.is_finite()) {
            return Err(Error::Geometry(format!(
                "the origin {origin:?} mm is not finite; correct the file's header"
            )));
        }
        let columns = [0, 1, 2].map(|axis| column(&direction, axis));
        for a in 0..3 {
            for b in a..3 {
                let product = dot(columns[a], columns[b]);
                // A comparison that NaN fails.
                let right = (product - if a == b { 1.0 } else { 0.0 }).abs() <= SKEW;
                if !right {
                    return Err(Error::Geometry(format!(
                        "the direction {direction:?} has skewed or unscaled axes; resample the scan to a grid with \
                         right angles"
                    )));
                }
            }
        }
        Ok(Geometry { spacing, origin, direction })
    }

    /// A grid with the same spacing in mm along all axes, at the origin, along the world's axes.
    ///
    /// # Errors
    /// Where `spacing` is not positive and finite.
    pub fn isotropic(spacing: f64) -> Result<Self> {
        Self::with_spacing([spacing; 3])
    }

    /// A grid with `spacing` in mm along i, j, k, at the origin, along the world's axes.
    ///
    /// # Errors
    /// Where the spacing is not positive and finite.
    pub fn with_spacing(spacing: [f64; 3]) -> Result<Self> {
        Self::new(spacing, [0.0; 3], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    }

    /// The grid of a voxel-to-mm matrix in RAS+, as NIfTI's sform has it (its last row is not looked at).
    ///
    /// # Errors
    /// Where the matrix has a zero or non-finite column, or axes that are not at right angles (to 0.001).
    pub fn from_affine(affine: [[f64; 4]; 4]) -> Result<Self> {
        let spacing = [0, 1, 2].map(|axis| {
            let column = [affine[0][axis], affine[1][axis], affine[2][axis]];
            dot(column, column).sqrt()
        });
        let origin = [affine[0][3], affine[1][3], affine[2][3]];
        let direction = [0, 1, 2].map(|row| [0, 1, 2].map(|axis| affine[row][axis] / spacing[axis]));
        Self::new(spacing, origin, direction)
    }

    /// The voxel-to-mm matrix in RAS+.
    pub fn affine(&self) -> [[f64; 4]; 4] {
        let mut affine = [[0.0, 0.0, 0.0, 1.0]; 4];
        for row in 0..3 {
            for axis in 0..3 {
                affine[row][axis] = self.direction[row][axis] * self.spacing[axis];
            }
            affine[row][3] = self.origin[row];
        }
        affine
    }

    /// Distance between neighbouring voxels along i, j, k in mm.
    pub fn spacing(&self) -> [f64; 3] {
        self.spacing
    }

    /// Centre of voxel (0, 0, 0) in mm.
    pub fn origin(&self) -> [f64; 3] {
        self.origin
    }

    /// Unit axes in columns: `direction[row][axis]`.
    pub fn direction(&self) -> [[f64; 3]; 3] {
        self.direction
    }

    /// The position in mm of a (fractional) voxel index.
    pub fn position(&self, index: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|row| {
            let along = |axis: usize| self.direction[row][axis] * self.spacing[axis] * index[axis];
            self.origin[row] + along(0) + along(1) + along(2)
        })
    }

    /// The (fractional) voxel index of a position in mm.
    pub fn index(&self, position: [f64; 3]) -> [f64; 3] {
        let offset = [0, 1, 2].map(|row| position[row] - self.origin[row]);
        // The axes are orthonormal, so the inverse of the direction is its transpose.
        [0, 1, 2].map(|axis| dot(column(&self.direction, axis), offset) / self.spacing[axis])
    }

    /// The grid whose voxel (0, 0, 0) is this one's (fractional) voxel `start`: what a crop or a padding has.
    ///
    /// # Errors
    /// Where the new origin is not finite.
    pub fn starting_at(&self, start: [f64; 3]) -> Result<Self> {
        Self::new(self.spacing, self.position(start), self.direction)
    }

    /// The largest distance in mm between the corner voxels of two arrays of `shape` on this grid and on `other`.
    pub fn corner_shift(&self, other: &Geometry, shape: [usize; 3]) -> f64 {
        let shift = |corner: usize| {
            let index = [0, 1, 2]
                .map(|axis| if corner >> axis & 1 == 1 { shape[axis].max(1) as f64 - 1.0 } else { 0.0 });
            let (here, there) = (self.position(index), other.position(index));
            let apart = [0, 1, 2].map(|n| there[n] - here[n]);
            dot(apart, apart).sqrt()
        };
        (0..8).map(shift).fold(0.0, f64::max)
    }

    /// Whether two arrays of `shape` lie on one grid: no corner voxel of `other` is farther than 0.01 mm from its own
    /// place here.
    pub fn same_grid(&self, other: &Geometry, shape: [usize; 3]) -> bool {
        self.corner_shift(other, shape) <= SAME_GRID_MM
    }
}

/// Column `axis` of a matrix of rows.
fn column(matrix: &[[f64; 3]; 3], axis: usize) -> [f64; 3] {
    [matrix[0][axis], matrix[1][axis], matrix[2][axis]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests;
