"""Whether a model's numbers depend on where a sample lies in a batch, and on the threads.

The same sum in another order has other last bits. ONNX Runtime chooses the order by the shapes that
it sees, the batch among them, and by how many threads share an operator; and some of its functions
give another last bit at the end of an array, where vectors do not fit any more. Which operators of
its CPU kernels do neither was found by measuring (``tools/measure_operators.py``), and stands in
`operators`. What nobody measured counts as unsafe: its samples run alone, in one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from micam_fast.models.onnx.axes import listed_axes
from micam_fast.models.onnx.files import bodies
from micam_fast.models.onnx.graph import Graph, Kind, attributes, is_training
from micam_fast.models.onnx.operator_row import Condition, Measured
from micam_fast.models.onnx.operators import find_operator


@dataclass(frozen=True)
class Invariance:
    """What the numbers of a sample do not depend on.

    Attributes
    ----------
    batch
        Whether they are the same bits in every batch, run by one thread.
    threads
        Whether they are the same bits, too, however many threads share an operator, where ONNX
        Runtime computes convolutions in blocks (`merging.IS_BLOCKED`).
    random
        The operator that makes random numbers, if there is one: nothing is the same twice.
    unknown
        Operators of which something is unknown, sorted: they count as if they depended on it.
    """

    batch: bool
    threads: bool
    random: str
    unknown: tuple[str, ...] = ()


def find_invariance(graph: Graph) -> Invariance:
    """Look at every operator that the model's input reaches."""
    nodes = [
        node
        for node in graph.nodes
        if any(graph.kind.get(name) is Kind.ACTIVATION for name in node.output if name)
    ]
    found = [_measured(graph, node) for node in nodes]
    batch = all(keeps is Measured.SAFE for keeps, _ in found)
    strange = {
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for node, each in zip(nodes, found, strict=True)
        if Measured.UNKNOWN in each
    }
    return Invariance(
        batch,
        batch and all(keeps is Measured.SAFE for _, keeps in found),
        next((op for node in nodes if (op := _random_operator(graph, node))), ""),
        tuple(sorted(strange)),
    )


def _random_operator(graph: Graph, node: onnx.NodeProto) -> str:
    """The operator at or in a node that makes random numbers, or an empty text."""
    when = find_operator(node).random
    if when == "always" or (when == "training" and is_training(graph, node)):
        return node.op_type
    inside = (_random_operator(graph, each) for body in bodies(node) for each in body.node)
    return next(filter(None, inside), "")


def _measured(graph: Graph, node: onnx.NodeProto) -> tuple[Measured, Measured]:
    """Whether a node keeps the bits of a sample in every batch, and with every thread."""
    operator, given = find_operator(node), attributes(node)
    bits = operator.bits
    # Vectors of two: functions of double numbers were seen to differ at their ends.
    double = any(graph.element_type(name) == onnx.TensorProto.DOUBLE for name in node.output)
    unsafe = bits.batch is Measured.SAFE and (double or given.get("training_mode", 0))
    return (
        _under(graph, node, Measured.UNSAFE if unsafe else bits.batch, bits.batch_if),
        _under(graph, node, bits.threads, bits.threads_if),
    )


def _under(
    graph: Graph, node: onnx.NodeProto, measured: Measured, condition: Condition | None
) -> Measured:
    met = condition is None or CONDITIONS[condition](graph, node)
    return Measured.UNSAFE if measured is Measured.SAFE and not met else measured


def _runs_blocked(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether ONNX Runtime's x86 kernels compute a convolution in blocks of channels.

    Each block is the work of one thread then. The others are products of matrices, which threads
    cut along the positions, and short ones are summed in other portions.
    """
    kernel, *bias = node.input[1:]
    tensor = graph.constants.held.get(kernel)
    if not isinstance(tensor, onnx.TensorProto) or tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    if len(tensor.dims) != 4 or any(name and not graph.is_constant(name) for name in bias):
        return False
    made, read = tensor.dims[:2]
    groups = int(attributes(node).get("group", 1))
    if groups == 1:
        return read < 8 or read % 4 == 0
    return made % 16 == 0 and (
        (read == 1 and made == groups) or (read % 16 == 0 and made // groups % 16 == 0)
    )


def _is_kept(graph: Graph, name: str) -> bool:
    """Tell whether a constant is known to ONNX Runtime before it runs."""
    while name not in graph.constants.held:
        index = graph.producer.get(name)
        if index is None:
            return False
        operator = find_operator(graph.nodes[index])
        if not operator.hands_on:
            return operator.name == "Constant"
        name = graph.nodes[index].input[0]
    return True


def _reduces_the_end(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a sum is one over the last axes, which lie together for each sample."""
    axes = listed_axes(graph, node)
    rank = graph.rank(node.input[0])
    if axes is None or (rank is None and max(axes, default=0) >= 0):
        return False
    last = sorted({axis - rank if rank is not None and axis >= 0 else axis for axis in axes})
    return last == list(range(-len(last), 0))


def _factor_is_kept(graph: Graph, node: onnx.NodeProto) -> bool:
    return _is_kept(graph, node.input[1])


CONDITIONS: Mapping[Condition, Callable[[Graph, onnx.NodeProto], bool]] = {
    "blocked": _runs_blocked,
    "factor kept": _factor_is_kept,
    # Stacked: each sample has a product of its own.
    "factor kept or stacked": lambda graph, node: (
        _factor_is_kept(graph, node) or all((graph.rank(name) or 0) > 2 for name in node.input)
    ),
    "nearest or four axes": lambda graph, node: (
        attributes(node).get("mode", b"nearest") == b"nearest" or graph.rank(node.input[0]) == 4
    ),
    "not training": lambda graph, node: not is_training(graph, node),
    "sums the end": _reduces_the_end,
    "weights kept": lambda graph, node: all(_is_kept(graph, name) for name in node.input[1:3]),
}
"""By their names in the table of operators."""
