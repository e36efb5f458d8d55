//! Experiment definitions: TOML tables, a profile laid over them, then what the command line sets.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What the command line changes in a definition, in the order in which it is applied.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// The profile laid over the definition; `full` is the definition itself.
    pub(crate) profile: &'a str,
    /// Another method, with its own default options; or a variant of the definition, which is laid over it.
    pub(crate) method: Option<&'a str>,
    /// Another seed.
    pub(crate) seed: Option<u64>,
    /// `key=value` with dotted keys.
    pub(crate) set: &'a [String],
}

/// An experiment as its file states it.
#[derive(Debug)]
pub(crate) struct Definition {
    path: PathBuf,
    table: Table,
    profiles: Table,
    variants: Table,
    grid: Option<Value>,
}

/// How many definitions may extend one another.
const DEPTH: usize = 8;

/// The definitions that the program brings along, by name: a folder without one of that name needs none.
const BUILT_IN: [(&str, &str); 8] = [
    ("la-100pct", include_str!("../../../data/experiments/la-100pct.toml")),
    ("la-16pct", include_str!("../../../data/experiments/la-16pct.toml")),
    ("la-8pct", include_str!("../../../data/experiments/la-8pct.toml")),
    ("la-ablation", include_str!("../../../data/experiments/la-ablation.toml")),
    ("la-effort", include_str!("../../../data/experiments/la-effort.toml")),
    ("la-tandem", include_str!("../../../data/experiments/la-tandem.toml")),
    ("pancreas-10pct", include_str!("../../../data/experiments/pancreas-10pct.toml")),
    ("pancreas-20pct", include_str!("../../../data/experiments/pancreas-20pct.toml")),
];

impl Definition {
    /// Opens a path that ends in `.toml`, or the definition of that name: that in `folder`, else the program's own.
    pub(crate) fn open(name: &str, folder: &Path) -> Result<Self> {
        let path = if name.ends_with(".toml") { PathBuf::from(name) } else { place(folder, name) };
        if built_in(&path).is_none() && !path.is_file() {
            bail!("there is no experiment {}; {}", path.display(), known(folder));
        }
        let table = read(&path, DEPTH)?;
        Self::of(path.clone(), table).with_context(|| format!("experiment {}", path.display()))
    }

    fn of(path: PathBuf, mut table: Table) -> Result<Self> {
        let mut tables = |name: &str, write: &str| match table.remove(name) {
            Some(Value::Table(tables)) => Ok(tables),
            Some(_) => bail!("{name} is not a table; write [{name}.{write}]"),
            None => Ok(Table::new()),
        };
        let (profiles, variants) = (tables("profiles", "quick")?, tables("variants", "NAME")?);
        let grid = table.remove("grid");
        Ok(Definition { path, table, profiles, variants, grid })
    }

    /// Its file; of the program's own, the name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, for messages.
    pub(crate) fn described(&self) -> String {
        format!("experiment {}", self.path.display())
    }

    /// The table `[grid]`, where there is one: which runs the experiment consists of.
    pub(crate) fn grid(&self) -> Option<&Value> {
        self.grid.as_ref()
    }

    /// The settings with the changes applied. Whether their keys are known is for their reader to say.
    pub(crate) fn resolve(&self, changes: &Changes) -> Result<Table> {
        self.apply(changes).with_context(|| self.described())
    }

    fn apply(&self, changes: &Changes) -> Result<Table> {
        let mut table = self.table.clone();
        if changes.profile != "full" {
            let Some(Value::Table(profile)) = self.profiles.get(changes.profile) else {
                bail!("it has no profile {:?}; write [profiles.{}]", changes.profile, changes.profile);
            };
            overlay(&mut table, profile);
        }
        if let Some(method) = changes.method {
            let named = || Table::from_iter([("method".to_owned(), Value::Table(method_table(method)))]);
            let over = match self.variants.get(method) {
                None => named(),
                Some(Value::Table(variant)) => variant.clone(),
                Some(_) => bail!("variants.{method} is not a table; write [variants.{method}.method]"),
            };
            // The options of one method mean nothing to another.
            if over.contains_key("method") {
                table.remove("method");
            }
            overlay(&mut table, &over);
        }
        if let Some(seed) = changes.seed {
            let seed = i64::try_from(seed).context("--seed: at most 9223372036854775807")?;
            insert(&mut table, "training.seed", seed.into())?;
        }
        for setting in changes.set {
            let (key, value) =
                setting.split_once('=').with_context(|| format!("--set {setting}: write key=value"))?;
            insert(&mut table, key.trim(), value_of(value.trim()))
                .with_context(|| format!("--set {setting}"))?;
        }
        Ok(table)
    }
}

