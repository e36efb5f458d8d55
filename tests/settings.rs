//! `docs/settings.md`, the reference of all settings: written from the code, compared with it, and true.
//!
//! What a setting is, its unit and its range stand in the comment of its field; types are those of the fields; defaults are what the
//! program takes. `cargo xtask docs --renew` writes the page.

mod ranges;
mod source;

use crate::program::workspace;
use serde_json::{Value, json};
use source::{Field, Kind, Source};
use std::fmt::Write;
use tandem_augment::Augmentation;
use tandem_training::{AugmentationConfig, Config, EvaluationConfig};

const PAGE: &str = "docs/settings.md";

const CONFIG: Source = Source(include_str!("../crates/tandem-training/src/config.rs"));
const DATA: Source = Source(include_str!("../crates/tandem-training/src/config/data.rs"));
const TRAINING: Source = Source(include_str!("../crates/tandem-training/src/config/training.rs"));
const EVALUATION: Source = Source(include_str!("../crates/tandem-training/src/config/evaluation.rs"));
const AUGMENTATION: Source = Source(include_str!("../crates/tandem-training/src/augmentation.rs"));
const TRANSFORMS: Source = Source(include_str!("../crates/tandem-augment/src/augmentation.rs"));
const GRID: Source = Source(include_str!("../crates/tandem-cli/src/grid/arguments.rs"));

/// Where the values of a setting are listed, and the other settings of methods are.
const CHOICES: [Source; 8] = [
    CONFIG,
    Source(include_str!("../crates/tandem-training/src/precision.rs")),
    Source(include_str!("../crates/tandem-training/src/guard.rs")),
    Source(include_str!("../crates/tandem-objectives/src/methods/dual_networks/options.rs")),
    Source(include_str!("../crates/tandem-objectives/src/methods/pair.rs")),
    Source(include_str!("../crates/tandem-objectives/src/methods/student.rs")),
    Source(include_str!("../crates/tandem-objectives/src/methods/tandem.rs")),
    Source(include_str!("../crates/tandem-objectives/src/losses/prototypes.rs")),
];

const WEIGHT: Source = Source(include_str!("../crates/tandem-objectives/src/losses/ramp.rs"));

macro_rules! options {
    ($file:literal, $options:literal, $($name:literal),+) => {
        (
            Source(include_str!(concat!("../crates/tandem-objectives/src/methods/", $file))),
            $options,
            &[$($name),+],
        )
    };
}

/// The options of methods: where they stand, and the methods that have them.
const METHODS: [(Source, &str, &[&str]); 13] = [
    options!("bcp.rs", "BcpOptions", "bcp"),
    options!("cps.rs", "CpsOptions", "cps"),
    options!("dtc.rs", "DtcOptions", "dtc"),
    options!(
        "dual_networks/options.rs",
        "DualNetworksOptions",
        "dual-networks",
        "dual-networks-released",
        "ssl-contrastive"
    ),
    options!("dual_networks/cce.rs", "DualNetworksCceOptions", "dual-networks-cce"),
    options!("mc_net_plus.rs", "McNetPlusOptions", "mc-net-plus"),
    options!("mcf.rs", "McfOptions", "mcf"),
    options!("mean_teacher.rs", "MeanTeacherOptions", "mean-teacher"),
    options!("supervised.rs", "SupervisedOptions", "supervised"),
    options!("supervised_ensemble.rs", "SupervisedEnsembleOptions", "supervised-ensemble"),
    options!("tandem.rs", "TandemOptions", "tandem"),
    options!("ua_mt.rs", "UaMtOptions", "ua-mt"),
    options!("urpc.rs", "UrpcOptions", "urpc"),
];

macro_rules! transform {
    ($name:literal, $random:literal) => {
        ($name, Source(include_str!(concat!("../crates/tandem-augment/src/", $name, ".rs"))), $random)
    };
}

