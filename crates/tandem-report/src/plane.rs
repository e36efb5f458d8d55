//! The three planes in which a scan is looked at.

use ndarray::{ArrayView2, ArrayView3, Axis};

/// A plane through a volume `[i, j, k]` in RAS, shown as radiologists look at it: the patient's right at the left, the front or the
/// head at the top, and in sagittal planes the front at the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Across: k is constant.
    Axial,
    /// From ear to ear: j is constant.
    Coronal,
    /// From front to back: i is constant.
    Sagittal,
}

impl Plane {
    /// All three, in the order in which they are shown.
    pub const ALL: [Plane; 3] = [Plane::Axial, Plane::Coronal, Plane::Sagittal];

    /// The field's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Plane::Axial => "axial",
            Plane::Coronal => "coronal",
            Plane::Sagittal => "sagittal",
        }
    }

    /// The axis of the volume that runs through the plane.
    pub fn axis(self) -> usize {
        match self {
            Plane::Axial => 2,
            Plane::Coronal => 1,
            Plane::Sagittal => 0,
        }
    }

    /// What lies at the left, right, top and bottom of the plane: the letters that viewers show.
    pub fn edges(self) -> [char; 4] {
        match self {
            Plane::Axial => ['R', 'L', 'A', 'P'],
            Plane::Coronal => ['R', 'L', 'S', 'I'],
            Plane::Sagittal => ['A', 'P', 'S', 'I'],
        }
    }

    /// The plane of a volume at an index of [`Self::axis`].
    ///
    /// # Shapes
    /// `(i, j, k)` becomes `(rows, columns)`: row 0 is the top one, column 0 the left one.
    ///
    /// # Panics
    /// Where the index is not below the length of the axis.
    pub fn cut<T>(self, volume: ArrayView3<'_, T>, at: usize) -> ArrayView2<'_, T> {
        let mut plane = volume.index_axis_move(Axis(self.axis()), at).reversed_axes();
        // The axes of RAS grow to the right, to the front and to the head; a picture to the right and downwards.
        plane.invert_axis(Axis(0));
        plane.invert_axis(Axis(1));
        plane
    }

    /// The spacing of its rows and columns, from that along i, j, k.
    pub fn spacing(self, spacing: [f64; 3]) -> [f64; 2] {
        match self {
            Plane::Axial => [spacing[1], spacing[0]],
            Plane::Coronal => [spacing[2], spacing[0]],
            Plane::Sagittal => [spacing[2], spacing[1]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn the_patients_right_front_and_head_are_where_the_letters_say() {
        let shape = (3, 4, 5);
        for plane in Plane::ALL {
            let axis = plane.axis();
            for (letter, voxel) in ['R', 'A', 'S'].into_iter().zip([(2, 0, 0), (0, 3, 0), (0, 0, 4)]) {
                let mut volume = Array3::from_elem(shape, 0u8);
                volume[voxel] = 1;
                let at = [voxel.0, voxel.1, voxel.2][axis];
                let cut = plane.cut(volume.view(), at);
                let (rows, columns) = cut.dim();
                let (row, column) = cut.indexed_iter().find(|(_, v)| **v == 1).unwrap().0;
                let [left, right, top, bottom] = plane.edges();
                // The voxel lies at the far end of one axis, and at the near end of the others: L, P, I.
                let expected_row = if letter == top { 0 } else { rows - 1 };
                let expected_column = if letter == left { 0 } else { columns - 1 };
                assert_eq!((row, column), (expected_row, expected_column), "{plane:?} {letter}");
                assert!([right, bottom].iter().all(|edge| "LPI".contains(*edge)));
            }
        }
        let volume = Array3::<u8>::zeros(shape);
        assert_eq!(Plane::ALL.map(|plane| plane.cut(volume.view(), 0).dim()), [(4, 3), (5, 3), (5, 4)]);
        assert_eq!(Plane::Coronal.spacing([1.0, 2.0, 3.0]), [3.0, 1.0]);
    }
}
