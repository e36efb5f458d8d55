//! The methods, by name.

mod bcp;
mod block;
mod cps;
mod dtc;
mod dual_networks;
mod head;
mod mc_net_plus;
mod mcf;
mod mean_teacher;
mod pair;
mod student;
mod supervised;
mod supervised_ensemble;
mod tandem;
mod ua_mt;
mod urpc;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_heads;
#[cfg(test)]
mod laws;

pub use bcp::{Bcp, BcpOptions};
pub use cps::{Cps, CpsOptions};
pub use dtc::{Dtc, DtcOptions};
pub use dual_networks::{
    CandidateRule, DualNetworks, DualNetworksCce, DualNetworksCceOptions, DualNetworksOptions, EntropyOf,
    FeatureKind, PseudoCrossEntropy, PseudoLabels, ReliableRule, UncertaintyDirection, UncertaintyRegion,
    WinnerCriterion,
};
pub use head::Head;
pub use mc_net_plus::{McNetPlus, McNetPlusOptions};
pub use mcf::{Mcf, McfOptions};
pub use mean_teacher::{MeanTeacher, MeanTeacherOptions};
pub use pair::NetworkName;
pub use student::PredictBy;
pub use supervised::{Supervised, SupervisedOptions};
pub use supervised_ensemble::{SupervisedEnsemble, SupervisedEnsembleOptions};
pub use tandem::{StrongView, Tandem, TandemOptions};
pub use ua_mt::{UaMt, UaMtOptions};
pub use urpc::{Urpc, UrpcOptions};

use crate::losses::Weight;
use crate::method::Method;
use candle_core::{Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::ops::RangeInclusive;

/// A method that [`build`] knows.
struct Entry {
    name: &'static str,
    /// The options of its preset.
    preset: fn() -> serde_json::Result<Value>,
    /// Options as the method's type writes them.
    written: fn(Value) -> Result<Value>,
    /// The method with these options.
    build: fn(Value) -> Result<Box<dyn Method>>,
}

macro_rules! method {
    ($name:literal, $method:ty, $preset:expr) => {
        Entry {
            name: $name,
            preset: || serde_json::to_value($preset),
            written: |options| written($name, options, $preset),
            build: |options| Ok(Box::new(<$method>::new(read($name, options)?)?)),
        }
    };
}

/// All methods: name, type, preset.
const METHODS: &[Entry] = &[
    method!("bcp", Bcp, BcpOptions::default()),
    method!("cps", Cps, CpsOptions::default()),
    method!("dtc", Dtc, DtcOptions::default()),
    method!("dual-networks", DualNetworks, DualNetworksOptions::default()),
    method!("dual-networks-cce", DualNetworksCce, DualNetworksCceOptions::default()),
    method!("dual-networks-released", DualNetworks, DualNetworksOptions::released()),
    method!("mc-net-plus", McNetPlus, McNetPlusOptions::default()),
    method!("mcf", Mcf, McfOptions::default()),
    method!("mean-teacher", MeanTeacher, MeanTeacherOptions::default()),
    method!("ssl-contrastive", DualNetworks, DualNetworksOptions::ssl_contrastive()),
    method!("supervised", Supervised, SupervisedOptions::default()),
    method!("supervised-ensemble", SupervisedEnsemble, SupervisedEnsembleOptions::default()),
    method!("tandem", Tandem, TandemOptions::default()),
    method!("ua-mt", UaMt, UaMtOptions::default()),
    method!("urpc", Urpc, UrpcOptions::default()),
];

/// The names that [`build`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}

/// The options of a method where nothing else is said, as a JSON object.
///
/// # Errors
/// Where the name is unknown.
pub fn preset(name: &str) -> Result<Value> {
    (entry(name)?.preset)().map_err(candle_core::Error::wrap)
}

/// Makes a method from its name and the options that differ from its preset: a JSON object, or null for none.
///
/// # Errors
/// Where the name is unknown, or an option is unknown or has an impossible value; the message lists what is possible.
///
/// # Examples
/// ```
/// let options = serde_json::json!({ "lambda_u": { "peak": 1.0 } });
/// let method = tandem_objectives::build("dual-networks", &options)?;
/// assert_eq!(method.predictors(), ["vnet", "resnet34"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn build(name: &str, options: &Value) -> Result<Box<dyn Method>> {
    (entry(name)?.build)(changed(name, options)?)
}

