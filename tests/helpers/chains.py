"""Models of layers that follow from another one's activation, and what their maps must be.

The activations come from ONNX Runtime on the plain model, whatever micam-fast asks it for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper

import micam_fast
from tests.helpers import reference
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.plain_runtime import run

CHANNELS = 5
KERNEL = random_array(0, CHANNELS, 3, 3, 3)
SHAPE = (3, 6, 7)
SAMPLE = random_array(2, *SHAPE, spread=2)
NORM = {
    "scale": random_array(3, CHANNELS),
    "shift": random_array(4, CHANNELS),
    "mean": random_array(5, CHANNELS),
    "variance": np.abs(random_array(6, CHANNELS)) + np.float32(0.2),
}


def op(op_type: str, inputs: str, name: str, **given: Any) -> onnx.NodeProto:
    """A node that is named as its output; its inputs are words, ``-`` for one left out."""
    read = ["" if word == "-" else word for word in inputs.split()]
    return helper.make_node(op_type, read, [name], name=name, **given)


_OF_ANOTHER_KIND = ("Conv", "MatMul", "ReduceMax", "GlobalAveragePool")
CONV = op("Conv", "x w", "conv", pads=[1, 1, 1, 1])
READ = op("Sigmoid", "conv", "read")
BATCH_NORM = op("BatchNormalization", "conv scale shift mean variance", "norm")


def build(
    *nodes: onnx.NodeProto,
    shape: Sequence[Any] = SHAPE,
    opset: int = 13,
    dtype: int = TensorProto.FLOAT,
    **constants: Any,
) -> onnx.ModelProto:
    """A model whose input is ``x`` and whose output is what the last node makes."""
    used = {name for node in nodes for name in node.input}
    held = {"w": KERNEL, **NORM, **constants}
    return make_model(
        nodes,
        {"x": ["N", *shape]},
        [nodes[-1].output[0]],
        {name: value for name, value in held.items() if name in used},
        opset=opset,
        dtype=dtype,
    )


def load(model: onnx.ModelProto, followers: str, **how: Any) -> micam_fast.Model:
    """The model, in which just these layers follow, and ONNX Runtime need not give them out."""
    loaded = micam_fast.load_model(model, **how)
    assert set(loaded.graph.pointwise) == set(followers.split())
    wanted = loaded.pipeline("published").sessions._wanted
    last = model.graph.output[0].name
    assert not {*followers.split()} & {*wanted} - {last}
    return loaded


def check(
    model: onnx.ModelProto,
    found: micam_fast.Explanation,
    sample: Array,
    *,
    channel: int = 1,
    tolerance: float = 1e-5,
) -> None:
    """All layers without a kernel are the means of their activations, or tell their bad values."""
    names = [
        node.output[0]
        for node in model.graph.node
        if node.output[0] in found.maps and node.op_type not in _OF_ANOTHER_KIND
    ]
    assert names
    feeds = {"x": sample[np.newaxis]}
    for name, array in zip(names, run(model, feeds, *names), strict=True):
        activation = np.moveaxis(array, channel, -1)[0]
        bad = int(np.count_nonzero(~np.isfinite(activation)))
        assert found.maps[name].bad_values == (bad or None), name
        if not bad:
            expected = reference.mean_map(activation)
            # What cancels out between the channels is rounded, too.
            largest = reference.mean_map(np.abs(activation)).max()
            assert found.cams[name].shape == expected.shape
            np.testing.assert_allclose(
                found.cams[name], expected, rtol=0, atol=tolerance * largest + 1e-30, err_msg=name
            )


def check_one(
    model: onnx.ModelProto, followers: str, sample: Array = SAMPLE, **how: Any
) -> micam_fast.Explanation:
    channel = how.pop("channel", 1)
    found = load(model, followers, **how).explain(sample)
    check(model, found, sample, channel=channel)
    return found


def per_channel(*shape: int) -> Array:
    return random_array(8, *shape) + np.float32(0.1)


def floats(values: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
