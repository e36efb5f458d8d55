//! `tandem predict`: segments scans with the networks of a run or of a model folder.

mod cases;
mod found;
mod maps;
mod preview;
mod record;
mod volumes;

use crate::device::{self, DeviceName};
use crate::orientation::turned;
use crate::output::say;
use crate::progress::{Progress, duration};
use crate::{SOME_FAILED, intensities, interrupt, sentence};
use anyhow::{Context, Result, bail};
use cases::{Case, cases, check_outputs};
use clap::ValueEnum;
use maps::{Grid, Maps, outputs};
use preview::preview;
use record::{Networks, Record, Settings, State};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tandem_ops3d::Workspace;
use tandem_training::{DeviceChoice, Error, Model, ModelRecord, Predictor};
use tandem_volume::{Image, write_label_of, write_whole};
use volumes::{ClassVolume, volumes};

const EXAMPLES: &str = "Examples:
  tandem predict runs/heart scan.nii.gz
  tandem predict runs/heart scans/ -o masks --uncertainty
  tandem predict runs/heart dicom-series/ --largest-component --tta mirror";

/// Segments scans with the networks of a run or of a model folder. Each label map lies on its scan's own grid.
///
/// The same command again goes on where it was stopped: scans that are done by the same networks with the same settings are
/// left out. A scan that cannot be read is reported, and the others go on.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run folder, or a model folder that export or import made.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The scans: NIfTI (.nii, .hdr with .img, each also .gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), folders with
    /// one DICOM series each, or folders of scans, of which every scan is taken. For a run on several channels: files that hold
    /// all of them, or CASE_0000.nii.gz with CASE_0001.nii.gz and so on beside it.
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// The folder for the label maps and all else: ID.nii.gz, or ID.nrrd where the scan is no NIfTI; ID.png is a
    /// preview, ID.json says how they were made, and volumes.csv how large each class is.
    #[arg(short, long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,
    /// Writes maps of what the networks are unsure of: ID_entropy and ID_disagreement, both from 0 to 1.
    #[arg(long)]
    uncertainty: bool,
    /// Writes a map of each class's probability: ID_probability_0, that of the background, and so on.
    #[arg(long)]
    probabilities: bool,
    /// Keeps of each class its largest connected component.
    #[arg(long)]
    largest_component: bool,
    /// Averages over changed copies of each window.
    #[arg(long, value_enum, default_value = "none")]
    tta: Tta,
    /// Replaces what is there, whoever made it.
    #[arg(long)]
    overwrite: bool,
    /// What the scans' intensities are.
    #[arg(long, value_enum, default_value = "auto")]
    intensities: Intensities,
    /// Where the networks run.
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceName,
}

/// What the intensities of a scan are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Intensities {
    /// Raw unless they look like those that the run was trained on; which, is said.
    Auto,
    /// As the run's training data: taken as they are.
    Prepared,
    /// Raw: normalised as the run's training data, or z-scored over the whole scan.
    Raw,
}

/// Augmentation at the time of prediction.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tta {
    /// Each window as it is.
    None,
    /// All eight mirror images of each window: eight times the work.
    Mirror,
}

/// How the work on a scan ended that is not done.
enum Unfinished {
    /// By Ctrl-C.
    Stopped,
    /// The scan cannot be segmented; others may.
    Scan(anyhow::Error),
    /// What is made of it cannot be written; nor can what is made of others.
    Output(anyhow::Error),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let choice = DeviceChoice::from(arguments.device);
    let model = Model::open(&arguments.model, &device::open(choice)?)?;
    let predictor = model.predictor()?.mirrored(arguments.tta == Tta::Mirror);
    let networks = Networks { path: arguments.model.clone(), digest: model.digest() };
    let record = model.record();
    let work = Work { arguments, predictor, record, networks, settings: arguments.settings() };
    let cases = cases(&arguments.scans, work.predictor.channels(), &arguments.out)?;
    check_outputs(&cases, |case| work.outputs(case))?;
    let open = work.open(&cases)?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
    interrupt::watch()?;
    work.all(&open, cases.len())
}

