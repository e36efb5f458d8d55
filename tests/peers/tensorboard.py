"""Reads the event files of runs with TensorBoard itself and compares them with the runs' logs.

    pip install tensorboard pillow
    python tests/peers/tensorboard.py RUN [RUN ...]

Of every run: the tags, steps and values of all scalars are those of log.jsonl, rounded to single precision, each step once; pictures are PNG
files of the size that the event says; the hyper-parameters are the settings of config.json, and the HParams plugin finds the run with its
metrics. Twice: with TensorBoard's reader in Python, and, where it is installed, through its data server, which is what the `tensorboard`
command uses.
"""

import io
import json
import struct
import sys
import tempfile
from pathlib import Path

# This file has the name of the package that it reads with.
sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]

import numpy as np
from PIL import Image
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
from tensorboard.data import provider, server_ingester
from tensorboard.plugins.hparams import backend_context, list_session_groups, api_pb2

ALL = {"scalars": 0, "images": 0, "tensors": 0}


def single(value):
    return struct.unpack("<f", struct.pack("<f", float(value)))[0]


def expected_scalars(run):
    """{tag: [(step, value)]} of log.jsonl."""
    found = {}

    def add(tag, step, value):
        if isinstance(value, (int, float)) or value in ("NaN", "inf", "-inf"):
            found.setdefault(tag, []).append((step, single(value)))

    for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()):
        if "learning_rate" in line:
            add("learning_rate", line["step"], line["learning_rate"])
            for group in ("losses", "gradient_norms", "terms"):
                for name, value in line[group].items():
                    add(f"{group}/{name}", line["step"], value)
        elif "validation" in line:
            several = any(row["class"] == "mean" for row in line["validation"])
            for row in line["validation"]:
                if row["grid"] == "own" and row.get("component", "all") == "all" and row["unit"] != "voxels":
                    unit = "_" + row["unit"] if row["unit"] else ""
                    tag = f"validation/{row['metric']}{unit}/{row['predictor']}"
                    add(tag + (f"/{row['class']}" if several else ""), line["steps"], row["mean"])
    return found


def same(found, expected):
    """Whether two courses are the same; NaN equals NaN."""
    if [step for step, _ in found] != [step for step, _ in expected]:
        return False
    return np.array_equal([value for _, value in found], [value for _, value in expected], equal_nan=True)


def check_scalars(read, tags, expected):
    assert set(tags) == set(expected), set(tags) ^ set(expected)
    for tag, course in expected.items():
        found = read(tag)
        assert same(found, course), f"{tag}: {found[:3]} ... instead of {course[:3]} ..."
    return sum(map(len, expected.values()))


def check_picture(data, width, height):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.format == "PNG" and picture.size == (width, height), (picture.format, picture.size, width, height)


def flat(settings, name=""):
    for key, value in settings.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            yield from flat(value, path)
        elif value is not None:
            yield path, json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value


def hyper_parameters(data, experiment):
    """The rows of TensorBoard's table of runs: {run: (hyper-parameters, names of metrics that have a value, status)}."""
    plugin = backend_context.Context(type("Context", (), {"data_provider": data})())
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING],
    )
    answer = list_session_groups.Handler(context.RequestContext(), plugin, experiment, request).run()
    rows = {}
    for group in answer.session_groups:
        [session] = group.sessions
        values = {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}
        rows[session.name] = (values, {metric.name.tag for metric in session.metric_values}, session.status)
    return rows


def check_hyper_parameters(run, row, scalars):
    settings = dict(flat(json.loads((run / "config.json").read_text())))
    settings["dataset"] = json.loads((run / "run.json").read_text())["dataset"]
    values, metrics, status = row
    assert values == settings, set(values.items()) ^ set(settings.items())
    assert metrics == set(scalars), metrics ^ set(scalars)
    ended = (run / "summary.json").exists()
    assert status == (api_pb2.STATUS_SUCCESS if ended else api_pb2.STATUS_RUNNING), status
    return len(values)


def by_accumulator(run):
    read = event_accumulator.EventAccumulator(str(run), size_guidance=ALL).Reload()
    tags = read.Tags()
    count = check_scalars(
        lambda tag: [(event.step, event.value) for event in read.Scalars(tag)], tags["scalars"], expected_scalars(run)
    )
    pictures = 0
    for tag in tags["images"]:
        for event in read.Images(tag):
            check_picture(event.encoded_image_string, event.width, event.height)
            pictures += 1
    print(f"{run.name}: {len(tags['scalars'])} tags, {count} values, {pictures} pictures of {len(tags['images'])} scans")


def by_provider(name, data, runs, experiment=""):
    """What the TensorBoard command shows of a folder of runs."""
    ctx = context.RequestContext()
    scalars = data.list_scalars(ctx, experiment_id=experiment, plugin_name="scalars")
    blobs = data.list_blob_sequences(ctx, experiment_id=experiment, plugin_name="images")
    rows = hyper_parameters(data, experiment)
    for run in runs:
        expected = expected_scalars(run)

        def read(tag):
            only = provider.RunTagFilter([run.name], [tag])
            found = data.read_scalars(
                ctx, experiment_id=experiment, plugin_name="scalars", downsample=10**6, run_tag_filter=only
            )
            return [(datum.step, datum.value) for datum in found[run.name][tag]]

        count = check_scalars(read, scalars[run.name], expected)
        pictures = 0
        for tag in blobs.get(run.name, {}):
            only = provider.RunTagFilter([run.name], [tag])
            found = data.read_blob_sequences(
                ctx, experiment_id=experiment, plugin_name="images", downsample=10**6, run_tag_filter=only
            )
            for datum in found[run.name][tag]:
                width, height, png = (data.read_blob(ctx, blob_key=value.blob_key) for value in datum.values)
                check_picture(png, int(width), int(height))
                pictures += 1
        found = check_hyper_parameters(run, rows[run.name], expected)
        print(f"{name}: {run.name}: {count} values, {pictures} pictures, {found} hyper-parameters with {len(expected)} metrics")


def main(runs):
    for run in runs:
        by_accumulator(run)
    with tempfile.TemporaryDirectory() as folder:
        for run in runs:
            (Path(folder) / run.name).symlink_to(run.resolve())
        events = plugin_event_multiplexer.EventMultiplexer(size_guidance=ALL, tensor_size_guidance={
            "scalars": 0, "images": 0, "hparams": 0
        })
        for run in runs:
            events.AddRun(str(Path(folder) / run.name), run.name)
        events.Reload()
        by_provider("python", data_provider.MultiplexerDataProvider(events, folder), runs)
    try:
        server = server_ingester.get_server_binary()
    except server_ingester.NoDataServerError:
        print("data server: not installed, not compared")
        return
    with tempfile.TemporaryDirectory() as folder:
        for run in runs:
            # The server follows no links.
            copy = Path(folder) / run.name
            copy.mkdir()
            (copy / "log.tfevents").write_bytes((run / "log.tfevents").read_bytes())
        ingester = server_ingester.SubprocessServerDataIngester(
            server_binary=server, logdir=folder, reload_interval=-1, channel_creds_type=creds(),
            samples_per_plugin={"scalars": 10**6, "images": 10**6},
        )
        ingester.start()
        by_provider("data server", ingester.data_provider, runs)


def creds():
    from tensorboard.data import grpc_provider  # noqa: F401
    from tensorboard.util import grpc_util

    return grpc_util.ChannelCredsType.LOCAL


if __name__ == "__main__":
    main([Path(run) for run in sys.argv[1:]])
