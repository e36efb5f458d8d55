//! What a run folder holds, as far as it can be read.

use crate::run_folder;
use anyhow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tandem_training::{
    Component, ENSEMBLE, Grid, History, MEAN, Provenance, Row, RunRecord, ScoreSummary, Scores,
};

/// A run folder that was read.
pub(super) struct RunFiles {
    pub(super) folder: PathBuf,
    /// What the run is called in the report.
    pub(super) name: String,
    pub(super) record: RunRecord,
    /// `config.json`, of whichever version.
    pub(super) settings: Value,
    pub(super) history: History,
    pub(super) scores: Scores,
    /// Where the scores and predictions come from.
    pub(super) scored: PathBuf,
    pub(super) provenance: Option<Provenance>,
    /// What is not there, and what to do.
    pub(super) missing: Vec<String>,
}

impl RunFiles {
    /// Reads a run folder.
    ///
    /// # Errors
    /// Where it is none: `run.json` cannot be read.
    pub(super) fn read(folder: &Path, evaluation: Option<&str>) -> Result<Self> {
        let record = run_folder::record(folder)?;
        let scored = evaluation.map_or(folder.to_owned(), |name| folder.join(name));
        let mut run = RunFiles {
            name: name_of(folder),
            folder: folder.to_owned(),
            record,
            settings: Value::Null,
            history: History::default(),
            scores: Scores::default(),
            scored,
            provenance: None,
            missing: Vec::new(),
        };
        run.settings = run.part("config.json", "the settings", |path| {
            Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
        });
        run.history = run.part("log.jsonl", "the curves", |path| Ok(History::read(path)?));
        run.provenance = run.part("provenance.json", "times and memory", |path| {
            Ok(Some(serde_json::from_str(&std::fs::read_to_string(path)?)?))
        });
        let metrics = run.scored.join("metrics.csv");
        let scores = if metrics.exists() { Some(Scores::read_csv(&metrics)) } else { None };
        match scores {
            Some(Ok(scores)) => run.scores = scores,
            Some(Err(error)) => run.missing.push(format!("{error}: scores and cases are not shown")),
            None => run.missing.push(format!(
                "{} is not there{}: scores and cases are not shown",
                metrics.display(),
                if evaluation.is_none() { " (it is written when the run ends)" } else { "" }
            )),
        }
        run.check_scored();
        run.check_log();
        Ok(run)
    }

    /// Scans that have no part in the scores would not be missed in them.
    fn check_scored(&mut self) {
        let path = self.scored.join("summary.json");
        let Ok(text) = std::fs::read_to_string(&path) else { return };
        match serde_json::from_str::<ScoreSummary>(&text) {
            Ok(ScoreSummary { unread, .. }) if unread.is_empty() => {}
            Ok(ScoreSummary { unread, .. }) => self.missing.push(format!(
                "scans that could not be read have no part in the scores: {}",
                unread.join(", ")
            )),
            Err(error) => self.missing.push(format!(
                "{} cannot be read ({error}): whether scans are left out of the scores is not known",
                path.display()
            )),
        }
    }

    /// Reads a file; where that fails, what it would show is missing.
    fn part<T: Default>(&mut self, file: &str, what: &str, read: impl Fn(&Path) -> Result<T>) -> T {
        let path = self.folder.join(file);
        if !path.exists() {
            self.missing.push(format!("{} is not there: {what} are not shown", path.display()));
            return T::default();
        }
        read(&path).unwrap_or_else(|error| {
            self.missing.push(format!("{} cannot be read ({error}): {what} are not shown", path.display()));
            T::default()
        })
    }

