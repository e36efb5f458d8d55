//! `tandem predict`: segments scans with the networks of a run.

use crate::device::{self, DeviceName};
use crate::output::say;
use crate::progress::Progress;
use crate::{intensities, interrupt, run_folder};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use tandem_training::{DeviceChoice, Predictor, TrainedRun};
use tandem_volume::prepared::Normalisation;
use tandem_volume::{Volume, read_image, stem, write_label};

/// Segments scans with the networks of a run. Each label map lies on its scan's own grid.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// The scans: NIfTI (.nii, .hdr with .img, each also .gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), or folders with
    /// one DICOM series each.
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// The folder for the label maps, ID.nii.gz.
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
    let outputs = outputs(&arguments.scans, &arguments.out)?;
    let choice = DeviceChoice::from(arguments.device);
    let how = run_folder::record(&arguments.run)?.normalisation.first().copied();
    let run = TrainedRun::open(&arguments.run, &device::open(choice)?)?;
    let predictor = run.predictor()?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
    let stop = interrupt::watch()?;
    for (scan, output) in arguments.scans.iter().zip(&outputs) {
        if stop.load(Ordering::SeqCst) {
            return Ok(ExitCode::from(interrupt::EXIT_CODE));
        }
        segment(&predictor, scan, output, (arguments.intensities, how))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn segment(
    predictor: &Predictor,
    scan: &Path,
    output: &Path,
    (intensities, how): (Intensities, Option<Normalisation>),
) -> Result<()> {
    let (image, note) =
        normalised(read_image(scan)?, intensities, how).with_context(|| format!("{}", scan.display()))?;
    let mut progress: Option<Progress> = None;
    let mut windows = |done: usize, total: usize| {
        progress.get_or_insert_with(|| Progress::new("segmenting", total as u64)).at(done as u64, "");
    };
    let segmentation = predictor.segment(&scan.display().to_string(), &image, &mut windows)?;
    drop(progress);
    let label = segmentation.own.label();
    write_label(output, &label)?;
    let foreground = label.array().iter().filter(|class| **class > 0).count();
    let ml = foreground as f64 * image.geometry().spacing().iter().product::<f64>() / 1000.0;
    let note = note.map(|note| format!("; {note}")).unwrap_or_default();
    say(format!("{} -> {}: {ml:.1} ml{note}", scan.display(), output.display()));
    Ok(())
}

/// The scan as the run's networks know scans; `how` its training data were normalised, where the run says so.
fn normalised(
    image: Volume<f32>,
    intensities: Intensities,
    how: Option<Normalisation>,
) -> Result<(Volume<f32>, Option<String>)> {
    match (intensities, how) {
        (Intensities::Prepared, _) => Ok((image, None)),
        (Intensities::Auto, Some(window @ Normalisation::Window { .. })) => {
            if intensities::are_windowed(&image) {
                Ok((image, None))
            } else {
                intensities::windowed(image, window)
            }
        }
        (Intensities::Raw, Some(window @ Normalisation::Window { .. })) => {
            intensities::windowed(image, window)
        }
        (Intensities::Auto, _) => intensities::normalised(image),
        (Intensities::Raw, _) => intensities::z_scored(image),
    }
}

/// The file of each scan's label map. Two scans must not share one.
fn outputs(scans: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut outputs: Vec<PathBuf> = Vec::with_capacity(scans.len());
    for scan in scans {
        let name = scan.file_name().and_then(|name| name.to_str()).filter(|name| !name.is_empty());
        let Some(id) = (if scan.is_dir() { name } else { name.and_then(stem) }) else {
            bail!(
                "{}: scans are NIfTI, NRRD or MetaImage files (.nii, .nii.gz, .nrrd, .mha ...), or folders of DICOM slices",
                scan.display()
            );
        };
        let output = folder.join(format!("{id}.nii.gz"));
        if outputs.contains(&output) {
            bail!("two scans would be written to {}; predict them into two folders", output.display());
        }
        if output.canonicalize().is_ok_and(|old| scan.canonicalize().is_ok_and(|scan| scan == old)) {
            bail!("{} would be overwritten by its own label map; choose another --out", scan.display());
        }
        outputs.push(output);
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scans: &[&str]) -> Result<Vec<PathBuf>> {
        outputs(&scans.iter().map(PathBuf::from).collect::<Vec<_>>(), Path::new("out"))
    }

    #[test]
    fn outputs_are_named_after_their_scans() {
        let expected = ["out/a.nii.gz", "out/b.x.nii.gz"].map(PathBuf::from);
        assert_eq!(check(&["x/a.nrrd", "b.x.nii"]).unwrap(), expected);
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        for (scans, message) in [(vec!["a.txt"], ".nii.gz"), (vec!["x/a.nii", "y/a.nii.gz"], "two folders")] {
            let error = check(&scans).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let scan = folder.path().join("a.nii.gz");
        std::fs::write(&scan, "").unwrap();
        assert!(outputs(std::slice::from_ref(&scan), folder.path()).is_err());
    }

    #[test]
    fn a_folder_of_slices_is_a_scan() {
        let folder = tempfile::tempdir().unwrap();
        let series = folder.path().join("patient.7");
        std::fs::create_dir(&series).unwrap();
        assert_eq!(outputs(&[series], Path::new("out")).unwrap(), [PathBuf::from("out/patient.7.nii.gz")]);
        assert!(outputs(&[PathBuf::from("..")], Path::new("out")).is_err(), "no name to give");
    }
}
