"""Pairs of QuantizeLinear and DequantizeLinear around float operators (QDQ).

ONNX Runtime computes an operator between such pairs with integers, together with the pair behind
it, as long as nobody asks for the float value in between. So a layer's activation is what its own
pair hands on: the numbers that the next layers read, in real units.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.files import OnnxFile, captured
from micam_fast.models.onnx.graph import Graph, input_name
from micam_fast.models.onnx.operator_row import ONNX_DOMAINS
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.pointwise import hands_on, read_bounds

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
ROUNDS = (_QUANTIZE, _DEQUANTIZE)
"""A pair of them rounds numbers to codes."""
# Those that ONNX Runtime lets codes pass through.
_MOVERS = ("MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
# What ONNX Runtime allows a bound to be inside of the range of the codes.
_NEARLY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class _End:
    quantize: onnx.NodeProto | None
    low: float = -math.inf
    high: float = math.inf


_NO_END, _UNBOUNDED = _End(None), (-math.inf, math.inf)


class PairsBehind:
    """Finds the pairs behind float values; what it sees of a chain of operators, it sees once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        # By value: the QuantizeLinear at the end of its chain, and the tightest bounds up to there.
        self._ends: dict[str, _End] = {}

    def value_behind(self, value: str) -> str:
        """The value behind the pair that alone reads a float value; the value itself without one.

        A Relu or Clip in between is seen through where the codes hold nothing beyond its bounds:
        ONNX Runtime leaves it out then, and never computes what it would read.
        """
        end = self._find_end(value)
        if end.quantize is None:
            return value
        found = _dequantized(self._graph, end.quantize)
        return found if found is not None and _codes_within(self._graph, end) else value

    def _find_end(self, value: str) -> _End:
        passed: list[tuple[str, tuple[float, float]]] = []
        end = self._ends.get(value)
        while end is None:
            reader = _only_reader(self._graph, value)
            end, bounds = _NO_END, _UNBOUNDED
            if reader is not None and find_operator(reader).name == _QUANTIZE:
                end = _End(reader) if value == reader.input[0] else _NO_END
            elif reader is not None and self._passes(reader, value):
                if find_operator(reader).affine == "bounds":
                    bounds = read_bounds(self._graph, reader) or _UNBOUNDED
                end = None
            passed.append((value, bounds))
            if end is None and reader is not None:
                value = reader.output[0]
                end = self._ends.get(value)
        for name, (low, high) in reversed(passed):
            end = self._ends[name] = _End(end.quantize, max(low, end.low), min(high, end.high))
        return end

    def _passes(self, reader: onnx.NodeProto, value: str) -> bool:
        """Tell whether a node hands its numbers on, at most cut off at bounds that are known."""
        if find_operator(reader).affine == "bounds":
            return value == reader.input[0] and read_bounds(self._graph, reader) is not None
        return hands_on(self._graph, reader, reader.output[0])


def _only_reader(graph: Graph, value: str) -> onnx.NodeProto | None:
    """The node that alone reads a value, or one of several equal ones that quantize it."""
    if value in graph.outputs or not graph.consumers[value]:
        return None
    nodes = [graph.nodes[index] for index in graph.consumers[value]]
    if len(nodes) > 1:
        kinds = {(find_operator(node).name, tuple(node.input)) for node in nodes}
        if len(kinds) > 1 or kinds.pop()[0] != _QUANTIZE:
            return None
    return nodes[0]


def _dequantized(graph: Graph, quantize: onnx.NodeProto) -> str | None:
    """What a DequantizeLinear makes of the codes, if all units are constants."""
    for index in graph.consumers[quantize.output[0]]:
        node = graph.nodes[index]
        if find_operator(node).name == _DEQUANTIZE and node.input[0] == quantize.output[0]:
            units = (*quantize.input[1:], *node.input[1:])
            return node.output[0] if all(map(graph.is_constant, filter(None, units))) else None
    return None


