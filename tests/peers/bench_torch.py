#!/usr/bin/env python3
"""One case of `cargo xtask bench` in PyTorch, on the CPU or a GPU: what our times stand beside.

usage: bench_torch.py CASE SETTING                             needs torch and numpy; with "compile" a C++ compiler too
CASE is a line that `tandem-bench` prints. SETTING is a JSON object: "layout" (first or last: where the channels lie in
memory), "compile" (torch.compile, for networks), "batch" (windows at once) and "windows" (how many, where not all) of the
inference, "in_turn" (a burst of runs for each line of the standard input, up to the line "end" of each result). Prints a JSON
object for each result. Half precision is autocast, its layers alone are bf16 throughout; f32 on a GPU multiplies in TF32.
The case "limits" is what a GPU can do at most.
"""
import json, math, os, resource, sys, time

CASE = json.loads(sys.argv[1])
SETTING = json.loads(sys.argv[2])
THREADS = CASE["threads"] or len(os.sched_getaffinity(0))
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from networks_torch import ResNet34, VNet, drawn

torch.set_num_threads(THREADS)
BF16 = CASE["precision"] == "bf16"
DEVICE = CASE["device"]
CUDA = DEVICE == "cuda"
if CUDA:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
LAYOUT = torch.channels_last_3d if SETTING["layout"] == "last" else torch.contiguous_format


def network(name):
    net = drawn({"vnet": VNet, "resnet34": ResNet34}[name](CASE["filters"]))
    net.to(DEVICE, memory_format=LAYOUT)
    return torch.compile(net) if SETTING.get("compile") else net


def autocast():
    return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=BF16)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)


# The losses, for two classes, as functions of the difference of the two logits: no pass over a strided axis of classes.


def difference(logits):
    return logits[:, 1].float() - logits[:, 0].float()


def supervised(d, p, y):
    """Cross-entropy and Dice loss of labels y, f32."""
    dice = 1 - (2 * (p * y).sum() + 1e-5) / ((p * p).sum() + y.sum() + 1e-5)
    return F.softplus((1 - 2 * y) * d).mean(), dice


def percentile(x, percent):
    if CUDA:
        return x.flatten().kthvalue(max(1, round(percent / 100 * x.numel()))).values
    return float(np.percentile(x.numpy(), percent))