    fn check_log(&mut self) {
        let History { steps, skipped, validations, unread, .. } = &self.history;
        let mut told = Vec::new();
        if let [first, ..] = unread[..] {
            told.push(format!(
                "log.jsonl: {} of its lines cannot be read, the first is line {first}; they are left out",
                unread.len()
            ));
        }
        let done = steps.len() as u64 + skipped.len() as u64;
        if let Some(all) = self.iterations().filter(|all| done > 0 && done < *all) {
            told.push(format!(
                "log.jsonl has {done} of {all} steps: the run has not ended, or its log was cut"
            ));
        }
        if done > 0 && validations.is_empty() {
            told.push("log.jsonl has no validation: there is no curve of scores".to_owned());
        }
        for record in &self.history.skipped {
            told.push(format!("Step {} was skipped: {}", record.step, record.skipped));
        }
        for record in &self.history.validations {
            if let Some(why) = &record.collapse {
                told.push(format!("Collapse after {} steps: {why}", record.steps));
            }
        }
        self.missing.extend(told);
    }

    pub(super) fn setting(&self, pointer: &str) -> Option<&Value> {
        self.settings.pointer(pointer)
    }

    pub(super) fn iterations(&self) -> Option<u64> {
        self.setting("/training/iterations").and_then(Value::as_u64)
    }

    pub(super) fn method(&self) -> &str {
        self.setting("/method/name").and_then(Value::as_str).unwrap_or("method unknown")
    }

    pub(super) fn title(&self) -> String {
        let name = self.setting("/name").and_then(Value::as_str).unwrap_or(&self.name);
        format!("{name}: {} on {}", self.method(), self.record.dataset)
    }

    pub(super) fn subtitle(&self) -> String {
        let lists = &self.record.lists;
        let steps = self.iterations().map_or_else(String::new, |steps| format!(", {steps} steps"));
        format!(
            "{} labelled and {} unlabelled scans{steps}, seed {}. Run folder {}.",
            lists.labelled.len(),
            lists.unlabelled.len(),
            self.record.seed,
            self.folder.display()
        )
    }

    /// The networks that were scored, their ensemble last.
    pub(super) fn predictors(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for row in self.scores.rows() {
            if !found.contains(&row.predictor.as_str()) {
                found.push(&row.predictor);
            }
        }
        found
    }

    /// The classes that were scored: their mean, where there are several, is none of them.
    pub(super) fn classes(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for row in self.scores.rows().iter().filter(|row| row.class != MEAN) {
            if !found.contains(&row.class.as_str()) {
                found.push(&row.class);
            }
        }
        found
    }

    /// The class by which cases are sorted: the mean, where there are several, else the only one.
    pub(super) fn headline_class(&self) -> &str {
        if self.scores.rows().iter().any(|row| row.class == MEAN) {
            MEAN
        } else {
            self.classes().first().copied().unwrap_or("1")
        }
    }

    /// Rows of one network and class on the scans' own grids, with all that was predicted: one a case.
    pub(super) fn rows<'a>(&'a self, predictor: &'a str, class: &'a str) -> impl Iterator<Item = &'a Row> {
        self.scores.rows().iter().filter(move |row| {
            (row.grid, row.component) == (Grid::Own, Component::All)
                && row.predictor == predictor
                && row.class == class
        })
    }

    /// The ensemble's row of a case.
    pub(super) fn row(&self, case: &str) -> Option<&Row> {
        self.rows(ENSEMBLE, self.headline_class()).find(|row| row.case == case)
    }
}

fn name_of(folder: &Path) -> String {
    // `.` and `..` have no name of their own.
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Gives runs of one name the name of their folder's folder too, and a number where that does not help.
pub(super) fn tell_apart(runs: &mut [RunFiles]) {
    let is_doubled =
        |names: &[String], name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in runs.iter_mut().filter(|run| is_doubled(&names, &run.name)) {
        if let Some(parent) = run.folder.canonicalize().ok().as_deref().and_then(Path::parent) {
            run.name = format!("{}/{}", name_of(parent), run.name);
        }
    }
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (at, run) in runs.iter_mut().enumerate().filter(|(_, run)| is_doubled(&names, &run.name)) {
        run.name = format!("{} ({})", run.name, at + 1);
    }
}
