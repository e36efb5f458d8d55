//! The machine that measures.

use serde_json::{Value, json};

/// The limits that `tandem-bench` printed, with what the system says of the processor and its memory.
pub(super) fn describe(limits: Vec<Value>) -> Value {
    let mut machine = limits.into_iter().next().unwrap_or_else(|| json!({}));
    machine["processor"] = json!(field("/proc/cpuinfo", "model name"));
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    machine["memory_gib"] = json!(kib.map(|kib| (kib / 1024.0 / 1024.0).round()));
    machine
}

/// Adds what a peer found of it.
pub(super) fn add(machine: &mut Value, found: &Value) {
    for (name, value) in found.as_object().into_iter().flatten() {
        machine[name] = value.clone();
    }
}

/// The first line `NAME: VALUE` of a file of the system.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}
