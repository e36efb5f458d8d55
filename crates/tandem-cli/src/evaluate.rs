//! `tandem evaluate`: scores the networks of a run on scans with label maps.

use crate::device::{self, DeviceName};
use crate::orientation::turned;
use crate::output::say;
use crate::prepare_data::la::LeftAtria;
use crate::prepare_data::{grids, refuse_folder};
use crate::progress::CaseProgress;
use crate::test_list::{self, Opening};
use crate::{SOME_FAILED, intensities, interrupt, run_folder, sentence, table};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tandem_training::{
    DataConfig, DeviceChoice, Error, Program, RunRecord, ScoreSummary, TrainedRun, evaluate,
};
use tandem_volume::layout::{Layout, ScanFolder};
use tandem_volume::prepared::{PreparedSet, Split};
use tandem_volume::{Orientation, Subject};

/// Keys the margins of raw scans that are cropped around their label.
const CROP_SEED: u64 = 1337;

const EXAMPLES: &str = "Examples:
  tandem evaluate runs/heart --cases data/prepared/la
  tandem evaluate runs/heart --cases data/prepared/la --split test";

/// Scores the networks of a run on scans with label maps.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// The scans: a prepared folder, or a folder such as prepare-data reads, whose scans are taken as predict takes them.
    #[arg(long, value_name = "DIR")]
    cases: PathBuf,
    /// Which of them [default: the validation scans where they are the run's own data, else all].
    #[arg(long, value_enum)]
    split: Option<Scans>,
    /// Whose networks: those of the last step, or those of the step that did best on the validation scans.
    #[arg(long, value_enum, default_value = "final")]
    weights: Weights,
    /// The folder for metrics.csv, summary.json, predictions and their uncertainty [default: RUN/evaluation-SPLIT-DIR, with -best for
    /// the best weights].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceName,
}

/// Which scans are scored.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scans {
    /// Those of the run's validation list.
    Validation,
    /// Those of the test list. Look at it once, at the end.
    Test,
    /// All that the run did not train on.
    All,
}

/// Which of a run's weights are scored.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// Those of the last step.
    Final,
    /// Those of the step that did best on the validation scans, on which their score is therefore too good.
    Best,
}

impl Scans {
    fn name(self) -> &'static str {
        match self {
            Scans::Validation => "validation",
            Scans::Test => "test",
            Scans::All => "all",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let record = run_folder::record(&arguments.run)?;
    let cases = Cases::open(&arguments.cases)?;
    let automatic = if cases.are_those_of(&record) { Scans::Validation } else { Scans::All };
    let split = arguments.split.unwrap_or(automatic);
    let device = device::open(DeviceChoice::from(arguments.device))?;
    let run = match arguments.weights {
        Weights::Final => TrainedRun::open(&arguments.run, &device)?,
        Weights::Best => TrainedRun::open_best(&arguments.run, &device)?,
    };
    let known = cases.known();
    let of_run = run.config().data.test.as_deref().unwrap_or_default();
    let ids = select(&known, split, &record, run.config().data.test.as_deref())?;
    say(format!("{} scans ({}) of {}", ids.len(), split.name(), arguments.cases.display()));
    if arguments.weights == Weights::Best && split != Scans::Test {
        say("the best weights were chosen on the validation scans: their score there is too good");
    }

    let out = out_folder(arguments, split)?;
    let is_test = |id: &&String| {
        of_run.contains(id) || known.iter().any(|known| known.id == **id && known.split == Split::Test)
    };
    let test: Vec<String> = ids.iter().filter(is_test).cloned().collect();
    if !test.is_empty() {
        write_down(arguments, &run, test).inspect_err(|_| drop(std::fs::remove_dir_all(&out)))?;
    }
    match score(&run, &record, &cases, &ids, &out) {
        Ok(Some(summary)) => {
            say(table::scores(&summary.scores));
            say(format!("{}: metrics.csv, summary.json, predictions, uncertainty", out.display()));
            let unread = &summary.unread;
            if unread.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!(
                "error: {} of {} scans could not be read, each as said above, and are not among the scores: {}",
                unread.len(),
                ids.len(),
                unread.join(", ")
            );
            Ok(ExitCode::from(SOME_FAILED))
        }
        unfinished => {
            // Half of the scores would look like all of them.
            std::fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
            unfinished.map(|_| interrupt::exit_code())
        }
    }
}

/// Says in the run folder that its test list is opened now.
fn write_down(arguments: &Arguments, run: &TrainedRun, cases: Vec<String>) -> Result<()> {
    let before = run_folder::test_openings(&arguments.run)?.len();
    let within = run.checkpoint().strip_prefix(&arguments.run).unwrap_or(run.checkpoint());
    let opening = Opening {
        time: test_list::now(),
        program: Program::this(),
        checkpoint: within.display().to_string(),
        checkpoint_digest: run.checkpoint_digest()?,
        scans: arguments.cases.display().to_string(),
        cases,
    };
    test_list::write(&arguments.run, &opening)?;
    let times = match before {
        0 => "for the first time".to_owned(),
        n => format!("and was {n} times before: no choice may follow from it"),
    };
    say(format!("the test list is opened now {times} ({})", arguments.run.join(test_list::FILE).display()));
    Ok(())
}

/// Segments and scores the scans that can be read, and writes the results to `out`; none after Ctrl-C.
fn score(
    run: &TrainedRun,
    record: &RunRecord,
    cases: &Cases,
    ids: &[String],
    out: &Path,
) -> Result<Option<ScoreSummary>> {
    interrupt::watch()?;
    let mut progress = CaseProgress::new("evaluating", ids.len());
    let mut unread = Vec::new();
    let readable = ids.iter().filter_map(|id| match cases.read(id, run, record) {
        Ok(subject) => Some(Ok(subject)),
        Err(error) => {
            eprintln!("error: {}", sentence(&error));
            unread.push(id.clone());
            None
        }
    });
    let mut windows = |case: &str, done, total| {
        progress.at(case, done, total);
        interrupt::asked()
    };
    let scores = match evaluate(&run.predictor()?, readable, Some(out), &mut windows) {
        Err(Error::Stopped) => return Ok(None),
        found => found?.scores,
    };
    drop(progress);
    if unread.len() == ids.len() {
        bail!("there is nothing to score: no scan could be read, as said above");
    }
    scores.write_csv(&out.join("metrics.csv"))?;
    let summary =
        ScoreSummary { weights: run.selection(), steps: run.steps(), unread, scores: scores.summary() };
    summary.write(&out.join("summary.json"))?;
    Ok(Some(summary))
}

fn out_folder(arguments: &Arguments, split: Scans) -> Result<PathBuf> {
    let name = arguments.cases.file_name().and_then(|name| name.to_str()).unwrap_or("scans");
    let weights = if arguments.weights == Weights::Best { "-best" } else { "" };
    let beside = || arguments.run.join(format!("evaluation-{}-{name}{weights}", split.name()));
    let out = arguments.out.clone().unwrap_or_else(beside);
    if out.exists() {
        bail!("{} exists already; choose another folder with --out", out.display());
    }
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    Ok(out)
}

/// Scans to be scored: prepared, or still as they came.
enum Cases {
    Prepared(PreparedSet),
    /// In a layout of the left atrium's own, of which scans are cropped as `prepare-data la` does it.
    LeftAtria(LeftAtria),
    Folder(ScanFolder),
}

/// A scan that might be scored.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    split: Split,
    labelled: bool,
}

