//! The grid that a NRRD header describes.
use super::axes::Axes;
use super::fields::Fields;
use crate::text_header::numbers;
use crate::{Geometry, Result};

/// The grid in RAS+: `space directions` and `space origin` in their space, or `spacings` alone.
pub(super) fn geometry(fields: &Fields, axes: &Axes, mended: &mut Vec<String>) -> Result<Geometry> {
    let grid = match fields.get("space directions") {
        Some(directions) => {
            let signs = space_to_ras(fields)?;
            let scale = millimetres(fields)?;
            let columns = vectors(&axes.of_space(directions)).filter(|vectors| vectors.len() == 3).ok_or_else(|| {
                fields.error(format!(
                    "space directions is {directions:?}, but three vectors of three are needed; correct the header"
                ))
            })?;
            let origin = fields.get("space origin").unwrap_or_else(|| {
                mended.push("space origin is missing; (0,0,0) is taken".to_owned());
                "(0,0,0)"
            });
            let start = vectors(origin).filter(|vectors| vectors.len() == 1).ok_or_else(|| {
                fields.error(format!(
                    "space origin is {origin:?}, but one vector of three is needed; correct the header"
                ))
            })?[0];
            let row = |row: usize| [columns[0][row], columns[1][row], columns[2][row], start[row]];
            let scaled = |axis: usize| row(axis).map(|value| value * signs[axis] * scale);
            Geometry::from_affine([scaled(0), scaled(1), scaled(2), [0.0, 0.0, 0.0, 1.0]])
        }
        None => {
            let spacings = fields.need("spacings")?;
            let spacing = numbers(&axes.of_space(spacings)).ok_or_else(|| {
                fields.error(format!(
                    "spacings is {spacings:?}, but three numbers are needed; correct the header"
                ))
            })?;
            mended.push(
                "space directions is missing; the axes are taken to run to the right, the front and the head, from (0, 0, \
                 0)"
                .to_owned(),
            );
            Geometry::with_spacing(spacing)
        }
    };
    grid.map_err(|error| fields.error(error.to_string()))
}

/// The signs that turn the file's x, y, z into RAS+.
fn space_to_ras(fields: &Fields) -> Result<[f64; 3]> {
    let space = fields.need("space")?;
    match space.to_lowercase().as_str() {
        "ras" | "right-anterior-superior" => Ok([1.0, 1.0, 1.0]),
        "las" | "left-anterior-superior" => Ok([-1.0, 1.0, 1.0]),
        "lps" | "left-posterior-superior" => Ok([-1.0, -1.0, 1.0]),
        _ => Err(fields.error(format!(
            "the space {space:?} is not one of RAS, LAS and LPS; save the file in one of these"
        ))),
    }
}

/// What the file's unit of length is in mm.
fn millimetres(fields: &Fields) -> Result<f64> {
    let Some(units) = fields.get("space units") else { return Ok(1.0) };
    let mut each = units.split_whitespace().map(|unit| unit.trim_matches('"'));
    let first = each.next().unwrap_or_default();
    let scale = match first {
        "mm" | "millimeter" | "millimetre" => 1.0,
        "um" | "µm" | "micron" | "micrometer" => 0.001,
        "cm" => 10.0,
        "m" => 1000.0,
        _ => 0.0,
    };
    if scale == 0.0 || each.any(|unit| unit != first) {
        return Err(
            fields.error(format!("space units is {units:?}; save the file in \"mm\" along all three axes"))
        );
    }
    Ok(scale)
}

/// Vectors of three, such as `(1,0,0) (0,1,0)`; `None` where one is not.
fn vectors(text: &str) -> Option<Vec<[f64; 3]>> {
    let closed = text.split(')').map(str::trim).filter(|part| !part.is_empty());
    closed
        .map(|part| {
            let numbers = part.strip_prefix('(')?.split(',').map(|number| number.trim().parse().ok());
            numbers.collect::<Option<Vec<f64>>>()?.try_into().ok()
        })
        .collect()
}
