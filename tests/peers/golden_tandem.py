#!/usr/bin/env python3
"""Value and gradients of the method `tandem`, by PyTorch in f64 from its formulas.

usage: golden_tandem.py OUT.safetensors                                                 needs torch and safetensors
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

LABELLED, PATCHES, SIDE, LAMBDA, BELIEVED = 2, 4, 5, 0.7, 0.6


def supervised(z, target, counts):
    """CE + Dice over the voxels that count."""
    k = z.shape[1]
    p = F.softmax(z, 1)
    ce = -(F.log_softmax(z, 1) * F.one_hot(target, k).movedim(-1, 1)).sum(1)[counts].mean()
    dice = 0.0
    for c in range(1, k):
        pc, y = p[:, c][counts], (target == c)[counts].double()
        dice = dice + 1 - (2 * (pc * y).sum() + 1e-5) / ((pc * pc).sum() + y.sum() + 1e-5)
    return ce + dice / (k - 1)


def conflict(z, target, counts):
    """Squared error of the foreground probabilities where the networks say different things."""
    k = z.shape[1]
    error = F.softmax(z, 1) - F.one_hot(target, k).movedim(-1, 1)
    return (error[:, 1:] ** 2).sum(1)[counts].sum() / (counts.sum() + 1e-16)


def says(z):
    """The likeliest class where it is believed, else background."""
    p, label = F.softmax(z, 1).max(1)
    return torch.where(p >= BELIEVED, label, 0)


def case(k, threshold, conflict_weight, seed):
    g = torch.Generator().manual_seed(seed)
    shape = (PATCHES, k, SIDE, SIDE, SIDE)
    draw = lambda: (2 * torch.randn(shape, generator=g)).float()
    f32 = {name: draw() for name in ["vnet", "resnet34", "vnet-average", "resnet34-average"]}
    y = torch.randint(0, k, (LABELLED, SIDE, SIDE, SIDE), generator=g)
    z = {name: t.double().requires_grad_(not name.endswith("average")) for name, t in f32.items()}
    mean = sum(F.softmax(z[f"{n}-average"][: PATCHES - LABELLED], 1) for n in ["vnet", "resnet34"]) / 2
    largest, pseudo = mean.max(1)
    differ = says(z["vnet"][:LABELLED]) != says(z["resnet34"][:LABELLED])
    total = 0.0
    for n in ["vnet", "resnet34"]:
        total = total + supervised(z[n][:LABELLED], y, torch.ones_like(y, dtype=torch.bool))
        total = total + conflict_weight * conflict(z[n][:LABELLED], y, differ)
        total = total + LAMBDA * supervised(z[n][LABELLED:], pseudo, largest >= threshold)
    total.backward()
    out = {**f32, "y": y.to(torch.uint8), "total": total.detach().reshape(1)}
    out |= {f"d_{n}": z[n].grad.float() for n in ["vnet", "resnet34"]}
    out["threshold"] = torch.tensor([threshold], dtype=torch.float64)
    out["conflict_weight"] = torch.tensor([conflict_weight], dtype=torch.float64)
    return out


cases = {
    "two_classes": case(2, 0.0, 0.0, 1),
    "three_classes": case(3, 0.0, 0.0, 2),
    "sure": case(2, 0.8, 0.0, 3),
    "conflict": case(3, 0.0, 0.5, 4),
}
save_file({f"{c}/{n}": t.contiguous() for c, ts in cases.items() for n, t in ts.items()}, sys.argv[1])
