//! `tandem prepare-data`: makes the folder of prepared cases that experiments read.

pub(crate) mod la;
mod lists;
mod pancreas;
mod phantoms;

use crate::home::Home;
use crate::interrupt;
use crate::output::say;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use pancreas::phantoms::PancreasPhantoms;
use pancreas::{PancreasScans, PublishedSplit, Recipe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_volume::Subject;
use tandem_volume::prepared::{NewCase, PreparedSet, Source, Split, Writer};

/// What random things are keyed by where nothing else is said.
const DEFAULT_SEED: u64 = 1337;

/// Prepares scans: reads or makes them once, checks them, and writes them so that patches are read quickly.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to prepare.
    #[arg(value_enum, default_value = "phantom")]
    dataset: Dataset,
    /// The folder of the scans. LA: images/ID.nii.gz with labels/ID.nii.gz, or ID/mri_norm2.h5, or ID/lgemri.nrrd with
    /// ID/laendo.nrrd. Pancreas: PANCREAS_0001/STUDY/SERIES/*.dcm and label0001.nii.gz, in folders as the archive has them.
    /// Both: train.list and test.list, one id a line, where there are lists.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// The folder for prepared datasets [default: data/prepared].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keys whatever is drawn at random: phantoms, margins of crops.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// How many scans: phantoms to make [default: 100, of pancreas-phantom 80], or the first of the lists [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cases: Option<u32>,
    /// Spacing of the phantoms in mm [default: 0.625, of pancreas-phantom 1.2 x 1.2 x 1.5].
    #[arg(long, value_name = "MM")]
    spacing: Option<f64>,
    /// Pancreas: the published pipeline [default: mc-net].
    #[arg(long, value_enum)]
    recipe: Option<Recipe>,
    /// Pancreas: the published lists [default: those of --source where it has some, else mcf-0].
    #[arg(long, value_enum)]
    split: Option<PublishedSplit>,
    /// The folder where pancreas-phantom leaves its DICOM folders and label maps [default: they are removed again].
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
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
    /// Pancreas, CT: the NIH Pancreas-CT download in --source.
    Pancreas,
    /// Synthetic CT of a pancreas among its neighbours, written and read as that download.
    PancreasPhantom,
}

impl Dataset {
    fn name(self) -> &'static str {
        match self {
            Dataset::Phantom => "phantom",
            Dataset::La => "la",
            Dataset::Pancreas => "pancreas",
            Dataset::PancreasPhantom => "pancreas-phantom",
        }
    }

    fn is_pancreas(self) -> bool {
        matches!(self, Dataset::Pancreas | Dataset::PancreasPhantom)
    }
}

impl Arguments {
    /// The name of the prepared folder. Both recipes can be prepared beside each other.
    fn folder_name(&self) -> String {
        match self.recipe.unwrap_or_default() {
            Recipe::McNet => self.dataset.name().to_owned(),
            Recipe::Coranet => format!("{}-coranet", self.dataset.name()),
        }
    }

    /// Refuses options that mean nothing for the dataset.
    fn check(&self) -> Result<()> {
        let phantoms = matches!(self.dataset, Dataset::Phantom | Dataset::PancreasPhantom);
        if phantoms && self.source.is_some() {
            bail!("--source is for real scans; phantoms are made");
        }
        if !phantoms && self.spacing.is_some() {
            bail!("--spacing is for phantoms; experiments resample scans to their data.spacing_mm");
        }
        if !self.dataset.is_pancreas() && self.recipe.is_some() {
            bail!("--recipe is for pancreas and pancreas-phantom; {} has one way only", self.dataset.name());
        }
        if !matches!(self.dataset, Dataset::Pancreas) && self.split.is_some() {
            bail!("--split is for pancreas; other lists are train.list and test.list in --source");
        }
        if !matches!(self.dataset, Dataset::PancreasPhantom) && self.download.is_some() {
            bail!("--download is for pancreas-phantom, which makes a download; yours is --source");
        }
        Ok(())
    }

    fn source(&self) -> Result<&Path> {
        let name = self.dataset.name();
        self.source
            .as_deref()
            .with_context(|| format!("say where the scans are: prepare-data {name} --source DIR"))
    }
}

