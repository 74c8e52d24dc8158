"""Models made to be run: the activations as outputs, cut in slices where memory asks for it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import onnx

from micam_fast.core.layers import NUMERIC_TYPES, Shape
from micam_fast.models.onnx.files import OnnxFile, captured
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.quantization import codes_of, is_code, quantizes

# What NumPy can hold, so that one slice can hand it to the next.
_HANDED_TYPES = {getattr(onnx.TensorProto, name.upper()) for name in NUMERIC_TYPES}
_REAL_TYPES = {getattr(onnx.TensorProto, name.upper()) for name in ("float", "float16", "double")}
# The IR version from which on an initializer need not be listed among the inputs.
_FREE_WEIGHTS = 4


@dataclass(frozen=True, eq=False)
class Slice:
    """A part of the model that runs by itself.

    Attributes
    ----------
    proto
        The nodes of the part, with `outputs` as its graph outputs.
    inputs
        Values it reads: the model's inputs, or outputs of earlier slices.
    outputs
        Activations wanted by the caller, then what later slices read.
    """

    proto: onnx.ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def find_bounds(
    graph: Graph, wanted: Sequence[str], sizes: Mapping[str, int], budget: int
) -> tuple[int, ...]:
    """Where to cut a model in slices that run one after the other and do its whole work once.

    A slice ends where only wanted activations (or shapes) are handed on: ONNX Runtime then fuses
    the same operators as in the whole model, and the numbers stay the same, to the rounding of
    kernels that it picks by the memory layout of their neighbours.

    `wanted` are values to be given out, each made by a node; `sizes` holds their bytes (one that is
    missing counts as nothing), and `budget` limits those of one slice, which exceeds it only where
    there is no place to cut. Gives indices of nodes: 0, the first of each further slice, the end.
    """
    asked = frozenset(wanted)
    bounds = [0]
    held = 0
    places: frozenset[int] | None = None
    for index, node in enumerate(graph.nodes):
        fresh = sum(sizes.get(name, 0) for name in node.output if name in asked)
        if held and held + fresh > budget:
            # A model that runs whole has no need of them.
            places = _cutting_places(graph, asked) if places is None else places
            place = max((p for p in places if bounds[-1] < p <= index), default=None)
            if place is not None:
                bounds.append(place)
                since = {name for node in graph.nodes[place:index] for name in node.output}
                held = sum(sizes.get(name, 0) for name in since & asked)
        held += fresh
    return (*bounds, len(graph.nodes))


def cut_model(
    model: OnnxFile, graph: Graph, wanted: Sequence[str], bounds: Sequence[int]
) -> tuple[Slice, ...]:
    """Cut a model in slices at bounds from `find_bounds`; those that make nothing are left out."""
    slices = (_slice(model, graph, wanted, *pair) for pair in itertools.pairwise(bounds))
    return tuple(each for each in slices if each.outputs)


def whole_model(model: OnnxFile, wanted: Sequence[str], *, fixed_weights: bool = True) -> Slice:
    """The model in one piece, which `cut_model` would make, too, but needs its graph for.

    `fixed_weights` is as in `give_out`.
    """
    return give_out(copy.deepcopy(model.proto), wanted, fixed_weights=fixed_weights)


def give_out(proto: onnx.ModelProto, wanted: Sequence[str], *, fixed_weights: bool = True) -> Slice:
    """A model in one piece, which is changed to give out what is wanted and nothing else.

    Weights that a file lists among its inputs, too, could be fed: ONNX Runtime would neither fold
    them nor put them into an order of its own. With `fixed_weights` they are listed no more.
    """
    graph = proto.graph
    del graph.output[:], graph.value_info[:], proto.metadata_props[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    used = {name for node in graph.node for name in captured(node)} | set(wanted)
    held = {tensor.name for tensor in graph.initializer}
    held.update(sparse.values.name for sparse in graph.sparse_initializer)
    inputs = tuple(sorted(v.name for v in graph.input if v.name in used and v.name not in held))
    # What is not read need not be fed, nor known to ONNX Runtime.
    listed = proto.ir_version < _FREE_WEIGHTS or not fixed_weights
    _leave_out(graph.input, used if listed else set(inputs))
    _leave_out(graph.initializer, used)
    return Slice(proto, inputs, tuple(wanted))


def lists_weights(proto: onnx.ModelProto) -> bool:
    """Tell whether a file lists weights among its inputs, without need."""
    held = {tensor.name for tensor in proto.graph.initializer}
    return proto.ir_version >= _FREE_WEIGHTS and any(v.name in held for v in proto.graph.input)


def _leave_out(entries: Any, used: Set[str]) -> None:
    """Take what is not used out of a repeated field."""
    for index in reversed(range(len(entries))):
        if entries[index].name not in used:
            del entries[index]


def _cutting_places(graph: Graph, wanted: frozenset[str]) -> frozenset[int]:
    """Node indices before which all that is handed on is exact there, or to rounding wanted.

    Codes of a QuantizeLinear may be handed on, and integers that are wanted. A real number may not
    where it is made a code later: rounded otherwise, it may be another one.
    """
    last_use: dict[str, int] = {}
    last_coder = -1
    for index, node in enumerate(graph.nodes):
        for name in _needed(graph, node):
            last_use[name] = index
        if quantizes(node) and graph.kind[node.output[0]] is Kind.ACTIVATION:
            last_coder = index
    inputs = {value.name for value in graph.inputs}
    handed: set[str] = set()
    places = set()

    def is_handed(name: str, index: int) -> bool:
        kind = graph.element_type(name)
        if kind not in _HANDED_TYPES:
            return False
        if graph.kind[name] is Kind.SHAPE or is_code(graph, name):
            return True
        return name in wanted and (kind not in _REAL_TYPES or index > last_coder)

    for index, node in enumerate(graph.nodes):
        handed = {name for name in handed if last_use[name] >= index}
        if all(is_handed(name, index) for name in handed):
            places.add(index)
        for name in node.output:
            if name in last_use and graph.kind[name] is not Kind.CONSTANT and name not in inputs:
                handed.add(name)
    return frozenset(places)


def _needed(graph: Graph, node: onnx.NodeProto) -> set[str]:
    """What a node reads of other slices: codes in place of the numbers that they stand for."""
    return {codes_of(graph, name) or name for name in captured(node)}


def _slice(model: OnnxFile, graph: Graph, wanted: Sequence[str], begin: int, end: int) -> Slice:
    inside = {i for i in range(begin, end) if not _is_constant_node(graph, i)}
    made = {name for i in inside for name in graph.nodes[i].output if name}
    read = {name for i in inside for name in captured(graph.nodes[i])} - made
    # Numbers that codes stand for are made of them again, so that ONNX Runtime sees whole pairs.
    again = {graph.producer[name] for name in read if codes_of(graph, name)}
    for index in again:
        read -= set(graph.nodes[index].output)
        read |= set(graph.nodes[index].input)
    later = {
        name
        for i in range(end, len(graph.nodes))
        if not _is_constant_node(graph, i)
        for name in _needed(graph, graph.nodes[i])
    }
    chosen = inside | again | _constant_nodes(graph, read)
    outputs = [name for name in wanted if name in made]
    outputs += sorted(made & later - set(outputs))
    inputs = [name for name in sorted(read) if name and graph.kind[name] is not Kind.CONSTANT]
    nodes = [graph.nodes[i] for i in sorted(chosen)]
    proto = _assemble(model, graph, nodes, inputs, outputs)
    return Slice(proto, tuple(inputs), tuple(outputs))


def _is_constant_node(graph: Graph, index: int) -> bool:
    made = next((name for name in graph.nodes[index].output if name), "")
    return graph.kind.get(made) is Kind.CONSTANT


def _constant_nodes(graph: Graph, read: set[str]) -> set[int]:
    """Nodes that make the constants among `read`, and the constants that those read."""
    found: set[int] = set()
    waiting = [name for name in read if graph.is_constant(name)]
    while waiting:
        index = graph.producer.get(waiting.pop())
        if index is not None and index not in found:
            found.add(index)
            waiting.extend(captured(graph.nodes[index]))
    return found


def _assemble(
    model: OnnxFile,
    graph: Graph,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    source = model.proto
    proto = onnx.ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
    proto.graph.name = source.graph.name or "model"
    proto.graph.node.extend(nodes)
    used = {name for node in nodes for name in captured(node)} | set(outputs)
    proto.graph.initializer.extend(t for t in source.graph.initializer if t.name in used)
    sparse = source.graph.sparse_initializer
    proto.graph.sparse_initializer.extend(t for t in sparse if t.values.name in used)
    declared = {value.name: value for value in source.graph.input}
    for name in inputs:
        handed = onnx.helper.make_tensor_value_info(
            name, graph.element_type(name), _told(graph, name)
        )
        proto.graph.input.append(declared.get(name, handed))
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    if proto.ir_version < _FREE_WEIGHTS:
        # Before that each initializer must be listed among the inputs, too.
        names = [tensor.name for tensor in proto.graph.initializer]
        proto.graph.input.extend(declared[name] for name in names if name in declared)
    return proto


def _told(graph: Graph, name: str) -> Shape | None:
    """What a slice is told of the shape of what it reads: of codes all but the batch.

    By the number of channels ONNX Runtime picks the kernels of what it leaves in real numbers.
    """
    shape = graph.shape(name) if is_code(graph, name) else None
    return (None, *shape[1:]) if shape else None


def move_weights(proto: onnx.ModelProto, least: int) -> Iterator[onnx.TensorProto]:
    """Take the data of large initializers out of a model too large for one message.

    Yields a copy of each initializer of at least `least` bytes and leaves a stub in the model, so
    that ONNX Runtime can be handed the data in memory instead.
    """
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.ByteSize() < least:
            continue
        yield copy.deepcopy(tensor)
        stub = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        stub.data_location = onnx.TensorProto.EXTERNAL
        stub.external_data.add(key="location", value="in-memory")
        tensor.CopyFrom(stub)
