//! DICOM series: a folder of files with one slice each (<https://dicom.nema.org/medical/dicom/current>).
//!
//! Files are told from others by their content, and slices are put in order by their position, never by name. Read are
//! grey images of 8 or 16 bits, uncompressed (little and big endian), RLE, JPEG (lossless, and lossy of 8 bits) and
//! JPEG 2000. What a grid with right angles and even spacing cannot hold is a [`SeriesFault`] with its numbers.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::stored::from_i_fastest;
use crate::{Error, Result, Volume};

mod data_set;
mod fault;
mod frame;
mod rle;
mod slice;
mod stack;

pub use fault::SeriesFault;
use slice::Slice;

/// The most voxels of a series: 4 GiB in f32, which no scanner's series reaches, but damaged headers do.
const MOST_VOXELS: usize = 1 << 30;

/// The slices of one series in a folder, as their headers describe them.
#[derive(Clone, Debug)]
pub struct Series {
    folder: PathBuf,
    slices: Vec<Slice>,
}

/// The series in a folder, the one with most slices first. Folders inside it are not looked into.
///
/// Files of other kinds are passed over, and so are DICOM files without an image (reports, plans, directories).
///
/// # Errors
/// Where the folder or a file cannot be read, or the header of an image is damaged or lacks what places its voxels.
pub fn series_in(folder: impl AsRef<Path>) -> Result<Vec<Series>> {
    let folder = folder.as_ref();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut by_uid = BTreeMap::<String, Vec<Slice>>::new();
    for path in paths {
        if let Some(slice) = Slice::read(&path)? {
            by_uid.entry(slice.series.clone()).or_default().push(slice);
        }
    }
    let mut series: Vec<Series> =
        by_uid.into_values().map(|slices| Series { folder: folder.to_owned(), slices }).collect();
    series.sort_by_key(|series| std::cmp::Reverse(series.slice_count()));
    Ok(series)
}

/// Reads the series of a folder with the Series Instance UID `uid`, or without one the series with most slices.
///
/// # Errors
/// As for [`series_in`] and [`Series::read`], and where there is no such series, or no single largest one.
pub fn read_series(folder: impl AsRef<Path>, uid: Option<&str>) -> Result<Volume<f32>> {
    let folder = folder.as_ref();
    let found = series_in(folder)?;
    let refuse = |message: &str| {
        let list: Vec<String> = found.iter().map(Series::summary).collect();
        Err(Error::file(folder, format!("{message}: {}", list.join("; "))))
    };
    match (uid, &found[..]) {
        (_, []) => Err(Error::file(
            folder,
            "no file in this folder is a DICOM image; give the folder that holds the slices themselves",
        )),
        (Some(uid), found) => match found.iter().find(|series| series.uid() == uid) {
            Some(series) => series.read(),
            None => refuse(&format!("there is no series {uid} among those in the folder")),
        },
        (None, [first, second, ..]) if first.slice_count() == second.slice_count() => {
            refuse("several series are the largest; move the one that is meant to a folder of its own")
        }
        (None, [first, ..]) => first.read(),
    }
}

impl Series {
    /// The Series Instance UID.
    pub fn uid(&self) -> &str {
        &self.slices[0].series
    }

    /// The kind of scanner, such as CT or MR; empty where the files do not say.
    pub fn modality(&self) -> &str {
        &self.slices[0].modality
    }

    /// What the operator called the series; empty where the files do not say.
    pub fn description(&self) -> &str {
        &self.slices[0].description
    }

    /// The number of slices.
    pub fn slice_count(&self) -> usize {
        self.slices.len()
    }

    fn summary(&self) -> String {
        format!(
            "{} ({} {:?}, {} slices)",
            self.uid(),
            self.modality(),
            self.description(),
            self.slice_count()
        )
    }

    /// Reads the slices into one volume: i along the rows, j along the columns, k along the slice normal, in the
    /// units that each slice's rescale slope and intercept lead to (HU in CT).
    ///
    /// # Errors
    /// [`Error::Series`] where the slices make no grid with even spacing and right angles; and where a file is
    /// damaged, cut short, or encoded in a way that is not read.
    pub fn read(&self) -> Result<Volume<f32>> {
        let (slices, geometry) = stack::arrange(self.slices.clone(), &self.folder)?;
        let [columns, rows] = [slices[0].columns, slices[0].rows];
        let plane = columns * rows;
        if plane.saturating_mul(slices.len()) > MOST_VOXELS {
            return Err(Error::file(
                &self.folder,
                format!(
                    "the series claims {} slices of {rows} rows (0028,0010) and {columns} columns (0028,0011), more \
                     than the {MOST_VOXELS} voxels that are read; the headers are damaged, or export it in parts",
                    slices.len()
                ),
            ));
        }
        let mut values = vec![0.0f32; plane * slices.len()];
        let decoded: Vec<Result<()>> = values
            .par_chunks_mut(plane)
            .zip(&slices)
            .map(|(plane, slice)| frame::decode(slice, plane))
            .collect();
        decoded.into_iter().collect::<Result<()>>()?;
        Ok(Volume::new(from_i_fastest(&values, [columns, rows, slices.len()]), geometry))
    }
}

#[cfg(test)]
mod tests;
