#!/usr/bin/env python3
"""Statistics as scipy and statsmodels do them: makes crates/tandem-statistics/tests/golden/statistics.json.

usage: significance.py [FILE]      needs scipy (1.17), statsmodels (0.14), numpy
"""
import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

draw = np.random.default_rng(1337)


def signed_rank(name, differences):
    d = np.asarray(differences, dtype=np.float64)
    nonzero = d[d != 0]
    ties = len(np.unique(np.abs(nonzero))) < len(nonzero)
    method = "exact" if len(nonzero) <= 50 and not ties else "asymptotic"
    # Zeros are dropped here: with any of them some versions of scipy leave the exact distribution.
    found = stats.wilcoxon(nonzero, zero_method="wilcox", correction=True, method=method)
    ranks = stats.rankdata(np.abs(nonzero))
    walsh = [(d[i] + d[j]) / 2 for i in range(len(d)) for j in range(i, len(d))]
    return dict(
        name=name,
        differences=d.tolist(),
        method=method,
        p=float(found.pvalue),
        statistic=float(found.statistic),
        rank_biserial=float(np.sum(ranks * np.sign(nonzero)) / np.sum(ranks)),
        cohen_dz=float(d.mean() / d.std(ddof=1)),
        hodges_lehmann=float(np.median(walsh)),
    )


def bootstrap(values):
    values = np.asarray(values, dtype=np.float64)
    means = draw.choice(values, (499, len(values))).mean(axis=1)

    class Before:
        bootstrap_distribution = means

    found = stats.bootstrap((values,), np.mean, n_resamples=0, bootstrap_result=Before, method="BCa")
    interval = [float(end) for end in found.confidence_interval]
    return dict(values=values.tolist(), means=means.tolist(), interval=interval)


def holm(p):
    return dict(p=p, adjusted=multipletests(p, method="holm")[1].tolist())


normal = draw.normal
golden = dict(
    signed_rank=[
        signed_rank("five", [0.31, -0.02, 0.11, 0.27, 0.05]),
        signed_rank("one sided", normal(3, 0.5, 12)),
        signed_rank("no effect", normal(0, 1, 20)),
        signed_rank("an effect", normal(0.6, 1, 20)),
        signed_rank("fifty", normal(0.2, 1, 50)),
        signed_rank("zeros among others", [0.0, 1.5, -0.2, 0.0, 0.9, 2.2, 0.4]),
        signed_rank("fifty-one", normal(0.2, 1, 51)),
        signed_rank("many", normal(0.1, 1, 300)),
        signed_rank("ties", np.round(normal(0.8, 2, 25))),
        signed_rank("few ties", [1, 1, -2, 3, 4, 4]),
        signed_rank("ties and zeros", [0, 0, 1, 1, -1, 2, 3, 3, -4, 5, 5]),
    ],
    bootstrap=[
        bootstrap(normal(88, 4, 16)),
        bootstrap(draw.lognormal(1.5, 0.8, 20)),
        bootstrap(-draw.lognormal(0, 1, 14)),
        bootstrap([0.2, 0.9]),
    ],
    holm=[holm([0.04, 0.01, 0.03, 0.005]), holm([0.2, 0.9, 0.0001]), holm([0.05, 0.05, 0.05])],
)
default = Path(__file__).parents[2] / "crates/tandem-statistics/tests/golden/statistics.json"
path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
path.write_text(json.dumps(golden) + "\n")
print(path, path.stat().st_size, "bytes")
