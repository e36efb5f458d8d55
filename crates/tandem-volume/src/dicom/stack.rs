//! Slices put in order, and the grid that they make.
use std::path::Path;

use super::fault::SeriesFault;
use super::slice::Slice;
use crate::{Error, Geometry, Result};

/// How far a slice may lie from its even place, as a share of the spacing: what headers lose by rounding.
const UNEVEN: f64 = 0.05;

/// How far apart in mm counts as the same place.
const SAME_PLACE_MM: f64 = 0.01;

/// The largest sine of the angle between normal and stack that still counts as none: what [`Geometry`] lets pass.
const TILTED: f64 = 1e-3;

/// The largest difference of two direction cosines that still counts as none.
const TURNED: f64 = 1e-4;

/// The slices of a series in order along their normal, and their grid in RAS+.
pub(super) fn arrange<'a>(slices: &'a [Slice], folder: &Path) -> Result<(Vec<&'a Slice>, Geometry)> {
    let refuse = |fault| Error::Series { folder: folder.to_owned(), fault: Box::new(fault) };
    let first = &slices[0];
    let ([row, column], normal) = (first.axes, normal(first));
    let directions = [0, 1, 2].map(|n| [row[n], column[n], normal[n]]);
    Geometry::new([1.0; 3], first.position, directions)
        .map_err(|error| Error::file(&first.path, format!("ImageOrientationPatient (0020,0037): {error}")))?;
    for other in &slices[1..] {
        alike(first, other).map_err(refuse)?;
    }
    let placed = placed(slices, normal);
    check_places(&placed, normal).map_err(refuse)?;
    let slices: Vec<&Slice> = placed.into_iter().map(|(_, slice)| slice).collect();
    let step = step(&slices, normal)?;
    let affine = affine(slices[0], step);
    let geometry = Geometry::from_affine(affine).map_err(|error| Error::file(folder, error.to_string()))?;
    Ok((slices, geometry))
}

/// The first of some slices, each the only one of its series, that belongs to the series of `slices` by its grid, its kind and
/// its place: with it, or with all such slices, the series is evenly spaced.
pub(super) fn stray<'a>(slices: &[Slice], singles: &[&'a Slice]) -> Option<&'a Slice> {
    let first = &slices[0];
    let normal = normal(first);
    let of_a_kind = |single: &&&Slice| {
        single.modality == first.modality
            && single.description == first.description
            && alike(first, single).is_ok()
    };
    let singles: Vec<&Slice> = singles.iter().filter(of_a_kind).copied().collect();
    let completes = |some: &[&'a Slice]| {
        let together = slices.iter().chain(some.iter().copied());
        check_places(&placed(together, normal), normal).is_ok()
    };
    let one = singles.iter().find(|&&single| completes(&[single]));
    one.or_else(|| singles.first().filter(|_| completes(&singles))).copied()
}

fn normal(slice: &Slice) -> [f64; 3] {
    let [row, column] = slice.axes;
    cross(row, column)
}

/// Slices sorted by their distance along the normal.
fn placed<'a>(slices: impl IntoIterator<Item = &'a Slice>, normal: [f64; 3]) -> Vec<(f64, &'a Slice)> {
    let mut placed: Vec<_> = slices.into_iter().map(|slice| (dot(slice.position, normal), slice)).collect();
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    placed
}

/// Refuses slices that differ in what one grid shares.
fn alike(first: &Slice, other: &Slice) -> Result<(), SeriesFault> {
    let differing = |attribute, first_value: String, second_value: String| {
        Err(SeriesFault::Differing {
            attribute,
            first: first.file_name(),
            first_value,
            second: other.file_name(),
            second_value,
        })
    };
    let far = |a: &[f64], b: &[f64], limit: f64| a.iter().zip(b).any(|(a, b)| (a - b).abs() > limit);
    if first.rows != other.rows {
        return differing("Rows (0028,0010)", first.rows.to_string(), other.rows.to_string());
    }
    if first.columns != other.columns {
        return differing("Columns (0028,0011)", first.columns.to_string(), other.columns.to_string());
    }
    if far(&first.spacing, &other.spacing, TURNED * first.spacing[0].abs()) {
        let shown = |slice: &Slice| format!("{:?} mm", slice.spacing);
        return differing("PixelSpacing (0028,0030)", shown(first), shown(other));
    }
    if far(first.axes.as_flattened(), other.axes.as_flattened(), TURNED) {
        let shown = |slice: &Slice| format!("{:?}", slice.axes);
        return differing("ImageOrientationPatient (0020,0037)", shown(first), shown(other));
    }
    Ok(())
}

