"""Metrics beside medpy, surface-distance and MONAI: values and times.

    cargo build --release -p tandem-metrics --example score_pairs
    python tests/peers/metrics.py target/release/examples/score_pairs [LABELS]

scores 200 random pairs (small, long, thin, speckled, of one voxel, at the border, empty, anisotropic) and, where a folder of
label maps (NIfTI) is given, up to 12 of them beside distorted copies. It fails where a value differs, or where a value of ours is
defined that should not be, and prints the largest difference of each metric, what the peers say of empty masks, and times.

    python tests/peers/metrics.py --golden crates/tandem-metrics/tests/golden/metrics.safetensors

writes ten small pairs with the peers' values, for the tests of the crate.

Needs medpy 0.5.2, surface-distance 0.1, monai, torch, scipy, nibabel, safetensors.
"""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import nibabel
import numpy as np
import surface_distance
import torch
from medpy.metric import binary as medpy
from monai.metrics import compute_hausdorff_distance
from safetensors.numpy import save_file
from scipy import ndimage

# Names that surface-distance 0.1 still uses and newer numpy and scipy no longer have.
np.Inf, np.NaN, ndimage.filters, ndimage.morphology = np.inf, np.nan, ndimage, ndimage
warnings.simplefilter("ignore")

TOLERANCES = (1.0, 2.5)
F64, F32 = 1e-9, 1e-5  # MONAI's distances are f32


def of_monai(pred, gt, spacing):
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (pred, gt)]
    return compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=list(spacing)).item()


def of_surface_distance(pred, gt, spacing):
    distances = surface_distance.compute_surface_distances(gt, pred, spacing)
    at = surface_distance.compute_surface_dice_at_tolerance
    return {f"nsd_{tolerance:g}mm": at(distances, tolerance) for tolerance in TOLERANCES}


def peers(pred, gt, spacing):
    """All values: by name, a function that gives it."""
    voxel = float(np.prod(spacing)) / 1000
    volumes = int(pred.sum()), int(gt.sum())
    of = {
        "dice": lambda: medpy.dc(pred, gt),
        "jaccard": lambda: medpy.jc(pred, gt),
        "hd95": lambda: medpy.hd95(pred, gt, spacing),
        "hd": lambda: medpy.hd(pred, gt, spacing),
        "asd": lambda: medpy.asd(pred, gt, spacing),
        "sensitivity": lambda: medpy.sensitivity(pred, gt),
        "precision": lambda: medpy.precision(pred, gt),
        "relative_volume_difference": lambda: 100 * abs(medpy.ravd(pred, gt)),
        "volume_difference": lambda: abs(volumes[0] - volumes[1]) * voxel,
        "hd95_max": lambda: of_monai(pred, gt, spacing),
    }
    # medpy's assd is the mean of the two directed means; ours is the mean of both lists together.
    of["assd"] = lambda: pooled(pred, gt, spacing)
    for name in of_surface_distance_names():
        of[name] = lambda name=name: of_surface_distance(pred, gt, spacing)[name]
    return of


def of_surface_distance_names():
    return [f"nsd_{tolerance:g}mm" for tolerance in TOLERANCES]


def pooled(pred, gt, spacing):
    lists = [medpy.__surface_distances(a, b, spacing, 1) for a, b in ((pred, gt), (gt, pred))]
    return np.concatenate(lists).mean()


def smooth(random, shape, sigma):
    return ndimage.gaussian_filter(random.standard_normal(shape), sigma, mode="wrap")


def blob(random, shape, share):
    field = smooth(random, shape, 2)
    return field > np.quantile(field, 1 - share)


