//! What can be wrong with a prediction.

/// The result of a prediction.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a scan could not be segmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the sliding window cannot be used.
    #[error("the sliding window's {field} {problem}")]
    Window {
        /// `patch`, `stride` or `batch`.
        field: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The networks do not fit each other.
    #[error("{0}")]
    Networks(String),
    /// The channels of a scan do not fit each other or the networks.
    #[error("{0}")]
    Channels(String),
    /// An image holds NaN or infinity.
    #[error("the image is not finite at voxel {0:?}: repair or replace the scan")]
    Image([usize; 3]),
    /// A network returned NaN or infinity.
    #[error(
        "network {0} (counted from 0) returned values that are not finite: its weights are spoilt or its training diverged"
    )]
    Diverged(usize),
    /// What was told of the progress ended the work.
    #[error("stopped")]
    Stopped,
    /// A network failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A resampling failed.
    #[error(transparent)]
    Volume(#[from] tandem_volume::Error),
}
