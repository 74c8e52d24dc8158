"""Layers whose channels are sums of another layer's channels, position by position."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from micam_fast.models.onnx.model_graph import ModelGraph
from micam_fast.models.onnx.operators import find_operator


def find_linear(
    graph: ModelGraph, names: Collection[str]
) -> dict[str, tuple[str, NDArray[np.float64]]]:
    """Those of the named layers that follow linearly from another one, but for a summand.

    These are batch normalization and constant factors, convolutions whose kernel is a single point
    and walks in steps of one, and layers that hand on what they read.

    Returns
    -------
    dict
        By layer: the name of an earlier one, and the factors ``(C,)`` of its channels, or the
        matrix ``(C, J)`` that makes channels of its channels.
    """
    owners: dict[str, str] = {}
    found: dict[str, tuple[str, NDArray[np.float64]]] = {}
    for layer in graph.layers:
        name, value = layer.name, graph.taps[layer.name].value
        if name not in names:
            continue
        pointwise = graph.pointwise.get(name)
        if value in owners:
            found[name] = owners[value], np.ones(1)
        elif pointwise is not None and pointwise.source in owners:
            if math.isinf(pointwise.low) and math.isinf(pointwise.high):
                found[name] = owners[pointwise.source], pointwise.scale.astype(np.float64)
        elif (mixed := _point_convolution(graph, name)) is not None and mixed[0] in owners:
            found[name] = owners[mixed[0]], mixed[1]
        owners.setdefault(value, name)
    return found


def _point_convolution(graph: ModelGraph, name: str) -> tuple[str, NDArray[np.float64]] | None:
    """The value that a convolution reads point by point, and its kernel ``(C, J)``."""
    tap, whole = graph.taps[name], graph.graph
    geometry = tap.geometry
    if geometry is None or geometry.transpose or geometry.groups != 1 or tap.source is None:
        return None
    if {*geometry.strides, 1} != {1} or (geometry.auto_pad == "NOTSET" and any(geometry.pads)):
        return None
    if graph.reading.kernels[name].pointwise is not None:
        return None
    node = whole.nodes[whole.producer[tap.value]]
    if find_operator(node).name == "Add":
        # Its bias; anything else between the convolution and the activation is not linear.
        read = whole.activations(node)
        if len(read) != 1 or read[0] not in whole.producer:
            return None
        node = whole.nodes[whole.producer[read[0]]]
    if find_operator(node).name != "Conv" or node.input[0] != tap.source:
        return None
    kernel, _ = graph.weights(name)
    if math.prod(kernel.shape[2:]) != 1:
        return None
    return tap.source, kernel.reshape(kernel.shape[:2]).astype(np.float64)
