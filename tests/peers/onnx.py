#!/usr/bin/env python3
"""The ONNX files of a model folder in onnxruntime, beside the networks themselves.

usage: onnx.py BUILT RUN...  for each run or model folder: BUILT/tandem exports it with --onnx, BUILT/examples/logits runs it
                             (cargo build -p tandem-cli; cargo build -p tandem-training --example logits; BUILT is target/debug)
       onnx.py BUILT         the same for a model of every architecture, with random weights
needs torch, onnx, onnxruntime, numpy and safetensors
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path = sys.path[1:]  # This file has the name of the package that it needs.
import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

# Largest difference of two logits, relative to the largest logit.
TOLERANCE = 1e-4
BATCHES = (1, 3)


def check(built, run, folder):
    model = folder / "model"
    subprocess.run([f"{built}/tandem", "export", run, "--onnx", "-o", model], check=True, stdout=subprocess.DEVNULL)
    record = json.loads((model / "model.json").read_text())
    # An ONNX file computes in f32, whatever the run did.
    (model / "model.json").write_text(json.dumps({**record, "precision": "f32"}))
    channels = record["channels"] if isinstance(record["channels"], int) else len(record["channels"])
    random = np.random.default_rng(7)
    images = {f"of{n}": random.standard_normal((n, channels, 32, 16, 48)).astype(np.float32) for n in BATCHES}
    save_file(images, folder / "images.safetensors")
    made = folder / "logits.safetensors"
    subprocess.run([f"{built}/examples/logits", model, folder / "images.safetensors", made], check=True)
    ours = load_file(made)
    for network in record["networks"]:
        path = model / network["onnx"]["file"]
        loaded = onnx.load(path)
        onnx.checker.check_model(loaded, full_check=True)
        opset = loaded.opset_import[0].version
        assert opset == network["onnx"]["opset"]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        for key, image in images.items():
            for name, theirs in zip(names, session.run(names, {"image": image})):
                own = ours[f"{network['name']}/{key}" + ("" if name == "logits" else f"/{name}")]
                apart = np.abs(own - theirs).max() / np.abs(own).max()
                print(f"{network['name']} ({network['architecture']}), opset {opset}, batch {len(image)}, {name}: {apart:.2e}")
                assert own.shape == theirs.shape and apart < TOLERANCE


def random_model(built, architecture, folder):
    """A model of random weights with random statistics, by way of a state dict."""
    import torch

    names = subprocess.run([f"{built}/examples/logits", "--shapes", architecture], check=True, capture_output=True, text=True)
    torch.manual_seed(3)
    state = {}
    for name, shape in json.loads(names.stdout).items():
        values = torch.randn(shape)
        if len(shape) == 5:
            values *= (2 / max(1, values[0].numel())) ** 0.5
        elif name.endswith("running_var"):
            values = 0.5 + torch.rand(shape)
        elif name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values *= 0.2
        state[name] = values
    torch.save(state, folder / f"{architecture}.pth")
    model = folder / architecture
    arguments = [f"{built}/tandem", "import", folder / f"{architecture}.pth", "--network", architecture, "-o", model]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return model


def main(built, *runs):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        models = runs or [
            random_model(built, name, folder) for name in ("vnet", "resnet34", "vnet-dtc", "vnet-mcnet", "vnet-urpc")
        ]
        for number, run in enumerate(models):
            inside = folder / str(number)
            inside.mkdir()
            check(built, run, inside)


if __name__ == "__main__":
    main(*sys.argv[1:])
