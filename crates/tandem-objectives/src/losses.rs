//! Loss functions of class scores, for any number of classes; class 0 is the background.
//!
//! Each function returns its value and adds `weight` times its gradient to the [`Live`](crate::Live) scores it was
//! given, in one or two passes over the voxels. Sums run in f64 over chunks of fixed size, so results do not depend on
//! the number of threads. [`loss_of`](crate::loss_of) turns any of them into a scalar of candle's graph.

mod conflict;
mod consistency;
mod cross_entropy;
mod dice;
mod entropy;
mod prototypes;
mod pseudo_labels;
mod pyramid;
mod ramp;
mod sharpened;
mod signed_distance;
mod uncertainty;

#[cfg(test)]
mod golden;

pub use conflict::{conflict, conflict_mask};
pub use consistency::cosine_consistency;
pub use cross_entropy::{IGNORE, cross_entropy, cross_entropy_of_softmax};
pub use dice::{DiceForm, dice, dice_of};
pub use entropy::{entropy, entropy_of_planes, quantile};
pub use prototypes::{Contrast, ContrastInput, ContrastOptions, PrototypeTerm, candidate_count, contrast};
pub use pseudo_labels::pseudo_labels;
pub use pyramid::{Pyramid, pyramid};
pub use ramp::{Weight, ramp};
pub use sharpened::{mean_square, mutual, sharpen};
pub use signed_distance::{distance_consistency, distance_error, signed_distance};
pub use uncertainty::{Uncertainty, UncertaintyOptions, uncertainty};
