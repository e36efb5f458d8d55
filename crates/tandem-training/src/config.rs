//! The one schema of an experiment's settings, and the checks that a run makes before it starts.

mod evaluation;
#[cfg(test)]
pub(crate) mod tests;

pub use evaluation::EvaluationConfig;

use crate::evaluation::MEAN;
use crate::provenance::sha256;
use crate::{AugmentationConfig, Error, NonFinite, Precision, Result};
use serde::{Deserialize, Serialize};
use tandem_inference::SlidingWindow;
use tandem_networks::{NetworkConfig, SIZE_DIVISOR};
use tandem_objectives::Method;
use tandem_volume::prepared::{Manifest, Names};

/// The version of the schema that this crate reads and writes.
pub const CONFIG_VERSION: u32 = 1;

/// All settings of a run. Unknown fields are refused, so that a misspelt one cannot be ignored.
///
/// The crate does not care which file format it came from: the command line reads TOML, a run folder keeps JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of the schema: 1.
    ///
    /// Range: 1.
    pub version: u32,
    /// What the experiment is called in tables and folders.
    pub name: String,
    /// Arithmetic of the networks.
    #[serde(default)]
    pub precision: Precision,
    /// Where the networks run.
    #[serde(default)]
    pub device: DeviceChoice,
    /// The semi-supervised method.
    pub method: MethodConfig,
    /// Which scans, and what is known of them.
    pub data: DataConfig,
    /// Size of the networks.
    #[serde(default)]
    pub network: NetworkSize,
    /// The optimisation.
    pub training: TrainingConfig,
    /// Random changes of the patches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub augmentation: AugmentationConfig,
    /// The sliding window.
    pub inference: InferenceConfig,
    /// How predictions are scored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evaluation: EvaluationConfig,
}

/// Where the networks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// The semi-supervised method and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodConfig {
    /// Its name, such as `dual-networks`: one that `tandem-objectives` knows.
    pub name: String,
    /// Its options. Those that it does not know are refused.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

impl TrainingConfig {
    /// Labelled and unlabelled patches of a batch: none of these where the method has no use for them.
    pub(crate) fn batch(&self, method: &dyn Method) -> [usize; 2] {
        [self.batch_labelled, if method.uses_unlabelled() { self.batch_unlabelled } else { 0 }]
    }
}

impl MethodConfig {
    /// The same with every option that the method has.
    ///
    /// # Errors
    /// Where the name or an option is unknown, or an option is of another kind.
    pub fn resolved(&self) -> Result<Self> {
        let wrong = |error: candle_core::Error| Error::config("method", error.to_string());
        let options = tandem_objectives::resolve(&self.name, &self.options.clone().into()).map_err(wrong)?;
        let serde_json::Value::Object(options) = options else {
            return Err(Error::config("method.options", "are no table"));
        };
        Ok(MethodConfig { name: self.name.clone(), options })
    }
}

/// Which scans, and what is known of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Names of prepared sets in order of preference; a run uses the first that is prepared.
    pub dataset: Vec<String>,
    /// How many scans are labelled, of those of the training list that have a label and do not validate.
    ///
    /// Unit: scans. Range: at least 1.
    pub labelled: usize,
    /// Which scans are labelled: 0 for the first of the list, as in the benchmarks, else the number of a draw among the scans that have a label
    /// and do not validate. A draw depends on nothing else but dataset, fold and these scans, so that all methods and seeds share it; of the
    /// same number, fewer scans are among the more, and other validation scans make another draw.
    ///
    /// Range: at least 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labelled_set: u64,
    /// Which scans of the training list validate: the last so many that have a label, or these, by id. They leave the unlabelled pool.
    pub validation: CaseList,
    /// Into how many folds the labelled scans of the training list are divided by a draw, for cross-validation; 0 for none. Then
    /// one fold validates in place of `validation`, and the labelled scans are drawn for each fold, of set 0 too.
    ///
    /// Range: 0, or at least 2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub folds: usize,
    /// The fold that validates, from 1; 0 where there are none.
    ///
    /// Range: 1 to `folds`; 0 where there are none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fold: usize,
    /// The test list, where it is not the prepared set's own. A run never opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Spacing of the working grid along i, j, k, where it is not the scans' own.
    ///
    /// Unit: mm. Range: above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 3]>,
    /// Channels of the scans: how many, or their names. A run takes them from its prepared set where nothing is said, and refuses
    /// another number than the set's.
    ///
    /// Range: at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Names>,
    /// Classes of the label maps, background included: how many, or their names. A run takes them from its prepared set
    /// where nothing is said, and refuses another number than the set's.
    ///
    /// Range: 2 to 254.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Names>,
}

