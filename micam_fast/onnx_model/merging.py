"""Factor and summand of each channel as one operator, which takes one pass instead of two.

Converters write an inference-time batch normalization as Mul and Add. ONNX Runtime folds them
into the convolution before, but not where that one's activation is asked for. There one operator
takes their place: a BatchNormalization, or a depthwise 1x1 convolution where ONNX Runtime computes
that in its blocked layout and fuses the activation function behind it, which is a tenth faster.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.onnx_model.constants import Constants, captured
from micam_fast.onnx_model.graph import Graph

_RANKS = (3, 4, 5)
# Channels in a block of ONNX Runtime's layout for x86 processors with AVX-512; 8 with AVX.
_BLOCK = 16
_IS_BLOCKED = platform.machine().lower() in ("x86_64", "amd64")
_FIRST_OPSET = 9


@dataclass(frozen=True)
class Scaling:
    """A Mul and an Add of one constant number for each channel.

    Attributes
    ----------
    source, product, result
        ONNX values before, between and after; axis 1 is that of the channels.
    rank
        Of these values.
    factor, summand
        Names of the constants.
    """

    source: str
    product: str
    result: str
    rank: int
    factor: str
    summand: str


def find_scalings(graph: Graph) -> tuple[Scaling, ...]:
    """All such pairs whose product is read by the Add alone."""
    found = []
    for node in graph.nodes:
        added = _operands(graph, node, "Add")
        if added is None or added[0] not in graph.producer:
            continue
        product, summand = added
        multiplied = _operands(graph, graph.nodes[graph.producer[product]], "Mul")
        if multiplied is None or len(graph.consumers[product]) != 1:
            continue
        source, factor = multiplied
        shape = graph.shape(source)
        if shape is not None and all(_by_channel(graph, shape, c) for c in (factor, summand)):
            result = node.output[0]
            found.append(Scaling(source, product, result, len(shape), factor, summand))
    return tuple(found)


def merge_scalings(
    proto: onnx.ModelProto, scalings: Iterable[Scaling], constants: Constants
) -> None:
    """Write each such pair as one operator, where nobody asks for the product.

    Parameters
    ----------
    proto
        A model made of nodes of the graph, of opset 9 or above; changed.
    scalings
        From `find_scalings`.
    constants
        Of the graph.
    """
    opset = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset < _FIRST_OPSET:
        return
    reads = Counter(name for node in proto.graph.node for name in captured(node))
    reads.update(value.name for value in proto.graph.output)
    made = {name for node in proto.graph.node for name in node.output}
    merged = {
        each.result: each
        for each in scalings
        if {each.product, each.result} <= made and reads[each.product] == 1
    }
    gone = {each.product for each in merged.values()}
    nodes = [node for node in proto.graph.node if gone.isdisjoint(node.output)]
    for node in nodes:
        if node.output and node.output[0] in merged:
            _write(proto, node, merged[node.output[0]], constants)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)


def _write(
    proto: onnx.ModelProto, node: onnx.NodeProto, scaling: Scaling, constants: Constants
) -> None:
    """Turn the Add into the operator that does both."""
    factor, summand = (
        constants.array(name).reshape(-1) for name in (scaling.factor, scaling.summand)
    )
    arrays: dict[str, NDArray[Any]] = {"scale": factor, "shift": summand}
    given: dict[str, Any] = {"epsilon": 0.0}
    op_type = "BatchNormalization"
    if _IS_BLOCKED and scaling.rank == 4 and len(factor) % _BLOCK == 0:
        op_type = "Conv"
        given = {"kernel_shape": (1, 1), "group": len(factor)}
        arrays["scale"] = factor.reshape(-1, 1, 1, 1)
    else:
        arrays |= {"mean": np.zeros_like(factor), "variance": np.ones_like(factor)}
    names = [f"micam/{scaling.result}/{part}" for part in arrays]
    proto.graph.initializer.extend(map(numpy_helper.from_array, arrays.values(), names))
    inputs = [scaling.source, *names]
    merged = onnx.helper.make_node(op_type, inputs, [scaling.result], name=node.name, **given)
    node.CopyFrom(merged)


def _operands(graph: Graph, node: onnx.NodeProto, op_type: str) -> tuple[str, str] | None:
    """The value and the constant that a node of this type combines, both float32."""
    if node.op_type != op_type or len(node.input) != 2:
        return None
    if graph.element_type(node.output[0]) != onnx.TensorProto.FLOAT:
        return None
    constant = [graph.is_constant(name) for name in node.input]
    if sum(constant) != 1:
        return None
    return node.input[constant[0]], node.input[1 - constant[0]]


def _by_channel(graph: Graph, shape: tuple[int | None, ...], constant: str) -> bool:
    """Tell whether a constant has one number for each channel, in axis 1 of a value's shape."""
    size = graph.constant_shape(constant)
    if len(shape) not in _RANKS or len(size) > len(shape):
        return False
    whole = (1,) * (len(shape) - len(size)) + size
    return whole[1] == shape[1] and all(s == 1 for axis, s in enumerate(whole) if axis != 1)
