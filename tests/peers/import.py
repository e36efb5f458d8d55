#!/usr/bin/env python3
"""State dicts that PyTorch saves, and what `tandem import` makes of them.

usage: import.py BUILT       compares: BUILT/tandem imports, BUILT/examples/logits runs what it made (cargo build -p tandem-cli;
                             cargo build -p tandem-training --example logits; then BUILT is target/debug)
       import.py --fixtures  writes crates/tandem-weights/tests/golden/*.pth and crates/tandem-training/tests/golden/import/
needs torch (2 or later), numpy and safetensors
"""
import subprocess
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import load_file, save_file

import golden_networks as twins

ROOT = Path(__file__).resolve().parents[2]
# Largest difference of two probabilities.
TOLERANCE = 1e-5


class VNet(nn.Module):
    """The V-Net of the public semi-supervised code bases, in inference."""

    def __init__(self, classes):
        super().__init__()
        twins.add_decoder(twins.add_encoder(self))
        self.out_conv = nn.Conv3d(twins.FILTERS, classes, 1)

    def forward(self, x):
        return self.out_conv(twins.decode(self, twins.encode(self, x))[3])


class Dtc(nn.Module):
    """DTC's network as it was released: one logit for two classes, and a distance."""

    def __init__(self):
        super().__init__()
        twins.add_decoder(twins.add_encoder(self))
        self.out_conv = nn.Conv3d(twins.FILTERS, 1, 1)
        self.out_conv2 = nn.Conv3d(twins.FILTERS, 1, 1)

    def forward(self, x):
        return self.out_conv2(twins.decode(self, twins.encode(self, x))[3])


class First(nn.Module):
    """The logits of a network with several heads."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["logits"]


def trained(net, channels):
    """A network whose running statistics are not those it began with."""
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(2, channels, 16, 16, 16) * 1.5 + 0.3)
    return net.eval()


def size(filters, classes, channels):
    twins.FILTERS, twins.CLASSES, twins.CHANNELS = filters, classes, channels


def probabilities(logits):
    if logits.shape[1] == 1:
        second = torch.sigmoid(logits)
        return torch.cat([1 - second, second], 1)
    return torch.softmax(logits, 1)


def fixtures():
    torch.manual_seed(1)
    folder = ROOT / "crates/tandem-weights/tests/golden"
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
             torch.uint8, torch.bool]
    values = torch.arange(6).reshape(2, 3)
    net = nn.Sequential(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2))
    with torch.no_grad():
        net[0].weight.copy_(torch.arange(16.0).reshape(2, 1, 2, 2, 2) / 8)
    shared = torch.arange(24.0).reshape(2, 3, 4)
    torch.save({
        "state_dict": net.state_dict(),
        "kinds": OrderedDict((str(kind).split(".")[1], values.to(kind)) for kind in kinds),
        "views": [shared[1], shared[:, 1:, ::2], shared.permute(2, 0, 1), torch.zeros(0, 3), torch.tensor(2.5)],
        "epoch": 6000, "rate": 0.01, "note": "é", "best": None, "done": True, "large": -(2**40), "pair": (1, (2, 3)),
    }, folder / "honest.pth")
    size(1, 2, 1)
    net = trained(VNet(2), 1).half()
    folder = ROOT / "crates/tandem-training/tests/golden/import"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), folder / "vnet.pth")
    image = torch.randn(1, 1, 16, 16, 16).half().double()
    with torch.no_grad():
        expected = probabilities(net.double()(image))
    save_file({"image": image.half().contiguous(), "probabilities": expected.float().contiguous()}, folder / "vnet.safetensors")


def compare(built):
    torch.manual_seed(2)
    size(16, 2, 1)
    vnet, dtc = trained(VNet(2), 1), trained(Dtc(), 1)
    mcnet = trained(First(twins.McNet()), 1)
    size(8, 4, 2)
    small = trained(VNet(4), 2)
    parallel = {"module." + name: value for name, value in vnet.state_dict().items()}
    cases = [
        ("plain.pth", vnet.state_dict(), "vnet", vnet, 1, []),
        ("parallel.pth", {"epoch": 3, "state_dict": parallel, "optimizer": {"state": {}, "lr": 0.1}}, "vnet", vnet, 1, []),
        ("two.pt", {"net": vnet.state_dict(), "ema": small.state_dict()}, "vnet", small, 2, ["--prefix", "ema."]),
        ("dtc.pth", dtc.state_dict(), "vnet-dtc", dtc, 1, []),
        ("mcnet.pth", mcnet.net.state_dict(), "vnet", mcnet, 1, []),
        ("mcnet.pth", mcnet.net.state_dict(), "vnet-mcnet", mcnet, 1, []),
        ("four.safetensors", small.state_dict(), "vnet", small, 2, []),
    ]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for number, (name, state, network, net, channels, more) in enumerate(cases):
            save_file(state, folder / name) if name.endswith("safetensors") else torch.save(state, folder / name)
            image = torch.randn(2, channels, 32, 16, 48)
            save_file({"image": image}, folder / "image.safetensors")
            model = folder / f"model{number}"
            subprocess.run([f"{built}/tandem", "import", folder / name, "--network", network, "-o", model, *more], check=True)
            made = folder / "logits.safetensors"
            subprocess.run([f"{built}/examples/logits", model, folder / "image.safetensors", made], check=True)
            ours = torch.softmax(load_file(made)[f"{network}/image"], 1)
            with torch.no_grad():
                theirs = probabilities(net(image))
            apart = (ours - theirs).abs().max().item()
            print(f"{name} as {network}: probabilities differ by {apart:.2e} at most")
            assert apart < TOLERANCE, name
        refused = [
            ("old.pth", lambda path: torch.save(vnet.state_dict(), path, _use_new_zipfile_serialization=False), "before 1.6"),
            ("whole.pth", lambda path: torch.save(vnet, path), "neither a tensor nor a container"),
            ("numpy.pth", lambda path: torch.save({"best": np.float64(0.9), **vnet.state_dict()}, path), "neither a tensor nor"),
            ("script.pt", lambda path: torch.jit.script(nn.ReLU()).save(str(path)), "TorchScript"),
        ]
        for name, save, reason in refused:
            save(folder / name)
            arguments = [f"{built}/tandem", "import", folder / name, "--network", "vnet", "-o", folder / "no"]
            ended = subprocess.run(arguments, capture_output=True, text=True)
            assert ended.returncode == 1 and reason in ended.stderr, ended
            assert not (folder / "no").exists()
            print(f"{name}: {ended.stderr.strip().replace(str(folder), '')}")


if __name__ == "__main__":
    fixtures() if sys.argv[1] == "--fixtures" else compare(sys.argv[1])
