//! `model.json`: its fields, and what they may say.

use crate::provenance::sha256;
use crate::{
    Component, Config, Grid, NetworkSize, Precision, Program, RunRecord, ScoreSummary, Selection, SummaryRow,
    TrainedRun,
};
use serde::{Deserialize, Serialize};
use std::path::{Component as Part, Path};
use tandem_networks::{NetworkConfig, SIZE_DIVISOR};
use tandem_volume::Orientation;
use tandem_volume::prepared::{Names, Normalisation};

/// The version of the format that this crate reads and writes.
pub const MODEL_VERSION: u32 = 1;

/// The most filters, channels, and voxels of a side: far more than any network has, and few enough to be multiplied.
pub(super) const MOST: usize = 1024;

/// What a model is. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// Version of the format: 1.
    pub format: u32,
    /// What the model is called.
    pub name: String,
    /// What it may be used for, in a sentence for people.
    pub intended_use: String,
    /// Channels of a scan, in their order: how many, or their names.
    pub channels: Names,
    /// Classes of the label maps, background first: how many, or their names.
    pub classes: Names,
    /// Spacing of the grid that the networks work on, in mm; none for each scan's own.
    pub spacing_mm: Option<[f64; 3]>,
    /// How raw intensities of each channel become those that the networks see. Where it is empty, by a z-score over the whole scan.
    pub normalisation: Vec<Normalisation>,
    /// Which way the axes of a scan run when the networks see it, such as `RAS`; none where they see scans as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
    /// Sides of a window in voxels of the working grid, along i, j, k.
    pub patch: [usize; 3],
    /// Steps of the window in voxels.
    pub stride: [usize; 3],
    /// Windows that pass a network at once.
    pub batch: usize,
    /// Arithmetic of the networks.
    pub precision: Precision,
    /// Size of the networks.
    pub network: NetworkSize,
    /// The networks. Their softmaxes are averaged.
    pub networks: Vec<NetworkRecord>,
    /// Where the weights come from.
    pub origin: Origin,
    /// What the networks scored in validation; none where nothing is known of it.
    pub validation: Option<ValidationScores>,
    /// The program that wrote the folder.
    pub program: Program,
}

/// One network of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecord {
    /// What it is called in the model.
    pub name: String,
    /// What it is: a name that [`tandem_networks::build`] knows.
    pub architecture: String,
    /// Its weights and statistics: a safetensors file of the folder.
    pub file: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// The network for other programs, where it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnx: Option<OnnxRecord>,
}

/// A network as an ONNX file of the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxRecord {
    /// The file's name.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The version of ONNX's operators that it needs.
    pub opset: i64,
}

/// Where the weights of a model come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// A run of this program.
    Run(TrainingRecord),
    /// A file of another program.
    Import(ImportRecord),
}

/// The run that trained a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// The semi-supervised method.
    pub method: String,
    /// Name of the dataset.
    pub dataset: String,
    /// SHA-256 of the prepared set's manifest, which holds a digest of every scan's source.
    pub data_digest: String,
    /// SHA-256 of the run's settings.
    pub config_digest: String,
    /// The seed.
    pub seed: u64,
    /// Steps that the weights were trained for.
    pub steps: u64,
    /// Which of the run's weights these are.
    pub weights: Selection,
    /// Scans that the run trained on with their label maps.
    pub labelled: usize,
    /// Scans that it trained on without.
    pub unlabelled: usize,
    /// Version of the program that began the run.
    pub version: String,
    /// The commit that this was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// The file that a model was imported from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecord {
    /// Its name, without folders.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// What stood before the names of the network's parameters in it.
    pub prefix: String,
}

/// Scores on the validation scans, on their own grids, of all that was predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationScores {
    /// How many scans.
    pub cases: usize,
    /// By predictor, class and metric.
    pub scores: Vec<ModelScore>,
}

/// A metric over the validation scans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelScore {
    /// A network, or `ensemble`.
    pub predictor: String,
    /// The class's name, its number where it has none, or `mean`.
    pub class: String,
    /// The metric.
    pub metric: String,
    /// `mm`, `voxels`, `mL`, `%`, or empty for ratios.
    pub unit: String,
    /// Mean over the scans where it is defined; none where there is no such scan.
    pub mean: Option<f64>,
    /// Sample standard deviation; none below two such scans.
    pub sd: Option<f64>,
    /// In how many scans it is defined.
    pub n: usize,
    /// In how many it is not.
    pub undefined: usize,
}

impl ModelRecord {
    /// What a run's model is, its networks still to be named.
    pub(super) fn of_run(run: &TrainedRun, record: &RunRecord, scores: Option<ScoreSummary>) -> Self {
        let Config { name, data, precision, network, training, inference, .. } = run.config();
        let (classes, cases) = (data.class_names(), record.lists.validation.len());
        ModelRecord {
            format: MODEL_VERSION,
            name: name.clone(),
            intended_use: intended_use(&classes, &record.dataset),
            channels: data.channel_names(),
            classes,
            spacing_mm: data.spacing_mm,
            normalisation: record.normalisation.clone(),
            orientation: record.orientation,
            patch: training.patch,
            stride: inference.stride,
            batch: inference.batch,
            precision: *precision,
            network: network.clone(),
            networks: Vec::new(),
            origin: Origin::Run(TrainingRecord {
                method: run.config().method.name.clone(),
                dataset: record.dataset.clone(),
                data_digest: record.data_digest.clone(),
                config_digest: record.config_digest.clone(),
                seed: record.seed,
                steps: run.steps(),
                weights: run.selection(),
                labelled: record.lists.labelled.len(),
                unlabelled: if run.used_unlabelled() { record.lists.unlabelled.len() } else { 0 },
                version: record.version.clone(),
                commit: record.commit.clone(),
            }),
            validation: scores.map(|summary| ValidationScores::new(cases, summary.scores)),
            program: Program::this(),
        }
    }

