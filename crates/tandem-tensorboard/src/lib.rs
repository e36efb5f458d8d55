//! The event file of a run, which TensorBoard opens: `RUN/log.tfevents`, beside the run's log and made from it.
//!
//! Every line of `log.jsonl` becomes one record of the event file, in order. So the event file is a function of the log: what a
//! killed run left behind its last checkpoint is cut from both, and what is missing is written again from the lines
//! ([`EventFile::open`]). A run that works adds its new lines ([`EventFile::follow`]).
//!
//! | In the log | In TensorBoard |
//! |---|---|
//! | a step's `learning_rate` | `learning_rate`, at that step |
//! | a step's `losses`, `gradient_norms`, `terms` | `losses/NETWORK`, `gradient_norms/NETWORK`, `terms/NAME`; nothing where a term is undefined |
//! | a validation: means over cases of whole predictions on the scans' own grids, distances in mm | `validation/METRIC/PREDICTOR`, of several classes `validation/METRIC/PREDICTOR/CLASS`, at the steps done |
//! | predictions, once the run has ended | what the caller draws of them ([`Draw`]) |
//! | `config.json` | hyper-parameters, `SECTION.NAME` |
//!
//! The crate knows the files' formats and nothing of training: it imports no other crate of the workspace.
//!
//! # References
//! The format: [TFRecord](https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details), and TensorFlow's
//! `event.proto` and `summary.proto`; hyper-parameters: TensorBoard's `plugins/hparams/plugin_data.proto`.
#![forbid(unsafe_code)]

mod error;
mod event;
mod event_file;
mod hyper_parameters;
mod log;
mod protobuf;
mod record;

pub use error::{Error, Result};
pub use event_file::{Draw, EVENTS, EventFile};
