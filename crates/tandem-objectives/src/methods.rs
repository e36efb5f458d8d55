//! The methods, by name.

mod dual_networks;
mod mcf;
mod pair;
mod supervised_ensemble;

#[cfg(test)]
mod laws;

pub use dual_networks::{
    CandidateRule, DualNetworks, DualNetworksOptions, EntropyOf, FeatureKind, PseudoCrossEntropy,
    PseudoLabels, ReliableRule, UncertaintyDirection, UncertaintyRegion, WinnerCriterion,
};
pub use mcf::{Mcf, McfOptions};
pub use pair::NetworkName;
pub use supervised_ensemble::{SupervisedEnsemble, SupervisedEnsembleOptions};

use crate::method::Method;
use candle_core::{Result, bail};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The names that [`build`] knows.
pub fn names() -> &'static [&'static str] {
    &["dual-networks", "dual-networks-released", "supervised-ensemble", "mcf"]
}

/// Makes a method from its name and the options that differ from its preset: a JSON object, or null for none.
///
/// # Errors
/// Where the name is unknown, or an option is unknown or has an impossible value; the message lists what is possible.
pub fn build(name: &str, options: &Value) -> Result<Box<dyn Method>> {
    Ok(match name {
        "dual-networks" => {
            Box::new(DualNetworks::new(resolve(name, DualNetworksOptions::default(), options)?)?)
        }
        "dual-networks-released" => {
            Box::new(DualNetworks::new(resolve(name, DualNetworksOptions::released(), options)?)?)
        }
        "supervised-ensemble" => {
            Box::new(SupervisedEnsemble::new(resolve(name, SupervisedEnsembleOptions::default(), options)?)?)
        }
        "mcf" => Box::new(Mcf::new(resolve(name, McfOptions::default(), options)?)?),
        _ => bail!("there is no method {name:?}; choose one of {}", names().join(", ")),
    })
}

/// A preset with some of its options replaced.
fn resolve<O: Serialize + DeserializeOwned>(name: &str, preset: O, changes: &Value) -> Result<O> {
    let mut options = serde_json::to_value(preset).map_err(candle_core::Error::wrap)?;
    match changes {
        Value::Null => {}
        Value::Object(_) => replace(&mut options, changes),
        other => bail!("the options of method {name} must be a table, not {other}"),
    }
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
fn check_range(option: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    if !range.contains(&value) {
        bail!("option {option} is {value}; it must lie between {} and {}", range.start(), range.end());
    }
    Ok(())
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
            assert_eq!(build(name, &Value::Null).unwrap().predictors(), ["vnet", "resnet34"]);
            assert!(build(name, &json!({})).is_ok());
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
        assert!(error("mcf", json!([1])).contains("table"));
    }

    #[test]
    fn options_replace_single_values_of_a_preset() {
        let changes = json!({ "lambda_u": { "peak": 1.0 } });
        let options = resolve("dual-networks", DualNetworksOptions::default(), &changes).unwrap();
        assert_eq!(options.lambda_u, crate::losses::Weight::ramped(1.0));
        assert_eq!(
            DualNetworksOptions { lambda_u: DualNetworksOptions::default().lambda_u, ..options },
            DualNetworksOptions::default()
        );
    }
}
