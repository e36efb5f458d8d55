//! `tandem prepare-data`: makes the folder of prepared cases that experiments read.

mod arguments;
mod asked;
mod custom;
pub(crate) mod grids;
pub(crate) mod la;
mod pancreas;
mod phantoms;

use crate::home::Home;
use crate::interrupt;
use crate::output::say;
use crate::progress::Progress;
use crate::survey::{Finding, Kind, Severity, Survey};
use anyhow::{Context, Result, bail};
pub(crate) use arguments::Arguments;
use arguments::{DEFAULT_SEED, Dataset};
use asked::{Asked, Compared};
use pancreas::Recipe;
use pancreas::phantoms::PancreasPhantoms;
use phantoms::Phantoms;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_volume::Subject;
use tandem_volume::layout::{Fault, Layout, ScanFiles, ScanFolder};
use tandem_volume::prepared::{NewCase, PreparedSet, Source, Split, Writer};

pub(crate) fn run(arguments: &Arguments, home: &Home) -> Result<ExitCode> {
    arguments.check()?;
    let folder = arguments.out.clone().unwrap_or_else(|| home.prepared()).join(arguments.folder_name()?);
    if folder.exists() && !arguments.force {
        return leave(arguments, &folder);
    }
    let stop = interrupt::watch()?;
    match prepare(arguments, home, &folder, stop)? {
        Some(set) => {
            say(format!("prepared {}", summary(&folder, &set)));
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(interrupt::exit_code()),
    }
}

/// Leaves the folder of an earlier preparation as it is, where that was of the same scans with the same options.
///
/// # Errors
/// Where it was not: who has mended a label map must not go on with the old one.
fn leave(arguments: &Arguments, folder: &Path) -> Result<ExitCode> {
    let set = PreparedSet::open(folder).context("to prepare it again, add --force")?;
    let stop = interrupt::watch()?;
    match asked(arguments)?.compared(folder, &set, stop)? {
        Compared::Same => {
            say(format!("{} is prepared already; --force prepares it again", summary(folder, &set)));
            Ok(ExitCode::SUCCESS)
        }
        Compared::Differs(how) => bail!(
            "{} {how}; --force prepares it anew, and {} another one beside it",
            folder.display(),
            if arguments.dataset == Dataset::Custom { "--name NAME" } else { "--out DIR" }
        ),
        Compared::Stopped => Ok(interrupt::exit_code()),
    }
}

/// What the command line asks for, without reading a scan.
fn asked(arguments: &Arguments) -> Result<Asked> {
    let Arguments { seed, cases, .. } = *arguments;
    Ok(match arguments.dataset {
        Dataset::Phantom => {
            Asked { options: Phantoms::new(seed, cases, arguments.isotropic()?).options(), scans: None }
        }
        Dataset::La => la::asked(arguments)?,
        Dataset::Pancreas => pancreas::asked(arguments)?,
        Dataset::PancreasPhantom => Asked {
            options: PancreasPhantoms::new(seed, cases, arguments.isotropic()?).options(),
            scans: None,
        },
        Dataset::Custom => custom::asked(arguments)?,
    })
}

/// Whether a dataset is made where it is not prepared.
pub(crate) fn is_made(name: &str) -> bool {
    [Dataset::Phantom, Dataset::PancreasPhantom].iter().any(|dataset| dataset.name() == name)
}

/// The command that prepares the dataset `name`, for people to complete.
pub(crate) fn command(name: &str) -> String {
    let benchmark = [Dataset::La, Dataset::Pancreas].iter().any(|dataset| dataset.name() == name);
    match name.strip_suffix("-coranet") {
        Some("pancreas") => "prepare-data pancreas --recipe coranet --source DIR".to_owned(),
        Some("pancreas-phantom") => "prepare-data pancreas-phantom --recipe coranet".to_owned(),
        _ if is_made(name) => format!("prepare-data {name}"),
        _ if benchmark => format!("prepare-data {name} --source DIR"),
        _ => format!("prepare-data custom --source DIR --name {name}"),
    }
}

/// Makes the phantoms `name` of an experiment that finds nothing prepared; `None` after Ctrl-C.
pub(crate) fn phantoms(name: &str, home: &Home, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
    let folder = home.prepared().join(name);
    if name == Dataset::PancreasPhantom.name() {
        let phantoms = PancreasPhantoms::new(DEFAULT_SEED, None, None);
        return phantoms.prepare(Recipe::default(), None, &folder, stop);
    }
    Phantoms::new(DEFAULT_SEED, None, None).write(&folder, stop)
}

fn prepare(
    arguments: &Arguments,
    home: &Home,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let aside = if folder.exists() { beside(folder, "new")? } else { folder.to_owned() };
    let Arguments { seed, cases, .. } = *arguments;
    let set = match arguments.dataset {
        Dataset::Phantom => Phantoms::new(seed, cases, arguments.isotropic()?).write(&aside, stop)?,
        Dataset::La => la::prepare(arguments, &aside, stop)?,
        Dataset::Pancreas => pancreas::prepare(arguments, &aside, stop)?,
        Dataset::PancreasPhantom => {
            let phantoms = PancreasPhantoms::new(seed, cases, arguments.isotropic()?);
            let recipe = arguments.recipe.unwrap_or_default();
            phantoms.prepare(recipe, arguments.download.as_deref(), &aside, stop)?
        }
        Dataset::Custom => custom::prepare(arguments, home, &aside, stop)?,
    };
    if set.is_none() || aside == folder {
        return Ok(set);
    }
    replace(folder, &aside)?;
    Ok(Some(PreparedSet::open(folder)?))
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

/// A scan that was read and preprocessed.
pub(crate) struct Scan {
    /// Image and label map.
    pub(crate) subject: Subject,
    /// The files that it was made from.
    pub(crate) sources: Vec<Source>,
    /// What was done to this scan only.
    pub(crate) note: Option<String>,
}

/// The files and folders of slices of a scan with their digests, each once.
fn sources(folder: &ScanFolder, scan: &ScanFiles) -> Result<Vec<Source>> {
    let mut files: Vec<&String> = scan.images.iter().chain(&scan.label).collect();
    files.dedup();
    let source = |file: &String| {
        let path = folder.path().join(file);
        Ok(if path.is_dir() { Source::of_folder(file, path)? } else { Source::of_file(file, path)? })
    };
    files.into_iter().map(source).collect()
}

/// Refuses a folder of which scans cannot be taken as they lie there.
pub(crate) fn refuse_folder(scans: &ScanFolder) -> Result<()> {
    if scans.layout() == Layout::PancreasCt {
        bail!(
            "{} is {}, whose label maps do not say where they lie; prepare it with prepare-data pancreas",
            scans.path().display(),
            scans.layout()
        );
    }
    refuse_faults(scans.path(), scans.faults())
}

/// The first fault that keeps a folder from being prepared. Label maps without an image are left to the survey.
fn refuse_faults(folder: &Path, faults: &[Fault]) -> Result<()> {
    match faults.iter().find(|fault| !matches!(fault, Fault::LabelWithoutImage { .. })) {
        Some(fault) => bail!("{}: {fault}", folder.display()),
        None => Ok(()),
    }
}

/// Errors that `check-data` would tell: none of them must reach a run, but for those that are `passed`.
fn refuse_errors(survey: &Survey, folder: &ScanFolder, passed: &[Kind]) -> Result<()> {
    let refused = |finding: &&Finding| finding.severity == Severity::Error && !passed.contains(&finding.kind);
    let errors: Vec<&Finding> = survey.findings.iter().filter(refused).collect();
    if let [first, ..] = errors.as_slice() {
        let (count, shown) = (errors.len(), folder.path().display());
        let or = if first.kind == Kind::Grid { ", or add --resample-labels" } else { "" };
        bail!(
            "{count} errors in {shown}, the first: {}; see them all with check-data, then mend or remove these scans{or}",
            first.message
        );
    }
    let (_, warnings) = survey.counts();
    if warnings > 0 {
        say(format!("{warnings} warnings; see them with check-data {}", folder.path().display()));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_prepares_a_dataset_is_one_that_is_taken() {
        for (name, expected) in [
            ("la", "prepare-data la --source DIR"),
            ("pancreas-coranet", "prepare-data pancreas --recipe coranet --source DIR"),
            ("pancreas-phantom-coranet", "prepare-data pancreas-phantom --recipe coranet"),
            ("phantom", "prepare-data phantom"),
            ("hearts", "prepare-data custom --source DIR --name hearts"),
            ("mine-coranet", "prepare-data custom --source DIR --name mine-coranet"),
        ] {
            assert_eq!(command(name), expected);
        }
    }
}