impl Arguments {
    fn settings(&self) -> Settings {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        Settings {
            intensities: name(self.intensities.to_possible_value()),
            uncertainty: self.uncertainty,
            probabilities: self.probabilities,
            largest_component: self.largest_component,
            tta: name(self.tta.to_possible_value()),
        }
    }
}

/// All that is the same for every scan.
struct Work<'a> {
    arguments: &'a Arguments,
    predictor: Predictor<'a>,
    /// How the networks know scans.
    record: &'a ModelRecord,
    networks: Networks,
    settings: Settings,
}

impl Work<'_> {
    fn outputs(&self, case: &Case) -> Vec<PathBuf> {
        outputs(case, self.out(), &self.settings, &self.predictor)
    }

    fn out(&self) -> &Path {
        &self.arguments.out
    }

    /// The scans that are not done yet.
    ///
    /// # Errors
    /// Where the folder holds files that would be lost.
    fn open<'c>(&self, cases: &'c [Case]) -> Result<Vec<&'c Case>> {
        volumes::check(self.out())?;
        let (mut open, mut done) = (Vec::new(), Vec::new());
        for case in cases {
            let record = Record::begun(case, &self.networks, &self.settings, &self.outputs(case));
            // Of a scan that is not there, the work on it tells more.
            match record {
                Ok(record) if !self.arguments.overwrite => match record.state(self.out(), &case.id)? {
                    State::Done(volumes) => done.push((case, record.outputs, volumes)),
                    State::Open => open.push(case),
                },
                _ => open.push(case),
            }
        }
        if !done.is_empty() {
            let of = if cases.len() > 1 {
                format!("{} of {} scans are", done.len(), cases.len())
            } else {
                "the scan is".to_owned()
            };
            say(format!(
                "{of} done already by the same networks with the same settings (--overwrite does them again)"
            ));
        }
        // A command that was killed may not have come to it.
        let rows: Vec<_> = done
            .iter()
            .map(|(case, files, volumes)| (case.id.as_str(), files[0].as_str(), volumes.as_slice()))
            .collect();
        volumes::enter(self.out(), &rows)?;
        Ok(open)
    }

    /// Segments the scans, one after the other; `all` is the number of those that were named.
    fn all(&self, open: &[&Case], all: usize) -> Result<ExitCode> {
        let (started, mut failed) = (Instant::now(), Vec::new());
        for (index, case) in open.iter().enumerate() {
            let place = all - open.len() + index + 1;
            match self.one(case, place, all) {
                Ok(line) if all == 1 => say(line),
                Ok(line) => {
                    let left = (open.len() - index - 1) as f64 * started.elapsed().as_secs_f64()
                        / (index + 1) as f64;
                    let left = if index + 1 < open.len() {
                        format!("; about {} left", duration(left))
                    } else {
                        String::new()
                    };
                    say(format!("[{place}/{all}] {line}{left}"));
                }
                Err(Unfinished::Stopped) => {
                    eprintln!("stopped; the same command goes on with the scans that are left");
                    return Ok(interrupt::exit_code());
                }
                Err(Unfinished::Output(error)) => return Err(error),
                Err(Unfinished::Scan(error)) if all == 1 => return Err(error),
                Err(Unfinished::Scan(error)) => {
                    eprintln!("error: {}", sentence(&error));
                    failed.push(case.id.as_str());
                }
            }
        }
        if failed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if failed.len() == all {
            bail!("all {all} scans failed, each as said above");
        }
        eprintln!("error: {} of {all} scans failed, each as said above: {}", failed.len(), failed.join(", "));
        Ok(ExitCode::from(SOME_FAILED))
    }

    /// Segments a scan and writes what is made of it; returns the line that says so.
    fn one(&self, case: &Case, place: usize, all: usize) -> Result<String, Unfinished> {
        let started = Instant::now();
        let name = case.name();
        let (image, intensities) = self.image(case).map_err(Unfinished::Scan)?;
        let own = Grid::of(&image);
        let turned = turned(image, self.record.orientation).with_context(|| name.clone());
        let (image, axes) = turned.map_err(Unfinished::Scan)?;
        let outputs = self.outputs(case);
        let mut record =
            Record::begun(case, &self.networks, &self.settings, &outputs).map_err(Unfinished::Scan)?;
        record.write(self.out(), &case.id).map_err(Unfinished::Output)?;
        let grids = (own, Grid::of(&image));
        let mut maps = Maps::begin(case, self.out(), &self.settings, &self.predictor, grids)
            .map_err(Unfinished::Output)?;

        let mut progress: Option<Progress> = None;
        let note_of_place = if all > 1 { format!("{} ({place} of {all})", case.id) } else { String::new() };
        let mut windows = |done: usize, total: usize| {
            progress
                .get_or_insert_with(|| Progress::new("segmenting", total as u64))
                .at(done as u64, &note_of_place);
            interrupt::asked()
        };
        let mut unwritten = None;
        let mut take = |plane: tandem_inference::Plane| {
            maps.put(&plane).map_err(|error| {
                unwritten = Some(error);
                tandem_inference::Error::Stopped
            })
        };
        let segmented = self.predictor.segment_planes(&name, image, &mut take, &mut windows);
        drop(progress);
        match (segmented, unwritten) {
            (_, Some(error)) => return Err(Unfinished::Output(error)),
            (Err(Error::Stopped), None) => return Err(Unfinished::Stopped),
            (segmented, None) => segmented.map_err(|error| Unfinished::Scan(error.into()))?,
        }

        let written = self.write(case, maps, &mut record, &outputs).map_err(Unfinished::Output)?;
        (record.intensities, record.axes) = (intensities, axes);
        record.seconds = started.elapsed().as_secs_f64();
        record.done = true;
        record.write(self.out(), &case.id).map_err(Unfinished::Output)?;
        let notes: String = [&record.intensities, &record.axes]
            .into_iter()
            .flatten()
            .map(|note| format!("; {note}"))
            .collect();
        Ok(format!("{name} -> {}: {written}{notes}", outputs[0].display()))
    }

    /// The scan with intensities as the run's networks know them, and what was done to those.
    fn image(&self, case: &Case) -> Result<(Image, Option<String>)> {
        let (name, image) = (case.name(), case.read()?);
        let (found, wanted) = (image.channels().len(), self.predictor.channels());
        if found != wanted {
            bail!(
                "{name}: the scan has {found} channel(s), but the run was trained on {wanted}; give one file with all of them, \
                 or CASE_0000.nii.gz with the other channels, CASE_0001.nii.gz and so on, beside it"
            );
        }
        let normalised = match self.arguments.intensities {
            Intensities::Auto => {
                intensities::normalised(image, &self.record.normalisation).map(|(image, note)| {
                    let stays = || "intensities taken as they are, since they look normalised".to_owned();
                    (image, note.or_else(|| Some(stays())))
                })
            }
            Intensities::Prepared => Ok((image, None)),
            Intensities::Raw => intensities::from_raw(image, &self.record.normalisation),
        };
        normalised.with_context(|| name)
    }

    /// Writes all maps, the volumes and the picture; returns the volumes in words.
    fn write(&self, case: &Case, maps: Maps, record: &mut Record, outputs: &[PathBuf]) -> Result<String> {
        let classes = self.predictor.classes();
        let label = maps.finish(&self.settings, classes)?;
        write_label_of(&case.files[0], &outputs[0], &label)?;
        // Read again rather than kept: nothing else needs the scan any more, and it may be the largest thing in memory. What the
        // networks worked in makes room for it.
        Workspace::release_idle();
        let image = case.read()?.into_channels().swap_remove(0);
        write_whole(&outputs[1], &preview(&image, &label)?)?;
        drop(image);
        let names: Vec<String> = (0..classes).map(|class| self.predictor.class_name(class)).collect();
        record.volumes = volumes(&label, &names);
        volumes::enter(self.out(), &[(&case.id, &record.outputs[0], &record.volumes)])?;
        let several = record.volumes.len() > 1;
        let in_words = |ClassVolume { class, ml, .. }: &ClassVolume| {
            if several { format!("{class} {ml:.1} ml") } else { format!("{ml:.1} ml") }
        };
        Ok(record.volumes.iter().map(in_words).collect::<Vec<_>>().join(", "))
    }
}
