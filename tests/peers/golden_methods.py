#!/usr/bin/env python3
"""Golden objectives of the methods: value, terms and gradients with given predictions, computed in float64.

usage: golden_methods.py FILE                      needs torch, numpy, scipy and safetensors
The file is `crates/tandem-objectives/tests/golden/methods.safetensors`. Tensors of `inputs/kK` are those of every case `METHOD/kK`:
logits of the networks, features `h_NETWORK`, labels `y`. A case has the sum of its losses `total`, its gradients `d_INPUT` (none
where they are zero), and terms of the log. Everything is written from the equations in docs/method.md.
"""
import math
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy import ndimage

torch.set_default_dtype(torch.float64)
LABELLED, PATCHES, SHAPE, CHANNELS = 2, 4, (4, 4, 3), 3
PROGRESS = 0.4
RAMP = math.exp(-5 * (1 - PROGRESS) ** 2)


def one_hot(y, classes):
    return F.one_hot(y.long(), classes).permute(0, 4, 1, 2, 3).double()


def dice(z, y, background=False, squared=True, kept=None):
    """The mean over classes, sums over all voxels that are kept, of all patches together."""
    p, y = z.softmax(1), one_hot(y, z.shape[1])
    kept = torch.ones_like(p[:, 0]) if kept is None else kept.double()
    loss = []
    for c in range(0 if background else 1, z.shape[1]):
        size = p[:, c] ** 2 if squared else p[:, c]
        overlap, denominator = (p[:, c] * y[:, c] * kept).sum(), ((size + y[:, c]) * kept).sum()
        loss.append(1 - (2 * overlap + 1e-5) / (denominator + 1e-5))
    return torch.stack(loss).mean()


def supervised(z, y, terms, network, background=False):
    ce, d = F.cross_entropy(z[:LABELLED], y), dice(z[:LABELLED], y, background)
    terms.update({f"{network}_ce": ce, f"{network}_dice": d})
    return ce + d


def of_supervised(x):
    terms = {}
    return supervised(x["vnet"], x["y"], terms, "vnet"), terms


def of_mean_teacher(x):
    terms = {"lambda_u": 0.1 * RAMP}
    # What the teacher is asked for are the first patches of its prediction, as many as there are unlabelled ones.
    q = x["teacher"][: PATCHES - LABELLED].softmax(1)
    error = ((x["vnet"][LABELLED:].softmax(1) - q) ** 2).mean()
    terms["l_u_mean_square"] = error
    return 0.5 * supervised(x["vnet"], x["y"], terms, "vnet", True) + terms["lambda_u"] * error, terms


def of_cps(x):
    terms, total = {"lambda_u": 0.1 * RAMP}, 0
    for network, other in (("vnet", "resnet34"), ("resnet34", "vnet")):
        z = x[network]
        pseudo = F.cross_entropy(z[LABELLED:], x[other][LABELLED:].argmax(1))
        terms[f"{network}_pseudo_ce"] = pseudo
        total = total + 0.5 * supervised(z, x["y"], terms, network, True) + terms["lambda_u"] * pseudo
    return total, terms


def of_ua_mt(x):
    terms = {"lambda_u": 0.1 * RAMP}
    q, classes = x["teacher"].softmax(1), x["vnet"].shape[1]
    # Two copies of the unlabelled patches a call: all four patches of the prediction, the same in each call.
    mean = (q[:2] + q[2:]) / 2
    entropy = -(mean * (mean + 1e-6).log()).sum(1)
    certain = (entropy < (0.75 + 0.25 * RAMP) * math.log(classes)).double()
    error = (certain[:, None] * (x["vnet"][LABELLED:].softmax(1) - q[:2]) ** 2).sum() / (classes * certain.sum() + 1e-16)
    terms.update({"l_u_mean_square": error, "certain_share": certain.mean()})
    return 0.5 * supervised(x["vnet"], x["y"], terms, "vnet") + terms["lambda_u"] * error, terms


