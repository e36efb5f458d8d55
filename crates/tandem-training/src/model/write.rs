//! Writing a model folder.

use super::{MODEL, Model, ModelRecord, OnnxRecord, card};
use crate::files::{write_json, write_text};
use crate::provenance::sha256;
use crate::{Error, Program, Result};
use std::path::Path;
use tandem_networks::{Parameters, onnx};
use tandem_volume::{write_folder, write_whole};

impl Model {
    /// Writes the model folder `folder`, which must not exist, all or nothing; with each network as an ONNX file too where
    /// `with_onnx`. Returns what its `model.json` says.
    ///
    /// # Errors
    /// Where the folder exists or a file cannot be written; then there is no folder.
    pub fn write(&self, folder: &Path, with_onnx: bool) -> Result<ModelRecord> {
        let mut record = ModelRecord { program: Program::this(), ..self.record.clone() };
        let config = record.of_networks();
        write_folder(folder, |aside| {
            for (network, loaded) in record.networks.iter_mut().zip(&self.networks) {
                write_whole(aside.join(&network.file), &safetensors(&loaded.parameters)?)?;
                network.onnx = None;
                if with_onnx {
                    let bytes = onnx::network(&network.architecture, &config, &loaded.parameters)?;
                    let file = format!("{}.onnx", network.name);
                    write_whole(aside.join(&file), &bytes)?;
                    network.onnx = Some(OnnxRecord { file, sha256: sha256(&bytes), opset: onnx::OPSET });
                }
            }
            write_text(&aside.join("README.md"), &card::readme(&record))?;
            write_text(&aside.join("LICENSE"), card::LICENCE)?;
            // Last: what has it is a model.
            write_json(&aside.join(MODEL), &record)?;
            Ok::<(), Error>(())
        })?;
        Ok(record)
    }
}

/// A network's parameters as a safetensors file; the same values make the same bytes.
pub(super) fn safetensors(parameters: &Parameters) -> Result<Vec<u8>> {
    let written = safetensors::serialize(parameters.tensors()?, None);
    written.map_err(|error| candle_core::Error::from(error).into())
}
