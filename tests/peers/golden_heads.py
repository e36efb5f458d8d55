#!/usr/bin/env python3
"""Golden objectives of the methods with several heads: value, terms and gradients with given predictions, in float64.

usage: golden_heads.py FILE                      needs torch, scipy and safetensors
The file is `crates/tandem-objectives/tests/golden/heads.safetensors`. A case `METHOD/kK` has what the network's heads make (the
logits are `vnet`), labels `y`, the loss `total`, its gradients `d_HEAD` and terms of the log. Everything is written from
the equations in docs/method.md; signed distances are scipy's.
"""
import sys

import numpy as np
import torch
from golden_methods import LABELLED, PATCHES, RAMP, dice, supervised
from safetensors.torch import save_file
from scipy.ndimage import distance_transform_edt

SHAPE = (5, 4, 3)


def of_urpc(x):
    terms, heads = {"lambda_u": 0.1 * RAMP}, ("vnet", "half", "quarter", "eighth")
    total = sum(0.5 * supervised(x[name], x["y"], terms, name, True) for name in heads) / 4
    p = [x[name][LABELLED:].softmax(1) for name in heads]
    q = sum(p) / 4
    rectified = kl = 0
    for p_s in p:
        d = (q * (q.log() - p_s.log())).sum(1, keepdim=True)
        rectified = rectified + (torch.exp(-d) * (q - p_s) ** 2).mean() / (torch.exp(-d).mean() + 1e-8) / 4
        kl = kl + d.mean() / 4
    terms.update({"l_u_rectified": rectified, "l_u_kl": kl})
    return total + terms["lambda_u"] * (rectified + kl), terms


def signed_distance(mask):
    if not mask.any() or mask.all():
        return np.zeros(mask.shape)
    outside, inside = distance_transform_edt(~mask), distance_transform_edt(mask)
    # The inner boundary: voxels of the mask with a neighbour of six outside.
    padded = np.pad(mask, 1, constant_values=True)
    boundary = np.zeros_like(mask)
    for axis in range(3):
        for step in (-1, 1):
            boundary |= mask & ~np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    distances = outside / outside.max() - inside / inside.max()
    distances[boundary] = 0
    return distances


def of_dtc(x):
    terms = {"lambda_u": RAMP}
    classes, maps, p = x["vnet"].shape[1], x["distance"].tanh(), x["vnet"].softmax(1)[:, 1:]
    target = [[signed_distance(labels == c) for c in range(1, classes)] for labels in x["y"].numpy()]
    error = ((maps[:LABELLED] - torch.tensor(np.array(target))) ** 2).mean()
    consistency = ((torch.sigmoid(-1500 * maps) - p) ** 2).mean()
    terms.update({"vnet_dice": dice(x["vnet"][:LABELLED], x["y"]), "vnet_distance": error, "l_u_consistency": consistency})
    return terms["vnet_dice"] + 0.3 * error + terms["lambda_u"] * consistency, terms


def of_mc_net_plus(x):
    # The ramp is over by then.
    terms, heads, total = {"lambda_u": 1.0}, ("vnet", "trilinear", "nearest"), 0
    for name in heads:
        terms[f"{name}_dice"] = dice(x[name][:LABELLED], x["y"], squared=False)
        total = total + 0.5 * terms[f"{name}_dice"]
    p = [x[name].softmax(1) for name in heads]
    sharp = [p_i**10 / (p_i**10).sum(1, keepdim=True) for p_i in p]
    mutual = sum(((p[i] - sharp[j]) ** 2).mean() for i in range(3) for j in range(3) if i != j)
    terms["l_u_mutual"] = mutual
    return total + terms["lambda_u"] * mutual, terms


METHODS = {
    "dtc": (of_dtc, {"vnet": 0, "distance": -1}),
    "mc-net-plus": (of_mc_net_plus, {"vnet": 0, "trilinear": 0, "nearest": 0}),
    "urpc": (of_urpc, {"vnet": 0, "half": 0, "quarter": 0, "eighth": 0}),
}


def main(path):
    tensors = {}
    for classes in (2, 3):
        generator = torch.Generator().manual_seed(classes)
        draw = lambda channels: torch.randn(PATCHES, channels, *SHAPE, generator=generator)
        y = torch.randint(classes, (LABELLED, *SHAPE), generator=generator)
        for method, (objective, heads) in METHODS.items():
            # A few signed distances lie where their mask is soft, about 1/1500.
            made = {name: (draw(classes + more) * (2 if more == 0 else draw(classes + more).abs() ** 4 / 10)).float() for name, more in heads.items()}
            x = {name: value.double().requires_grad_() for name, value in made.items()}
            total, terms = objective({**x, "y": y})
            total.backward()
            case = f"{method}/k{classes}"
            tensors[f"{case}/y"] = y.to(torch.uint8)
            for name, value in {"total": total, **terms}.items():
                tensors[f"{case}/{name}"] = torch.as_tensor(value).detach().reshape(1)
            for name, value in x.items():
                tensors[f"{case}/{name}"] = made[name]
                tensors[f"{case}/d_{name}"] = value.grad.float()
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
