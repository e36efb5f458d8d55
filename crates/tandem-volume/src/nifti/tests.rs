use ndarray::Array3;

use super::*;
use crate::stored::Endian;
use crate::{Geometry, Volume};
use tandem_reference::relative_error;

fn sample(shape: [usize; 3]) -> Volume<f32> {
    let (s, c) = 0.4f64.sin_cos();
    let direction = [[-c, 0.0, s], [s, 0.0, c], [0.0, 1.0, 0.0]];
    let array = Array3::from_shape_fn(shape, |(i, j, k)| i as f32 + 0.1 * j as f32 - 100.0 * k as f32);
    Volume::new(array, Geometry::new([0.625, 0.7, 2.5], [-91.5, 12.25, 40.0], direction).unwrap())
}

fn bytes() -> Vec<u8> {
    encode(&[sample([4, 3, 2])], Path::new("x.nii")).unwrap()
}

fn read_bytes(bytes: &[u8]) -> Result<Stored> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.nii");
    std::fs::write(&path, bytes).unwrap();
    read(&path, Budget::default())
}

fn message(bytes: &[u8]) -> String {
    read_bytes(bytes).unwrap_err().to_string()
}

fn with(offset: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes();
    bytes[offset..offset + value.len()].copy_from_slice(value);
    bytes
}

/// Largest difference of two affines, relative to the largest entry.
fn affine_error(a: &Geometry, b: &Geometry) -> f64 {
    let (a, b) = (a.affine(), b.affine());
    relative_error(b.as_flattened(), a.as_flattened())
}

/// The same file with every number in the other byte order.
fn big_endian(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut swap = |start: usize, size: usize, count: usize| {
        bytes[start..start + size * count].chunks_mut(size).for_each(<[u8]>::reverse);
    };
    swap(0, 4, 1);
    swap(40, 2, 8); // dim
    swap(70, 2, 2); // datatype, bitpix
    swap(76, 4, 8); // pixdim
    swap(108, 4, 3); // vox_offset, scl_slope, scl_inter
    swap(252, 2, 2); // qform_code, sform_code
    swap(256, 4, 18); // quaternion, offset, sform
    swap(352, 4, 24);
    bytes
}

/// A NIfTI-2 file, or the header of a pair.
fn version_2(volume: &Volume<f32>, endian: Endian, is_pair: bool) -> Vec<u8> {
    let mut bytes = vec![0; 544];
    let mut put = |offset: usize, value: &[u8]| {
        let mut value = value.to_vec();
        if endian == Endian::Big {
            value.reverse();
        }
        bytes[offset..offset + value.len()].copy_from_slice(&value);
    };
    put(0, &540i32.to_le_bytes());
    put(12, &16i16.to_le_bytes());
    put(14, &32i16.to_le_bytes());
    let [i, j, k] = volume.shape().map(|side| side as i64);
    for (n, side) in [3, i, j, k, 1, 1, 1, 1].iter().enumerate() {
        put(16 + 8 * n, &side.to_le_bytes());
    }
    for (n, spacing) in volume.geometry().spacing().iter().enumerate() {
        put(112 + 8 * n, &spacing.to_le_bytes());
    }
    put(168, &if is_pair { 0i64 } else { 544 }.to_le_bytes());
    put(176, &1f64.to_le_bytes());
    put(348, &1i32.to_le_bytes());
    for (n, value) in volume.geometry().affine()[..3].iter().flatten().enumerate() {
        put(400 + 8 * n, &value.to_le_bytes());
    }
    put(500, &2i32.to_le_bytes());
    bytes[4..12].copy_from_slice(if is_pair { b"ni2\0\r\n\x1a\n" } else { b"n+2\0\r\n\x1a\n" });
    if is_pair {
        return bytes;
    }
    let voxels = crate::stored::to_i_fastest(volume.array());
    let order = |value: f32| if endian == Endian::Big { value.to_be_bytes() } else { value.to_le_bytes() };
    bytes.extend(voxels.into_iter().flat_map(order));
    bytes
}

#[test]
fn what_is_written_is_read() {
    let volume = sample([4, 3, 2]);
    let again = read_bytes(&bytes()).unwrap().into_volume(Path::new("scan")).unwrap();
    assert_eq!(again.array(), volume.array());
    assert!(affine_error(again.geometry(), volume.geometry()) < 1e-7);
    // Reading and writing again changes no byte.
    assert_eq!(encode(&[again], Path::new("x.nii")).unwrap(), bytes());
}

