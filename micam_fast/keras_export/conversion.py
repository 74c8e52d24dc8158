"""A recorded Keras model to ONNX by tf2onnx, in pieces, with the activation of each layer kept.

tf2onnx's optimizer takes time by the square of the graph and again for each output, and copies
weights in every pass. So the traced graph is cut at activations into pieces of a few dozen layers,
its large weights stay inputs of the pieces, and the pieces are joined afterwards. Where a piece
keeps an activation in ONNX's own layout and only turns it for its output, the next piece takes it
as it is: no layout-only Transpose is left between the layers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from micam_fast.errors import ExportError
from micam_fast.extras import import_extra
from micam_fast.keras_export.recording import LayerCall, Recording

OPSET = 15
_PIECE = 40
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


@dataclass(eq=False)
class _Assembly:
    """The graph that the pieces are joined to."""

    weights: Mapping[str, NDArray[Any]]
    # Tensors that calls gave.
    activations: frozenset[str]
    # Tensors that must come out in Keras' own layout: the model's outputs.
    kept: frozenset[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    # By the name of the TensorFlow tensor.
    stored: dict[str, Stored] = field(default_factory=dict)
    # Values that are some layer's activation.
    claimed: set[str] = field(default_factory=set)


def convert(recording: Recording) -> tuple[onnx.GraphProto, dict[str, Stored]]:
    """Convert a recorded model.

    Returns
    -------
    graph
        Inputs as Keras has them; weights under Keras' names; outputs are left to the caller.
    stored
        Where each tensor that a call gave, and each output of the model, is to be found.

    Raises
    ------
    ExportError
        If tf2onnx cannot convert a layer.
    """
    assembly = _Assembly(
        weights=recording.weights,
        activations=frozenset(call.output.name for call in recording.calls),
        kept=frozenset(tensor.name for tensor in recording.outputs),
    )
    inputs = []
    for call in recording.calls:
        if call.output.op.type == "Placeholder" and not call.parents:
            inputs.append(_declare(call.name, call.output))
            assembly.stored[call.output.name] = Stored(call.name, _identity(call.output))
    for tensor, title in recording.titles.items():
        name = free_name(title, assembly.constants)
        assembly.constants[name] = numpy_helper.from_array(
            np.ascontiguousarray(recording.weights[tensor]), name
        )
        assembly.stored[tensor] = Stored(name, tuple(range(recording.weights[tensor].ndim)))
    source = recording.function.graph.as_graph_def()
    with _quiet():
        rest = [c for c in recording.calls if c.output.name not in assembly.stored]
        for number, start in enumerate(range(0, len(rest), _PIECE)):
            piece = rest[start : start + _PIECE]
            _add_piece(assembly, source, number, [call.output for call in piece], piece)
        ends = [t for t in recording.outputs if t.name not in assembly.stored]
        if ends:
            _add_piece(assembly, source, -1, ends, rest[-1:])
    graph = helper.make_graph(
        assembly.nodes, "model", inputs, [], initializer=list(assembly.constants.values())
    )
    return graph, assembly.stored


def _declare(name: str, tensor: Any) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype.as_numpy_dtype))
    shape = ["batch", *tensor.shape[1:]] if tensor.shape.rank else tensor.shape
    return helper.make_tensor_value_info(name, dtype, list(shape))


def _identity(tensor: Any) -> tuple[int, ...]:
    return tuple(range(tensor.shape.rank or 0))


def free_name(name: str, taken: Container[str]) -> str:
    """A name that is not taken: the one that is wanted, or with a number."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}#{count}"
    return free


