"""Models by name, size and seed: ONNX files that are made once and kept in ``.cache/bench-models``.

Keras makes them in a process of its own, so that TensorFlow's threads and memory are not in the
process that is measured. Run by hand: ``python -m benchmarks.models ResNet50 75``.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from micam_fast.core.output_files import atomic_file
from micam_fast.demo import MODEL as DEMO_FILE

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench-models"
SEED = 1
CLASSES = 10
# Raised when what `build_keras` makes changes, so that older files are left aside.
RECIPE = 1

DEMO = "demo"
"""The LeNet inside the package, 28 x 28: what benchmarks run on as tests."""

CHAIN_SIZE, CHAIN_CHANNELS = 32, 8


def model_path(name: str, size: int) -> Path:
    """A model with every layer as an output; made if it is not there.

    Parameters
    ----------
    name
        `DEMO`, ``"lenet5"``, ``"resnet18"``, or a name of keras.applications.
    size
        Height and width of a sample of three channels; the demo's own is 28, of one channel.
    """
    if name == DEMO:
        return DEMO_FILE
    path = _place(name, size)
    if not path.exists():
        command = [sys.executable, "-m", "benchmarks.models", name, str(size)]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(f"cannot make {path.name}:\n{made.stderr}")
    return path


def build_keras(name: str, size: int) -> Any:
    """A Keras model whose weights are all random, the statistics and biases included.

    As Keras initializes them, a BatchNormalization changes nothing and a bias is zero.
    """
    import keras

    from micam_fast.training.networks import build_network

    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    if name in ("lenet5", "resnet18"):
        model = build_network(name, classes=CLASSES, height=size, width=size, channels=3)
    else:
        maker = getattr(keras.applications, name)
        model = maker(weights=None, input_shape=(size, size, 3), classes=CLASSES)
    rng = np.random.default_rng(SEED)
    for variable in model.weights:
        kind = variable.path.rpartition("/")[2]
        if kind in ("moving_mean", "beta", "bias"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif kind in ("moving_variance", "gamma"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def untapped(path: Path) -> Path:
    """The same model with its prediction as its only output, and nothing that leads elsewhere.

    This is what a user would run, and what a forward pass is measured on.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"{path.stem}-untapped.onnx"
    if not target.exists():
        proto = onnx.load(path)
        del proto.graph.output[1:]
        needed = {proto.graph.output[0].name}
        kept = []
        for node in reversed(proto.graph.node):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        del proto.graph.node[:]
        proto.graph.node.extend(reversed(kept))
        with atomic_file(target) as file:
            file.write(proto.SerializeToString())
    return target


def tapped(path: Path, values: Sequence[str]) -> bytes:
    """A model that gives out these values and nothing else."""
    proto = onnx.load(path)
    known = {output.name: output for output in proto.graph.output}
    wanted = [known.get(name, onnx.ValueInfoProto(name=name)) for name in values]
    del proto.graph.output[:]
    proto.graph.output.extend(wanted)
    return proto.SerializeToString()


def make_chain(layers: int) -> onnx.ModelProto:
    """A chain of convolutions 3x3 and Relus, all of one size.

    Parameters
    ----------
    layers
        With the input.
    """
    rng = np.random.default_rng(SEED)
    shape: list[str | int | None] = ["N", CHAIN_CHANNELS, CHAIN_SIZE, CHAIN_SIZE]
    nodes, weights, last = [], [], "image"
    for index in range(1, layers):
        value = f"layer_{index}"
        if index % 2:
            kernel = rng.normal(0, 0.15, (CHAIN_CHANNELS, CHAIN_CHANNELS, 3, 3)).astype(np.float32)
            bias = rng.normal(0, 0.1, CHAIN_CHANNELS).astype(np.float32)
            names = [f"{value}_kernel", f"{value}_bias"]
            weights += [numpy_helper.from_array(kernel, names[0])]
            weights += [numpy_helper.from_array(bias, names[1])]
            nodes.append(
                helper.make_node("Conv", [last, *names], [value], value, pads=[1, 1, 1, 1])
            )
        else:
            nodes.append(helper.make_node("Relu", [last], [value], value))
        last = value
    graph = helper.make_graph(
        nodes,
        f"chain_{layers}",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])


@functools.cache
def input_shape(path: Path) -> tuple[int, ...]:
    """Shape of one sample as the model takes it."""
    proto = onnx.load(path, load_external_data=False)
    return tuple(d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim[1:])


def make_samples(path: Path, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random samples ``(count, ...)``, all different, values from 0 to 1."""
    return np.random.default_rng(SEED).random((count, *input_shape(path)), np.float32)


def _place(name: str, size: int) -> Path:
    return CACHE / f"{name}-{size}-seed{SEED}-{RECIPE}.onnx"


def _make(name: str, size: int) -> None:
    """Make the file of `model_path`, in a process for it alone."""
    import micam_fast

    micam_fast.export(build_keras(name, size), _place(name, size))


if __name__ == "__main__":
    _make(sys.argv[1], int(sys.argv[2]))
