//! Scans from their files, and patches from prepared ones.

use crate::measure::Report;
use crate::networks::noise;
use anyhow::{Context, Result};
use ndarray::Array3;
use rayon::prelude::*;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use tandem_augment::{RandomCrop, RandomTransform, z_score_in_place};
use tandem_random::Draws;
use tandem_volume::prepared::{NewCase, Split, Writer};
use tandem_volume::{Geometry, Subject, Volume, read_image};

/// The median size of the scans of the left atrium, in voxels.
pub(crate) const SCAN: [usize; 3] = [190, 142, 88];

/// Opens, decodes and z-scores every scan of a folder.
pub(crate) fn scans(folder: &Path, report: &Report) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    report.of(|| {
        paths.par_iter().try_for_each(|path| {
            let (mut image, _) = read_image(path)?.into_parts();
            z_score_in_place(&mut image)?;
            black_box(image);
            Ok(())
        })
    })
}

/// Reads random patches, image and label map, of a prepared scan that the system has in memory.
pub(crate) fn crops(patch: [usize; 3], report: &Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let grid = Geometry::isotropic(0.625)?;
    let image = Array3::from_shape_vec(SCAN, noise(SCAN.iter().product()))?;
    let label = image.mapv(|value| u8::from(value > 1.0));
    let label = Some(Volume::new(label, grid.clone()));
    let subject = Subject::new("scan", Volume::new(image, grid), label)?;
    let mut writer = Writer::create(dir.path().join("set"), "noise", "made for a measurement")?;
    writer.add(NewCase { subject: &subject, split: Split::Train, sources: Vec::new(), note: None })?;
    let case = writer.finish()?.case("scan")?;
    let random_crop = RandomCrop::new(patch)?;
    let mut step = 0;
    report.of(|| {
        let crop = random_crop.draw(SCAN, &mut Draws::new(1, "bench crop", step, 0));
        step += 1;
        black_box(case.read_patch(crop.start, crop.size)?);
        Ok(())
    })
}
