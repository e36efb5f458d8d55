//! Reading a model folder.

use super::record::{MODEL_VERSION, ModelRecord, NetworkRecord};
use super::{Loaded, MODEL, Model};
use crate::provenance::sha256;
use crate::{Error, Result};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use tandem_networks::Device;

/// The most that `model.json` may be, in bytes: scores of 256 classes are a tenth of it.
const LONGEST: u64 = 16 << 20;

/// What every version of the format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

pub(super) fn model(folder: &Path, device: &Device) -> Result<Model> {
    let record = record(&folder.join(MODEL))?;
    let networks = record.networks.iter().enumerate();
    let networks = networks.map(|at| network(folder, &record, at, device)).collect::<Result<_>>()?;
    Ok(Model { record, networks })
}

fn record(path: &Path) -> Result<ModelRecord> {
    let damaged = |error: String| {
        Error::run_file(
            path,
            format!("does not read as expected: {error}; restore it, or export the model again"),
        )
    };
    let mut text = String::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| damaged(error.to_string()))?;
    if text.len() as u64 > LONGEST {
        return Err(damaged(format!("it is longer than {LONGEST} bytes")));
    }
    let Version { format } = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if format != MODEL_VERSION {
        let problem = format!(
            "format is {format}, but this program reads format {MODEL_VERSION}; export the model again with this program, or \
             use the one that wrote it"
        );
        return Err(Error::run_file(path, problem));
    }
    let record: ModelRecord = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    record.check().map_err(|(field, problem)| {
        Error::run_file(path, format!("{field} {problem}; restore the file, or export the model again"))
    })?;
    Ok(record)
}

fn network(
    folder: &Path,
    record: &ModelRecord,
    (index, network): (usize, &NetworkRecord),
    device: &Device,
) -> Result<Loaded> {
    let path = folder.join(&network.file);
    let wrong = |problem: String| {
        Error::run_file(&path, format!("{problem}; copy the model folder anew, or export the model again"))
    };
    let bytes = fs::read(&path).map_err(|error| {
        wrong(format!("cannot be read ({error}), but {MODEL} names it (networks[{index}].file)"))
    })?;
    if sha256(&bytes) != network.sha256 {
        return Err(wrong(format!(
            "is damaged or was changed: {MODEL} has another checksum (networks[{index}].sha256)"
        )));
    }
    let config = record.of_networks();
    // A file may claim a network that is larger than it.
    let shapes = tandem_networks::shapes(&network.architecture, &config)?;
    let values = shapes.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>();
    if bytes.len() / size_of::<f32>() < values {
        let problem =
            format!("is too short for {values} values, as {MODEL} says (networks[{index}], network.filters)");
        return Err(wrong(problem));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu)
        .map_err(|error| wrong(format!("is no safetensors file: {error}")))?;
    let (segmenter, parameters) = tandem_networks::build(&network.architecture, &config, 0, device)?;
    let load = parameters.load(&tensors.into_iter().collect());
    load.map_err(|error| {
        wrong(format!(
            "does not hold the network that {MODEL} says (networks[{index}].architecture): {error}"
        ))
    })?;
    Ok(Loaded { segmenter, parameters })
}