impl Cases {
    fn open(folder: &Path) -> Result<Self> {
        if folder.join("manifest.json").exists() {
            return Ok(Cases::Prepared(PreparedSet::open(folder)?));
        }
        let scans = ScanFolder::open(folder)?;
        match scans.layout() {
            Layout::LaBenchmark | Layout::LaChallenge => Ok(Cases::LeftAtria(LeftAtria::open(folder)?)),
            _ => {
                refuse_folder(&scans)?;
                Ok(Cases::Folder(scans))
            }
        }
    }

    fn are_those_of(&self, run: &RunRecord) -> bool {
        matches!(self, Cases::Prepared(set) if set.digest() == run.data_digest)
    }

    fn known(&self) -> Vec<Known> {
        let of_folder = |folder: &ScanFolder| {
            let scans = folder.scans().iter();
            scans.map(|s| Known { id: s.id.clone(), split: s.split, labelled: s.label.is_some() }).collect()
        };
        match self {
            Cases::Prepared(set) => {
                let cases = set.manifest().cases.iter();
                cases.map(|c| Known { id: c.id.clone(), split: c.split, labelled: c.labelled }).collect()
            }
            Cases::LeftAtria(scans) => of_folder(scans.folder()),
            Cases::Folder(folder) => of_folder(folder),
        }
    }

    /// A scan as the run's networks know scans.
    fn read(&self, id: &str, run: &TrainedRun, record: &RunRecord) -> Result<Subject> {
        let named = || format!("scan {id}");
        match self {
            Cases::Prepared(set) => Ok(set.subject(id)?),
            Cases::LeftAtria(scans) => Ok(scans.read(id, CROP_SEED, false).with_context(named)?.subject),
            Cases::Folder(folder) => from_raw(folder, id, &run.config().data, record).with_context(named),
        }
    }
}

