//! What can go wrong in a report.

/// What can go wrong in a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two arrays that should lie on one grid do not.
    #[error("{what} has {found:?} voxels, its image {expected:?}: bring it onto the image's grid")]
    Shape {
        /// Which array.
        what: String,
        /// Its shape.
        found: Vec<usize>,
        /// That of the image.
        expected: Vec<usize>,
    },
    /// A picture without a pixel, or with a spacing that no grid has.
    #[error(
        "a picture of {shape:?} pixels at {spacing:?} mm cannot be drawn: give every side a pixel and a spacing above 0"
    )]
    Empty {
        /// Rows and columns.
        shape: [usize; 2],
        /// In mm, along rows and columns.
        spacing: [f64; 2],
    },
    /// A picture could not be packed.
    #[error("a picture could not be packed: {0}")]
    Png(#[from] png::EncodingError),
    /// A volume of the viewer could not be packed.
    #[error("a volume could not be packed: {0}")]
    Json(#[from] serde_json::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
