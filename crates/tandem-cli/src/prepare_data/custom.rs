//! Any folder of scans in a layout of the field, made ready for an experiment of its own.

mod definition;
mod fingerprint;
mod plan;

use super::{Arguments, Scan, sources};
use crate::home::Home;
use crate::output::say;
use crate::progress::Progress;
use crate::survey::{Severity, Survey};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use fingerprint::Fingerprint;
use plan::{Plan, Wishes};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_augment::{Patch, Transform, foreground, normalise};
use tandem_volume::layout::{ScanFiles, ScanFolder};
use tandem_volume::prepared::{NewCase, Normalisation, PreparedSet, Split, Writer};
use tandem_volume::{Subject, Volume};

/// Names that mean a benchmark or its stand-in.
const TAKEN: [&str; 6] =
    ["la", "phantom", "pancreas", "pancreas-phantom", "pancreas-coranet", "pancreas-phantom-coranet"];

/// Which part of a scan is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CropTo {
    /// The box around all voxels above the scan's lowest intensity. No label is looked at.
    #[default]
    Foreground,
    /// The whole scan.
    None,
}

/// A folder that was looked at, and the plan for it.
struct Custom {
    name: String,
    folder: ScanFolder,
    fingerprint: Fingerprint,
    plan: Plan,
}

/// What the dataset is called: as `--name` says, or as its folder is.
pub(super) fn name(arguments: &Arguments) -> Result<String> {
    let given = arguments.name.clone();
    let name = match given {
        Some(name) => name,
        None => {
            let source = arguments.source()?;
            // `.` and `..` have no name of their own.
            let source =
                source.canonicalize().with_context(|| format!("cannot open {}", source.display()))?;
            source.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
        }
    };
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if name.is_empty() || name.starts_with('.') || !plain {
        bail!("{name:?} cannot name a dataset; give one of letters, digits, `-`, `_` and `.` with --name");
    }
    if TAKEN.contains(&name.as_str()) {
        bail!("{name} is the name of a benchmark; give the dataset another one with --name");
    }
    Ok(name)
}

/// Checks, plans and writes the dataset into `aside`, and its definition where there is none yet; `None` after Ctrl-C.
pub(super) fn prepare(
    arguments: &Arguments,
    home: &Home,
    aside: &Path,
    stop: &AtomicBool,
) -> Result<Option<PreparedSet>> {
    let folder = ScanFolder::open(arguments.source()?)?;
    say(format!("{}: {}, {} scans", folder.path().display(), folder.layout(), folder.scans().len()));
    super::refuse_faults(&folder)?;
    if let Some(scan) = folder.scans().iter().find(|scan| scan.images.len().max(folder.channels().len()) > 1)
    {
        bail!(
            "scan {} has several channels, but prepared scans have one; keep the channel that you mean",
            scan.id
        );
    }
    let Some(survey) = Survey::of(&folder, stop)? else { return Ok(None) };
    refuse_errors(&survey, &folder)?;
    let fingerprint = Fingerprint::of(&folder, &survey);
    let plan = Plan::propose(&fingerprint, &survey, &wishes(arguments)?, plan::available_memory())?;
    plan.lines().iter().for_each(say);
    let custom = Custom { name: name(arguments)?, folder, fingerprint, plan };
    let Some(set) = custom.write(aside, stop)? else { return Ok(None) };
    custom.write_definition(&home.experiments())?;
    Ok(Some(set))
}

fn wishes(arguments: &Arguments) -> Result<Wishes> {
    let spacing = match arguments.spacing.as_deref() {
        None => None,
        Some(&[i, j, k]) => Some([i, j, k]),
        Some(&[mm]) => Some([mm; 3]),
        Some(_) => bail!("--spacing: give one number of millimetres, or three along i, j, k"),
    };
    if spacing.iter().flatten().any(|mm| !(mm.is_finite() && *mm > 0.0)) {
        bail!("--spacing: give positive numbers of millimetres");
    }
    let normalisation = match arguments.window.as_deref() {
        Some(&[low, high]) if low < high => Some(Normalisation::Window { low, high }),
        Some(_) => bail!("--window: give a lower and a higher intensity, such as --window -125 275"),
        None => arguments.zscore.then_some(Normalisation::ZScore),
    };
    Ok(Wishes { spacing, normalisation, crop: arguments.crop.unwrap_or_default() })
}

/// Errors that `check-data` would tell: none of them must reach a run.
fn refuse_errors(survey: &Survey, folder: &ScanFolder) -> Result<()> {
    let (errors, warnings) = survey.counts();
    let first = survey.findings.iter().find(|finding| finding.severity == Severity::Error);
    if let Some(first) = first {
        bail!(
            "{errors} errors in {}, the first: {}; see them all with check-data, then mend or remove these scans",
            folder.path().display(),
            first.message
        );
    }
    if warnings > 0 {
        say(format!("{warnings} warnings; see them with check-data {}", folder.path().display()));
    }
    Ok(())
}