def random_pair(random, kind):
    shape = tuple(int(side) for side in random.integers(4, 40, 3))
    if kind == "long":
        shape = (*(int(side) for side in random.integers(3, 12, 2)), int(random.integers(60, 200)))
    if kind == "thin":
        shape = tuple(int(side) for side in random.permutation([1, *random.integers(2, 30, 2)]))
    gt = blob(random, shape, random.uniform(0.05, 0.5))
    pred = gt ^ blob(random, shape, random.uniform(0.02, 0.3))
    if kind == "speckled":
        pred, gt = (random.random(shape) < random.uniform(0.001, 0.5) for _ in range(2))
    if kind == "inside":
        for mask in (pred, gt):
            for axis in range(3):
                mask[(slice(None),) * axis + ([0, -1],)] = False
    if kind == "border":
        gt[:, : max(shape[1] // 2, 1), :] = True
        pred[: max(shape[0] // 2, 1)] = True
    if kind == "single":
        for mask in (pred, gt):
            mask[...] = False
            mask[tuple(int(random.integers(side)) for side in shape)] = True
    empty = {"no prediction": [pred], "no reference": [gt], "nothing": [pred, gt]}.get(kind, [])
    for mask in empty:
        mask[...] = False
    if not empty:
        for mask in (pred, gt):
            mask.flat[int(random.integers(mask.size))] = True
    spacing = [(1.0,) * 3, (0.625,) * 3, (0.8, 0.8, 2.5), tuple(random.uniform(0.3, 4, 3))][random.integers(4)]
    return pred, gt, spacing


KINDS = ["inside", "inside", "border", "long", "thin", "speckled", "single", "border"] * 24
KINDS += ["no prediction"] * 3 + ["no reference"] * 3 + ["nothing"] * 2


def distorted(random, label):
    """A prediction as networks make them: the border moved by a few voxels to and fro, and an island."""
    distance = ndimage.distance_transform_edt(label) - ndimage.distance_transform_edt(~label)
    noise = smooth(random, label.shape, 4)
    pred = distance + 2 * noise / noise.std() > 0
    corner = tuple(slice(side // 8, side // 8 + 4) for side in label.shape)
    pred[corner] = True
    return pred


def real_pairs(folder):
    random = np.random.default_rng(7)
    for path in sorted(pathlib.Path(folder).glob("*.nii*"))[:12]:
        image = nibabel.load(path)
        label = np.ascontiguousarray(np.asarray(image.dataobj) == 1)
        spacing = tuple(float(step) for step in image.header.get_zooms()[:3])
        yield path.name.split(".")[0], (distorted(random, label), label, spacing)


def tensors_of(pairs):
    tensors = {}
    for name, (pred, gt, spacing) in pairs.items():
        tensors |= {f"{name}/pred": pred.astype(np.uint8), f"{name}/gt": gt.astype(np.uint8)}
        tensors[f"{name}/spacing"] = np.array(spacing, np.float64)
    return tensors


def ours(program, pairs, threads):
    """What the program prints: by pair and metric, a number or the text of what is undefined."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pairs.safetensors")
        save_file(tensors_of(pairs), path)
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        command = [program, path, "5", *(f"{tolerance:g}" for tolerance in TOLERANCES)]
        lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    table = {}
    for line in lines.splitlines():
        name, metric, score = line.split("\t")
        table.setdefault(name, {})[metric] = score if score.startswith("undefined") else float(score)
    return table


def seconds(function):
    least = float("inf")
    for _ in range(2):
        begin = time.perf_counter()
        function()
        least = min(least, time.perf_counter() - begin)
    return least


def of_empty(function):
    """What a peer says of a pair with an empty mask."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return f"{function():g}"
        except (RuntimeError, ValueError, ZeroDivisionError) as error:
            return type(error).__name__


def compare(pairs, table):
    """The largest relative difference of each metric; and the peers' words for what is undefined here."""
    worst, words, wrong = {}, {}, []
    for name, (pred, gt, spacing) in pairs.items():
        for metric, of in peers(pred, gt, spacing).items():
            score = table[name][metric]
            if not (pred.any() and gt.any()):
                kind = "nothing" if not (pred.any() or gt.any()) else "no " + ("reference" if pred.any() else "prediction")
                words[kind, metric] = (f"{score}", of_empty(of))
                continue
            peer = float(of())
            difference = abs(score - peer) / max(abs(peer), 1e-12) if score != peer else 0.0
            worst[metric] = max(worst.get(metric, 0.0), difference)
            if difference > (F32 if metric == "hd95_max" else F64):
                wrong.append(f"{name} {metric}: {score}, the peer says {peer} (shape {pred.shape}, spacing {spacing})")
    return worst, words, wrong


def times(pairs, tables):
    """Milliseconds a pair, least of several, summed over the pairs."""
    four = sum(seconds(lambda: [medpy.dc(p, g), medpy.jc(p, g), medpy.hd95(p, g, s), medpy.asd(p, g, s)]) for p, g, s in pairs)
    nsd = sum(seconds(lambda: of_surface_distance(p, g, s)) for p, g, s in pairs)
    monai = sum(seconds(lambda: of_monai(p, g, s)) for p, g, s in pairs)
    print(f"  medpy, dc + jc + hd95 + asd     {1e3 * four / len(pairs):9.2f} ms a pair")
    print(f"  surface-distance, surface Dice  {1e3 * nsd / len(pairs):9.2f} ms a pair")
    print(f"  MONAI, HD95                     {1e3 * monai / len(pairs):9.2f} ms a pair")
    for threads, scores in tables.items():
        for what, name in (("the same four as medpy", "seconds_four"), ("all metrics", "seconds_all")):
            own = sum(score[name] for score in scores)
            print(
                f"  tandem, {threads} thread{'s' * (threads > 1)}, {what:22}"
                f" {1e3 * own / len(pairs):9.2f} ms a pair (at most {1e3 * max(s[name] for s in scores):.2f}),"
                f" {four / own:6.1f} times as fast as medpy's four"
            )


def golden(path):
    random = np.random.default_rng(11)
    kinds = ["inside", "border", "single", "thin", "speckled", "inside", "border", "long", "inside", "thin"]
    pairs = {f"{number}-{kind}": random_pair(random, kind) for number, kind in enumerate(kinds)}
    tensors = tensors_of(pairs)
    for name, pair in pairs.items():
        for metric, of in peers(*pair).items():
            tensors[f"{name}/{metric}"] = np.array([of()], np.float64)
    save_file(tensors, path)
    print(f"{path}: {os.path.getsize(path)} bytes")


def main():
    if sys.argv[1] == "--golden":
        return golden(sys.argv[2])
    program, folders = sys.argv[1], sys.argv[2:]
    random = np.random.default_rng(3)
    sets = {"random pairs": {f"{n:03}-{kind}": random_pair(random, kind) for n, kind in enumerate(KINDS)}}
    for folder in folders:
        sets[f"pairs of {folder}"] = dict(real_pairs(folder))
    failures = []
    for title, pairs in sets.items():
        tables = {threads: ours(program, pairs, threads) for threads in (1, 2)}
        same = all(
            score == tables[2][name][metric]
            for name, scores in tables[1].items()
            for metric, score in scores.items()
            if not metric.startswith("seconds")
        )
        worst, words, wrong = compare(pairs, tables[2])
        print(f"{len(pairs)} {title}: largest relative difference")
        for metric, difference in sorted(worst.items()):
            print(f"  {metric:28} {difference:.1e}")
        for (kind, metric), (own, peer) in sorted(words.items()):
            print(f"  {kind:14} {metric:28} ours {own:32} the peer's {peer}")
        failures += wrong + ([] if same else ["one and two threads differ"])
        compared = [name for name, (pred, gt, _) in pairs.items() if pred.any() and gt.any()]
        print(f"times, least of several runs, {len(compared)} pairs with two masks")
        times([pairs[name] for name in compared], {t: [scores[name] for name in compared] for t, scores in tables.items()})
    print("\n".join(failures) or "no value differs")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
