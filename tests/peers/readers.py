#!/usr/bin/env python3
"""What other readers find in scans, beside what `tandem inspect --json` finds: shape, channels, spacing, orientation, sum.

usage: readers.py TANDEM FOLDER...                             needs nibabel, pynrrd, h5py, SimpleITK, numpy
TANDEM is the program (target/release/tandem). NIfTI is read by nibabel, NRRD by pynrrd, MetaImage by SimpleITK, HDF5 by
h5py, folders of *.dcm by SimpleITK. Ends with 1 where the two differ in any file.
"""
import json, subprocess, sys
from pathlib import Path
import numpy as np

ENDINGS = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".h5")


def of_affine(affine, values):
    """The reading of a grid: `affine` leads from voxels to mm in RAS+; sides behind the third are those of channels."""
    import nibabel

    affine = np.asarray(affine, float)
    return {
        "shape": [int(side) for side in values.shape[:3]],
        "channels": int(np.prod(values.shape[3:])),
        "spacing": [float(s) for s in np.sqrt((affine[:3, :3] ** 2).sum(0))],
        "orientation": "".join(nibabel.aff2axcodes(affine)),
        "affine": affine.tolist(),
        "sum": float(np.asarray(values, np.float64).sum()),
    }


def nifti(path):
    import nibabel

    scan = nibabel.load(path)
    return of_affine(scan.affine, scan.get_fdata())


def pynrrd(path):
    import nrrd

    values, header = nrrd.read(str(path))
    directions = np.asarray(header["space directions"], float)
    of_space = ~np.isnan(directions).any(axis=1)
    if not of_space[0]:
        values = np.moveaxis(values, 0, -1)
    signs = {"right": (1, 1, 1), "left-a": (-1, 1, 1), "left-p": (-1, -1, 1)}
    flip = next(signs[start] for start in signs if header["space"].startswith(start))
    affine = np.eye(4)
    affine[:3, :3] = directions[of_space].T
    affine[:3, 3] = header["space origin"]
    return of_affine(np.diag([*flip, 1]) @ affine, values)


def simpleitk(path):
    import SimpleITK

    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)) if path.is_dir() else str(path)
    scan = SimpleITK.ReadImage(files)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(scan.GetDirection(), (3, 3)) * scan.GetSpacing()
    affine[:3, 3] = scan.GetOrigin()
    values = SimpleITK.GetArrayFromImage(scan)
    return of_affine(np.diag([-1, -1, 1, 1]) @ affine, np.moveaxis(values, (0, 2), (2, 0)))


def h5py_image(path):
    import h5py

    with h5py.File(path) as file:
        image, label = (file[name][:].astype(np.float64) if name in file else None for name in ("image", "label"))
    found = {"shape": list(image.shape), "sum": float(image.sum())}
    return found if label is None else {**found, "label sum": float(label.sum())}


def peer(path):
    name = path.name.lower()
    if name.endswith((".mha", ".mhd")) or path.is_dir():
        return simpleitk(path)
    if name.endswith((".nrrd", ".nhdr")):
        return pynrrd(path)
    return h5py_image(path) if name.endswith(".h5") else nifti(path)


def tandem(program, path):
    ended = subprocess.run([program, "inspect", path, "--json"], capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip())
    found = json.loads(ended.stdout)
    label = {"label sum": found["label"]["sum"]} if found["label"] else {}
    return {"shape": found["shape"], "channels": found["channels"], "sum": found["voxels"]["sum"], **label, **(found["grid"] or {})}


def same(name, a, b):
    if name in ("shape", "channels", "orientation"):
        return a == b
    # Spacings and affines pass through f32 in NIfTI-1; sums in f64 differ by the order of their terms only.
    return np.allclose(a, b, rtol=1e-9 if name.endswith("sum") else 1e-6, atol=1e-4 if name == "affine" else 1e-9)


def main(program, folders):
    differ = count = 0
    for folder in folders:
        series = {p.parent for p in Path(folder).rglob("*.dcm")}
        for path in sorted(series.union(p for p in Path(folder).rglob("*") if p.name.lower().endswith(ENDINGS))):
            count += 1
            print(path.relative_to(folder))
            try:
                theirs, ours = peer(path), tandem(program, path)
            except Exception as error:
                differ += 1
                print(f"  NOT READ: {error}")
                continue
            for name in theirs:
                agree = same(name, theirs[name], ours[name])
                differ += not agree
                if name != "affine" or not agree:
                    mark = "" if agree else "   DIFFERS"
                    print(f"  {name:<12} {str(theirs[name]):<64} {ours[name]}{mark}")
    print(f"{count} files, {differ} differences")
    return int(differ > 0 or count == 0)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
