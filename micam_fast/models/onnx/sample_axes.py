"""Which axis of a value holds the samples, and nothing else: by proof, from the inputs on.

`axes` says where a batch most likely lies. Here nothing is assumed: an axis whose length a model
finds in its data (boxes, nonzero places), or that holds frames or windows beside the samples, is
none of samples, even if its length is that of the batch for the sample at hand. Where frames were
folded into the samples' axis, so many for each, and are unfolded again, it is one of samples again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import onnx

from micam_fast.core.layers import ModelInput, Shape
from micam_fast.models.onnx.graph import Graph, attributes, input_name
from micam_fast.models.onnx.operator_row import Operator
from micam_fast.models.onnx.operators import find_operator

Known = Mapping[str, int]
"""The axis of the samples by value; a value of which it is unknown is missing."""
Rule = Callable[[Graph, onnx.NodeProto, Operator, Known], Iterable[tuple[str, int | None]]]

_OPEN = ("Compress", "NonMaxSuppression", "NonZero", "Unique")
"""Operators that make as many rows as they find."""
_SCATTERING = ("ScatterElements", "ScatterND")
_LONGEST_TARGET = 64


def find_sample_axes(
    graph: Graph, inputs: Sequence[ModelInput], wanted: Iterable[str]
) -> tuple[dict[str, int], set[str]]:
    """Follow the samples from the inputs to the wanted values.

    Returns
    -------
    axes
        The axis of the samples in each value on the way, where that is sure.
    open_rows
        Values whose number of rows depends on more than the number of samples.
    """
    found = {spec.name: spec.axes.batch for spec in inputs if spec.axes.batch is not None}
    # How many rows a sample has in values whose first axis holds more than the samples.
    folded: dict[str, int] = {}
    open_rows: set[str] = set()
    for index in graph.nodes_before(wanted):
        node = graph.nodes[index]
        operator = find_operator(node)
        read = node.input[:1] if operator.name in _SCATTERING else graph.activations(node)
        opens = operator.name in _OPEN or _merges_open_axes(graph, node, operator)
        if opens or not open_rows.isdisjoint(read):
            open_rows.update(node.output)
            continue
        rule = _find_rule(node, operator)
        counts = {folded.get(name) for name in graph.activations(node)}
        (count,) = counts if len(counts) == 1 else (None,)
        if count is None and rule is _reshape and found.get(node.input[0]) == 0:
            count = 1
        if count is not None and rule is _reshape and operator.name == "Reshape":
            rows = _rows_after(graph, node, count)
            if rows == 1:
                found[node.output[0]] = 0
            elif rows is not None:
                folded[node.output[0]] = rows
            if rows is not None or count > 1:
                continue
        if count is not None and count > 1:
            known: Known = dict.fromkeys(graph.activations(node), 0)
            made = rule(graph, node, operator, known)
            folded.update((name, count) for name, axis in made if name and axis == 0)
            continue
        for name, axis in rule(graph, node, operator, found):
            if name and axis is not None and axis >= 0:
                found[name] = axis
    return found, open_rows


def _rows_after(graph: Graph, node: onnx.NodeProto, count: int) -> int | None:
    """How many rows a sample has behind a Reshape, which has `count` before it; if it is sure."""
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if before is None or not after:
        return None
    old, new = _row_size(before), _row_size(after)
    if old is None or not new:
        return None
    rows, rest = divmod(count * old, new)
    return None if rest or not rows else rows


def _merges_open_axes(graph: Graph, node: onnx.NodeProto, operator: Operator) -> bool:
    """Tell whether a Reshape makes rows of axes whose sizes the model leaves open."""
    if operator.name != "Reshape" or not graph.is_constant(input_name(node, 1)):
        return False
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if before is None or not after or after[0] is not None:
        return False
    return _row_size(before) is None and _row_size(after) is not None


def _find_rule(node: onnx.NodeProto, operator: Operator) -> Rule:
    by_channels = {"recurrent": _recurrent, "dense": _product, "second": _second}
    known = _RULES.get(operator.field or operator.name)
    return known or by_channels.get(operator.channels, _unknown)


def _unknown(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    return ()


def _same(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    """The axes are those of the first input."""
    return [(name, known.get(node.input[0])) for name in node.output]


def _second(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    """The operator takes its samples on the first axis."""
    return [(name, 0) for name in node.output if known.get(node.input[0]) == 0]


def _elementwise(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    """Axes are counted from the end, as broadcasting does."""
    read = graph.activations(node)
    alone = len([name for name in node.input if name]) == 1 or operator.role == "bookkeeping"
    rank = graph.rank(node.output[0])
    places = set()
    for name in read:
        own = graph.rank(name)
        if name in known and alone:
            places.add(known[name])
        elif name in known and rank is not None and own is not None:
            places.add(known[name] + rank - own)
    return [(name, min(places)) for name in node.output if len(places) == 1]


def _gemm(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    turned = bool(attributes(node).get("transA", 0))
    held = known.get(node.input[operator.factors[0]])
    constant = graph.is_constant(node.input[operator.factors[1]])
    return [(node.output[0], 0)] if constant and held == int(turned) else []


def _product(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    places = set()
    rank = graph.rank(node.output[0])
    for side, place in enumerate(operator.factors):
        name = node.input[place]
        own = graph.rank(name)
        if name not in known or own is None or rank is None:
            continue
        # The other axis of a matrix is summed over.
        summed, axis = own - 1 - side, known[name]
        given = attributes(node)
        if own < 2 or axis == summed or given.get("transA") or given.get("transB"):
            return []
        places.add(axis + rank - own)
    return [(node.output[0], min(places))] if len(places) == 1 else []


def _recurrent(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    batch_first = bool(attributes(node).get("layout", 0))
    if known.get(node.input[0]) != (0 if batch_first else 1):
        return []
    places = (0, 0, 0) if batch_first else (2, 1, 1)
    return list(zip(node.output, places, strict=False))


def _transpose(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    axis, rank = known.get(node.input[0]), graph.rank(node.input[0])
    perm = attributes(node).get("perm") or (None if rank is None else range(rank)[::-1])
    if axis is None or perm is None or axis not in perm:
        return []
    return [(node.output[0], list(perm).index(axis))]


def _reduction(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    axis, rank = known.get(node.input[0]), graph.rank(node.input[0])
    named = _named_axes(graph, node)
    if axis is None or rank is None or named is None:
        return []
    gone = {each % max(1, rank) for each in named}
    if axis in gone:
        return []
    kept = attributes(node).get("keepdims", 1)
    return [(node.output[0], axis if kept else axis - sum(each < axis for each in gone))]


def _named_axes(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    given = attributes(node)
    if "axes" in given:
        return [int(axis) for axis in given["axes"]]
    if "axis" in given or find_operator(node).field == "place of largest":
        return [int(given.get("axis", 0))]
    return _numbers(graph, input_name(node, 1))


# The least that exporters write for the end of an axis that is taken to its end.
_NO_END = 2**31 - 1


def _numbers(graph: Graph, name: str) -> list[int] | None:
    if not graph.is_known(name) or math.prod(graph.constant_shape(name)) > _LONGEST_TARGET:
        return None
    return [int(number) for number in graph.array(name).reshape(-1)]


def _reshape(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    source, output = node.input[0], node.output[0]
    axis = known.get(source)
    if axis is None:
        return []
    if operator.channels in ("squeezed", "unsqueezed"):
        return [(output, _after_squeeze(graph, node, operator, axis))]
    if axis != 0:
        return []
    if operator.name == "Flatten":
        return [(output, 0)] if attributes(node).get("axis", 1) == 1 else []
    target = input_name(node, 1)
    if target == "":
        return []
    return [(output, 0)] if _keeps_rows(graph, source, output, target) else []


def _after_squeeze(graph: Graph, node: onnx.NodeProto, operator: Operator, axis: int) -> int | None:
    named = _named_axes(graph, node)
    rank = graph.rank(node.input[0])
    if named is None or rank is None:
        return None
    whole = max(1, rank + (len(named) if operator.channels == "unsqueezed" else 0))
    places = sorted(each % whole for each in named)
    if operator.channels == "squeezed":
        return None if axis in places else axis - sum(each < axis for each in places)
    for each in places:
        axis += each <= axis
    return axis


def _keeps_rows(graph: Graph, source: str, output: str, target: str) -> bool:
    """Tell whether a Reshape leaves one row for each sample."""
    numbers = _numbers(graph, target)
    before, after = graph.shape(source), graph.shape(output)
    if graph.is_constant(target) and numbers:
        # All that is read becomes one row, so that the model runs one sample at a time.
        if numbers[0] in (0, 1):
            return True
        if before is not None and numbers[0] == before[0]:
            return True
    if before is None or after is None or not after:
        return False
    return _row_size(before) is not None and _row_size(before) == _row_size(after)


def _row_size(shape: Shape) -> int | None:
    """Numbers in one row; ``None`` where they are open."""
    if None in shape[1:]:
        return None
    return math.prod(size for size in shape[1:] if size is not None)


def _concat(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    rank = graph.rank(node.output[0])
    places = {known.get(name) for name in graph.activations(node)} - {None}
    axis = int(attributes(node).get("axis", 1))
    if len(places) != 1 or rank is None:
        return []
    (place,) = places
    return [] if axis % max(1, rank) == place else [(node.output[0], place)]


def _gather(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    data, indices = graph.rank(node.input[0]), graph.rank(node.input[1])
    if data is None or indices is None:
        return []
    axis = int(attributes(node).get("axis", 0)) % max(1, data)
    place = known.get(node.input[0])
    if place is None:
        # Rows of a table, for each index.
        own = known.get(node.input[1])
        return [] if own is None else [(node.output[0], own + axis)]
    if place == axis:
        return []
    return [(node.output[0], place if place < axis else place + indices - 1)]


def is_whole_slice(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a Slice takes all there is; PyTorch writes ``x[:, 0]`` with one of the batch."""
    if find_operator(node).field != "slice":
        return False
    given = attributes(node)
    starts, ends = given.get("starts", ()), given.get("ends", ())
    steps: Sequence[int] | None = ()
    if "starts" not in given:
        starts, ends = (_numbers(graph, input_name(node, place)) for place in (1, 2))
        steps = _numbers(graph, input_name(node, 4)) if input_name(node, 4) else ()
    if starts is None or ends is None or steps is None or not ends:
        return False
    return not any(starts) and min(ends) >= _NO_END and all(step == 1 for step in steps)


