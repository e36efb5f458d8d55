//! The experiment file that is proposed for a dataset: TOML with comments, to be edited.

use super::fingerprint::Fingerprint;
use super::plan::{Plan, Sizes};

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
precision = \"f32\" # or \"bf16\", or \"auto\": bf16 where the CPU has matrix tiles (AMX), else f32

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

fn class(value: u8, name: &str) -> String {
    let value = value.to_string();
    if name == value { value } else { format!("{value} {name}") }
}