/// A scan of a folder, its intensities and axes brought to those of the run's scans as `predict` does it.
fn from_raw(folder: &ScanFolder, id: &str, data: &DataConfig, record: &RunRecord) -> Result<Subject> {
    let files = folder.scan(id).context("it is not there")?;
    let image = folder.read_image(files)?;
    let (found, wanted) = (image.channels().len(), data.channel_count());
    if found != wanted {
        bail!("it has {found} channels, but the run was trained on {wanted}; score scans of the same kind");
    }
    let (image, normalised) = intensities::normalised(image, &record.normalisation)?;
    let label = folder.read_label(files)?;
    let highest = label.iter().flat_map(|label| label.array()).copied().max().unwrap_or(0);
    if usize::from(highest) >= data.class_count() {
        let file = files.label.as_ref().unwrap_or(&files.images[0]);
        bail!(
            "{file} holds label {highest}, but the classes of the run go up to {}; give the labels the numbers of its \
             classes",
            data.class_count() - 1
        );
    }
    let (subject, _) = grids::subject(id, image, label, false)?;
    let (id, image, label) = subject.into_parts();
    let (image, axes) = turned(image, record.orientation)?;
    let to = Orientation::of(image.geometry());
    let label = label.map(|label| label.reoriented(to)).transpose()?;
    for note in [normalised, axes].into_iter().flatten() {
        say(format!("{id}: {note}"));
    }
    Ok(Subject::new(id, image, label)?)
}

/// The ids to score. Scans that the run trained on are left out: their score would say nothing.
fn select(known: &[Known], split: Scans, record: &RunRecord, test: Option<&[String]>) -> Result<Vec<String>> {
    let all = |wanted: &dyn Fn(&Known) -> bool| -> Vec<String> {
        known.iter().filter(|scan| wanted(scan)).map(|scan| scan.id.clone()).collect()
    };
    let mut chosen: Vec<String> = match split {
        Scans::Validation => record.lists.validation.clone(),
        Scans::Test => test.map_or_else(|| all(&|scan| scan.split == Split::Test), <[String]>::to_vec),
        Scans::All => all(&|_| true),
    };
    if let Some(id) = chosen.iter().find(|id| !known.iter().any(|scan| scan.id == **id)) {
        bail!("scan {id} of the {} list is not there; choose another folder with --cases", split.name());
    }
    let before = chosen.len();
    let lists = &record.lists;
    chosen.retain(|id| !lists.labelled.contains(id) && !lists.unlabelled.contains(id));
    if chosen.len() < before {
        say(format!("{} scans that the run trained on are left out", before - chosen.len()));
    }
    let before = chosen.len();
    chosen.retain(|id| known.iter().any(|scan| scan.id == *id && scan.labelled));
    match before - chosen.len() {
        0 => {}
        all if chosen.is_empty() => bail!(
            "none of the {all} scans has a label map to be scored by; choose a folder with label maps, or segment \
             them with predict"
        ),
        some => say(format!("{some} of {before} scans have no label map and are left out")),
    }
    if chosen.is_empty() {
        bail!("there is no scan to score in the {} list; choose another folder or --split", split.name());
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_training::{Kernels, Lists, Precision};

    fn check(split: Scans, test: Option<&[String]>) -> Result<Vec<String>> {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let lists = Lists { labelled: ids(&["a"]), unlabelled: ids(&["b"]), validation: ids(&["c"]) };
        let record = RunRecord {
            version: String::new(),
            commit: None,
            dependencies: String::new(),
            dataset: "la".to_owned(),
            prepared: PathBuf::new(),
            data_digest: String::new(),
            config_digest: String::new(),
            seed: 1,
            kernels: Kernels::of(Precision::F32),
            threads: 1,
            processor: None,
            training_scans: 3,
            all_scans: 5,
            lists,
            normalisation: Vec::new(),
            orientation: None,
        };
        let of = |ids: &[&str], split, labelled| -> Vec<Known> {
            ids.iter().map(|id| Known { id: (*id).to_owned(), split, labelled }).collect()
        };
        let train = of(&["a", "b", "c"], Split::Train, true);
        let tests = [of(&["d", "e"], Split::Test, true), of(&["f"], Split::Test, false)].concat();
        select(&[train, tests].concat(), split, &record, test)
    }

    #[test]
    fn each_list_is_what_it_says() {
        assert_eq!(check(Scans::Validation, None).unwrap(), ["c"]);
        assert_eq!(check(Scans::Test, None).unwrap(), ["d", "e"]);
        assert_eq!(check(Scans::Test, Some(&["e".to_owned()])).unwrap(), ["e"]);
    }

    #[test]
    fn what_was_trained_on_is_never_scored() {
        assert_eq!(check(Scans::All, None).unwrap(), ["c", "d", "e"]);
        assert!(check(Scans::Test, Some(&["a".to_owned()])).is_err());
    }

    #[test]
    fn what_has_no_label_map_is_not_counted() {
        assert_eq!(check(Scans::Test, Some(&["e".to_owned(), "f".to_owned()])).unwrap(), ["e"]);
        let error = check(Scans::Test, Some(&["f".to_owned()])).unwrap_err().to_string();
        assert!(error.starts_with("none of the 1 scans has a label map"), "{error}");
    }

    #[test]
    fn a_listed_scan_that_is_missing_is_named() {
        let error = check(Scans::Test, Some(&["x".to_owned()])).unwrap_err().to_string();
        assert!(error.contains("scan x of the test list"), "{error}");
    }
}
