//! Whether a log tells a whole run.

use serde_json::Value;

/// What a log of a run of so many steps says; or what is wrong with it.
pub(super) fn check(text: &str, iterations: u64) -> Result<String, String> {
    let (mut next, mut validated, mut skipped, mut validations) = (0, None, 0, 0);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line: Value =
            serde_json::from_str(line).map_err(|error| format!("line {number} is damaged: {error}"))?;
        let count = |key: &str| line.get(key).and_then(Value::as_u64);
        let steps = match count("step") {
            Some(step) if step == next => {
                skipped += u64::from(line.get("skipped").is_some());
                next += 1;
                continue;
            }
            Some(step) => return Err(format!("line {number} is step {step} where step {next} is due")),
            None => count("steps"),
        };
        match steps {
            Some(steps) if steps == next && line.get("validation").is_some() => {
                validated = Some(steps);
                validations += 1;
            }
            Some(steps) if steps == next && line.get("kernels").is_some() => {}
            _ => return Err(format!("line {number} says something that does not belong after {next} steps")),
        }
    }
    if next != iterations {
        return Err(format!("has {next} of {iterations} steps"));
    }
    if validated != Some(iterations) {
        return Err("does not end with a validation of the final weights".to_owned());
    }
    if !text.starts_with("{\"steps\":0,\"kernels\"") {
        return Err("does not begin with the kernels that computed".to_owned());
    }
    let left_out = if skipped > 0 { format!(", {skipped} of them skipped") } else { String::new() };
    Ok(format!("steps 0 to {} once each{left_out}; {validations} validations", next - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNELS: &str = "{\"steps\":0,\"kernels\":{\"precision\":\"f32\",\"cpu\":\"avx2\"}}\n";
    const END: &str = "{\"steps\":3,\"validation\":[]}\n";

    fn log(steps: &[u64], end: &str) -> String {
        let lines: String =
            steps.iter().map(|step| format!("{{\"step\":{step},\"losses\":{{}}}}\n")).collect();
        format!("{KERNELS}{lines}{end}")
    }

    #[test]
    fn a_whole_log_passes_and_its_skipped_steps_are_counted() {
        assert_eq!(check(&log(&[0, 1, 2], END), 3).unwrap(), "steps 0 to 2 once each; 1 validations");
        let skipped = log(&[0, 1], &format!("{{\"step\":2,\"skipped\":\"x\"}}\n{END}"));
        assert!(check(&skipped, 3).unwrap().contains("1 of them skipped"));
    }

    #[test]
    fn what_is_missing_doubled_or_foreign_is_told_with_its_line() {
        let problem = |steps: &[u64], end: &str| check(&log(steps, end), 3).unwrap_err();
        assert_eq!(problem(&[0, 2], END), "line 3 is step 2 where step 1 is due");
        assert_eq!(problem(&[0, 1, 1, 2], END), "line 4 is step 1 where step 2 is due");
        assert_eq!(problem(&[0, 1], ""), "has 2 of 3 steps");
        assert_eq!(problem(&[0, 1, 2], ""), "does not end with a validation of the final weights");
        assert!(problem(&[0, 1, 2], "{\"step\":3,\"lo").starts_with("line 5 is damaged"));
        assert!(problem(&[0, 1], END).starts_with("line 4 says something"));
    }
}