impl DataConfig {
    /// The channels of a scan: one where nobody said.
    pub fn channel_names(&self) -> Names {
        self.channels.clone().unwrap_or(Names::Numbered(1))
    }

    /// The classes, background included: two where nobody said.
    pub fn class_names(&self) -> Names {
        self.classes.clone().unwrap_or(Names::Numbered(2))
    }

    /// How many channels a scan has: one where nobody said.
    pub fn channel_count(&self) -> usize {
        self.channels.as_ref().map_or(1, Names::count)
    }

    /// How many classes there are, background included: two where nobody said.
    pub fn class_count(&self) -> usize {
        self.classes.as_ref().map_or(2, Names::count)
    }

    /// What a class is called: by its number, where it has no name.
    pub fn class_name(&self, class: usize) -> String {
        self.classes.as_ref().map_or_else(|| class.to_string(), |names| names.name(class))
    }

    /// Which scans are labelled: `the first 8 scans`, or `8 scans (set 2)`.
    pub fn describe_labelled(&self) -> String {
        match (self.labelled_set, self.folds) {
            (0, 0) => format!("the first {} scans", self.labelled),
            (set, _) => format!("{} scans (set {set})", self.labelled),
        }
    }

    /// Takes channels and classes from a prepared set where nothing is said of them, and their names where nothing but the
    /// same number is.
    pub(crate) fn complete(&mut self, manifest: &Manifest) {
        let of_set = [&manifest.channels, &manifest.classes];
        for (own, names) in [&mut self.channels, &mut self.classes].into_iter().zip(of_set) {
            if own.as_ref().is_none_or(|own| *own == Names::Numbered(names.count())) {
                *own = Some(names.clone());
            }
        }
    }

    /// # Errors
    /// Where the scans of a prepared set have another number of channels, or its label maps another number of classes: an output
    /// of the networks would stand for nothing, or a class would be scored as background.
    pub(crate) fn check_prepared(&self, manifest: &Manifest) -> Result<()> {
        let counts = [
            ("data.channels", self.channel_count(), manifest.channels.count()),
            ("data.classes", self.class_count(), manifest.classes.count()),
        ];
        let Some((field, own, found)) = counts.into_iter().find(|(_, own, found)| own != found) else {
            return Ok(());
        };
        let problem =
            format!("is {own}, but the prepared scans have {found}; leave it out, or prepare other scans");
        Err(Error::config(field, problem))
    }
}

/// Some scans of the training list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CaseList {
    /// The last so many that have a label.
    Last(usize),
    /// These, by id.
    Ids(Vec<String>),
}

/// Size of the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSize {
    /// Channels of the first stage; deeper stages have multiples of it. The paper: 16.
    ///
    /// Unit: channels. Range: at least 1.
    #[serde(default = "default_filters")]
    pub filters: usize,
    /// Share of channels that training drops before the head (V-Net: after the bottleneck too). The paper: 0.5.
    ///
    /// Range: 0 to below 1.
    #[serde(default = "default_dropout")]
    pub dropout: f64,
}

impl Default for NetworkSize {
    fn default() -> Self {
        NetworkSize { filters: default_filters(), dropout: default_dropout() }
    }
}

