//! `comparison.csv`: every number, one line for each method and metric. What does not exist is an empty cell.

use super::{Against, Line};
use tandem_training::csv_cell;

const COLUMNS: [&str; 29] = [
    "labelled",
    "grid",
    "component",
    "class",
    "predictor",
    "metric",
    "unit",
    "method",
    "runs",
    "mean",
    "sd",
    "cases",
    "cases_left_out",
    "undefined",
    "low",
    "high",
    "pairs",
    "pairs_left_out",
    "pairs_undefined",
    "runs_left_out",
    "difference",
    "difference_low",
    "difference_high",
    "median_difference",
    "p",
    "p_holm",
    "distribution",
    "rank_biserial",
    "cohen_dz",
];

pub(super) fn text(lines: &[Line]) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for line in lines {
        text += &cells(line).map(|cell| csv_cell(&cell)).join(",");
        text.push('\n');
    }
    text
}

fn cells(line: &Line) -> [String; 29] {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let end = |interval: Option<[f64; 2]>, at: usize| number(interval.map(|ends| ends[at]));
    let against = line.against.as_ref();
    let of = |value: fn(&Against) -> Option<f64>| number(against.and_then(value));
    let count =
        |value: fn(&Against) -> usize| against.map_or_else(String::new, |found| value(found).to_string());
    [
        line.labelled.to_string(),
        line.grid.name().to_owned(),
        line.component.name().to_owned(),
        line.class.clone(),
        line.predictor.clone(),
        line.metric.clone(),
        line.unit.clone(),
        line.method.clone(),
        line.runs.to_string(),
        number(line.mean),
        number(line.sd),
        line.cases.to_string(),
        line.cases_left_out.to_string(),
        line.undefined.to_string(),
        end(line.interval, 0),
        end(line.interval, 1),
        count(|found| found.cases),
        count(|found| found.cases_left_out),
        count(|found| found.undefined),
        count(|found| found.runs_left_out),
        of(|found| found.difference),
        end(against.and_then(|found| found.interval), 0),
        end(against.and_then(|found| found.interval), 1),
        of(|found| found.median),
        of(|found| found.p),
        of(|found| found.p_holm),
        against.and_then(|found| found.distribution).unwrap_or_default().to_owned(),
        of(|found| found.rank_biserial),
        of(|found| found.cohen_dz),
    ]
}
