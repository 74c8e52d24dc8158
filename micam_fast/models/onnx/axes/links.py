"""Where a node puts the axes of what it reads in what it makes, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from micam_fast.models.onnx.axes.evidence import Level, Role
from micam_fast.models.onnx.axes.moves import Move, inverse, lost, moved_axes
from micam_fast.models.onnx.axes.reshapes import Reshaping, read_reshape
from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.operator_row import Operator
from micam_fast.models.onnx.operators import find_operator

Carry = Callable[[Role, tuple[int, ...]], tuple[int, ...] | None]
"""Makes the axes of one value those of another; ``None`` where they are lost."""


@dataclass(frozen=True, slots=True)
class Link:
    """A way from one value to another.

    Attributes
    ----------
    other
        The value at its end.
    carry
        What it does to axes; ``None`` where it keeps them.
    forwards
        Whether it leads from what a node reads to what it makes.
    joined
        Whether other activations take part in what it leads to.
    level
        As much as what it brings can count at most.
    """

    other: str
    carry: Carry | None
    forwards: bool
    joined: bool = False
    level: Level = Level.WALKS


def find_links(
    graph: Graph,
    node: onnx.NodeProto,
    operator: Operator,
    read: Sequence[str],
    origins: Mapping[str, str],
    *,
    walks: bool,
) -> Iterator[tuple[str, Link]]:
    """The ways through a node, each with the value that it begins at.

    `read` are the node's activations, `origins` what `note_origin` noted of the nodes before. Where
    no axis is walked along, what leads only such axes is left out.
    """
    made = [name for name in node.output if name]
    if operator.channels == "as read":
        yield from _plain_links(graph, operator, read, made)
    elif operator.channels in ("second", "last"):
        if walks and node.input[0] in read:
            yield made[0], Link(node.input[0], _walk_through, forwards=False)
    elif operator.channels == "dense":
        yield from _product_links(graph, node, operator, read)
    elif operator.channels == "unknown":
        if operator.field == "largest":
            yield from _plain_links(graph, operator, read[:1], made)
    elif operator.channels not in ("recurrent", "listed"):
        yield from _moving_links(graph, node, read, made, origins)


def _plain_links(
    graph: Graph, operator: Operator, read: Sequence[str], made: Sequence[str]
) -> Iterator[tuple[str, Link]]:
    """An operator that leaves axes where they are; NumPy's rules for values of fewer axes."""
    if operator.cost == "gemm":
        return
    joined = len(read) > 1
    for name in read:
        rank = graph.rank(name)
        for output in made:
            own = graph.rank(output)
            if rank is None or own is None or rank == own:
                yield name, Link(output, None, True, joined)
                yield output, Link(name, None, False)
            elif operator.field == "elementwise":
                yield name, Link(output, _shift(own - rank), True, joined)
                yield output, Link(name, _shift(rank - own), False)


def _moving_links(
    graph: Graph,
    node: onnx.NodeProto,
    read: Sequence[str],
    made: Sequence[str],
    origins: Mapping[str, str],
) -> Iterator[tuple[str, Link]]:
    source, result = node.input[0], made[0]
    if source not in read:
        return
    move = moved_axes(graph, node)
    if move is lost:
        return
    if move is not None:
        yield source, Link(result, _by_move(move), True)
        yield result, Link(source, _by_move(inverse(move)), False)
        return
    if find_operator(node).channels != "reshaped":
        yield from _plain_links(graph, find_operator(node), [source], made)
        return
    found = read_reshape(graph, node)
    if found is not None:
        yield source, Link(result, _by_reshape(found), True)
        yield result, Link(source, _back_by_reshape(found), False)
    # A GroupNormalization that is written as an InstanceNormalization of groups brings each element
    # back to its place.
    origin, shape = origins.get(source, ""), graph.shape(result)
    if origin and shape is not None and None not in shape and graph.shape(origin) == shape:
        yield origin, Link(result, None, True)
        yield result, Link(origin, None, False)


def note_origin(
    graph: Graph,
    node: onnx.NodeProto,
    operator: Operator,
    read: Sequence[str],
    origins: dict[str, str],
) -> None:
    """Note which value a node's output has the elements of, in their order, before a Reshape."""
    if list(read) != [node.input[0]]:
        return
    source, result = node.input[0], node.output[0]
    if operator.channels == "reshaped":
        origins[result] = source
    elif source in origins and operator.field in ("elementwise", "instance norm"):
        shape = graph.shape(source)
        if shape is not None and None not in shape and shape == graph.shape(result):
            origins[result] = origins[source]


def _product_links(
    graph: Graph, node: onnx.NodeProto, operator: Operator, read: Sequence[str]
) -> Iterator[tuple[str, Link]]:
    """A matrix product keeps the axes of its stack; that of two activations, channels, too."""
    if any(attributes(node).get(f"trans{which}", 0) for which in ("A", "BatchA", "BatchB")):
        return
    result, factors = node.output[0], [node.input[place] for place in operator.factors]
    own = graph.rank(result)
    if own is None or any(graph.rank(name) != own for name in factors if name in read):
        return
    dense = sum(name in read for name in factors) == 1
    for place, name in enumerate(factors):
        if name in read:
            gone = own - 1 if place == 0 else own - 2
            # What weighs others (attention) says less of channels than what is weighed.
            level = Level.WALKS if dense or place else Level.HINTS
            carry = _without(gone, dense=dense)
            yield name, Link(result, carry, True, not dense, level)
            yield result, Link(name, carry, False, level=level)


def _without(gone: int, *, dense: bool) -> Carry:
    """All axes but the one that a product sums along."""

    def carry(role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        if role is Role.CHANNEL:
            return None if dense else tuple(axis for axis in axes if axis != gone) or None
        return None if gone in axes else axes

    return carry


def _walk_through(role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    return axes if role is Role.WALKED and axes != (1,) else None


def _shift(by: int) -> Carry:
    def carry(role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        moved = tuple(axis + by for axis in axes if axis + by >= 0)
        return moved if moved or role is Role.BATCH else None

    return carry


def _by_move(move: Move) -> Carry:
    def carry(role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        places = (move(axis) for axis in axes)
        moved = tuple(sorted(place for place in places if place is not None))
        return moved if moved or role is Role.BATCH else None

    return carry


def _by_reshape(found: Reshaping) -> Carry:
    def carry(role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        if any(axis >= len(found.before) for axis in axes):
            return None
        if role is Role.BATCH:
            return found.move_batch(axes[0]) if axes else ()
        return found.move_channels(axes) or None

    return carry


def _back_by_reshape(found: Reshaping) -> Carry:
    def carry(role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        if any(axis >= len(found.after) for axis in axes):
            return None
        if role is Role.BATCH:
            return found.move_batch_back(axes[0]) if axes else None
        if role is Role.WALKED:
            place = found.move_alone_back(axes[0])
            return None if place is None else (place,)
        return found.move_channels_back(axes) or None

    return carry
