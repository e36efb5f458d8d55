//! The header of one slice.
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::data_set::{self, DataSet, PIXEL_DATA, PixelData, START_BYTES, Tag};
use super::frame::{Bits, Encoding};
use crate::{Error, Result};

/// An attribute that is read, and its name in the standard.
pub(super) type Attribute = (Tag, &'static str);

/// What kind of object the file holds.
pub(super) const MEDIA_CLASS: Tag = Tag(0x0002, 0x0002);
const TRANSFER_SYNTAX: Attribute = (data_set::TRANSFER_SYNTAX, "TransferSyntaxUID");
pub(super) const MODALITY: Attribute = (Tag(0x0008, 0x0060), "Modality");
pub(super) const SERIES_DESCRIPTION: Attribute = (Tag(0x0008, 0x103e), "SeriesDescription");
pub(super) const SLICE_THICKNESS: Attribute = (Tag(0x0018, 0x0050), "SliceThickness");
const SPACING_BETWEEN_SLICES: Attribute = (Tag(0x0018, 0x0088), "SpacingBetweenSlices");
pub(super) const SERIES_UID: Attribute = (Tag(0x0020, 0x000e), "SeriesInstanceUID");
pub(super) const POSITION: Attribute = (Tag(0x0020, 0x0032), "ImagePositionPatient");
pub(super) const ORIENTATION: Attribute = (Tag(0x0020, 0x0037), "ImageOrientationPatient");
pub(super) const SAMPLES: Attribute = (Tag(0x0028, 0x0002), "SamplesPerPixel");
pub(super) const PHOTOMETRIC: Attribute = (Tag(0x0028, 0x0004), "PhotometricInterpretation");
const FRAMES: Attribute = (Tag(0x0028, 0x0008), "NumberOfFrames");
pub(super) const ROWS: Attribute = (Tag(0x0028, 0x0010), "Rows");
pub(super) const COLUMNS: Attribute = (Tag(0x0028, 0x0011), "Columns");
pub(super) const PIXEL_SPACING: Attribute = (Tag(0x0028, 0x0030), "PixelSpacing");
pub(super) const BITS_ALLOCATED: Attribute = (Tag(0x0028, 0x0100), "BitsAllocated");
pub(super) const BITS_STORED: Attribute = (Tag(0x0028, 0x0101), "BitsStored");
pub(super) const HIGH_BIT: Attribute = (Tag(0x0028, 0x0102), "HighBit");
pub(super) const REPRESENTATION: Attribute = (Tag(0x0028, 0x0103), "PixelRepresentation");
pub(super) const INTERCEPT: Attribute = (Tag(0x0028, 0x1052), "RescaleIntercept");
pub(super) const SLOPE: Attribute = (Tag(0x0028, 0x1053), "RescaleSlope");

/// What is shown of a header, in the order of the standard: text, and words of 16 bits.
const SHOWN: [(Attribute, Kind); 20] = [
    (TRANSFER_SYNTAX, Kind::Text),
    (MODALITY, Kind::Text),
    (SERIES_DESCRIPTION, Kind::Text),
    (SLICE_THICKNESS, Kind::Text),
    (SPACING_BETWEEN_SLICES, Kind::Text),
    (SERIES_UID, Kind::Text),
    (POSITION, Kind::Text),
    (ORIENTATION, Kind::Text),
    (SAMPLES, Kind::Word),
    (PHOTOMETRIC, Kind::Text),
    (FRAMES, Kind::Text),
    (ROWS, Kind::Word),
    (COLUMNS, Kind::Word),
    (PIXEL_SPACING, Kind::Text),
    (BITS_ALLOCATED, Kind::Word),
    (BITS_STORED, Kind::Word),
    (HIGH_BIT, Kind::Word),
    (REPRESENTATION, Kind::Word),
    (INTERCEPT, Kind::Text),
    (SLOPE, Kind::Text),
];

/// How the value of an attribute is written.
enum Kind {
    Text,
    Word,
}

/// What the header of a file with one slice says.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) path: PathBuf,
    /// The Series Instance UID.
    pub(super) series: String,
    pub(super) modality: String,
    pub(super) description: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Centre of the first voxel in mm, LPS+ as DICOM has it.
    pub(super) position: [f64; 3],
    /// Unit vectors in LPS+: the way a row runs, and the way a column runs.
    pub(super) axes: [[f64; 3]; 2],
    /// Distance in mm of neighbours in a row, and of neighbours in a column.
    pub(super) spacing: [f64; 2],
    /// Distance of slices as the header claims it: all that a single slice has.
    pub(super) claimed_spacing: Option<f64>,
    pub(super) encoding: Encoding,
    pub(super) is_big_endian: bool,
    pub(super) pixel_data: PixelData,
    pub(super) bits: Bits,
    pub(super) slope: f64,
    pub(super) intercept: f64,
    /// The attributes by name, as they stand.
    pub(super) claims: Vec<(String, String)>,
}

