//! The training loop: dataset, two-stream sampler, batch, optimiser, schedule, checkpoint, run log, validation.
//!
//! [`Run`] is the whole of it: it checks a [`Config`] against a folder of prepared scans, trains, and leaves a run
//! folder. [`Scores`] reads the scores of such a folder back, [`TrainedRun`] scores any scan, and [`Model`] segments scans, with the
//! networks of a run folder or of the model folder that it writes:
//!
//! ```
//! use tandem_networks::Device;
//! use std::ops::ControlFlow;
//! use std::sync::atomic::AtomicBool;
//! use tandem_training::{Config, Model, Run, Scores, Setup};
//! use tandem_volume::prepared::PreparedSet;
//! # use tandem_augment::phantom::{self, PhantomParams};
//! # use tandem_volume::prepared::{NewCase, Split, Writer};
//! #
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! # let (prepared, folder) = (home.path().join("prepared"), home.path().join("run"));
//! # let mut writer = Writer::create(&prepared, "phantom", "Synthetic scans.")?;
//! # for index in 0..3 {
//! #     let subject = phantom::generate(&PhantomParams { spacing_mm: [5.0; 3], ..PhantomParams::new(1337, index) })?;
//! #     writer.add(NewCase { subject: &subject, split: Split::Train, sources: vec![], note: None })?;
//! # }
//! # writer.finish()?;
//!
//! // The settings of docs/settings.md; those that are left out have their defaults.
//! let config: Config = serde_json::from_value(serde_json::json!({
//!     "version": 1,
//!     "name": "example",
//!     "method": { "name": "dual-networks" },
//!     "data": { "dataset": ["phantom"], "labelled": 1, "validation": 1 },
//!     "network": { "filters": 1 },
//!     "training": { "iterations": 2, "patch": [16, 16, 16], "batch_labelled": 1, "batch_unlabelled": 1 },
//!     "inference": { "stride": [16, 16, 16] },
//! }))?;
//! let setup = Setup { config, prepared: &prepared, folder: &folder, device: Device::Cpu };
//! let stop = AtomicBool::new(false); // true, say from a signal, ends the run with a checkpoint
//! Run::create(setup, &stop, &mut |_event| {})?.train(&stop, &mut |_event| {})?;
//!
//! // At any later time:
//! for row in Scores::read_csv(&folder.join("metrics.csv"))?.summary() {
//!     let (mean, n) = (row.summary.mean, row.summary.n);
//!     println!("{} of {}: {mean:?} {} over {n} scans", row.metric, row.predictor, row.unit);
//! }
//! let model = Model::open(&folder, &Device::Cpu)?;
//! let scan = PreparedSet::open(&prepared)?.subject("phantom-001")?; // or any scan, normalised as these are
//! let found = model.predictor()?.segment(scan.id(), scan.image(), &mut |_, _| ControlFlow::Continue(()))?;
//! assert_eq!(found.own.label().shape(), scan.image().shape());
//! # Ok(())
//! # }
//! ```
//!
//! The parts can be used alone: [`Trainer::step`] is one step of a method on one batch.
//!
//! What the crate does not do: it reads no configuration files, prints nothing, and knows no loss by name.
#![forbid(unsafe_code)]

mod augmentation;
pub mod average;
pub mod batch;
mod checkpoint;
mod checkpoints;
mod config;
mod course;
mod dataset;
mod error;
mod estimate;
mod evaluation;
mod failure;
mod files;
mod guard;
mod history;
pub mod host;
mod lists;
mod lock;
mod model;
mod networks;
mod optimiser;
mod precision;
mod predictor;
mod provenance;
mod reader;
mod report;
mod run;
mod run_log;
mod sampler;
mod schedule;
mod summary;
mod trainer;
mod verify;
mod working_grid;

pub use augmentation::{AugmentationConfig, Augmented};
pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint, Header, Tensors};
pub use checkpoints::Checkpoints;
pub use config::{
    CONFIG_VERSION, CaseList, Config, DataConfig, DeviceChoice, EvaluationConfig, InferenceConfig,
    MethodConfig, NetworkSize, TrainingConfig,
};
pub use dataset::{Dataset, Patch};
pub use error::{Error, Result};
pub use estimate::{Bytes, Estimate, Memory};
pub use evaluation::{
    Calibration, Component, ENSEMBLE, Evaluation, Grid, MEAN, Measure, Row, Scores, SummaryRow,
    TABLE_COLUMNS, Table, TableLine, csv_cell, ensemble_dice, evaluate, subjects,
};
pub use guard::{Breakdown, NonFinite, Quantity};
pub use history::{History, Logged, LoggedStep};
pub use lists::Lists;
pub use lock::RunLock;
pub use model::{
    Import, ImportRecord, MODEL_VERSION, Model, ModelRecord, ModelScore, NetworkRecord, OnnxRecord, Origin,
    TrainingRecord, ValidationScores,
};
pub use networks::{Member, Networks};
pub use optimiser::Sgd;
pub use precision::{Kernels, Precision};
pub use predictor::{Predictor, TrainedRun};
pub use provenance::{Piece, Program, Provenance};
pub use reader::{Batches, read_ahead};
pub use run::{Event, Observer, Run, RunRecord, Setup};
pub use run_log::{KernelsRecord, RunLog, SkippedRecord, StepRecord, ValidationRecord};
pub use sampler::{Picks, TwoStreamSampler};
pub use schedule::learning_rate;
pub use summary::{ScoreSummary, Selection};
pub use trainer::Trainer;
pub use verify::{Finding, Outcome, verify};
