//! What runs a grid consists of: stated by a definition's `[grid]`, overridden by the command line.

use crate::definition::Definition;
use crate::experiment::one_line;
use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Options that make an experiment a grid, or more of one.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Grids of runs")]
#[group(id = "grid", multiple = true, conflicts_with_all = ["method", "seed", "resume"])]
pub(crate) struct Arguments {
    /// These methods, or variants of the definition, separated by commas.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    methods: Vec<String>,
    /// Each with the seeds 1 to N.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Each with the labelled sets 1 to N, which are drawn; without it, with the first scans of the list.
    #[arg(long, value_name = "N")]
    labelled_sets: Option<u64>,
    /// Each with so many labelled scans, separated by commas.
    #[arg(long, value_name = "K,L", value_delimiter = ',')]
    labelled: Vec<usize>,
    /// Each in a cross-validation with K folds.
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// The method that the others are compared with [default: supervised-ensemble].
    #[arg(long, value_name = "METHOD")]
    control: Option<String>,
    /// How many runs at once. They share the threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = jobs)]
    pub(crate) jobs: usize,
}

fn jobs(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|jobs| *jobs > 0).ok_or_else(|| "give a number of at least 1".to_owned())
}

/// The axes of a grid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Axes {
    /// Methods, or variants of the definition; where there is none, the definition's method.
    pub(crate) methods: Vec<String>,
    /// Seeds 1 to this; where there is none, the definition's seed.
    ///
    /// Range: at least 1.
    pub(crate) seeds: Option<u64>,
    /// Labelled sets 1 to this; where there is none, the definition's.
    ///
    /// Range: at least 1.
    pub(crate) labelled_sets: Option<u64>,
    /// Numbers of labelled scans; where there is none, the definition's.
    ///
    /// Unit: scans. Range: at least 1.
    pub(crate) labelled: Vec<usize>,
    /// Folds of a cross-validation; where there is none, the definition's division.
    ///
    /// Range: at least 2.
    pub(crate) folds: Option<usize>,
    /// The method that the others are compared with; where there is none, `supervised-ensemble`.
    pub(crate) control: Option<String>,
}

impl Arguments {
    /// Whether the command line asks for a grid.
    pub(crate) fn is_asked(&self) -> bool {
        let numbers = [self.seeds.is_some(), self.labelled_sets.is_some(), self.folds.is_some()];
        !self.methods.is_empty() || !self.labelled.is_empty() || numbers.contains(&true)
    }

    /// The axes of the definition, where it has a `[grid]`, under those of the command line; none where neither asks for a grid.
    pub(crate) fn axes(&self, definition: &Definition) -> Result<Option<Axes>> {
        let stated = definition.grid().map(|grid| {
            grid.clone().try_into::<Axes>().map_err(|error| {
                let error = one_line(&error.to_string());
                anyhow::anyhow!("{}: grid: {error}", definition.described())
            })
        });
        if stated.is_none() && !self.is_asked() {
            let useless = [("--jobs", self.jobs > 1), ("--control", self.control.is_some())];
            if let Some((option, _)) = useless.iter().find(|(_, given)| *given) {
                bail!(
                    "{option} is for several runs, and this is one; leave it out, or say which with --methods or --seeds"
                );
            }
            return Ok(None);
        }
        let mut axes = stated.transpose()?.unwrap_or_default();
        if !self.methods.is_empty() {
            axes.methods.clone_from(&self.methods);
        }
        if !self.labelled.is_empty() {
            axes.labelled.clone_from(&self.labelled);
        }
        axes.seeds = self.seeds.or(axes.seeds);
        axes.labelled_sets = self.labelled_sets.or(axes.labelled_sets);
        axes.folds = self.folds.or(axes.folds);
        axes.control = self.control.clone().or(axes.control);
        axes.check().with_context(|| definition.described())?;
        Ok(Some(axes))
    }
}

impl Axes {
    fn check(&self) -> Result<()> {
        for (name, count) in [("seeds", self.seeds), ("labelled sets", self.labelled_sets)] {
            if count == Some(0) {
                bail!("a grid needs at least 1 of its {name}; leave the option out for the definition's own");
            }
        }
        if self.folds.is_some_and(|folds| folds < 2) {
            bail!(
                "a cross-validation needs at least 2 folds; leave the option out for the definition's validation scans"
            );
        }
        let twice = |names: &[String]| names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
        let labelled: Vec<String> = self.labelled.iter().map(ToString::to_string).collect();
        if twice(&self.methods) || twice(&labelled) {
            bail!("a grid names a method or a number of labelled scans twice; give each once");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[arg(long)]
        method: Option<String>,
        #[arg(long)]
        seed: Option<u64>,
        #[arg(long)]
        resume: Option<String>,
        #[command(flatten)]
        grid: Arguments,
    }

    fn axes(definition: &str, line: &[&str]) -> Result<Option<Axes>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.toml"), definition).unwrap();
        let line = Line::try_parse_from([&["tandem"], line].concat())?;
        line.grid.axes(&Definition::open("x", folder.path())?)
    }

    #[test]
    fn the_command_line_has_the_last_word_on_each_axis() {
        assert_eq!(axes("version = 1", &[]).unwrap(), None);
        let stated = "[grid]\nmethods = [\"mcf\"]\nseeds = 2\nlabelled = [4, 8]";
        let found = axes(stated, &["--methods", "a,b", "--folds", "5"]).unwrap().unwrap();
        assert_eq!((found.methods, found.labelled), (vec!["a".to_owned(), "b".to_owned()], vec![4, 8]));
        assert_eq!((found.seeds, found.labelled_sets, found.folds), (Some(2), None, Some(5)));
    }

    #[test]
    fn what_makes_no_grid_is_told() {
        let message = |definition, line: &[&str]| format!("{:#}", axes(definition, line).unwrap_err());
        assert!(message("[grid]\nseed = 2", &[]).contains("grid: unknown field `seed`"));
        assert!(message("", &["--methods", "a,b,a"]).contains("twice"));
        assert!(message("", &["--seeds", "0"]).contains("at least 1"));
        assert!(message("", &["--folds", "1"]).contains("at least 2"));
        assert!(message("", &["--seeds", "2", "--seed", "1"]).contains("cannot be used with"));
        assert!(message("", &["--jobs", "2"]).starts_with("--jobs is for several runs"));
        assert!(message("", &["--control", "mcf"]).starts_with("--control is for several runs"));
    }
}
