"""Integer products whose input is quantized with a scale of its own for each sample.

The operator makes whole numbers. A Cast and a Mul by the product of both scales make real ones of
them: these are the layer's activation, and the product of the scales is no layer.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import onnx

from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.quantization import is_code

_PRODUCTS = ("ConvInteger", "MatMulInteger")


@dataclass(frozen=True)
class Rescaling:
    """What makes real numbers of a whole product.

    Attributes
    ----------
    nodes
        Indices of the Cast and the Mul.
    weight_scale
        Name of the constant among the two scales, or of their product where both are constant;
        ``None`` where both are a sample's own.
    input_scale
        Where it is that product: name of the input's scale.
    """

    nodes: tuple[int, int]
    weight_scale: str | None
    input_scale: str | None = None


def find_rescaling(graph: Graph, node: onnx.NodeProto, live: Set[int]) -> Rescaling | None:
    """The Cast and the Mul that alone read a whole product, one after the other."""
    if find_operator(node).name not in _PRODUCTS:
        return None
    cast = graph.only_reader(node.output[0])
    if cast is None or cast not in live or find_operator(graph.nodes[cast]).name != "Cast":
        return None
    value = graph.nodes[cast].output[0]
    mul = graph.only_reader(value)
    if mul is None or mul not in live or find_operator(graph.nodes[mul]).name != "Mul":
        return None
    others = [name for name in graph.nodes[mul].input if name != value]
    if len(others) != 1:
        return None
    scale, input_scale = others[0], None
    if graph.is_constant(scale):
        # Of the product of two constants it must be known what is the input's.
        input_scale = _constant_scale(graph, node.input[0])
        if input_scale is None or not graph.is_known(scale):
            return None
        weight_scale: str | None = scale
    else:
        maker = graph.nodes[graph.producer[scale]] if scale in graph.producer else None
        if maker is None or not is_scale_product(graph, maker):
            return None
        weight_scale = next((name for name in maker.input if graph.is_known(name)), None)
    return Rescaling((cast, mul), weight_scale, input_scale)


def is_scale_product(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a node multiplies the scale of a sample's own codes with another scale."""
    if find_operator(node).name != "Mul":
        return False
    own = [_is_own_scale(graph, name) for name in node.input]
    return any(own) and all(
        each or graph.is_constant(name) for each, name in zip(own, node.input, strict=True)
    )


def _constant_scale(graph: Graph, codes: str) -> str | None:
    """Name of the one number that real numbers were divided by to get codes, if it is known."""
    if not is_code(graph, codes):
        return None
    scale = graph.nodes[graph.producer[codes]].input[1]
    return scale if graph.is_known(scale) and graph.array(scale).size == 1 else None


def _is_own_scale(graph: Graph, value: str) -> bool:
    if value not in graph.producer:
        return False
    maker = graph.nodes[graph.producer[value]]
    return find_operator(maker).name == "DynamicQuantizeLinear" and value == maker.output[1]
