//! Lines of a run's log as values.

use crate::event::Values;
use crate::{Error, Result, hyper_parameters};
use serde_json::{Map, Value};
use std::path::Path;

/// What a line of the log becomes.
pub(crate) struct Line {
    step: u64,
    scalars: Values,
    /// Whether it is the validation that the run ends with.
    ends_run: bool,
}

impl Line {
    /// Reads a line of the log of a run of so many steps.
    ///
    /// # Errors
    /// Where it is no line of such a log; the message says which one it is.
    pub(crate) fn read(log: &Path, number: u64, text: &str, iterations: u64) -> Result<Self> {
        let problem = |problem: String| {
            let problem = format!("line {number} {problem}; cargo xtask verify says what to do");
            Error::Damaged { path: log.to_owned(), problem }
        };
        let line: Value =
            serde_json::from_str(text).map_err(|error| problem(format!("is damaged: {error}")))?;
        let count = |key: &str| line.get(key).and_then(Value::as_u64);
        let mut scalars = Values::default();
        if let Some(step) = count("step") {
            of_step(&line, &mut scalars);
            return Ok(Line { step, scalars, ends_run: false });
        }
        let steps = count("steps").ok_or_else(|| problem("says of no step what it did".to_owned()))?;
        let rows = line.get("validation").and_then(Value::as_array);
        of_validation(rows.map_or(&[], Vec::as_slice), &mut scalars);
        Ok(Line { step: steps, scalars, ends_run: rows.is_some() && steps == iterations })
    }

    /// Whether it is the validation that the run ends with.
    pub(crate) fn ends_run(&self) -> bool {
        self.ends_run
    }

    /// The event of the line, with pictures.
    pub(crate) fn event(&self, wall_time: f64, pictures: Values) -> Vec<u8> {
        let mut values = self.scalars.clone();
        if self.ends_run {
            values.extend(hyper_parameters::end(wall_time));
        }
        values.extend(pictures);
        values.event(wall_time, self.step)
    }
}

/// The learning rate, and the losses, norms and terms that have a value; none of a step that was skipped.
fn of_step(line: &Value, scalars: &mut Values) {
    if let Some(rate) = number(&line["learning_rate"]) {
        scalars.scalar("learning_rate", rate);
    }
    for group in ["losses", "gradient_norms", "terms"] {
        for (name, value) in line[group].as_object().unwrap_or(&Map::new()) {
            if let Some(value) = number(value) {
                scalars.scalar(&format!("{group}/{name}"), value);
            }
        }
    }
}

/// The means over cases of what was predicted on the scans' own grids. Distances in voxels say nothing that those in mm do not.
fn of_validation(rows: &[Value], scalars: &mut Values) {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let several = rows.iter().any(|row| row["class"] == "mean");
    for row in rows {
        let (grid, component, unit) = (text(row, "grid"), text(row, "component"), text(row, "unit"));
        let is_whole = component.is_empty() || component == "all";
        let Some(mean) = number(&row["mean"]).filter(|_| grid == "own" && is_whole && unit != "voxels")
        else {
            continue;
        };
        let unit = if unit.is_empty() { unit } else { format!("_{unit}") };
        let class = if several { format!("/{}", text(row, "class")) } else { String::new() };
        let (metric, predictor) = (text(row, "metric"), text(row, "predictor"));
        scalars.scalar(&format!("validation/{metric}{unit}/{predictor}{class}"), mean);
    }
}

/// A number of the log: JSON has no names for those that are not finite, the log writes them as text.
fn number(value: &Value) -> Option<f32> {
    match value {
        Value::Number(number) => number.as_f64().map(|value| value as f32),
        Value::String(name) => ["NaN", "inf", "-inf"].contains(&name.as_str()).then(|| name.parse().ok())?,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> String {
        let line = Line::read(Path::new("log.jsonl"), 7, line, 10).unwrap();
        String::from_utf8_lossy(&line.event(1.5, Values::default())).into_owned()
    }

    #[test]
    fn what_has_a_value_becomes_a_scalar() {
        let step = values(
            r#"{"step":3,"learning_rate":0.01,"losses":{"vnet":1.5},"gradient_norms":{"vnet":"NaN"},"terms":{"l_c/pull":{"undefined":"x"},"tau":2}}"#,
        );
        for tag in ["learning_rate", "losses/vnet", "gradient_norms/vnet", "terms/tau"] {
            assert!(step.contains(tag), "{tag}");
        }
        assert!(!step.contains("l_c/pull"), "{step}");
        assert!(!values(r#"{"step":3,"skipped":"x"}"#).contains("learning_rate"));
    }

    #[test]
    fn validations_are_means_of_whole_predictions_in_mm() {
        let row = |grid: &str, class: &str, unit: &str, mean: &str| {
            format!(
                r#"{{"grid":"{grid}","predictor":"ensemble","component":"all","class":"{class}","metric":"asd","unit":"{unit}","mean":{mean},"sd":null,"n":1,"undefined":0}}"#
            )
        };
        let line = |steps: u64, rows: &[String]| {
            values(&format!(r#"{{"steps":{steps},"validation":[{}]}}"#, rows.join(",")))
        };
        let one = line(
            4,
            &[row("own", "1", "mm", "0.5"), row("own", "1", "voxels", "1"), row("working", "1", "", "1")],
        );
        assert_eq!(one.matches("validation/").count(), 1);
        assert!(one.contains("validation/asd_mm/ensemble") && !one.contains("hparams"), "{one}");
        let several = line(10, &[row("own", "liver", "", "null"), row("own", "mean", "", "0.5")]);
        assert_eq!(several.matches("validation/").count(), 1);
        assert!(several.contains("validation/asd/ensemble/mean"), "{several}");
        assert!(several.contains("session_end_info"), "{several}");
    }

    #[test]
    fn a_damaged_line_is_named() {
        for text in ["{\"step\":", "{}", "nonsense"] {
            let error = Line::read(Path::new("log.jsonl"), 7, text, 10).err().unwrap().to_string();
            assert!(error.starts_with("log.jsonl: line 7 "), "{error}");
        }
    }
}
