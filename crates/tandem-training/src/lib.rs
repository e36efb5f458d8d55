//! The training loop: dataset, two-stream sampler, batch, optimiser, schedule, checkpoint, run log, validation.
//!
//! [`Run`] is the whole of it: it checks a [`Config`] against a folder of prepared scans, trains, and leaves a run
//! folder. [`TrainedRun`] opens such a folder and segments or scores any scan. The parts can be used alone:
//! [`Trainer::step`] is one step of a method on one batch.
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
