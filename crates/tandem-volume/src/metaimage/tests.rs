use std::io::Write;

use super::*;

const HEADER: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n\
    CompressedData = False\nTransformMatrix = 0 0 1 1 0 0 0 1 0\nOffset = 1 2 3\nCenterOfRotation = 0 0 0\n\
    AnatomicalOrientation = IRA\nElementSpacing = 0.5 0.7 2\nDimSize = 3 2 2\nElementType = MET_SHORT\n\
    ElementDataFile = LOCAL\n";

fn voxels() -> Vec<u8> {
    (0..12i16).flat_map(|value| (value - 5).to_le_bytes()).collect()
}

fn read_parts(header: &str, voxels: &[u8]) -> Result<Stored> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.mha");
    std::fs::write(&path, [header.as_bytes(), voxels].concat()).unwrap();
    read(&path, Budget::default())
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn raw_and_packed_voxels_are_read_in_both_byte_orders() {
    let image = read_parts(HEADER, &voxels()).unwrap().into_volume(Path::new("scan")).unwrap();
    for ((i, j, k), &value) in image.array().indexed_iter() {
        assert_eq!(value, (i + 3 * (j + 2 * k)) as f32 - 5.0);
    }
    let header = HEADER.replace("CompressedData = False", "CompressedData = True\nCompressedDataSize = 31");
    assert_eq!(
        read_parts(&header, &packed(&voxels())).unwrap().into_volume(Path::new("scan")).unwrap(),
        image
    );
    let swapped: Vec<u8> = voxels().chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    for name in ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"] {
        let header = HEADER.replace("BinaryDataByteOrderMSB = False", &format!("{name} = True"));
        assert_eq!(read_parts(&header, &swapped).unwrap().into_volume(Path::new("scan")).unwrap(), image);
    }
    assert_eq!(
        read_parts(&HEADER.replace('\n', "\r\n"), &voxels()).unwrap().into_volume(Path::new("scan")).unwrap(),
        image
    );
}

#[test]
fn every_scalar_type_has_its_size() {
    for (name, size) in [
        ("MET_UCHAR", 1),
        ("MET_CHAR", 1),
        ("MET_USHORT", 2),
        ("MET_UINT", 4),
        ("MET_INT", 4),
        ("MET_ULONG", 4),
        ("MET_LONG", 4),
        ("MET_ULONG_LONG", 8),
        ("MET_LONG_LONG", 8),
        ("MET_FLOAT", 4),
        ("MET_DOUBLE", 8),
    ] {
        let header = HEADER.replace("MET_SHORT", name);
        let stored = read_parts(&header, &vec![0; 12 * size]).unwrap();
        assert_eq!(stored.scalar.size(), size, "{name}");
        assert!(read_parts(&header, &vec![0; 12 * size - 1]).is_err(), "{name}");
    }
}

