//! Writing a series: one file a slice, uncompressed, explicit VR little endian (PS3.5 section 7, PS3.10 section 7).
use std::fs;
use std::path::Path;

use super::data_set::{PIXEL_DATA, TRANSFER_SYNTAX, Tag};
use super::slice;
use crate::{Error, Result, Volume, write_folder};

const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// CT Image Storage.
const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
/// What is stored is HU less this: 0 for the darkest value of a CT, as scanners write it.
const INTERCEPT_HU: f32 = -1024.0;
/// Characters of a decimal string (DS).
const DECIMAL_CHARACTERS: usize = 16;
/// Characters of a unique identifier (UI), and what the numbers appended here need of them.
const UID_CHARACTERS: usize = 64;
const APPENDED_CHARACTERS: usize = 9;

/// What a written series is called.
#[derive(Clone, Debug)]
pub struct SeriesNames<'a> {
    /// Patient ID and name.
    pub patient: &'a str,
    /// What the operator would have called the series.
    pub description: &'a str,
    /// The root of the study's, the series' and the slices' unique identifiers: numbers with dots between, at most 55
    /// characters.
    pub uid: &'a str,
}

/// Writes a CT in HU as a new folder of slices, one along k a file, in 16 bits with slope 1 and intercept -1024.
/// `file_name` gives the name of slice k. Values are rounded to whole HU.
///
/// The folder is written aside and renamed. What [`read_series`](super::read_series) makes of it is the same volume, but
/// for the rounding; its k axis is turned round where i, j, k are left-handed in the patient.
///
/// # Errors
/// Where the folder exists or cannot be written, a side exceeds 65,535 voxels, a value is not within -1024 and 64,511 HU,
/// two slices have one name, or `names.uid` is no identifier.
pub fn write_series(
    folder: impl AsRef<Path>,
    image: &Volume<f32>,
    names: &SeriesNames,
    file_name: impl Fn(usize) -> String,
) -> Result<()> {
    let folder = folder.as_ref();
    let writer = SliceWriter::new(image, names).map_err(|message| Error::file(folder, message))?;
    write_folder(folder, |aside| {
        for k in 0..image.shape()[2] {
            let path = aside.join(file_name(k));
            if path.exists() {
                return Err(Error::file(folder, "two slices have one name; name every slice once"));
            }
            let bytes = writer.slice(k).map_err(|message| Error::file(folder, message))?;
            fs::write(&path, bytes).map_err(Error::io(&path))?;
        }
        Ok(())
    })
}

/// What all slices of a series share.
struct SliceWriter<'a> {
    image: &'a Volume<f32>,
    names: &'a SeriesNames<'a>,
    columns: u16,
    rows: u16,
}

impl<'a> SliceWriter<'a> {
    fn new(image: &'a Volume<f32>, names: &'a SeriesNames) -> Result<Self, String> {
        let sound = names.uid.len() + APPENDED_CHARACTERS <= UID_CHARACTERS
            && names
                .uid
                .split('.')
                .all(|part| part == "0" || part.parse::<u128>().is_ok() && !part.starts_with(['0', '+']));
        if !sound {
            return Err(format!(
                "{:?} is no root of unique identifiers; give numbers with dots between, at most 55 characters",
                names.uid
            ));
        }
        let [i, j, _] = image.shape();
        let side = |side: usize| {
            u16::try_from(side)
                .ok()
                .filter(|&side| side > 0)
                .ok_or(format!("a slice of {i} x {j} voxels has no place in DICOM; give sides of 1 to 65535"))
        };
        Ok(SliceWriter { image, names, columns: side(i)?, rows: side(j)? })
    }

