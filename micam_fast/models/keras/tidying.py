"""The joined ONNX graph made neat: constants folded, dead nodes dropped, activations named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from micam_fast.models.keras.conversion import OPSET, rename_node
from micam_fast.models.onnx.files import captured
from micam_fast.models.onnx.operators import find_operator


def fold_constants(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> None:
    """Compute what depends on weights alone: their Transposes and Reshapes, mostly.

    The graph loses the nodes that are computed, and the constants get their results.
    """
    left: list[onnx.NodeProto] = []
    for node in graph.node:
        names = [name for name in node.input if name]
        # Random operators give another value each time; what holds a graph may read the outer one.
        varies = find_operator(node).random == "always"
        varies = varies or any(each.HasField("g") for each in node.attribute)
        if varies or not all(name in constants for name in names):
            left.append(node)
            continue
        found = _evaluate(node, {name: constants[name] for name in names})
        constants.update(zip(node.output, found, strict=True))
    del graph.node[:]
    graph.node.extend(left)


def _evaluate(node: onnx.NodeProto, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    inputs, outputs = (
        [onnx.ValueInfoProto(name=name) for name in names] for names in (feeds, node.output)
    )
    graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
    lone = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    return [np.asarray(found) for found in ReferenceEvaluator(lone).run(None, dict(feeds))]


def cancel_transposes(graph: onnx.GraphProto) -> None:
    """Take out Transposes that undo the one before them, where no output shows their result."""
    turned = {node.output[0]: node for node in graph.node if node.op_type == "Transpose"}
    shown = {value.name for value in graph.output}
    before: dict[str, str] = {}
    for name, node in turned.items():
        first = turned.get(before.get(node.input[0], node.input[0]))
        if first is not None and name not in shown:
            order = [first.attribute[0].ints[axis] for axis in node.attribute[0].ints]
            if order == sorted(order):
                before[name] = before.get(first.input[0], first.input[0])
    left = [node for node in graph.node if node.output[0] not in before]
    del graph.node[:]
    graph.node.extend(left)
    rename_values(graph, before)


def mend_gaps(graph: onnx.GraphProto) -> None:
    """Put the zeros behind a transposed convolution's output where TensorFlow has them.

    With strides larger than its kernel, tf2onnx shares them out as negative pads on both sides.
    """
    for node in graph.node:
        pads: Any = next((each.ints for each in node.attribute if each.name == "pads"), [])
        if node.op_type == "ConvTranspose" and any(pad < 0 for pad in pads):
            half = len(pads) // 2
            totals = [pads[axis] + pads[half + axis] for axis in range(half)]
            for axis in (axis for axis in range(half) if totals[axis] < 0):
                pads[axis] = pads[half + axis] = 0
            missing = [max(0, -total) for total in totals]
            node.attribute.append(onnx.helper.make_attribute("output_padding", missing))


def mend_resizes(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> None:
    """Make sure that a Resize by a fraction reaches its size: 7 * float32(9/7) is less than 9."""
    for name in {node.input[2] for node in graph.node if node.op_type == "Resize"}:
        if name in constants:
            scales = constants[name]
            up = np.nextafter(scales, np.float32(np.inf))
            constants[name] = np.where(scales == np.rint(scales), scales, up)


def drop_dead_nodes(
    graph: onnx.GraphProto, constants: dict[str, NDArray[Any]], kept: Collection[str]
) -> None:
    """Remove nodes and weights that neither an output nor a value that is kept needs."""
    wanted = {value.name for value in graph.output} | set(kept)
    live = []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            live.append(node)
            wanted.update(node.input, captured(node))
    del graph.node[:]
    graph.node.extend(reversed(live))
    for name in constants.keys() - wanted:
        del constants[name]


def rename_values(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give values of the graph other names."""

    def rename(name: str) -> str:
        return names.get(name, name)

    for value in (*graph.input, *graph.output):
        value.name = rename(value.name)
    for node in graph.node:
        rename_node(node, rename)
