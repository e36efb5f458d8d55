//! What can be wrong with a pair of masks.

/// Why two masks cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The masks are not on one grid.
    #[error(
        "the prediction has shape {prediction:?} and the reference {reference:?}: resample the prediction to the \
         reference's grid first"
    )]
    Shapes {
        /// Voxels of the prediction along each axis.
        prediction: [usize; 3],
        /// Voxels of the reference along each axis.
        reference: [usize; 3],
    },
    /// A spacing is zero, negative, infinite or NaN.
    #[error(
        "the spacing {0:?} must be three finite numbers above zero: correct the header of the file it came from"
    )]
    Spacing([f64; 3]),
    /// A tolerance is negative, infinite or NaN.
    #[error("the tolerance of a surface Dice is {0} mm; it must be a finite number of 0 or more")]
    Tolerance(f64),
}
