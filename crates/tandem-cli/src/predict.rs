//! `tandem predict`: segments scans with the networks of a run or of a model folder.

mod cases;

use crate::device::{self, DeviceName};
use crate::output::say;
use crate::progress::Progress;
use crate::{intensities, interrupt};
use anyhow::{Context, Result, bail};
use cases::{Case, cases};
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_training::{DeviceChoice, Error, Model, Predictor};
use tandem_volume::prepared::Normalisation;
use tandem_volume::{Image, Volume, read_channels, write_label_of};

/// Segments scans with the networks of a run or of a model folder. Each label map lies on its scan's own grid.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The run folder, or a model folder that export or import made.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The scans: NIfTI (.nii, .hdr with .img, each also .gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), or folders with
    /// one DICOM series each. For a run on several channels: files that hold all of them, or CASE_0000.nii.gz with
    /// CASE_0001.nii.gz and so on beside it.
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// The folder for the label maps: ID.nii.gz, or ID.nrrd where the scan is no NIfTI.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
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

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let choice = DeviceChoice::from(arguments.device);
    let model = Model::open(&arguments.model, &device::open(choice)?)?;
    let predictor = model.predictor()?;
    let cases = cases(&arguments.scans, predictor.channels(), &arguments.out)?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
    interrupt::watch()?;
    for case in &cases {
        match segment(&predictor, case, (arguments.intensities, &model.record().normalisation)) {
            Err(error) if matches!(error.downcast_ref(), Some(Error::Stopped)) => {
                return Ok(interrupt::exit_code());
            }
            segmented => segmented?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn segment(
    predictor: &Predictor,
    case: &Case,
    (intensities, normalisation): (Intensities, &[Normalisation]),
) -> Result<()> {
    let name = case.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let image = read_channels(&case.files)?;
    let (found, wanted) = (image.channels().len(), predictor.channels());
    if found != wanted {
        bail!(
            "{name}: the scan has {found} channel(s), but the run was trained on {wanted}; give one file with all of them, \
             or CASE_0000.nii.gz with the other channels, CASE_0001.nii.gz and so on, beside it"
        );
    }
    let (image, note) = normalised(image, intensities, normalisation).with_context(|| name.clone())?;
    let mut progress: Option<Progress> = None;
    let mut windows = |done: usize, total: usize| {
        progress.get_or_insert_with(|| Progress::new("segmenting", total as u64)).at(done as u64, "");
        interrupt::asked()
    };
    let segmentation = predictor.segment(&name, &image, &mut windows)?;
    drop(progress);
    let label = segmentation.own.label();
    write_label_of(&case.files[0], &case.output, &label)?;
    let note = note.map(|note| format!("; {note}")).unwrap_or_default();
    say(format!("{name} -> {}: {}{note}", case.output.display(), volumes(predictor, &label)));
    Ok(())
}

/// The volume of every foreground class, named where there are several.
fn volumes(predictor: &Predictor, label: &Volume<u8>) -> String {
    let mut counts = [0usize; 256];
    label.array().iter().for_each(|&class| counts[usize::from(class)] += 1);
    let voxel = label.geometry().spacing().iter().product::<f64>() / 1000.0;
    let volume = |class: usize| {
        let name =
            if predictor.classes() > 2 { format!("{} ", predictor.class_name(class)) } else { String::new() };
        format!("{name}{:.1} ml", counts[class] as f64 * voxel)
    };
    (1..predictor.classes()).map(volume).collect::<Vec<_>>().join(", ")
}

/// The scan as the run's networks know scans; `normalisation` is that of its training data, where the run says so.
fn normalised(
    image: Image,
    intensities: Intensities,
    normalisation: &[Normalisation],
) -> Result<(Image, Option<String>)> {
    match intensities {
        Intensities::Auto => intensities::normalised(&image, normalisation),
        Intensities::Prepared => Ok((image, None)),
        Intensities::Raw => intensities::from_raw(&image, normalisation),
    }
}
