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
    /// An image without two different intensities, or with one that is not a number, has no z-score.
    #[error(
        "the image has mean {mean} and standard deviation {deviation}, so it has no z-score: check the scan"
    )]
    NoContrast {
        /// Mean intensity.
        mean: f64,
        /// Standard deviation of the intensities.
        deviation: f64,
    },
    /// A window of intensities without width.
    #[error("the window from {low} to {high} has no width: give a lower and a higher intensity")]
    Window {
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// An image with a voxel that is no number.
    #[error("the image has voxels that are NaN or infinite: replace them")]
    NotFinite,
    /// A label map is neither 0 and 1 nor 0 and 255.
    #[error(
        "{id}: label value {value} is neither 0, 1 nor the challenge's 255: give a label map of one structure"
    )]
    UnknownLabel {
        /// The subject.
        id: String,
        /// The refused value.
        value: u8,
    },
    /// A label map without a foreground voxel.
    #[error("{id}: the label map has no foreground to crop around: remove it to use the scan as unlabelled")]
    EmptyLabel {
        /// The subject.
        id: String,
    },
    /// A phantom was asked for at a spacing that is not sensible.
    #[error("a phantom's spacing_mm of {spacing:?} is out of range: give every axis 0.3 to 5 mm")]
    PhantomSpacing {
        /// The refused spacing, in mm.
        spacing: [f64; 3],
    },
    /// A setting of an augmentation is out of range.
    #[error("{field} {problem}")]
    Setting {
        /// The setting, as `transform.name`.
        field: String,
        /// What is wrong and what would do.
        problem: String,
    },
    /// What the volume crate refused.
    #[error(transparent)]
    Volume(#[from] tandem_volume::Error),
}

/// `Result` with this crate's error.
pub type Result<T, E = AugmentError> = std::result::Result<T, E>;
