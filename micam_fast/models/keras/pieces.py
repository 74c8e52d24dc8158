"""Pieces of a traced TensorFlow graph, cut out between activations that are already there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOOPS = {"While", "StatelessWhile"}


@dataclass(frozen=True)
class Stored:
    """Where an activation is in the ONNX graph.

    Attributes
    ----------
    value
        The ONNX value.
    order
        For each of Keras' axes, the value's axis that holds it.
    """

    value: str
    order: tuple[int, ...]

    @property
    def is_keras(self) -> bool:
        """Whether the value lies in Keras' own layout."""
        return self.order == tuple(range(len(self.order)))


class Cutter:
    """Cuts a traced graph at the activations that layers gave.

    The values of its inputs that hold weights, and the activations, go by tensor names.
    """

    def __init__(
        self, graph: Any, weights: Mapping[str, NDArray[Any]], activations: Collection[str]
    ) -> None:
        self._graph = graph
        self._definition = graph.as_graph_def()
        self._weights = weights
        self._activations = frozenset(activations)
        self._folded = _fold(graph, self._definition)

    def cut(
        self, wanted: Sequence[Any], stored: Mapping[str, Stored]
    ) -> tuple[Any, dict[str, str]]:
        """The operations between what is stored and what is wanted.

        What is stored in another layout than Keras' is fed as it is stored, and turned inside.
        What is wanted are tensors; ONNX values are stored by tensor names.

        Returns
        -------
        definition
            A GraphDef.
        fed
            The ONNX values that its placeholders stand for, by tensor name.
        """
        import tensorflow as tf

        borders, names = self._ancestors(wanted, stored)
        fixed = self._folded | {name: self._weights[name] for name in self._read_by_loops(names)}
        whole = self._definition
        cut = tf.compat.v1.GraphDef(versions=whole.versions, library=whole.library)
        fed: dict[str, str] = {}
        renamed: dict[str, str] = {}
        for index, tensor in enumerate(borders):
            if tensor.name in fixed:
                name = f"micam_fixed_{index}"
                renamed[tensor.name] = _add_constant(cut, name, fixed[tensor.name])
                continue
            found, name = stored[tensor.name], f"micam_fed_{index}"
            renamed[tensor.name] = _add_placeholder(cut, name, tensor, found.order)
            fed[f"{name}:0"] = found.value
        for node in whole.node:
            if node.name in names:
                copy = cut.node.add()
                copy.CopyFrom(node)
                for place, read in enumerate(copy.input):
                    full = read if ":" in read else f"{read}:0"
                    if full in renamed:
                        copy.input[place] = renamed[full]
        return cut, fed

    def _ancestors(
        self, wanted: Sequence[Any], stored: Mapping[str, Stored]
    ) -> tuple[list[Any], set[str]]:
        """Tensors that are there already, and names of the operations from them on."""
        borders: dict[str, Any] = {}
        names: set[str] = set()
        waiting = [tensor.op for tensor in wanted]
        while waiting:
            operation = waiting.pop()
            if operation.name in names:
                continue
            names.add(operation.name)
            for tensor in operation.inputs:
                if tensor.name in stored or tensor.name in self._folded:
                    borders[tensor.name] = tensor
                else:
                    waiting.append(tensor.op)
        return list(borders.values()), names

    def _read_by_loops(self, names: Collection[str]) -> set[str]:
        """Weights of recurrent layers: tf2onnx knows an LSTM or GRU by its constants only."""
        operations = [self._graph.get_operation_by_name(name) for name in names]
        ends = [tensor for each in operations if each.type in _LOOPS for tensor in each.inputs]
        found: set[str] = set()
        seen: set[str] = set()
        while ends:
            tensor = ends.pop()
            if tensor.name in self._weights:
                found.add(tensor.name)
            elif tensor.name not in seen and tensor.name not in self._activations:
                seen.add(tensor.name)
                ends.extend(tensor.op.inputs)
        return found


def _fold(graph: Any, whole: Any) -> dict[str, NDArray[Any]]:
    """Values of what depends on constants alone and is read by what does not, computed at once.

    tf2onnx would open a TensorFlow session for each such operation: four for each
    BatchNormalization.
    """
    import tensorflow as tf

    constant: set[str] = set()
    wanted: dict[str, Any] = {}
    for operation in graph.get_operations():
        inputs = list(operation.inputs)
        if operation.type == "Const" or (
            inputs
            and all(tensor.op.name in constant for tensor in inputs)
            and not operation.op_def.is_stateful
            and operation.type not in _LOOPS
            and all(tensor.dtype not in (tf.variant, tf.resource) for tensor in operation.outputs)
        ):
            constant.add(operation.name)
            continue
        folded = [t for t in inputs if t.op.name in constant and t.op.type != "Const"]
        wanted.update((tensor.name, tensor) for tensor in folded)
    if not wanted:
        return {}
    definition = tf.compat.v1.GraphDef(versions=whole.versions)
    definition.node.extend(node for node in whole.node if node.name in constant)

    def run() -> Any:
        return tf.import_graph_def(definition, return_elements=list(wanted), name="")

    values = tf.compat.v1.wrap_function(run, [])()
    return {name: value.numpy() for name, value in zip(wanted, values, strict=True)}


def _add_constant(cut: Any, name: str, array: NDArray[Any]) -> str:
    import tensorflow as tf

    node = cut.node.add(op="Const", name=name)
    node.attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return name


def _add_placeholder(cut: Any, name: str, tensor: Any, order: Sequence[int]) -> str:
    """Stand for a tensor that is stored in some order of its axes; give it in Keras' own."""
    import tensorflow as tf

    node = cut.node.add(op="Placeholder", name=name)
    node.attr["dtype"].type = tensor.dtype.as_datatype_enum
    if list(order) == sorted(order):
        node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        return name
    stored = tf.TensorShape([tensor.shape[axis] for axis in np.argsort(order).tolist()])
    node.attr["shape"].shape.CopyFrom(stored.as_proto())
    axes = _add_constant(cut, f"{name}_order", np.array(order, np.int32))
    turned = cut.node.add(op="Transpose", name=f"{name}_turned", input=[name, axes])
    turned.attr["T"].type = tensor.dtype.as_datatype_enum
    turned.attr["Tperm"].type = tf.int32.as_datatype_enum
    return str(turned.name)
