"""A recorded Keras model to ONNX by tf2onnx, in pieces, with the activation of each layer kept.

tf2onnx's optimizer takes time by the square of the graph and again for each output, and copies
weights in every pass. So the traced graph is cut at activations into pieces of a few dozen layers,
its large weights stay inputs of the pieces, and the pieces are joined afterwards. Where a piece
keeps an activation in ONNX's own layout and only turns it for its output, the next piece takes it
as it is: no layout-only Transpose is left between the layers.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from micam_fast.core.errors import ExportError
from micam_fast.core.extras import import_extra
from micam_fast.core.texts import describe_error, free_name
from micam_fast.models.keras.calls import LayerCall
from micam_fast.models.keras.pieces import Cutter, Stored
from micam_fast.models.keras.recording import Recording
from micam_fast.models.onnx.files import bodies

OPSET = 15
_PIECE = 40


@dataclass(eq=False)
class _Assembly:
    """The graph that the pieces are joined to."""

    cutter: Cutter
    # Tensors that must come out in Keras' own layout: the model's outputs.
    kept: frozenset[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    # By the name of the TensorFlow tensor.
    stored: dict[str, Stored] = field(default_factory=dict)
    # Values that are some layer's activation.
    claimed: set[str] = field(default_factory=set)


def convert(
    recording: Recording,
) -> tuple[onnx.GraphProto, dict[str, NDArray[Any]], dict[str, Stored]]:
    """Convert a recorded model.

    Returns
    -------
    graph
        Inputs as Keras has them; outputs and initializers are left to the caller.
    constants
        Initializers by name: weights under Keras' names, and small ones.
    stored
        Where each tensor that a call gave, and each output of the model, is to be found.

    Raises
    ------
    ExportError
        If tf2onnx cannot convert a layer.
    """
    names = [call.output.name for call in recording.calls]
    cutter = Cutter(recording.function.graph, recording.weights, names)
    assembly = _Assembly(cutter, frozenset(tensor.name for tensor in recording.outputs))
    inputs = []
    for call in recording.calls:
        if call.output.op.type == "Placeholder" and not call.parents:
            stored = Stored(call.name, _identity(call.output))
            inputs.append(declare_value(stored, call.output))
            assembly.stored[call.output.name] = stored
    for tensor, title in recording.titles.items():
        name = free_name(title, assembly.constants)
        assembly.constants[name] = recording.weights[tensor]
        assembly.stored[tensor] = Stored(name, tuple(range(recording.weights[tensor].ndim)))
    with _quiet():
        folded = {tensor.name for tensor in recording.folded}
        rest = [c for c in recording.calls if c.output.name not in assembly.stored]
        for number, start in enumerate(range(0, len(rest), _PIECE)):
            piece = rest[start : start + _PIECE]
            wanted = [tensor for call in piece for tensor in call.outputs]
            # What a first layer of a model reads is no layer's activation.
            fed = {t.name: t for call in piece for t in call.inputs if t.name in folded}
            given = {*assembly.stored, *(tensor.name for tensor in wanted)}
            wanted += [tensor for name, tensor in fed.items() if name not in given]
            _add_piece(assembly, f"part{number}/", wanted, piece)
        ends = [t for t in recording.outputs if t.name not in assembly.stored]
        if ends:
            _add_piece(assembly, "end/", ends, rest[-1:])
    graph = helper.make_graph(assembly.nodes, "model", inputs, [])
    return graph, assembly.constants, assembly.stored


def declare_value(stored: Stored, tensor: Any) -> onnx.ValueInfoProto:
    """Name, type and shape of the value that holds a tensor."""
    sizes: list[int | str | None] | None = None
    if tensor.shape.rank is not None:
        axes = np.argsort(stored.order).tolist()
        sizes = ["batch" if axis == 0 else tensor.shape[axis] for axis in axes]
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype.as_numpy_dtype))
    return helper.make_tensor_value_info(stored.value, dtype, sizes)


def _identity(tensor: Any) -> tuple[int, ...]:
    return tuple(range(tensor.shape.rank or 0))


@functools.cache
def _spend_first_session() -> None:
    """Open a TensorFlow session while nothing is heard.

    The first one of a process writes a line to the standard error of C++ whatever the log level is;
    tf2onnx opens sessions for some graphs.
    """
    import tensorflow as tf

    try:
        before = os.dup(2)
    except OSError:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            session.run(tf.constant(0))
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


@contextmanager
def _quiet() -> Iterator[None]:
    """tf2onnx logs what it cannot convert, and raises, too; we say it once."""
    _spend_first_session()
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _add_piece(
    assembly: _Assembly, prefix: str, wanted: Sequence[Any], calls: Sequence[LayerCall]
) -> None:
    """Convert what lies between activations that are there and the wanted ones, and join it."""
    graph_def, fed = assembly.cutter.cut(wanted, assembly.stored)
    try:
        piece = _convert_piece(graph_def, list(fed), [tensor.name for tensor in wanted])
    except Exception as error:
        raise ExportError(
            f"tf2onnx cannot convert {_listed(calls)}: {describe_error(error)}"
        ) from error
    unknown = [node.op_type for node in piece.graph.node if not onnx.defs.has(node.op_type)]
    if unknown:
        raise ExportError(
            f"tf2onnx has no ONNX operator for TensorFlow's {unknown[0]}, in {_listed(calls)}"
        )
    _join(assembly, piece.graph, prefix, fed, wanted)


def _listed(calls: Sequence[LayerCall]) -> str:
    if len(calls) == 1:
        return f"layer {calls[0].name!r}"
    return f"the layers {calls[0].name!r} to {calls[-1].name!r}"


def _convert_piece(graph_def: Any, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    import tensorflow as tf

    tfonnx = import_extra("tf2onnx.tfonnx", extra="tensorflow", purpose="the export")
    optimizer = import_extra("tf2onnx.optimizer", extra="tensorflow", purpose="the export")
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=inputs,
            output_names=outputs,
            custom_op_handlers={"Erfc": (_convert_erfc, [])},
        )
    optimized = optimizer.optimize_graph(converted, catch_errors=False)
    model: onnx.ModelProto = optimized.make_model("piece")
    return model


def _convert_erfc(context: Any, node: Any, _name: str, _args: Any) -> None:
    """``1 - Erf``, for tf2onnx, which does not know the Erfc of Keras' GELU."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    context.remove_node(node.name)
    values = np.ones((), helper.tensor_dtype_to_np_dtype(dtypes[0]))
    one = context.make_const(f"{node.name}/one", values)
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
        value, order = _stored_value(graph, producers, tensor, assembly)
        assembly.claimed.add(value)
        assembly.stored[tensor.name] = Stored(rename(value), order)
    for constant in graph.initializer:
        assembly.constants[rename(constant.name)] = numpy_helper.to_array(constant)
    for node in graph.node:
        rename_node(node, rename)
        node.name = f"{prefix}{node.name or node.output[0]}"
        assembly.nodes.append(node)


