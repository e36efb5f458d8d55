//! Networks that segment scans, apart from the run that trained them.
//!
//! ```text
//! MODEL/model.json           what the networks are, what scans they take, and where they come from
//! MODEL/NETWORK.safetensors  the weights and running statistics of each network, by the names of the released state dicts
//! MODEL/NETWORK.onnx         the same network for other programs, where it was asked for
//! MODEL/README.md, LICENSE   for people
//! ```

mod card;
mod import;
mod read;
mod record;
mod state_dict;
mod write;

pub use import::Import;
pub use record::{
    ImportRecord, MODEL_VERSION, ModelRecord, ModelScore, NetworkRecord, OnnxRecord, Origin, TrainingRecord,
    ValidationScores,
};

use crate::files::read_json;
use crate::provenance::sha256;
use crate::run::{CONFIG, RECORD, SUMMARY};
use crate::{Error, EvaluationConfig, Predictor, Result, RunRecord, ScoreSummary, Selection, TrainedRun};
use std::path::Path;
use tandem_inference::{Protocol, SlidingWindow};
use tandem_networks::Device;
use tandem_networks::{Parameters, Segmenter};

/// The file that says what a model folder holds.
pub(crate) const MODEL: &str = "model.json";

/// The networks whose softmaxes make a prediction, and all that a new scan needs of them: what a run folder and a model folder
/// have in common.
pub struct Model {
    record: ModelRecord,
    /// In the order of the record.
    networks: Vec<Loaded>,
}

/// A network with its weights.
struct Loaded {
    segmenter: Box<dyn Segmenter>,
    parameters: Parameters,
}

impl Model {
    /// Opens a model folder, or a run folder with its final weights (its newest ones where training has not ended). Of one run,
    /// both are the same model.
    ///
    /// # Errors
    /// Where the folder is neither, or a file of it is missing, damaged, or of another version; the message names the file, the
    /// field and the remedy.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        if folder.join(MODEL).exists() {
            return read::model(folder, device);
        }
        if !folder.join(CONFIG).exists() {
            let problem = "is no run folder and no model folder: it has neither config.json nor model.json; give the folder of \
                           a run, such as runs/NAME, or one that `tandem export` or `tandem import` made";
            return Err(Error::run_file(folder, problem));
        }
        Self::of_run(folder, TrainedRun::open(folder, device)?)
    }

    /// Opens a run folder with the weights that did best on its validation scans, on which their score is therefore too good; the
    /// record has no scores of them.
    ///
    /// # Errors
    /// Where it is a model folder, and as [`TrainedRun::open_best`].
    pub fn open_best(folder: &Path, device: &Device) -> Result<Self> {
        if folder.join(MODEL).exists() {
            let problem = "is a model folder, which has one set of weights; give the run that it was made of";
            return Err(Error::run_file(folder, problem));
        }
        Self::of_run(folder, TrainedRun::open_best(folder, device)?)
    }

    fn of_run(folder: &Path, run: TrainedRun) -> Result<Self> {
        let record: RunRecord = read_json(&folder.join(RECORD))?;
        let summary = folder.join(SUMMARY);
        let scores = match run.selection() {
            Selection::Final if summary.exists() => Some(read_json::<ScoreSummary>(&summary)?),
            _ => None,
        };
        let mut model = ModelRecord::of_run(&run, &record, scores);
        let mut networks = Vec::new();
        for member in run.into_predictors()? {
            let name = member.request.name;
            let bytes = write::safetensors(&member.parameters)?;
            model.networks.push(NetworkRecord::new(name, member.request.architecture, &bytes));
            networks.push(Loaded { segmenter: member.segmenter, parameters: member.parameters });
        }
        Ok(Model { record: model, networks })
    }

    /// What `model.json` says.
    pub fn record(&self) -> &ModelRecord {
        &self.record
    }

    /// A digest of the weights of all networks: the same for a run folder and for the model folder made of it.
    pub fn digest(&self) -> String {
        let digests: Vec<&str> = self.record.networks.iter().map(|network| network.sha256.as_str()).collect();
        sha256(digests.concat().as_bytes())
    }

    /// The networks, in the order of the record.
    pub fn networks(&self) -> impl Iterator<Item = (&NetworkRecord, &dyn Segmenter)> {
        self.record.networks.iter().zip(self.networks.iter().map(|loaded| loaded.segmenter.as_ref()))
    }

    /// The networks as a segmenter of whole scans.
    ///
    /// # Errors
    /// Never, in practice: the record was checked when it was read.
    pub fn predictor(&self) -> Result<Predictor<'_>> {
        let record = &self.record;
        let window =
            SlidingWindow { patch: record.patch, stride: record.stride, batch: record.batch, mirror: false };
        Ok(Predictor {
            names: record.networks.iter().map(|network| network.name.as_str()).collect(),
            networks: self.networks().map(|(_, segmenter)| segmenter).collect(),
            protocol: Protocol { window, spacing: record.spacing_mm },
            channels: record.channels.clone(),
            classes: record.classes.clone(),
            nsd: EvaluationConfig::default().nsd()?,
        })
    }
}
