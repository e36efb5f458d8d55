//! Losses and semi-supervised methods for 3-D segmentation.
//!
//! A [`Method`] says which networks it trains and, batch by batch, what they should minimise; it runs them through a
//! [`Forward`] handle, so that this crate knows neither the networks nor the loop that trains them. [`build`] makes one
//! from its name and options:
//!
//! ```
//! let options = serde_json::json!({ "lambda_u": { "peak": 1.0 } });
//! let method = tandem_objectives::build("dual-networks", &options)?;
//! assert_eq!(method.predictors(), ["vnet", "resnet34"]);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! The terms of the methods are plain functions in [`losses`], for use alone.
#![forbid(unsafe_code)]

mod method;
mod methods;

pub mod losses;
pub mod testing;

mod graph;
mod planes;
mod scores;

#[cfg(test)]
mod golden;

pub use graph::with_gradients;
pub use tandem_ops3d::{Deferred, RowGradient};

pub use method::{Batch, Forward, Method, Network, Objective, Prediction, Role, Step, Term};
pub use methods::{
    Bcp, BcpOptions, CandidateRule, Cps, CpsOptions, Dtc, DtcOptions, DualNetworks, DualNetworksCce,
    DualNetworksCceOptions, DualNetworksOptions, EntropyOf, FeatureKind, Head, McNetPlus, McNetPlusOptions,
    Mcf, McfOptions, MeanTeacher, MeanTeacherOptions, NetworkName, Predictor, PseudoCrossEntropy,
    PseudoLabels, ReliableRule, Supervised, SupervisedEnsemble, SupervisedEnsembleOptions, SupervisedOptions,
    Tandem, TandemOptions, UaMt, UaMtOptions, UncertaintyDirection, UncertaintyRegion, Urpc, UrpcOptions,
    WinnerCriterion, build, names, preset,
};
pub use scores::{Detached, Live, Scores, loss_of};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-method.md")]
struct AddingAMethod;
