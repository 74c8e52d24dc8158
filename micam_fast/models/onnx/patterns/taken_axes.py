"""Whether what was matched takes the axes that an operation takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from micam_fast.core.layers import Axes
from micam_fast.models.onnx.axes import listed_numbers
from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.patterns.along_axes import is_same
from micam_fast.models.onnx.patterns.matching import Match

AxesOf = Callable[[str], Axes]
"""What evidence says of a value's axes; an unknown channel axis is ``None``."""


@dataclass(frozen=True)
class Place:
    """What is known around a match.

    Attributes
    ----------
    graph
        That holds it.
    axes_of
        Gives what evidence says of a value's axes.
    ends
        The operations that were found so far, by the index of their last operator.
    """

    graph: Graph
    axes_of: AxesOf
    ends: Mapping[int, str]


_FIELDS = ("group norm", "instance norm", "layer norm")
_NAMES = tuple(f"{each}Normalization" for each in ("Group", "Instance", "Layer", "RMS"))
# Operators from a reduction to what is multiplied by it: with a sum, a root and a reciprocal.
_MOST_BEHIND = 4


def anywhere(match: Match, place: Place) -> bool:
    """Tell that an operation does not depend on axes."""
    return True


def by_channel(match: Match, place: Place) -> bool:
    """Tell whether its constants have one number for each channel.

    One channel alone is no proof, and what is normalized already, or whole numbers in their real
    units, is no input of a batch normalization.
    """
    channel, _, _ = _axes(place, match.source)
    return match.varied == {channel} and not _is_normalized(place, match.source)


def over_channels(match: Match, place: Place) -> bool:
    """Tell whether its means are taken over the channels, be it with positions, of each sample.

    Factors along the axes of the means say so, too: those of instances lie along the others.
    """
    channel, batch, every = _axes(place, match.source)
    taken = match.reduced or frozenset()
    if not taken or batch in taken or not match.varied <= taken:
        return False
    return channel in taken or taken in (match.varied, every - {batch})


def over_positions(match: Match, place: Place) -> bool:
    """Tell whether its means are taken over all positions of each channel of each sample."""
    channel, batch, every = _axes(place, match.source)
    if channel is None or not match.varied <= {channel}:
        return False
    return bool(match.reduced) and match.reduced == every - {channel, batch}


def in_groups(match: Match, place: Place) -> bool:
    """Tell whether channels are split into groups, and all else is brought back to its place."""
    graph = place.graph
    channel, batch, every = _axes(place, match.source)
    if match.reduced is None:
        # Instances have their samples first, and their channels, the groups, second.
        channel = 1
    shape = graph.shape(match.source)
    first, last = _reshapes(graph, match)
    split, back = graph.shape(first.output[0]), graph.shape(last.output[0])
    if shape is None or split is None or channel is None or batch != 0:
        return False
    size, count = shape[channel], split[channel] if channel < len(split) else None
    if not count or (size is not None and size % count):
        return False
    if not (_is_shape_of(graph, last.input[1], match.source) or is_same(shape, back)):
        return False
    if match.reduced is None:
        target = listed_numbers(graph, first.input[1])
        kept = (target or (None,))[0] == 0 or is_same(shape[:1], split[:1])
        # As many groups as channels, on several axes of positions: an image of tokens, as written.
        image = count == size and len(split) > 3
        return kept and not image and match.varied <= {channel}
    if size is None:
        return False
    within = (*split[: channel + 1], *split[channel + 2 :])
    expected = (*shape[:channel], count, *shape[channel + 1 :])
    others = frozenset(range(len(every) + 1)) - {batch, channel}
    return (
        split[channel + 1 : channel + 2] == (size // count,)
        and is_same(within, expected)
        and match.reduced == others
        and match.varied <= {channel, channel + 1}
    )


def _axes(place: Place, value: str) -> tuple[int | None, int | None, frozenset[int]]:
    """The axis of a value's channels, that of its batch, and all axes."""
    rank, axes = place.graph.rank(value) or 0, place.axes_of(value)
    every = frozenset(range(rank))
    if not axes.fit(rank):
        return None, None, every
    others = every - {axes.batch}
    if axes.channel is None and len(others) == 1:
        return min(others), axes.batch, every
    return axes.channel, axes.batch, every


def _is_normalized(place: Place, value: str) -> bool:
    """Tell whether a value comes from a normalization, or holds whole numbers of a product.

    A quotient or product with what comes from a reduction, element by element, is one, too.
    """
    graph = place.graph
    while value in graph.producer:
        index = graph.producer[value]
        operator, read = find_operator(graph.nodes[index]), graph.activations(graph.nodes[index])
        if operator.field in _FIELDS or place.ends.get(index) in _NAMES:
            return True
        if operator.kernel is not None and operator.codes:
            return True
        if operator.affine == "factor" and len(read) > 1:
            return any(_is_reduced(graph, name) for name in read)
        if operator.role == "layer" or not read:
            return False
        value = read[0]
    return False


def _is_reduced(graph: Graph, value: str) -> bool:
    """Tell whether a reduction makes a value, be it with a few elementwise operators behind it."""
    waiting = [value]
    for _ in range(_MOST_BEHIND):
        index = graph.producer.get(waiting.pop()) if waiting else None
        if index is None:
            continue
        node = graph.nodes[index]
        operator = find_operator(node)
        if operator.channels == "reduced":
            return True
        if operator.field == "elementwise":
            waiting.extend(graph.activations(node))
    return False


def _reshapes(graph: Graph, match: Match) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The Reshape that reads the source, and the one that ends the operation."""
    nodes = [graph.nodes[index] for index in sorted(match.nodes)]
    found = [node for node in nodes if find_operator(node).name == "Reshape"]
    return found[0], found[-1]


def _is_shape_of(graph: Graph, sizes: str, value: str) -> bool:
    """Tell whether a list of sizes is a value's shape as a Shape makes it."""
    if sizes not in graph.producer:
        return False
    node = graph.nodes[graph.producer[sizes]]
    given = attributes(node)
    is_whole = given.get("start", 0) == 0 and "end" not in given
    return find_operator(node).name == "Shape" and is_whole and node.input[0] == value
