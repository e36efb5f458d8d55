//! Which way the axes of a volume run.
use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayView3, Axis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Geometry, Result, Volume};

/// The letters of the world's axes: where they grow to, and where they come from.
const LETTERS: [[char; 2]; 3] = [['R', 'L'], ['A', 'P'], ['S', 'I']];

/// The six ways to lay three axes along the world's.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Where the voxel axes i, j, k run to: right or left, anterior or posterior, superior or inferior.
///
/// Its text is a code of three letters, as nibabel writes it: in `RAS`, i grows to the patient's right.
///
/// ```
/// use tandem_volume::{Geometry, Orientation};
/// let grid = Geometry::new([1.0; 3], [0.0; 3], [[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])?;
/// assert_eq!(Orientation::of(&grid).to_string(), "SLP");
/// assert_eq!(Orientation::of(&grid), "SLP".parse()?);
/// # Ok::<(), tandem_volume::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    /// For each voxel axis, the world axis along it, and whether the two run the same way.
    axes: [(usize, bool); 3],
}

impl Orientation {
    /// i to the right, j to the front, k to the head: the world's own axes.
    pub const RAS: Orientation = Orientation { axes: [(0, true), (1, true), (2, true)] };

    /// The orientation of a grid; for an oblique one, the code whose axes are nearest to it together.
    pub fn of(geometry: &Geometry) -> Self {
        let direction = geometry.direction();
        let fit = |order: &[usize; 3]| (0..3).map(|axis| direction[order[axis]][axis].abs()).sum::<f64>();
        let nearest = ORDERS
            .iter()
            .skip(1)
            .fold(ORDERS[0], |best, order| if fit(order) > fit(&best) { *order } else { best });
        Orientation { axes: [0, 1, 2].map(|axis| (nearest[axis], direction[nearest[axis]][axis] > 0.0)) }
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.axes
            .iter()
            .try_for_each(|&(world, forward)| write!(f, "{}", LETTERS[world][usize::from(!forward)]))
    }
}

impl Serialize for Orientation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Orientation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Orientation {
    type Err = Error;

    /// # Errors
    /// Where the text is not one letter each of R or L, A or P, S or I.
    fn from_str(code: &str) -> Result<Self> {
        let axis = |letter: char| {
            let world = LETTERS.iter().position(|pair| pair.contains(&letter))?;
            Some((world, LETTERS[world][0] == letter))
        };
        let axes: Option<Vec<_>> = code.chars().map(axis).collect();
        let axes = axes.and_then(|axes| <[_; 3]>::try_from(axes).ok());
        axes.filter(|axes| (0..3).all(|world| axes.iter().any(|axis| axis.0 == world)))
            .map(|axes| Orientation { axes })
            .ok_or_else(|| {
                Error::Argument(format!(
                    "{code:?} is no orientation; write one letter each of R or L, A or P, S or I, such as RAS"
                ))
            })
    }
}

impl<T> Volume<T> {
    /// The voxels as seen along axes that run as `to` says, and their spacing: a view of the same memory.
    pub fn seen_as(&self, to: Orientation) -> (ArrayView3<'_, T>, [f64; 3]) {
        let source = self.sources(to);
        let mut array = self.array().view().permuted_axes(source.map(|(axis, _)| axis));
        for (new, _) in source.iter().enumerate().filter(|(_, (_, flipped))| *flipped) {
            array.invert_axis(Axis(new));
        }
        (array, source.map(|(axis, _)| self.geometry().spacing()[axis]))
    }

    /// For each new axis, the old one along the same world axis, and whether it is turned round.
    fn sources(&self, to: Orientation) -> [(usize, bool); 3] {
        let from = Orientation::of(self.geometry());
        to.axes.map(|(world, forward)| {
            let axis = from.axes.iter().position(|axis| axis.0 == world).unwrap_or(world);
            (axis, forward != from.axes[axis].1)
        })
    }
}

impl<T: Clone> Volume<T> {
    /// The same voxels in the same places of the patient, with axes that run as `to` says: an exact permutation and
    /// flip. An oblique volume stays oblique.
    ///
    /// # Errors
    /// Where a corner of the volume is too far away for a number.
    pub fn reoriented(&self, to: Orientation) -> Result<Self> {
        let old = self.geometry();
        let source = self.sources(to);
        let (array, spacing) = self.seen_as(to);
        let mut start = [0.0; 3];
        for &(axis, _) in source.iter().filter(|(_, flipped)| *flipped) {
            start[axis] = self.shape()[axis].saturating_sub(1) as f64;
        }
        let direction = old
            .direction()
            .map(|row| source.map(|(axis, flipped)| if flipped { -row[axis] } else { row[axis] }));
        Ok(Volume::new(array.to_owned(), Geometry::new(spacing, old.position(start), direction)?))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn codes_are_read_and_written() {
        for code in ["RAS", "LPI", "SAL", "PIR"] {
            assert_eq!(code.parse::<Orientation>().unwrap().to_string(), code);
        }
        for bad in ["", "RA", "RASS", "RAL", "RAX", "ras", "RRS"] {
            let message = bad.parse::<Orientation>().unwrap_err().to_string();
            assert!(message.contains("is no orientation"), "{message}");
        }
    }

    /// A scan with axes 20 degrees off the world's.
    fn oblique() -> Volume<f32> {
        let (s, c) = 20f64.to_radians().sin_cos();
        let grid = Geometry::new(
            [0.5, 0.7, 2.0],
            [10.0, -20.0, 30.0],
            [[-c, 0.0, s], [-s, 0.0, -c], [0.0, -1.0, 0.0]],
        );
        Volume::new(
            Array3::from_shape_fn([4, 3, 2], |(i, j, k)| (100 * i + 10 * j + k) as f32),
            grid.unwrap(),
        )
    }

    #[test]
    fn every_voxel_keeps_its_place_in_all_48_orientations() {
        let scan = oblique();
        assert_eq!(Orientation::of(scan.geometry()).to_string(), "LIP");
        for [a, b, c] in ORDERS {
            for signs in 0..8 {
                let letter = |world: usize, n: usize| LETTERS[world][signs >> n & 1];
                let code = String::from_iter([letter(a, 0), letter(b, 1), letter(c, 2)]);
                let turned = scan.reoriented(code.parse().unwrap()).unwrap();
                assert_eq!(Orientation::of(turned.geometry()).to_string(), code);
                for ((i, j, k), &value) in turned.array().indexed_iter() {
                    let place = turned.geometry().position([i as f64, j as f64, k as f64]);
                    let index = scan.geometry().index(place);
                    let voxel = index.map(f64::round);
                    assert!((0..3).all(|n| (index[n] - voxel[n]).abs() < 1e-9), "{code} {index:?}");
                    assert_eq!(scan.array()[voxel.map(|n| n as usize)], value, "{code}");
                }
                let back = turned.reoriented("LIP".parse().unwrap()).unwrap();
                assert_eq!(back.array(), scan.array());
                assert!(back.geometry().corner_shift(scan.geometry(), scan.shape()) < 1e-12);
            }
        }
    }

    #[test]
    fn between_two_axes_the_nearer_one_counts() {
        let (s, c) = 0.7f64.sin_cos(); // a little less than an eighth of a turn
        let turned =
            |direction| Orientation::of(&Geometry::new([1.0; 3], [0.0; 3], direction).unwrap()).to_string();
        assert_eq!(turned([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, -1.0]]), "RAI");
        assert_eq!(turned([[s, -c, 0.0], [c, s, 0.0], [0.0, 0.0, 1.0]]), "ALS");
    }
}