def _codes_within(graph: Graph, end: _End) -> bool:
    """Tell whether all numbers that codes stand for lie within the bounds before them."""
    assert end.quantize is not None
    if (end.low, end.high) == _UNBOUNDED:
        return True
    found = code_range(graph, *(input_name(end.quantize, place) for place in (1, 2)))
    return found is not None and end.low <= found[0] + _NEARLY and found[1] <= end.high + _NEARLY


def code_range(graph: Graph, scale: str, zero: str) -> tuple[float, float, float] | None:
    """The least and the largest number that codes can stand for, and the step between two.

    ``None`` where it is not one scale and one zero point, both known.
    """
    if not all(graph.is_known(name) and graph.array(name).size == 1 for name in (scale, zero)):
        return None
    middle, step = graph.array(zero).reshape(()), float(graph.array(scale).reshape(()))
    if middle.dtype.kind not in "iu":
        return None
    limits = np.iinfo(middle.dtype)
    low, high = (step * (int(code) - int(middle)) for code in (limits.min, limits.max))
    return low, high, step


def write_pairs(model: OnnxFile) -> None:
    """Write the pairs that ONNX Runtime writes where numbers only move to other places.

    It has one before a MaxPool, Reshape or the like where only the result is quantized, and one
    behind where only what it reads is. With it each layer has a pair of its own, so that nobody
    need ask for the float value in between. ``model.proto`` is changed; all of its values stay.
    """
    if not is_quantized(model.proto):
        return
    units = _find_missing(model.proto, Constants(model))
    graph = model.proto.graph
    names = Counter(node.name for node in graph.node)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        value = next((name for name in node.output[:1] if name in units), None)
        if value is None:
            continue
        if names[node.name] != 1 or not node.name:
            node.name = value
        raw, codes = (f"micam/{value}/{part}" for part in ("raw", "codes"))
        node.output[0] = raw
        read = []
        for part, array in zip(("scale", "zero"), units[value], strict=False):
            read.append(f"micam/{value}/{part}")
            graph.initializer.append(numpy_helper.from_array(array, read[-1]))
        make = onnx.helper.make_node
        nodes.append(make(_QUANTIZE, [raw, *read], [codes]))
        nodes.append(make(_DEQUANTIZE, [codes, *read], [value]))
    if units:
        # A copy each: the old ones are freed with the list.
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)


_Units = tuple[NDArray[Any], ...]


def _find_missing(proto: onnx.ModelProto, constants: Constants) -> dict[str, _Units]:
    """Scale and zero point of the pairs that are missing behind values."""
    nodes = proto.graph.node
    made = {name: node for node in nodes for name in node.output if name}
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in nodes:
        for name in captured(node):
            readers[name].append(node)
    outputs = {value.name for value in proto.graph.output}
    found: dict[str, _Units] = {}

    def is_lone(value: str) -> bool:
        return len(readers[value]) == 1 and value not in outputs

    for node in nodes:
        if find_operator(node).name != _QUANTIZE or not node.output:
            continue
        units = _single_units(node, constants)
        value = node.input[0]
        while units is not None and is_lone(value) and (mover := made.get(value)) is not None:
            value = mover.input[0] if _moves(mover) else ""
            maker = made.get(value)
            if maker is None or not is_lone(value) or value in found:
                break
            if find_operator(maker).name == _DEQUANTIZE or maker.output[0] != value:
                break
            found[value] = units
    behind = dict(found)
    for node in nodes:
        units = None
        if find_operator(node).name == _DEQUANTIZE:
            units = _single_units(node, constants)
        elif _moves(node):
            value = node.output[0]
            quantized = any(find_operator(each).name == _QUANTIZE for each in readers[value])
            if readers[value] and not quantized and value not in found:
                units = behind.get(node.input[0])
            if units is not None:
                found[value] = units
        if units is not None:
            behind[node.output[0]] = units
    return found


def _moves(node: onnx.NodeProto) -> bool:
    """Tell whether codes may take the place of the numbers that a node reads and makes."""
    return (
        node.domain in ONNX_DOMAINS
        and node.op_type in _MOVERS
        and bool(node.input)
        and not any(node.output[1:])
    )