def components(labels, classes):
    """Of each foreground class of each patch its largest component, corners connected."""
    kept = torch.zeros_like(labels)
    for patch in range(labels.shape[0]):
        for c in range(1, classes):
            found, _ = ndimage.label((labels[patch] == c).numpy(), numpy.ones((3, 3, 3)))
            if found.any():
                largest = numpy.bincount(found.flat)[1:].argmax() + 1
                kept[patch][torch.from_numpy(found == largest)] = c
    return kept


def region(z, y, kept):
    """CE over the voxels that are kept, and the mean over patches of their plain Dice."""
    ce = (F.cross_entropy(z, y, reduction="none") * kept).sum() / kept.sum()
    patches = [dice(z[p : p + 1], y[p : p + 1], True, False, kept[p : p + 1]) for p in range(z.shape[0])]
    return ce, torch.stack(patches).mean()


def of_bcp(x, pretraining=False):
    """The network's patches are the mixes: the first two of its prediction. One patch is half of the labelled ones."""
    z, y, classes = x["vnet"][:2], x["y"], x["vnet"].shape[1]
    inside = torch.zeros(1, *SHAPE, dtype=torch.bool)
    inside[:, 1:3, 2:4, 0:2] = True
    if pretraining:
        mixed = torch.cat([torch.where(inside, y[1:], y[:1]), torch.where(inside, y[:1], y[1:])])
        parts = [region(z[mix : mix + 1], mixed[mix : mix + 1], torch.ones(1, *SHAPE)) for mix in range(2)]
        ce, d = [sum(values) for values in zip(*parts)]
        return 0.5 * (ce + d) / 2, {"pretraining": 1.0, "vnet_ce": ce / 2, "vnet_dice": d / 2}
    pseudo = components(x["teacher"][:2].argmax(1), classes)
    parts = [
        region(z[:1], y[:1], ~inside),
        region(z[1:], y[1:], inside),
        region(z[:1], pseudo[:1], inside),
        region(z[1:], pseudo[1:], ~inside),
    ]
    ce, d = [a + b for a, b in zip(*parts[:2])]
    pseudo_ce, pseudo_d = [a + b for a, b in zip(*parts[2:])]
    terms = {"pretraining": 0.0, "vnet_ce": ce / 2, "vnet_dice": d / 2}
    terms.update({"vnet_pseudo_ce": pseudo_ce / 2, "vnet_pseudo_dice": pseudo_d / 2})
    return 0.5 * (ce + d) + 0.5 * 0.5 * (pseudo_ce + pseudo_d), terms


def dual_supervised(x, terms):
    """CE + Dice + 0.5 conflict of both networks."""
    z = [x["vnet"][:LABELLED], x["resnet34"][:LABELLED]]
    said = [torch.where(z.softmax(1).amax(1) >= 0.6, z.argmax(1), 0) for z in z]
    mask = (said[0] != said[1]).double()
    totals = []
    for network, own in zip(("vnet", "resnet34"), z):
        y = one_hot(x["y"], own.shape[1])
        conflict = (mask * ((own.softmax(1) - y)[:, 1:] ** 2).sum(1)).sum() / (mask.sum() + 1e-16)
        terms[f"{network}_conflict"] = conflict
        totals.append(supervised(own, x["y"], terms, network) + 0.5 * conflict)
    return totals


def entropy(z):
    p = z.softmax(1)
    return -(p * (p + 1e-10).log()).sum(1)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def contrast(h, z, labels, reliable):
    """All unreliable voxels to the constant prototypes of their own class; prototypes apart up to a distance of 1."""
    h = h.permute(0, 2, 3, 4, 1)
    prototypes, pull = [], 0
    for c in range(z.shape[1]):
        prototypes.append(unit(h[reliable & (labels == c)].mean(0)))
        pull = pull + (unit(h[~reliable & (z.argmax(1) == c)]) - prototypes[c].detach()).norm(dim=-1).mean()
    pairs = [(a, b) for b in range(z.shape[1]) for a in range(b)]
    push = sum((1 - (prototypes[a] - prototypes[b]).norm()).relu() for a, b in pairs) / len(pairs)
    return pull, push