#[test]
fn a_label_map_is_written_in_the_version_of_its_scan() {
    let volume = sample([4, 3, 2]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("one.nii"), bytes()).unwrap();
    std::fs::write(path("two.nii"), version_2(&volume, Endian::Big, false)).unwrap();
    std::fs::write(path("pair.hdr"), version_2(&volume, Endian::Little, true)).unwrap();
    std::fs::write(path("pair.img"), [0; 4 * 24]).unwrap();
    let label = volume.array().mapv(|value| u8::from(value < 0.0));
    for (scan, format, most) in
        [("one.nii", "NIfTI-1", 1e-7), ("two.nii", "NIfTI-2", 1e-14), ("pair.img", "NIfTI-2", 1e-14)]
    {
        let grid = crate::read_image(path(scan)).unwrap().into_parts().1;
        let label = Volume::new(label.clone(), grid.clone());
        crate::write_label_of(path(scan), path("label.nii.gz"), &label).unwrap();
        let found = read(&path("label.nii.gz"), Budget::default()).unwrap();
        assert_eq!(found.about.format, format, "{scan}");
        assert!(found.about.mended.is_empty(), "{scan}: {:?}", found.about.mended);
        let found = found.into_label(Path::new(scan)).unwrap();
        assert_eq!(found.array(), label.array(), "{scan}");
        assert!(affine_error(found.geometry(), &grid) <= most, "{scan}");
    }
    // A folder of slices and other formats have no version of NIfTI.
    crate::write_label_of(dir.path(), path("label.nii"), &Volume::new(label, volume.geometry().clone()))
        .unwrap();
    assert_eq!(version(&path("label.nii")).unwrap(), Version::One);
    assert!(
        crate::write_label_of(
            path("none.nii"),
            path("label.nii"),
            &crate::read_label(path("label.nii")).unwrap()
        )
        .is_err()
    );
}

#[test]
fn both_byte_orders_are_read() {
    let (little, big) = (read_bytes(&bytes()).unwrap(), read_bytes(&big_endian(bytes())).unwrap());
    assert_eq!(big.into_volume(Path::new("scan")).unwrap(), little.into_volume(Path::new("scan")).unwrap());
}

#[test]
fn the_qform_says_what_the_sform_says() {
    // All 48 ways to lay axes along the world's, and the oblique one.
    let mut grids = vec![sample([1, 1, 1]).geometry().clone()];
    for (a, b, c) in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)] {
        for signs in 0..8 {
            let mut direction = [[0.0; 3]; 3];
            for (axis, row) in [a, b, c].into_iter().enumerate() {
                direction[row][axis] = if signs >> axis & 1 == 1 { -1.0 } else { 1.0 };
            }
            grids.push(Geometry::new([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], direction).unwrap());
        }
    }
    for grid in grids {
        let mut bytes =
            encode(&[Volume::new(Array3::<u8>::zeros([2, 2, 2]), grid.clone())], Path::new("x")).unwrap();
        bytes[254..256].fill(0); // no sform
        bytes[280..328].fill(0xff);
        let found = read_bytes(&bytes).unwrap().geometry;
        assert!(affine_error(&found, &grid) < 1e-6, "{found:?} {grid:?}");
    }
}

#[test]
fn without_either_form_the_spacing_counts() {
    let mut bytes = bytes();
    bytes[252..256].fill(0);
    let grid = read_bytes(&bytes).unwrap().geometry;
    assert_eq!(grid.origin(), [0.0; 3]);
    assert!((grid.spacing()[1] - 0.7).abs() < 1e-7);
}

#[test]
fn micrometres_become_mm() {
    let grid = read_bytes(&with(123, &[3])).unwrap().geometry;
    assert!((grid.spacing()[2] - 0.0025).abs() < 1e-9, "{grid:?}");
}

#[test]
fn negative_spacings_lose_their_sign() {
    let mut bytes = with(84, &(-0.7f32).to_le_bytes());
    bytes[254..256].fill(0); // the qform is taken
    let found = read_bytes(&bytes).unwrap();
    assert!(affine_error(&found.geometry, sample([1, 1, 1]).geometry()) < 1e-6);
    assert!(found.about.mended.iter().any(|note| note.contains("negative spacings")), "{:?}", found.about);
}

#[test]
fn a_qform_that_disagrees_with_the_sform_is_reported() {
    assert!(read_bytes(&bytes()).unwrap().about.mended.is_empty());
    let shifted = read_bytes(&with(268, &12f32.to_le_bytes())).unwrap(); // qoffset_x
    assert_eq!(shifted.geometry, read_bytes(&bytes()).unwrap().geometry, "the sform counts");
    assert!(
        shifted.about.mended[0].contains("sform and qform disagree by up to"),
        "{:?}",
        shifted.about.mended
    );
    let none = read_bytes(&with(268, &f32::NAN.to_le_bytes())).unwrap();
    assert!(none.about.mended[0].contains("the qform is no grid"), "{:?}", none.about.mended);
}

