"""Models with several heads, and heads of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.helper import make_node

from micam_fast.models.onnx import open_model, read_layers
from tests.helpers.models import conv_node, make_model, random_array

CLASSES = 5


def heads_net(
    outputs: Sequence[str] = ("box", "logits", "scores"), *, batch: Any = "batch", name: str = "net"
) -> onnx.ModelProto:
    """Two Gemms on pooled pictures ``(1, 8, 6)``: a box, and logits with their Softmax."""
    nodes = [
        conv_node("conv", "x", "w", "b", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["conv:0"], ["pool:0"], name="pool"),
        helper.make_node("Flatten", ["pool:0"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "box_weights"], ["box"], name="box"),
        helper.make_node("Gemm", ["flat", "weights"], ["logits"], name="dense"),
        helper.make_node("Softmax", ["logits"], ["scores"], name="softmax"),
    ]
    constants = {
        "w": random_array(0, 4, 1, 3, 3),
        "b": random_array(1, 4),
        "box_weights": random_array(2, 4, 4),
        "weights": random_array(3, 4, CLASSES, spread=2.0),
    }
    return make_model(nodes, {"x": [batch, 1, 8, 6]}, outputs, constants, name=name)


IMAGE: dict[str, Sequence[Any]] = {"x": ["N", 3, 8, 8]}
OPEN_IMAGE: dict[str, Sequence[Any]] = {"x": ["N", 3, "H", "W"]}
HELD = {
    "k": random_array(0, 4, 3, 3, 3),
    "w": random_array(1, 4, 5),
    "b": random_array(2, 5),
    "point": random_array(3, 5, 4, 1, 1),
    "flat": np.array([0, -1], np.int64),
    "rows": np.array([-1, 5], np.int64),
    "ones": np.array([0, 5, 1, 1], np.int64),
    "scale": np.float32(0.1),
    "zero": np.uint8(0),
    "integers": np.ones((4, 5), np.uint8),
    "one": np.array([1], np.int64),
    "two": np.array([2], np.int64),
    "four_columns": np.array([-1, 4], np.int64),
    "half": np.array([0.5], np.float32),
}
POOLED = (
    make_node("Conv", ["x", "k"], ["c"], name="conv"),
    make_node("GlobalAveragePool", ["c"], ["g"], name="pool"),
)
FLAT = (*POOLED, make_node("Flatten", ["g"], ["f"], name="flatten"))
GEMM = (*FLAT, make_node("Gemm", ["f", "w", "b"], ["l"], name="dense"))


def soft(
    source: str = "l", name: str = "p", op: str = "Softmax", axis: int | None = None
) -> onnx.NodeProto:
    """A Softmax."""
    return make_node(op, [source], [name], name=f"soft_{name}", axis=axis)


def forms(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    inputs: dict[str, Sequence[Any]] = IMAGE,
    **how: Any,
) -> list[str]:
    """What the outputs of such a model are taken for."""
    return [
        each.form for each in read_layers(open_model(build(nodes, outputs, inputs, **how))).outputs
    ]


def build(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    inputs: dict[str, Sequence[Any]] = IMAGE,
    **how: Any,
) -> onnx.ModelProto:
    """A model of these nodes, with those of `HELD` that they read."""
    read = {name for node in nodes for name in node.input}
    held = {name: array for name, array in HELD.items() if name in read}
    return make_model(nodes, inputs, outputs, held, **how)
