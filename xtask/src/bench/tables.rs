//! The tables of docs/performance.md.

use super::text;
use anyhow::{Context, Result};
use serde_json::Value;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// The page with what stands between the two marks replaced.
pub(super) fn replaced(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("the page has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page has no {END} after {BEGIN}"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

/// All tables that have a line.
pub(super) fn markdown(machine: &Value, records: &[Value]) -> String {
    let of = |wanted: &dyn Fn(&str, &str) -> bool| -> Vec<&Value> {
        records.iter().filter(|record| wanted(text(record, "kind"), text(record, "case"))).collect()
    };
    let is_scaling = |case: &str| case.starts_with("threads") || case.starts_with("size-");
    let mut out = format!("{}\n\n", machine_line(machine));
    const OF_SCANS: [&str; 4] = ["scans", "crops", "metrics", "component"];
    let is_network = |kind: &str| kind != "layer" && !OF_SCANS.contains(&kind);
    out += &networks(&of(&|kind, case| is_network(kind) && !is_scaling(case)));
    out += &networks(&of(&|_, case| case.starts_with("threads")));
    out += &sizes(&of(&|_, case| case.starts_with("size-")));
    for precision in ["f32", "bf16"] {
        let mut layers = of(&|kind, _| kind == "layer");
        layers.retain(|record| record["precision"] == precision);
        out += &layer_table(precision, &layers);
    }
    out += &reading(&of(&|kind, _| OF_SCANS.contains(&kind)));
    out += &limits(machine, &of(&|kind, _| kind == "layer"));
    out
}

fn machine_line(machine: &Value) -> String {
    let mut line = format!(
        "{} threads of {}, {} GiB; ",
        machine["threads"],
        text(machine, "processor"),
        number(&machine["memory_gib"], 0),
    );
    line += &match machine["gpu"].as_str() {
        Some(gpu) => format!("{gpu}."),
        None => format!("path `{}`.", text(machine, "path")),
    };
    if let (Some(torch), Some(allocator)) = (machine["torch"].as_str(), machine["allocator"].as_str()) {
        line += &format!(" PyTorch {torch} with {allocator}.");
    }
    line
}

fn networks(records: &[&Value]) -> String {
    let rows = records.iter().map(|record| {
        vec![
            format!("`{}`", text(record, "case")),
            text(record, "precision").to_owned(),
            seconds(&record["ours_s"]),
            seconds(&record["peer_s"]),
            number(&record["ratio"], 2),
            number(&record["ours_gflops"], 0),
            number(&record["percent_of_limit"], 0),
            number(&record["ours_mib"], 0),
            number(&record["peer_mib"], 0),
            record["peer_setting"].as_str().unwrap_or("-").to_owned(),
        ]
    });
    let heads = [
        "Case",
        "",
        "Tandem s",
        "PyTorch s",
        "PyTorch / Tandem",
        "GFLOP/s",
        "% of limit",
        "Tandem MiB",
        "PyTorch MiB",
        "PyTorch's setting",
    ];
    table(&heads, rows.collect())
}

fn sizes(records: &[&Value]) -> String {
    let rows = records.iter().map(|record| {
        let each =
            record["ours_s"].as_f64().zip(record["voxels"].as_f64()).map(|(s, voxels)| 1e6 * s / voxels);
        vec![
            format!("`{}`", text(record, "case")),
            text(record, "precision").to_owned(),
            seconds(&record["ours_s"]),
            each.map_or("-".to_owned(), |each| format!("{each:.3}")),
            number(&record["ours_mib"], 0),
        ]
    });
    table(&["Case", "", "Tandem s", "microseconds a voxel", "Tandem MiB"], rows.collect())
}

/// A line a peer.
fn reading(records: &[&Value]) -> String {
    let rows = records.iter().map(|record| {
        vec![
            format!("`{}`", text(record, "case")),
            milliseconds(&record["ours_s"]),
            number(&record["ours_mib"], 0),
            record["peer_setting"].as_str().unwrap_or("-").to_owned(),
            milliseconds(&record["peer_s"]),
            number(&record["peer_mib"], 0),
            number(&record["ratio"], 2),
        ]
    });
    table(&["Case", "Tandem ms", "MiB", "Peer", "ms", "MiB", "peer / Tandem"], rows.collect())
}

/// A line a layer: forward, then forward and backward.
fn layer_table(precision: &str, records: &[&Value]) -> String {
    let rows = records.chunks(2).map(|pair| {
        let name = text(pair[0], "case").trim_start_matches("layer-").trim_end_matches("-forward");
        let mut row = vec![format!("`{name}`"), number(&pair[0]["gflop"], 2)];
        for record in pair {
            row.push(milliseconds(&record["ours_s"]));
            row.push(milliseconds(&record["peer_s"]));
            row.push(number(&record["ratio"], 2));
            row.push(number(&record["ours_gflops"], 0));
            row.push(number(&record["percent_of_limit"], 0));
        }
        row
    });
    let heads = [
        &format!("Layer, {precision}"),
        "GFLOP",
        "forward ms",
        "PyTorch ms",
        "ratio",
        "GFLOP/s",
        "% of limit",
        "both ms",
        "PyTorch ms",
        "ratio",
        "GFLOP/s",
        "% of limit",
    ];
    table(&heads, rows.collect())
}

fn limits(machine: &Value, layers: &[&Value]) -> String {
    let best = |precision: &str| {
        let of_precision = layers.iter().filter(|record| record["precision"] == precision);
        let rates = of_precision.filter_map(|record| Some((record["ours_gflops"].as_f64()?, *record)));
        rates.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let arithmetic = match machine["gpu"].as_str() {
        Some(_) => ["matrix product, TF32", "matrix product, bf16"],
        None => ["fused multiply-add, f32", "products of bf16, f32 sums"],
    };
    let [f32, bf16] = arithmetic.map(str::to_owned);
    let mut rows = vec![
        vec![f32, number(&machine["fma_gflops"], 0), "GFLOP/s".to_owned()],
        vec![bf16, number(&machine["bf16_gflops"], 0), "GFLOP/s".to_owned()],
        vec!["copy, read and written".to_owned(), number(&machine["copy_gb_s"], 1), "GB/s".to_owned()],
    ];
    for precision in ["f32", "bf16"] {
        if let Some((rate, record)) = best(precision) {
            let name = format!("best convolution, {precision}: `{}`", text(record, "case"));
            rows.push(vec![name, format!("{rate:.0}"), "GFLOP/s".to_owned()]);
        }
    }
    table(&["Limit", "", ""], rows)
}

/// A table and an empty line; nothing where there are no rows.
fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(heads.len()));
    line(&heads) + &rule + &rows.iter().map(|row| line(row)).collect::<String>() + "\n"
}

fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn seconds(value: &Value) -> String {
    number(value, if value.as_f64().is_some_and(|seconds| seconds < 10.0) { 3 } else { 1 })
}

fn milliseconds(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |seconds| format!("{:.2}", 1e3 * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&page, "new\n").unwrap(), format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        let message = replaced("no marks", "new").unwrap_err().to_string();
        assert!(message.contains(BEGIN), "{message}");
    }

    #[test]
    fn results_go_to_their_tables() {
        let record = |case: &str, kind: &str| {
            json!({ "case": case, "kind": kind, "precision": "f32", "ours_s": 0.5, "peer_s": 1.0, "ratio": 2.0,
                    "voxels": 1000, "ours_gflops": 70.0, "gflop": 35.0 })
        };
        let records = [
            record("dual-1", "dual"),
            record("size-dual-1", "dual"),
            record("layer-a-forward", "layer"),
            record("layer-a-both", "layer"),
            record("read-a", "scans"),
        ];
        let found = markdown(&json!({ "fma_gflops": 100.0, "threads": 2 }), &records);
        assert!(found.contains("| `dual-1` | f32 | 0.500 | 1.000 | 2.00 | 70 |"), "{found}");
        assert!(found.contains("| `read-a` | 500.00 | - | - | 1000.00 | - | 2.00 |"), "{found}");
        assert!(found.contains("| `size-dual-1` | f32 | 0.500 | 500.000 |"), "{found}");
        assert!(found.contains("| `a` | 35.00 | 500.00 | 1000.00 | 2.00 | 70 | - | 500.00 |"), "{found}");
        assert!(found.contains("best convolution, f32: `layer-a-"), "{found}");
    }
}
