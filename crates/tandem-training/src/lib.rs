//! The training loop: dataset, two-stream sampler, batch, optimiser, schedule, checkpoint, run log, validation.
#![forbid(unsafe_code)]

pub mod average;
mod config;
mod error;
mod optimiser;
mod sampler;
mod schedule;

pub use config::{
    CONFIG_VERSION, CaseList, Config, DataConfig, DeviceChoice, InferenceConfig, MethodConfig, NetworkSize,
    Precision, TrainingConfig,
};
pub use error::{Error, Result};
pub use optimiser::Sgd;
pub use sampler::{Picks, TwoStreamSampler};
pub use schedule::learning_rate;
