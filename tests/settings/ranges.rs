//! Ranges that settings are said to have are those that the program keeps to: it takes the ends, and nothing beyond.

use super::source::Kind;
use super::{AUGMENTATIONS, METHODS, Setting, settings, smallest, tables};
use serde_json::{Value, json};
use tandem_augment::Augmentation;
use tandem_training::Config;

/// What hangs on another setting: the tests of the settings have it.
const ELSEWHERE: [&str; 2] = ["data.folds", "data.fold"];

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    value: f64,
    /// Whether the value itself is taken.
    closed: bool,
    /// -1 where the range is above it, 1 where it is below.
    beyond: f64,
}

/// The ends of a range in words; those that are numbers.
fn ends(range: &str) -> Vec<End> {
    let range = range.split([',', ';']).next().unwrap_or_default();
    let end = |text: &str, closed, beyond| Some(End { value: text.trim().parse().ok()?, closed, beyond });
    let lower = |text, closed| end(text, closed, -1.0);
    let found = if let Some(least) = range.strip_prefix("at least ") {
        vec![lower(least, true)]
    } else if let Some(bound) = range.strip_prefix("above ") {
        vec![lower(bound, false)]
    } else if let Some((least, bound)) = range.split_once(" to below ") {
        vec![lower(least, true), end(bound, false, 1.0)]
    } else if let Some((least, most)) = range.split_once(" to ") {
        vec![lower(least, true), end(most, true, 1.0)]
    } else {
        vec![lower(range, true), end(range, true, 1.0)]
    };
    found.into_iter().flatten().collect()
}

impl End {
    /// The last value that is taken, and the first one that is not.
    fn probes(self, whole: bool) -> [f64; 2] {
        let step = if whole { 1.0 } else { 1e-6 * self.value.abs().max(1.0) };
        let step = step * self.beyond;
        if self.closed { [self.value, self.value + step] } else { [self.value - step, self.value] }
    }
}

/// A number as a value of the type.
fn value(kind: &Kind, number: f64) -> Value {
    let whole = is_whole(kind);
    let one = if whole { json!(number as i64) } else { json!(number) };
    match kind.name() {
        "[f64; 2]" => json!([one, one]),
        "[f64; 3]" | "[usize; 3]" => json!([one, one, one]),
        "Vec<f64>" => json!([one]),
        _ => one,
    }
}

fn is_whole(kind: &Kind) -> bool {
    !kind.name().contains("f64")
}

/// Tries both sides of every end. `set` says why a value is refused.
fn probe(setting: &Setting, set: impl Fn(Value) -> Result<(), String>) -> usize {
    let Setting { path, field } = setting;
    let Some(range) = &field.range else { return 0 };
    let ends = ends(range);
    assert!(!ends.is_empty(), "{path}: no number in {range:?}");
    for end in &ends {
        let [taken, refused] = end.probes(is_whole(&field.kind));
        set(value(&field.kind, taken)).unwrap_or_else(|error| panic!("{path} = {taken} is refused: {error}"));
        let error = set(value(&field.kind, refused)).err();
        let error = error.unwrap_or_else(|| panic!("{path} = {refused} is taken, but the range is {range}"));
        // What is no whole number from 0 on is refused by its reader.
        let named = error.contains(path.as_str()) || (is_whole(&field.kind) && refused < 0.0);
        assert!(named, "{path} = {refused} is refused without its name: {error}");
    }
    ends.len()
}

fn check(config: Value) -> Result<(), String> {
    let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())
}

/// Numbers that have no range are wrong: somebody forgot to say it.
fn assert_ranged(setting: &Setting) {
    let number = setting.field.kind.described().is_some_and(|kind| kind.contains("number"));
    let listed = ["CaseList", "Names"].contains(&setting.field.kind.name());
    assert!(!number || listed || setting.field.range.is_some(), "{}: say its range", setting.path);
}

#[test]
fn settings_of_an_experiment_have_the_ranges_that_are_said() {
    let mut tried = 0;
    for (table, settings) in tables() {
        for setting in settings.iter().filter(|setting| !ELSEWHERE.contains(&setting.path.as_str())) {
            assert_ranged(setting);
            tried += probe(setting, |value| {
                let mut config = smallest();
                let parent = if table.is_empty() { &mut config } else { &mut config[table] };
                parent[&setting.field.name] = value;
                check(config)
            });
        }
    }
    assert!(tried > 25, "{tried}");
}

#[test]
fn options_of_methods_have_the_ranges_that_are_said() {
    let mut tried = 0;
    for (source, structure, names) in METHODS {
        for setting in settings(source, structure, "") {
            assert_ranged(&setting);
            for name in names {
                tried += probe(&setting, |value| {
                    let options = match setting.path.split_once('.') {
                        Some((weight, part)) => json!({ weight: { part: value } }),
                        None => json!({ &setting.path: value }),
                    };
                    tandem_objectives::build(name, &options).map(drop).map_err(|error| error.to_string())
                });
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn settings_of_augmentations_have_the_ranges_that_are_said() {
    let mut samples = json!({
        "elastic": { "probability": 0.5, "knots_mm": 20, "displacement_mm": [0, 0.1] },
        "bias_field": { "probability": 0.5, "coefficient": 0.5 },
        "blur": { "probability": 0.5, "sigma_voxels": [0, 1] },
        "low_resolution": { "probability": 0.5, "zoom": [0.5, 1] },
    });
    for preset in Augmentation::NAMES.map(|name| Augmentation::named(name).unwrap()) {
        let Value::Object(transforms) = serde_json::to_value(preset).unwrap() else { unreachable!() };
        samples.as_object_mut().unwrap().extend(transforms);
    }
    let mut tried = 0;
    for (name, source, structure) in AUGMENTATIONS {
        for setting in settings(source, structure, &format!("{name}.")) {
            assert_ranged(&setting);
            tried += probe(&setting, |value| {
                let mut config = smallest();
                config["augmentation"] = json!({ "patches": { name: samples[name] } });
                config["augmentation"]["patches"][name][&setting.field.name] = value;
                check(config)
            });
        }
    }
    assert!(tried > 30, "{tried}");
}

#[test]
fn ranges_are_read() {
    let end = |value, closed, beyond| End { value, closed, beyond };
    assert_eq!(ends("0 to below 1"), [end(0.0, true, -1.0), end(1.0, false, 1.0)]);
    assert_eq!(ends("above 0.5"), [end(0.5, false, -1.0)]);
    assert_eq!(ends("at least 16, multiples of 16"), [end(16.0, true, -1.0)]);
    assert_eq!(ends("1 to `training.patch`"), [end(1.0, true, -1.0)]);
    assert_eq!(ends("1"), [end(1.0, true, -1.0), end(1.0, true, 1.0)]);
    assert_eq!(end(1.0, false, 1.0).probes(false), [1.0 - 1e-6, 1.0]);
    assert_eq!(end(16.0, true, -1.0).probes(true), [16.0, 15.0]);
}