impl Slice {
    /// Reads the header of a file; `None` where it is no DICOM file, or one without an image.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        if !is_dicom(path)? {
            return Ok(None);
        }
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let set = DataSet::read(&bytes).map_err(|at| {
            let found = bytes.len();
            Error::file(
                path,
                format!("the file is cut short or damaged at byte {at} of {found}; copy it again"),
            )
        })?;
        let header = Header { path, set };
        if header.is_without_image()? {
            return Ok(None);
        }
        let slice = header.slice()?;
        let expected = slice.rows * slice.columns * slice.bits.bytes();
        match &slice.pixel_data {
            PixelData::Plain(range) if range.len() < expected => {
                let (expected, found) = (expected as u64, range.len() as u64);
                Err(Error::Truncated { path: path.to_owned(), expected, found })
            }
            _ => Ok(Some(slice)),
        }
    }

    /// The file's name.
    pub(super) fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Whether a file has DICOM's mark. A file that is named like one must have it: a damaged slice must not be lost.
fn is_dicom(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(START_BYTES as u64).read_to_end(&mut start))
        .map_err(Error::io(path))?;
    let marked = start.get(128..) == Some(b"DICM");
    let named =
        path.extension().is_some_and(|ending| ["dcm", "ima"].iter().any(|e| ending.eq_ignore_ascii_case(e)));
    if named && !marked {
        return Err(Error::file(
            path,
            "this is not a DICOM file (DICM does not follow its first 128 bytes); copy it again or remove it",
        ));
    }
    Ok(marked)
}

/// The attributes of a file.
struct Header<'a> {
    path: &'a Path,
    set: DataSet<'a>,
}

