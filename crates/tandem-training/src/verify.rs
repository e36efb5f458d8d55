//! A run folder checked against itself.

mod log;

use crate::checkpoints::CHECKPOINTS;
use crate::files::read_json;
use crate::report::Report;
use crate::run::{CONFIG, LOG, METRICS, PREDICTIONS, PROVENANCE, RECORD, REPORT, SUMMARY, UNCERTAINTY};
use crate::run_log::records;
use crate::{
    Checkpoint, Config, Error, Grid, Provenance, Result, RunRecord, ScoreSummary, Scores, Selection,
    ValidationRecord, ensemble_dice,
};
use candle_core::Device;
use std::fs;
use std::path::{Path, PathBuf};
use tandem_volume::prepared::PreparedSet;
use tandem_volume::read_label;

/// What was found; or what is wrong, and what to do about it.
pub type Outcome = Result<String, String>;

/// What the check of a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file or folder, below the run folder.
    pub file: String,
    /// Whether it is as it should be.
    pub outcome: Outcome,
}

/// Checks a run folder: that every file is there and whole, and that they agree with each other and, where it is still there, with the
/// prepared set. One finding a file, in the order in which a run writes them.
///
/// # Errors
/// Where the folder is no run folder, because `config.json` or `run.json` cannot be read.
pub fn verify(folder: &Path) -> Result<Vec<Finding>> {
    let config: Config = read_json(&folder.join(CONFIG))?;
    let record: RunRecord = read_json(&folder.join(RECORD))?;
    let run = RunFolder { folder: folder.to_owned(), config, record };
    let checks: [(&str, Check); 9] = [
        (CONFIG, RunFolder::settings),
        (RECORD, RunFolder::data),
        (LOG, RunFolder::log),
        (CHECKPOINTS, RunFolder::checkpoints),
        (PREDICTIONS, RunFolder::predictions),
        (METRICS, RunFolder::metrics),
        (SUMMARY, RunFolder::summary),
        (REPORT, RunFolder::report),
        (PROVENANCE, RunFolder::provenance),
    ];
    Ok(checks.map(|(file, check)| Finding { file: file.to_owned(), outcome: check(&run) }).into())
}

type Check = fn(&RunFolder) -> Outcome;

struct RunFolder {
    folder: PathBuf,
    config: Config,
    record: RunRecord,
}

impl RunFolder {
    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// What to do about a file that a run writes at its end.
    fn again(&self) -> String {
        format!("write it again with: experiment --resume {}", self.folder.display())
    }

    /// The path of a file that is there.
    fn there(&self, file: &str) -> Result<PathBuf, String> {
        let path = self.path(file);
        if path.exists() { Ok(path) } else { Err(format!("is missing; {}", self.again())) }
    }

    /// Says what is wrong with a file of the end of a run.
    fn rewritten(&self, error: Error) -> String {
        format!("{error}; {}", self.again())
    }

    fn settings(&self) -> Outcome {
        self.config.check().map_err(|error| error.to_string())?;
        let digest = self.config.digest().map_err(|error| error.to_string())?;
        if digest != self.record.config_digest {
            return Err(format!(
                "has the digest {digest}, run.json says {}: the settings were changed after the run began; bring back the \
                 original, or train anew",
                self.record.config_digest
            ));
        }
        Ok("the settings that the run began with".to_owned())
    }

    /// The prepared set, where it is still there and the same.
    fn prepared(&self) -> Option<PreparedSet> {
        PreparedSet::open(&self.record.prepared).ok().filter(|set| set.digest() == self.record.data_digest)
    }

    fn data(&self) -> Outcome {
        let RunRecord { prepared, data_digest, .. } = &self.record;
        if !prepared.exists() {
            return Ok(format!("{} is not there any more: not compared", prepared.display()));
        }
        let set = PreparedSet::open(prepared).map_err(|error| format!("its prepared scans: {error}"))?;
        if set.digest() != data_digest {
            return Err(format!(
                "says that {} has the digest {data_digest}, now it has {}: other scans were prepared there; prepare the old \
                 ones again, or train anew",
                prepared.display(),
                set.digest()
            ));
        }
        Ok(format!("{} is as the run found it", prepared.display()))
    }

    fn log(&self) -> Outcome {
        let path = self.there(LOG)?;
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        log::check(&text, self.config.training.iterations).map_err(|problem| {
            format!(
                "{problem}; go on from the last checkpoint with: experiment --resume {}",
                self.folder.display()
            )
        })
    }

