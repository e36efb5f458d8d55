#!/usr/bin/env python3
"""The README's picture: slices of validation scans with the outlines of reference and prediction.

usage: slices.py RUN PREPARED OUT.png [ID...]      needs numpy
RUN is a run folder, PREPARED the prepared data it was made from. Of each scan, the slice with the largest reference.
"""
import gzip, struct, sys, zlib
from pathlib import Path
import numpy as np

REFERENCE, PREDICTION = (86, 180, 233), (230, 159, 0)  # told apart by the colour-blind (Okabe and Ito)
ZOOM, GAP = 2, 8


def nifti(path):
    data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    shape = struct.unpack_from("<8h", data, 40)[1:4]
    dtype = {2: "<u1", 16: "<f4"}[struct.unpack_from("<h", data, 70)[0]]
    offset = int(struct.unpack_from("<f", data, 108)[0])
    return np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape, order="F")


def outline(mask):
    inner = mask.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis)
    return mask & ~inner


def panel(run, prepared, case):
    image, label = nifti(prepared / f"images/{case}.nii"), nifti(prepared / f"labels/{case}.nii")
    prediction = nifti(run / f"predictions/{case}.nii.gz")
    k = int(np.argmax((label > 0).sum((0, 1))))
    grey = np.kron(image[:, :, k].T[::-1], np.ones((ZOOM, ZOOM)))
    low, high = np.percentile(grey, [1, 99.5])
    picture = np.repeat((np.clip((grey - low) / (high - low), 0, 1) * 255).astype(np.uint8)[..., None], 3, 2)
    for volume, colour in ((label, REFERENCE), (prediction, PREDICTION)):
        mask = np.kron(volume[:, :, k].T[::-1] > 0, np.ones((ZOOM, ZOOM), bool))
        picture[outline(mask)] = colour
    return picture


def png(picture):
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    size = struct.pack(">IIBBBBB", picture.shape[1], picture.shape[0], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def main():
    run, prepared, out = map(Path, sys.argv[1:4])
    cases = sys.argv[4:] or sorted(p.name.removesuffix(".nii.gz") for p in (run / "predictions").glob("*.nii.gz"))[:3]
    panels = [panel(run, prepared, case) for case in cases]
    height = max(p.shape[0] for p in panels)
    sheet = np.full((height, sum(p.shape[1] + GAP for p in panels) - GAP, 3), 255, np.uint8)
    left = 0
    for p in panels:
        sheet[: p.shape[0], left : left + p.shape[1]] = p
        left += p.shape[1] + GAP
    out.write_bytes(png(sheet))


main()