#[test]
fn a_slope_of_zero_or_nan_is_none() {
    let plain = read_bytes(&bytes()).unwrap().into_volume(Path::new("scan")).unwrap();
    for slope in [0.0f32, f32::NAN, f32::INFINITY] {
        let scaled = read_bytes(&with(112, &slope.to_le_bytes())).unwrap();
        assert_eq!(scaled.into_volume(Path::new("scan")).unwrap(), plain, "{slope}");
    }
    assert!(message(&with(116, &f32::NAN.to_le_bytes())).contains("scl_inter is NaN"));
    let doubled =
        read_bytes(&with(112, &2f32.to_le_bytes())).unwrap().into_volume(Path::new("scan")).unwrap();
    assert_eq!(doubled.array(), &plain.array().mapv(|v| 2.0 * v));
}

#[test]
fn further_sides_of_one_are_no_dimensions() {
    assert_eq!(read_bytes(&with(40, &5i16.to_le_bytes())).unwrap().shape, [4, 3, 2]);
    let mut series = with(40, &4i16.to_le_bytes());
    series[48] = 7;
    let refused = read_bytes(&series).unwrap_err().to_string();
    assert!(refused.contains("cut short"), "seven times the voxels are not there: {refused}");
    series[50] = 2;
    series[40] = 5;
    assert!(message(&series).contains("one further dimension only"), "{}", message(&series));
}

#[test]
fn channels_lie_along_a_further_dimension() {
    let first = sample([4, 3, 2]);
    let second = Volume::new(first.array() * -2.0, first.geometry().clone());
    let bytes = encode(&[first.clone(), second.clone()], Path::new("x.nii")).unwrap();
    // As a vector too, whose dimension is the fifth.
    let mut vector = bytes.clone();
    for (place, side) in [(40, 5i16), (48, 1), (50, 2)] {
        vector[place..place + 2].copy_from_slice(&side.to_le_bytes());
    }
    for bytes in [bytes, vector] {
        let stored = read_bytes(&bytes).unwrap();
        assert_eq!(stored.channels, (2, Order::Planar));
        let refused = stored.clone().into_volume(Path::new("x.nii")).unwrap_err().to_string();
        assert!(refused.starts_with("x.nii: the file holds 2 channels"), "{refused}");
        assert!(stored.clone().into_label(Path::new("x.nii")).is_err());
        let image = stored.into_image();
        let found: Vec<_> = image.channels().iter().map(Volume::array).collect();
        assert_eq!(found, [first.array(), second.array()]);
    }
    assert!(encode::<f32>(&[], Path::new("x.nii")).is_err());
}

#[test]
fn extensions_are_passed_over() {
    let mut long = with(108, &368f32.to_le_bytes());
    long[348] = 1;
    long.splice(352..352, [9; 16]);
    assert_eq!(
        read_bytes(&long).unwrap().into_volume(Path::new("scan")).unwrap().array(),
        sample([4, 3, 2]).array()
    );
}

#[test]
fn damaged_headers_are_told_apart() {
    for (bytes, expected) in [
        (with(0, &[1, 2, 3, 4]), "not a NIfTI file"),
        (with(0, &540i32.to_le_bytes()), "cut short"), // too short for NIfTI-2
        (with(344, b"ni1\0"), "two files"),
        (with(344, b"xxxx"), "magic"),
        (with(40, &9i16.to_le_bytes()), "dim[0]"),
        (with(42, &(-4i16).to_le_bytes()), "at least one voxel"),
        (with(70, &128i16.to_le_bytes()), "datatype 128"),
        (with(72, &8i16.to_le_bytes()), "disagree"),
        (with(108, &f32::NAN.to_le_bytes()), "vox_offset"),
        (with(108, &12f32.to_le_bytes()), "vox_offset"),
        (with(280, &f32::NAN.to_le_bytes()), "spacing"),
        (with(280, &[0; 48]), "spacing"),
    ] {
        assert!(message(&bytes).contains(expected), "{} lacks {expected:?}", message(&bytes));
    }
}