impl Custom {
    /// Writes every scan that can be learnt from or scored, with the fingerprint and the plan beside them.
    fn write(&self, aside: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
        let writer = Writer::create(aside, &self.name, self.description())?;
        let mut writer = writer.with_normalisation(self.plan.normalisation.clone());
        let kept: Vec<&ScanFiles> = self
            .folder
            .scans()
            .iter()
            .filter(|scan| scan.split == Split::Train || scan.label.is_some())
            .collect();
        if kept.len() < self.folder.scans().len() {
            let left = self.folder.scans().len() - kept.len();
            say(format!("{left} test scans without a label map are left out: they cannot be scored"));
        }
        let mut progress = Progress::new("preparing", kept.len() as u64);
        for (done, files) in kept.into_iter().enumerate() {
            if stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            progress.at(done as u64, &files.id);
            let Scan { subject, sources, note } =
                self.read(files).with_context(|| format!("scan {}", files.id))?;
            writer.add(NewCase { subject: &subject, split: files.split, sources, note })?;
        }
        writer.add_file("fingerprint.json", &json(&self.fingerprint)?)?;
        writer.add_file("plan.json", &json(&self.plan)?)?;
        Ok(Some(writer.finish()?))
    }

    /// Reads a scan, normalises it over its whole field of view, and then crops it.
    fn read(&self, files: &ScanFiles) -> Result<Scan> {
        let raw = self.folder.read_image(&files.images[0])?;
        let label = self.folder.read_label(files)?;
        let normalised = normalise(raw.array(), self.plan.normalisation[0])?;
        let image = Volume::new(normalised, raw.geometry().clone());
        let whole = Subject::new(&files.id, image, label)?;
        let (subject, note) = match self.plan.crop {
            CropTo::None => (whole, None),
            CropTo::Foreground => cropped(whole, &raw)?,
        };
        Ok(Scan { subject, sources: sources(&self.folder, files)?, note })
    }

    fn description(&self) -> String {
        let crop = match self.plan.crop {
            CropTo::None => "not cropped",
            CropTo::Foreground => {
                "cropped to the box around all voxels above the scan's lowest intensity; no crop looked at a label"
            }
        };
        let normalisation = plan::described(&self.plan.normalisation);
        format!(
            "{}, {}: {normalisation} over the whole scan, then {crop}; each scan on its own grid.",
            self.name,
            self.folder.layout()
        )
    }

    /// Writes the experiment to edit. One that is there already is somebody's work.
    fn write_definition(&self, experiments: &Path) -> Result<()> {
        let path: PathBuf = experiments.join(format!("{}.toml", self.name));
        if path.exists() {
            say(format!("{} is there already and stays; the new plan is in plan.json", path.display()));
            return Ok(());
        }
        std::fs::create_dir_all(experiments)
            .with_context(|| format!("cannot make {}", experiments.display()))?;
        let text = definition::toml(&self.name, &self.plan, &self.fingerprint);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        say(format!(
            "{}: the experiment, to be edited; it runs with: experiment {}",
            path.display(),
            self.name
        ));
        Ok(())
    }
}

/// The part of a subject that its raw intensities tell from background. What the crop cuts off the label map, which it does
/// not look at, is told.
fn cropped(whole: Subject, raw: &Volume<f32>) -> Result<(Subject, Option<String>)> {
    let (id, image, label) = whole.into_parts();
    let crop = foreground(raw.array());
    if crop.size == raw.shape() {
        return Ok((Subject::new(id, image, label)?, None));
    }
    let labelled = |label: &Volume<u8>| label.array().iter().filter(|value| **value > 0).count();
    let before = label.as_ref().map(labelled);
    let geometry = image.geometry().starting_at(crop.start.map(|start| start as f64))?;
    let label = label.map(|label| label.into_parts().0);
    let (image, label) = crop.apply(Patch::new(image.into_parts().0, label)?).into_parts();
    let label = label.map(|label| Volume::new(label, geometry.clone()));
    let mut note = format!("cropped from {:?} to {:?} voxels", raw.shape(), crop.size);
    if let Some(lost) = before.zip(label.as_ref().map(labelled)).map(|(a, b)| a - b).filter(|lost| *lost > 0)
    {
        note += &format!("; {lost} labelled voxels lie outside, where the image is background");
        say(format!("{id}: {note}"));
    }
    Ok((Subject::new(id, Volume::new(image, geometry), label)?, Some(note)))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok((serde_json::to_string_pretty(value)? + "\n").into_bytes())
}
