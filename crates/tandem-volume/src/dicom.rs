//! DICOM series: a folder of files with one slice each (<https://dicom.nema.org/medical/dicom/current>).
//!
//! Files are told from others by their content, and slices are put in order by their position, never by name. Read are
//! grey images of 8 or 16 bits, uncompressed (little and big endian), RLE, JPEG (lossless, and lossy of 8 bits) and
//! JPEG 2000. What a grid with right angles and even spacing cannot hold is a [`SeriesFault`] with its numbers. A CT is written
//! by [`write_series`].
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::budget::Budget;
use crate::stored::{About, Endian, Order, Scalar, Stored};
use crate::{Error, Result, Volume};

mod data_set;
mod fault;
mod frame;
mod rle;
mod slice;
mod stack;
mod write;

pub use fault::SeriesFault;
use slice::Slice;
pub use write::{SeriesNames, write_series};

/// The slices of one series in a folder, as their headers describe them.
#[derive(Clone, Debug)]
pub struct Series {
    folder: PathBuf,
    slices: Vec<Slice>,
    /// A slice of another series that belongs to this one, it seems.
    stray: Option<Slice>,
}

/// The series in a folder, the one with most slices first. Folders inside it are not looked into.
///
/// Files of other kinds are passed over, and so are DICOM files without an image (reports, plans, directories). A series
/// from which a slice strayed, by a damaged Series Instance UID, is listed, but not read.
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
    let (singles, several): (Vec<_>, Vec<_>) =
        by_uid.into_values().partition(|slices: &Vec<Slice>| slices.len() == 1);
    let strays: Vec<&Slice> = singles.iter().flatten().collect();
    let mut series: Vec<Series> = several
        .into_iter()
        .map(|slices| {
            let stray = stack::stray(&slices, &strays).cloned();
            Series { folder: folder.to_owned(), slices, stray }
        })
        .collect();
    let alone = |slices| Series { folder: folder.to_owned(), slices, stray: None };
    series.extend(singles.into_iter().map(alone));
    series.sort_by_key(|series| std::cmp::Reverse(series.slice_count()));
    Ok(series)
}

/// Whether a folder holds a slice, be it damaged. Folders inside it are not looked into.
///
/// # Errors
/// Where the folder cannot be read.
pub fn holds_slices(folder: impl AsRef<Path>) -> Result<bool> {
    let folder = folder.as_ref();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        // A file that cannot be opened is no sign of a series; what is wrong with the header of a slice is.
        if path.is_file() && !matches!(Slice::read(&path), Ok(None) | Err(Error::Io { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the series of a folder with the Series Instance UID `uid`, or without one the series with most slices.
///
/// # Errors
/// As for [`series_in`] and [`Series::read`], and where there is no such series, or no single largest one.
pub fn read_series(folder: impl AsRef<Path>, uid: Option<&str>) -> Result<Volume<f32>> {
    read(folder.as_ref(), uid, Budget::default())?.into_volume(folder.as_ref())
}

/// As [`read_series`], before the voxels become an array.
pub(crate) fn read(folder: &Path, uid: Option<&str>, budget: Budget) -> Result<Stored> {
    let found = series_in(folder)?;
    let refuse = |message: &str| {
        let list: Vec<String> = found.iter().map(Series::summary).collect();
        Err(Error::file(folder, format!("{message}: {}", list.join("; "))))
    };
    let series = match (uid, &found[..]) {
        (_, []) => Err(Error::file(
            folder,
            "no file in this folder is a DICOM image; give the folder that holds the slices themselves",
        )),
        (Some(uid), found) => match found.iter().find(|series| series.uid() == uid) {
            Some(series) => Ok(series),
            None => refuse(&format!("there is no series {uid} among those in the folder")),
        },
        (None, [first, second, ..]) if first.slice_count() == second.slice_count() => {
            refuse("several series are the largest; move the one that is meant to a folder of its own")
        }
        (None, [first, ..]) => Ok(first),
    }?;
    let mut stored = series.stored(budget)?;
    let others = found.iter().filter(|other| other.uid() != series.uid());
    stored.about.claims.extend(others.map(|other| ("another series".to_owned(), other.summary())));
    Ok(stored)
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
            self.uid().escape_debug(),
            self.modality().escape_debug(),
            self.description(),
            self.slice_count()
        )
    }

    /// Reads the slices into one volume: i along the rows, j along the columns, k along the slice normal, in the
    /// units that each slice's rescale slope and intercept lead to (HU in CT).
    ///
    /// # Errors
    /// [`Error::Series`] where the slices make no grid with even spacing and right angles, or one of them seems to be in
    /// another series by mistake; and where a file is
    /// damaged, cut short, or encoded in a way that is not read.
    pub fn read(&self) -> Result<Volume<f32>> {
        self.stored(Budget::default())?.into_volume(&self.folder)
    }

    /// The voxels in f32, since each slice has its own scaling.
    fn stored(&self, budget: Budget) -> Result<Stored> {
        const SIZE: usize = size_of::<f32>();
        if let Some(stray) = &self.stray {
            let (file, uid, series) = (stray.file_name(), stray.series.clone(), self.uid().to_owned());
            let fault = Box::new(SeriesFault::StraySlice { file, uid, series });
            return Err(Error::Series { folder: self.folder.clone(), fault });
        }
        let (slices, geometry) = stack::arrange(&self.slices, &self.folder)?;
        let first = slices[0];
        let shape = [first.columns, first.rows, slices.len()];
        let mut bytes = vec![0; budget.stored_bytes(shape, 1, SIZE, &first.path)? as usize];
        let decoded: Vec<Result<()>> = bytes
            .par_chunks_mut(first.columns * first.rows * SIZE)
            .zip(&slices)
            .map(|(plane, slice)| frame::decode(slice, plane.as_chunks_mut().0))
            .collect();
        decoded.into_iter().collect::<Result<()>>()?;
        let mut claims = vec![
            ("slices".to_owned(), slices.len().to_string()),
            ("first slice".to_owned(), first.file_name()),
        ];
        claims.extend_from_slice(&first.claims);
        Ok(Stored {
            shape,
            channels: (1, Order::Planar),
            geometry,
            scalar: Scalar::F32,
            endian: Endian::Little,
            scaling: None,
            bytes: bytes.into(),
            about: About { format: "DICOM".to_owned(), claims, mended: Vec::new() },
        })
    }
}

#[cfg(test)]
mod tests;