def _single_units(node: onnx.NodeProto, constants: Constants) -> _Units | None:
    """The constant scale and zero point of one of a pair, of which there is one for all numbers."""
    if node.domain not in ONNX_DOMAINS or not all(node.input):
        return None
    try:
        units = tuple(constants.array(name) for name in node.input[1:])
    except (KeyError, ModelError):
        return None
    return units if units and all(each.size == 1 for each in units) else None


def is_quantized(proto: onnx.ModelProto) -> bool:
    """Tell whether a model quantizes activations anywhere outside of subgraphs."""
    return any(quantizes(node) for node in proto.graph.node)


def quantizes(node: onnx.NodeProto) -> bool:
    """Tell whether a node makes codes of real numbers, where another last bit may be a step."""
    return find_operator(node).name in (_QUANTIZE, "DynamicQuantizeLinear")


def codes_of(graph: Graph, value: str) -> str:
    """The codes that a DequantizeLinear of constant units makes a value of, or an empty text."""
    if value not in graph.producer or graph.is_constant(value):
        return ""
    node = graph.nodes[graph.producer[value]]
    is_made_again = find_operator(node).name == _DEQUANTIZE and is_code(graph, node.input[0])
    return node.input[0] if is_made_again and all(map(graph.is_constant, node.input[1:])) else ""


def is_code(graph: Graph, value: str) -> bool:
    """Tell whether a QuantizeLinear makes a value of real numbers."""
    index = graph.producer.get(value)
    return index is not None and find_operator(graph.nodes[index]).name == _QUANTIZE


def find_signed(graph: Graph) -> frozenset[str]:
    """Signed codes that ONNX Runtime for x86 processors would write as unsigned ones.

    It does so where one DequantizeLinear reads them and one operator that one's numbers, and knows
    no others in its integer operators. Who asks for these numbers is one reader more.
    """
    reads = {name: len(indices) for name, indices in graph.consumers.items()}
    for name in graph.outputs:
        reads[name] = reads.get(name, 0) + 1
    made = [node for node in graph.nodes if find_operator(node).name == _QUANTIZE]
    # ONNX Runtime makes one of equal ones.
    equal = Counter(tuple(node.input) for node in made)
    found = set()
    for node in made:
        codes = node.output[0]
        if graph.is_constant(codes) or reads.get(codes) != 1 or equal[tuple(node.input)] > 1:
            continue
        reader = next((graph.nodes[index] for index in graph.consumers[codes]), None)
        if reader is None or find_operator(reader).name != _DEQUANTIZE:
            continue
        if reads.get(reader.output[0]) == 1 and reader.input[0] == codes:
            zeros = [_signed_zero(graph, each) for each in (node, reader)]
            if None not in zeros and zeros[0] == zeros[1]:
                found.add(codes)
    return frozenset(found)


def _signed_zero(graph: Graph, node: onnx.NodeProto) -> int | None:
    """The one zero point of signed codes of eight bits."""
    name = input_name(node, 2)
    known = graph.is_constant(name) and graph.is_known(name)
    zero = graph.array(name) if known else np.empty(0)
    return int(zero.reshape(())) if zero.dtype == np.int8 and zero.size == 1 else None


def write_unsigned(proto: onnx.ModelProto, signed: Set[str], constants: Constants) -> None:
    """Write these codes as unsigned ones, 128 more each, as ONNX Runtime would.

    The model, or a slice of it, is changed. What the codes stand for stays the same.
    """
    for node in proto.graph.node:
        name = find_operator(node).name
        codes = (
            node.output[0] if name == _QUANTIZE else node.input[0] if name == _DEQUANTIZE else ""
        )
        if codes in signed:
            zero = constants.array(node.input[2])
            moved = (zero.astype(np.int16) + 128).astype(np.uint8)
            node.input[2] = f"micam/{node.output[0]}/unsigned"
            proto.graph.initializer.append(numpy_helper.from_array(moved, node.input[2]))
    for value in proto.graph.input:
        if value.name in signed:
            value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
