"""Graphs that hold an operation as exporters write it, and whether a row of the table finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from micam_fast.core.layers import Axes
from micam_fast.models.onnx import ModelGraph, open_model, read_layers
from micam_fast.models.onnx.axes import infer_axes
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.patterns.table import Pattern, find_operations
from tests.helpers.models import Array, conv_node, make_model, random_array

SAMPLE = random_array(2, 3, 8, 10)
"""Of every such graph."""


def written(text: str) -> list[onnx.NodeProto]:
    """Operators from lines such as ``s = Sigmoid x``; `y` is the last one's output.

    ``axes:1,2`` is a list of whole numbers, ``keepdims:0`` one of them, ``alpha:0.2`` a real one.
    """
    nodes = []
    for place, line in enumerate(filter(None, map(str.strip, text.split(";")))):
        made, _, call = line.partition(" = ")
        name, *inputs = call.split()
        given = dict(each.split(":") for each in inputs if ":" in each)
        read = [each for each in inputs if ":" not in each]
        found = {key: _number(key, number) for key, number in given.items()}
        nodes.append(helper.make_node(name, read, [made], name=f"/act/{name}_{place}", **found))
    return nodes


_LISTS = ("axes", "dilations", "kernel_shape", "pads", "perm", "strides")
_REAL = ("alpha", "beta", "epsilon")


def _number(key: str, text: str) -> Any:
    if key in _LISTS:
        return [int(number) for number in text.split(",")]
    return float(text) if key in _REAL else int(text)


def operation_net(
    text: str,
    constants: Mapping[str, Any],
    *outputs: str,
    more: Sequence[onnx.NodeProto] = (),
    opset: int = 13,
) -> onnx.ModelProto:
    """A convolution `x` of four channels, and what is done with its activation."""
    before = conv_node("conv", "image", "kernel", "bias", pads=[1, 1, 1, 1])
    before.output[0] = "x"
    model = [before, *written(text), *more]
    read = {name for each in model for name in each.input}
    weights = {"kernel": random_array(1, 4, 3, 3, 3), "bias": random_array(4, 4, spread=0.1)}
    held = {name: array for name, array in (weights | dict(constants)).items() if name in read}
    return make_model(model, {"image": ["N", 3, 8, 10]}, outputs or ("y",), held, opset=opset)


def read(model: onnx.ModelProto) -> ModelGraph:
    """The layers of a model."""
    return read_layers(open_model(model))


def classes(model: onnx.ModelProto) -> list[str]:
    """Classes of the layers behind the convolution."""
    return [layer.class_label for layer in read(model).layers][2:]


def finds(row: Pattern, model: OnnxFile) -> bool:
    """Whether a row alone finds its operation in a model."""
    graph = Graph(model)
    axes = infer_axes(graph).axes
    live = frozenset(graph.nodes_before(graph.outputs))
    return bool(find_operations(graph, live, lambda name: axes.get(name, Axes(0, None)), [row]))


def in_order_of(found: Array, other: Array) -> Array:
    """A value with its channels last, in the order of one that has them second."""
    return found if found.shape == other.shape else np.moveaxis(found, -1, 1)
