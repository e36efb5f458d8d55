//! Slices of validation scans with the outlines of reference and prediction, for TensorBoard.

use crate::output::note;
use crate::run_folder;
use anyhow::Result;
use std::path::Path;
use tandem_report::{Outline, PREDICTION, Picture, Plane, REFERENCE, window};
use tandem_volume::prepared::PreparedSet;
use tandem_volume::{Orientation, read_label};

/// Of so many scans.
const SCANS: usize = 3;

/// Pixels along the longer side.
const SIDE: usize = 320;

/// The first validation scans of a run folder in which their predictions are: tags, and the bytes of PNG files. A scan that cannot be drawn
/// is left out with a warning.
pub(crate) fn drawn(run: &Path) -> Vec<(String, Vec<u8>)> {
    let warn = |what: &str, error: anyhow::Error| note(format!("warning: no picture of {what}: {error:#}"));
    let open = || {
        let record = run_folder::record(run)?;
        anyhow::Ok((PreparedSet::open(&record.prepared)?, record.lists.validation))
    };
    let (set, ids) = match open() {
        Ok(opened) => opened,
        Err(error) => {
            warn("the validation scans", error);
            return Vec::new();
        }
    };
    let mut pictures = Vec::new();
    for id in ids.iter().take(SCANS) {
        match slice(&set, run, id) {
            Ok(png) => pictures.push((format!("slices/{id}"), png)),
            Err(error) => warn(id, error),
        }
    }
    pictures
}

/// The axial plane with the most of the reference, else of the prediction.
fn slice(set: &PreparedSet, run: &Path, id: &str) -> Result<Vec<u8>> {
    let (_, image, reference) = set.subject(id)?.into_parts();
    let image = image.channels()[0].reoriented(Orientation::RAS)?;
    let prediction =
        read_label(run.join(format!("predictions/{id}.nii.gz")))?.reoriented(Orientation::RAS)?;
    let reference = reference.map(|reference| reference.reoriented(Orientation::RAS)).transpose()?;
    let plane = Plane::Axial;
    let shown = reference.as_ref().unwrap_or(&prediction).array();
    let labelled = |at: &usize| plane.cut(shown.view(), *at).iter().filter(|label| **label > 0).count();
    // Of equal ones the last, and the middle one where there is no label at all.
    let planes = shown.dim().2;
    let at = (0..planes).max_by_key(labelled).filter(|at| labelled(at) > 0).unwrap_or(planes / 2);
    let outline = |labels, colour| Outline { labels: plane.cut(labels, at), colour };
    let mut outlines = Vec::new();
    outlines.extend(reference.as_ref().map(|reference| outline(reference.array().view(), REFERENCE)));
    outlines.push(outline(prediction.array().view(), PREDICTION));
    let spacing = plane.spacing(image.geometry().spacing());
    let window = window(image.array().view());
    Ok(Picture { image: plane.cut(image.array().view(), at), window, spacing, outlines }.png(SIDE)?)
}