/// The transforms of an augmentation: their names, and where their settings stand.
const AUGMENTATIONS: [(&str, Source, &str); 11] = [
    transform!("turn", "RandomTurn"),
    transform!("flip", "RandomFlip"),
    transform!("affine", "RandomAffine"),
    transform!("elastic", "RandomElastic"),
    transform!("bias_field", "RandomBiasField"),
    transform!("brightness", "RandomBrightness"),
    transform!("contrast", "RandomContrast"),
    transform!("gamma", "RandomGamma"),
    transform!("blur", "RandomBlur"),
    transform!("low_resolution", "RandomLowResolution"),
    transform!("noise", "RandomNoise"),
];

const HEAD: &str = "\
# Settings

Every setting of an experiment, with type, unit, range and default. This page is written from the code by
`cargo xtask docs --renew`, and the tests fail where the two differ.

A definition, such as `data/experiments/la-8pct.toml`, is a TOML file of these tables. `--set TABLE.NAME=VALUE` gives another value for one
run. Unknown names are refused, and so is a value out of range, before anything is computed. Three tables shape the others and
are no settings themselves: `[profiles.NAME]` is laid over the definition by `--profile NAME`, `[variants.NAME]` by `--method NAME`, and
`extends = \"OTHER\"` lays the definition over another one. `config.json` in a run folder holds the settings that a run had.
";

const ENVIRONMENT: &str = "
## Environment

| Variable | What it does |
|---|---|
| `TANDEM_HOME` | the folder that holds `data/` and `runs/`: that of the workspace for `cargo xtask`, else the one that `tandem` is started in |
| `TANDEM_CPU` | forces a code path: `portable`, `avx2`, `avx512`, `avx512bf16` or `amx`; else the widest that the processor has |
| `RAYON_NUM_THREADS` | how many threads compute; else one a core. No result depends on it |
";

/// A setting: its place, and what is said of it.
struct Setting {
    path: String,
    field: Field,
}

/// The settings of a structure, those of a weight one by one.
fn settings(source: Source, structure: &str, prefix: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    for field in source.fields(structure) {
        let path = format!("{prefix}{}", field.name);
        if field.kind.name() != "Weight" {
            found.push(Setting { path, field });
            continue;
        }
        for mut part in WEIGHT.fields("Weight") {
            if part.name == "peak" {
                part.doc.clone_from(&field.doc);
            }
            found.push(Setting { path: format!("{path}.{}", part.name), field: part });
        }
    }
    found
}

/// The tables of a definition.
fn tables() -> Vec<(&'static str, Vec<Setting>)> {
    let is_setting = |setting: &Setting| {
        let tables = ["method", "data", "network", "training", "augmentation", "inference", "evaluation"];
        !tables.contains(&setting.path.as_str())
    };
    let of = |source: Source, structure, prefix| settings(source, structure, prefix);
    vec![
        ("", of(CONFIG, "Config", "").into_iter().filter(is_setting).collect()),
        ("method", of(CONFIG, "MethodConfig", "method.")),
        ("data", of(DATA, "DataConfig", "data.")),
        ("network", of(CONFIG, "NetworkSize", "network.")),
        ("training", of(TRAINING, "TrainingConfig", "training.")),
        ("augmentation", of(AUGMENTATION, "AugmentationConfig", "augmentation.")),
        ("inference", of(CONFIG, "InferenceConfig", "inference.")),
        ("evaluation", of(EVALUATION, "EvaluationConfig", "evaluation.")),
    ]
}

/// The smallest definition: what has no default.
fn smallest() -> Value {
    json!({
        "version": 1, "name": "tiny", "method": { "name": "supervised" },
        "data": { "dataset": ["phantom"], "labelled": 2, "validation": 1 },
        "training": { "iterations": 6, "patch": [16, 16, 16] },
        "inference": { "stride": [8, 8, 8] },
    })
}

