#!/usr/bin/env python3
"""Makes the DICOM series in crates/tandem-volume/tests/golden/dicom: one small oblique CT in every encoding that is read.

usage: dicom_fixtures.py [FOLDER]      needs pydicom (3.0), python-gdcm (3.2), numpy

16 x 12 x 5 voxels of 12 signed bits; slope 1 + k/4 and intercept -10 k of slice k; the names run against the positions.
The stored value at column i, row j, slice k is 37 i - 29 j + 211 k + 3 i j - 1000. `tilted` has the same voxels, its
slices moved along the columns of the image as a gantry tilted by 15 degrees moves them.
"""
import sys
from pathlib import Path

import gdcm
import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

COLUMNS, ROWS, SLICES = 16, 12, 5
SPACING = (0.75, 0.5, 2.5)  # between rows, between columns, between slices
TURN = np.deg2rad(20)
ROW = np.array([np.cos(TURN), np.sin(TURN), 0.0])  # the way a row runs
COLUMN = np.array([0.0, 0.0, -1.0])
NORMAL = np.cross(ROW, COLUMN)
FIRST = np.array([-30.0, 12.5, 40.0])


def stored(k):
    j, i = np.mgrid[:ROWS, :COLUMNS]
    return (37 * i - 29 * j + 211 * k + 3 * i * j - 1000).astype(np.int16)


def text(values):
    return [f"{value:.9f}"[:16] for value in values]


def slice_file(k, syntax, tilt=0.0):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{k}"
    meta.TransferSyntaxUID = syntax
    ds = FileDataset(
        None, {}, file_meta=meta, preamble=b"\0" * 128,
        is_implicit_VR=syntax == ImplicitVRLittleEndian, is_little_endian=syntax != ExplicitVRBigEndian,
    )
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"1.2.3.4.{k}"
    ds.Modality, ds.SeriesDescription, ds.SeriesInstanceUID = "CT", "fixture", "1.2.3.4"
    ds.PatientName, ds.PatientID = "Fixture", "0"
    # A nested sequence, so that readers must find their way past one.
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3.5"
    ds.ReferencedImageSequence = [item]
    ds.ImagePositionPatient = text(FIRST + k * SPACING[2] * (NORMAL + np.tan(tilt) * COLUMN))
    ds.ImageOrientationPatient = text([*ROW, *COLUMN])
    ds.PixelSpacing, ds.SliceThickness = list(SPACING[:2]), SPACING[2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1 + k / 4, -10 * k
    values = stored(k)
    ordered = values.astype(">i2" if syntax == ExplicitVRBigEndian else "<i2")
    ds["PixelData"] = DataElement(0x7FE00010, "OW", ordered.tobytes())
    return ds


def write(folder, name, syntax, encode=None, tilt=0.0):
    (folder / name).mkdir(parents=True, exist_ok=True)
    for k in range(SLICES):
        path = folder / name / f"{SLICES - k}.dcm"
        ds = slice_file(k, syntax, tilt)
        ds.save_as(path, enforce_file_format=True)
        if encode is not None:
            compress(path, encode)


def compress(path, encode):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(encode))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def main():
    beside = Path(__file__).resolve().parents[2] / "crates/tandem-volume/tests/golden/dicom"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    write(folder, "implicit", ImplicitVRLittleEndian)
    write(folder, "explicit", ExplicitVRLittleEndian)
    write(folder, "big-endian", ExplicitVRBigEndian)
    write(folder, "rle", ExplicitVRLittleEndian, gdcm.TransferSyntax.RLELossless)
    write(folder, "jpeg-lossless", ExplicitVRLittleEndian, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    write(folder, "jpeg-2000", ExplicitVRLittleEndian, gdcm.TransferSyntax.JPEG2000Lossless)
    write(folder, "tilted", ExplicitVRLittleEndian, tilt=np.deg2rad(15))


if __name__ == "__main__":
    main()
