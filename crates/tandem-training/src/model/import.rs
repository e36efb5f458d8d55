//! A model of weights that another program trained.

use super::record::{ImportRecord, MODEL_VERSION, ModelRecord, NetworkRecord, Origin, intended_use};
use super::{Loaded, Model, write};
use crate::model::state_dict::StateDict;
use crate::provenance::sha256;
use crate::{Error, NetworkSize, Precision, Program, Result};
use std::fs;
use std::path::Path;
use tandem_networks::Device;
use tandem_volume::prepared::{Names, Normalisation};

/// Windows that pass a network at once.
const BATCH: usize = 4;

/// What a file of weights does not say about the model.
#[derive(Clone, Debug)]
pub struct Import {
    /// What the model is called.
    pub name: String,
    /// A name that [`tandem_networks::architectures`] knows.
    pub architecture: String,
    /// What stands before the names of the parameters, such as `state_dict.module.`; none to find out.
    pub prefix: Option<String>,
    /// Names of the channels; none for their number.
    pub channels: Option<Vec<String>>,
    /// Names of the classes, background first; none for their number.
    pub classes: Option<Vec<String>>,
    /// Spacing of the working grid in mm; none for each scan's own.
    pub spacing_mm: Option<[f64; 3]>,
    /// How raw intensities are normalised: one for all channels.
    pub normalisation: Normalisation,
    /// Sides of a window.
    pub patch: [usize; 3],
    /// Steps of the window.
    pub stride: [usize; 3],
}

impl Model {
    /// The model of the weights in a PyTorch state dict or safetensors file. Filters, channels and classes are what the shapes say.
    /// Counters of batch normalisations are left out; a head of one class, for a sigmoid, becomes one of two with the same
    /// probabilities.
    ///
    /// # Errors
    /// Where the file is refused by [`tandem_weights::read`]; where a parameter is missing, left over, of another shape, or not finite;
    /// where a setting does not suit the network.
    pub fn import(path: &Path, settings: &Import, device: &Device) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let arrays = tandem_weights::of_bytes(path, &bytes)?;
        let architecture = settings.architecture.as_str();
        let wrong = |problem: String| Error::run_file(path, problem);
        let found = StateDict::find(arrays, architecture, settings.prefix.as_deref()).map_err(wrong)?;
        let config = found.config;
        let channels = names(&settings.channels, config.in_channels, "channels").map_err(wrong)?;
        let classes = names(&settings.classes, config.num_classes, "classes").map_err(wrong)?;
        let (segmenter, parameters) = tandem_networks::build(architecture, &config, 0, device)?;
        parameters.load(&found.parameters)?;
        let network = NetworkRecord::new(architecture, architecture, &write::safetensors(&parameters)?);
        let record = ModelRecord {
            format: MODEL_VERSION,
            name: settings.name.clone(),
            intended_use: intended_use(&classes, "its training"),
            channels,
            classes,
            spacing_mm: settings.spacing_mm,
            normalisation: vec![settings.normalisation; config.in_channels],
            orientation: None,
            patch: settings.patch,
            stride: settings.stride,
            batch: BATCH,
            precision: Precision::F32,
            network: NetworkSize { filters: config.filters, ..NetworkSize::default() },
            networks: vec![network],
            origin: Origin::Import(ImportRecord {
                file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                sha256: sha256(&bytes),
                prefix: found.prefix,
            }),
            validation: None,
            program: Program::this(),
        };
        record.check().map_err(|(field, problem)| Error::config(field, problem))?;
        Ok(Model { record, networks: vec![Loaded { segmenter, parameters }] })
    }
}

/// The names that were given, one for each.
fn names(given: &Option<Vec<String>>, count: usize, what: &str) -> Result<Names, String> {
    match given {
        None => Ok(Names::Numbered(count)),
        Some(names) if names.len() == count => Ok(Names::Named(names.clone())),
        Some(names) => Err(format!(
            "has a network of {count} {what}, but {} are named; name each of them, or none",
            names.len()
        )),
    }
}