/// What the program takes where nothing is said. Some values it leaves out of what it writes.
fn defaults() -> Value {
    let config: Config = serde_json::from_value(smallest()).unwrap();
    let mut defaults = serde_json::to_value(&config).unwrap();
    let (data, training) = (&config.data, &config.training);
    for (table, name, value) in [
        ("data", "labelled_set", json!(data.labelled_set)),
        ("data", "folds", json!(data.folds)),
        ("data", "fold", json!(data.fold)),
        ("training", "non_finite", json!(training.non_finite)),
        ("training", "max_skipped", json!(training.max_skipped)),
    ] {
        assert!(defaults[table].get(name).is_none(), "{table}.{name} is written: leave it out here");
        defaults[table][name] = value;
    }
    let augmentation = AugmentationConfig::default();
    let strong_view = augmentation.strong_view().to_string();
    let named = [("patches", augmentation.patches.to_string()), ("strong_view", strong_view)];
    defaults["augmentation"] = named.map(|(view, name)| (view.to_owned(), json!(name))).into_iter().collect();
    defaults["evaluation"] = serde_json::to_value(EvaluationConfig::default()).unwrap();
    defaults
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    value.pointer(&format!("/{}", path.replace('.', "/")))
}

/// A default as a cell.
fn cell(value: Option<&Value>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(values)) if values.iter().all(|value| value.is_number()) => {
            format!("`[{}]`", values.iter().map(number).collect::<Vec<_>>().join(", "))
        }
        Some(value) => format!("`{}`", number(value)),
    }
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        // A third is not written with 16 digits.
        Some(number) if value.is_f64() => format!("{}", (number * 1e4).round() / 1e4),
        _ => value.to_string(),
    }
}

fn default_of(setting: &Setting, smallest: &Value, defaults: &Value) -> String {
    match at(defaults, &setting.path) {
        _ if at(smallest, &setting.path).is_some() => "required".to_owned(),
        Some(Value::Object(table)) if table.is_empty() => "none".to_owned(),
        None | Some(Value::Null) => {
            assert!(setting.field.kind.is_optional(), "{}: its default is not known", setting.path);
            "none".to_owned()
        }
        found => cell(found),
    }
}

/// The values of a type that has some, with what each is.
fn choices(kind: &Kind) -> Vec<(String, String)> {
    CHOICES
        .iter()
        .map(|source| source.variants(kind.name()))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// The row of a setting, without its end: name, type and unit, range, defaults, what it is.
fn row(page: &mut String, name: &str, field: &Field, defaults: &[String]) {
    let described = field.kind.described();
    let choices = if described.is_some() { Vec::new() } else { choices(&field.kind) };
    assert!(
        described.is_some() || !choices.is_empty(),
        "{name}: say in tests/settings/source.rs what {} is",
        field.kind.0
    );
    let kind = described.unwrap_or("one of several").to_owned();
    let unit = field.unit.as_ref().map_or(String::new(), |unit| format!(", {unit}"));
    let names = choices.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let range = field.range.clone().unwrap_or(names);
    let explained = choices.iter().map(|(name, what)| format!(" `{name}`: {what}")).collect::<String>();
    let cells =
        [&[format!("`{name}`"), kind + &unit, range], defaults, &[field.doc.clone() + &explained]].concat();
    writeln!(page, "| {} |", cells.join(" | ")).unwrap();
}

fn heading(page: &mut String, columns: &[&str]) {
    let line = columns.iter().map(|_| "---|").collect::<String>();
    writeln!(page, "\n| {} |\n|{line}", columns.join(" | ")).unwrap();
}

/// The whole page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    let (smallest, defaults) = (smallest(), defaults());
    for (table, settings) in tables() {
        match table {
            "" => page.push_str("\n## At the top\n"),
            table => writeln!(page, "\n## `[{table}]`").unwrap(),
        }
        heading(&mut page, &["Setting", "Type, unit", "Range", "Default", "What it is"]);
        for setting in &settings {
            let name = setting.path.strip_prefix(&format!("{table}.")).unwrap_or(&setting.path);
            row(&mut page, name, &setting.field, &[default_of(setting, &smallest, &defaults)]);
        }
    }
    methods(&mut page);
    augmentations(&mut page);
    page.push_str(
        "\n## `[grid]`\n\nWhich runs an experiment consists of, where it is a grid of several. The command line has options of the same names.\n",
    );
    heading(&mut page, &["Setting", "Type, unit", "Range", "What it is"]);
    for setting in settings(GRID, "Axes", "") {
        row(&mut page, &setting.path, &setting.field, &[]);
    }
    page + ENVIRONMENT
}

