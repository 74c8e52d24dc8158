"""What each layer costs: its parameters, and the multiply-adds of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import onnx

from micam_fast.models.onnx.files import bodies, captured
from micam_fast.models.onnx.graph import Graph, Kind, attributes
from micam_fast.models.onnx.model_graph import ModelGraph
from micam_fast.models.onnx.operator_row import ONNX_DOMAINS
from micam_fast.models.onnx.operators import find_operator

_FLOATS = {
    onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
}  # fmt: skip
# ONNX's operators without a row of the table that multiply nothing; any other one may.
_NO_PRODUCTS = {
    "BitCast", "BlackmanWindow", "CenterCropPad", "Compress", "ConcatFromSequence", "CumProd",
    "EyeLike", "HammingWindow", "HannWindow", "MaxRoiPool", "Optional", "OptionalHasElement",
    "RotaryEmbedding", "Scatter", "ScatterElements", "ScatterND", "SequenceAt",
    "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength",
    "SplitToSequence", "TensorScatter", "Unique",
}  # fmt: skip
# Those with a row that multiply in a way that is not counted.
_UNCOUNTED = {"DeformConv"}


def count_parameters(graph: ModelGraph) -> dict[str, int | None]:
    """Parameters of each layer: the numbers that its operators read.

    Kernels, biases, what normalizations and recurrent layers hold, tables of embeddings, constant
    factors and summands; no single numbers, bounds and shapes. What several operators of a layer
    read counts once, what several layers share counts in each. ``None`` for a layer with an
    operator that nothing is known of: it may hold numbers of its own.
    """
    found: dict[str, int | None] = {}
    for name, nodes in _nodes_by_layer(graph).items():
        read: Counter[str] = Counter()
        for index in nodes:
            # Equal numbers may have been made one constant: a node that reads it twice has two.
            read |= Counter(_weights(graph.graph, index))
        sizes = ((math.prod(graph.graph.constant_shape(each)), read[each]) for each in read)
        operators = [graph.graph.nodes[index] for index in nodes]
        within = sum(_count_within(node) for node in operators)
        known = not any(map(_is_strange, operators))
        found[name] = sum(size * times for size, times in sizes) + within if known else None
    return found


def count_multiply_adds(graph: ModelGraph) -> dict[str, int | None]:
    """Multiply-adds of each layer's convolutions, matrix products and recurrences.

    By layer of a model that was read for the shapes of a run, with the batch: 0 for a layer that
    has none of these, ``None`` where shapes cannot tell: one that is unknown, or the body of an If,
    Loop or Scan; and where an operator is not known.
    """
    found: dict[str, int | None] = {}
    for name, nodes in _nodes_by_layer(graph).items():
        counts = [_multiply_adds(graph.graph, graph.graph.nodes[n]) for n in nodes]
        known = [count for count in counts if count is not None]
        found[name] = sum(known) if len(known) == len(counts) else None
    return found


def _nodes_by_layer(graph: ModelGraph) -> dict[str, list[int]]:
    """Nodes between each layer's activation and those before it; each belongs to one layer.

    A layer's activation may be a copy of a later layer's: exporters write Dense and the Dropout
    behind it as one value with two names, in either order.
    """
    whole = graph.graph
    ends = {tap.value for tap in graph.taps.values()}
    before: set[str] = set()
    taken: set[int] = set()
    found = {}
    for layer in graph.layers:
        nodes = []
        waiting = [graph.taps[layer.name].value]
        while waiting:
            index = whole.producer.get(waiting.pop())
            if index is None or index in taken:
                continue
            taken.add(index)
            nodes.append(index)
            node = whole.nodes[index]
            stops = before if find_operator(node).name == "Identity" else ends
            waiting.extend(value for value in whole.activations(node) if value not in stops)
        before.add(graph.taps[layer.name].value)
        found[layer.name] = nodes
    return found


def _weights(graph: Graph, index: int) -> Iterator[str]:
    """Constants that a node reads as parameters, followed back to what they are made of."""
    node = graph.nodes[index]
    operator = find_operator(node)
    quantized = {node.input[n] for n in operator.codes if n < len(node.input)}
    settings = {node.input[n] for n in operator.settings if n < len(node.input)}
    for name in captured(node):
        if graph.kind[name] is Kind.CONSTANT and name not in settings:
            for root, stored in _roots(graph, name):
                known = stored or name in quantized or _element_type(graph, root) in _FLOATS
                if known and graph.constant_shape(root):
                    yield root


def _is_strange(node: onnx.NodeProto) -> bool:
    """Tell whether nothing is known of an operator, or of one in its bodies."""
    if any(_is_strange(each) for body in bodies(node) for each in body.node):
        return True
    return not find_operator(node).name and node.domain not in ONNX_DOMAINS


def _count_within(node: onnx.NodeProto) -> int:
    """Parameters that the bodies of an If, Loop or Scan hold themselves, each once."""
    found = 0
    for body in bodies(node):
        tensors = list(body.initializer)
        for each in body.node:
            if each.op_type == "Constant":
                tensors += [held.t for held in each.attribute if held.name == "value"]
            found += _count_within(each)
        found += sum(math.prod(t.dims) for t in tensors if t.dims and t.data_type in _FLOATS)
    return found


def _roots(graph: Graph, name: str) -> Iterator[tuple[str, bool]]:
    """What a constant is made of, and whether that is stored in another format; each once."""
    seen = {name}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        node = graph.nodes[graph.producer[each]] if each in graph.producer else None
        if node is None or not node.input:
            yield each, False
        elif find_operator(node).name == "DequantizeLinear":
            yield node.input[0], True
        else:
            fresh = [read for read in dict.fromkeys(captured(node)) if read not in seen]
            seen.update(fresh)
            waiting.extend(reversed(fresh))


def _element_type(graph: Graph, name: str) -> int:
    held = graph.constants.held.get(name)
    if held is None:
        return onnx.helper.np_dtype_to_tensor_dtype(graph.array(name).dtype)
    return (held.values if isinstance(held, onnx.SparseTensorProto) else held).data_type


def _multiply_adds(graph: Graph, node: onnx.NodeProto) -> int | None:
    def size(name: str, start: int = 0, stop: int | None = None) -> int:
        shape = graph.shape(name)
        if shape is None or None in shape:
            raise LookupError(name)
        return math.prod(each for each in shape[start:stop] if each is not None)

    made = next(name for name in node.output if name)
    operator, given = find_operator(node), attributes(node)
    if _is_strange(node) or node.op_type in _UNCOUNTED:
        return None
    if not operator.name and node.op_type not in _NO_PRODUCTS:
        return None
    try:
        match operator.cost:
            case "convolution":
                assert operator.kernel is not None
                walked = node.input[0] if operator.name == "ConvTranspose" else made
                kernel = size(node.input[operator.kernel.place])
                space = (1, -1) if operator.channels == "last" else (2, None)
                return size(walked, 0, 1) * size(walked, *space) * kernel
            case "gemm":
                return size(made) * size(node.input[0]) // size(made, 0, 1)
            case "quantized gemm":
                return size(node.input[0], 0, 1) * size(node.input[operator.factors[1]])
            case "product":
                factor = node.input[operator.factors[0]]
                if given.get("transA", 0):
                    return size(made) * size(factor, -2, -1)
                return size(made) * size(factor, -1)
            case "packed product":
                return size(made) * int(given["K"])
            case "attention":
                return _count_attention(graph, node, size)
            case "unknown":
                return None
            case "recurrent":
                return size(node.input[0], 0, 2) * (size(node.input[1]) + size(node.input[2]))
            case "einsum" if len(node.input) > 1:
                axes = _einsum_axes(node)
                sizes = {axis: size(name, at, at + 1) for axis, name, at in axes}
                return math.prod(sizes.values())
    except (LookupError, ValueError):
        return None
    # How often a loop runs, or which branch, the shapes do not tell.
    return None if _holds_products(node) else 0


def _count_attention(graph: Graph, node: onnx.NodeProto, size: Callable[..., int]) -> int:
    """Multiply-adds of an attention that keeps nothing from earlier runs.

    Its second input holds the weights of queries, keys and values, or the keys.
    """
    queries, second = node.input[:2]
    if not second or sum(map(bool, node.output)) > 1:
        raise LookupError("past keys, or such that are packed with queries")
    made = size(node.output[0], -1)
    if graph.is_constant(second):
        wide = int(next(iter(attributes(node).get("qkv_hidden_sizes", (made,)))))
        weights, keys = size(second), size(queries, 1, 2)
    else:
        wide, weights, keys = size(queries, 2), 0, size(second, 1, 2)
        if size(second, 2) != wide:
            raise LookupError("keys with an axis for the heads")
    return size(queries, 0, 2) * (weights + keys * (wide + made))


def _holds_products(node: onnx.NodeProto) -> bool:
    """Tell whether something is multiplied in the bodies of an If, Loop or Scan."""
    return any(_may_multiply(each) for body in bodies(node) for each in body.node)


def _may_multiply(node: onnx.NodeProto) -> bool:
    operator = find_operator(node)
    if not operator.name:
        return node.op_type not in _NO_PRODUCTS
    counted = operator.cost is not None or node.op_type in _UNCOUNTED
    return counted or _holds_products(node)


def _einsum_axes(node: onnx.NodeProto) -> list[tuple[str, str, int]]:
    """Letter, value and place of each axis that an Einsum of two values reads."""
    equation = next(each.s for each in node.attribute if each.name == "equation")
    given = equation.decode(errors="replace")
    terms = given.replace(" ", "").partition("->")[0].split(",")
    if "." in given or len(terms) != 2:
        raise LookupError(given)
    read = zip(terms, node.input, strict=True)
    return [(axis, name, at) for term, name in read for at, axis in enumerate(term)]
