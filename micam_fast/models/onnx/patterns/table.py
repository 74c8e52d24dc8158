"""The table of patterns: operations that exporters write as several operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import onnx

from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.patterns import activations, normalizations
from micam_fast.models.onnx.patterns.matching import Expression, Match, name_of
from micam_fast.models.onnx.patterns.taken_axes import (
    AxesOf,
    Place,
    anywhere,
    by_channel,
    in_groups,
    over_channels,
    over_positions,
)


@dataclass(frozen=True)
class Pattern:
    """A row.

    Attributes
    ----------
    operation
        What the layer is called in the diagram.
    last
        Names of the operators that may be its last one.
    expression
        The operators. ``tests/models/onnx/patterns`` holds what they make against the operation's
        definition.
    source
        Who writes it so.
    takes
        Tells whether a match takes the axes that the operation takes.
    """

    operation: str
    last: tuple[str, ...]
    expression: Expression
    source: str
    takes: Callable[[Match, Place], bool] = anywhere


@dataclass(frozen=True)
class Operation:
    """An operation that was found in a graph.

    Attributes
    ----------
    name
        As in `Pattern.operation`.
    nodes
        Indices of its operators: the last one first, then the others in the graph's order.
    """

    name: str
    nodes: tuple[int, ...]


_QUOTIENT = ("Mul", "Div")
PATTERNS = (
    Pattern("GELU", _QUOTIENT, activations.gelu(), "torch, gelu before opset 20"),
    Pattern("GELU", _QUOTIENT, activations.gelu_by_tanh(),
            "torch, gelu(approximate='tanh') before opset 20; tf2onnx, gelu(approximate=True)"),
    Pattern("Mish", ("Mul",), activations.mish(), "torch, mish before opset 18; tf2onnx, mish"),
    Pattern("HardSwish", _QUOTIENT, activations.hard_swish(),
            "torch, hardswish before opset 14; tf2onnx, hard_silu and x * relu6(x + 3) / 6"),
    Pattern("SiLU", ("Mul",), activations.silu(), "torch, silu; tf2onnx, silu"),
    Pattern("HardSigmoid", _QUOTIENT, activations.hard_sigmoid(), "tf2onnx, hard_sigmoid"),
    # Of normalizations, those with more operators come first.
    Pattern("GroupNormalization", ("Add",), normalizations.groups_affine(),
            "torch, GroupNorm before opset 21", in_groups),
    Pattern("GroupNormalization", ("Reshape",), normalizations.groups(),
            "torch, group_norm before opset 21 where its factors were folded away", in_groups),
    Pattern("GroupNormalization", ("Reshape",), normalizations.folded_groups(),
            "tf2onnx, Keras' GroupNormalization", in_groups),
    Pattern("LayerNormalization", ("Add",), normalizations.centred_affine(),
            "torch's tracing exporter, LayerNorm before opset 17; both, ConvNeXt's LayerNorm2d",
            over_channels),
    Pattern("LayerNormalization", ("Mul",), normalizations.centred_scaled(),
            "the same, LayerNorm(bias=False)", over_channels),
    Pattern("LayerNormalization", _QUOTIENT, normalizations.centred(),
            "the same, LayerNorm(elementwise_affine=False)", over_channels),
    Pattern("LayerNormalization", ("Add",), normalizations.folded(),
            "tf2onnx, Keras' LayerNormalization; tf.nn.moments with batch_normalization",
            over_channels),
    Pattern("InstanceNormalization", ("Add",), normalizations.centred_affine(),
            "torch, written by hand with means", over_positions),
    Pattern("InstanceNormalization", ("Mul",), normalizations.centred_scaled(),
            "the same without a summand", over_positions),
    Pattern("InstanceNormalization", _QUOTIENT, normalizations.centred(),
            "the same without factors", over_positions),
    Pattern("InstanceNormalization", ("Add",), normalizations.folded(),
            "tf2onnx, tf.nn.moments with batch_normalization", over_positions),
    Pattern("RMSNormalization", ("Mul",), normalizations.root_mean_square_scaled(),
            "torch, RMSNorm before opset 23; tf2onnx, Keras' RMSNormalization", over_channels),
    Pattern("RMSNormalization", _QUOTIENT, normalizations.root_mean_square(),
            "the same without factors", over_channels),
    Pattern("BatchNormalization", ("Add",), normalizations.scale_behind_batch_norm(),
            "Caffe's BatchNorm and Scale, as ONNX's model zoo has them", by_channel),
    Pattern("BatchNormalization", ("Add",), normalizations.affine_by_channel(),
            "tf2onnx and PaddlePaddle, Mul and Add; TensorFlow 1 and torch's decompositions, Sub "
            "first", by_channel),
    Pattern("BatchNormalization", ("Mul",), normalizations.scaled_by_channel(),
            "tf2onnx, Keras' Normalization; the above without a summand", by_channel),
    Pattern("BatchNormalization", ("Div",), normalizations.divided_by_channel(),
            "torch and tf2onnx, a mean and a deviation for each colour", by_channel),
)  # fmt: skip
"""All rows. Where two fit, the earlier one counts."""


_NAMED = {"Gelu": "GELU", "SimplifiedLayerNormalization": "RMSNormalization", "Swish": "SiLU"}
"""Operators of ONNX that are rows of the table by another name."""


def operation_of(node: onnx.NodeProto) -> str:
    """The operation that one operator alone is: its type, or as the table names it."""
    name = find_operator(node).name
    if name == "Swish" and attributes(node).get("alpha", 1) != 1:
        return node.op_type
    return _NAMED.get(name, node.op_type)


def find_operations(
    graph: Graph, live: frozenset[int], axes_of: AxesOf, patterns: Sequence[Pattern] = PATTERNS
) -> dict[int, Operation]:
    """The operations among the nodes that outputs depend on, by the index of their last operator.

    No other operator reads what is made inside one, and no output gives it out. `axes_of` gives
    what evidence says of a value's axes.
    """
    found: dict[int, Operation] = {}
    taken: set[int] = set()
    ends: dict[int, str] = {}
    place = Place(graph, axes_of, ends)
    names = {index: name_of(graph.nodes[index]) for index in sorted(live)}
    for pattern in patterns:
        for index, name in names.items():
            if name not in pattern.last or index in taken:
                continue
            nodes = _find(pattern, index, place, live)
            if nodes and nodes <= live and taken.isdisjoint(nodes):
                taken |= nodes
                inner = tuple(sorted(nodes - {index}))
                found[index] = Operation(pattern.operation, (index, *inner))
                ends[index] = pattern.operation
    return found


def _find(pattern: Pattern, last: int, place: Place, live: frozenset[int]) -> frozenset[int]:
    """The operators of a pattern that ends at a node; none if there is no such."""
    graph = place.graph
    value = graph.nodes[last].output[0]
    for match in pattern.expression.matches(graph, value, Match()):
        inner = match.nodes - {last}
        if not inner or not all(_is_inside(graph, index, match.nodes, live) for index in inner):
            continue
        if pattern.takes(match, place):
            return match.nodes
    return frozenset()


def _is_inside(graph: Graph, index: int, nodes: Set[int], live: frozenset[int]) -> bool:
    """Tell whether nodes alone read what one of them makes, of those that outputs depend on."""
    return all(
        name not in graph.outputs and nodes >= live.intersection(graph.consumers[name])
        for name in graph.nodes[index].output
        if name
    )
