//! All that a bit-exact resume needs, in one safetensors file.

use crate::{Error, Result};
use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tandem_volume::write_whole;

/// The version of the format that this crate reads and writes.
pub const CHECKPOINT_VERSION: u32 = 2;

/// The key of the file's metadata under which the header lies, as JSON.
const HEADER: &str = "tandem";

/// The tensor of 32 bytes that ends the file: the SHA-256 of all bytes before it.
const CHECKSUM: &str = "sha256";
const CHECKSUM_BYTES: usize = 32;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the format: 2.
    pub format: u32,
    /// Steps that are done: the next one has this index.
    pub steps: u64,
    /// The run's seed.
    pub seed: u64,
    /// SHA-256 of the run's settings.
    pub config: String,
    /// SHA-256 of the prepared set's manifest.
    pub data: String,
    /// Bytes of the run log at this moment: a resumed run cuts what came after.
    pub log_bytes: u64,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The state of a run between two steps.
///
/// The file's tensors are `network/NETWORK/PARAMETER` (weights and running statistics, EMA copies included),
/// `momentum/NETWORK/PARAMETER` and `method/NAME`; the parameters have the names of the released state dicts. The last
/// tensor, `sha256`, is the checksum of every byte before it.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Version, step, seed, digests.
    pub header: Header,
    /// Weights and statistics by network.
    pub networks: BTreeMap<String, Tensors>,
    /// Momentum buffers by network.
    pub momentum: BTreeMap<String, Tensors>,
    /// The method's own state.
    pub method: Tensors,
}