@contextmanager
def _quiet() -> Iterator[None]:
    """tf2onnx logs what it cannot convert, and raises, too; we say it once."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _add_piece(
    assembly: _Assembly, source: Any, number: int, wanted: Sequence[Any], calls: Sequence[LayerCall]
) -> None:
    """Convert what lies between activations that are there and the wanted ones, and join it."""
    borders, names = _ancestors(wanted, assembly.stored)
    fixed = {
        name: assembly.weights[name] for name in _read_by_loops(wanted[0].graph, names, assembly)
    }
    graph_def, fed = _cut(source, borders, names, assembly.stored, fixed)
    try:
        piece = _convert_piece(graph_def, list(fed), [tensor.name for tensor in wanted])
    except Exception as error:
        raise ExportError(
            f"tf2onnx cannot convert {_listed(calls)}: {type(error).__name__}: {error}"
        ) from error
    unknown = [node.op_type for node in piece.graph.node if not onnx.defs.has(node.op_type)]
    if unknown:
        raise ExportError(
            f"tf2onnx has no ONNX operator for TensorFlow's {unknown[0]}, in {_listed(calls)}"
        )
    _join(assembly, piece.graph, f"part{number}/" if number >= 0 else "end/", fed, wanted)


def _listed(calls: Sequence[LayerCall]) -> str:
    if len(calls) == 1:
        return f"layer {calls[0].name!r}"
    return f"the layers {calls[0].name!r} to {calls[-1].name!r}"


def _ancestors(wanted: Sequence[Any], stored: Mapping[str, Stored]) -> tuple[list[Any], set[str]]:
    """Tensors that are there already, and names of the operations from them to the wanted ones."""
    borders: dict[str, Any] = {}
    names: set[str] = set()
    waiting = [tensor.op for tensor in wanted]
    while waiting:
        operation = waiting.pop()
        if operation.name in names:
            continue
        names.add(operation.name)
        for tensor in operation.inputs:
            if tensor.name in stored:
                borders[tensor.name] = tensor
            else:
                waiting.append(tensor.op)
    return list(borders.values()), names


def _read_by_loops(graph: Any, names: set[str], assembly: _Assembly) -> set[str]:
    """Weights of recurrent layers: tf2onnx knows an LSTM or GRU by its constants only."""
    loops = [graph.get_operation_by_name(name) for name in names]
    ends = [t for loop in loops if loop.type in _LOOPS for t in loop.inputs]
    found: set[str] = set()
    seen: set[str] = set()
    while ends:
        tensor = ends.pop()
        if tensor.name in assembly.weights:
            found.add(tensor.name)
        elif tensor.name not in seen and tensor.name not in assembly.activations:
            seen.add(tensor.name)
            ends.extend(tensor.op.inputs)
    return found


def _cut(
    source: Any,
    borders: Sequence[Any],
    names: set[str],
    stored: Mapping[str, Stored],
    fixed: Mapping[str, NDArray[Any]],
) -> tuple[Any, dict[str, str]]:
    """A GraphDef of these operations alone; its placeholders with the ONNX values they stand for.

    What is stored in another layout than Keras' is fed as it is stored, and turned inside. What is
    `fixed` becomes a constant.
    """
    import tensorflow as tf

    cut = tf.compat.v1.GraphDef(versions=source.versions, library=source.library)
    fed: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for index, tensor in enumerate(borders):
        if tensor.name in fixed:
            renamed[tensor.name] = _add_constant(cut, f"micam_fixed_{index}", fixed[tensor.name])
            continue
        found = stored[tensor.name]
        shape = tensor.shape
        if not found.is_keras:
            inverse = np.argsort(found.order)
            shape = tf.TensorShape([tensor.shape[int(axis)] for axis in inverse])
        placeholder = cut.node.add(op="Placeholder", name=f"micam_fed_{index}")
        placeholder.attr["dtype"].type = tensor.dtype.as_datatype_enum
        placeholder.attr["shape"].shape.CopyFrom(shape.as_proto())
        fed[f"{placeholder.name}:0"] = found.value
        renamed[tensor.name] = placeholder.name
        if not found.is_keras:
            renamed[tensor.name] = _add_transpose(cut, placeholder.name, found.order, tensor.dtype)
    for node in source.node:
        if node.name in names:
            copy = cut.node.add()
            copy.CopyFrom(node)
            for place, read in enumerate(copy.input):
                full = read if ":" in read else f"{read}:0"
                if full in renamed:
                    copy.input[place] = renamed[full]
    return cut, fed


def _add_constant(cut: Any, name: str, array: NDArray[Any]) -> str:
    import tensorflow as tf

    node = cut.node.add(op="Const", name=name)
    node.attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return name


def _add_transpose(cut: Any, name: str, order: Sequence[int], dtype: Any) -> str:
    import tensorflow as tf

    axes = _add_constant(cut, f"{name}_order", np.array(order, np.int32))
    turned = cut.node.add(op="Transpose", name=f"{name}_turned", input=[name, axes])
    turned.attr["T"].type = dtype.as_datatype_enum
    turned.attr["Tperm"].type = tf.int32.as_datatype_enum
    return str(turned.name)


def _convert_piece(
    graph_def: Any, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    import tensorflow as tf

    tfonnx = import_extra("tf2onnx.tfonnx", extra="tensorflow", purpose="the export")
    optimizer = import_extra("tf2onnx.optimizer", extra="tensorflow", purpose="the export")
    loader = import_extra("tf2onnx.tf_loader", extra="tensorflow", purpose="the export")
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with loader.tf_session(graph=graph):
            converted = tfonnx.process_tf_graph(
                graph,
                opset=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                custom_op_handlers={"Erfc": (_convert_erfc, [])},
            )
    model: onnx.ModelProto = optimizer.optimize_graph(converted).make_model("piece")
    return model


def _convert_erfc(context: Any, node: Any, _name: str, _args: Any) -> None:
    """``1 - Erf``, for tf2onnx, which does not know the Erfc of Keras' GELU."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    context.remove_node(node.name)
    one = context.make_const(
        f"{node.name}/one", np.ones((), helper.tensor_dtype_to_np_dtype(dtypes[0]))
    )
    erf = context.make_node("Erf", node.input)
    context.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        name=node.name,
        outputs=node.output,
        shapes=shapes,
        dtypes=dtypes,
    )


