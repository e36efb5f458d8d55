//! One run of a grid: its settings, and how far it is.

use super::Axes;
use crate::definition::{Changes, Definition};
use crate::device::DeviceName;
use crate::experiment::{self, same};
use crate::output::say;
use crate::run_folder;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use tandem_training::{Config, Lists};
use tandem_volume::prepared::Manifest;

/// One run of a grid.
pub(crate) struct Cell {
    /// The run folder, below the grid's.
    pub(super) name: String,
    /// A method, or a variant of the definition.
    pub(super) method: String,
    /// What the command line of the run sets beside method and seed.
    pub(super) settings: Vec<String>,
    pub(super) config: Config,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    Interrupted,
    Done,
}

impl State {
    /// What will happen to it.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Missing => "begins",
            State::Interrupted => "goes on",
            State::Done => "done",
        }
    }
}

/// Settings that belong to an axis, and the option that sets it.
const OF_AXES: [(&str, &str); 6] = [
    ("training.seed", "--seeds"),
    ("method.name", "--methods"),
    ("data.labelled_set", "--labelled-sets"),
    ("data.labelled", "--labelled"),
    ("data.folds", "--folds"),
    ("data.fold", "--folds"),
];

/// All runs of a grid: one labelled number after the other, seed by seed, and all methods on one seed before the next seed, so that
/// a comparison is possible early.
pub(super) fn all(
    definition: &Definition,
    axes: &Axes,
    profile: &str,
    set: &[String],
    device: Option<DeviceName>,
) -> Result<Vec<Cell>> {
    for setting in set {
        let key = setting.split('=').next().unwrap_or_default().trim();
        // How many scans are labelled may be set for all runs alike.
        let is_free = key == "data.labelled" && axes.labelled.is_empty();
        if let Some((_, option)) = OF_AXES.iter().find(|(of_axis, _)| *of_axis == key && !is_free) {
            bail!("--set {setting}: in a grid {key} is given by {option}");
        }
    }
    let methods = match axes.methods.as_slice() {
        [] => {
            let changes = Changes { profile, set, ..Changes::default() };
            vec![experiment::resolve(definition, &changes, device)?.method.name]
        }
        methods => methods.to_vec(),
    };
    let mut cells = Vec::new();
    for labelled in axis(&axes.labelled) {
        for seed in axis(&numbered(axes.seeds)) {
            for labelled_set in axis(&numbered(axes.labelled_sets)) {
                for fold in axis(&numbered(axes.folds.map(|folds| folds as u64))) {
                    for method in &methods {
                        let place = Place { labelled, labelled_set, fold, folds: axes.folds };
                        let all = [set, &place.settings()].concat();
                        let changes = Changes { profile, method: Some(method), seed, set: &all };
                        let config = experiment::resolve(definition, &changes, device)?;
                        let name = place.name(method, config.training.seed);
                        cells.push(Cell { name, method: method.clone(), settings: place.settings(), config });
                    }
                }
            }
        }
    }
    Ok(cells)
}

/// The values of an axis, or one that changes nothing.
fn axis<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

fn numbered(count: Option<u64>) -> Vec<u64> {
    (1..=count.unwrap_or(0)).collect()
}

/// Where a run stands on the axes that are settings of the data.
struct Place {
    labelled: Option<usize>,
    labelled_set: Option<u64>,
    fold: Option<u64>,
    folds: Option<usize>,
}

impl Place {
    /// As `--set` takes them.
    fn settings(&self) -> Vec<String> {
        let folds = self.fold.and(self.folds).map(|folds| format!("data.folds={folds}"));
        let labelled = self.labelled.map(|count| format!("data.labelled={count}"));
        let set = self.labelled_set.map(|set| format!("data.labelled_set={set}"));
        let fold = self.fold.map(|fold| format!("data.fold={fold}"));
        [labelled, set, folds, fold].into_iter().flatten().collect()
    }

    fn name(&self, method: &str, seed: u64) -> String {
        let part = |letters: &str, value: Option<u64>| {
            value.map_or_else(String::new, |value| format!("-{letters}{value}"))
        };
        let labelled = self.labelled.map(|count| count as u64);
        let rest = [("set", self.labelled_set), ("fold", self.fold), ("k", labelled)];
        let rest: String = rest.iter().map(|(letters, value)| part(letters, *value)).collect();
        format!("{method}-s{seed}{rest}")
    }
}

