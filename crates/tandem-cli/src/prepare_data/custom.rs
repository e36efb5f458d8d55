//! Any folder of scans in a layout of the field, made ready for an experiment of its own.

mod definition;
mod fingerprint;
mod plan;

use super::asked::{Asked, Options, Scans, millimetres};
use super::{Arguments, Scan, grids, sources, write_scans};
use crate::home::Home;
use crate::intensities;
use crate::orientation::turned;
use crate::output::say;
use crate::survey::{Survey, usual_orientation};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use fingerprint::Fingerprint;
use plan::{Plan, Wishes};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tandem_augment::foreground;
use tandem_training::host;
use tandem_volume::layout::ScanFolder;
use tandem_volume::prepared::{Normalisation, PreparedSet, Split, Writer};
use tandem_volume::{Image, Orientation, Subject, Volume};

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
    options: Options,
    fingerprint: Fingerprint,
    plan: Plan,
    /// How the axes of all prepared scans run.
    orientation: Orientation,
    resample_labels: bool,
}

/// What the dataset is called: as `--name` says, or as its folder is.
pub(super) fn name(arguments: &Arguments) -> Result<String> {
    let name = match &arguments.name {
        Some(name) => name.clone(),
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
    let folder = open(arguments)?;
    let options = options(arguments, &folder)?;
    say(format!("{}: {}, {} scans", folder.path().display(), folder.layout(), folder.scans().len()));
    regions(&folder).into_iter().for_each(say);
    let Some(survey) = Survey::of(&folder, stop)? else { return Ok(None) };
    super::refuse_errors(&survey, &folder, &arguments.passed())?;
    let fingerprint = Fingerprint::of(&folder, &survey);
    let plan = Plan::propose(&fingerprint, &survey, &wishes(arguments)?, host::available_memory())?;
    plan.lines().iter().for_each(say);
    let resample_labels = arguments.resample_labels;
    let orientation = usual_orientation(&survey.scans).context("there is no scan")?;
    let name = name(arguments)?;
    let custom = Custom { name, folder, options, fingerprint, plan, orientation, resample_labels };
    let Some(set) = custom.write(aside, stop)? else { return Ok(None) };
    custom.write_definition(&home.experiments())?;
    if let Some(out) = arguments.out.as_deref().filter(|out| !is_same(out, &home.prepared())) {
        say(format!(
            "experiments look in {}; move {} there, or prepare it without --out",
            home.prepared().display(),
            out.join(&custom.name).display()
        ));
    } else {
        say(format!("it runs with: experiment {}", custom.name));
    }
    Ok(Some(set))
}

/// The scans of `--source`, and what is to be done to them.
pub(super) fn asked(arguments: &Arguments) -> Result<Asked> {
    let folder = open(arguments)?;
    let (options, listed) = (options(arguments, &folder)?, kept(&folder));
    Ok(Asked { options, scans: Some(Scans { folder, listed }) })
}

/// Looks at the folder of the scans; reads no scan yet.
fn open(arguments: &Arguments) -> Result<ScanFolder> {
    let folder = ScanFolder::open(arguments.source()?)?;
    super::refuse_folder(&folder)?;
    Ok(folder)
}

/// A warning where `dataset.json` names regions: scores of its disjoint labels are not those that nnU-Net reports.
fn regions(folder: &ScanFolder) -> Option<String> {
    let class = |(value, name): (&u8, &String)| format!("{value} is {name}");
    let classes: Vec<String> = folder.labels().iter().map(class).collect();
    folder.has_regions().then(|| {
        format!(
            "warning: dataset.json names regions that overlap, but the classes here are its disjoint labels, and Dice is of these: \
             {}",
            classes.join(", ")
        )
    })
}

/// What decides how the scans are prepared, with the names in `dataset.json`, which no scan's file shows.
fn options(arguments: &Arguments, folder: &ScanFolder) -> Result<Options> {
    let Wishes { spacing, normalisation, crop } = wishes(arguments)?;
    let window = match normalisation {
        Some(Normalisation::Window { low, high }) => Some(format!("{low} {high}")),
        _ => None,
    };
    let classes: Vec<String> =
        folder.labels().iter().map(|(value, name)| format!("{value} {name}")).collect();
    let named = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    Ok(Options::default()
        .with("--crop", crop.to_possible_value().map(|value| value.get_name().to_owned()))
        .with("--resample-labels", arguments.resample_labels.then(String::new))
        .with("--spacing", spacing.map(millimetres))
        .with("--window", window)
        .with("--zscore", arguments.zscore.then(String::new))
        .with("the channels", named(folder.channels()))
        .with("the labels", named(&classes)))
}

/// The scans that can be learnt from or scored.
fn kept(folder: &ScanFolder) -> Vec<(String, Split)> {
    let kept = folder.scans().iter().filter(|scan| scan.split == Split::Train || scan.label.is_some());
    kept.map(|scan| (scan.id.clone(), scan.split)).collect()
}

/// Whether two paths are one folder.
fn is_same(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
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

impl Custom {
    /// Writes every scan that can be learnt from or scored, with options, fingerprint and plan beside them.
    fn write(&self, aside: &Path, stop: &AtomicBool) -> Result<Option<PreparedSet>> {
        let writer = Writer::create(aside, &self.name, self.description())?
            .with_channels(self.fingerprint.channel_names())?
            .with_classes(self.fingerprint.class_names())?
            .with_normalisation(self.plan.normalisation.clone())
            .with_orientation(self.orientation);
        self.options.write(&writer)?;
        writer.add_file("fingerprint.json", &json(&self.fingerprint)?)?;
        writer.add_file("plan.json", &json(&self.plan)?)?;
        let kept = kept(&self.folder);
        let left = self.folder.scans().len() - kept.len();
        if left > 0 {
            say(format!("{left} test scans without a label map are left out: they cannot be scored"));
        }
        write_scans(writer, &kept, |id| self.read(id), stop)
    }

    /// Reads a scan, normalises it over its whole field of view, and then crops it.
    fn read(&self, id: &str) -> Result<Scan> {
        let files = self.folder.scan(id).with_context(|| format!("there is no scan {id}"))?;
        let raw = self.folder.read_image(files)?;
        let label = self.folder.read_label(files)?;
        let (raw, label, turned) = self.turned(raw, label)?;
        let (image, _) = intensities::from_raw(raw.clone(), &self.plan.normalisation)?;
        let (whole, moved) = grids::subject(id, image, label, self.resample_labels)?;
        let (subject, cut) = match self.plan.crop {
            CropTo::None => (whole, None),
            CropTo::Foreground => cropped(whole, &raw)?,
        };
        let note = [turned, moved, cut].into_iter().flatten().reduce(|all, note| format!("{all}; {note}"));
        Ok(Scan { subject, sources: sources(&self.folder, files)?, note })
    }

    /// A scan and its label map with the axes of most scans; the note says so where they ran otherwise.
    fn turned(
        &self,
        raw: Image,
        label: Option<Volume<u8>>,
    ) -> Result<(Image, Option<Volume<u8>>, Option<String>)> {
        let (raw, note) = turned(raw, Some(self.orientation))?;
        let label = label.map(|label| label.reoriented(self.orientation)).transpose()?;
        Ok((raw, label, note))
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
            "{}, {}: {normalisation} over the whole scan, then {crop}; each scan on its own grid, with axes that run {}.",
            self.name,
            self.folder.layout(),
            self.orientation
        )
    }

    /// Writes the experiment to edit. One that is there already is somebody's work; what it has otherwise than the new plan is
    /// told, since it may be of other scans.
    fn write_definition(&self, experiments: &Path) -> Result<()> {
        let path: PathBuf = experiments.join(format!("{}.toml", self.name));
        let text = definition::toml(&self.name, &self.plan, &self.fingerprint);
        if path.exists() {
            let there =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            say(format!("{} is there already and stays; the new plan is in plan.json", path.display()));
            definition::differences(&there, &text).iter().for_each(|line| say(format!("  {line}")));
            return Ok(());
        }
        std::fs::create_dir_all(experiments)
            .with_context(|| format!("cannot make {}", experiments.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        say(format!("{}: the experiment, to be edited", path.display()));
        Ok(())
    }
}

/// The part of a subject that its raw intensities tell from background. What the crop cuts off the label map, which it does
/// not look at, is told.
fn cropped(whole: Subject, raw: &Image) -> Result<(Subject, Option<String>)> {
    let crop = foreground(raw);
    if crop.size == raw.shape() {
        return Ok((whole, None));
    }
    let labelled = |subject: &Subject| {
        subject.label().map_or(0, |label| label.array().iter().filter(|value| **value > 0).count())
    };
    let subject = crop.of_subject(&whole)?;
    let mut note = format!("cropped from {:?} to {:?} voxels", raw.shape(), crop.size);
    let lost = labelled(&whole) - labelled(&subject);
    if lost > 0 {
        note += &format!("; {lost} labelled voxels lie outside, where the image is background");
        say(format!("{}: {note}", whole.id()));
    }
    Ok((subject, Some(note)))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok((serde_json::to_string_pretty(value)? + "\n").into_bytes())
}