/// The optimisation. Defaults are the paper's where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Steps of the run. Every schedule is a function of step / iterations, except the decay of averages.
    ///
    /// Unit: steps. Range: at least 1.
    pub iterations: u64,
    /// Labelled patches of a batch.
    ///
    /// Unit: patches. Range: at least 1.
    #[serde(default = "two")]
    pub batch_labelled: usize,
    /// Unlabelled patches of a batch.
    ///
    /// Unit: patches. Range: at least 0.
    #[serde(default = "two")]
    pub batch_unlabelled: usize,
    /// Sides of a patch on the working grid, along i, j, k.
    ///
    /// Unit: voxels. Range: at least 16, multiples of 16.
    pub patch: [usize; 3],
    /// Learning rate of the first step.
    ///
    /// Range: above 0.
    #[serde(default = "default_learning_rate")]
    pub learning_rate: f64,
    /// Momentum of the gradient.
    ///
    /// Range: 0 to below 1.
    #[serde(default = "default_momentum")]
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 penalty, added to the gradient of every weight.
    ///
    /// Range: at least 0.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
    /// Shares of the run at which the learning rate falls to a tenth. The default is the paper's 2500 and 5000 of
    /// 6000 steps: step 2500 (counted from 0) is the first at the lower rate. The released code lowers the rate one
    /// step later, because it compares before it counts; for that reading give 2501/6000 and 5001/6000.
    ///
    /// Range: 0 to 1, rising.
    #[serde(default = "default_learning_rate_steps")]
    pub learning_rate_steps: Vec<f64>,
    /// The most that the gradient of a network may measure (its Euclidean norm): a longer one is scaled down to it. None is
    /// scaled where this is not set, as in the paper.
    ///
    /// Range: above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What is done about a loss or gradient that is not finite.
    #[serde(default, skip_serializing_if = "is_default")]
    pub non_finite: NonFinite,
    /// Steps that may be skipped, because they are not finite, before the run stops.
    ///
    /// Unit: steps. Range: at least 0.
    #[serde(default = "default_max_skipped", skip_serializing_if = "is_default_max_skipped")]
    pub max_skipped: u64,
    /// Steps between two validations; 0 validates at the end only.
    ///
    /// Unit: steps. Range: at least 0.
    #[serde(default)]
    pub validate_every: u64,
    /// Steps between two checkpoints; 0 writes one at the end (and where the run is interrupted) only.
    ///
    /// Unit: steps. Range: at least 0.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// What every random number of the run is keyed by.
    ///
    /// Range: at least 0.
    #[serde(default = "default_seed")]
    pub seed: u64,
}

/// The sliding window of validation and prediction. Its patch is the training patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceConfig {
    /// From one window to the next, along i, j, k.
    ///
    /// Unit: voxels. Range: 1 to `training.patch`.
    pub stride: [usize; 3],
    /// Windows that pass a network at once: fewer where those have more than 2^20 voxels together.
    ///
    /// Unit: windows. Range: at least 1.
    #[serde(default = "default_window_batch")]
    pub batch: usize,
}

fn two() -> usize {
    2
}

fn default_filters() -> usize {
    16
}

fn default_dropout() -> f64 {
    0.5
}

fn default_learning_rate() -> f64 {
    0.01
}

fn default_momentum() -> f64 {
    0.9
}

fn default_weight_decay() -> f64 {
    1e-4
}

fn default_learning_rate_steps() -> Vec<f64> {
    vec![2500.0 / 6000.0, 5000.0 / 6000.0]
}

fn default_max_skipped() -> u64 {
    5
}

// A setting that is younger than a run must not change the digest of its settings.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_default_max_skipped(count: &u64) -> bool {
    *count == default_max_skipped()
}

fn default_seed() -> u64 {
    1337
}

fn default_window_batch() -> usize {
    4
}

impl Config {
    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// Names the first field that is out of range, and says what would do.
    pub fn check(&self) -> Result<()> {
        if self.version != CONFIG_VERSION {
            return Err(Error::config(
                "version",
                format!("is {}, this program reads version {CONFIG_VERSION}", self.version),
            ));
        }
        self.check_data()?;
        self.check_training()?;
        self.augmentation.check(self.training.patch)?;
        self.evaluation.nsd()?;
        let NetworkSize { filters, dropout } = self.network;
        require(filters > 0, "network.filters", "must be at least 1")?;
        require(
            (0.0..1.0).contains(&dropout),
            "network.dropout",
            "must be at least 0 and below 1, such as 0.5",
        )?;
        let InferenceConfig { stride, batch } = &self.inference;
        require(!stride.contains(&0), "inference.stride", "needs three numbers of at least 1")?;
        let reaches = stride.iter().zip(&self.training.patch).all(|(stride, side)| stride <= side);
        require(
            reaches,
            "inference.stride",
            "must not exceed training.patch, else voxels between windows are missed",
        )?;
        require(*batch > 0, "inference.batch", "must be at least 1")
    }