fn methods(page: &mut String) {
    page.push_str(
        "\n## `[method.options]`\n\nThe options that a method has, with the defaults of each method of this kind. [method.md](method.md) says what they \
         do. A weight of a term grows to its `peak` over a share of the run, its `ramp`.\n",
    );
    for (source, structure, names) in METHODS {
        writeln!(page, "\n### {}", names.map_to(|name| format!("`{name}`")).join(", ")).unwrap();
        let settings = settings(source, structure, "");
        if settings.is_empty() {
            page.push_str("\nNo options.\n");
            continue;
        }
        let columns = match names {
            [_] => vec!["Default"],
            names => names.to_vec(),
        };
        heading(page, &[&["Option", "Type, unit", "Range"], columns.as_slice(), &["What it is"]].concat());
        let presets = names.map_to(|name| tandem_objectives::preset(name).unwrap());
        for setting in &settings {
            let values: Vec<String> =
                presets.iter().map(|preset| cell(Some(at(preset, &setting.path).unwrap()))).collect();
            row(page, &setting.path, &setting.field, &values);
        }
    }
}

fn augmentations(page: &mut String) {
    page.push_str(
        "\n## `[augmentation.patches]` and `[augmentation.strong_view]`\n\nEach is the name of a preset, or a table of the transforms below, such as \
         `augmentation.patches.noise = { probability = 0.5, deviation = [0.0, 0.1] }`. A transform that is not named is off; one that is named needs all of \
         its settings. A strong view may move no voxel. `none` is the preset without any.\n",
    );
    let presets = Augmentation::NAMES.into_iter().filter(|name| *name != "none").collect::<Vec<_>>();
    heading(page, &[&["Setting", "Type, unit", "Range"], presets.as_slice(), &["What it is"]].concat());
    let values = presets.map_to(|name| serde_json::to_value(Augmentation::named(name).unwrap()).unwrap());
    let fields = TRANSFORMS.fields("Augmentation");
    assert!(fields.iter().map(|field| field.name.as_str()).eq(AUGMENTATIONS.map(|(name, ..)| name)));
    for (field, (name, source, structure)) in fields.iter().zip(AUGMENTATIONS) {
        for (index, mut setting) in settings(source, structure, &format!("{name}.")).into_iter().enumerate() {
            if index == 0 {
                setting.field.doc = format!("{} {}", field.doc, setting.field.doc);
            }
            let values: Vec<String> = values.iter().map(|preset| cell(at(preset, &setting.path))).collect();
            row(page, &setting.path, &setting.field, &values);
        }
    }
}

trait MapTo<T> {
    fn map_to<U>(&self, f: impl Fn(&T) -> U) -> Vec<U>;
}

impl<T> MapTo<T> for [T] {
    fn map_to<U>(&self, f: impl Fn(&T) -> U) -> Vec<U> {
        self.iter().map(f).collect()
    }
}

#[test]
fn the_page_of_settings_says_what_the_code_says() {
    let (path, page) = (workspace().join(PAGE), page());
    if std::env::var_os("TANDEM_RENEW").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(now, then)| now != then);
    assert!(
        page == written,
        "{PAGE} is stale; cargo xtask docs --renew writes it anew. The first line that differs: {differs:?}"
    );
}

#[test]
fn the_page_of_settings_has_every_method_and_every_setting_without_a_default() {
    let mut listed: Vec<&str> = METHODS.iter().flat_map(|(.., names)| *names).copied().collect();
    listed.sort_unstable();
    assert!(tandem_objectives::names().eq(listed));
    for (table, settings) in tables() {
        for setting in settings.iter().filter(|setting| at(&smallest(), &setting.path).is_some()) {
            let mut without = smallest();
            let parent = if table.is_empty() { &mut without } else { &mut without[table] };
            parent.as_object_mut().unwrap().remove(&setting.field.name);
            assert!(serde_json::from_value::<Config>(without).is_err(), "{} has a default", setting.path);
        }
    }
}
