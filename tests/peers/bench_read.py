#!/usr/bin/env python3
"""One case of `cargo xtask bench` by nibabel and SimpleITK: what our time of reading scans stands beside.

usage: bench_read.py CASE SETTING                              needs nibabel, SimpleITK, numpy
CASE is a line that `tandem-bench` prints, with the folder of scans. SETTING is a JSON object: "reader" (nibabel or
SimpleITK), "how" (get_fdata or unscaled for nibabel, numpy or Normalize for SimpleITK) and "share" (processes or threads:
by what the scans are shared out). Every way ends with z-scores in float32. Prints a JSON object.
"""
import json, os, resource, statistics, sys, time
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from pathlib import Path

CASE = json.loads(sys.argv[1])
SETTING = json.loads(sys.argv[2])
WORKERS = CASE["threads"] or len(os.sched_getaffinity(0))
RUNS = 4
# Arithmetic of numpy in one thread each: the scans are shared out.
os.environ["OMP_NUM_THREADS"] = "1"

import nibabel
import numpy as np
import SimpleITK

SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def z_scores(values):
    values -= values.mean(dtype=np.float64)
    values /= values.std(dtype=np.float64)
    return values


def get_fdata(path):
    return z_scores(nibabel.load(path).get_fdata(dtype=np.float32, caching="unchanged"))


def unscaled(path):
    voxels = nibabel.load(path).dataobj
    values = voxels.get_unscaled().astype(np.float32)
    values *= np.float32(voxels.slope)
    values += np.float32(voxels.inter)
    return z_scores(values)


def numpy(path):
    return z_scores(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path, SimpleITK.sitkFloat32)))


def normalize(path):
    return SimpleITK.Normalize(SimpleITK.ReadImage(path, SimpleITK.sitkFloat32))


HOW = {"get_fdata": get_fdata, "unscaled": unscaled, "numpy": numpy, "Normalize": normalize}


def work(path):
    HOW[SETTING["how"]](path)  # the voxels stay where they are: no process sends them to another


def main():
    paths = sorted(map(str, Path(CASE["folder"]).iterdir()))
    seconds = []
    # A forked process would wait for the threads of ITK, which it does not have.
    processes = get_context("spawn").Pool
    with {"processes": processes, "threads": ThreadPool}[SETTING["share"]](WORKERS) as pool:
        for _ in range(RUNS):
            start = time.perf_counter()
            pool.map(work, paths, chunksize=1)
            seconds.append(time.perf_counter() - start)
        pool.close()
        pool.join()
    timed = sorted(seconds[1:])  # the first run does not count
    most = {who: resource.getrusage(who).ru_maxrss >> 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)}
    children = WORKERS * most[resource.RUSAGE_CHILDREN] if SETTING["share"] == "processes" else 0
    version = {"nibabel": nibabel.__version__, "SimpleITK": SimpleITK.Version.VersionString()}[SETTING["reader"]]
    print(json.dumps({
        "case": CASE["case"], "seconds": statistics.median(timed), "fastest": timed[0], "runs": len(timed),
        "mib": most[resource.RUSAGE_SELF] + children, "version": version,
    }))


if __name__ == "__main__":
    main()
