//! Whether the settings of a command are those of the run that it is to go on with.

use anyhow::{Result, bail};
use serde_json::Value;
use std::path::Path;
use tandem_training::{Config, Precision};
use tandem_volume::prepared::Names;

/// # Errors
/// Names the first setting that the run in `folder` has otherwise.
pub(super) fn check(asked: &Config, of_run: &Config, folder: &Path) -> Result<()> {
    if let Some(difference) = difference(asked, of_run)? {
        bail!(
            "{}: {difference}; leave that out, or go on with the run as it is: experiment --resume {}",
            folder.display(),
            folder.display()
        );
    }
    Ok(())
}

/// The first setting that a run has otherwise, such as `training.seed is 3 here and 1337 in the run`.
pub(crate) fn difference(asked: &Config, of_run: &Config) -> Result<Option<String>> {
    let (mut asked, mut of_run) = (decided(asked.clone(), of_run), of_run.clone());
    for config in [&mut asked, &mut of_run] {
        config.method = config.method.resolved()?;
    }
    Ok(first_difference("", &serde_json::to_value(asked)?, &serde_json::to_value(of_run)?))
}

/// With what a run decides on when it begins, beside the options of its method: its precision, its strong view, and the channels and
/// classes of its data; and with its name, which changes nothing of it.
fn decided(mut asked: Config, of_run: &Config) -> Config {
    asked.name.clone_from(&of_run.name);
    if asked.precision == Precision::Auto {
        asked.precision = of_run.precision;
    }
    let (own, of_begun) = (&mut asked.augmentation, &of_run.augmentation);
    if own.strong_view.is_none() && of_begun.strong_view == Some(own.strong_view()) {
        own.strong_view.clone_from(&of_begun.strong_view);
    }
    let of_data = [&of_run.data.channels, &of_run.data.classes];
    for (own, of_run) in [&mut asked.data.channels, &mut asked.data.classes].into_iter().zip(of_data) {
        let count = of_run.as_ref().map(Names::count);
        if own.as_ref().is_none_or(|own| count.is_some_and(|count| *own == Names::Numbered(count))) {
            own.clone_from(of_run);
        }
    }
    asked
}

/// The first place where two values differ.
fn first_difference(place: &str, asked: &Value, of_run: &Value) -> Option<String> {
    match (asked, of_run) {
        (Value::Object(asked), Value::Object(of_run)) => asked.keys().chain(of_run.keys()).find_map(|key| {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
            first_difference(&place, &of(asked), &of(of_run))
        }),
        _ if asked == of_run => None,
        _ => Some(format!("{place} is {asked} here and {of_run} in the run")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        serde_json::from_value(serde_json::json!({
            "version": 1,
            "name": "tiny",
            "precision": "f32",
            "method": { "name": "mcf" },
            "data": { "dataset": ["phantom"], "labelled": 2, "validation": 1, "classes": ["background", "atrium"] },
            "training": { "iterations": 6, "patch": [16, 16, 16] },
            "inference": { "stride": [8, 8, 8] },
        }))
        .unwrap()
    }

    fn message(change: impl FnOnce(&mut Config)) -> Option<String> {
        let mut asked = config();
        change(&mut asked);
        check(&asked, &config(), Path::new("runs/tiny")).err().map(|error| error.to_string())
    }

    #[test]
    fn what_a_run_decides_on_is_no_difference() {
        assert_eq!(message(|_| {}), None);
        assert_eq!(message(|asked| asked.precision = Precision::Auto), None);
        assert_eq!(message(|asked| asked.data.classes = None), None);
        assert_eq!(message(|asked| asked.name = "another".to_owned()), None);
        assert_eq!(message(|asked| asked.data.classes = Some(Names::Numbered(2))), None);
    }

    #[test]
    fn a_strong_view_that_a_run_wrote_down_is_no_difference_unless_another_one_is_asked_for() {
        let mut of_run = config();
        of_run.augmentation.strong_view = Some(of_run.augmentation.strong_view());
        assert_eq!(difference(&config(), &of_run).unwrap(), None);
        let mut asked = config();
        asked.augmentation.strong_view = Some(Default::default());
        let found = difference(&asked, &of_run).unwrap().unwrap();
        assert!(found.starts_with("augmentation.strong_view"), "{found}");
    }

    #[test]
    fn options_are_compared_whole() {
        let mut of_run = config();
        of_run.method = of_run.method.resolved().unwrap();
        assert!(of_run.method.options.contains_key("temperature"));
        assert_eq!(difference(&config(), &of_run).unwrap(), None);
        assert_eq!(difference(&of_run, &config()).unwrap(), None);
        of_run.method.options.insert("temperature".to_owned(), 0.5.into());
        let found = difference(&config(), &of_run).unwrap().unwrap();
        assert!(found.starts_with("method.options.temperature is "), "{found}");
    }

    #[test]
    fn another_setting_is_named() {
        let seed = "runs/tiny: training.seed is 3 here and 1337 in the run; leave that out, or go on with the run as it is: \
                    experiment --resume runs/tiny";
        assert_eq!(message(|asked| asked.training.seed = 3).unwrap(), seed);
        let classes = message(|asked| asked.data.classes = Some(Names::Numbered(3))).unwrap();
        assert!(
            classes.contains("data.classes is 3 here and [\"background\",\"atrium\"] in the run"),
            "{classes}"
        );
    }
}
