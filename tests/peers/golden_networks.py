#!/usr/bin/env python3
"""Golden numbers of the V-Nets with several heads: what crates/tandem-networks/tests/heads.rs compares with.

usage: golden_networks.py crates/tandem-networks/tests/golden/heads.safetensors      needs torch, numpy and safetensors
In f64, two filters, three classes, two scans of two channels. Weights and scans are a formula (`spread`), so that the file holds
outputs and gradients alone: of outputs every 211th value, of each gradient, in the order of their names, two projections
and its length.
"""
import sys
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.numpy import save_file

FILTERS, CLASSES, CHANNELS, SIDES = 2, 3, 2, (32, 16, 48)
STAGES = [("block_one", 1), ("block_two", 2), ("block_three", 3), ("block_four", 3), ("block_five", 3)]
SCALES = [("block_five_up", "block_six", 3), ("block_six_up", "block_seven", 3),
          ("block_seven_up", "block_eight", 2), ("block_eight_up", "block_nine", 1)]


def spread(count, key):
    """Values in [-1, 1) without a pattern."""
    x = np.sin(np.arange(count, dtype=np.float64) * 12.9898 + key * 78.233) * 43758.5453
    return torch.from_numpy(2 * (x - np.floor(x)) - 1)


class Sequence(nn.Module):
    """What the released code calls a block: layers in `conv`."""

    def __init__(self, *layers):
        super().__init__()
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.conv(x)


def stage(depth, ci, co):
    layers = [[nn.Conv3d(ci if i == 0 else co, co, 3, padding=1), nn.BatchNorm3d(co), nn.ReLU()] for i in range(depth)]
    return Sequence(*[layer for three in layers for layer in three])


def up(mode, ci, co):
    first = {
        "transposed": [nn.ConvTranspose3d(ci, co, 2, stride=2)],
        "trilinear": [nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True), nn.Conv3d(ci, co, 3, padding=1)],
        "nearest": [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv3d(ci, co, 3, padding=1)],
    }[mode]
    return Sequence(*first, nn.BatchNorm3d(co), nn.ReLU())


def add_encoder(to):
    for i, (name, depth) in enumerate(STAGES):
        width = FILTERS << i
        to.add_module(name, stage(depth, CHANNELS if i == 0 else width, width))
        if i < 4:
            to.add_module(name + "_dw", Sequence(nn.Conv3d(width, 2 * width, 2, stride=2), nn.BatchNorm3d(2 * width), nn.ReLU()))
    return to


def add_decoder(to, mode="transposed"):
    for i, (name, after, depth) in enumerate(SCALES):
        width = FILTERS << (3 - i)
        to.add_module(name, up(mode, 2 * width, width))
        to.add_module(after, stage(depth, width, width))
    return to


def encode(net, x):
    scales = []
    for i, (name, _) in enumerate(STAGES):
        x = getattr(net, name)(x)
        scales.append(x)
        if i < 4:
            x = getattr(net, name + "_dw")(x)
    return scales


def decode(net, scales):
    x, found = scales[4], []
    for i, (name, after, _) in enumerate(SCALES):
        x = getattr(net, after)(getattr(net, name)(x) + scales[3 - i])
        found.append(x)
    return found


class Dtc(nn.Module):
    def __init__(self):
        super().__init__()
        add_decoder(add_encoder(self))
        self.out_conv = nn.Conv3d(FILTERS, CLASSES - 1, 1)
        self.out_conv2 = nn.Conv3d(FILTERS, CLASSES, 1)

    def forward(self, x):
        x = decode(self, encode(self, x))[3]
        return {"logits": self.out_conv2(x), "distance": self.out_conv(x)}


class Scale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dsv = nn.Sequential(nn.Conv3d(channels, CLASSES, 1))

    def forward(self, x, sides):
        return F.interpolate(self.dsv(x), size=sides, mode="trilinear", align_corners=False)


class Urpc(nn.Module):
    def __init__(self):
        super().__init__()
        add_decoder(add_encoder(self))
        self.out_conv = nn.Conv3d(FILTERS, CLASSES, 1)
        self.dsv4, self.dsv3, self.dsv2 = Scale(8 * FILTERS), Scale(4 * FILTERS), Scale(2 * FILTERS)

    def forward(self, x):
        eighth, quarter, half, full = decode(self, encode(self, x))
        sides = x.shape[2:]
        return {"logits": self.out_conv(full), "eighth": self.dsv4(eighth, sides), "quarter": self.dsv3(quarter, sides),
                "half": self.dsv2(half, sides)}


class McNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = add_encoder(nn.Module())
        for name, mode in [("decoder1", "transposed"), ("decoder2", "trilinear"), ("decoder3", "nearest")]:
            decoder = add_decoder(nn.Module(), mode)
            decoder.out_conv = nn.Conv3d(FILTERS, CLASSES, 1)
            self.add_module(name, decoder)

    def forward(self, x):
        scales = encode(self.encoder, x)
        heads = [d.out_conv(decode(d, scales)[3]) for d in (self.decoder1, self.decoder2, self.decoder3)]
        return dict(zip(["logits", "trilinear", "nearest"], heads))


def initial(name, value, key):
    values = spread(value.numel(), key).reshape(value.shape)
    if value.dim() == 5:
        return values * 2 / (value.numel() / value.shape[0]) ** 0.5
    # Shifts keep most values away from 0, where rounding opens or closes a ReLU.
    centre = {"weight": 1.0, "running_var": 1.0, "bias": 2.5, "running_mean": 0.0}[name.rsplit(".", 1)[1]]
    return centre + 0.2 * values


def loss(outputs):
    total = 0
    for key, name in enumerate(sorted(outputs)):
        made = outputs[name].flatten()
        total = total + (made**2 * (1.5 + spread(made.numel(), 100 + key))).mean()
    return total


def main(path):
    torch.set_default_dtype(torch.float64)
    scans = spread(2 * CHANNELS * int(np.prod(SIDES)), 1000).reshape(2, CHANNELS, *SIDES)
    file = {}
    for architecture, net in [("vnet-dtc", Dtc()), ("vnet-urpc", Urpc()), ("vnet-mcnet", McNet())]:
        state = {name: v for name, v in net.state_dict().items() if not name.endswith("num_batches_tracked")}
        # Rounded as the weights of the network that is compared.
        values = {name: initial(name, state[name], key).float().double() for key, name in enumerate(sorted(state))}
        net.load_state_dict(values, strict=False)
        for mode in ("eval", "train"):
            net.train(mode == "train")
            net.zero_grad()
            outputs = net(scans.float().double())
            value = loss(outputs)
            value.backward()
            at = f"{architecture}/{mode}"
            file[f"{at}/loss"] = np.array([value.item()])
            for name, made in outputs.items():
                file[f"{at}/{name}"] = made.detach().flatten()[::211].numpy()
            gradients = [p.grad.flatten() for _, p in sorted(net.named_parameters())]
            along = [[(g * spread(g.numel(), 500 + i)).sum() for i in range(2)] + [g.norm()] for g in gradients]
            file[f"{at}/gradients"] = np.array(along)
        statistics = [value for name, value in sorted(net.state_dict().items()) if "running" in name]
        file[f"{architecture}/statistics"] = torch.cat(statistics).numpy()
    save_file({name: np.ascontiguousarray(v, dtype=np.float32) for name, v in file.items()}, path)


if __name__ == "__main__":
    main(sys.argv[1])
