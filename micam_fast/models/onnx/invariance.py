"""Whether a model's numbers depend on where a sample lies in a batch, and on the threads.

The same sum in another order has other last bits. ONNX Runtime chooses the order by the shapes that
it sees, the batch among them, and by how many threads share an operator; and some of its functions
give another last bit at the end of an array, where vectors do not fit any more. Which operators of
its CPU kernels do neither was found by measuring (``tests/models/onnx/test_invariance.py``). What
is not known to be safe counts as unsafe: its samples run alone, in one thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from micam_fast.models.onnx.axes import listed_axes
from micam_fast.models.onnx.files import subgraphs
from micam_fast.models.onnx.graph import RANDOM_OPS, Graph, Kind, attributes

# Each number is made by itself, or moved.
_POINTWISE = {
    "Abs", "Add", "And", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip",
    "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Less",
    "LessOrEqual", "Max", "Mean", "Min", "Mul", "Neg", "Not", "Or", "PRelu", "Pow",
    "QuantizeLinear", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Softsign", "Sqrt", "Sub",
    "Sum", "Tanh", "ThresholdedRelu", "Where", "Xor",
}  # fmt: skip
_MOVING = {
    "Concat", "ConstantOfShape", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements",
    "GatherND", "Identity", "Pad", "Range", "Reshape", "Shape", "Size", "Slice", "SpaceToDepth",
    "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
# Sums of one sample in an order of their own, or no sums of floating-point numbers.
_BY_ROW = {
    "ArgMax", "ArgMin", "AveragePool", "ConvInteger", "GlobalAveragePool", "GlobalMaxPool",
    "InstanceNormalization", "LayerNormalization", "LogSoftmax", "MatMulInteger", "MaxPool",
    "QLinearConv", "QLinearMatMul", "ReduceMax", "ReduceMin", "Softmax",
}  # fmt: skip
_SAFE = _POINTWISE | _MOVING | _BY_ROW
# Threads that share one of these may cut its sums in other places.
_CUT_BY_THREADS = {"ConvTranspose", "GRU", "LSTM"}
# Kernels that ONNX Runtime keeps in its own order, however many rows there are.
_KEPT_WHOLE = {"Constant", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_DOMAINS = ("", "ai.onnx")


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
    """

    batch: bool
    threads: bool
    random: str


def find_invariance(graph: Graph) -> Invariance:
    """Look at every operator that the model's input reaches."""
    nodes = [
        node
        for node in graph.nodes
        if any(graph.kind.get(name) is Kind.ACTIVATION for name in node.output if name)
    ]
    batch = all(_keeps_batch(graph, node) for node in nodes)
    return Invariance(
        batch,
        batch and all(_keeps_threads(graph, node) for node in nodes),
        next((op for node in nodes if (op := _random_operator(graph, node))), ""),
    )


def _random_operator(graph: Graph, node: onnx.NodeProto) -> str:
    """The operator at or in a node that makes random numbers, or an empty text."""
    if node.op_type in RANDOM_OPS or (node.op_type == "Dropout" and _is_training(graph, node)):
        return node.op_type
    inside = (
        _random_operator(graph, each)
        for attribute in node.attribute
        for body in subgraphs(attribute)
        for each in body.node
    )
    return next(filter(None, inside), "")


def _is_training(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a Dropout may leave out values."""
    mode = node.input[2] if len(node.input) > 2 else ""
    return bool(mode) and not (graph.is_known(mode) and not graph.array(mode).any())


def _keeps_batch(graph: Graph, node: onnx.NodeProto) -> bool:
    op, given = node.op_type, attributes(node)
    if node.domain not in _DOMAINS or given.get("training_mode", 0):
        return False
    # Vectors of two: functions of double numbers were seen to differ at their ends.
    if any(graph.element_type(name) == onnx.TensorProto.DOUBLE for name in node.output):
        return False
    if op == "Dropout":
        return not _is_training(graph, node)
    if op in _SAFE or op in ("Conv", "ConvTranspose"):
        return True
    if op in ("LSTM", "GRU"):
        return all(_is_kept(graph, name) for name in node.input[1:3])
    if op == "Gemm":
        return _is_kept(graph, node.input[1])
    if op == "MatMul":
        return _is_kept(graph, node.input[1]) or all(
            (shape := graph.shape(name)) is not None and len(shape) > 2 for name in node.input
        )
    if op in ("ReduceMean", "ReduceSum"):
        return _reduces_the_end(graph, node)
    if op in ("Resize", "Upsample"):
        return given.get("mode", b"nearest") == b"nearest" or _rank(graph, node.input[0]) == 4
    return False


def _keeps_threads(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type == "Conv":
        return _runs_blocked(graph, node)
    if node.op_type == "MatMul":
        return _is_kept(graph, node.input[1])
    return node.op_type not in _CUT_BY_THREADS


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
        if index is None or graph.nodes[index].op_type not in _KEPT_WHOLE:
            return False
        if graph.nodes[index].op_type == "Constant":
            return True
        name = graph.nodes[index].input[0]
    return True


def _reduces_the_end(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a sum is one over the last axes, which lie together for each sample."""
    axes = listed_axes(graph, node)
    rank = _rank(graph, node.input[0])
    if axes is None or (rank is None and max(axes, default=0) >= 0):
        return False
    last = sorted({axis - rank if rank is not None and axis >= 0 else axis for axis in axes})
    return last == list(range(-len(last), 0))


def _rank(graph: Graph, name: str) -> int | None:
    shape = graph.shape(name)
    return None if shape is None else len(shape)
