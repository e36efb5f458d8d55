//! A network in the arrays of another program: which of them are its parameters, and how large it is.

use super::record::MOST;
use crate::Tensors;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use tandem_networks::NetworkConfig;
use tandem_weights::{Array, Arrays};

/// Counters of PyTorch's batch normalisations, which no network here has.
const COUNTER: &str = "num_batches_tracked";

/// The parts of MC-Net's file that make its logits, and those that do not.
const ENCODER: &str = "encoder.";
const DECODER: &str = "decoder1.";
const OTHER_DECODERS: [&str; 2] = ["decoder2.", "decoder3."];

/// Numbers of channels and classes by which a shape shows that it depends on them: no product of other sides has them.
const CHANNELS: usize = 251;
const CLASSES: usize = 241;

/// The parameters of one network.
pub(super) struct StateDict {
    /// What stood before their names.
    pub(super) prefix: String,
    /// The network's size, as the shapes say.
    pub(super) config: NetworkConfig,
    /// Its parameters, all of the shapes that it needs.
    pub(super) parameters: Tensors,
}

/// What is known of an architecture by its shapes.
struct Architecture<'a> {
    name: &'a str,
    /// The parameter that reads the scan.
    stem: String,
    /// Those that make the classes.
    heads: Vec<String>,
    all: Vec<String>,
}

impl StateDict {
    /// Finds the network of this architecture under the prefix, or under the only one that it is whole under.
    ///
    /// # Errors
    /// The end of a sentence that begins with the file's name.
    pub(super) fn find(arrays: Arrays, architecture: &str, prefix: Option<&str>) -> Result<Self, String> {
        let architecture = Architecture::of(architecture)?;
        let ends = |name: &String| name.strip_suffix(&architecture.stem).map(str::to_owned);
        let is_prefix = |prefix: &String| prefix.is_empty() || prefix.ends_with('.');
        let prefixes: Vec<String> = match prefix {
            Some(prefix) if is_prefix(&prefix.to_owned()) => vec![prefix.to_owned()],
            Some(prefix) => vec![format!("{prefix}.")],
            None => arrays.keys().filter_map(ends).filter(is_prefix).collect(),
        };
        match &prefixes[..] {
            [prefix] => Self::under(prefix.clone(), arrays, &architecture),
            [] => {
                let some: Vec<_> = arrays.keys().take(3).collect();
                Err(format!(
                    "is not a {}: it has no {:?}, but {some:?} and so on; say with --network which architecture it is",
                    architecture.name, architecture.stem
                ))
            }
            several => Err(format!(
                "has several networks of this kind; choose one with --prefix, which may be one of {several:?}"
            )),
        }
    }

    fn under(prefix: String, arrays: Arrays, architecture: &Architecture<'_>) -> Result<Self, String> {
        let under = arrays.into_iter().filter(|(name, _)| name.rsplit('.').next() != Some(COUNTER));
        let mut own: BTreeMap<String, Array> = match prefix.strip_suffix(ENCODER) {
            // The whole prefix belongs to an encoder whose decoders lie beside it.
            Some(outer) => under
                .filter_map(|(name, array)| Some((of_part(name.strip_prefix(outer)?)?.to_owned(), array)))
                .collect(),
            None => under
                .filter_map(|(name, array)| Some((name.strip_prefix(&prefix)?.to_owned(), array)))
                .collect(),
        };
        let missing: Vec<_> = architecture.all.iter().filter(|name| !own.contains_key(*name)).collect();
        if let Some(first) = missing.first() {
            let remedy = match first.contains("running_") {
                true => "it was made without batch normalisation, and cannot be used",
                false => {
                    "say with --network which architecture it is, or with --prefix what stands before the names"
                }
            };
            return Err(format!(
                "is not a {}: {} of its {} parameters are missing, such as {first:?}; {remedy}",
                architecture.name,
                missing.len(),
                architecture.all.len()
            ));
        }
        if let Some(name) = own.keys().find(|name| !architecture.all.contains(name)) {
            return Err(format!(
                "has {name:?}, which is no parameter of a {}; say with --network which architecture it is",
                architecture.name
            ));
        }
        for name in &architecture.heads {
            if let Some(head) = own.get_mut(name).filter(|head| head.shape.first() == Some(&1)) {
                two_classes(head);
            }
        }
        let config = architecture.config(&own)?;
        Ok(StateDict { prefix, parameters: checked(own, architecture.name, &config)?, config })
    }
}