/// Refuses places that are not even along the normal; `placed` is sorted by the distance along it.
fn check_places(placed: &[(f64, &Slice)], normal: [f64; 3]) -> Result<(), SeriesFault> {
    let steps: Vec<f64> = placed.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    let names = |n: usize| (placed[n].1.file_name(), placed[n + 1].1.file_name());
    if let Some(n) = steps.iter().position(|&step| step < SAME_PLACE_MM) {
        let (first, second) = names(n);
        return Err(SeriesFault::DuplicatePosition { position_mm: placed[n].0, first, second });
    }
    let Some(largest) = (0..steps.len()).max_by(|&a, &b| steps[a].total_cmp(&steps[b])) else {
        return Ok(()); // one slice
    };
    let [start, end] = [placed[0], placed[placed.len() - 1]];
    let way = minus(end.1.position, start.1.position);
    let along = end.0 - start.0;
    let beside = [0, 1, 2].map(|n| way[n] - along * normal[n]);
    if dot(beside, beside).sqrt() > TILTED * dot(way, way).sqrt() {
        let degrees = dot(beside, beside).sqrt().atan2(along).to_degrees();
        return Err(SeriesFault::GantryTilt { degrees });
    }
    let mut sorted = steps.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[(sorted.len() - 1) / 2];
    let multiples: Vec<f64> = steps.iter().map(|step| (step / usual).round()).collect();
    let whole =
        steps.iter().zip(&multiples).all(|(step, n)| (step - n * usual).abs() <= UNEVEN * usual && *n > 0.0);
    if let Some(n) = multiples.iter().position(|&n| n > 1.0).filter(|_| whole) {
        let (before, after) = names(n);
        let missing = multiples.iter().map(|&n| n as usize - 1).sum();
        return Err(SeriesFault::MissingSlices {
            missing,
            gap_mm: steps[n],
            spacing_mm: usual,
            before,
            after,
        });
    }
    let spacing = along / steps.len() as f64;
    let tolerance = (UNEVEN * spacing).max(SAME_PLACE_MM);
    for (n, (place, slice)) in placed.iter().enumerate() {
        if (place - start.0 - n as f64 * spacing).abs() > tolerance {
            let (before, after) = names(largest);
            let (smallest_mm, largest_mm) = (sorted[0], steps[largest]);
            return Err(SeriesFault::UnevenSpacing { smallest_mm, largest_mm, before, after });
        }
        let share = (place - start.0) / along;
        let off = [0, 1, 2].map(|axis| slice.position[axis] - start.1.position[axis] - share * way[axis]);
        let shift_mm = dot(off, off).sqrt();
        if shift_mm > tolerance {
            return Err(SeriesFault::Sideways { file: slice.file_name(), shift_mm });
        }
    }
    Ok(())
}

/// From one slice to the next, in mm.
fn step(slices: &[&Slice], normal: [f64; 3]) -> Result<[f64; 3]> {
    match slices {
        [one] => {
            let spacing = one.claimed_spacing.filter(|&spacing| spacing > 0.0).ok_or_else(|| {
                Error::file(
                    &one.path,
                    "the series has one slice, and neither SpacingBetweenSlices (0018,0088) nor SliceThickness \
                     (0018,0050) says how thick it is; export the whole series",
                )
            })?;
            Ok(normal.map(|part| part * spacing))
        }
        many => {
            let way = minus(many[many.len() - 1].position, many[0].position);
            Ok(way.map(|part| part / (many.len() - 1) as f64))
        }
    }
}

/// The voxel-to-mm matrix in RAS+: DICOM's x and y grow the other way.
fn affine(first: &Slice, step: [f64; 3]) -> [[f64; 4]; 4] {
    let [row, column] = first.axes;
    let [along_row, along_column] = first.spacing;
    let line = |n: usize, sign: f64| {
        [row[n] * along_row, column[n] * along_column, step[n], first.position[n]].map(|value| sign * value)
    };
    [line(0, -1.0), line(1, -1.0), line(2, 1.0), [0.0, 0.0, 0.0, 1.0]]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|n| a[n] - b[n])
}
