"""What small graphs say of axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.axes import Conclusions, infer_axes
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.graph import Graph
from tests.helpers.models import Array, make_model

Nodes = Sequence[onnx.NodeProto]
Places = tuple[int | None, int | None]
"""Axes of the batch and of the channels."""


def op(kind: str, read: str, made: str, **given: Any) -> onnx.NodeProto:
    """A node with names in one string each, named after its first output."""
    outputs = made.split(" ")
    return helper.make_node(kind, read.split(), outputs, name=outputs[0], **given)


def ones(*shape: int) -> Array:
    """A constant of a shape."""
    return np.ones(shape, np.float32)


def ints(*values: int) -> Array:
    """Sizes, axes or indices."""
    return np.array(values, np.int64)


def graph_of(
    nodes: Nodes,
    inputs: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Array] | None = None,
    *,
    fed: Mapping[str, tuple[int, ...]] | None = None,
    opset: int = 17,
) -> Graph:
    """A graph that gives out all that its nodes make; `fed` are the shapes of a sample."""
    outputs = [name for node in nodes for name in node.output if name]
    model = make_model(nodes, inputs, outputs, constants, opset=opset)
    return Graph(open_model(model), None if fed is None else Facts(fed))


def conclude(
    nodes: Nodes,
    inputs: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Array] | None = None,
    **how: Any,
) -> Conclusions:
    """What such a graph says."""
    return infer_axes(graph_of(nodes, inputs, constants, **how))


def places(found: Conclusions, *names: str) -> list[Places]:
    """Batch and channels of some values."""
    return [(found.axes[name].batch, found.axes[name].channel) for name in names]


def channels(found: Conclusions, *names: str) -> list[int | None]:
    """Channels of some values."""
    return [found.axes[name].channel for name in names]