    fn checkpoints(&self) -> Outcome {
        let folder = self.there(CHECKPOINTS)?;
        let log_bytes = fs::metadata(self.path(LOG)).map_or(0, |file| file.len());
        let mut steps = Vec::new();
        for path in
            files(&folder)?.iter().filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let remedy = format!(
                "remove it and go on from another one with: experiment --resume {}",
                self.folder.display()
            );
            let header =
                Checkpoint::load(path, &Device::Cpu).map_err(|error| format!("{error}; {remedy}"))?.header;
            let agree = [
                ("settings", header.config == self.record.config_digest),
                ("scans", header.data == self.record.data_digest),
                ("seed", header.seed == self.record.seed),
                ("log", header.log_bytes <= log_bytes),
                ("number of steps", header.steps <= self.config.training.iterations),
            ];
            if let Some((what, _)) = agree.iter().find(|(_, same)| !same) {
                return Err(format!(
                    "{name} belongs to another {what} than run.json and log.jsonl; {remedy}"
                ));
            }
            steps.push(header.steps);
        }
        match steps.iter().max() {
            Some(last) if *last == self.config.training.iterations => {
                Ok(format!("{} whole, the newest after {last} steps", steps.len()))
            }
            last => Err(format!(
                "the newest is after {} of {} steps; go on with: experiment --resume {}",
                last.unwrap_or(&0),
                self.config.training.iterations,
                self.folder.display()
            )),
        }
    }

    fn predictions(&self) -> Outcome {
        self.there(PREDICTIONS)?;
        let set = self.prepared();
        let ids = &self.record.lists.validation;
        // Runs of older versions have no maps of uncertainty.
        let folders = [PREDICTIONS, UNCERTAINTY].map(|name| self.path(name));
        for (folder, id) in
            folders.iter().filter(|folder| folder.exists()).flat_map(|f| ids.iter().map(move |id| (f, id)))
        {
            let path = folder.join(format!("{id}.nii.gz"));
            if !path.exists() {
                return Err(format!("{} is missing; {}", path.display(), self.again()));
            }
            let volume = read_label(&path).map_err(|error| format!("{error}; {}", self.again()))?;
            let shape = set.as_ref().and_then(|set| set.manifest().case(id)).map(|case| case.shape);
            if let Some(shape) = shape.filter(|shape| *shape != volume.shape()) {
                return Err(format!(
                    "{} has {:?} voxels, its scan {shape:?}; {}",
                    path.display(),
                    volume.shape(),
                    self.again()
                ));
            }
        }
        Ok(format!("one for each of the {} validation scans", ids.len()))
    }

    fn scores(&self) -> Result<Scores, String> {
        Scores::read_csv(&self.there(METRICS)?).map_err(|error| self.rewritten(error))
    }

    fn metrics(&self) -> Outcome {
        let scores = self.scores()?;
        for id in &self.record.lists.validation {
            if !scores.rows().iter().any(|row| row.case == *id && row.grid == Grid::Own) {
                return Err(format!("has no row of scan {id}; {}", self.again()));
            }
        }
        let stranger = scores.rows().iter().find(|row| !self.record.lists.validation.contains(&row.case));
        if let Some(row) = stranger {
            return Err(format!(
                "scores {}, which is not on the validation list; {}",
                row.case,
                self.again()
            ));
        }
        Ok(format!("{} rows, of the validation scans and no other", scores.rows().len()))
    }

    fn summary(&self) -> Outcome {
        let summary: ScoreSummary =
            read_json(&self.there(SUMMARY)?).map_err(|error| self.rewritten(error))?;
        let problem = |what: &str| Err(format!("{what}; {}", self.again()));
        if summary.scores != self.scores()?.summary() {
            return problem("is not the summary of metrics.csv");
        }
        if summary.weights != Selection::Final || summary.steps != self.config.training.iterations {
            return problem("is not of the final weights");
        }
        let validations: Vec<ValidationRecord> =
            records(&self.path(LOG)).map_err(|error| error.to_string())?;
        if validations.last().is_none_or(|last| last.validation != summary.scores) {
            return problem("is not what the last validation in log.jsonl found");
        }
        let dice = ensemble_dice(&summary.scores)
            .map_or_else(|| "undefined".to_owned(), |dice| format!("{:.2} %", 100.0 * dice));
        Ok(format!("final weights, recomputed from metrics.csv; the ensemble's mean Dice is {dice}"))
    }

    fn report(&self) -> Outcome {
        let text = fs::read_to_string(self.there(REPORT)?).map_err(|error| error.to_string())?;
        let summary: ScoreSummary =
            read_json(&self.there(SUMMARY)?).map_err(|error| self.rewritten(error))?;
        let log = self.there(LOG)?;
        let read = |error: Error| error.to_string();
        let expected = Report {
            config: &self.config,
            record: &self.record,
            kernels: &records(&log).map_err(read)?,
            validations: &records(&log).map_err(read)?,
            skipped: &records(&log).map_err(read)?,
            summary: &summary.scores,
        };
        if text == expected.text() {
            Ok("says what the other files say".to_owned())
        } else {
            Err(format!("is not what the other files give; {}", self.again()))
        }
    }

    fn provenance(&self) -> Outcome {
        let found: Provenance = read_json(&self.there(PROVENANCE)?).map_err(|error| self.rewritten(error))?;
        let Provenance { seconds, pieces, .. } = &found;
        if found != Provenance::of(pieces.clone()) {
            return Err(
                "its pieces do not add up: it was changed; the times in it cannot be trusted".to_owned()
            );
        }
        // A piece may begin before the end of one that was killed, and never after it.
        let gap = pieces.windows(2).any(|pair| pair[1].steps[0] > pair[0].steps[1]);
        let whole = pieces.first().is_some_and(|first| first.steps[0] == 0)
            && pieces.last().is_some_and(|last| last.steps[1] == self.config.training.iterations);
        if gap || !whole {
            return Err("its pieces do not cover every step: one of them is not known".to_owned());
        }
        Ok(format!(
            "{} in {seconds:.0} s",
            if pieces.len() == 1 { "one piece".to_owned() } else { format!("{} pieces", pieces.len()) }
        ))
    }
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(read)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(read)?;
    paths.sort();
    Ok(paths)
}