def of_ssl_contrastive(x):
    terms = {"lambda_c": 0.1 * RAMP}
    totals = dual_supervised(x, terms)
    quality = [terms[f"{network}_ce"] + terms[f"{network}_dice"] for network in ("vnet", "resnet34")]
    winner = 0 if quality[0] <= quality[1] else 1
    z = [x["vnet"][LABELLED:], x["resnet34"][LABELLED:]]
    labels = z[winner].argmax(1)
    high = [entropy(z) >= entropy(z).flatten().quantile(0.2) for z in z]
    reliable = ~(high[0] & high[1])
    rescale = reliable.numel() / reliable.sum()
    for i, network in enumerate(("vnet", "resnet34")):
        terms[f"{network}_pseudo_ce"] = rescale * F.cross_entropy(z[i], labels, reduction="none")[reliable].mean()
        totals[i] = totals[i] + terms[f"{network}_pseudo_ce"]
    loser = 1 - winner
    h = x[("h_vnet", "h_resnet34")[loser]][LABELLED:]
    pull, push = contrast(h, z[loser], labels, reliable)
    terms.update({"winner": float(winner), "reliable_share": 1 / rescale, "l_c_pull": pull, "l_c_push": push})
    return sum(totals) + terms["lambda_c"] * (pull + push), terms


def of_cce(x):
    terms = {"lambda_u": 0.1 * RAMP, "lambda_c": 0.1 * RAMP}
    total = sum(dual_supervised(x, terms))
    for network, teacher in (("vnet", "resnet34"), ("resnet34", "vnet")):
        z, taught, h = x[network][LABELLED:], x[teacher][LABELLED:].detach(), x[f"h_{network}"][LABELLED:]
        labels, tau = taught.argmax(1), entropy(taught).flatten().quantile(0.8)
        reliable = entropy(taught) <= tau
        divergence = (taught.softmax(1) * (taught.log_softmax(1) - z.log_softmax(1))).sum(1)
        weighted = ((-divergence).exp() * F.cross_entropy(z, labels, reduction="none"))[reliable].mean()
        kl = divergence[reliable].mean()
        pull, push = contrast(h, z, labels, reliable)
        own = {"tau": tau, "weighted_ce": weighted, "kl": kl, "pull": pull, "push": push}
        terms.update({f"{network}_{name}": value for name, value in own.items()})
        total = total + terms["lambda_u"] * (weighted + kl) + terms["lambda_c"] * (pull + push)
    return total, terms


METHODS = {
    "bcp": of_bcp,
    "bcp-pretraining": lambda x: of_bcp(x, True),
    "cps": of_cps,
    "dual-networks-cce": of_cce,
    "mean-teacher": of_mean_teacher,
    "ssl-contrastive": of_ssl_contrastive,
    "supervised": of_supervised,
    "ua-mt": of_ua_mt,
}


def inputs(classes):
    generator = torch.Generator().manual_seed(classes)
    draw = lambda *shape: torch.randn(PATCHES, *shape, *SHAPE, generator=generator).float()
    x = {name: 2 * draw(classes) for name in ("vnet", "resnet34", "teacher")}
    x.update({name: draw(CHANNELS).relu() + 0.1 for name in ("h_vnet", "h_resnet34")})
    x["y"] = torch.randint(classes, (LABELLED, *SHAPE), generator=generator)
    return x


def main(path):
    tensors = {}
    for classes in (2, 3):
        given = inputs(classes)
        for name, value in given.items():
            tensors[f"inputs/k{classes}/{name}"] = value.to(torch.uint8) if name == "y" else value
        for method, objective in METHODS.items():
            live = ("vnet", "resnet34", "h_vnet", "h_resnet34")
            x = {name: value.double().requires_grad_(name in live) if name != "y" else value for name, value in given.items()}
            total, terms = objective(x)
            total.backward()
            case = f"{method}/k{classes}"
            for name, value in {"total": total, **terms}.items():
                tensors[f"{case}/{name}"] = torch.as_tensor(value).detach().reshape(1)
            for name in live:
                if x[name].grad is not None and x[name].grad.any():
                    tensors[f"{case}/d_{name}"] = x[name].grad.float()
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
