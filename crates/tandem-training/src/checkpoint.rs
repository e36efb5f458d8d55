//! All that a bit-exact resume needs, in one safetensors file.

use crate::{Error, Result};
use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use tandem_volume::write_whole_by;

/// The version of the format that this crate reads and writes.
pub const CHECKPOINT_VERSION: u32 = 2;

/// The key of the file's metadata under which the header lies, as JSON.
const HEADER: &str = "tandem";

/// The tensor of 32 bytes that ends the file: the SHA-256 of all bytes before it.
const CHECKSUM: &str = "sha256";
const CHECKSUM_BYTES: usize = 32;

/// Bytes to which the format aligns the first tensor.
const ALIGNMENT: usize = 8;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

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
        let mut tensors: Vec<(String, &Tensor)> = Vec::new();
        for (group, networks) in [("network", &self.networks), ("momentum", &self.momentum)] {
            for (network, parameters) in networks {
                tensors.extend(
                    parameters.iter().map(|(name, tensor)| (format!("{group}/{network}/{name}"), tensor)),
                );
            }
        }
        tensors.extend(self.method.iter().map(|(name, tensor)| (format!("method/{name}"), tensor)));
        // Wide values first, so that all of them are aligned.
        tensors.sort_by_key(|(_, tensor)| Reverse(View::dtype(*tensor).bitsize()));
        let head = self.head(&tensors).map_err(|error| Error::run_file(path, error.to_string()))?;
        // Tensor by tensor: a copy of all of them would be the most memory that a small run takes.
        Ok(write_whole_by(path, |file| {
            let mut file = BufWriter::with_capacity(BUFFER, file);
            let mut checksum = Sha256::new();
            let mut put = |bytes: &[u8]| {
                checksum.update(bytes);
                file.write_all(bytes)
            };
            put(&head)?;
            tensors.iter().try_for_each(|(_, tensor)| put(&tensor.data()))?;
            file.write_all(&checksum.finalize())?;
            file.flush()
        })?)
    }

    /// What comes before the tensors in a safetensors file: where each lies, and the header.
    fn head(&self, tensors: &[(String, &Tensor)]) -> serde_json::Result<Vec<u8>> {
        let metadata = serde_json::json!({ HEADER: serde_json::to_string(&self.header)? });
        let mut entries = serde_json::Map::from_iter([("__metadata__".to_owned(), metadata)]);
        let mut end = 0;
        let mut place = |bytes: usize| {
            end += bytes;
            [end - bytes, end]
        };
        for (name, tensor) in tensors {
            let (dtype, shape) = (View::dtype(tensor), tensor.dims());
            let offsets = place(tensor.data_len());
            let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
            entries.insert(name.clone(), entry);
        }
        let offsets = place(CHECKSUM_BYTES);
        let entry = serde_json::json!({ "dtype": "U8", "shape": [CHECKSUM_BYTES], "data_offsets": offsets });
        entries.insert(CHECKSUM.to_owned(), entry);
        let mut text = serde_json::to_vec(&entries)?;
        text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
        Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
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
