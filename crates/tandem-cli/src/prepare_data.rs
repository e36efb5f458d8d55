//! `tandem prepare-data`: makes the folder of prepared cases that experiments read.

mod custom;
mod grids;
pub(crate) mod la;
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
use tandem_volume::Subject;
use tandem_volume::layout::{Fault, ScanFiles, ScanFolder};
use tandem_volume::prepared::{NewCase, PreparedSet, Source, Writer};

/// The classes of the scans and of the phantoms.
const LEFT_ATRIUM: [&str; 2] = ["background", "left atrium"];

/// Prepares scans: reads or makes them once, checks them, and writes them so that patches are read quickly.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to prepare.
    #[arg(value_enum, default_value = "phantom")]
    dataset: Dataset,
    /// The folder of the scans. Custom: any that check-data knows. LA: images/ID.nii.gz with labels/ID.nii.gz, or ID/mri_norm2.h5, or ID/lgemri.nrrd with
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
    /// Phantoms: their spacing in mm [default: 0.625]. Custom: that of the working grid along i, j, k [default: the median].
    #[arg(long, value_name = "MM", num_args = 1..=3)]
    spacing: Option<Vec<f64>>,
    /// Custom: what the dataset and its experiment are called [default: as the folder is].
    #[arg(long)]
    name: Option<String>,
    /// Custom: intensities are cut off at these, which become 0 and 1 [default: for CT only].
    #[arg(long, value_names = ["LO", "HI"], num_args = 2, allow_negative_numbers = true)]
    window: Option<Vec<f64>>,
    /// Custom: intensities are z-scored over each scan [default: for all but CT].
    #[arg(long, conflicts_with = "window")]
    zscore: bool,
    /// Custom: which part of a scan is kept [default: foreground].
    #[arg(long, value_enum)]
    crop: Option<custom::CropTo>,
    /// Resamples label maps that do not lie on the grid of their image onto it; without it, they are refused.
    #[arg(long)]
    resample_labels: bool,
    /// Prepares again what is prepared already.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dataset {
    /// Synthetic scans of a left atrium among its neighbours.
    Phantom,
    /// Left atrium, LGE-MRI, from --source.
    La,
    /// Scans of your own from --source, with a plan and an experiment to edit.
    Custom,
}

impl Dataset {
    fn name(self) -> &'static str {
        match self {
            Dataset::Phantom => "phantom",
            Dataset::La => "la",
            Dataset::Custom => "custom",
        }
    }
}

impl Arguments {
    /// The name of the prepared folder.
    fn folder_name(&self) -> Result<String> {
        if self.dataset == Dataset::Custom { custom::name(self) } else { Ok(self.dataset.name().to_owned()) }
    }

    fn source(&self) -> Result<&Path> {
        let name = self.dataset.name();
        let missing = || format!("say where the scans are: prepare-data {name} --source DIR");
        let source = self.source.as_deref().with_context(missing)?;
        if !source.is_dir() {
            bail!("there is no folder {}; give --source the folder of the scans", source.display());
        }
        Ok(source)
    }

    /// Refuses options that mean nothing for the dataset.
    fn check(&self) -> Result<()> {
        let custom = self.dataset == Dataset::Custom;
        let of_custom = [
            ("--name", self.name.is_some()),
            ("--window", self.window.is_some()),
            ("--zscore", self.zscore),
            ("--crop", self.crop.is_some()),
        ];
        if let Some((option, _)) = of_custom.iter().find(|(_, given)| *given && !custom) {
            bail!("{option} is for prepare-data custom; {} has its own recipe", self.dataset.name());
        }
        if self.dataset == Dataset::La && self.spacing.is_some() {
            bail!(
                "--spacing is for phantoms and custom; experiments resample scans to their data.spacing_mm"
            );
        }
        if custom && self.cases.is_some() {
            bail!("--cases is for phantoms and la; in custom, train.list in --source chooses the scans");
        }
        Ok(())
    }

    /// The one spacing of phantoms.
    fn isotropic(&self) -> Result<Option<f64>> {
        match self.spacing.as_deref() {
            None => Ok(None),
            Some(&[mm]) => Ok(Some(mm)),
            Some(_) => bail!("--spacing: phantoms have one number of millimetres"),
        }
    }
}

pub(crate) fn run(arguments: &Arguments, home: &Home) -> Result<ExitCode> {
    arguments.check()?;
    let folder = arguments.out.clone().unwrap_or_else(|| home.prepared()).join(arguments.folder_name()?);
    if folder.exists() && !arguments.force {
        let set = PreparedSet::open(&folder).context("to prepare it again, add --force")?;
        say(format!("{} is prepared already; --force prepares it again", summary(&folder, &set)));
        return Ok(ExitCode::SUCCESS);
    }
    let stop = interrupt::watch()?;
    match prepare(arguments, home, &folder, stop)? {
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

fn prepare(
    arguments: &Arguments,
    home: &Home,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let aside = if folder.exists() { beside(folder, "new")? } else { folder.to_owned() };
    let set = match arguments.dataset {
        Dataset::Phantom => {
            if arguments.source.is_some() || arguments.resample_labels {
                bail!("--source and --resample-labels are for real scans; phantoms are made");
            }
            phantoms::Phantoms::new(arguments.seed, arguments.cases, arguments.isotropic()?)
                .write(&aside, stop)?
        }
        Dataset::La => prepare_la(arguments, &aside, stop)?,
        Dataset::Custom => custom::prepare(arguments, home, &aside, stop)?,
    };
    if set.is_none() || aside == folder {
        return Ok(set);
    }
    replace(folder, &aside)?;
    Ok(Some(PreparedSet::open(folder)?))
}

fn prepare_la(arguments: &Arguments, folder: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let source = arguments.source()?;
    let scans = la::LeftAtria::open(source)?;
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

/// A scan that was read and preprocessed.
pub(crate) struct Scan {
    /// Image and label map.
    pub(crate) subject: Subject,
    /// The files that it was made from.
    pub(crate) sources: Vec<Source>,
    /// What was done to this scan only.
    pub(crate) note: Option<String>,
}

/// The files of a scan with their digests, each once.
fn sources(folder: &ScanFolder, scan: &ScanFiles) -> Result<Vec<Source>> {
    let mut files: Vec<&String> = scan.images.iter().chain(&scan.label).collect();
    files.dedup();
    files.into_iter().map(|file| Ok(Source::of_file(file, folder.path().join(file))?)).collect()
}

/// The first thing in a folder that keeps it from being prepared. Label maps without an image are not looked at.
fn refuse_faults(folder: &ScanFolder) -> Result<()> {
    match folder.faults().iter().find(|fault| !matches!(fault, Fault::LabelWithoutImage { .. })) {
        Some(fault) => bail!("{}: {fault}", folder.path().display()),
        None => Ok(()),
    }
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
