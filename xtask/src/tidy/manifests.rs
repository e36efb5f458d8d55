//! Rules about `Cargo.toml`: who may import whom, and what is inherited from the workspace.

use anyhow::{Context, Result};
use std::path::Path;
use toml::{Table, Value};

/// Crates that import nothing and may be imported by all: random numbers, and where the tests' reference data lies.
const ANYWHERE: [&str; 2] = ["tandem-random", "tandem-reference"];

/// Who else may import whom.
const IMPORTS: [(&str, &[&str]); 18] = [
    ("tandem-random", &[]),
    ("tandem-reference", &[]),
    ("tandem-volume", &[]),
    ("tandem-metrics", &[]),
    ("tandem-statistics", &[]),
    ("tandem-tensorboard", &[]),
    ("tandem-report", &["tandem-metrics"]),
    ("tandem-weights", &[]),
    ("tandem-ops3d", &[]),
    ("tandem-augment", &["tandem-volume"]),
    ("tandem-networks", &["tandem-ops3d"]),
    ("tandem-objectives", &["tandem-ops3d", "tandem-metrics"]),
    ("tandem-inference", &["tandem-networks", "tandem-ops3d", "tandem-volume"]),
    ("tandem-training", BELOW_TRAINING),
    ("tandem-cli", ALL),
    ("tandem-bench", ALL),
    ("tandem-tests", ALL),
    ("xtask", &[]),
];

/// What training may import: not itself, and no crate that shows what it did.
const BELOW_TRAINING: &[&str] = ALL.split_at(2).1;
const ALL: &[&str] = &[
    "tandem-training",
    "tandem-report",
    "tandem-volume",
    "tandem-metrics",
    "tandem-ops3d",
    "tandem-augment",
    "tandem-networks",
    "tandem-objectives",
    "tandem-inference",
    "tandem-statistics",
    "tandem-tensorboard",
    "tandem-weights",
];

/// Crates that do arithmetic on plain arrays and must stay free of the tensor library.
const WITHOUT_CANDLE: [&str; 10] = [
    "tandem-random",
    "tandem-reference",
    "tandem-volume",
    "tandem-metrics",
    "tandem-augment",
    "tandem-statistics",
    "tandem-tensorboard",
    "tandem-report",
    "tandem-weights",
    "xtask",
];

/// A crate's name and manifest.
pub(super) struct Manifest {
    /// The package's name.
    pub(super) name: String,
    table: Table,
}

impl Manifest {
    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        Ok(Manifest { name: name.context("no package.name")?.to_owned(), table })
    }

    /// The names of all dependencies: ordinary, of tests, of build scripts, of single targets.
    fn dependencies(&self) -> Vec<&str> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let tables = std::iter::once(&self.table)
            .chain(targets.into_iter().flat_map(|t| t.values().filter_map(Value::as_table)));
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        tables
            .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
            .flat_map(|dependencies| dependencies.keys().map(String::as_str))
            .collect()
    }

    fn inherits(&self, section: &str, key: &str) -> bool {
        let value = match key {
            "" => self.table.get(section),
            key => self.table.get(section).and_then(|s| s.get(key)),
        };
        value.and_then(|v| v.get("workspace")).and_then(Value::as_bool) == Some(true)
    }
}

/// The manifests of all members of the workspace.
pub(super) fn read_all(root: &Path) -> Result<Vec<Manifest>> {
    let mut folders = vec![root.join("tests"), root.join("tests/reference"), root.join("xtask")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        folders.push(entry?.path());
    }
    folders.sort();
    folders
        .iter()
        .map(|folder| {
            let path = folder.join("Cargo.toml");
            Manifest::parse(&super::read(&path)?).with_context(|| format!("{}", path.display()))
        })
        .collect()
}

/// What is wrong with a manifest.
pub(super) fn complaints(manifest: &Manifest) -> Vec<String> {
    let name = &manifest.name;
    let mut found = Vec::new();
    let allowed = IMPORTS.iter().find(|(importer, _)| importer == name).map(|(_, allowed)| *allowed);
    if allowed.is_none() {
        found.push(format!("{name}: not in the table of imports; add it to xtask/src/tidy/manifests.rs"));
    }
    for dependency in manifest.dependencies() {
        let permitted =
            ANYWHERE.contains(&dependency) || allowed.is_some_and(|list| list.contains(&dependency));
        if dependency.starts_with("tandem-") && !permitted {
            found.push(format!("{name}: must not import {dependency} (see docs/architecture.md)"));
        }
        if dependency.starts_with("candle") && WITHOUT_CANDLE.contains(&name.as_str()) {
            found.push(format!("{name}: must not import {dependency}; this crate works on plain arrays"));
        }
    }
    if !manifest.inherits("lints", "") {
        found.push(format!("{name}: lints are not the workspace's; write [lints] workspace = true"));
    }
    for key in ["version", "edition", "rust-version", "license"] {
        if !manifest.inherits("package", key) {
            found.push(format!("{name}: write {key}.workspace = true"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                         license.workspace = true\n[lints]\nworkspace = true\n";

    fn check(name: &str, rest: &str) -> Vec<String> {
        complaints(&Manifest::parse(&format!("[package]\nname = \"{name}\"\n{SOUND}{rest}")).unwrap())
    }

    #[test]
    fn sound_manifests_pass() {
        assert!(check("tandem-augment", "[dependencies]\ntandem-volume.workspace = true").is_empty());
        assert!(check("tandem-metrics", "[dependencies]\ntandem-random = \"1\"\nndarray = \"1\"").is_empty());
        assert!(check("tandem-training", "[dependencies]\ntandem-objectives = \"1\"").is_empty());
        assert!(check("tandem-cli", "[dependencies]\ntandem-training = \"1\"").is_empty());
    }

    #[test]
    fn forbidden_imports_are_found_wherever_they_stand() {
        for section in
            ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
        {
            let found = check("tandem-objectives", &format!("[{section}]\ntandem-networks = \"1\""));
            assert_eq!(
                found,
                ["tandem-objectives: must not import tandem-networks (see docs/architecture.md)"]
            );
        }
        assert_eq!(check("tandem-random", "[dependencies]\ntandem-volume = \"1\"").len(), 1);
        assert_eq!(check("tandem-training", "[dependencies]\ntandem-cli = \"1\"").len(), 1);
        assert_eq!(check("xtask", "[dependencies]\ntandem-cli = \"1\"").len(), 1);
    }

    #[test]
    fn plain_crates_stay_free_of_candle() {
        assert_eq!(check("tandem-volume", "[dependencies]\ncandle-core = \"1\"").len(), 1);
        assert!(check("tandem-ops3d", "[dependencies]\ncandle-core = \"1\"").is_empty());
    }

    #[test]
    fn an_unknown_crate_must_be_placed_first() {
        assert!(check("tandem-viewer", "")[0].contains("table of imports"));
    }

    #[test]
    fn what_is_not_inherited_is_named() {
        let manifest = Manifest::parse("[package]\nname = \"xtask\"\nversion = \"1\"").unwrap();
        let found = complaints(&manifest);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found[0].contains("[lints] workspace = true"));
        assert!(found[1].contains("version.workspace = true"));
    }
}
