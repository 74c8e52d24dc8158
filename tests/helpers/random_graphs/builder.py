"""A graph in the making: nodes, constants, names, and what is true of each layer.

The truth is what the drawing itself decided: where channels lie, which value is a layer's
activation, which constants are its kernel and bias. Nothing here imports micam-fast.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.random_graphs.operations import InnerNodes, Written

Array = NDArray[Any]

OLDEST_OPSET = 8
_IR_OF_OPSET = ((9, 3), (10, 5), (13, 7), (19, 9), (22, 10))
"""The least IR versions that go with opsets up to these."""


@dataclass(frozen=True)
class Value:
    """An activation, with the sizes that the drawn sample gives it.

    Attributes
    ----------
    name
        In the graph.
    shape
        With the batch first.
    channel
        Axis of the channels; ``None`` for a flat value.
    positive
        Whether a constant may be divided by it.
    """

    name: str
    shape: tuple[int, ...]
    channel: int | None
    positive: bool = False

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def channels(self) -> int:
        """Number of channels."""
        assert self.channel is not None
        return self.shape[self.channel]

    @property
    def space(self) -> tuple[int, ...]:
        """Sizes of the spatial axes."""
        return tuple(n for axis, n in enumerate(self.shape) if axis not in (0, self.channel))

    @property
    def first(self) -> bool:
        """Whether it has space, and its channels stand before it."""
        return self.channel == 1 and self.rank > 2

    @property
    def last(self) -> bool:
        """Whether it has space, and its channels stand behind it."""
        return self.channel is not None and self.rank > 2 and self.channel == self.rank - 1


@dataclass(frozen=True)
class Convolution:
    """What a convolution does: names of its constants, and one number for each spatial axis."""

    kernel: str
    bias: str | None
    source: Value
    strides: tuple[int, ...]
    begins: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int
    transpose: bool


@dataclass(frozen=True)
class Layer:
    """What is true of a layer.

    Attributes
    ----------
    node
        Index of its operator among the nodes; -1 for an input.
    value
        Its activation.
    flat
        Whether SPEC draws it flat whatever its rank.
    convolution
        If it is one.
    takes_bias
        Whether an Add of a constant behind it is its bias.
    sure
        Whether SPEC settles its map in this version; else the map is only asked to be there.
    """

    node: int
    value: Value
    flat: bool = False
    convolution: Convolution | None = None
    takes_bias: bool = False
    sure: bool = True


@dataclass(frozen=True)
class Drawn:
    """A random graph with what is true of it.

    Attributes
    ----------
    seed, model
        What was drawn.
    input_shape
        Of a sample, without the batch.
    batch
        A fixed batch, or 1.
    layers
        By the names that SPEC gives them, inputs first.
    memory
        Bytes for ``memory=``; ``None`` for the default.
    positive
        Whether all weights are, and nothing cancels out or saturates.
    made
        What the drawing did, in words.
    """

    seed: int
    model: onnx.ModelProto
    input_shape: tuple[int, ...]
    batch: int
    layers: dict[str, Layer]
    memory: int | None
    positive: bool
    made: tuple[str, ...]


@dataclass
class Traits:
    """What holds for a whole graph."""

    opset: int
    naming: str
    constants: str
    positive: bool
    square: int | None
    batch: int | str
    is_open: tuple[bool, ...]
    listed: bool
    inferred: bool


class Builder:
    """Collects a graph; `pick` and `numbers` are its sources of chance."""

    def __init__(self, seed: int, traits: Traits) -> None:
        self.seed, self.traits = seed, traits
        self.pick = random.Random(f"graph {seed}")
        self.numbers = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.held: dict[str, Array] = {}
        self.layers: list[Layer] = []
        self.pool: list[Value] = []
        self.made: list[str] = []
        self.input: Value | None = None
        self.shared: dict[tuple[int, ...], str] = {}
        # Adds of a constant for each channel: result to what it is added to, and the constant.
        self.sums: dict[str, tuple[str, str]] = {}
        # Moves that a bias is sought behind: result to what is moved.
        self.moves: dict[str, str] = {}
        # As `InnerNodes` has them.
        self.steps: dict[str, tuple[str, str]] = {}
        self.written: list[Written] = []

    @property
    def opset(self) -> int:
        """Version of ONNX's operators."""
        return self.traits.opset

    @property
    def batch(self) -> int:
        """Samples in a run."""
        return self.traits.batch if isinstance(self.traits.batch, int) else 1

    def begin_step(self, number: int) -> None:
        """Draw anew, so that what one step draws does not depend on the others."""
        self.pick = random.Random(f"graph {self.seed} {number}")
        self.numbers = np.random.default_rng([self.seed, number + 9])

    def chance(self, share: float) -> bool:
        """Whether something of this likelihood happens."""
        return self.pick.random() < share

    # --- Names and nodes ---------------------------------------------------------------------

    def _names(self, op: str, outputs: int) -> tuple[str, list[str]]:
        index, style = len(self.nodes), self.traits.naming
        if style == "torch":
            scope = f"/stage{index // 3}/stage{index // 3}.{index % 3}/{op}"
            name = scope if index % 5 else f"{scope}_{index}"
            return name, [f"{name}_output_{k}" for k in range(outputs)]
        if style == "keras":
            name = f"functional/block_{index}/{op}"
            return name, [f"{name}:{k}" for k in range(outputs)]
        made = [f"v{index}_{k}" if k else f"v{index}" for k in range(outputs)]
        if style == "bare":
            return "", made
        return f"{op}_{index}", made

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **given: Any) -> str:
        """Add an operator; the name of its first output."""
        name, made = self._names(op, outputs)
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **given))
        return made[0]

    def hold(self, array: Any, stem: str) -> str:
        """Add an initializer."""
        style = self.traits.naming
        name = f"{stem}{len(self.held)}"
        if style == "torch":
            name = f"module{len(self.held)}.{stem}"
        elif style == "keras":
            name = f"functional/{stem}_{len(self.held)}/ReadVariableOp:0"
        self.held[name] = np.asarray(array)
        return name

    def integers(self, numbers: Sequence[int], dtype: Any = np.int64) -> str:
        """A constant of whole numbers, as an initializer or a Constant node."""
        array = np.array(numbers, dtype)
        if self.chance(0.5):
            return self.hold(array, "sizes")
        return self.node("Constant", [], value=numpy_helper.from_array(array))

    # --- Layers ------------------------------------------------------------------------------

    def layer(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        channel: int | None,
        *,
        positive: bool = False,
        flat: bool = False,
        sure: bool = True,
        takes_bias: bool = False,
        outputs: int = 1,
        **given: Any,
    ) -> Value:
        """Add an operator that is a layer."""
        name = self.node(op, inputs, outputs, **given)
        value = Value(name, tuple(shape), channel, positive)
        self.layers.append(
            Layer(len(self.nodes) - 1, value, flat, None, takes_bias=takes_bias, sure=sure)
        )
        return value

    def convolution(self, value: Value, found: Convolution) -> Value:
        """Say what the layer that was added last convolves with."""
        bias = found.bias is None
        self.layers[-1] = replace(self.layers[-1], convolution=found, takes_bias=bias)
        return value

    def move(
        self, op: str, value: Value, shape: Sequence[int], channel: int | None, *inputs: str,
        **given: Any,
    ) -> Value:  # fmt: skip
        """Add an operator that is no layer and hands its numbers on."""
        name = self.node(op, [value.name, *inputs], **given)
        self.moves[name] = value.name
        return Value(name, tuple(shape), channel, value.positive)

    def step(self, op: str, made: Value, source: Value, sizes: Sequence[int]) -> None:
        """Keep that an operator takes a constant of these sizes, which fits the channels."""
        if product(sizes) == source.channels > 1:
            self.steps[made.name] = (op, source.name)

    def note(self, *words: object) -> None:
        """Keep what was done, for people."""
        self.made.append(" ".join(map(str, words)))

    # --- Numbers -----------------------------------------------------------------------------

    def weights(self, *shape: int, spread: float = 1.0) -> Array:
        """Random numbers; from 0.5 to 1.5 where all are to be positive."""
        if self.traits.positive:
            return self.numbers.uniform(0.5, 1.5, shape).astype(np.float32)
        return (self.numbers.standard_normal(shape) * spread).astype(np.float32)

    # --- The end -----------------------------------------------------------------------------

    def finish(self, outputs: Sequence[Value], memory: int | None) -> Drawn:
        """The model, without what no output needs, and its layers by name."""
        assert self.input is not None
        names = [each.name for each in outputs]
        live = self._live(names)
        owner = {node.output[0]: index for index, node in enumerate(self.nodes)}
        kept = [self._with_bias(each, names, live) for each in self.layers]
        # The Adds that are biases now are no layers of their own.
        made = ((each.node, owner.get(each.value.name)) for each in kept)
        swallowed = {last for node, last in made if last not in (None, node)}
        swallowed |= InnerNodes(self.nodes, live, names, self.steps, self.written).found
        named = self._layer_names(live)
        layers = {
            self.input.name if each.node < 0 else named[each.node]: each
            for each in kept
            if each.node < 0 or (each.node in live and each.node not in swallowed)
        }
        return Drawn(
            self.seed, self._model(outputs, live), self.input.shape[1:], self.batch, layers,
            memory, self.traits.positive, tuple(self.made),
        )  # fmt: skip

    def _live(self, names: Sequence[str]) -> set[int]:
        needed, live = set(names), set()
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            if not needed.isdisjoint(node.output):
                live.add(index)
                needed.update(node.input)
        return live

    def _layer_names(self, live: set[int]) -> dict[int, str]:
        used = Counter(self.nodes[index].name for index in live)
        return {
            index: node.name if node.name and used[node.name] == 1 else node.output[0]
            for index in live
            for node in [self.nodes[index]]
        }

    def _with_bias(self, layer: Layer, outputs: Sequence[str], live: set[int]) -> Layer:
        """A layer and the Add that alone reads it are one layer."""
        if not layer.takes_bias:
            return layer
        readers = self._readers(live)
        name = layer.value.name
        while name not in outputs and len(readers.get(name, ())) == 1:
            made = self.nodes[readers[name][0]].output[0]
            if made in self.sums and self.sums[made][0] == name:
                value = next(each.value for each in self.layers if each.value.name == made)
                found = layer.convolution
                if found is not None:
                    found = replace(found, bias=self.sums[made][1])
                return replace(layer, value=value, convolution=found)
            if self.moves.get(made) != name:
                break
            name = made
        return layer

    def _readers(self, live: set[int]) -> dict[str, list[int]]:
        readers: dict[str, list[int]] = {}
        for index in sorted(live):
            for name in self.nodes[index].input:
                readers.setdefault(name, []).append(index)
        return readers

    def _model(self, outputs: Sequence[Value], live: set[int]) -> onnx.ModelProto:
        assert self.input is not None
        nodes = [self.nodes[index] for index in sorted(live)]
        used = {name for node in nodes for name in node.input}
        held = {name: array for name, array in self.held.items() if name in used}
        inputs = [helper.make_tensor_value_info(self.input.name, TensorProto.FLOAT, self._open())]
        least = next((ir for opset, ir in _IR_OF_OPSET if self.opset <= opset), 11)
        if self.traits.listed or least < 4:
            inputs += [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                for name, array in held.items()
            ]
        graph = helper.make_graph(
            nodes,
            "random",
            inputs,
            [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, None) for v in outputs],
            [numpy_helper.from_array(array, name) for name, array in held.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = least
        if self.traits.inferred:
            model = onnx.shape_inference.infer_shapes(model)
        return model

    def _open(self) -> list[Any]:
        """The input's shape as the file states it."""
        assert self.input is not None
        stated: list[Any] = list(self.input.shape)
        stated[0] = self.traits.batch
        space = [axis for axis in range(1, self.input.rank) if axis != self.input.channel]
        for axis, is_open, name in zip(space, self.traits.is_open, "HWD", strict=False):
            if is_open:
                stated[axis] = name
        return stated


def divisors(number: int) -> list[int]:
    """Of a whole number."""
    return [each for each in range(1, number + 1) if number % each == 0]


def product(sizes: Sequence[int]) -> int:
    """Of sizes."""
    return math.prod(sizes)
