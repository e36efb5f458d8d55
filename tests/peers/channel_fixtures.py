#!/usr/bin/env python3
"""Writes one small scan of two channels as other programs do: `crates/tandem-volume/tests/golden/channels/`.

usage: channel_fixtures.py FOLDER                              needs nibabel, pynrrd, SimpleITK, numpy
Voxel (i, j, k) of channel c is 1000 c + 100 k + 10 j + i; spacing 0.5, 1 and 2 mm, first voxel at (1, 2, 3) mm, RAS.
"""
import sys
from pathlib import Path
import numpy as np


def main(folder):
    import nibabel, nrrd, SimpleITK

    folder.mkdir(parents=True, exist_ok=True)
    i, j, k, c = np.indices((5, 4, 3, 2))
    scan = (1000 * c + 100 * k + 10 * j + i).astype(np.int16)
    affine = np.array([[0.5, 0, 0, 1], [0, 1, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1.0]])
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm", "sec")
    nibabel.save(nibabel.Nifti1Image(scan, affine, header), folder / "nibabel_fourth.nii.gz")

    itk = SimpleITK.GetImageFromArray(np.ascontiguousarray(scan.transpose(2, 1, 0, 3)), isVector=True)
    itk.SetSpacing((0.5, 1, 2))
    itk.SetOrigin((-1, -2, 3))  # LPS
    itk.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for name in ("itk_fifth.nii.gz", "itk_vector.nrrd", "itk_vector.mha"):
        SimpleITK.WriteImage(itk, str(folder / name))

    directions = np.array([[0.5, 0, 0], [0, 1, 0], [0, 0, 2], [np.nan] * 3])
    fields = {"space": "right-anterior-superior", "space directions": directions, "space origin": [1.0, 2, 3],
              "kinds": ["domain", "domain", "domain", "list"], "encoding": "gzip"}
    nrrd.write(str(folder / "pynrrd_list.nrrd"), scan, fields)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
