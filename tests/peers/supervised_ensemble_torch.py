#!/usr/bin/env python3
"""The control `supervised-ensemble` of profile quick in PyTorch, on the same prepared scans: what our scores stand beside.

usage: supervised_ensemble_torch.py PREPARED SEED [ITERATIONS [LABELLED]]      needs torch and numpy
PREPARED is a prepared set on the 1.25 mm grid, as an experiment makes it beside the scans' own: data/prepared/la@1.25...
Trains V-Net and ResNet-34 on the first LABELLED (8) scans of its training list, prints the Dice of the last 16.
"""
import json, math, struct, sys
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
from networks_torch import ResNet34, VNet, drawn

PATCH, STRIDE, FILTERS = (64, 64, 32), (16, 16, 8), 8


def nifti(path):
    data = path.read_bytes()
    shape = struct.unpack_from("<8h", data, 40)[1:4]
    dtype = {2: "<u1", 16: "<f4"}[struct.unpack_from("<h", data, 70)[0]]
    offset = int(struct.unpack_from("<f", data, 108)[0])
    return np.ascontiguousarray(np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape, order="F"))


def crop(draw, image, label):
    if any(s <= p for s, p in zip(image.shape, PATCH)):
        pads = [(max((p - s) // 2 + 3, 0),) * 2 for s, p in zip(image.shape, PATCH)]
        image, label = np.pad(image, pads), np.pad(label, pads)
    cut = tuple(slice(a, a + p) for a, p in ((draw.integers(0, s - p), p) for s, p in zip(image.shape, PATCH)))
    return image[cut], label[cut]


def loss_of(logits, y):
    p = F.softmax(logits, 1)[:, 1]
    dice = 1 - (2 * (p * y).sum() + 1e-5) / ((p * p).sum() + y.sum() + 1e-5)
    return F.cross_entropy(logits, y) + dice


def predict(nets, image):
    pads = [max(p - s, 0) for s, p in zip(image.shape, PATCH)]
    image = np.pad(image, [(p // 2, p - p // 2) for p in pads])
    total = np.zeros(image.shape, np.float32)
    starts = [[min(st * i, s - p) for i in range(math.ceil((s - p) / st) + 1)] for s, p, st in zip(image.shape, PATCH, STRIDE)]
    count = np.zeros(image.shape, np.float32)
    for a in starts[0]:
        for b in starts[1]:
            for c in starts[2]:
                cut = (slice(a, a + PATCH[0]), slice(b, b + PATCH[1]), slice(c, c + PATCH[2]))
                x = torch.from_numpy(image[cut].copy())[None, None]
                total[cut] += sum(F.softmax(n(x)[0], 1)[0, 1].numpy() for n in nets) / len(nets)
                count[cut] += 1
    return total / count > 0.5


def main():
    prepared, seed = Path(sys.argv[1]), int(sys.argv[2])
    iterations, labelled = (int(a) for a in (sys.argv[3:5] + ["1000", "8"][len(sys.argv) - 3 :])[:2])
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    draw = np.random.default_rng(seed)
    ids = [case["id"] for case in json.loads((prepared / "manifest.json").read_text())["cases"] if case["split"] == "train"]
    load = lambda i: (nifti(prepared / f"images/{i}.nii"), nifti(prepared / f"labels/{i}.nii"))
    cases = [load(i) for i in ids[:labelled]]
    nets = [drawn(VNet(FILTERS)), drawn(ResNet34(FILTERS))]
    for net in nets:
        net.to(memory_format=torch.channels_last_3d).train()
    optimisers = [torch.optim.SGD(n.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4) for n in nets]
    order = []
    for step in range(iterations):
        if len(order) < 2:
            order = list(draw.permutation(len(cases)))
        patches = [crop(draw, *cases[order.pop()]) for _ in range(2)]
        x = torch.from_numpy(np.stack([p[0] for p in patches]))[:, None].to(memory_format=torch.channels_last_3d)
        y = torch.from_numpy(np.stack([p[1] for p in patches])).long()
        for net, optimiser in zip(nets, optimisers):
            for group in optimiser.param_groups:
                group["lr"] = 0.01 * 0.1 ** sum(step >= round(share * iterations) for share in (2500 / 6000, 5000 / 6000))
            loss = loss_of(net(x)[0], y)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.4f}", file=sys.stderr, flush=True)
    scores = {name: [] for name in ("vnet", "resnet34", "ensemble")}
    with torch.inference_mode():
        for net in nets:
            net.eval()
        for case in ids[-16:]:
            image, label = load(case)
            for name, members in (("vnet", nets[:1]), ("resnet34", nets[1:]), ("ensemble", nets)):
                mask = predict(members, image)
                scores[name].append(2 * (mask & (label > 0)).sum() / max(mask.sum() + (label > 0).sum(), 1))
            print(case, " ".join(f"{name} {values[-1]:.4f}" for name, values in scores.items()), flush=True)
    for name, values in scores.items():
        print(f"seed {seed} {name}: Dice {100 * np.mean(values):.2f} +- {100 * np.std(values, ddof=1):.2f}")


main()