    /// The file of slice `k`.
    fn slice(&self, k: usize) -> Result<Vec<u8>, String> {
        let uid = self.names.uid;
        let instance = format!("{uid}.2.{}", k + 1);
        let mut meta = Elements::default();
        meta.long(Tag(0x0002, 0x0001), b"OB", &[0, 1]);
        meta.text(slice::MEDIA_CLASS, b"UI", CT_IMAGE);
        meta.text(Tag(0x0002, 0x0003), b"UI", &instance);
        meta.text(TRANSFER_SYNTAX, b"UI", EXPLICIT_LITTLE_ENDIAN);
        meta.text(Tag(0x0002, 0x0012), b"UI", uid);

        let grid = self.image.geometry();
        let lps = |[x, y, z]: [f64; 3]| [-x, -y, z];
        let axis = |axis: usize| lps([0, 1, 2].map(|row| grid.direction()[row][axis]));
        let [between_columns, between_rows, between_slices] = grid.spacing();
        let mut set = Elements::default();
        set.text(Tag(0x0008, 0x0016), b"UI", CT_IMAGE);
        set.text(Tag(0x0008, 0x0018), b"UI", &instance);
        set.text(slice::MODALITY.0, b"CS", "CT");
        set.text(slice::SERIES_DESCRIPTION.0, b"LO", self.names.description);
        set.text(Tag(0x0010, 0x0010), b"PN", self.names.patient);
        set.text(Tag(0x0010, 0x0020), b"LO", self.names.patient);
        set.decimals(slice::SLICE_THICKNESS.0, &[between_slices]);
        set.text(Tag(0x0020, 0x000d), b"UI", &format!("{uid}.1"));
        set.text(slice::SERIES_UID.0, b"UI", &format!("{uid}.2"));
        set.text(Tag(0x0020, 0x0013), b"IS", &(k + 1).to_string());
        set.decimals(slice::POSITION.0, &lps(grid.position([0.0, 0.0, k as f64])));
        set.decimals(slice::ORIENTATION.0, &[axis(0), axis(1)].concat());
        set.text(Tag(0x0020, 0x0052), b"UI", &format!("{uid}.3"));
        set.word(slice::SAMPLES.0, 1);
        set.text(slice::PHOTOMETRIC.0, b"CS", "MONOCHROME2");
        set.word(slice::ROWS.0, self.rows);
        set.word(slice::COLUMNS.0, self.columns);
        set.decimals(slice::PIXEL_SPACING.0, &[between_rows, between_columns]);
        set.word(slice::BITS_ALLOCATED.0, 16);
        set.word(slice::BITS_STORED.0, 16);
        set.word(slice::HIGH_BIT.0, 15);
        set.word(slice::REPRESENTATION.0, 0);
        set.decimals(slice::INTERCEPT.0, &[f64::from(INTERCEPT_HU)]);
        set.decimals(slice::SLOPE.0, &[1.0]);
        set.long(PIXEL_DATA, b"OW", &self.voxels(k)?);

        let mut file = vec![0; 128];
        file.extend(b"DICM");
        let mut length = Elements::default();
        length.short(Tag(0x0002, 0x0000), b"UL", &(meta.0.len() as u32).to_le_bytes());
        for part in [length, meta, set] {
            file.extend(part.0);
        }
        Ok(file)
    }

    /// The stored values of slice `k`, row by row.
    fn voxels(&self, k: usize) -> Result<Vec<u8>, String> {
        let slice = self.image.array().index_axis(ndarray::Axis(2), k);
        let mut bytes = Vec::with_capacity(2 * slice.len());
        for hu in slice.t() {
            let stored = (hu - INTERCEPT_HU).round();
            if !(0.0..=f32::from(u16::MAX)).contains(&stored) {
                return Err(format!("a voxel has {hu} HU; give values within -1024 and 64511"));
            }
            bytes.extend((stored as u16).to_le_bytes());
        }
        Ok(bytes)
    }
}

/// Elements in the order in which they are written, which must be that of their tags.
#[derive(Default)]
struct Elements(Vec<u8>);

impl Elements {
    fn tag(&mut self, Tag(group, element): Tag, kind: &[u8; 2]) {
        self.0.extend(group.to_le_bytes());
        self.0.extend(element.to_le_bytes());
        self.0.extend(kind);
    }

    /// A value whose length has two bytes.
    fn short(&mut self, tag: Tag, kind: &[u8; 2], value: &[u8]) {
        self.tag(tag, kind);
        self.0.extend((value.len() as u16).to_le_bytes());
        self.0.extend(value);
    }

    /// A value whose length has four bytes.
    fn long(&mut self, tag: Tag, kind: &[u8; 2], value: &[u8]) {
        self.tag(tag, kind);
        self.0.extend([0, 0]);
        self.0.extend((value.len() as u32).to_le_bytes());
        self.0.extend(value);
    }

    /// Text, padded to an even length: with zero bytes in identifiers, else with blanks.
    fn text(&mut self, tag: Tag, kind: &[u8; 2], text: &str) {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if kind == b"UI" { 0 } else { b' ' });
        }
        self.short(tag, kind, &value);
    }

    fn word(&mut self, tag: Tag, value: u16) {
        self.short(tag, b"US", &value.to_le_bytes());
    }

    fn decimals(&mut self, tag: Tag, values: &[f64]) {
        let texts: Vec<String> = values.iter().map(|&value| decimal(value)).collect();
        self.text(tag, b"DS", &texts.join("\\"));
    }
}

