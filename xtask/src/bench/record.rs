//! One line of `bench.json`.

use super::text;
use serde_json::{Value, json};

/// From a case, our result and the peer's.
pub(super) fn new(case: &Value, ours: &Value, peer: Option<&Value>, machine: &Value) -> Value {
    let peer = peer.unwrap_or(&Value::Null);
    let seconds = |result: &Value| result["seconds"].as_f64();
    let rate = ours["gflop"].as_f64().zip(seconds(ours)).map(|(gflop, seconds)| gflop / seconds);
    let limit = limit(text(case, "precision"), machine);
    let sides = case["sides"].as_array().into_iter().flatten().chain([&case["batch"]]);
    json!({
        "case": ours["case"],
        "precision": case["precision"],
        "kind": case["kind"],
        "threads": case["threads"],
        "ours_s": ours["seconds"],
        "ours_fastest_s": ours["fastest"],
        "peer": peer["peer"],
        "peer_s": peer["seconds"],
        "peer_fastest_s": peer["fastest"],
        "ratio": seconds(peer).zip(seconds(ours)).map(|(peer, ours)| peer / ours),
        "ours_mib": ours["mib"],
        "peer_mib": peer["mib"],
        "peer_setting": peer["setting_name"],
        "gflop": ours["gflop"],
        "ours_gflops": rate,
        "percent_of_limit": rate.zip(limit).map(|(rate, limit)| 100.0 * rate / limit),
        "voxels": sides.map(Value::as_u64).product::<Option<u64>>(),
    })
}

/// What arithmetic of a precision can reach: products of bf16 pairs for bf16 where there are any.
fn limit(precision: &str, machine: &Value) -> Option<f64> {
    let pairs = machine["bf16_gflops"].as_f64().filter(|_| precision == "bf16");
    pairs.or(machine["fma_gflops"].as_f64())
}

/// Earlier records, with those that were measured again replaced.
pub(super) fn merged(earlier: Vec<Value>, new: Vec<Value>) -> Vec<Value> {
    let same = |a: &Value, b: &Value| a["case"] == b["case"] && a["precision"] == b["precision"];
    let mut all = earlier;
    all.retain(|old| !new.iter().any(|record| same(old, record)));
    all.extend(new);
    all
}

/// A record in words.
pub(super) fn summary(record: &Value) -> String {
    let mut words = format!(
        "{} {}: {:.4} s, {} MiB",
        text(record, "case"),
        text(record, "precision"),
        record["ours_s"].as_f64().unwrap_or(f64::NAN),
        record["ours_mib"]
    );
    if let (Some(peer), Some(ratio)) = (record["peer_s"].as_f64(), record["ratio"].as_f64()) {
        let setting = text(record, "peer_setting");
        let name = text(record, "peer");
        words += &format!("; {name} {peer:.4} s, {} MiB ({setting}): {ratio:.2}", record["peer_mib"]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_and_share_of_the_limit() {
        let machine = json!({ "fma_gflops": 100.0, "bf16_gflops": 1000.0 });
        let case = json!({ "case": "a", "precision": "f32", "sides": [2, 3, 4], "batch": 5 });
        let ours = json!({ "case": "a", "seconds": 2.0, "gflop": 100.0, "mib": 7 });
        let peer = json!({ "case": "a", "seconds": 5.0, "mib": 9 });
        let record = new(&case, &ours, Some(&peer), &machine);
        assert_eq!((&record["ratio"], &record["percent_of_limit"]), (&json!(2.5), &json!(50.0)));
        assert_eq!((&record["voxels"], &record["peer_mib"]), (&json!(120), &json!(9)));
        let narrow = json!({ "case": "a", "precision": "bf16" });
        let record = new(&narrow, &ours, None, &machine);
        assert_eq!((&record["ratio"], &record["percent_of_limit"]), (&Value::Null, &json!(5.0)));
        assert_eq!(record["voxels"], Value::Null);
    }

    #[test]
    fn measured_again_is_replaced() {
        let record =
            |case: &str, seconds: f64| json!({ "case": case, "precision": "f32", "ours_s": seconds });
        let all = merged(vec![record("a", 1.0), record("b", 2.0)], vec![record("b", 3.0), record("c", 4.0)]);
        assert_eq!(all, [record("a", 1.0), record("b", 3.0), record("c", 4.0)]);
    }
}
