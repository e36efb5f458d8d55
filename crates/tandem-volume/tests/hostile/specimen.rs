//! One small sound file of each format.
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use ndarray::Array3;
use tandem_volume::{Geometry, Volume, write_label};

/// A sound file.
pub(crate) struct Specimen {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Where its header is: every bit there is flipped.
    pub(crate) bits: Range<usize>,
    /// Other files of its folder.
    pub(crate) beside: Vec<(&'static str, Vec<u8>)>,
    /// Whether the folder is read, not the file alone.
    pub(crate) is_series: bool,
}

const SHAPE: [usize; 3] = [6, 5, 4];

fn label() -> Volume<u8> {
    let direction = [[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]];
    let grid = Geometry::new([0.5, 0.75, 2.0], [10.0, -20.0, 30.0], direction).unwrap();
    Volume::new(Array3::from_shape_fn(SHAPE, |(i, j, k)| ((i * j + k) % 3) as u8), grid)
}

/// The voxels in a file's order.
fn voxels() -> Vec<u8> {
    let label = label();
    let transposed = label.array().t();
    transposed.iter().copied().collect()
}

fn written(name: &'static str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write_label(&path, &label()).unwrap();
    std::fs::read(&path).unwrap()
}

fn of(name: &'static str, bytes: Vec<u8>, header: usize) -> Specimen {
    Specimen { name, bytes, bits: 0..header, beside: Vec::new(), is_series: false }
}

pub(crate) fn nifti_1() -> Specimen {
    of("scan.nii", written("scan.nii"), 348)
}

pub(crate) fn nifti_1_gzipped() -> Specimen {
    let bytes = written("scan.nii.gz");
    let length = bytes.len();
    of("scan.nii.gz", bytes, length)
}

pub(crate) fn nifti_2() -> Specimen {
    let mut bytes = vec![0; 544];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(0, &540i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &2i16.to_le_bytes()); // datatype: u8
    put(14, &8i16.to_le_bytes()); // bitpix
    for (n, side) in [3, 6, 5, 4, 1, 1, 1, 1i64].iter().enumerate() {
        put(16 + 8 * n, &side.to_le_bytes());
    }
    for (n, spacing) in [1.0, 0.5, 0.75, 2.0f64].iter().enumerate() {
        put(104 + 8 * n, &spacing.to_le_bytes());
    }
    put(168, &544i64.to_le_bytes()); // vox_offset
    put(176, &1f64.to_le_bytes()); // scl_slope
    put(348, &1i32.to_le_bytes()); // sform_code
    for (n, value) in label().geometry().affine()[..3].iter().flatten().enumerate() {
        put(400 + 8 * n, &value.to_le_bytes());
    }
    put(500, &2i32.to_le_bytes()); // mm
    bytes.extend(voxels());
    of("scan.nii", bytes, 540)
}

pub(crate) fn nifti_pair() -> Specimen {
    let single = nifti_1().bytes;
    let mut header = single[..348].to_vec();
    header[344..348].copy_from_slice(b"ni1\0");
    header[108..112].fill(0); // vox_offset
    Specimen { beside: vec![("scan.img", voxels())], ..of("scan.hdr", header, 348) }
}

pub(crate) fn nrrd() -> Specimen {
    let bytes = written("scan.nrrd");
    let header = bytes.windows(2).position(|end| end == b"\n\n").unwrap() + 2;
    of("scan.nrrd", bytes, header)
}

pub(crate) fn nrrd_detached() -> Specimen {
    let header = "NRRD0005\n# a comment\ntype: unsigned char\ndimension: 3\nspace: RAS\nsizes: 6 5 4\n\
        space directions: (0.5,0,0) (0,0.75,0) (0,0,2)\nkinds: domain domain domain\nencoding: raw\n\
        space origin: (1,2,3)\ndata file: scan.raw\n";
    Specimen {
        beside: vec![("scan.raw", voxels())],
        ..of("scan.nhdr", header.as_bytes().to_vec(), header.len())
    }
}

const METAIMAGE: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n\
    CompressedData = True\nTransformMatrix = 1 0 0 0 0 1 0 1 0\nOffset = 1 2 3\nCenterOfRotation = 0 0 0\n\
    AnatomicalOrientation = RIA\nElementSpacing = 0.5 0.75 2\nDimSize = 6 5 4\nElementType = MET_UCHAR\n\
    ElementDataFile = ";

pub(crate) fn metaimage() -> Specimen {
    let header = format!("{METAIMAGE}LOCAL\n");
    let mut encoder =
        flate2::write::ZlibEncoder::new(header.clone().into_bytes(), flate2::Compression::default());
    encoder.write_all(&voxels()).unwrap();
    of("scan.mha", encoder.finish().unwrap(), header.len())
}

pub(crate) fn metaimage_detached() -> Specimen {
    let header = format!("{METAIMAGE}scan.raw\n").replace("CompressedData = True", "CompressedData = False");
    let length = header.len();
    Specimen { beside: vec![("scan.raw", voxels())], ..of("scan.mhd", header.into_bytes(), length) }
}

/// A file that `tests/golden/hdf5.py` made.
pub(crate) fn hdf5(name: &str) -> Specimen {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap();
    let length = bytes.len();
    of("scan.h5", bytes, length)
}

/// The middle one of three slices in an encoding that `tests/peers/dicom_fixtures.py` wrote.
#[cfg(feature = "dicom")]
pub(crate) fn dicom(encoding: &str) -> Specimen {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dicom").join(encoding);
    let slice = |name| (name, std::fs::read(folder.join(name)).unwrap());
    let (name, bytes) = slice("3.dcm");
    let voxels = bytes.windows(4).position(|tag| tag == b"\xe0\x7f\x10\x00").unwrap();
    // Behind the preamble, which nobody reads.
    Specimen {
        bits: 128..voxels + 12,
        beside: vec![slice("2.dcm"), slice("4.dcm")],
        is_series: true,
        ..of(name, bytes, 0)
    }
}
