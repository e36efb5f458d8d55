//! NRRD with attached voxels (<https://teem.sourceforge.net/nrrd/format.html>).
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use crate::stored::{Endian, Scalar, Stored, byte_count};
use crate::{Error, Geometry, Result, gzip};

/// The longest header that is looked for, in bytes.
const HEADER_LIMIT: u64 = 1 << 20;

/// Reads a `.nrrd` file of one 3-D grid of scalars, raw or gzipped.
pub(crate) fn read(path: &Path) -> Result<Stored> {
    let file = File::open(path).map_err(Error::io(path))?;
    let file_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut file = BufReader::new(file);
    let fields = Fields::read(&mut file, path)?;
    let start = file.stream_position().map_err(Error::io(path))?;

    let shape = shape(&fields)?;
    let (scalar, endian) = scalar(&fields)?;
    let geometry = geometry(&fields)?;
    let packed = is_gzip(&fields)?;
    let count = byte_count(shape, scalar.size())
        .ok_or_else(|| fields.error(format!("the header claims {shape:?} voxels; the file is damaged")))?
        as u64;
    gzip::check_length(packed, count, file_bytes.saturating_sub(start), path)?;
    let mut voxels = gzip::Reader::with_encoding(file, packed, path);
    let bytes = voxels.read_exactly(count, count)?;
    voxels.finish()?;
    Ok(Stored { shape, geometry, scalar, endian, scaling: None, bytes })
}

/// The fields of a header by name.
struct Fields<'a> {
    values: BTreeMap<String, String>,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    /// Reads lines up to the empty one behind which the voxels begin.
    fn read(file: &mut impl BufRead, path: &'a Path) -> Result<Self> {
        let mut values = BTreeMap::new();
        let mut file = file.take(HEADER_LIMIT);
        for number in 0.. {
            let mut line = Vec::new();
            file.read_until(b'\n', &mut line).map_err(Error::io(path))?;
            if line.pop() != Some(b'\n') {
                return Err(Error::file(
                    path,
                    "no empty line ends the NRRD header; the file is cut short or detached",
                ));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if number == 0 {
                if !line.starts_with("NRRD000") {
                    return Err(Error::file(
                        path,
                        "this is not a NRRD file (it does not begin with NRRD000)",
                    ));
                }
            } else if line.is_empty() {
                break;
            } else if line.starts_with('#') || line.contains(":=") {
                // A comment, or a key of the user's own.
            } else if let Some((name, value)) = line.split_once(": ") {
                values.insert(name.trim().to_lowercase(), value.trim().to_owned());
            } else {
                return Err(Error::file(path, format!("the header line {line:?} is not `field: value`")));
            }
        }
        Ok(Fields { values, path })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn need(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| self.error(format!("the header field `{name}` is missing")))
    }

    fn error(&self, message: String) -> Error {
        Error::file(self.path, message)
    }
}

fn shape(fields: &Fields) -> Result<[usize; 3]> {
    let dimension = fields.need("dimension")?;
    if dimension != "3" {
        return Err(
            fields.error(format!("the grid has {dimension} dimensions, but only 3-D scalars are read"))
        );
    }
    let sizes = fields.need("sizes")?;
    let sides: Vec<usize> = sizes.split_whitespace().filter_map(|side| side.parse().ok()).collect();
    match sides[..] {
        [i, j, k] if i > 0 && j > 0 && k > 0 => Ok([i, j, k]),
        _ => Err(fields.error(format!("sizes is {sizes:?}, but three positive numbers are needed"))),
    }
}

