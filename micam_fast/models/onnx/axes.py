"""Which axis of each activation holds the batch, and which the channels.

ONNX does not say it. It follows from the operators: a convolution's channels are axis 1, a
Transpose moves them, an Add leaves them where they are, a recurrent layer wants time first. What an
operator says of its output is carried forwards, what it demands of its input backwards, until
nothing changes; so an NHWC model, seen through its Transposes, has its channels last everywhere.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import onnx

from micam_fast.core.layers import Axes
from micam_fast.models.onnx.graph import Graph, attributes, input_name
from micam_fast.models.onnx.limits import MOST_AXES
from micam_fast.models.onnx.operators import find_operator

CHANNEL_SECOND = Axes(batch=0, channel=1)


def infer_axes(graph: Graph) -> dict[str, Axes]:
    """Axes of every activation of which something is known."""
    found = _inputs_without_batch(graph)
    nodes = [node for node in graph.nodes if any(node.output) and graph.activations(node)]
    touching: defaultdict[str, list[int]] = defaultdict(list)
    for index, node in enumerate(nodes):
        for name in {*graph.activations(node), *node.output}:
            touching[name].append(index)
    # Only nodes next to a value that has become known since they were last asked can say more.
    ahead, back = set(range(len(nodes))), set(range(len(nodes)))
    while ahead or back:
        for step, asked, other, sign in (
            (_carry_forwards, ahead, back, 1),
            (_carry_backwards, back, ahead, -1),
        ):
            waiting = [sign * index for index in asked]
            heapq.heapify(waiting)
            asked.clear()
            last = -len(nodes)
            while waiting:
                place = heapq.heappop(waiting)
                if place == last:
                    continue
                last = place
                for name in step(graph, nodes[sign * place], found):
                    for index in touching[name]:
                        other.add(index)
                        if sign * index > place:
                            heapq.heappush(waiting, sign * index)
                        else:
                            asked.add(index)
    return found


def _inputs_without_batch(graph: Graph) -> dict[str, Axes]:
    """Inputs whose first size is not the first input's batch: anchors, a mask, sizes, a number."""
    shapes = {value.name: graph.shape(value.name) for value in graph.inputs}
    main = next(iter(shapes.values()), None)
    batch = main[0] if main else None
    # A size of 1 beside an open batch is that batch, fixed.
    batches = (None, 1 if batch is None else batch)
    return {
        name: Axes(None, None).completed(len(shape))
        for name, shape in shapes.items()
        if shape == () or (shape is not None and shape[0] not in batches)
    }


def layout_moves(rank: int) -> tuple[list[int], list[int]]:
    """The permutations from channels first to channels last, and back."""
    space = list(range(1, rank - 1))
    return [0, *space[1:], rank - 1, 1], [0, rank - 1, *space]


