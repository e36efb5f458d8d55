#!/usr/bin/env python3
"""Resampling as scipy and SimpleITK do it: makes crates/tandem-volume/tests/golden/resample.json and compares the two.

usage: resample.py [FILE]      needs scipy (1.17), SimpleITK (2.5), numpy
The scan is 9 x 8 x 7 voxels of noise at 1 x 1.5 x 2 mm; `fine` is a finer grid, `coarse` one that is coarser along i and k, and
`sampled` the same without smoothing.
"""
import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter1d, map_coordinates

SHAPE, SPACING = (9, 8, 7), (1.0, 1.5, 2.0)
GRIDS = {
    "fine": dict(spacing=(0.71, 0.93, 1.37), origin=(0.31, 0.62, 1.13), shape=(10, 9, 7)),
    "coarse": dict(spacing=(2.23, 1.5, 3.19), origin=(0.47, 0.29, 0.73), shape=(4, 6, 4)),
}
GRIDS["sampled"] = dict(GRIDS["coarse"], smooth=False)
i, j, k = np.indices(SHAPE)
IMAGE = ((i * 7919 + j * 104729 + k * 1299709) % 1000) / 10.0
LABEL = (i // 3 + j // 4 + k // 3) % 4


def smoothed(volume, grid):
    for axis in range(3):
        ratio = grid["spacing"][axis] / SPACING[axis]
        if ratio > 1 and grid.get("smooth", True):
            sigma = np.sqrt((ratio**2 - 1) / (8 * np.log(2)))
            volume = gaussian_filter1d(volume, sigma, axis=axis, mode="nearest")
    return volume


def by_scipy(volume, grid, order):
    places = [(grid["origin"][n] + grid["spacing"][n] * np.arange(grid["shape"][n])) / SPACING[n] for n in range(3)]
    places = [np.clip(place, 0, side - 1) for place, side in zip(places, SHAPE)]
    return map_coordinates(smoothed(volume, grid), np.meshgrid(*places, indexing="ij"), order=order, mode="mirror")


def by_simpleitk(volume, grid, method):
    image = sitk.GetImageFromArray(smoothed(volume, grid).transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    out = sitk.Resample(image, grid["shape"], sitk.Transform(), method, grid["origin"], grid["spacing"])
    return sitk.GetArrayFromImage(out).transpose(2, 1, 0)


def main():
    beside = Path(__file__).resolve().parents[2] / "crates/tandem-volume/tests/golden/resample.json"
    golden = {}
    for name, grid in GRIDS.items():
        values = dict(grid)
        for key, order, method in (("linear", 1, sitk.sitkLinear), ("cubic", 3, sitk.sitkBSpline)):
            one, other = by_scipy(IMAGE, grid, order), by_simpleitk(IMAGE, grid, method)
            print(f"{name:8}{key:8}scipy - SimpleITK: {np.abs(one - other).max():.2e} of values to {np.abs(one).max():.1f}")
            values[key] = [round(float(value), 5) for value in one.ravel()]
        shares = np.stack([by_scipy((LABEL == c).astype(float), grid, 1) for c in range(4)])
        closest = np.sort(shares, axis=0)
        print(f"{name:8}labels  the two largest shares differ by {(closest[-1] - closest[-2]).min():.1e} or more")
        values["label"] = shares.argmax(axis=0).ravel().tolist()
        golden[name] = values
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    lines = (f'"{name}": {json.dumps(values, separators=(",", ":"))}' for name, values in golden.items())
    path.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