fn method_table(name: &str) -> Table {
    Table::from_iter([("name".to_owned(), name.into())])
}

/// Where the definition of that name is: in the folder; else its name alone, by which the program knows its own.
fn place(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.toml"));
    if !file.is_file() && built_in(Path::new(name)).is_some() { PathBuf::from(name) } else { file }
}

fn built_in(path: &Path) -> Option<&'static str> {
    BUILT_IN.iter().find(|(name, _)| path == Path::new(name)).map(|(_, text)| *text)
}

/// Reads a definition, laid over the one that it extends where it says so.
fn read(path: &Path, depth: usize) -> Result<Table> {
    let own = built_in(path);
    let text = match own {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut table: Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
    let below = match table.remove("extends") {
        None => return Ok(table),
        Some(Value::String(name)) if own.is_some() => PathBuf::from(name),
        Some(Value::String(name)) => place(path.parent().unwrap_or(Path::new("")), &name),
        Some(_) => bail!("{}: extends is no name; write extends = \"la-8pct\"", path.display()),
    };
    if depth == 0 {
        bail!(
            "{}: more than {DEPTH} definitions extend one another; does one extend itself?",
            path.display()
        );
    }
    let mut extended = read(&below, depth - 1).with_context(|| format!("{} extends it", path.display()))?;
    overlay(&mut extended, &table);
    Ok(extended)
}

/// Lays one table over another: tables merge, everything else replaces.
fn overlay(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

fn insert(table: &mut Table, key: &str, value: Value) -> Result<()> {
    match key.split_once('.') {
        None if key.is_empty() => bail!("the key is empty"),
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            match table.entry(first.to_owned()).or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(inner) => insert(inner, rest, value),
                _ => bail!("{first} is a value, not a table"),
            }
        }
    }
}

/// A TOML value, or the text itself where it is none: `--set data.dataset=phantom` needs no quotes.
fn value_of(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| text.into())
}