/// The runs that the scans allow. A method that needs unlabelled scans has no run where none is left; that is said.
///
/// # Errors
/// Where the lists of another run cannot be made, or no run is left.
pub(super) fn possible(cells: Vec<Cell>, manifest: &Manifest) -> Result<Vec<Cell>> {
    let mut left = Vec::new();
    for cell in cells {
        let lists = Lists::of(manifest, &cell.config.data).with_context(|| cell.name.clone())?;
        let method = &cell.config.method;
        let method = tandem_objectives::build(&method.name, &method.options.clone().into())?;
        let unlabelled = lists.unlabelled.len();
        if method.uses_unlabelled() && unlabelled < cell.config.training.batch_unlabelled {
            say(format!(
                "{} is left out: {unlabelled} scans are unlabelled, and its batches need {}",
                cell.name, cell.config.training.batch_unlabelled
            ));
        } else {
            left.push(cell);
        }
    }
    if left.is_empty() {
        bail!("no run of the grid is possible; label fewer scans, or choose other methods");
    }
    Ok(left)
}

impl Cell {
    /// Its run folder.
    pub(super) fn folder(&self, grid: &Path) -> PathBuf {
        grid.join(&self.name)
    }

    /// Whether its run has ended.
    pub(super) fn is_done(&self, grid: &Path) -> bool {
        self.folder(grid).join("summary.json").is_file()
    }

    /// How far its run is.
    ///
    /// # Errors
    /// Where the run has other settings than the grid wants, or was made from other scans.
    pub(super) fn state(&self, grid: &Path, data_digest: &str) -> Result<State> {
        let folder = self.folder(grid);
        if !folder.exists() {
            return Ok(State::Missing);
        }
        if !folder.join("run.json").exists() {
            // It ended before its first step.
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
            return Ok(State::Missing);
        }
        if let Some(difference) = same::difference(&self.config, &run_folder::config(&folder)?)? {
            bail!(
                "{}: {difference}; give the settings that the grid began with, or another folder with --out, or remove that run",
                folder.display()
            );
        }
        if run_folder::record(&folder)?.data_digest != data_digest {
            bail!(
                "{}: was made from other scans than are prepared now; prepare the same scans again, or give another folder with \
                 --out",
                folder.display()
            );
        }
        Ok(if self.is_done(grid) { State::Done } else { State::Interrupted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_run_is_named_by_what_it_is() {
        let place = Place { labelled: None, labelled_set: None, fold: None, folds: None };
        assert_eq!((place.name("mcf", 2), place.settings()), ("mcf-s2".to_owned(), vec![]));
        let place = Place { labelled: Some(8), labelled_set: Some(3), fold: Some(1), folds: Some(5) };
        assert_eq!(place.name("mcf", 1337), "mcf-s1337-set3-fold1-k8");
        let settings = ["data.labelled=8", "data.labelled_set=3", "data.folds=5", "data.fold=1"];
        assert_eq!(place.settings(), settings);
    }

    fn names(definition: &str, change: impl FnOnce(&mut Axes), set: &[String]) -> Result<Vec<String>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/experiments");
        let definition = Definition::open(definition, &folder)?;
        let mut axes: Axes =
            definition.grid().cloned().map_or(Ok(Axes::default()), |grid| grid.try_into())?;
        change(&mut axes);
        let cells = all(&definition, &axes, "quick", set, None)?;
        // No two runs have the same settings.
        let digests: BTreeSet<String> =
            cells.iter().map(|cell| cell.config.digest()).collect::<Result<_, _>>()?;
        assert_eq!(digests.len(), cells.len());
        Ok(cells.into_iter().map(|cell| cell.name).collect())
    }

    #[test]
    fn the_definitions_that_state_grids_make_one() {
        let ablation = names("la-ablation", |_| {}, &[]).unwrap();
        assert_eq!(ablation.len(), 8 * 3);
        assert_eq!(ablation[2], "without-consistency-s1");
        let effort = names("la-effort", |_| {}, &[]).unwrap();
        assert_eq!(effort.len(), 2 * 5 * 3);
        assert_eq!(effort[..2], ["supervised-ensemble-s1-set1-k4", "dual-networks-s1-set1-k4"]);
    }

    #[test]
    fn what_an_axis_sets_is_not_set_beside_it() {
        let set = |setting: &str, labelled: &[usize]| {
            let labelled = labelled.to_vec();
            names("la-8pct", |axes| axes.labelled = labelled, &[setting.to_owned()])
        };
        assert_eq!(set("data.labelled=4", &[]).unwrap(), ["dual-networks-s1337"]);
        let message = set("data.labelled=4", &[4, 8]).unwrap_err().to_string();
        assert_eq!(message, "--set data.labelled=4: in a grid data.labelled is given by --labelled");
        assert!(set("training.seed=4", &[]).is_err());
    }
}