fn scalar(fields: &Fields) -> Result<(Scalar, Endian)> {
    let name = fields.need("type")?;
    let scalar = match name {
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Scalar::U8,
        "signed char" | "int8" | "int8_t" => Scalar::I8,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Scalar::U16,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Scalar::I16,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Scalar::U32,
        "int" | "signed int" | "int32" | "int32_t" => Scalar::I32,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Scalar::U64,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Scalar::I64,
        "float" => Scalar::F32,
        "double" => Scalar::F64,
        _ => return Err(fields.error(format!("the voxel type {name:?} is not a real number"))),
    };
    let endian = match fields.get("endian") {
        Some("little") => Endian::Little,
        Some("big") => Endian::Big,
        None if scalar.size() == 1 => Endian::Little,
        other => return Err(fields.error(format!("endian is {other:?}, but `little` or `big` is needed"))),
    };
    Ok((scalar, endian))
}

/// Whether the voxels are packed; they must follow the header at once.
fn is_gzip(fields: &Fields) -> Result<bool> {
    if fields.get("data file").or(fields.get("datafile")).is_some() {
        return Err(
            fields.error("the voxels are in another file; convert to NRRD with attached voxels".into())
        );
    }
    for skip in ["line skip", "lineskip", "byte skip", "byteskip"] {
        if fields.get(skip).is_some_and(|value| value != "0") {
            return Err(fields.error(format!("`{skip}` is not read; save the file without it")));
        }
    }
    match fields.need("encoding")? {
        "raw" => Ok(false),
        "gzip" | "gz" => Ok(true),
        other => {
            Err(fields.error(format!("the encoding {other:?} is not read; save the file as raw or gzip")))
        }
    }
}

/// The grid in RAS+: `space directions` and `space origin` in their space, or `spacings` alone.
fn geometry(fields: &Fields) -> Result<Geometry> {
    let grid = match fields.get("space directions") {
        Some(directions) => {
            let signs = space_to_ras(fields)?;
            let columns = vectors(directions).filter(|vectors| vectors.len() == 3).ok_or_else(|| {
                fields.error(format!(
                    "space directions is {directions:?}, but three vectors of three are needed"
                ))
            })?;
            let origin = fields.get("space origin").unwrap_or("(0,0,0)");
            let start = vectors(origin).filter(|vectors| vectors.len() == 1).ok_or_else(|| {
                fields.error(format!("space origin is {origin:?}, but one vector of three is needed"))
            })?[0];
            let row = |row: usize| [columns[0][row], columns[1][row], columns[2][row], start[row]];
            let scaled = |axis: usize| row(axis).map(|value| value * signs[axis]);
            Geometry::from_affine([scaled(0), scaled(1), scaled(2), [0.0, 0.0, 0.0, 1.0]])
        }
        None => {
            let spacings = fields.need("spacings")?;
            let spacing: Vec<f64> =
                spacings.split_whitespace().filter_map(|value| value.parse().ok()).collect();
            let spacing = <[f64; 3]>::try_from(spacing).map_err(|_| {
                fields.error(format!("spacings is {spacings:?}, but three numbers are needed"))
            })?;
            Geometry::with_spacing(spacing)
        }
    };
    grid.map_err(|error| fields.error(error.to_string()))
}

/// The signs that turn the file's x, y, z into RAS+.
fn space_to_ras(fields: &Fields) -> Result<[f64; 3]> {
    let space = fields.need("space")?;
    match space.to_lowercase().as_str() {
        "ras" | "right-anterior-superior" => Ok([1.0, 1.0, 1.0]),
        "las" | "left-anterior-superior" => Ok([-1.0, 1.0, 1.0]),
        "lps" | "left-posterior-superior" => Ok([-1.0, -1.0, 1.0]),
        _ => Err(fields.error(format!("the space {space:?} is not one of RAS, LAS and LPS"))),
    }
}

/// Vectors of three, such as `(1,0,0) (0,1,0)`; `None` where one is not.
fn vectors(text: &str) -> Option<Vec<[f64; 3]>> {
    let closed = text.split(')').map(str::trim).filter(|part| !part.is_empty());
    closed
        .map(|part| {
            let numbers = part.strip_prefix('(')?.split(',').map(|number| number.trim().parse().ok());
            numbers.collect::<Option<Vec<f64>>>()?.try_into().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests;
