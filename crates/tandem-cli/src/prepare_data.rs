//! `tandem prepare-data`: makes the folder of prepared cases that experiments read.

mod grids;
pub(crate) mod la;
mod lists;
mod phantoms;

use crate::home::Home;
use crate::interrupt;
use crate::output::say;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_volume::prepared::{NewCase, PreparedSet, Writer};

/// The classes of the scans and of the phantoms.
const LEFT_ATRIUM: [&str; 2] = ["background", "left atrium"];

/// Prepares scans: reads or makes them once, checks them, and writes them so that patches are read quickly.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to prepare.
    #[arg(value_enum, default_value = "phantom")]
    dataset: Dataset,
    /// The folder of the LA scans: images/ID.nii.gz with labels/ID.nii.gz, or ID/mri_norm2.h5, or ID/lgemri.nrrd with
    /// ID/laendo.nrrd; beside them train.list and test.list, one id a line, where there are lists.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// The folder for prepared datasets [default: data/prepared].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keys whatever is drawn at random: phantoms, margins of crops.
    #[arg(long, default_value_t = 1337)]
    seed: u64,
    /// How many scans: phantoms to make [default: 100], or the first of the lists [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
    /// Spacing of the phantoms in mm [default: 0.625].
    #[arg(long, value_name = "MM")]
    spacing: Option<f64>,
    /// Resamples label maps that do not lie on the grid of their image onto it; without it, they are refused.
    #[arg(long)]
    resample_labels: bool,
    /// Prepares again what is prepared already.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dataset {
    /// Synthetic scans of a left atrium among its neighbours.
    Phantom,
    /// Left atrium, LGE-MRI, from --source.
    La,
}

impl Dataset {
    fn name(self) -> &'static str {
        match self {
            Dataset::Phantom => "phantom",
            Dataset::La => "la",
        }
    }
}

pub(crate) fn run(arguments: &Arguments, home: &Home) -> Result<ExitCode> {
    let name = arguments.dataset.name();
    let folder = arguments.out.clone().unwrap_or_else(|| home.prepared()).join(name);
    if folder.exists() && !arguments.force {
        let set = PreparedSet::open(&folder).context("to prepare it again, add --force")?;
        say(format!("{} is prepared already; --force prepares it again", summary(&folder, &set)));
        return Ok(ExitCode::SUCCESS);
    }
    let stop = interrupt::watch()?;
    match prepare(arguments, &folder, stop)? {
        Some(set) => {
            say(format!("prepared {}", summary(&folder, &set)));
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::from(interrupt::EXIT_CODE)),
    }
}

/// Makes the phantoms of an experiment that finds nothing prepared; `None` after Ctrl-C.
pub(crate) fn phantoms(home: &Home, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let folder = home.prepared().join(Dataset::Phantom.name());
    phantoms::Phantoms::default().write(&folder, stop)
}

fn prepare(arguments: &Arguments, folder: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let aside = if folder.exists() { beside(folder, "new")? } else { folder.to_owned() };
    let set = match arguments.dataset {
        Dataset::Phantom => {
            if arguments.source.is_some() || arguments.resample_labels {
                bail!("--source and --resample-labels are for real scans; phantoms are made");
            }
            phantoms::Phantoms::new(arguments.seed, arguments.cases, arguments.spacing).write(&aside, stop)?
        }
        Dataset::La => prepare_la(arguments, &aside, stop)?,
    };
    if set.is_none() || aside == folder {
        return Ok(set);
    }
    replace(folder, &aside)?;
    Ok(Some(PreparedSet::open(folder)?))
}

fn prepare_la(arguments: &Arguments, folder: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    if arguments.spacing.is_some() {
        bail!("--spacing is for phantoms; experiments resample scans to their data.spacing_mm");
    }
    let source =
        arguments.source.as_ref().context("say where the scans are: prepare-data la --source DIR")?;
    let scans = la::ScanFolder::open(source)?;
    if scans.unlisted() > 0 {
        say(format!("{} scans of {} are in no list and are left out", scans.unlisted(), source.display()));
    }
    let count = arguments.cases.map_or(scans.splits().len(), |n| scans.splits().len().min(n as usize));
    let mut writer = Writer::create(folder, Dataset::La.name(), scans.description(arguments.seed))?
        .with_classes(LEFT_ATRIUM)?;
    let mut progress = Progress::new("preparing", count as u64);
    for (index, (id, split)) in scans.splits().iter().take(count).enumerate() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        progress.at(index as u64, id);
        let scan = scans
            .read(id, arguments.seed, arguments.resample_labels)
            .with_context(|| format!("scan {id}"))?;
        writer.add(NewCase {
            subject: &scan.subject,
            split: *split,
            sources: scan.sources,
            note: scan.note,
        })?;
    }
    Ok(Some(writer.finish()?))
}

/// Puts the folder `new` where `old` is. At every moment one of the two is whole.
fn replace(old: &Path, new: &Path) -> Result<()> {
    let retired = beside(old, "old")?;
    std::fs::rename(old, &retired).with_context(|| format!("cannot move {} away", old.display()))?;
    std::fs::rename(new, old).with_context(|| format!("cannot rename {}", new.display()))?;
    std::fs::remove_dir_all(&retired).with_context(|| format!("cannot remove {}", retired.display()))
}

/// The path `FOLDER.ending`, cleared of what a killed program may have left there.
fn beside(folder: &Path, ending: &str) -> Result<PathBuf> {
    let mut path = folder.as_os_str().to_owned();
    path.push(format!(".{ending}"));
    let path = PathBuf::from(path);
    if path.exists() {
        std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(path)
}

fn summary(folder: &Path, set: &PreparedSet) -> String {
    let cases = &set.manifest().cases;
    let labelled = cases.iter().filter(|case| case.labelled).count();
    let test = cases.iter().filter(|case| case.split == tandem_volume::prepared::Split::Test).count();
    format!(
        "{}: {} scans, {labelled} with label maps; {} for training, {test} for the test; digest {}",
        folder.display(),
        cases.len(),
        cases.len() - test,
        &set.digest()[..12]
    )
}