    /// What the networks are built from.
    pub(super) fn of_networks(&self) -> NetworkConfig {
        NetworkConfig {
            in_channels: self.channels.count(),
            num_classes: self.classes.count(),
            filters: self.network.filters,
            dropout: self.network.dropout,
            precision: self.precision.of_networks(),
        }
    }

    /// Looks at every field that something is built or read by.
    ///
    /// # Errors
    /// The first field that is out of range, and what it needs.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let check = |right: bool, field: &str, needs: &str| match right {
            true => Ok(()),
            false => Err((field.to_owned(), needs.to_owned())),
        };
        let (channels, classes) = (self.channels.count(), self.classes.count());
        check(
            (1..=MOST).contains(&channels) && self.channels.check().is_ok(),
            "channels",
            "must be 1 to 1024, or as many different names",
        )?;
        check(
            (2..=256).contains(&classes) && self.classes.check().is_ok(),
            "classes",
            "must be 2 to 256, or as many different names",
        )?;
        let spacing = self.spacing_mm.iter().flatten().all(|mm| mm.is_finite() && *mm > 0.0);
        check(spacing, "spacing_mm", "needs three positive numbers of millimetres, or null")?;
        let whole = self.normalisation.is_empty() || self.normalisation.len() == channels;
        check(whole, "normalisation", "needs one entry for each channel, or none at all")?;
        let window = |by: &Normalisation| match by {
            Normalisation::ZScore => true,
            Normalisation::Window { low, high } => low.is_finite() && high.is_finite() && low < high,
        };
        check(
            self.normalisation.iter().all(window),
            "normalisation",
            "needs windows whose low is below their high",
        )?;
        let patch =
            self.patch.iter().all(|side| (SIZE_DIVISOR..=MOST).contains(side) && side % SIZE_DIVISOR == 0);
        check(patch, "patch", "needs three multiples of 16 from 16 to 1024")?;
        let stride = self.stride.iter().zip(self.patch).all(|(step, side)| (1..=side).contains(step));
        check(stride, "stride", "needs three numbers from 1 to the sides of the patch")?;
        check((1..=MOST).contains(&self.batch), "batch", "must be 1 to 1024")?;
        check((1..=MOST).contains(&self.network.filters), "network.filters", "must be 1 to 1024")?;
        check(
            (0.0..1.0).contains(&self.network.dropout),
            "network.dropout",
            "must be at least 0 and below 1",
        )?;
        check(!self.networks.is_empty(), "networks", "needs one network at least")?;
        for (index, network) in self.networks.iter().enumerate() {
            let field = |name: &str| format!("networks[{index}].{name}");
            let again = self.networks[..index].iter().any(|other| other.name == network.name);
            check(!network.name.is_empty() && !again, &field("name"), "must be a name of its own")?;
            check(
                is_plain(&network.file),
                &field("file"),
                "must be the name of a file in this folder, without any folder",
            )?;
            let known = tandem_networks::architectures().any(|known| known == network.architecture);
            let names: Vec<_> = tandem_networks::architectures().collect();
            check(known, &field("architecture"), &format!("must be one of {}", names.join(", ")))?;
        }
        Ok(())
    }
}

/// Whether a name is that of a file in the folder at hand, on any system.
fn is_plain(name: &str) -> bool {
    let parts: Vec<_> = Path::new(name).components().collect();
    matches!(parts[..], [Part::Normal(part)] if part == name) && !name.contains(['\\', ':'])
}

/// The sentence for people that everybody should replace who knows better.
pub(super) fn intended_use(classes: &Names, dataset: &str) -> String {
    let names: Vec<_> = (1..classes.count()).map(|class| classes.name(class)).collect();
    let what = match classes {
        Names::Named(_) => names.join(", "),
        Names::Numbered(2) => "one structure".to_owned(),
        Names::Numbered(count) => format!("{} structures", count - 1),
    };
    format!(
        "Research: segmentation of {what} in scans like those of {dataset}. Not a medical device; nothing it computes may guide \
         the care of a patient."
    )
}

impl NetworkRecord {
    /// A network whose file has these bytes.
    pub(super) fn new(name: &str, architecture: &str, bytes: &[u8]) -> Self {
        NetworkRecord {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            file: format!("{name}.safetensors"),
            sha256: sha256(bytes),
            onnx: None,
        }
    }
}

impl ValidationScores {
    fn new(cases: usize, rows: Vec<SummaryRow>) -> Self {
        let kept = |row: &SummaryRow| row.grid == Grid::Own && row.component == Component::All;
        let score = |row: SummaryRow| ModelScore {
            predictor: row.predictor,
            class: row.class,
            metric: row.metric,
            unit: row.unit,
            mean: row.summary.mean,
            sd: row.summary.sd,
            n: row.summary.n,
            undefined: row.summary.undefined,
        };
        ValidationScores { cases, scores: rows.into_iter().filter(kept).map(score).collect() }
    }
}