def permutation(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    """The axes of a Transpose, or of a Reshape that moves a single channel as a Transpose would.

    ``None`` for other operators, and for the default axes of an unknown rank.
    """
    channels = find_operator(node).channels
    if channels == "reshaped":
        return _reshaped_layout(graph, node)
    if channels != "permuted":
        return None
    perm = attributes(node).get("perm")
    if perm is not None:
        return list(perm)
    shape = graph.shape(node.input[0]) or graph.shape(node.output[0])
    return None if shape is None else list(range(len(shape)))[::-1]


def only_moves_layout(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a node is a Transpose (or such a Reshape) between channels first and last."""
    perm = permutation(graph, node)
    if perm is None or len(perm) <= 3:
        return find_operator(node).channels == "permuted"
    return perm in layout_moves(len(perm))


def _reshaped_layout(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if before is None or after is None or len(before) != len(after) or len(before) < 4:
        return None
    for perm in layout_moves(len(before)):
        channel = 1 if perm[1] != len(before) - 1 else len(before) - 1
        moved = tuple(before[axis] for axis in perm)
        if before[channel] == 1 and moved == after and before != after:
            return perm
    return None


def _carry_forwards(graph: Graph, node: onnx.NodeProto, found: dict[str, Axes]) -> list[str]:
    """Names of the values whose axes are known now."""
    axes = _output_axes(graph, node, found)
    return [] if axes is None else _note(found, [name for name in node.output if name], axes)


def _note(found: dict[str, Axes], names: Iterable[str], axes: Axes) -> list[str]:
    """Keep the axes of those values whose axes are not known yet."""
    fresh = [name for name in names if name not in found]
    found.update(dict.fromkeys(fresh, axes))
    return fresh


def _output_axes(graph: Graph, node: onnx.NodeProto, found: dict[str, Axes]) -> Axes | None:
    channels = find_operator(node).channels
    if channels == "second":
        return CHANNEL_SECOND
    if channels == "last":
        return _channels_last(graph, node)
    if channels == "recurrent":
        return Axes(2, 3) if attributes(node).get("layout", 0) == 0 else Axes(0, 3)
    known = found.get(graph.activations(node)[0])
    shape = graph.shape(node.output[0])
    if channels == "dense":
        # A product of two activations (attention) has no channels of its own.
        dense = any(graph.is_constant(name) for name in node.input)
        if not dense or shape is None or len(shape) < 3:
            return None
        # In W x the channels are the rows, in x W the columns.
        last = 2 if graph.is_constant(node.input[0]) else 1
        return Axes(known.batch if known else 0, len(shape) - last)
    if channels == "reshaped" and permutation(graph, node) is None:
        return _reshaped_axes(graph, node, known)
    moved = None if channels == "as read" else moved_axes(graph, node)
    if moved is not None:
        return _apply(moved, known)
    if channels == "unknown":
        return None
    for name in graph.activations(node):
        if name in found and _same_rank(graph, name, node.output[0]):
            return found[name]
    return None


def _channels_last(graph: Graph, node: onnx.NodeProto) -> Axes | None:
    """Channels last, of as many axes as the value has, or the kernel that walks over it."""
    kernel, window = find_operator(node).kernel, attributes(node).get("kernel_shape")
    rank = graph.rank(node.output[0])
    if rank is None and kernel is not None:
        rank = graph.rank(input_name(node, kernel.place))
    if rank is None and window is not None:
        rank = len(window) + 2
    return None if rank is None else Axes(0, rank - 1)


def _reshaped_axes(graph: Graph, node: onnx.NodeProto, known: Axes | None) -> Axes | None:
    """A Reshape keeps the leading axes that its target repeats, and last channels last."""
    before = graph.shape(node.input[0])
    target = None if len(node.input) < 2 else _listed(graph, node.input[1])
    if known is None or before is None or target is None:
        return None
    kept = 0
    for size, old in zip(target, before, strict=False):
        if size != 0 and size != old:
            break
        kept += 1
    if known.batch is not None and known.batch >= kept:
        return None
    channel = known.channel
    if channel is not None and channel >= kept:
        channel = len(target) - 1 if channel == len(before) - 1 and len(target) > 2 else None
    return None if channel is None else Axes(known.batch, channel)


def _carry_backwards(graph: Graph, node: onnx.NodeProto, found: dict[str, Axes]) -> list[str]:
    """Names of the values whose axes are known now."""
    channels = find_operator(node).channels
    source = graph.activations(node)[0]
    if channels == "second":
        return _note(found, [source], CHANNEL_SECOND) if node.input[0] == source else []
    if channels == "last":
        axes = _channels_last(graph, node)
        return [] if axes is None or node.input[0] != source else _note(found, [source], axes)
    if channels == "recurrent":
        time_first = attributes(node).get("layout", 0) == 0
        return _note(found, [source], Axes(1, 2) if time_first else Axes(0, 2))
    known = found.get(node.output[0])
    if known is None or channels == "dense":
        return []
    moved = None if channels == "as read" else moved_axes(graph, node)
    if moved is not None:
        back = _apply(_inverse(moved), known)
        return [] if back is None else _note(found, [source], back)
    if channels in ("reshaped", "unknown"):
        return []
    read = graph.activations(node)
    return _note(found, [n for n in read if _same_rank(graph, n, node.output[0])], known)


Move = Callable[[int], int | None]


def moved_axes(graph: Graph, node: onnx.NodeProto) -> Move | None:
    """Where an operator that moves axes puts input axis ``i``; ``None`` for one that does not."""
    channels = find_operator(node).channels
    perm = permutation(graph, node)
    if perm is not None:
        return lambda axis: perm.index(axis) if axis in perm else None
    if channels == "permuted":
        return _lost
    shape = graph.shape(node.input[0])
    if channels == "gathered":
        indices = graph.shape(node.input[1])
        axis = int(attributes(node).get("axis", 0))
        if indices is None or len(indices) > 1 or (axis < 0 and shape is None):
            return _lost
        axis += len(shape) if axis < 0 and shape is not None else 0
        return _removing([axis]) if indices == () else None
    if channels not in ("reduced", "squeezed", "unsqueezed"):
        return None
    if channels == "reduced" and attributes(node).get("keepdims", 1):
        return None
    named = listed_axes(graph, node)
    if named is None:
        if channels != "squeezed" or shape is None or None in shape:
            return _lost
        named = [axis for axis, size in enumerate(shape) if size == 1]
    if min(named, default=0) < 0:
        if shape is None:
            return _lost
        # Of a single number nothing can be named; ONNX Runtime refuses that.
        rank = max(1, len(shape) + (len(named) if channels == "unsqueezed" else 0))
        named = [axis % rank for axis in named]
    return _inserting(sorted(named)) if channels == "unsqueezed" else _removing(named)


def listed_axes(graph: Graph, node: onnx.NodeProto) -> Sequence[int] | None:
    """Axes that an operator names, as an attribute or as a constant input."""
    given = attributes(node)
    if "axes" in given:
        return [int(axis) for axis in given["axes"]]
    if "axis" in given:
        return [int(given["axis"])]
    return _listed(graph, node.input[1]) if len(node.input) > 1 else None


def _listed(graph: Graph, name: str) -> list[int] | None:
    """The numbers of a constant that has one for each axis."""
    if not graph.is_known(name) or math.prod(graph.constant_shape(name)) > MOST_AXES:
        return None
    return [int(number) for number in graph.array(name).reshape(-1)]


def _lost(axis: int) -> int | None:
    return None


def _removing(gone: Sequence[int]) -> Move:
    return lambda axis: None if axis in gone else axis - sum(each < axis for each in gone)


def _inserting(new: Sequence[int]) -> Move:
    def move(axis: int) -> int:
        for each in new:
            if each <= axis:
                axis += 1
        return axis

    return move


def _apply(move: Move, axes: Axes | None) -> Axes | None:
    if axes is None:
        return None
    batch = None if axes.batch is None else move(axes.batch)
    channel = None if axes.channel is None else move(axes.channel)
    return None if batch is None and channel is None else Axes(batch, channel)


def _inverse(move: Move) -> Move:
    """The way back, by trying the few axes there can be."""
    return lambda target: next((axis for axis in range(8) if move(axis) == target), None)


def _same_rank(graph: Graph, first: str, second: str) -> bool:
    return len({graph.rank(first), graph.rank(second)} - {None}) < 2
