//! Overlap of two surfaces at a tolerance.

use crate::bits::{Bits, ones};
use crate::surface_elements::{CODES, areas, borders, code};
use crate::{Comparison, Error, Metric, Score, Undefined};
use rayon::prelude::*;
use std::borrow::Cow;

/// Normalised surface Dice at a tolerance: the share of both surfaces' area that lies no farther than the tolerance from
/// the other surface; 0 where one mask is empty, undefined where both are.
///
/// The surface runs between the voxels' centres: at each corner where eight voxels meet and not all of them are of the
/// mask lies a surface element, whose area is that of the triangles which marching cubes puts there. An element is as
/// far from the other surface as its corner from the nearest corner with an element of that one.
///
/// # References
/// S. Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for radiotherapy", Journal of Medical
/// Internet Research 23 (2021); areas and distances are those of its code, `surface-distance`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nsd {
    tolerance: f64,
}

impl Nsd {
    /// At a tolerance in mm.
    ///
    /// # Errors
    /// Where the tolerance is not a finite number of 0 or more.
    pub fn new(tolerance: f64) -> Result<Self, Error> {
        if !tolerance.is_finite() || tolerance < 0.0 {
            return Err(Error::Tolerance(tolerance));
        }
        Ok(Nsd { tolerance })
    }
}

impl Metric for Nsd {
    fn name(&self) -> Cow<'static, str> {
        format!("nsd_{}mm", self.tolerance).into()
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn measure(&self, comparison: &Comparison) -> Score {
        match comparison.emptiness() {
            Some(Undefined::BothEmpty) => return Score::Undefined(Undefined::BothEmpty),
            Some(_) => return Score::Value(0.0),
            None => {}
        }
        let [prediction, reference] = comparison.masks();
        let of = [borders(prediction), borders(reference)];
        let rows = rows_within(self.tolerance, comparison.spacing(), of[0].shape());
        let of_prediction = count(prediction, &of[0], &of[1], &rows);
        let of_reference = count(reference, &of[1], &of[0], &rows);
        let areas = areas(comparison.spacing());
        let area = |counts: [&Counts; 2]| -> f64 {
            (0..CODES).map(|code| (counts[0][code] + counts[1][code]) as f64 * areas[code]).sum()
        };
        Score::Value(
            area([&of_prediction.near, &of_reference.near]) / area([&of_prediction.all, &of_reference.all]),
        )
    }
}

/// How many surface elements of each kind there are.
type Counts = [usize; CODES];

struct Elements {
    all: Counts,
    /// Those within the tolerance.
    near: Counts,
}

/// A row of corners beside another one, and how far along k its corners are still within the tolerance.
struct Row {
    along_i: isize,
    along_j: isize,
    reach: usize,
}

/// All rows that hold a corner within the tolerance of a corner, the nearest first.
fn rows_within(tolerance: f64, [si, sj, sk]: [f64; 3], [ni, nj, nk]: [usize; 3]) -> Vec<Row> {
    // As the distance of two corners is computed there, to the last bit: a distance that equals the tolerance counts.
    let distance = |i: isize, j: isize, k: usize| {
        let squares = [i as f64 * si, j as f64 * sj, k as f64 * sk].map(|offset| offset * offset);
        (squares[0] + squares[1] + squares[2]).sqrt()
    };
    let range = |step: f64, side: usize| {
        let most = (tolerance / step).ceil().min(side as f64) as isize;
        -most..=most
    };
    let mut rows = Vec::new();
    for (along_i, along_j) in
        range(si, ni).flat_map(|along_i| range(sj, nj).map(move |along_j| (along_i, along_j)))
    {
        let within = (0..nk).take_while(|&k| distance(along_i, along_j, k) <= tolerance).last();
        rows.extend(within.map(|reach| Row { along_i, along_j, reach }));
    }
    rows.sort_by(|a, b| distance(a.along_i, a.along_j, 0).total_cmp(&distance(b.along_i, b.along_j, 0)));
    rows
}

/// Counts the surface elements of a mask, and those of them that have an element of the other one within the tolerance.
fn count(mask: &Bits, own: &Bits, other: &Bits, rows: &[Row]) -> Elements {
    let [ni, nj, _] = own.shape();
    let none = || Elements { all: [0; CODES], near: [0; CODES] };
    let of_plane = |mut elements: Elements, i: usize| {
        for j in 0..nj {
            let near = |k: usize| {
                rows.iter().any(|row| {
                    let at = (i.checked_add_signed(row.along_i), j.checked_add_signed(row.along_j));
                    let (Some(i), Some(j)) = at else { return false };
                    other.row(i, j).is_some_and(|corners| any_within(corners, k, row.reach))
                })
            };
            for k in own.row(i, j).into_iter().flat_map(ones) {
                let code = code(mask, [i, j, k]);
                elements.all[code] += 1;
                elements.near[code] += usize::from(near(k));
            }
        }
        elements
    };
    let add = |mut a: Elements, b: Elements| {
        a.all.iter_mut().zip(b.all).for_each(|(a, b)| *a += b);
        a.near.iter_mut().zip(b.near).for_each(|(a, b)| *a += b);
        a
    };
    (0..ni).into_par_iter().fold(none, of_plane).reduce(none, add)
}

/// Whether a row has a bit that is at most `reach` places from `k`.
fn any_within(row: &[u64], k: usize, reach: usize) -> bool {
    let (first, last) = (k.saturating_sub(reach), (k + reach).min(64 * row.len() - 1));
    let (first_word, last_word) = (first / 64, last / 64);
    let (from_first, to_last) = (u64::MAX << (first % 64), u64::MAX >> (63 - last % 64));
    if first_word == last_word {
        return row[first_word] & from_first & to_last != 0;
    }
    row[first_word] & from_first != 0
        || row[last_word] & to_last != 0
        || row[first_word + 1..last_word].iter().any(|word| *word != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_searched_to_the_last_voxel_of_the_reach() {
        let mut row = [0u64; 4];
        for place in [0, 63, 64, 127, 200] {
            row[place / 64] = 1 << (place % 64);
            for k in 0..256 {
                for reach in [0, 1, 5, 64, 130, 300] {
                    assert_eq!(any_within(&row, k, reach), place.abs_diff(k) <= reach, "{place} {k} {reach}");
                }
            }
            row[place / 64] = 0;
        }
    }

    #[test]
    fn a_tolerance_is_a_length() {
        assert_eq!(Nsd::new(2.5).unwrap().name(), "nsd_2.5mm");
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Nsd::new(wrong).unwrap_err().to_string().contains("tolerance"));
        }
    }
}
