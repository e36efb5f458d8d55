//! The one schema of an experiment's settings, and the checks that a run makes before it starts.

mod data;
mod evaluation;
#[cfg(test)]
pub(crate) mod tests;
mod training;

pub use data::{CaseList, DataConfig};
pub use evaluation::EvaluationConfig;
pub use training::TrainingConfig;

use crate::provenance::sha256;
use crate::{AugmentationConfig, Error, Precision, Result};
use serde::{Deserialize, Serialize};
use tandem_inference::SlidingWindow;
use tandem_networks::NetworkConfig;

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

fn default_filters() -> usize {
    16
}

fn default_dropout() -> f64 {
    0.5
}

// A setting that is younger than a run must not change the digest of its settings.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
        self.data.check()?;
        self.training.check()?;
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
}

/// # Errors
/// With the field and its remedy, where something does not hold.
fn require(holds: bool, field: &'static str, problem: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(field, problem)) }
}
