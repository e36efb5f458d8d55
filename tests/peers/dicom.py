#!/usr/bin/env python3
"""A DICOM series as pydicom and SimpleITK see it, beside each other: where the expectations of the tests come from.

usage: dicom.py FOLDER      needs pydicom (3.0), SimpleITK (2.5), numpy
Prints shape, spacing, the position of the first and of the last voxel in RAS+, and sums over the rescaled voxels.
"""
import sys
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

LPS_TO_RAS = np.array([-1, -1, 1])


def by_pydicom(folder):
    slices = [pydicom.dcmread(path) for path in Path(folder).glob("*.dcm")]
    row, column = np.array(slices[0].ImageOrientationPatient).reshape(2, 3)
    normal = np.cross(row, column)
    slices.sort(key=lambda ds: np.dot(normal, ds.ImagePositionPatient))
    rescaled = [ds.pixel_array * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0)) for ds in slices]
    voxels = np.stack(rescaled).transpose(2, 1, 0)  # to column, row, slice: i, j, k
    first, last = (np.array(slices[n].ImagePositionPatient, float) for n in (0, -1))
    between_rows, between_columns = (float(x) for x in slices[0].PixelSpacing)
    step = np.linalg.norm(last - first) / max(len(slices) - 1, 1)
    far = last + row * between_columns * (voxels.shape[0] - 1) + column * between_rows * (voxels.shape[1] - 1)
    return voxels, (between_columns, between_rows, step), first * LPS_TO_RAS, far * LPS_TO_RAS


def by_simpleitk(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    voxels = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    places = ([0, 0, 0], [n - 1 for n in image.GetSize()])
    first, far = (np.array(image.TransformIndexToPhysicalPoint(place)) for place in places)
    return voxels, image.GetSpacing(), first * LPS_TO_RAS, far * LPS_TO_RAS


def rows(voxels, spacing, first, far):
    voxels = voxels.astype(np.float64)
    weights = sum((n + 1) * np.arange(side).reshape([-1 if m == n else 1 for m in range(3)])
                  for n, side in enumerate(voxels.shape))
    yield "shape", str(voxels.shape)
    for name, values in (("spacing", spacing), ("first voxel", first), ("last voxel", far)):
        yield name, " ".join(f"{value:.6f}" for value in values)
    yield "lowest, highest", f"{voxels.min():.3f} {voxels.max():.3f}"
    yield "sum", f"{voxels.sum():.3f}"
    yield "sum (i + 2 j + 3 k)", f"{(voxels * weights).sum():.3f}"


def main():
    folder = sys.argv[1]
    print(f"{'':22}{'pydicom':40}SimpleITK")
    for (name, one), (_, other) in zip(rows(*by_pydicom(folder)), rows(*by_simpleitk(folder))):
        print(f"{name:22}{one:40}{other}")


if __name__ == "__main__":
    main()