/// A number in as many digits as a decimal string has room for.
fn decimal(value: f64) -> String {
    let shortest = value.to_string();
    if shortest.len() <= DECIMAL_CHARACTERS {
        return shortest;
    }
    let rounded = (0..DECIMAL_CHARACTERS).rev().map(|digits| format!("{value:.digits$}"));
    let fitting = rounded.into_iter().find(|text| text.len() <= DECIMAL_CHARACTERS);
    // Only numbers beyond 1e15 are longer without a fraction.
    fitting.unwrap_or_else(|| format!("{value:.8e}"))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::dicom::{read_series, series_in};
    use crate::{Geometry, Orientation};

    const NAMES: SeriesNames = SeriesNames { patient: "P1", description: "a test", uid: "2.25.77" };

    /// Oblique, with three different spacings, and as far from the origin as scanners put it.
    fn scan() -> Volume<f32> {
        let (s, c) = 20f64.to_radians().sin_cos();
        let direction = [[-c, -s, 0.0], [s, -c, 0.0], [0.0, 0.0, 1.0]];
        let grid =
            Geometry::new([0.7031251, 0.8, 1.5], [180.25, 171.3333333333, -412.125], direction).unwrap();
        let hu = |(i, j, k): (usize, usize, usize)| (37 * i + 29 * j + 211 * k) as f32 - 1024.0;
        Volume::new(Array3::from_shape_fn([5, 4, 3], hu), grid)
    }

    /// Names whose order says nothing.
    fn shuffled(k: usize) -> String {
        format!("{}-{k}.dcm", (k * 7 + 5) % 11)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("series");
        write_series(&folder, &scan(), &NAMES, shuffled).unwrap();
        let listed = series_in(&folder).unwrap();
        assert_eq!(
            (listed[0].modality(), listed[0].description(), listed[0].uid(), listed[0].slice_count()),
            ("CT", "a test", "2.25.77.2", 3)
        );
        let found = read_series(&folder, None).unwrap();
        assert_eq!(found.array(), scan().array());
        let shift = found.geometry().corner_shift(scan().geometry(), scan().shape());
        assert!(shift < 1e-8, "{shift} mm");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something was left beside the series");
    }

    #[test]
    fn left_handed_axes_come_back_in_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("series");
        let turned = scan().reoriented("LPI".parse().unwrap()).unwrap();
        write_series(&folder, &turned, &NAMES, shuffled).unwrap();
        let found = read_series(&folder, None).unwrap();
        assert_eq!(Orientation::of(found.geometry()).to_string(), "LPS");
        assert_eq!(found.array(), scan().array());
    }

    #[test]
    fn what_dicom_cannot_hold_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("series");
        let refused = |image: &Volume<f32>, uid: &str, name: fn(usize) -> String| {
            let names = SeriesNames { uid, ..NAMES };
            let message = write_series(&folder, image, &names, name).unwrap_err().to_string();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{message}");
            message
        };
        let with = |value: f32| {
            let (mut array, grid) = scan().into_parts();
            array[[1, 1, 2]] = value;
            Volume::new(array, grid)
        };
        for value in [-1025.0, 64512.0, f32::NAN, f32::INFINITY] {
            assert!(refused(&with(value), "2.25", shuffled).contains("HU; give values"));
        }
        for uid in ["", "2.025", "2.25a", "2..5", &"1.2".repeat(20)] {
            assert!(refused(&scan(), uid, shuffled).contains("no root of unique identifiers"), "{uid}");
        }
        assert!(refused(&scan(), "2.25", |_| "same.dcm".into()).contains("two slices have one name"));
        std::fs::create_dir(&folder).unwrap();
        let message = write_series(&folder, &scan(), &NAMES, shuffled).unwrap_err().to_string();
        assert!(message.contains("exists already"), "{message}");
    }

    #[test]
    fn decimals_are_as_exact_as_sixteen_characters_are() {
        for value in [
            0.0,
            -1.0,
            0.859375,
            -412.125,
            1.0 / 3.0,
            -171.33333333333334,
            -1e-17,
            6.123233995736766e-17,
            1e300,
        ] {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            let read: f64 = text.parse().unwrap();
            assert!((read - value).abs() <= 1e-8 * value.abs().max(1e-4), "{value} {text}");
        }
    }
}