def contrast(features, kept, foreground, student, dropped):
    """Distances of a hundredth of the unreliable voxels to the mean features of the reliable ones, and between these means."""
    rows = features.permute(0, 2, 3, 4, 1).reshape(-1, features.shape[1])
    masks = torch.stack([(kept & foreground).flatten(), (kept & ~foreground).flatten()])
    counts = masks.sum(1, keepdim=True)
    total = rows.new_zeros((), dtype=torch.float32)
    if not counts.all():
        return total
    means = F.normalize((masks.to(rows.dtype) @ rows).float() / counts, dim=1)
    total = total + (means[0] - means[1]).norm()
    for mean, mask in ((means[0], dropped & student), (means[1], dropped & ~student)):
        candidates = mask.flatten().nonzero()[:, 0]
        if candidates.numel() >= 100:
            drawn = candidates[torch.randint(candidates.numel(), (candidates.numel() // 100,), device=candidates.device)]
            total = total + (F.normalize(rows.index_select(0, drawn).float(), dim=1) - mean).norm(dim=1).mean()
    return total


def dual_losses(v_out, v_features, r_out, r_features, y, ramp=0.1, threshold=0.6, percent=20):
    """The method `dual-networks`: the network with the lower Dice loss on the labelled half teaches the other one."""
    n = len(y)
    dv, dr = difference(v_out), difference(r_out)
    pv, pr = torch.sigmoid(dv), torch.sigmoid(dr)
    (v_ce, v_dice), (r_ce, r_dice) = supervised(dv[:n], pv[:n], y), supervised(dr[:n], pr[:n], y)
    qv, qr = 1 - pv, 1 - pr
    consistency = 1 - ((pv * pr + qv * qr) * torch.rsqrt((pv * pv + qv * qv) * (pr * pr + qr * qr))).mean()
    with torch.no_grad():
        conflict = ((pv[:n] >= threshold) ^ (pr[:n] >= threshold)).float()
        conflicts = conflict.sum() + 1e-16
    v_conflict, r_conflict = ((conflict * (p[:n] - y) ** 2).sum() / conflicts for p in (pv, pr))
    v_teaches = v_dice.item() < r_dice.item()
    ds, dt, pt, features = (dr, dv, pv, r_features) if v_teaches else (dv, dr, pr, v_features)
    teacher, pt = dt.detach(), pt.detach()
    kl = F.softplus(ds) - F.softplus(teacher) + pt * (teacher - ds)
    rectified = (torch.exp(-kl) * F.softplus(torch.where(teacher > 0, -ds, ds))).mean() + kl.mean()
    with torch.no_grad():
        us, ut = ds[n:].detach(), teacher[n:]
        # The entropy of two classes falls with the size of the difference.
        dropped = torch.ones_like(us, dtype=torch.bool)
        for d in (us, ut):
            certain = d.abs().neg()
            dropped &= certain >= percentile(certain, percent)
        kept, student = ~dropped, us > 0
        foreground = student | (ut > 0)
        count = kept.sum().clamp(min=1).float()
        weight = kept.float() * (foreground.numel() / count / count)
        sign = torch.where(foreground, -1.0, 1.0)
    of_student, of_teacher = ((weight * F.softplus(sign * d[n:])).sum() for d in (ds, dt))
    pull = contrast(features[n:], kept, foreground, student, dropped)
    student_loss = of_student + ramp * pull + rectified + consistency
    v_loss, r_loss = v_ce + v_dice + 0.5 * v_conflict, r_ce + r_dice + 0.5 * r_conflict
    return (v_loss + of_teacher, r_loss + student_loss) if v_teaches else (v_loss + student_loss, r_loss + of_teacher)


# Measuring, by the rules of the crate tandem-bench.


def peak_mib():
    if CUDA:
        return torch.cuda.max_memory_allocated() // 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def seconds_of(run):
    start = time.perf_counter()
    run()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


# Runs of a burst that count, and seconds that those before them take.
BURST, AWAKE = 2, 0.05


def in_turn(run):
    """Each line asks for a burst of runs, of which the first do not count (why: crates/tandem-bench/src/measure.rs)."""
    seconds = []
    for line in iter(sys.stdin.readline, ""):
        if line.strip() == "end":
            break
        start = time.perf_counter()
        run()
        while time.perf_counter() - start < AWAKE:
            run()
        seconds += [seconds_of(run) for _ in range(BURST)]
        print("done", flush=True)
    return sorted(seconds)


def repeated(run, enough=5.0):
    if SETTING.get("in_turn"):
        return in_turn(run)
    if SETTING.get("compile"):
        run()
    first = seconds_of(run)
    if first < 8:
        run()
    fewest = 3 if first < 8 else 2
    seconds = []
    while len(seconds) < 20 and (len(seconds) < fewest or sum(seconds) < enough):
        seconds.append(seconds_of(run))
    return sorted(seconds)


def report(name, seconds):
    print(json.dumps(dict(case=name, seconds=seconds[len(seconds) // 2], fastest=seconds[0], runs=len(seconds), mib=peak_mib(), torch=torch.__version__)), flush=True)


# The cases.


def batch():
    d, h, w = CASE["sides"]
    y = torch.zeros(CASE["batch"], d, h, w)
    y[..., : w // 2] = 1
    x = (torch.randn(y.shape) + 0.8 * y)[:, None]
    return x.to(DEVICE, memory_format=LAYOUT), y.to(DEVICE)


def forward():
    net, (x, _) = network(CASE["network"]).eval(), batch()
    without_gradient = torch.no_grad if SETTING.get("compile") else torch.inference_mode

    def run():
        with without_gradient(), autocast():
            net(x)

    report(CASE["case"], repeated(run))


def step():
    net, (x, y) = network(CASE["network"]).train(), batch()
    optimiser = sgd(net)

    def run():
        optimiser.zero_grad(set_to_none=True)
        with autocast():
            logits, _ = net(x)
        d = difference(logits)
        ce, dice = supervised(d, torch.sigmoid(d), y)
        (ce + dice).backward()
        optimiser.step()

    report(CASE["case"], repeated(run))


def dual():
    v, r = network("vnet").train(), network("resnet34").train()
    optimisers, (x, y) = (sgd(v), sgd(r)), batch()
    y = y[: CASE["batch"] // 2]

    def run():
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        with autocast():
            v_out, r_out = v(x), r(x)
        v_loss, r_loss = dual_losses(*v_out, *r_out, y)
        (v_loss + r_loss).backward()
        for optimiser in optimisers:
            optimiser.step()

    report(CASE["case"], repeated(run))


def inference():
    nets = [network(name).eval() for name in ("vnet", "resnet34")]
    scan, patch, strides, at_once = (CASE[key] for key in ("scan", "patch", "stride", "batch"))
    at_once = SETTING.get("batch", at_once)
    image = torch.randn(scan).to(DEVICE)
    starts = [[min(i * st, s - p) for i in range(math.ceil((s - p) / st) + 1)] for s, p, st in zip(scan, patch, strides)]
    cuts = [tuple(slice(a, a + p) for a, p in zip((i, j, k), patch)) for i in starts[0] for j in starts[1] for k in starts[2]]
    cuts = cuts[: SETTING.get("windows") or len(cuts)]
    without_gradient = torch.no_grad if SETTING.get("compile") else torch.inference_mode

    def run(cuts=cuts):
        with without_gradient():
            sums, count = [image.new_zeros(2, *scan) for _ in nets], torch.zeros_like(image)
            for first in range(0, len(cuts), at_once):
                some = cuts[first : first + at_once]
                x = torch.stack([image[cut] for cut in some])[:, None].to(memory_format=LAYOUT)
                for net, total in zip(nets, sums):
                    with autocast():
                        logits, _ = net(x)
                    for cut, p in zip(some, F.softmax(logits.float(), 1)):
                        total[(slice(None), *cut)] += p
                for cut in some:
                    count[cut] += 1
            mean = sum(total / count for total in sums) / len(sums)
            mean.argmax(0)

    run(cuts[:at_once])
    report(CASE["case"], [seconds_of(run)])


def layer():
    ci, co, k, s, p = (CASE[key] for key in ("from", "to", "kernel", "stride", "padding"))
    kind = nn.ConvTranspose3d if CASE["transposed"] else nn.Conv3d
    dtype = torch.bfloat16 if BF16 else torch.float32
    conv = kind(ci, co, k, stride=s, padding=p, bias=False).to(dtype).to(memory_format=LAYOUT)
    x = torch.randn(CASE["batch"], ci, *CASE["sides"]).to(dtype).contiguous(memory_format=LAYOUT)
    with torch.no_grad():
        gradient = torch.randn_like(conv(x))
    tracked = x.clone(memory_format=torch.preserve_format).requires_grad_(CASE["input_gradient"])

    def run_forward():
        with torch.inference_mode():
            conv(x)

    def run_both():
        conv.zero_grad()
        tracked.grad = None
        conv(tracked).backward(gradient)

    report(CASE["case"] + "-forward", repeated(run_forward, 1.0))
    report(CASE["case"] + "-both", repeated(run_both, 1.0))


def limits():
    """Bytes read and written a second by a copy, and operations a second of a large product; the best of several."""

    def best(run):
        run()
        return min(seconds_of(run) for _ in range(9))

    block = torch.ones(1 << 28, device=DEVICE)
    found = dict(copy_gb_s=2 * block.nbytes / best(block.clone) / 1e9, torch=torch.__version__)
    side = 8192
    for name, dtype in (("fma_gflops", torch.float32), ("tile_gflops", torch.bfloat16)):
        a = torch.randn(side, side, device=DEVICE, dtype=dtype)
        found[name] = 2 * side**3 / best(lambda: a @ a) / 1e9
    print(json.dumps(found), flush=True)


torch.manual_seed(0)
{"forward": forward, "step": step, "dual": dual, "inference": inference, "layer": layer, "limits": limits}[CASE["kind"]]()