fn known(folder: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
        .chain(BUILT_IN.map(|(name, _)| name.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    format!("known are {}; or give the path of a .toml file", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = r#"
        version = 1
        [method]
        name = "dual-networks"
        options = { w0 = 0.1 }
        [training]
        iterations = 6000
        patch = [112, 112, 80]
        seed = 1
        [profiles.quick.training]
        iterations = 1000
        [variants.plain]
        method = { name = "dual-networks", options = { lambda_u = 0 } }
        training = { seed = 5 }
    "#;

    fn check(changes: &Changes) -> Result<Table> {
        Definition::of("x.toml".into(), DEFINITION.parse().unwrap())?.apply(changes)
    }

    #[test]
    fn a_profile_merges_table_by_table() {
        let full = check(&Changes { profile: "full", ..Changes::default() }).unwrap();
        let quick = check(&Changes { profile: "quick", ..Changes::default() }).unwrap();
        assert_eq!(full["training"]["iterations"], Value::from(6000));
        assert_eq!(quick["training"]["iterations"], Value::from(1000));
        assert_eq!(quick["training"]["patch"], full["training"]["patch"]);
        assert!(!quick.contains_key("profiles"));
        let error = check(&Changes { profile: "slow", ..Changes::default() }).unwrap_err();
        assert!(error.to_string().contains("no profile \"slow\""), "{error}");
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let set = ["training.iterations=30".to_owned(), "data.dataset=phantom".to_owned()];
        let changes = Changes { profile: "quick", seed: Some(7), set: &set, ..Changes::default() };
        let table = check(&changes).unwrap();
        assert_eq!(table["training"]["iterations"], Value::from(30));
        assert_eq!(table["training"]["seed"], Value::from(7));
        assert_eq!(table["data"]["dataset"], Value::from("phantom"));
    }

    #[test]
    fn another_method_drops_the_options_of_the_first() {
        let table = check(&Changes { profile: "full", method: Some("mcf"), ..Changes::default() }).unwrap();
        assert_eq!(table["method"].as_table().unwrap().len(), 1);
    }

    #[test]
    fn a_variant_is_named_like_a_method_and_laid_over_the_definition() {
        let table =
            check(&Changes { profile: "quick", method: Some("plain"), ..Changes::default() }).unwrap();
        let options = table["method"]["options"].as_table().unwrap();
        assert_eq!(options.keys().collect::<Vec<_>>(), ["lambda_u"]);
        assert_eq!((&table["training"]["seed"], &table["training"]["iterations"]), (&5.into(), &1000.into()));
        assert!(!table.contains_key("variants"));
    }

    #[test]
    fn a_definition_is_laid_over_the_one_that_it_extends() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("first.toml", DEFINITION);
        write(
            "second.toml",
            "extends = \"first\"\nname = \"second\"\n[training]\nseed = 9\n[grid]\nseeds = 2\n",
        );
        let second = Definition::open("second", folder.path()).unwrap();
        let table = second.resolve(&Changes { profile: "quick", ..Changes::default() }).unwrap();
        assert_eq!((&table["training"]["seed"], &table["training"]["iterations"]), (&9.into(), &1000.into()));
        assert_eq!(
            (table["name"].as_str(), second.grid().unwrap()["seeds"].as_integer()),
            (Some("second"), Some(2))
        );
        assert!(!table.contains_key("extends"));

        write("loop.toml", "extends = \"loop\"");
        let error = format!("{:#}", Definition::open("loop", folder.path()).unwrap_err());
        assert!(error.contains("does one extend itself?"), "{error}");
        write("lost.toml", "extends = \"nowhere\"");
        let error = format!("{:#}", Definition::open("lost", folder.path()).unwrap_err());
        assert!(error.contains("lost.toml extends it") && error.contains("nowhere.toml"), "{error}");
    }

    #[test]
    fn the_programs_own_definitions_are_those_of_the_workspace() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/experiments");
        let elsewhere = tempfile::tempdir().unwrap();
        let quick = Changes { profile: "quick", ..Changes::default() };
        let resolve =
            |name: &str, folder: &Path| Definition::open(name, folder).unwrap().resolve(&quick).unwrap();
        for (name, _) in BUILT_IN {
            assert_eq!(resolve(name, elsewhere.path()), resolve(name, &workspace), "{name}");
        }
        // There may be others, which prepare-data has proposed.
        let of_benchmark = |file: &PathBuf| {
            let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            ["la-", "pancreas-"].iter().any(|start| name.starts_with(start))
        };
        let files = std::fs::read_dir(&workspace).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(files.filter(of_benchmark).count(), BUILT_IN.len(), "BUILT_IN names them all");

        // A file of the same name comes first, and one of another name may extend them.
        let write = |name: &str, text: &str| std::fs::write(elsewhere.path().join(name), text).unwrap();
        write("mine.toml", "extends = \"la-ablation\"\nname = \"mine\"");
        assert_eq!(resolve("mine", elsewhere.path())["data"], resolve("la-8pct", &workspace)["data"]);
        write("la-8pct.toml", DEFINITION);
        assert_eq!(resolve("la-8pct", elsewhere.path())["training"]["seed"], Value::from(1));
        let error = Definition::open("la-9pct", elsewhere.path()).unwrap_err().to_string();
        assert!(
            error.contains("la-9pct.toml; known are la-100pct, ") && error.contains(", mine, "),
            "{error}"
        );
    }

    #[test]
    fn malformed_settings_say_so() {
        for (setting, message) in [("training", "key=value"), ("version.x=1", "not a table"), ("=1", "empty")]
        {
            let set = [setting.to_owned()];
            let error = check(&Changes { profile: "full", set: &set, ..Changes::default() }).unwrap_err();
            assert!(format!("{error:#}").contains(message), "{error:#}");
        }
    }

    #[test]
    fn values_are_toml_or_plain_text() {
        assert_eq!(value_of("[1, 2]").as_array().unwrap().len(), 2);
        assert_eq!(value_of("0.5"), Value::from(0.5));
        assert_eq!(value_of("true"), Value::from(true));
        assert_eq!(value_of("supervised-ensemble"), Value::from("supervised-ensemble"));
    }
}