impl Header<'_> {
    /// Whether the file is about something else than an image: a report, a plan, the directory of a disc.
    fn is_without_image(&self) -> Result<bool> {
        let describes = [ROWS, COLUMNS, BITS_ALLOCATED].iter().any(|(tag, _)| self.set.has(*tag));
        if describes || self.set.pixel_data.is_some() {
            return Ok(false);
        }
        let is_directory = self.set.text(MEDIA_CLASS).as_deref() == Some("1.2.840.10008.1.3.10");
        if !self.set.is_in_order {
            return Err(self.error(
                "the file has no Rows (0028,0010), and its elements are out of order; it is damaged, so copy it again"
                    .into(),
            ));
        }
        if !is_directory && self.set.last < BITS_ALLOCATED.0 {
            let last = self.set.last;
            return Err(self.error(format!(
                "the file is cut short: it ends with {last}, where its image is not described yet; \
                 copy it again"
            )));
        }
        Ok(true)
    }

    fn slice(&self) -> Result<Slice> {
        let encoding = Encoding::of(&self.set.transfer_syntax).map_err(|message| self.error(message))?;
        self.check_kind()?;
        let [rows, columns] = [self.whole(ROWS)?, self.whole(COLUMNS)?];
        if rows == 0 || columns == 0 {
            let (tag, name) = if rows == 0 { ROWS } else { COLUMNS };
            return Err(
                self.error(format!("{name} {tag} is 0; the header is damaged, so export the series again"))
            );
        }
        let [between_rows, between_columns] = self.numbers(PIXEL_SPACING)?;
        let axes = self.numbers::<6>(ORIENTATION)?;
        Ok(Slice {
            path: self.path.to_owned(),
            series: self.text(SERIES_UID).ok_or_else(|| self.missing(SERIES_UID))?,
            modality: self.text(MODALITY).unwrap_or_default(),
            description: self.text(SERIES_DESCRIPTION).unwrap_or_default(),
            rows: rows.into(),
            columns: columns.into(),
            position: self.numbers(POSITION)?,
            axes: [[axes[0], axes[1], axes[2]], [axes[3], axes[4], axes[5]]],
            spacing: [between_columns, between_rows],
            claimed_spacing: self.number(SPACING_BETWEEN_SLICES)?.or(self.number(SLICE_THICKNESS)?),
            encoding,
            is_big_endian: self.set.is_big_endian,
            pixel_data: self.set.pixel_data.clone().ok_or_else(|| self.missing((PIXEL_DATA, "PixelData")))?,
            bits: self.bits()?,
            slope: self.slope()?,
            intercept: self.number(INTERCEPT)?.unwrap_or(0.0),
            claims: self.claims(),
        })
    }

    fn claims(&self) -> Vec<(String, String)> {
        let claim = |((tag, name), kind): &(Attribute, Kind)| {
            let value = match kind {
                Kind::Text => self.set.text(*tag)?,
                Kind::Word => self.set.word(*tag)?.to_string(),
            };
            Some((format!("{name} {tag}"), value))
        };
        SHOWN.iter().filter_map(claim).collect()
    }

    /// Refuses images that are not one slice of grey values.
    fn check_kind(&self) -> Result<()> {
        if let Some(frames) = self.number(FRAMES)?.filter(|&frames| frames != 1.0) {
            let (tag, name) = FRAMES;
            return Err(self.error(format!(
                "{name} {tag} is {frames}, but only files of one slice are read; convert the file to NIfTI"
            )));
        }
        let samples = self.whole(SAMPLES)?;
        let photometric = self.text(PHOTOMETRIC).ok_or_else(|| self.missing(PHOTOMETRIC))?;
        if samples != 1 || !photometric.starts_with("MONOCHROME") {
            let (tag, name) = PHOTOMETRIC;
            return Err(self.error(format!(
                "{name} {tag} is {photometric} with {samples} samples a voxel, but only grey images are read; remove \
                 the file from the folder"
            )));
        }
        Ok(())
    }

    fn bits(&self) -> Result<Bits> {
        let [allocated, bits, high] =
            [self.whole(BITS_ALLOCATED)?, self.whole(BITS_STORED)?, self.whole(HIGH_BIT)?];
        Bits::new(allocated, bits, high, self.whole(REPRESENTATION)? == 1).ok_or_else(|| {
            self.error(format!(
                "values of {bits} bits (BitsStored (0028,0101)) up to bit {high} (HighBit (0028,0102)) of {allocated} \
                 (BitsAllocated (0028,0100)) are not read; export the series with 8 or 16 bits a voxel"
            ))
        })
    }

    fn slope(&self) -> Result<f64> {
        let slope = self.number(SLOPE)?.unwrap_or(1.0);
        if slope == 0.0 {
            return Err(self
                .error("RescaleSlope (0028,1053) is 0, which makes all voxels one; export it again".into()));
        }
        Ok(slope)
    }

    fn text(&self, (tag, _): Attribute) -> Option<String> {
        self.set.text(tag)
    }

    fn whole(&self, attribute: Attribute) -> Result<u16> {
        if !self.set.has(attribute.0) {
            return Err(self.missing(attribute));
        }
        self.set.word(attribute.0).ok_or_else(|| self.unreadable(attribute, "one whole number"))
    }

    /// One number, where the attribute is there and has a value.
    fn number(&self, attribute: Attribute) -> Result<Option<f64>> {
        if self.text(attribute).is_none() {
            return Ok(None);
        }
        self.numbers::<1>(attribute).map(|[number]| Some(number))
    }

    fn numbers<const N: usize>(&self, attribute: Attribute) -> Result<[f64; N]> {
        let text = self.text(attribute).ok_or_else(|| self.missing(attribute))?;
        let numbers: Option<Vec<f64>> = text.split('\\').map(|number| number.trim().parse().ok()).collect();
        numbers
            .and_then(|numbers| <[f64; N]>::try_from(numbers).ok())
            .filter(|numbers| numbers.iter().all(|number| number.is_finite()))
            .ok_or_else(|| self.unreadable(attribute, &format!("{N} finite number(s)")))
    }

    fn missing(&self, (tag, name): Attribute) -> Error {
        self.error(format!(
            "{name} {tag} is missing; export the series again with all attributes of its images"
        ))
    }

    fn unreadable(&self, (tag, name): Attribute, needed: &str) -> Error {
        self.error(format!(
            "{name} {tag} does not hold {needed}; the header is damaged, so export the series again"
        ))
    }

    fn error(&self, message: String) -> Error {
        Error::file(self.path, message)
    }
}
