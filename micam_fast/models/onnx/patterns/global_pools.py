"""Global pools by another name: a mean or a maximum over all positions, whatever takes it."""

from __future__ import annotations

import onnx

from micam_fast.core.layers import Axes
from micam_fast.models.onnx.axes import listed_axes
from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.operators import find_operator

_GLOBAL = {
    "AveragePool": "GlobalAveragePool",
    "MaxPool": "GlobalMaxPool",
    "ReduceMax": "GlobalMaxPool",
    "ReduceMean": "GlobalAveragePool",
}


def global_pool(graph: Graph, node: onnx.NodeProto, axes: Axes) -> str | None:
    """The global pool that a node is; ``None`` for any other operator.

    `axes` are those of what it reads. It must be known where channels lie there, and how large a
    picture is that a window walks over.
    """
    operator = find_operator(node)
    found = _GLOBAL.get(operator.name)
    shape = graph.shape(node.input[0]) if found else None
    if shape is None or axes.channel is None:
        return None
    positions = [axis for axis in range(len(shape)) if axis not in (axes.batch, axes.channel)]
    if not positions:
        return None
    if operator.channels == "reduced":
        taken = {axis % len(shape) for axis in listed_axes(graph, node) or ()}
        return found if taken == set(positions) else None
    given = attributes(node)
    if any(given.get("pads", ())) or any(step != 1 for step in given.get("dilations", ())):
        return None
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    # An unknown size equals none.
    window = tuple(given.get("kernel_shape", ()))
    return found if window == tuple(shape[axis] for axis in positions) else None
