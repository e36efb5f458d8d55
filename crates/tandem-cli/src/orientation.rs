//! Scans whose axes run otherwise than those that a network was trained on: networks see voxels, not places of the body.

use tandem_volume::{Image, Orientation, Result};

/// The scan with axes that run as `to` says, where that is known; the note says so where they ran otherwise.
///
/// # Errors
/// Where a corner of the scan is too far away for a number.
pub(crate) fn turned(image: Image, to: Option<Orientation>) -> Result<(Image, Option<String>)> {
    let from = Orientation::of(image.geometry());
    match to.filter(|to| *to != from) {
        None => Ok((image, None)),
        Some(to) => Ok((
            image.map(|channel| channel.reoriented(to))?,
            Some(format!("axes turned from {from} to {to}")),
        )),
    }
}