impl Checkpoint {
    /// Writes the file aside, syncs it and renames it to `path`.
    ///
    /// # Errors
    /// Where the file cannot be written; then `path` is what it was before.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |error: String| Error::run_file(path, format!("cannot be written: {error}"));
        let no_checksum = Tensor::zeros(CHECKSUM_BYTES, candle_core::DType::U8, &Device::Cpu)?;
        let mut tensors: BTreeMap<String, &Tensor> = [(CHECKSUM.to_owned(), &no_checksum)].into();
        for (group, networks) in [("network", &self.networks), ("momentum", &self.momentum)] {
            for (network, parameters) in networks {
                tensors.extend(
                    parameters.iter().map(|(name, tensor)| (format!("{group}/{network}/{name}"), tensor)),
                );
            }
        }
        tensors.extend(self.method.iter().map(|(name, tensor)| (format!("method/{name}"), tensor)));
        let header = serde_json::to_string(&self.header).map_err(|error| failed(error.to_string()))?;
        let metadata = Some([(HEADER.to_owned(), header)].into());
        // Tensors are written in the order of alignment, then of names: the checksum is the last one.
        let mut bytes =
            safetensors::serialize(tensors, metadata).map_err(|error| failed(error.to_string()))?;
        let content = bytes.len() - CHECKSUM_BYTES;
        let checksum = Sha256::digest(&bytes[..content]);
        bytes[content..].copy_from_slice(&checksum);
        Ok(write_whole(path, &bytes)?)
    }

    /// Reads a checkpoint onto a device.
    ///
    /// # Errors
    /// Where the file is missing, damaged, or of another format.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        Self::of_bytes(path, &fs::read(path).map_err(Error::io(path))?, device)
    }

    /// The checkpoint that the file `path` holds.
    fn of_bytes(path: &Path, bytes: &[u8], device: &Device) -> Result<Self> {
        let damaged =
            |problem: String| Error::run_file(path, format!("is not a whole checkpoint: {problem}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER));
        let header = header.ok_or_else(|| damaged("its header is missing".to_owned()))?;
        let header: Header = serde_json::from_str(header).map_err(|error| damaged(error.to_string()))?;
        if header.format != CHECKPOINT_VERSION {
            let problem = format!(
                "has format {}, but this program reads format {CHECKPOINT_VERSION}; train the run anew, or go on with the \
                 version that began it",
                header.format
            );
            return Err(Error::run_file(path, problem));
        }
        let mut checkpoint = Checkpoint {
            header,
            networks: BTreeMap::new(),
            momentum: BTreeMap::new(),
            method: Tensors::new(),
        };
        let (content, checksum) = bytes.split_at(bytes.len().saturating_sub(CHECKSUM_BYTES));
        if Sha256::digest(content)[..] != *checksum {
            return Err(damaged("its checksum is not that of its content".to_owned()));
        }
        let views = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        for (name, view) in views.iter().filter(|(name, _)| *name != CHECKSUM) {
            let tensor = view.load(device)?;
            let group = match name.split('/').collect::<Vec<_>>()[..] {
                ["network", network, parameter] => Some((&mut checkpoint.networks, network, parameter)),
                ["momentum", network, parameter] => Some((&mut checkpoint.momentum, network, parameter)),
                _ => None,
            };
            match (group, name.strip_prefix("method/")) {
                (Some((group, network, parameter)), _) => {
                    group.entry(network.to_owned()).or_default().insert(parameter.to_owned(), tensor);
                }
                (None, Some(name)) => {
                    checkpoint.method.insert(name.to_owned(), tensor);
                }
                (None, None) => return Err(damaged(format!("tensor {name:?} has no place"))),
            }
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(steps: u64) -> Checkpoint {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let weights = Tensors::from([("conv.0.weight".to_owned(), tensor(&[0.1, f32::MIN_POSITIVE]))]);
        Checkpoint {
            header: Header {
                format: CHECKPOINT_VERSION,
                steps,
                seed: 7,
                config: "c".into(),
                data: "d".into(),
                log_bytes: 12,
            },
            networks: [("vnet".to_owned(), weights.clone()), ("teacher".to_owned(), weights.clone())].into(),
            momentum: [("vnet".to_owned(), weights)].into(),
            method: [("averages/loss".to_owned(), tensor(&[3.0]))].into(),
        }
    }

    fn values(tensors: &Tensors) -> Vec<(&str, Vec<u32>)> {
        let bits = |tensor: &Tensor| tensor.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
        tensors.iter().map(|(name, tensor)| (name.as_str(), bits(tensor))).collect()
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step.safetensors");
        let saved = sample(30);
        saved.save(&path).unwrap();
        let loaded = Checkpoint::load(&path, &Device::Cpu).unwrap();
        assert_eq!(loaded.header, saved.header);
        assert_eq!(loaded.networks.keys().collect::<Vec<_>>(), ["teacher", "vnet"]);
        for network in ["teacher", "vnet"] {
            assert_eq!(values(&loaded.networks[network]), values(&saved.networks[network]));
        }
        assert_eq!(values(&loaded.momentum["vnet"]), values(&saved.momentum["vnet"]));
        assert_eq!(values(&loaded.method), values(&saved.method));
        // The same state gives the same bytes.
        let bytes = fs::read(&path).unwrap();
        saved.save(&path).unwrap();
        assert_eq!(bytes, fs::read(&path).unwrap());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step-00000001.safetensors");
        sample(1).save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            let message = Checkpoint::of_bytes(&path, bytes, &Device::Cpu).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
            message
        };
        (0..whole.len()).for_each(|length| drop(refused(&whole[..length])));
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused(&flipped);
        }
        let mut weight = whole.clone();
        weight[whole.len() - CHECKSUM_BYTES - 1] ^= 1;
        let expected =
            format!("{}: is not a whole checkpoint: its checksum is not that of its content", path.display());
        assert_eq!(refused(&weight), expected);
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.safetensors");
        let mut old = sample(1);
        old.header.format = 1;
        old.save(&path).unwrap();
        let message = Checkpoint::load(&path, &Device::Cpu).unwrap_err().to_string();
        let problem = "has format 1, but this program reads format 2; train the run anew, or go on with the version \
                       that began it";
        assert_eq!(message, format!("{}: {problem}", path.display()));
    }
}
