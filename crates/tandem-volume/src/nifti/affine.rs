//! The grid that a NIfTI header describes, in up to three ways.
use super::fields::Fields;
use crate::{Geometry, Result};

/// How far sform and qform may differ and still be one, in voxels along any axis of the scan's box.
const DISAGREEMENT: f64 = 0.1;

type Affine = [[f64; 4]; 4];

/// The grid in mm: sform where its code is set, else qform, else the spacing alone. What had to be decided on the way
/// goes to `mended`.
pub(super) fn geometry(fields: &Fields, shape: [usize; 3], mended: &mut Vec<String>) -> Result<Geometry> {
    let scale = millimetres(fields, mended);
    let grid = |affine: Affine| {
        let mut affine = affine;
        affine[..3].iter_mut().flatten().for_each(|value| *value *= scale);
        Geometry::from_affine(affine)
    };
    if fields.sform_code > 0 {
        let chosen = grid(sform(fields))?;
        if fields.qform_code > 0 {
            match grid(qform(fields, &mut Vec::new())) {
                Ok(other) if apart(&chosen, &other, shape) <= DISAGREEMENT => {}
                Ok(other) => mended.push(format!(
                    "sform and qform disagree by up to {:.3} voxels; the sform is taken",
                    apart(&chosen, &other, shape)
                )),
                Err(error) => mended.push(format!("the qform is no grid ({error}); the sform is taken")),
            }
        }
        return Ok(chosen);
    }
    if fields.qform_code > 0 {
        return grid(qform(fields, mended));
    }
    mended.push(
        "neither qform_code nor sform_code is set; the axes are taken to run to the right, the front and the head, \
         from (0, 0, 0)"
            .to_owned(),
    );
    let [x, y, z] = spacing(fields, mended);
    grid([[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0], [0.0, 0.0, 0.0, 1.0]])
}

/// What the file's unit of length is in mm.
fn millimetres(fields: &Fields, mended: &mut Vec<String>) -> f64 {
    match fields.xyzt_units & 7 {
        1 => 1000.0, // metres
        2 => 1.0,
        3 => 0.001, // micrometres
        other => {
            mended.push(format!("xyzt_units names no unit of length (code {other}); mm is taken"));
            1.0
        }
    }
}

fn sform(fields: &Fields) -> Affine {
    let [x, y, z] = fields.srow;
    [x, y, z, [0.0, 0.0, 0.0, 1.0]]
}

/// The rotation of a unit quaternion, scaled by `pixdim`; a negative `pixdim[0]` flips the third axis.
fn qform(fields: &Fields, mended: &mut Vec<String>) -> Affine {
    let [b, c, d] = fields.quatern;
    let rest = 1.0 - b * b - c * c - d * d;
    if rest < -1e-5 {
        mended.push("the quaternion of the qform is longer than 1; it is scaled to a rotation".to_owned());
    }
    // As NIfTI's own code has it: less than 1e-7 is the rounding of b, c, d to f32, and its root is no small angle.
    let a = if rest < 1e-7 { 0.0 } else { rest.sqrt() };
    let length = (a * a + b * b + c * c + d * d).sqrt();
    let [a, b, c, d] = [a, b, c, d].map(|part| part / length);
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let [x, y, z] = spacing(fields, mended);
    let flip = if fields.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [x, y, z * flip];
    let row = |row: usize| {
        let [x, y, z] = [0, 1, 2].map(|axis| rotation[row][axis] * scale[axis]);
        [x, y, z, fields.qoffset[row]]
    };
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

/// The spacing in `pixdim`, as nibabel has it: without its signs.
fn spacing(fields: &Fields, mended: &mut Vec<String>) -> [f64; 3] {
    let [_, x, y, z, ..] = fields.pixdim;
    if [x, y, z].iter().any(|&side| side < 0.0) {
        mended.push(format!("pixdim {:?} has negative spacings; their sizes are taken", [x, y, z]));
    }
    [x, y, z].map(f64::abs)
}

/// The farthest that a corner voxel of `other` lies from its place in `grid`, in voxels along any axis.
fn apart(grid: &Geometry, other: &Geometry, shape: [usize; 3]) -> f64 {
    let corners = (0..8usize).map(|corner| {
        [0, 1, 2].map(|axis| if corner >> axis & 1 == 1 { shape[axis] as f64 - 1.0 } else { 0.0 })
    });
    corners.fold(0.0, |most, index| {
        let there = grid.index(other.position(index));
        (0..3).fold(most, |most: f64, axis| most.max((there[axis] - index[axis]).abs()))
    })
}
