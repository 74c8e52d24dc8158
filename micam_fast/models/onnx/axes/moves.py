"""Where operators that move axes put them: Transpose, Squeeze, Unsqueeze, Gather, reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx

from micam_fast.models.onnx.axes.reshapes import ONE, listed_numbers, read_reshape
from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.operators import find_operator


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
    rank = graph.rank(node.input[0]) or 0
    if rank < 4 or rank != graph.rank(node.output[0]):
        return None
    found = read_reshape(graph, node)
    if found is None or found.before == found.after:
        return None
    for perm in layout_moves(rank):
        channel = 1 if perm[1] != rank - 1 else rank - 1
        moved = tuple(found.before[axis] for axis in perm)
        if found.before[channel] == ONE and moved == found.after:
            return perm
    return None


Move = Callable[[int], int | None]


def moved_axes(graph: Graph, node: onnx.NodeProto) -> Move | None:
    """Where an operator that moves axes puts input axis ``i``; ``None`` for one that does not."""
    channels = find_operator(node).channels
    perm = permutation(graph, node)
    if perm is not None:
        return lambda axis: perm.index(axis) if axis in perm else None
    if channels == "permuted":
        return lost
    shape = graph.shape(node.input[0])
    if channels == "gathered":
        indices = graph.shape(node.input[1])
        axis = int(attributes(node).get("axis", 0))
        if indices is None or (axis < 0 and shape is None):
            return lost
        axis += len(shape) if axis < 0 and shape is not None else 0
        return None if len(indices) == 1 else _replacing(axis, len(indices))
    if channels not in ("reduced", "squeezed", "unsqueezed"):
        return None
    if channels == "reduced" and attributes(node).get("keepdims", 1):
        return None
    named = listed_axes(graph, node)
    if named is None:
        if channels != "squeezed" or shape is None or None in shape:
            return lost
        named = [axis for axis, size in enumerate(shape) if size == 1]
    if min(named, default=0) < 0:
        if shape is None:
            return lost
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
    return listed_numbers(graph, node.input[1]) if len(node.input) > 1 else None


def lost(axis: int) -> int | None:
    """The move of an operator of which too little is known."""
    return None


def _removing(gone: Sequence[int]) -> Move:
    return lambda axis: None if axis in gone else axis - sum(each < axis for each in gone)


def _replacing(place: int, count: int) -> Move:
    """Of an operator that puts some axes in the place of one."""

    def move(axis: int) -> int | None:
        return None if axis == place else axis + (count - 1 if axis > place else 0)

    return move


def _inserting(new: Sequence[int]) -> Move:
    def move(axis: int) -> int:
        for each in new:
            if each <= axis:
                axis += 1
        return axis

    return move


def inverse(move: Move) -> Move:
    """The way back, by trying the few axes there can be."""
    return lambda target: next((axis for axis in range(8) if move(axis) == target), None)
