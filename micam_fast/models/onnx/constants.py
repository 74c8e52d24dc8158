"""A model's constants: those it holds, and those that its nodes compute from them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx import folding
from micam_fast.models.onnx.files import OnnxFile, bodies, captured, node_tensors, whole_tensor
from micam_fast.models.onnx.inference import is_small
from micam_fast.models.onnx.operators import find_operator

# Each costs a session of ONNX Runtime; a real model has none.
_MOST_FAILURES = 100
# Turns of a loop of constants, and the operators that they may run in all.
_MOST_STEPS = 100_000
_NUMBERS = {
    "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
    "value_ints": np.int64,
}  # fmt: skip


class Constants:
    """The values of a model's constants, read and computed when they are asked for.

    ONNX Runtime computes them, whatever their operators are: all that other nodes read at once,
    when the first is asked for.

    Attributes
    ----------
    held
        Initializers by name, sparse ones as their values' name.
    nodes
        Indices of the nodes that make constants: what they read are constants, and nothing in them
        makes random numbers.
    read
        Names of those whose values were asked for and are not in `bare_model`.
    """

    def __init__(self, model: OnnxFile) -> None:
        self._model = model
        graph = model.proto.graph
        self.held: dict[str, onnx.TensorProto | onnx.SparseTensorProto] = {
            **{sparse.values.name: sparse for sparse in graph.sparse_initializer},
            **{tensor.name: tensor for tensor in graph.initializer},
        }
        self.read: set[str] = set()
        self._computed: dict[str, NDArray[Any]] = {}
        self._failures: dict[str, str] = {}
        self._tried_all = False
        # What the computed ones take.
        self._bytes = 0

    def array(self, name: str) -> NDArray[Any]:
        """Values of a constant, computed from the constants that it depends on.

        Raises
        ------
        ModelError
            If ONNX Runtime cannot compute it, or needs more memory than `folding.largest_folded`.
        """
        if name in self.held:
            self._note(name)
            return self._any_array(name)
        array = self._made_array(name)
        for index in self._makers([name]):
            for read in captured(self._model.proto.graph.node[index]):
                self._note(read)
        return array

    def is_computed(self, name: str) -> bool:
        """Tell whether a constant can be computed; its numbers make no difference."""
        try:
            if name not in self.held:
                self._made_array(name)
        except ModelError:
            return False
        return True

    def digest(self, name: str) -> str:
        """A digest of the values of a held constant."""
        held = self.held[name]
        parts = [held] if isinstance(held, onnx.TensorProto) else [held.values, held.indices]
        digest = hashlib.sha256(repr(list(held.dims)).encode())
        for part in parts:
            digest.update(whole_tensor(part, self._model).SerializeToString(deterministic=True))
        return digest.hexdigest()

    @functools.cached_property
    def nodes(self) -> frozenset[int]:
        """Indices of the nodes that make constants."""
        constant = set(self.held)
        found = []
        for index, node in enumerate(self._model.proto.graph.node):
            if constant.issuperset(captured(node)) and not self._is_random(node):
                found.append(index)
                constant.update(node.output)
        return frozenset(found)

    def _is_random(self, node: onnx.NodeProto) -> bool:
        """Tell whether a node, or one in its subgraphs, may make random numbers of constants."""
        when = find_operator(node).random
        if when == "training" and len(node.input) > 2 and node.input[2]:
            mode = node.input[2]
            stored = mode in self.held or self._stored(mode) is not None
            when = "never" if stored and not self.array(mode).any() else "always"
        inside = (each for body in bodies(node) for each in body.node)
        return when == "always" or any(map(self._is_random, inside))

    @functools.cached_property
    def _producer(self) -> dict[str, int]:
        nodes = self._model.proto.graph.node
        return {name: index for index, node in enumerate(nodes) for name in node.output if name}

    @functools.cached_property
    def _handed(self) -> list[str]:
        """Computed constants that other nodes read, but for those that `_check` has to see."""
        graph = self._model.proto.graph
        wanted = dict.fromkeys(value.name for value in graph.output)
        for index, node in enumerate(graph.node):
            if index not in self.nodes:
                wanted.update(dict.fromkeys(captured(node)))
        made: set[str] = set()
        doubtful = {name for name, held in self.held.items() if _is_text(held)}
        for index in sorted(self.nodes):
            node = graph.node[index]
            made.update(node.output)
            if any(bodies(node)) or _holds_text(node) or not doubtful.isdisjoint(captured(node)):
                doubtful.update(node.output)
        made -= doubtful
        return [name for name in wanted if name in made and self._stored(name) is None]

    def _makers(self, names: Iterable[str]) -> list[int]:
        """Nodes that make some constants and what they depend on, in order."""
        found: set[int] = set()
        waiting = list(names)
        while waiting:
            index = self._producer.get(waiting.pop())
            if index is not None and index not in found:
                found.add(index)
                waiting.extend(captured(self._model.proto.graph.node[index]))
        return sorted(found)

    def _check(self, name: str) -> None:
        """Raise if it may take for ever to compute a constant, or memory that nothing bounds."""
        if len(self._failures) > _MOST_FAILURES:
            raise self._not_computed(name, f"nor can {_MOST_FAILURES} others")
        steps = 0
        for index in self._makers([name]):
            node = self._model.proto.graph.node[index]
            read = (self.held[each] for each in captured(node) if each in self.held)
            # Texts lie elsewhere.
            if _holds_text(node) or any(map(_is_text, read)):
                raise self._not_computed(name, "it is made of texts")
            steps += self._turns(node) * sum(map(_count_steps, bodies(node)))
            if steps > _MOST_STEPS:
                why = f"a loop of it may run more than {_MOST_STEPS:,} operators"
                raise self._not_computed(name, why)

    def _not_computed(self, name: str, why: str) -> ModelError:
        node = self._model.proto.graph.node[self._producer[name]]
        return folding.not_computed(self._model, name, node.op_type, why)

    def _turns(self, node: onnx.NodeProto) -> int:
        """How often the bodies of a node that makes constants run at most."""
        match find_operator(node).name:
            case "If":
                return 1
            case "Loop" if node.input[0]:
                return int(np.max(self._any_array(node.input[0]), initial=0))
            case "Scan":
                shapes: list[tuple[int, ...]] = [
                    self._any_array(name).shape for name in node.input if name
                ]
                return max((size for shape in shapes for size in shape), default=1)
            case _:
                return _MOST_STEPS + 1

    def _note(self, name: str) -> None:
        held = self.held.get(name)
        if held is not None and not (isinstance(held, onnx.TensorProto) and is_small(held)):
            self.read.add(name)

    def _any_array(self, name: str) -> NDArray[Any]:
        held = self.held.get(name)
        return self._made_array(name) if held is None else folding.dense_array(held, self._model)

    def _stored(self, name: str) -> onnx.AttributeProto | None:
        """What a Constant holds, if it is of numbers."""
        node = self._model.proto.graph.node[self._producer[name]]
        if find_operator(node).name != "Constant" or len(node.attribute) != 1:
            return None
        return node.attribute[0] if node.attribute[0].name in ("value", *_NUMBERS) else None

    def _made_array(self, name: str) -> NDArray[Any]:
        if name in self._computed:
            return self._computed[name]
        stored = self._stored(name)
        if stored is not None:
            self._computed[name] = (
                folding.dense_array(stored.t, self._model)
                if stored.name == "value"
                else np.array(onnx.helper.get_attribute_value(stored), _NUMBERS[stored.name])
            )
            return self._computed[name]
        if not self._tried_all:
            self._tried_all = True
            # Of those that fail each is computed apart: it may be one that nobody asks for.
            with contextlib.suppress(ModelError):
                self._run(self._handed)
        if name not in self._computed and name not in self._failures:
            try:
                self._check(name)
                self._run([name])
            except ModelError as error:
                self._failures[name] = str(error)
        if name in self._failures:
            raise ModelError(self._failures[name])
        return self._computed[name]

    def _run(self, names: Sequence[str]) -> None:
        """Compute some constants."""
        if not names:
            return
        found = folding.compute(self._model, {}, names)
        size = self._bytes + sum(array.nbytes for array in found.values())
        if size > folding.largest_folded():
            raise self._not_computed(names[0], "with those before it is too large")
        self._computed.update(found)
        self._bytes = size


def _count_steps(body: onnx.GraphProto) -> int:
    """Operators that run in a body; loops within it count as without an end."""
    steps = 0
    for node in body.node:
        inner = sum(map(_count_steps, bodies(node)))
        steps += inner if find_operator(node).name == "If" else (_MOST_STEPS + 1) * inner
    return steps + len(body.node)


def _is_text(held: onnx.TensorProto | onnx.SparseTensorProto) -> bool:
    tensor = held.values if isinstance(held, onnx.SparseTensorProto) else held
    return tensor.data_type == onnx.TensorProto.STRING


def _holds_text(node: onnx.NodeProto) -> bool:
    texts = any(each.name in ("value_string", "value_strings") for each in node.attribute)
    return texts or any(map(_is_text, node_tensors(node)))
