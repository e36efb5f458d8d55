//! Statistics of comparisons in which several methods are scored on the same cases.
//!
//! The unit is the **case**: runs of one method on one scan are no independent observations of how the method does on
//! patients. So values are averaged over runs within each case first ([`CaseMeans`]), and cases are what is resampled
//! ([`bootstrap_mean`]) and ranked ([`signed_rank`]). A value that is undefined is counted, and never taken for a number.
//!
//! ```
//! use tandem_statistics::{CaseMeans, Resampling, bootstrap_mean, holm, signed_rank};
//!
//! // What one method scores above another on five cases, in two runs; one value is undefined.
//! let differences = [
//!     ("a", Some(0.031)), ("b", Some(0.012)), ("c", Some(0.020)), ("d", Some(-0.004)), ("e", Some(0.017)),
//!     ("a", Some(0.025)), ("b", Some(0.010)), ("c", None), ("d", Some(0.002)), ("e", Some(0.019)),
//! ];
//! let cases = CaseMeans::of(differences);
//! assert_eq!((cases.means.len(), cases.undefined, cases.left_out), (5, 1, 0));
//!
//! let [low, high] = bootstrap_mean(&cases.means, &Resampling::default()).expect("more than one case");
//! assert!(0.0 < low && low < high);
//! let test = signed_rank(&cases.means).expect("a difference that is not 0");
//! assert_eq!(test.p, 0.125); // One of five differences is negative, and the smallest.
//! assert_eq!(holm(&[test.p, 0.01]), [0.125, 0.02]);
//! ```
//!
//! The crate reads no files and knows no metric.
#![forbid(unsafe_code)]

mod bootstrap;
mod cases;
mod effect;
mod holm;
mod moments;
mod normal;
mod signed_rank;

pub use bootstrap::{Resampling, Samples, bootstrap_mean};
pub use cases::CaseMeans;
pub use effect::{cohen_dz, hodges_lehmann};
pub use holm::holm;
pub use moments::{mean, sd};
pub use signed_rank::{NullDistribution, SignedRank, signed_rank};
