"""Activations of quantized operators in their real units.

A quantized operator makes codes. Where their scale and zero point are constants, a DequantizeLinear
beside those that go on with the codes makes the numbers that they stand for.
"""

from __future__ import annotations

import onnx

from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph, input_name
from micam_fast.models.onnx.operators import find_operator, onnx_opset
from micam_fast.models.onnx.quantization import code_range

_FIRST_OPSET = 10
_DEQUANTIZE = "DequantizeLinear"
# Those whose results are among the numbers that they read, or lie between them.
_CHOOSERS = {
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "MaxPool", "NhwcMaxPool", "Resize",
    "Slice", "SpaceToDepth", "Split", "Tile", "Upsample",
}  # fmt: skip
_Units = tuple[str, ...]


def write_real_units(model: OnnxFile) -> None:
    """Add to a model what makes real numbers of the codes that are layers' activations."""
    graph = model.proto.graph
    nodes = list(graph.node)
    if not any(find_operator(node).units for node in nodes):
        return
    if onnx_opset(model.proto) < _FIRST_OPSET:
        return
    constants = Constants(model)
    known = {name for index in constants.nodes for name in nodes[index].output}
    known.update(constants.held)
    real = {node.input[0] for node in nodes if find_operator(node).name == _DEQUANTIZE}
    units: dict[str, _Units] = {}
    del graph.node[:]
    for node in nodes:
        graph.node.append(node)
        operator, made = find_operator(node), [name for name in node.output if name]
        found = _units_of(node, units)
        if not found or not known.issuperset(found) or not made or made[0] in known:
            continue
        if any(constants.array(name).size != 1 for name in found):
            continue
        units.update(dict.fromkeys(made, found))
        if operator.role == "bookkeeping":
            continue
        # Other outputs of a MaxPool are places and no codes.
        for each in made if operator.name == "Split" else made[:1]:
            if each not in real:
                real_name = f"micam/{each}/real"
                read = [each, *found]
                graph.node.append(onnx.helper.make_node(_DEQUANTIZE, read, [real_name]))


def real_value(graph: Graph, value: str) -> str:
    """The real numbers of a value; the value itself where it holds no codes."""
    for index in graph.consumers[value]:
        node = graph.nodes[index]
        if find_operator(node).name == _DEQUANTIZE and node.input[0] == value:
            return node.output[0]
    return value


def _units_of(node: onnx.NodeProto, units: dict[str, _Units]) -> _Units:
    """Names of the scale and the zero point of what a node makes, where it makes codes."""
    operator = find_operator(node)
    if operator.units is not None:
        return tuple(filter(None, (input_name(node, place) for place in operator.units)))
    if not operator.hands_on and operator.name not in _CHOOSERS:
        return ()
    read = node.input if operator.name == "Concat" else node.input[:1]
    found = {units.get(name, ()) for name in read}
    return found.pop() if len(found) == 1 else ()


def code_limits(graph: Graph, value: str) -> tuple[float, float, float] | None:
    """The least and the largest number that codes can stand for, and the step between two.

    ``None`` where a value is not made of codes of one constant scale and zero point.
    """
    node = graph.nodes[graph.producer[value]] if value in graph.producer else None
    if node is None or find_operator(node).name != _DEQUANTIZE or graph.is_constant(value):
        return None
    return code_range(graph, *(input_name(node, place) for place in (1, 2)))