pub(crate) fn run(arguments: &Arguments, home: &Home) -> Result<ExitCode> {
    arguments.check()?;
    let folder = arguments.out.clone().unwrap_or_else(|| home.prepared()).join(arguments.folder_name());
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

/// Whether a dataset is made where it is not prepared.
pub(crate) fn is_made(name: &str) -> bool {
    [Dataset::Phantom, Dataset::PancreasPhantom].iter().any(|dataset| dataset.name() == name)
}

/// Makes the phantoms `name` of an experiment that finds nothing prepared; `None` after Ctrl-C.
pub(crate) fn phantoms(name: &str, home: &Home, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let folder = home.prepared().join(name);
    if name == Dataset::PancreasPhantom.name() {
        let phantoms = PancreasPhantoms::new(DEFAULT_SEED, None, None);
        return prepare_pancreas_phantoms(&phantoms, Recipe::default(), None, &folder, stop);
    }
    phantoms::Phantoms::default().write(&folder, stop)
}

fn prepare(arguments: &Arguments, folder: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let aside = if folder.exists() { beside(folder, "new")? } else { folder.to_owned() };
    let Arguments { seed, cases, spacing, .. } = *arguments;
    let recipe = arguments.recipe.unwrap_or_default();
    let set = match arguments.dataset {
        Dataset::Phantom => phantoms::Phantoms::new(seed, cases, spacing).write(&aside, stop)?,
        Dataset::La => prepare_la(arguments, &aside, stop)?,
        Dataset::Pancreas => {
            let scans = PancreasScans::open(arguments.source()?, recipe, arguments.split)?;
            let writer = Writer::create(&aside, "pancreas", scans.description(NIH_PANCREAS_CT))?;
            prepare_pancreas(&scans, cases, writer, stop)?
        }
        Dataset::PancreasPhantom => {
            let phantoms = PancreasPhantoms::new(seed, cases, spacing);
            prepare_pancreas_phantoms(&phantoms, recipe, arguments.download.as_deref(), &aside, stop)?
        }
    };
    if set.is_none() || aside == folder {
        return Ok(set);
    }
    replace(folder, &aside)?;
    Ok(Some(PreparedSet::open(folder)?))
}

fn prepare_la(arguments: &Arguments, folder: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let source = arguments.source()?;
    let scans = la::ScanFolder::open(source)?;
    if scans.unlisted() > 0 {
        say(format!("{} scans of {} are in no list and are left out", scans.unlisted(), source.display()));
    }
    let writer = Writer::create(folder, Dataset::La.name(), scans.description(arguments.seed))?;
    let listed = first(scans.splits(), arguments.cases);
    write_scans(writer, listed, |id| scans.read(id, arguments.seed), stop)
}

/// Where the scans of `pancreas` come from.
const NIH_PANCREAS_CT: &str = "Pancreas, CT (NIH Pancreas-CT, Roth et al. 2016)";

fn prepare_pancreas(
    scans: &PancreasScans,
    cases: Option<u32>,
    writer: Writer,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    scans.warning().into_iter().for_each(say);
    let Some(set) = write_scans(writer, first(scans.splits(), cases), |id| scans.read(id), stop)? else {
        return Ok(None);
    };
    let cases = &set.manifest().cases;
    let noted: Vec<_> = cases.iter().filter_map(|case| Some((&case.id, case.note.as_ref()?))).collect();
    if let Some((id, note)) = noted.first() {
        say(format!("{} of {} scans have a note in manifest.json; {id}: {note}", noted.len(), cases.len()));
    }
    Ok(Some(set))
}

/// Writes phantoms as a download, in a folder that is removed again unless it is `kept`, and prepares that.
fn prepare_pancreas_phantoms(
    phantoms: &PancreasPhantoms,
    recipe: Recipe,
    kept: Option<&Path>,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    if let Some(kept) = kept.filter(|kept| kept.exists()) {
        bail!("{} exists already; choose another folder with --download", kept.display());
    }
    let path = kept.map_or_else(|| beside(folder, "download"), |kept| Ok(kept.to_owned()))?;
    let download = Removed(path.clone());
    if phantoms.write(&path, stop)?.is_none() {
        return Ok(None);
    }
    let scans = PancreasScans::open(&path, recipe, None)?;
    let origin = format!("Synthetic CT of an abdomen, not of patients (seed {})", phantoms.seed);
    let writer = Writer::create(folder, Dataset::PancreasPhantom.name(), scans.description(&origin))?;
    let set = prepare_pancreas(&scans, None, writer, stop)?;
    if kept.is_some() && set.is_some() {
        download.kept();
    }
    Ok(set)
}

/// A folder that is removed when it goes out of scope.
struct Removed(PathBuf);

impl Removed {
    fn kept(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // Nobody can be told here; the next preparation clears what is left. The empty path of a kept folder is none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
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

/// The first `cases` of the lists, or all.
fn first(listed: &[(String, Split)], cases: Option<u32>) -> &[(String, Split)] {
    &listed[..cases.map_or(listed.len(), |n| listed.len().min(n as usize))]
}

/// Reads and writes the listed scans; `None` after Ctrl-C.
fn write_scans(
    mut writer: Writer,
    listed: &[(String, Split)],
    read: impl Fn(&str) -> Result<Scan>,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let mut progress = Progress::new("preparing", listed.len() as u64);
    for (index, (id, split)) in listed.iter().enumerate() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        progress.at(index as u64, id);
        let Scan { subject, sources, note } = read(id).with_context(|| format!("scan {id}"))?;
        writer.add(NewCase { subject: &subject, split: *split, sources, note })?;
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
    let test = cases.iter().filter(|case| case.split == Split::Test).count();
    format!(
        "{}: {} scans, {labelled} with label maps; {} for training, {test} for the test; digest {}",
        folder.display(),
        cases.len(),
        cases.len() - test,
        &set.digest()[..12]
    )
}