#[test]
fn the_grid_comes_from_lps() {
    for (matrix, offset) in
        [("TransformMatrix", "Offset"), ("Rotation", "Origin"), ("Orientation", "Position")]
    {
        let header = HEADER.replace("TransformMatrix =", &format!("{matrix} =")).replace("Offset", offset);
        let grid = read_parts(&header, &voxels()).unwrap().geometry;
        assert_eq!(grid.spacing(), [0.5, 0.7, 2.0]);
        assert_eq!(grid.origin(), [-1.0, -2.0, 3.0]);
        // The first three numbers are the first axis: i runs up, j to the left, k to the back.
        assert_eq!(grid.direction(), [[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]);
    }
    let bare = HEADER.replace("TransformMatrix = 0 0 1 1 0 0 0 1 0\nOffset = 1 2 3\n", "");
    let stored = read_parts(&bare, &voxels()).unwrap();
    assert_eq!(stored.geometry.direction(), [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]);
    assert_eq!(stored.about.mended.len(), 2);
}

#[test]
fn detached_voxels_are_read_from_the_headers_folder() {
    let dir = tempfile::tempdir().unwrap();
    let header = dir.path().join("scan.mhd");
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let read_as = |file: &str, fields: &str| {
        let data_file = format!("{fields}ElementDataFile = {file}");
        write("scan.mhd", HEADER.trim_end().replace("ElementDataFile = LOCAL", &data_file).as_bytes());
        read(&header, Budget::default()).map(Stored::into_image)
    };
    let attached = read_parts(HEADER, &voxels()).unwrap().into_image();
    write("scan.raw", &voxels());
    assert_eq!(read_as("scan.raw", "").unwrap(), attached);
    write("scan.zraw", &packed(&voxels()));
    assert_eq!(read_as("scan.zraw", "CompressedData = True\n").unwrap(), attached);
    write("long.raw", &[&[9; 5], &voxels()[..]].concat());
    assert_eq!(read_as("long.raw", "HeaderSize = 5\n").unwrap(), attached);
    assert_eq!(read_as("long.raw", "HeaderSize = -1\n").unwrap(), attached);
    for (file, fields, expected) in [
        ("../scan.raw", "", "outside the header's folder"),
        ("/etc/passwd", "", "outside the header's folder"),
        ("none.raw", "", "put it beside the header"),
        ("LIST", "", "several files"),
        ("a%02d.raw 1 2 1", "", "several files"),
        ("scan.raw", "HeaderSize = 1\n", "cut short"),
        ("scan.raw", "HeaderSize = -2\n", "HeaderSize"),
        ("scan.raw", "HeaderSize = 9223372036854775807\n", "cut short"),
        ("LOCAL", "HeaderSize = 4\n", "HeaderSize"),
        ("scan.zraw", "CompressedData = True\nHeaderSize = -1\n", "HeaderSize"),
    ] {
        let message = read_as(file, fields).unwrap_err().to_string();
        assert!(message.contains(expected), "{file} {fields}: {message}");
    }
}

#[test]
fn what_is_not_read_is_named() {
    for (from, to, expected) in [
        ("ObjectType = Image\n", "ObjectType\n", "Field = value"),
        ("NDims = 3", "NDims = 2", "NDims is 2"),
        ("NDims = 3", "NDims = 3\nElementNumberOfChannels = 3", "24 of 72 bytes"),
        ("DimSize = 3 2 2", "DimSize = 3 0 2", "DimSize"),
        ("DimSize = 3 2 2", "DimSize = 3 -2 2", "DimSize"),
        ("DimSize = 3 2 2\n", "", "`DimSize` is missing"),
        ("DimSize = 3 2 2", "DimSize = 9999999999 9999999999 9999999999", "more than any memory"),
        ("MET_SHORT", "MET_STRING", "ElementType"),
        ("ElementSpacing = 0.5 0.7 2", "ElementSpacing = 0.5 0.7", "ElementSpacing"),
        ("ElementSpacing = 0.5 0.7 2", "ElementSpacing = 0.5 0 2", "spacing"),
        ("ElementSpacing = 0.5 0.7 2", "ElementSpacing = 0.5 -1 2", "spacing"),
        ("ElementSpacing = 0.5 0.7 2", "ElementSpacing = 0.5 nan 2", "spacing"),
        ("ElementSpacing = 0.5 0.7 2\n", "", "`ElementSpacing` is missing"),
        ("TransformMatrix = 0 0 1", "TransformMatrix = 1 0 0", "right angles"),
        ("BinaryData = True", "BinaryData = False", "BinaryData is False"),
        ("CompressedData = False", "CompressedData = maybe", "True or False"),
        ("CompressedData = False", "CompressedData = True", "damaged"),
        ("ElementDataFile = LOCAL\n", "", "binary data"),
    ] {
        let message = read_parts(&HEADER.replacen(from, to, 1), &voxels()).unwrap_err().to_string();
        assert!(
            message.contains(expected) && message.contains(';'),
            "{from:?} -> {to:?}: {message} lacks {expected:?}"
        );
    }
}

#[test]
fn the_channels_of_a_voxel_lie_together() {
    let header = HEADER.replace("DimSize", "ElementNumberOfChannels = 2\nDimSize");
    let image = read_parts(&header, &[voxels(), voxels()].concat()).unwrap().into_image();
    assert_eq!(image.channels().len(), 2);
    for (channel, volume) in image.channels().iter().enumerate() {
        for ((i, j, k), &value) in volume.array().indexed_iter() {
            assert_eq!(value, ((channel + 2 * (i + 3 * (j + 2 * k))) % 12) as f32 - 5.0);
        }
    }
    for count in ["0", "-1", "x", "99999999999999999999"] {
        let header = header.replace("Channels = 2", &format!("Channels = {count}"));
        let refused = read_parts(&header, &voxels()).unwrap_err().to_string();
        assert!(refused.contains("ElementNumberOfChannels"), "{refused}");
    }
}