fn entry(name: &str) -> Result<&'static Entry> {
    match METHODS.iter().find(|method| method.name == name) {
        Some(method) => Ok(method),
        None => {
            bail!("there is no method {name:?}; choose one of {}", names().collect::<Vec<_>>().join(", "))
        }
    }
}

/// All options of a method from those that differ from its preset, as a JSON object: what [`build`] makes the method of.
///
/// # Errors
/// As [`build`], but for values that only the method itself refuses.
pub fn resolve(name: &str, options: &Value) -> Result<Value> {
    (entry(name)?.written)(changed(name, options)?)
}

/// Options that were read as those of a preset are, written again.
fn written<O: DeserializeOwned + Serialize>(name: &str, options: Value, _preset: O) -> Result<Value> {
    serde_json::to_value(read::<O>(name, options)?).map_err(candle_core::Error::wrap)
}

/// The preset of a method with some of its options replaced.
fn changed(name: &str, changes: &Value) -> Result<Value> {
    let mut options = preset(name)?;
    match changes {
        Value::Null => {}
        Value::Object(_) => replace(&mut options, changes),
        other => bail!("the options of method {name} must be a table, not {other}"),
    }
    Ok(options)
}

fn read<O: DeserializeOwned>(name: &str, options: Value) -> Result<O> {
    serde_json::from_value(options).or_else(|error| bail!("the options of method {name} are wrong: {error}"))
}

fn replace(value: &mut Value, change: &Value) {
    match (value, change) {
        (Value::Object(value), Value::Object(change)) => {
            for (key, change) in change {
                replace(value.entry(key).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change.clone(),
    }
}

/// Refuses a number outside of a range.
fn check_range(option: &str, value: f64, range: RangeInclusive<f64>) -> Result<()> {
    match (range.start(), *range.end()) {
        _ if range.contains(&value) => Ok(()),
        (least, f64::MAX) => bail!("option {option} is {value}; it must be at least {least}"),
        (least, most) => bail!("option {option} is {value}; it must lie between {least} and {most}"),
    }
}

/// Refuses a weight below 0, or one that grows for longer than a run.
fn check_weight(option: &str, weight: Weight) -> Result<()> {
    check_range(&format!("{option}.peak"), weight.peak, 0.0..=f64::MAX)?;
    check_range(&format!("{option}.ramp"), weight.ramp, 0.0..=1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(name: &str, options: Value) -> String {
        build(name, &options).err().expect("an error").to_string()
    }

    #[test]
    fn every_name_builds_with_its_preset() {
        for name in names() {
            let method = build(name, &Value::Null).unwrap();
            assert!(build(name, &json!({})).is_ok());
            let networks = method.networks();
            assert!(
                method.predictors().iter().all(|predictor| networks.iter().any(|n| n.name == *predictor)),
                "{name} predicts with a network that it does not have"
            );
        }
    }

    #[test]
    fn wrong_names_and_options_say_what_is_possible() {
        assert!(error("dual", Value::Null).contains("supervised-ensemble"));
        let message = error("mcf", json!({ "temprature": 0.1 }));
        assert!(message.contains("temprature") && message.contains("temperature"), "{message}");
        let message = error("dual-networks", json!({ "winner": "best" }));
        assert!(message.contains("cross-entropy-and-dice"), "{message}");
        assert!(error("dual-networks", json!({ "lambda_u": { "peek": 1.0 } })).contains("peek"));
        assert!(error("dual-networks", json!({ "reliable_share": 80.0 })).contains("reliable_share"));
        let message = error("cps", json!({ "lambda_u": { "peak": -1.0 } }));
        assert!(message.contains("option lambda_u.peak is -1; it must be at least 0"), "{message}");
        assert!(error("mcf", json!([1])).contains("table"));
    }

    #[test]
    fn options_replace_single_values_of_a_preset() {
        let changes = json!({ "lambda_u": { "peak": 1.0 } });
        let resolved = resolve("dual-networks", &changes).unwrap();
        let options: DualNetworksOptions = read("dual-networks", resolved.clone()).unwrap();
        assert_eq!(options.lambda_u, crate::losses::Weight::ramped(1.0));
        assert_eq!(
            DualNetworksOptions { lambda_u: DualNetworksOptions::default().lambda_u, ..options },
            DualNetworksOptions::default()
        );
        // However a number was written.
        assert_eq!(resolve("dual-networks", &json!({ "lambda_u": { "peak": 1 } })).unwrap(), resolved);
        assert_eq!(resolve("mcf", &Value::Null).unwrap(), preset("mcf").unwrap());
    }
}
