//! All that a bit-exact resume needs, in one safetensors file.

use crate::files::write_aside;
use crate::{Error, Result};
use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The version of the format that this crate reads and writes.
pub const CHECKPOINT_VERSION: u32 = 1;

/// The key of the file's metadata under which the header lies, as JSON.
const HEADER: &str = "tandem";

/// Checkpoints that [`Checkpoint::keep_last`] keeps.
pub(crate) const KEPT: usize = 2;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the format: 1.
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
/// `momentum/NETWORK/PARAMETER` and `method/NAME`; the parameters have the names of the released state dicts.
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
        let mut tensors: BTreeMap<String, &Tensor> = BTreeMap::new();
        for (group, networks) in [("network", &self.networks), ("momentum", &self.momentum)] {
            for (network, parameters) in networks {
                tensors.extend(
                    parameters.iter().map(|(name, tensor)| (format!("{group}/{network}/{name}"), tensor)),
                );
            }
        }
        tensors.extend(self.method.iter().map(|(name, tensor)| (format!("method/{name}"), tensor)));
        let header =
            serde_json::to_string(&self.header).map_err(|error| Error::run_file(path, error.to_string()))?;
        write_aside(path, |aside| {
            let metadata = Some([(HEADER.to_owned(), header)].into());
            safetensors::serialize_to_file(tensors, metadata, aside)
                .map_err(|error| Error::run_file(aside, format!("cannot be written: {error}")))
        })
    }

    /// Reads a checkpoint onto a device.
    ///
    /// # Errors
    /// Where the file is missing, damaged, or of another format.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let damaged =
            |problem: String| Error::run_file(path, format!("is not a whole checkpoint: {problem}"));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER));
        let header = header.ok_or_else(|| damaged("its header is missing".to_owned()))?;
        let header: Header = serde_json::from_str(header).map_err(|error| damaged(error.to_string()))?;
        if header.format != CHECKPOINT_VERSION {
            let problem =
                format!("has format {}, this program reads format {CHECKPOINT_VERSION}", header.format);
            return Err(Error::run_file(path, problem));
        }
        let mut checkpoint = Checkpoint {
            header,
            networks: BTreeMap::new(),
            momentum: BTreeMap::new(),
            method: Tensors::new(),
        };
        let views = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        for (name, view) in views.iter() {
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

    /// The file of the checkpoint after `steps` steps in a folder of checkpoints.
    pub fn path(folder: &Path, steps: u64) -> PathBuf {
        // Fixed width, so that the order of names is that of steps.
        folder.join(format!("step-{steps:08}.safetensors"))
    }

    /// The newest checkpoint of a folder.
    ///
    /// # Errors
    /// Where the folder cannot be read or holds none.
    pub fn newest(folder: &Path) -> Result<PathBuf> {
        let problem = "holds no checkpoint; the run was stopped before its first one";
        checkpoints(folder)?.pop().ok_or_else(|| Error::run_file(folder, problem))
    }

    /// Removes all but the newest two checkpoints of a folder.
    ///
    /// # Errors
    /// Where the folder cannot be read or a file cannot be removed.
    pub fn keep_last(folder: &Path) -> Result<()> {
        let mut paths = checkpoints(folder)?;
        paths.truncate(paths.len().saturating_sub(KEPT));
        paths.iter().try_for_each(|path| fs::remove_file(path).map_err(Error::io(path)))
    }
}

/// The checkpoints of a folder, oldest first.
fn checkpoints(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("step-") && name.ends_with(".safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(steps: u64) -> Checkpoint {
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
        let path = Checkpoint::path(folder.path(), 30);
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
    fn a_damaged_or_foreign_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = Checkpoint::path(folder.path(), 1);
        sample(1).save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in [0, 5, 40, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let message = Checkpoint::load(&path, &Device::Cpu).unwrap_err().to_string();
            assert!(message.contains("step-00000001.safetensors: is not a whole checkpoint"), "{message}");
        }
        let mut newer = sample(1);
        newer.header.format = 9;
        newer.save(&path).unwrap();
        let message = Checkpoint::load(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("has format 9, this program reads format 1"), "{message}");
    }

    #[test]
    fn the_last_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Checkpoint::newest(folder.path()).is_err());
        for steps in [5, 10, 100, 1000] {
            sample(steps).save(&Checkpoint::path(folder.path(), steps)).unwrap();
            Checkpoint::keep_last(folder.path()).unwrap();
        }
        assert_eq!(
            checkpoints(folder.path()).unwrap(),
            [100, 1000].map(|s| Checkpoint::path(folder.path(), s))
        );
        assert_eq!(Checkpoint::newest(folder.path()).unwrap(), Checkpoint::path(folder.path(), 1000));
    }
}
