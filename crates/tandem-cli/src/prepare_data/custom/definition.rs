//! The experiment file that is proposed for a dataset: TOML with comments, to be edited.

use super::fingerprint::Fingerprint;
use super::plan::{Plan, Sizes};
use toml::{Table, Value};

/// The settings that follow from the scans. The others are the same in every proposal, and people's to change.
const PLANNED: [&[&str]; 12] = [
    &["method", "name"],
    &["data", "labelled"],
    &["data", "validation"],
    &["data", "spacing_mm"],
    &["network", "filters"],
    &["training", "batch_labelled"],
    &["training", "batch_unlabelled"],
    &["training", "patch"],
    &["inference", "stride"],
    &["profiles", "quick", "data", "spacing_mm"],
    &["profiles", "quick", "training", "patch"],
    &["profiles", "quick", "inference", "stride"],
];

/// The text of `NAME.toml`.
pub(super) fn toml(name: &str, plan: &Plan, fingerprint: &Fingerprint) -> String {
    let Plan { labelled, validation, unlabelled, method, batch: [first, second], .. } = plan;
    let names: Vec<String> = fingerprint.classes.iter().map(|(value, name)| class(*value, name)).collect();
    let Sizes { spacing_mm, patch, stride, filters } = plan.full;
    let quick = plan.quick;
    // A name from a file must not end its comment.
    let comment = |text: &str| text.replace(char::is_control, " ");
    let why: String = plan.reasons.iter().map(|reason| format!("# - {}\n", comment(reason))).collect();
    format!(
        "\
# {name}: proposed by `prepare-data custom` from the scans it found; plan.json and fingerprint.json beside the prepared scans
# hold the numbers. Change what you like.
#
{why}version = 1
name = \"{name}\"
precision = \"f32\" # or \"bf16\", or \"auto\": bf16 where the CPU multiplies it, else f32

[method]
name = \"{method}\"

[data]
dataset = [\"{name}\"]
labelled = {labelled} # the first of the training list that have a label map; {unlabelled} scans have none
validation = {validation} # the last of the training list that have a label map
spacing_mm = {spacing_mm:?}
# classes: {}

[network]
filters = {filters}

[training]
iterations = 6000
batch_labelled = {first}
batch_unlabelled = {second}
patch = {patch:?}
validate_every = 2000
checkpoint_every = 500

[inference]
stride = {stride:?}
batch = 1

# Coarser and with small networks, for machines without a GPU.
[profiles.quick]
precision = \"auto\"
data = {{ spacing_mm = {:?} }}
network = {{ filters = {} }}
training = {{ iterations = 1000, patch = {:?}, validate_every = 0, checkpoint_every = 100 }}
inference = {{ stride = {:?}, batch = 4 }}
",
        comment(&names.join(", ")),
        quick.spacing_mm,
        quick.filters,
        quick.patch,
        quick.stride,
    )
}

/// How an experiment that is there differs from the proposal, a line for each setting that follows from the scans; none
/// where it is no TOML, which `experiment` tells.
pub(super) fn differences(there: &str, proposed: &str) -> Vec<String> {
    let (Ok(there), Ok(proposed)) = (there.parse::<Table>(), proposed.parse::<Table>()) else {
        return Vec::new();
    };
    let differs = |path: &&[&str]| {
        let (is, planned) = (setting(&there, path)?, setting(&proposed, path)?);
        (!same(is, planned))
            .then(|| format!("{} is {is} there, and {planned} in the new plan", path.join(".")))
    };
    PLANNED.iter().filter_map(differs).collect()
}

/// The value below one table after the other.
fn setting<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// Whether two values are the same to a run, which takes `3` for `3.0`.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => number(a).zip(number(b)).map_or(a == b, |(a, b)| a == b),
    }
}

fn class(value: u8, name: &str) -> String {
    let value = value.to_string();
    if name == value { value } else { format!("{value} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_follow_from_the_scans_are_compared_with_the_plan() {
        let proposed = "[data]\nlabelled = 3\nspacing_mm = [3.0, 3.0, 3.0]\n[training]\niterations = 6000\n\
                        [profiles.quick]\ndata = { spacing_mm = [3.0, 3.0, 3.0] }";
        assert!(differences(proposed, proposed).is_empty());
        // Millimetres without a point are the same ones, and the iterations are nobody's plan.
        let edited = proposed.replace("= [3.0, 3.0, 3.0]\n", "= [3, 3, 3]\n").replace("6000", "60");
        assert!(differences(&edited, proposed).is_empty());
        let older = proposed.replace("[3.0, 3.0, 3.0]", "[1.0, 1.0, 2.0]");
        assert_eq!(
            differences(&older, proposed),
            [
                "data.spacing_mm is [1.0, 1.0, 2.0] there, and [3.0, 3.0, 3.0] in the new plan",
                "profiles.quick.data.spacing_mm is [1.0, 1.0, 2.0] there, and [3.0, 3.0, 3.0] in the new plan",
            ]
        );
        assert!(differences("edited", proposed).is_empty());
    }
}
