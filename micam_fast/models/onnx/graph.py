"""A graph's values by what they are: constants, shape bookkeeping or activations."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Shape
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.facts import Facts, apply_facts, is_modest
from micam_fast.models.onnx.files import OnnxFile, captured
from micam_fast.models.onnx.inference import check_sizes, infer_types, shape_of
from micam_fast.models.onnx.limits import MOST_AXES
from micam_fast.models.onnx.operators import find_operator, onnx_opset

_LARGEST_SETTING = 4 * MOST_AXES
"""Four numbers of each axis; grids of positions need not be looked at."""


class Kind(Enum):
    """What a value depends on."""

    CONSTANT = "constants alone"
    SHAPE = "shapes alone"
    ACTIVATION = "the model's input"


class Graph:
    """An ONNX graph with its values classified.

    With facts of a run, its sizes are those of that run, and numbers made from shapes are known.

    Attributes
    ----------
    facts
        As given.
    nodes
        In topological order.
    constants
        Values of the constants.
    inputs
        The inputs that a caller feeds: those that are no initializers.
    outputs
        Names of the graph's outputs.
    opset
        Version of ONNX' own operators.
    kind
        Of every value of the outer graph.
    producer
        Index of the node that makes a value.
    consumers
        Indices of the nodes that read a value, once for each reading, subgraphs included.
    """

    def __init__(self, model: OnnxFile, facts: Facts | None = None) -> None:
        self._model, self.facts = model, facts
        graph = model.proto.graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self.constants = Constants(model)
        self.inputs = [value for value in graph.input if value.name not in self.constants.held]
        self.outputs = [value.name for value in graph.output]
        self.opset = onnx_opset(model.proto)
        self.kind: dict[str, Kind] = dict.fromkeys(self.constants.held, Kind.CONSTANT)
        self.kind.update((value.name, Kind.ACTIVATION) for value in self.inputs)
        self.producer: dict[str, int] = {}
        self.consumers: defaultdict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            self._classify(index, node)

    def _classify(self, index: int, node: onnx.NodeProto) -> None:
        read = list(captured(node))
        missing = [name for name in read if name not in self.kind]
        if missing:
            raise ModelError(
                f"model {self._model.name!r}: node {node.name or node.output[0]!r} reads "
                f"{missing[0]!r}, which no earlier node makes; the graph is broken or not sorted"
            )
        for name in read:
            self.consumers[name].append(index)
        kinds = {self.kind[name] for name in read}
        operator = find_operator(node)
        shaped = operator.measures or kinds - {Kind.CONSTANT} == {Kind.SHAPE}
        if index in self.constants.nodes:
            kind = Kind.CONSTANT
        elif shaped and operator.random != "always":
            kind = Kind.SHAPE
        else:
            # Random numbers, too, whatever they are made of.
            kind = Kind.ACTIVATION
        for name in node.output:
            if name:
                self.kind[name] = kind
                self.producer[name] = index

    @functools.cached_property
    def _found(self) -> tuple[dict[str, onnx.TypeProto], dict[str, NDArray[Any]]]:
        """Types, and the numbers made from shapes."""
        if self.facts is None:
            return self._checked(infer_types(self._model.proto)), {}
        types, numbers = self._apply(self.facts)
        return self._checked(types), numbers

    def _apply(self, facts: Facts) -> tuple[dict[str, onnx.TypeProto], dict[str, NDArray[Any]]]:
        activations = [name for name, kind in self.kind.items() if kind is Kind.ACTIVATION]
        return apply_facts(self._model, self._arithmetic, activations, facts, self._settings)

    @functools.cached_property
    def _settings(self) -> Mapping[str, NDArray[Any]]:
        """Sizes, pads, axes that nodes make of constants alone."""
        read = {
            name
            for node in self.nodes
            for place, name in enumerate(node.input)
            if place in find_operator(node).settings and name in self.producer
        }
        made = [name for name in sorted(read) if self.is_constant(name)]
        # A list may be made longer than memory.
        types = infer_types(self._model.proto) if made else {}
        known = [n for n in made if is_modest(n, types) and self.constants.is_computed(n)]
        found = {name: self.constants.array(name) for name in known}
        return {name: array for name, array in found.items() if array.size <= _LARGEST_SETTING}

    def _checked(self, types: dict[str, onnx.TypeProto]) -> dict[str, onnx.TypeProto]:
        check_sizes(types, self._model.name)
        self._check_ranks(types)
        return types

    @functools.cached_property
    def has_open_batch(self) -> bool:
        """Whether the file leaves the first size of its first input open."""
        shape = shape_of(self.inputs[0].type) if self.inputs else None
        return shape is not None and shape[:1] == (None,)

    @functools.cached_property
    def doubled(self) -> Mapping[str, Shape | None]:
        """Shapes for twice the samples, where facts are given and the batch is open; else none."""
        if self.facts is None or not self.has_open_batch:
            return {}
        batch = self.inputs[0].type.tensor_type.shape.dim[0].dim_param
        fed = dict(self.facts.fed)
        for value in self.inputs:
            shape = shape_of(value.type)
            if shape and shape[0] is None and fed.get(value.name):
                name = value.type.tensor_type.shape.dim[0].dim_param
                if name in ("", batch):
                    first, *rest = fed[value.name]
                    fed[value.name] = (2 * first, *rest)
        types, _ = self._apply(Facts(fed))
        return {name: shape_of(each) for name, each in types.items()}

    @property
    def _arithmetic(self) -> list[onnx.NodeProto]:
        """The nodes that make numbers from shapes and constants alone."""
        made = [(next(filter(None, node.output), ""), node) for node in self.nodes]
        return [node for name, node in made if self.kind.get(name) is Kind.SHAPE]

    @property
    def _types(self) -> dict[str, onnx.TypeProto]:
        return self._found[0]

    @property
    def numbers(self) -> Mapping[str, NDArray[Any]]:
        """What is made from shapes and constants alone, for the facts that are given."""
        return self._found[1]

    def _check_ranks(self, types: Mapping[str, onnx.TypeProto]) -> None:
        """Raise if a list of sizes is for more axes than a value can have."""
        for node in self.nodes:
            name = input_name(node, find_operator(node).sizes)
            held = self.constants.held.get(name)
            shape = shape_of(types[name]) if name in types else None
            shape = shape if held is None else tuple(held.dims)
            if shape and len(shape) == 1 and (shape[0] or 0) > MOST_AXES:
                raise ModelError(
                    f"model {self._model.name!r}: {label(node)} reads {shape[0]:,} sizes, and a "
                    f"value has at most {MOST_AXES} axes; export the model again"
                )

    @functools.cached_property
    def _shapes(self) -> dict[str, Shape | None]:
        found = {name: shape_of(each) for name, each in self._types.items()}
        return found | {name: tuple(each.dims) for name, each in self.constants.held.items()}

    def activations(self, node: onnx.NodeProto) -> list[str]:
        """Names of the activations that a node reads, subgraphs included."""
        return [name for name in captured(node) if self.kind[name] is Kind.ACTIVATION]

    def is_constant(self, name: str) -> bool:
        """Tell whether a value is there and depends on constants alone."""
        return self.kind.get(name) is Kind.CONSTANT

    def shape(self, name: str) -> Shape | None:
        """Shape of a value as far as it is known; ``None`` if the rank is not."""
        return self._shapes.get(name)

    def rank(self, name: str) -> int | None:
        """Number of a value's axes, where it is known."""
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def is_tensor(self, name: str) -> bool:
        """Tell whether a value is a numeric tensor, as far as is known."""
        found = self._types.get(name)
        return found is None or (
            found.HasField("tensor_type") and found.tensor_type.elem_type != onnx.TensorProto.STRING
        )

    def element_type(self, name: str) -> int:
        """ONNX's number of a tensor's element type, 0 where it is unknown."""
        found = self._types.get(name)
        return found.tensor_type.elem_type if found is not None else 0

    def nodes_before(self, wanted: Iterable[str]) -> list[int]:
        """Indices of nodes whose activations reach these values other than through a shape."""
        needed = set(wanted)
        found = []
        for index, node in reversed(list(enumerate(self.nodes))):
            made = [name for name in node.output if name]
            if not needed.isdisjoint(made) and self.kind[made[0]] is Kind.ACTIVATION:
                found.append(index)
                needed.update(self.activations(node))
        return found[::-1]

    def only_reader(self, name: str) -> int | None:
        """Index of the node that alone reads a value; ``None`` also where an output gives it."""
        readers = self.consumers[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def constant_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a constant."""
        shape = self.shape(name)
        if shape is None or None in shape:
            return self.array(name).shape
        return tuple(size for size in shape if size is not None)

    def is_known(self, name: str) -> bool:
        """Tell whether a value is a constant that can be computed, or a number that is known."""
        if name in self.numbers:
            return True
        return self.is_constant(name) and self.constants.is_computed(name)

    def array(self, name: str) -> NDArray[Any]:
        """Values of a constant, or of a number that is known.

        Raises
        ------
        ModelError
            If it cannot be computed.
        """
        return self.numbers[name] if name in self.numbers else self.constants.array(name)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes as Python values."""
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def input_name(node: onnx.NodeProto, place: int | None) -> str:
    """Name of the input at a place; empty where there is none."""
    return "" if place is None or place >= len(node.input) else node.input[place]


def label(node: onnx.NodeProto) -> str:
    """A node in a message."""
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


def is_training(graph: Graph, dropout: onnx.NodeProto) -> bool:
    """Tell whether a Dropout may leave out values."""
    mode = input_name(dropout, 2)
    return bool(mode) and not (graph.is_known(mode) and not graph.array(mode).any())
