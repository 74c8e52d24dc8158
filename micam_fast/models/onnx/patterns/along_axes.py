"""Parts of expressions that have axes: means, constants for each channel, and lists of sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx

from micam_fast.core.layers import Shape
from micam_fast.models.onnx.axes import listed_axes
from micam_fast.models.onnx.graph import Graph, Kind, attributes
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.patterns.matching import (
    Expression,
    Match,
    maker_of,
    read_number,
)


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean that keeps its axes with size 1; all means of an expression take the same ones."""

    inner: Expression

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        made, nodes, node = maker_of(graph, value)
        if self in match.values:
            yield from [match] if match.values[self] == made else []
            return
        reduced = None if node is None else _read_mean(graph, node)
        if node is None or not reduced or match.reduced not in (None, reduced):
            return
        values = {**match.values, self: made}
        begun = replace(match, nodes=match.nodes | nodes, values=values, reduced=reduced)
        yield from self.inner.matches(graph, node.input[0], begun)


@dataclass(frozen=True, eq=False)
class Unmoved:
    """A part as it is, or behind a Reshape that keeps its sizes."""

    inner: Expression

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        yield from self.inner.matches(graph, value, match)
        made, nodes, node = maker_of(graph, value)
        if node is None or find_operator(node).name != "Reshape":
            return
        if is_same(graph.shape(node.input[0]), graph.shape(made)):
            begun = replace(match, nodes=match.nodes | nodes)
            yield from self.inner.matches(graph, node.input[0], begun)


@dataclass(frozen=True, eq=False)
class Weights:
    """A constant that differs along axes of a part that was matched before, and fits it.

    Attributes
    ----------
    of
        That part.
    loose
        Whether it may be one number, too, or have as many as a size that is unknown.
    """

    of: Expression
    loose: bool = False

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        shape = graph.shape(match.values.get(self.of, ""))
        if shape is None or not graph.is_constant(value) or not graph.is_known(value):
            return
        sizes = graph.constant_shape(value)
        if len(sizes) > len(shape):
            return
        whole = (1,) * (len(shape) - len(sizes)) + sizes
        varied = frozenset(axis for axis, size in enumerate(whole) if size != 1)
        # An unknown size equals none; one that a mean is taken over is not 1, so it is this one.
        open_axes = varied if self.loose else match.reduced or frozenset()
        fits = all(
            shape[axis] == whole[axis] or (shape[axis] is None and axis in open_axes)
            for axis in varied
        )
        if fits and (varied or self.loose):
            yield replace(match, varied=match.varied | varied)


@dataclass(frozen=True, eq=False)
class Epsilon:
    """A small constant number that keeps a divisor from zero."""

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        found = read_number(graph, value)
        if found is not None and 0 < found <= _LARGEST_EPSILON:
            yield match


@dataclass(frozen=True, eq=False)
class Given:
    """Anything that does not depend on the model's input but for its sizes."""

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        if graph.kind.get(value) is not Kind.ACTIVATION:
            yield match


# Published networks have 1e-12 to 1e-2.
_LARGEST_EPSILON = 0.1


def is_same(first: Shape | None, second: Shape | None) -> bool:
    """Tell whether shapes of equally many elements are the same; one size may be unknown."""
    if first is None or second is None or len(first) != len(second):
        return False
    pairs = list(zip(first, second, strict=True))
    return pairs.count((None, None)) <= (len(pairs) > 1) and all(a == b for a, b in pairs)


def _read_mean(graph: Graph, node: onnx.NodeProto) -> frozenset[int] | None:
    """The axes that an operator takes the mean over and keeps."""
    name, rank = find_operator(node).name, graph.rank(node.input[0])
    if not rank or name not in ("GlobalAveragePool", "ReduceMean"):
        return None
    if name == "GlobalAveragePool":
        return frozenset(range(2, rank))
    listed = listed_axes(graph, node) if attributes(node).get("keepdims", 1) else None
    return frozenset(axis % rank for axis in listed or ())