#[test]
fn a_short_file_is_refused_before_memory_is_taken() {
    let whole = bytes();
    for length in [0, 3, 351, 352, whole.len() - 1] {
        assert!(message(&whole[..length]).contains("cut short"), "{length}");
    }
    let huge = with(42, &[0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]); // 140 TB
    assert!(message(&huge).contains("more memory than the limit"));
    let large = with(42, &[0, 4, 0, 4, 0, 2]); // 2 GB: within the limit, but not there
    assert!(message(&large).contains("cut short"));
}

#[test]
fn no_damaged_byte_ends_the_program() {
    let whole = bytes();
    let mut refused = 0;
    for position in 0..352 {
        for value in [0x00, 0x7f, 0x80, 0xff, !whole[position]] {
            let mut damaged = whole.clone();
            damaged[position] = value;
            refused += u32::from(Header::parse(&damaged, Path::new("x.nii")).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn volumes_that_nifti_cannot_hold_are_refused() {
    for shape in [[0, 1, 1], [40_000, 1, 1]] {
        assert!(
            encode(
                &[Volume::new(Array3::<u8>::zeros(shape), Geometry::isotropic(1.0).unwrap())],
                Path::new("x")
            )
            .is_err()
        );
    }
}

#[test]
fn nifti_2_says_the_same_in_wider_fields() {
    let one = read_bytes(&bytes()).unwrap();
    for endian in [Endian::Little, Endian::Big] {
        let two = read_bytes(&version_2(&sample([4, 3, 2]), endian, false)).unwrap();
        assert_eq!((two.about.format.as_str(), two.endian), ("NIfTI-2", endian));
        assert!(two.about.mended.is_empty(), "{:?}", two.about.mended);
        let two = two.into_volume(Path::new("scan")).unwrap();
        assert_eq!(two.array(), sample([4, 3, 2]).array());
        // f64 keeps what the f32 of NIfTI-1 rounds.
        assert!(affine_error(two.geometry(), sample([4, 3, 2]).geometry()) < 1e-15);
        assert!(affine_error(&one.geometry, two.geometry()) < 1e-7);
    }
    let mut short = version_2(&sample([4, 3, 2]), Endian::Little, false);
    short[168..176].copy_from_slice(&352i64.to_le_bytes());
    assert!(message(&short).contains("begin at byte 544"), "{}", message(&short));
    for side in [0i64, -1, i64::MAX] {
        let mut wrong = version_2(&sample([4, 3, 2]), Endian::Little, false);
        wrong[24..32].copy_from_slice(&side.to_le_bytes());
        assert!(message(&wrong).contains("dim"), "{}", message(&wrong));
    }
}

#[test]
fn a_pair_is_read_by_either_name_plain_and_gzipped() {
    let dir = tempfile::tempdir().unwrap();
    let volume = sample([4, 3, 2]);
    let voxels = bytes()[352..].to_vec();
    let mut one = bytes()[..348].to_vec(); // without the four bytes behind it
    one[344..348].copy_from_slice(b"ni1\0");
    one[108..112].fill(0);
    let two = version_2(&volume, Endian::Big, true);
    let swapped: Vec<u8> = voxels.chunks(4).flat_map(|value| value.iter().rev().copied()).collect();
    for (name, header, voxels) in [("one", &one, &voxels), ("two", &two, &swapped)] {
        let path = |ending: &str| dir.path().join(format!("{name}.{ending}"));
        std::fs::write(path("hdr"), header).unwrap();
        assert!(read(&path("hdr"), Budget::default()).unwrap_err().to_string().contains("img beside it"));
        std::fs::write(path("img.gz"), crate::gzip::packed(voxels)).unwrap();
        for ending in ["hdr", "img.gz"] {
            let found =
                read(&path(ending), Budget::default()).unwrap().into_volume(Path::new("scan")).unwrap();
            assert_eq!(found.array(), volume.array(), "{name} {ending}");
        }
        std::fs::remove_file(path("hdr")).unwrap();
        std::fs::write(path("hdr.gz"), crate::gzip::packed(header)).unwrap();
        assert!(read(&path("img.gz"), Budget::default()).is_ok());
        std::fs::write(path("img"), &voxels[1..]).unwrap();
        let short = read(&path("hdr.gz"), Budget::default()).unwrap_err().to_string();
        assert!(short.contains(&format!("{name}.img: the file is cut short (95 of 96 bytes)")), "{short}");
    }
    std::fs::write(dir.path().join("x.hdr"), bytes()).unwrap();
    std::fs::write(dir.path().join("x.img"), voxels).unwrap();
    let single = read(&dir.path().join("x.img"), Budget::default()).unwrap_err().to_string();
    assert!(single.contains("x.hdr: the magic bytes say that header and voxels are in one file"), "{single}");
}