    /// The window that slides over scans.
    pub(crate) fn window(&self) -> SlidingWindow {
        let InferenceConfig { stride, batch } = self.inference;
        SlidingWindow { patch: self.training.patch, stride, batch, mirror: false }
    }

    /// What the networks are built from.
    pub(crate) fn of_networks(&self) -> NetworkConfig {
        NetworkConfig {
            in_channels: self.data.channel_count(),
            num_classes: self.data.class_count(),
            filters: self.network.filters,
            dropout: self.network.dropout,
            precision: self.precision.of_networks(),
        }
    }

    /// SHA-256 of the settings, hexadecimal: tells whether a checkpoint belongs to them.
    ///
    /// # Errors
    /// Where a number of the method's options has no JSON form.
    pub fn digest(&self) -> Result<String> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::config("config", error.to_string()))?;
        Ok(sha256(&bytes))
    }

    fn check_data(&self) -> Result<()> {
        let data = &self.data;
        require(
            !data.dataset.is_empty(),
            "data.dataset",
            "is empty; name a prepared set, such as \"phantom\"",
        )?;
        require(data.labelled > 0, "data.labelled", "must be at least 1")?;
        require(data.folds != 1, "data.folds", "must be 0 for none, or at least 2")?;
        let fold = if data.folds == 0 { data.fold == 0 } else { (1..=data.folds).contains(&data.fold) };
        require(fold, "data.fold", "must be 1 to data.folds, or 0 where that is 0")?;
        require(data.channel_count() > 0, "data.channels", "must be at least 1")?;
        // The losses keep a byte for voxels that do not count.
        let classes = (2..=254).contains(&data.class_count());
        require(classes, "data.classes", "must be 2 to 254, background included")?;
        for (field, names) in [("data.channels", &data.channels), ("data.classes", &data.classes)] {
            let checked = names.as_ref().map_or(Ok(()), Names::check);
            checked.map_err(|error| Error::config(field, format!("is wrong: {error}")))?;
        }
        let mean = (0..data.class_count()).any(|class| data.class_name(class) == MEAN);
        require(
            !mean,
            "data.classes",
            "must not call a class `mean`, as the mean over all classes is called",
        )?;
        let spacing = data.spacing_mm.iter().flatten().all(|mm| mm.is_finite() && *mm > 0.0);
        require(spacing, "data.spacing_mm", "needs three positive numbers of millimetres")
    }

    fn check_training(&self) -> Result<()> {
        let training = &self.training;
        require(training.iterations > 0, "training.iterations", "must be at least 1")?;
        require(training.batch_labelled > 0, "training.batch_labelled", "must be at least 1")?;
        let patch = training.patch.iter().all(|side| *side > 0 && side % SIZE_DIVISOR == 0);
        require(patch, "training.patch", "needs three positive multiples of 16, such as [64, 64, 32]")?;
        let rate = training.learning_rate;
        require(
            rate.is_finite() && rate > 0.0,
            "training.learning_rate",
            "must be a positive number, such as 0.01",
        )?;
        let momentum = training.momentum;
        require(
            (0.0..1.0).contains(&momentum),
            "training.momentum",
            "must be at least 0 and below 1, such as 0.9",
        )?;
        let nesterov = !training.nesterov || momentum > 0.0;
        require(nesterov, "training.nesterov", "needs a positive training.momentum")?;
        let decay = training.weight_decay;
        require(
            decay.is_finite() && decay >= 0.0,
            "training.weight_decay",
            "must be 0 or a positive number",
        )?;
        let clip = training.clip_norm.is_none_or(|most| most.is_finite() && most > 0.0);
        require(
            clip,
            "training.clip_norm",
            "must be a positive number, such as 10; leave it out to clip nothing",
        )?;
        let shares = &training.learning_rate_steps;
        let rising = shares.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = shares.iter().all(|share| (0.0..=1.0).contains(share));
        require(
            rising && inside,
            "training.learning_rate_steps",
            "needs rising shares of the run between 0 and 1",
        )
    }
}

fn require(holds: bool, field: &'static str, problem: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(field, problem)) }
}
