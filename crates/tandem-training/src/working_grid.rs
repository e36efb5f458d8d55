//! Copies of the training scans on the working grid of a run, made once.

use crate::{Error, Result};
use std::path::{Path, PathBuf};
use tandem_volume::prepared::{CaseRecord, NewCase, PreparedSet, Source, Split, Writer};
use tandem_volume::{Subject, resample};

/// Digits of the source's digest in the name of a copy.
const DIGEST_DIGITS: usize = 12;

/// The training list of the prepared folder `source` at `spacing` mm.
///
/// Where every scan has that spacing this is the source itself. Else it is a prepared folder beside the source, named
/// after the spacing and the source's digest, which is made where it is missing: aside, then renamed. Test cases are
/// not copied. `progress` gets the number of cases done and their total, and ends the work with an error.
///
/// # Errors
/// That of `progress`; where a case cannot be read or resampled, or the folder cannot be written.
pub(crate) fn on_working_grid(
    source: &Path,
    spacing: [f64; 3],
    classes: usize,
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<PreparedSet> {
    let set = PreparedSet::open(source)?;
    let training: Vec<&CaseRecord> =
        set.manifest().cases.iter().filter(|case| case.split == Split::Train).collect();
    if training.iter().all(|case| resample::same_spacing(case.spacing, spacing)) {
        return Ok(set);
    }
    let folder = copy_folder(source, &set, spacing, classes);
    if folder.exists() {
        return Ok(PreparedSet::open(&folder)?);
    }
    let [i, j, k] = spacing;
    let description = format!(
        "{} Resampled to {i} x {j} x {k} mm from the set with digest {}; training list only.",
        set.manifest().description,
        set.digest()
    );
    let manifest = set.manifest();
    let mut writer = Writer::create(&folder, manifest.dataset.clone(), description)?
        .with_channels(manifest.channels.clone())?
        .with_classes(manifest.classes.clone())?;
    for (done, record) in training.iter().enumerate() {
        progress(done, training.len())?;
        let subject = resampled(&set, record, spacing, classes).map_err(Error::case(&record.id))?;
        let file = format!("{}.nii of set {}", record.id, set.digest());
        let sources = vec![Source { file, sha256: None }];
        let case = NewCase { subject: &subject, split: Split::Train, sources, note: record.note.clone() };
        writer.add(case).map_err(Error::case(&record.id))?;
    }
    progress(training.len(), training.len())?;
    match writer.finish() {
        // Another run has made the same copy meanwhile.
        Err(_) if folder.exists() => Ok(PreparedSet::open(&folder)?),
        written => Ok(written?),
    }
}

/// `<source>@<spacing>mm-<digest>`, so that a change of the source asks for a new copy.
fn copy_folder(source: &Path, set: &PreparedSet, [i, j, k]: [f64; 3], classes: usize) -> PathBuf {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let digest = &set.digest()[..DIGEST_DIGITS.min(set.digest().len())];
    source.with_file_name(format!("{name}@{i}x{j}x{k}mm-{classes}classes-{digest}"))
}

fn resampled(
    set: &PreparedSet,
    record: &CaseRecord,
    spacing: [f64; 3],
    classes: usize,
) -> tandem_volume::Result<Subject> {
    let (id, image, label) = set.subject(&record.id)?.into_parts();
    let image = image.map(|channel| resample::image_to_spacing(channel, spacing))?;
    let label = label.map(|label| resample::label_to_spacing(&label, spacing, classes)).transpose()?;
    Subject::new(id, image, label)
}