/// A parameter's name where its part of a file of MC-Net makes the logits.
fn of_part(name: &str) -> Option<&str> {
    match OTHER_DECODERS.iter().any(|other| name.starts_with(other)) {
        true => None,
        false => name.strip_prefix(ENCODER).or_else(|| name.strip_prefix(DECODER)),
    }
}

/// One logit z for a sigmoid as two for a softmax: 0 and z have the same probability of the second.
fn two_classes(head: &mut Array) {
    head.shape[0] = 2;
    head.values.splice(0..0, vec![0.0; head.values.len()]);
}

impl<'a> Architecture<'a> {
    fn of(name: &'a str) -> Result<Self, String> {
        let marked =
            NetworkConfig { in_channels: CHANNELS, num_classes: CLASSES, filters: 1, ..Default::default() };
        let shapes = tandem_networks::shapes(name, &marked).map_err(|error| error.to_string())?;
        let stem = shapes.iter().find(|(_, shape)| shape.get(1) == Some(&CHANNELS));
        let stem = stem
            .ok_or_else(|| format!("cannot be read as a {name}, which has no layer that reads a scan"))?
            .0
            .clone();
        let heads =
            shapes.iter().filter(|(_, shape)| shape[0] == CLASSES).map(|(name, _)| name.clone()).collect();
        Ok(Architecture { name, stem, heads, all: shapes.into_keys().collect() })
    }

    /// The size that the parameters, none of which is missing, show.
    fn config(&self, own: &BTreeMap<String, Array>) -> Result<NetworkConfig, String> {
        let side = |name: &str, side: usize| {
            own.get(name).and_then(|array| array.shape.get(side)).copied().unwrap_or(0)
        };
        let classes = self.heads.first().map_or(0, |head| side(head, 0));
        let config = NetworkConfig {
            in_channels: side(&self.stem, 1),
            num_classes: classes,
            filters: side(&self.stem, 0),
            ..NetworkConfig::default()
        };
        let sound = (1..=MOST).contains(&config.in_channels)
            && (2..=256).contains(&classes)
            && (1..=MOST).contains(&config.filters);
        match sound {
            true => Ok(config),
            false => Err(format!(
                "has a network of {} channels, {classes} classes and {} filters by the shapes of {:?} and its head, which cannot be",
                config.in_channels, config.filters, self.stem
            )),
        }
    }
}

/// The parameters, where each has the shape that the network needs, and finite values.
fn checked(
    mut own: BTreeMap<String, Array>,
    architecture: &str,
    config: &NetworkConfig,
) -> Result<Tensors, String> {
    let shapes = tandem_networks::shapes(architecture, config).map_err(|error| error.to_string())?;
    let mut parameters = Tensors::new();
    for (name, shape) in shapes {
        let array = own.remove(&name).ok_or_else(|| format!("has no {name:?}"))?;
        if array.shape != shape {
            return Err(format!(
                "has {name:?} with shape {:?}, but a {architecture} of {} filters needs {shape:?}; say with --network which \
                 architecture it is",
                array.shape, config.filters
            ));
        }
        if !array.values.iter().all(|value| value.is_finite()) {
            return Err(format!("has values in {name:?} that are NaN or infinite; take other weights"));
        }
        let tensor =
            Tensor::from_vec(array.values, shape, &Device::Cpu).map_err(|error| error.to_string())?;
        parameters.insert(name, tensor);
    }
    Ok(parameters)
}
