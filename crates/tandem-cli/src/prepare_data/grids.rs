//! Label maps that do not lie on the grid of their image.

use anyhow::{Result, bail};
use tandem_volume::resample::label_to_image;
use tandem_volume::{Image, Subject, Volume};

/// The scan and its label map, which must lie on one grid, or is brought there where `resample_labels` asks for it: then
/// the note says how far the two were apart.
///
/// # Errors
/// Where the grids differ and nobody asked, with how far; where their axes are not parallel.
pub(crate) fn subject(
    id: &str,
    image: Image,
    label: Option<Volume<u8>>,
    resample_labels: bool,
) -> Result<(Subject, Option<String>)> {
    let Some(label) = label else { return Ok((Subject::new(id, image, None)?, None)) };
    if !resample_labels {
        return match Subject::new(id, image, Some(label)) {
            Ok(subject) => Ok((subject, None)),
            Err(error) => bail!("{error}; prepare-data --resample-labels does it"),
        };
    }
    let before = label.clone();
    let (label, shift) = label_to_image(label, &image)?;
    let note = (label != before).then(|| {
        format!(
            "label map of {:?} voxels resampled onto the image's grid: their corners lay up to {shift:.3} mm apart",
            before.shape()
        )
    });
    Ok((Subject::new(id, image, Some(label))?, note))
}
