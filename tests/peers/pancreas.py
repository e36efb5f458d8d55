#!/usr/bin/env python3
"""Pancreas-CT scans prepared with pydicom, nibabel, SimpleITK and scipy, beside what `tandem prepare-data` made of them.

usage: pancreas.py SOURCE PREPARED mc-net|coranet      needs pydicom (3.0), nibabel (5.4), SimpleITK (2.5), scipy (1.17), numpy
SOURCE is a download (or the phantoms' `--download`), PREPARED the folder made from it. Prints one line a case, and fails where
shapes or label maps differ, or voxels by more than 1e-3. Beyond the centre of the last slice, where ITK's spline is a mirror
and Tandem's ends, mc-net is not compared.
"""
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from scipy.ndimage import affine_transform

PATCH, MARGIN, LOW, HIGH = 96, 25, -125.0, 275.0


def read_series(folder):
    slices = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(row, column)
    slices.sort(key=lambda ds: np.dot(normal, ds.ImagePositionPatient))
    hu = [ds.pixel_array * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0)) for ds in slices]
    step = np.dot(normal, np.subtract(slices[-1].ImagePositionPatient, slices[0].ImagePositionPatient)) / (len(slices) - 1)
    between_rows, between_columns = (float(mm) for mm in slices[0].PixelSpacing)
    lps = np.stack([row, column, normal], axis=1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.block([[lps, np.zeros((3, 1))], [np.zeros((1, 3)), 1]])
    return np.stack(hu).transpose(2, 1, 0), (between_columns, between_rows, step), nib.orientations.io_orientation(affine)


def read_label(path, orientation):
    label = nib.load(path)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(label.affine), orientation)
    return nib.orientations.apply_orientation(np.asarray(label.dataobj), turn)


def by_simpleitk(array, spacing, method):
    image = sitk.GetImageFromArray(array.astype(np.float32).transpose(2, 1, 0))
    image.SetSpacing(spacing)
    size = [int(side * mm + 1e-6) for side, mm in zip(array.shape, spacing)]
    out = sitk.Resample(image, size, sitk.Transform(), method, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return sitk.GetArrayFromImage(out).transpose(2, 1, 0)


def mc_net(image, label, spacing):
    image = by_simpleitk(image, spacing, sitk.sitkBSpline)
    label = by_simpleitk(label, spacing, sitk.sitkNearestNeighbor)
    image = (np.clip(image, LOW, HIGH) - LOW) / (HIGH - LOW)
    window = [slice(None)] * 3
    for axis in range(2):
        place = np.nonzero(label)[axis]
        extra = max(PATCH - (place.max() - place.min()), 0) // 2
        window[axis] = slice(max(place.min() - extra - MARGIN, 0), min(place.max() + extra + MARGIN, label.shape[axis]))
    image, label = image[tuple(window)], label[tuple(window)]
    return (image - image.mean(dtype=float)) / image.std(dtype=float), label


def coranet(image, label, spacing):
    shape = tuple(int(side) for side in np.round(np.array(image.shape) * spacing))
    # dipy's reslice, but for what lies beyond the last voxel: it has 0 there, Tandem and this script the last voxel.
    reslice = lambda array, order: affine_transform(array, 1 / np.array(spacing), output_shape=shape, order=order, mode="nearest")
    image, label = reslice(image.astype(float), 1), reslice(label, 0)
    image = np.clip(image, LOW, HIGH)
    image = (image - image.min()) / (image.max() - image.min())
    for axis in range(3):
        place, side = np.nonzero(label.any(axis=tuple({0, 1, 2} - {axis})))[0], label.shape[axis]
        low, high = max(place.min() - MARGIN, 0), min(place.max() + 2 + MARGIN, side)
        missing = max(min(PATCH, side) - (high - low), 0)
        low -= missing // 2
        high += missing - missing // 2
        shift = max(-low, 0) - max(high - side, 0)
        window = slice(low + shift, high + shift)
        pad = [(0, 0)] * 3
        pad[axis] = (0, max(PATCH - side, 0))
        take = [slice(None)] * 3
        take[axis] = window
        image, label = (np.pad(array[tuple(take)], pad) for array in (image, label))
    return image, label


def main():
    source, prepared = Path(sys.argv[1]), Path(sys.argv[2])
    recipe = {"mc-net": mc_net, "coranet": coranet}[sys.argv[3]]
    failed = False
    for case in json.loads((prepared / "manifest.json").read_text())["cases"]:
        series, labels = (source / entry["file"] for entry in case["sources"])
        image, spacing, orientation = read_series(series)
        inside = slice(None) if recipe is coranet else slice(int((image.shape[2] - 1) * spacing[2]) + 1)
        image, label = recipe(image, read_label(labels, orientation), spacing)
        ours = np.asarray(nib.load(prepared / f"images/{case['id']}.nii").dataobj)
        our_label = np.asarray(nib.load(prepared / f"labels/{case['id']}.nii").dataobj)
        if ours.shape != image.shape:
            print(f"{case['id']}: shape {ours.shape}, expected {image.shape}")
            failed = True
            continue
        apart, labels = np.abs(ours - image)[..., inside].max(), int((our_label != label)[..., inside].sum())
        print(f"{case['id']}: {ours.shape}, voxels differ by {apart:.1e} at most, label maps in {labels} voxels")
        failed |= apart > 1e-3 or labels > 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
