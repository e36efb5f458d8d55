//! What can go wrong.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AugmentError {
    /// A patch or crop has a side of no voxels.
    #[error("a crop of {size:?} voxels is empty: give every side at least 1 voxel")]
    EmptyCrop {
        /// The refused size, in voxels.
        size: [usize; 3],
    },
    /// An image and its label map differ in shape.
    #[error("the label map has {label:?} voxels but its image has {image:?}: they must share one grid")]
    ShapeMismatch {
        /// Shape of the image, in voxels.
        image: [usize; 3],
        /// Shape of the label map, in voxels.
        label: [usize; 3],
    },
}

/// `Result` with this crate's error.
pub type Result<T> = std::result::Result<T, AugmentError>;