def _stored_value(
    graph: onnx.GraphProto,
    producers: Mapping[str, onnx.NodeProto],
    tensor: Any,
    assembly: _Assembly,
) -> tuple[str, tuple[int, ...]]:
    """The value that holds a wanted tensor, and its order: before a Transpose to Keras' layout."""
    name, order = tensor.name, _identity(tensor)
    maker = producers.get(name)
    if maker is None:
        # What is fed, or constant, goes out as it is.
        return _add_identity(graph, name, f"{name}/own"), order
    own = producers.get(maker.input[0]) if maker.op_type == "Identity" else None
    turn = own or maker
    if turn.op_type != "Transpose" or name in assembly.kept:
        return name, order
    before, axes = turn.input[0], tuple(turn.attribute[0].ints)
    # A Transpose that only moves the channels leaves batch and space in their order.
    only_moves = axes[0] == 0 and list(axes[1:-1]) == sorted(axes[1:-1])
    if before not in producers or not only_moves:
        return name, order
    if own is not None:
        return _add_identity(graph, before, f"{name}/own"), axes
    return (name, order) if before in assembly.claimed else (before, axes)


def _add_identity(graph: onnx.GraphProto, read: str, made: str) -> str:
    graph.node.append(helper.make_node("Identity", [read], [made]))
    return made


def rename_node(node: onnx.NodeProto, rename: Callable[[str], str]) -> None:
    """Rename all values that a node reads or makes, in its subgraphs, too."""
    node.input[:] = [rename(name) for name in node.input]
    node.output[:] = [rename(name) for name in node.output]
    for graph in bodies(node):
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.name = rename(value.name)
        for constant in graph.initializer:
            constant.name = rename(constant.name)
        for inner in graph.node:
            rename_node(inner, rename)