def _join(
    assembly: _Assembly,
    graph: onnx.GraphProto,
    prefix: str,
    fed: Mapping[str, str],
    wanted: Sequence[Any],
) -> None:
    """Append a piece; its own names get a prefix, what it is fed has the names it had before."""
    names = dict(fed)

    def rename(name: str) -> str:
        return name and names.setdefault(name, f"{prefix}{name}")

    producers = {name: node for node in graph.node for name in node.output}
    for tensor in wanted:
        maker = producers.get(tensor.name)
        if maker is None:
            # What is fed, or constant, goes out as it is.
            maker = graph.node.add(op_type="Identity", input=[tensor.name])
            maker.output.append(f"{tensor.name}/own")
        value, order = maker.output[0], _identity(tensor)
        if tensor.name in maker.output:
            value = tensor.name
        if maker.op_type == "Transpose" and tensor.name not in assembly.kept:
            before, turn = maker.input[0], tuple(maker.attribute[0].ints)
            if _is_layout(turn) and before in producers and before not in assembly.claimed:
                value, order = before, turn
        assembly.claimed.add(value)
        assembly.stored[tensor.name] = Stored(rename(value), order)
    for constant in graph.initializer:
        constant.name = rename(constant.name)
        assembly.constants[constant.name] = constant
    for node in graph.node:
        rename_node(node, rename)
        node.name = f"{prefix}{node.name or node.output[0]}"
        assembly.nodes.append(node)


def _is_layout(order: Sequence[int]) -> bool:
    """Whether a Transpose only moves the channels, and leaves batch and space in their order."""
    return order[0] == 0 and list(order[1:-1]) == sorted(order[1:-1])


def rename_node(node: onnx.NodeProto, rename: Callable[[str], str]) -> None:
    """Rename all values that a node reads or makes, in its subgraphs, too."""
    node.input[:] = [rename(name) for name in node.input]
    node.output[:] = [rename(name) for name in node.output]
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for value in (*graph.input, *graph.output, *graph.value_info):
                value.name = rename(value.name)
            for constant in graph.initializer:
                constant.name = rename(constant.name)
            for inner in graph.node:
                rename_node(inner, rename)
