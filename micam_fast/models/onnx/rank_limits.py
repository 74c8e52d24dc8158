"""How many directions a layer's channels can have, by what its kernel makes them of."""

from __future__ import annotations

import math

from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.model_graph import ModelGraph
from micam_fast.models.onnx.operator_row import ONNX_DOMAINS
from micam_fast.models.onnx.operators import find_operator


def find_rank_limits(graph: ModelGraph) -> dict[str, tuple[int, int]]:
    """Channels and largest rank of each layer that is a sum of what it reads.

    These are convolutions and dense layers with a constant kernel and no activation function: a
    channel is a sum over J inputs and k taps of the kernel, and a constant, which the covariance
    leaves out. So J * k inputs make at most J * k directions, in each group of channels.
    """
    found = {}
    for layer in graph.layers:
        limit = _limit(graph.graph, graph.taps[layer.name].value)
        if limit is not None:
            found[layer.name] = limit
    return found


def find_classifier(graph: ModelGraph) -> str | None:
    """The layer that the prediction is read from, if the model makes one."""
    if graph.answer is None:
        return None
    owners = {tap.value: name for name, tap in graph.taps.items()}
    value = graph.answer.value
    while value not in owners:
        if value not in graph.graph.producer:
            return None
        read = graph.graph.activations(graph.graph.nodes[graph.graph.producer[value]])
        if len(read) != 1:
            return None
        (value,) = read
    return owners[value]


def _limit(graph: Graph, value: str) -> tuple[int, int] | None:
    node = graph.nodes[graph.producer[value]] if value in graph.producer else None
    summand: tuple[int, ...] = ()
    if node is not None and find_operator(node).name == "Add":
        # The layer's bias: an Add of two activations is no product with a constant kernel.
        read = graph.activations(node)
        made = graph.producer.get(read[0]) if len(read) == 1 else None
        constants = [graph.constant_shape(name) for name in node.input if graph.is_constant(name)]
        node = None if made is None else graph.nodes[made]
        summand = constants[0] if constants else ()
    if node is None or node.domain not in ONNX_DOMAINS or len(node.input) < 2:
        return None
    kernel = node.input[1]
    if not graph.is_constant(kernel) or graph.activations(node) != [node.input[0]]:
        # A bias that is computed adds directions of its own.
        return None
    sizes, given = graph.constant_shape(kernel), attributes(node)
    behind = 0
    match find_operator(node).name:
        case "Conv":
            groups, behind = int(given.get("group", 1)), len(sizes) - 2
            limit = sizes[0], groups * min(sizes[0] // groups, math.prod(sizes[1:]))
        case "ConvTranspose":
            groups, behind = int(given.get("group", 1)), len(sizes) - 2
            read_by_group = sizes[0] // groups * math.prod(sizes[2:])
            limit = groups * sizes[1], groups * min(sizes[1], read_by_group)
        case "Gemm" if not given.get("transA", 0):
            limit = sizes[0 if given.get("transB", 0) else 1], min(sizes)
        case "MatMul" if len(sizes) == 2:
            limit = sizes[1], min(sizes)
        case _:
            return None
    # One that differs from place to place is no bias, but a direction more.
    channel = summand[: max(0, len(summand) - behind)]
    is_bias = math.prod(summand) == (channel[-1] if channel else 1)
    return limit if is_bias else None
