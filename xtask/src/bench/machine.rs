//! The machine that measures.

use serde_json::{Value, json};

/// What the system says of the processor and its memory.
pub(super) fn describe() -> Value {
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    json!({
        "processor": field("/proc/cpuinfo", "model name"),
        "memory_gib": kib.map(|kib| (kib / 1024.0 / 1024.0).round()),
    })
}

/// Adds what was found of its limits; of a number that is there, the higher one stays.
pub(super) fn keep_highest(machine: &mut Value, found: &[Value]) {
    for (name, value) in found.iter().filter_map(Value::as_object).flatten() {
        if machine[name].as_f64().is_none_or(|highest| value.as_f64() > Some(highest)) {
            machine[name] = value.clone();
        }
    }
}

/// The first line `NAME: VALUE` of a file of the system.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_limit_the_highest_stays() {
        let mut machine = json!({ "memory_gib": 24.0 });
        for (multiply_add, copy) in [(2.0, 5.0), (3.0, 4.0)] {
            let limits = json!({ "fma_gflops": multiply_add, "copy_gb_s": copy, "path": "amx" });
            keep_highest(&mut machine, &[limits]);
        }
        assert_eq!(
            machine,
            json!({ "memory_gib": 24.0, "fma_gflops": 3.0, "copy_gb_s": 5.0, "path": "amx" })
        );
    }
}