def _slice(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    given, rank, place = attributes(node), graph.rank(node.input[0]), known.get(node.input[0])
    if place is None or rank is None:
        return []
    if is_whole_slice(graph, node):
        return [(node.output[0], place)]
    axes = given.get("axes") if "starts" in given else None
    if axes is None:
        axes = _numbers(graph, input_name(node, 3)) if input_name(node, 3) else range(rank)
    cut = None if axes is None else {int(axis) % max(1, rank) for axis in axes}
    return [(node.output[0], place)] if cut is not None and place not in cut else []


def _split(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    rank, place = graph.rank(node.input[0]), known.get(node.input[0])
    usual = -1 if operator.field == "largest" else 0
    axis = int(attributes(node).get("axis", usual))
    if place is None or rank is None or axis % max(1, rank) == place:
        return []
    return [(name, place) for name in node.output]


def _resized(
    graph: Graph, node: onnx.NodeProto, operator: Operator, known: Known
) -> Iterable[tuple[str, int | None]]:
    """Whoever enlarges or pads pictures leaves the first of four axes as it is."""
    held = known.get(node.input[0]) == 0 and (graph.rank(node.output[0]) or 0) >= 3
    return [(node.output[0], 0)] if held else []


_RULES: Mapping[str, Rule] = {
    "along axis": _same,
    "batch norm": _second,
    "concat": _concat,
    "convolution": _second,
    "depth to space": _second,
    "dynamic quantization": lambda *given: list(_same(*given))[:1],
    "elementwise": _elementwise,
    "first input": _same,
    "gather": _gather,
    "gemm": _gemm,
    "global pool": _second,
    "group norm": _second,
    "instance norm": _second,
    "largest": _split,
    "layer norm": lambda *given: list(_same(*given))[:1],
    "mean variance": _same,
    "pad": _resized,
    "place of largest": _reduction,
    "pool": _second,
    "product": _product,
    "reduction": _reduction,
    "reshape": _reshape,
    "resize": _resized,
    "response norm": _second,
    "reverse": _same,
    "running sum": _same,
    "slice": _slice,
    "space to depth": _second,
    "split": _split,
    "transpose": _transpose,
    "QGemm": _gemm,
    "ScatterElements": _same,
    "ScatterND": _same,
}
"""By a row's rule of receptive fields, or by its name where it has none."""
