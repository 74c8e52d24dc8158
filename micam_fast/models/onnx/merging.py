"""Factor and summand of each channel as one operator, which takes one pass instead of two.

Converters write an inference-time batch normalization as Mul and Add. ONNX Runtime folds them
into the convolution before, but not where that one's activation is asked for. There one operator
takes their place: a BatchNormalization, or a depthwise 1x1 convolution where ONNX Runtime computes
that in its blocked layout and fuses the activation function behind it, which is a tenth faster.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.core.layers import Axes
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.files import captured
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.operators import find_operator, onnx_opset
from micam_fast.models.onnx.pointwise import count_by_channel, split_operands
from micam_fast.models.onnx.quantization import quantizes

_RANKS = (3, 4, 5)
# Channels in a block of ONNX Runtime's layout for x86 processors with AVX-512; 8 with AVX.
_BLOCK = 16
IS_BLOCKED = platform.machine().lower() in ("x86_64", "amd64")
"""Whether ONNX Runtime computes convolutions of float32 numbers in such blocks."""
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


def find_scalings(graph: Graph, axes_of: Callable[[str], Axes]) -> tuple[Scaling, ...]:
    """All such pairs whose product is read by the Add alone; `axes_of` gives a value's axes.

    A model that makes codes of real numbers has none: another last bit may be a step there.
    """
    if any(quantizes(n) and graph.kind[n.output[0]] is Kind.ACTIVATION for n in graph.nodes):
        return ()
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
        if shape is None or len(shape) not in _RANKS:
            continue
        rank, channels = len(shape), shape[1]
        # An unknown size equals nothing, not even another one, and a batch has any.
        is_known = channels is not None and axes_of(source).batch != 1
        if is_known and all(
            count_by_channel(graph, c, rank, 1) == channels for c in (factor, summand)
        ):
            found.append(Scaling(source, product, node.output[0], rank, factor, summand))
    return tuple(found)


def merge_scalings(
    proto: onnx.ModelProto, scalings: Iterable[Scaling], constants: Constants
) -> None:
    """Write each such pair as one operator, where nobody asks for the product.

    The model is changed. It is made of nodes of the graph.
    """
    if onnx_opset(proto) < _FIRST_OPSET:
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
    nodes = proto.graph.node
    for index in range(len(nodes) - 1, -1, -1):
        made_here = nodes[index].output
        if not gone.isdisjoint(made_here):
            del nodes[index]
        elif made_here and made_here[0] in merged:
            _write(proto, nodes[index], merged[made_here[0]], constants)


def _write(
    proto: onnx.ModelProto, node: onnx.NodeProto, scaling: Scaling, constants: Constants
) -> None:
    """Turn the Add into the operator that does both."""
    names = scaling.factor, scaling.summand
    factor, summand = (constants.array(name).reshape(-1) for name in names)
    arrays: dict[str, NDArray[Any]] = {"scale": factor, "shift": summand}
    given: dict[str, Any] = {"epsilon": 0.0}
    op_type = "BatchNormalization"
    if IS_BLOCKED and scaling.rank == 4 and len(factor) % _BLOCK == 0:
        op_type = "Conv"
        given = {"kernel_shape": (1, 1), "group": len(factor)}
        arrays["scale"] = factor.reshape(-1, 1, 1, 1)
    else:
        arrays |= {"mean": np.zeros_like(factor), "variance": np.ones_like(factor)}
    titles = [f"micam/{scaling.result}/{part}" for part in arrays]
    proto.graph.initializer.extend(map(numpy_helper.from_array, arrays.values(), titles))
    inputs = [scaling.source, *titles]
    merged = onnx.helper.make_node(op_type, inputs, [scaling.result], name=node.name, **given)
    node.CopyFrom(merged)


def _operands(graph: Graph, node: onnx.NodeProto, name: str) -> tuple[str, str] | None:
    """The value and the constant that an operator of this name combines, both float32."""
    is_float = graph.element_type(node.output[0]) == onnx.TensorProto.FLOAT
    return split_operands(graph, node) if is_float and find_operator(node).name == name else None
