#!/usr/bin/env python3
"""Makes the scans of other writers in crates/tandem-volume/tests/golden/peers, and what their own readers find in them.

usage: volume_fixtures.py                                      needs nibabel, pynrrd, h5py, SimpleITK, numpy
The figures of `expected.json` come from the readers of `readers.py`; the crate's tests compare with them.
"""
import json
from pathlib import Path
import nibabel, nrrd, SimpleITK
import numpy as np
import readers

FOLDER = Path(__file__).resolve().parents[2] / "crates/tandem-volume/tests/golden/peers"


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    i, j, k = np.meshgrid(np.arange(5), np.arange(4), np.arange(3), indexing="ij")
    values = (i + 10 * j + 100 * k - 7).astype(np.int16)
    s, c = np.sin(0.4), np.cos(0.4)
    direction = np.array([[-c, 0, s], [s, 0, c], [0, 1, 0]])
    affine = np.eye(4)
    affine[:3, :3] = direction * [0.625, 0.7, 2.5]
    affine[:3, 3] = [-91.5, 12.25, 40]

    def save(kind, name, data=values, endian="<", scaling=None):
        scan = kind(data, affine, header=kind.header_class(endianness=endian))
        scan.set_data_dtype(data.dtype)
        scan.set_qform(affine, 1)
        scan.header.set_xyzt_units("mm")
        if scaling:
            scan.header.set_slope_inter(*scaling)
        nibabel.save(scan, FOLDER / name)

    save(nibabel.Nifti2Image, "nifti2.nii.gz")
    save(nibabel.Nifti2Image, "nifti2_big_endian.nii", values.astype(">f8"), ">")
    save(nibabel.Nifti1Image, "one_volume_of_4d.nii", values[..., None].astype(np.float32))
    save(nibabel.Nifti1Pair, "pair.hdr", scaling=(0.5, -3))
    save(nibabel.Nifti2Pair, "pair_big_endian.hdr.gz", values.astype(">i4"), ">")

    scan = SimpleITK.GetImageFromArray(values.T)
    to_lps = np.diag([-1, -1, 1])
    scan.SetSpacing([0.625, 0.7, 2.5])
    scan.SetDirection((to_lps @ direction).flatten())
    scan.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    for name, kind, packed in [
        ("plain.mha", SimpleITK.sitkInt16, False),
        ("packed.mha", SimpleITK.sitkFloat64, True),
        ("detached.mhd", SimpleITK.sitkInt64, False),
        ("detached_packed.mhd", SimpleITK.sitkFloat32, True),
        ("itk.nrrd", SimpleITK.sitkInt32, True),
        ("itk_detached.nhdr", SimpleITK.sitkInt16, False),
    ]:
        SimpleITK.WriteImage(SimpleITK.Cast(scan, kind), str(FOLDER / name), packed)
    for name, space, flip in [
        ("pynrrd_ras.nrrd", "right-anterior-superior", [1, 1, 1]),
        ("pynrrd_las.nhdr", "left-anterior-superior", [-1, 1, 1]),
    ]:
        header = {
            "space": space,
            "space directions": (np.diag(flip) @ affine[:3, :3]).T,
            "space origin": np.diag(flip) @ affine[:3, 3],
            "kinds": ["domain"] * 3,
        }
        nrrd.write(str(FOLDER / name), values.astype(">u2") if flip[0] < 0 else values.astype(np.int8), header)

    files = sorted(path for path in FOLDER.iterdir() if path.name.endswith(readers.ENDINGS))
    expected = {path.name: readers.peer(path) for path in files}
    text = json.dumps(expected, indent=1)
    (FOLDER / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
