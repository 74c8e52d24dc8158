"""Expressions of operators, and where a graph holds one.

An expression is matched backwards from the value that it makes. One operator or input that stands
in two places of an expression is one value of the graph; constants may be others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import onnx

from micam_fast.models.onnx.graph import Graph, Kind, attributes
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.pointwise import read_bounds
from micam_fast.models.onnx.quantization import ROUNDS
from micam_fast.models.onnx.real_units import code_limits

# Numbers of half precision are nearer than that.
_NEAR = 1e-3
_COMMUTATIVE = ("Add", "Mul")
# Operators of codes: the one of real numbers, and the places of what they read.
_OF_CODES = {"QLinearMul": ("Mul", (0, 3)), "QLinearSigmoid": ("Sigmoid", (0,))}
# Of numbers and factors that are multiplied; GELU has four.
_DEEPEST = 5

_Multiplied = tuple[float, tuple[str, ...], frozenset[int]]
"""A number, factors, and the operators that multiply."""


@dataclass(frozen=True)
class Match:
    """What an expression was found to be.

    Attributes
    ----------
    nodes
        Indices of its operators.
    values
        By part of the expression: the value of the graph.
    reduced
        The axes that its means are taken over, all the same ones; ``None`` where it has none.
    varied
        The axes along which its constants for each channel differ.
    """

    nodes: frozenset[int] = frozenset()
    values: Mapping[Expression, str] = field(default_factory=dict)
    reduced: frozenset[int] | None = None
    varied: frozenset[int] = frozenset()

    @property
    def source(self) -> str:
        """The activation that the operation reads."""
        return next(value for part, value in self.values.items() if isinstance(part, Input))


class Expression(Protocol):
    """A part of a pattern."""

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """The ways in which a value is this, each with what was found so far."""


@dataclass(frozen=True, eq=False)
class Input:
    """The activation that the operation reads."""

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        value, _ = before_pairs(graph, value)
        if match.values.get(self, value) == value and graph.kind.get(value) is Kind.ACTIVATION:
            yield replace(match, values={**match.values, self: value})


@dataclass(frozen=True, eq=False)
class Number:
    """A constant that is one number, within a thousandth."""

    number: float

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        found = read_number(graph, value)
        if found is not None and math.isclose(found, self.number, rel_tol=_NEAR):
            yield match


class Op:
    """An operator of ONNX with its inputs, those of Add and Mul in any order.

    `given` are attributes that it must have, by name.
    """

    def __init__(self, name: str, *inputs: Expression, **given: float) -> None:
        self.name, self.inputs, self.given = name, inputs, given

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        made, nodes, node = maker_of(graph, value)
        if self in match.values:
            yield from [match] if match.values[self] == made else []
            return
        if node is None or name_of(node) != self.name:
            return
        read = _inputs_of(node)
        if len(read) != len(self.inputs) or not _has(node, self.given) or _adds_axes(graph, node):
            return
        values = {**match.values, self: made}
        begun = replace(match, nodes=match.nodes | nodes, values=values)
        orders = [read, read[::-1]] if self.name in _COMMUTATIVE else [read]
        for order in orders:
            yield from _match_all(graph, self.inputs, order, begun)


@dataclass(frozen=True, eq=False)
class Bounded:
    """What a Clip with these bounds makes, or codes that hold nothing beyond them."""

    inner: Expression
    low: float
    high: float

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        _, nodes, node = maker_of(graph, value)
        if node is not None and find_operator(node).affine == "bounds":
            if read_bounds(graph, node) == (self.low, self.high):
                begun = replace(match, nodes=match.nodes | nodes)
                yield from self.inner.matches(graph, node.input[0], begun)
            return
        codes = code_limits(graph, value)
        near = _NEAR * (self.high - self.low)
        # A tool that quantizes leaves out the Clip then.
        if codes is not None and self.low - near <= codes[0] and codes[1] <= self.high + near:
            yield from self.inner.matches(graph, value, match)


class Product:
    """A number times factors, in any order, however Mul and Div by a number write it."""

    def __init__(self, number: float, *factors: Expression) -> None:
        self.number, self.factors = number, factors

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        number, factors, nodes = _read_product(graph, value)
        if len(factors) != len(self.factors) or not nodes:
            return
        if not math.isclose(number, self.number, rel_tol=_NEAR):
            return
        begun = replace(match, nodes=match.nodes | nodes)
        for order in sorted(set(itertools.permutations(factors))):
            yield from _match_all(graph, self.factors, order, begun)


@dataclass(frozen=True, eq=False)
class TurnedBack:
    """A part that is made of transposed values, behind a Transpose that undoes theirs.

    Attributes
    ----------
    inner
        The part.
    turned
        The Transpose that it reads.
    """

    inner: Expression
    turned: Op

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        _, nodes, node = maker_of(graph, value)
        if node is None or find_operator(node).name != "Transpose":
            return
        back = attributes(node).get("perm", ())
        begun = replace(match, nodes=match.nodes | nodes)
        for found in self.inner.matches(graph, node.input[0], begun):
            first = graph.nodes[graph.producer[found.values[self.turned]]]
            order = attributes(first).get("perm", ())
            if back and [order[axis] for axis in back] == list(range(len(order))):
                yield found


class Either:
    """One of several expressions."""

    def __init__(self, *ways: Expression) -> None:
        self.ways = ways

    def matches(self, graph: Graph, value: str, match: Match) -> Iterator[Match]:
        """As `Expression.matches`."""
        for way in self.ways:
            yield from way.matches(graph, value, match)


def _match_all(
    graph: Graph, parts: tuple[Expression, ...], values: Any, match: Match
) -> Iterator[Match]:
    if not parts:
        yield match
        return
    for found in parts[0].matches(graph, values[0], match):
        yield from _match_all(graph, parts[1:], values[1:], found)


def maker_of(graph: Graph, value: str) -> tuple[str, frozenset[int], onnx.NodeProto | None]:
    """The node that makes an activation as its first output, be it rounded to codes behind it.

    With it come the value that the node makes, and the indices of the node and of what rounds.
    """
    made, pairs = before_pairs(graph, value)
    index = graph.producer.get(made, -1)
    if index < 0 or graph.kind[made] is not Kind.ACTIVATION:
        return made, frozenset(), None
    node = graph.nodes[index]
    is_first = node.output[0] == made
    return made, pairs | {index}, node if is_first else None


def before_pairs(graph: Graph, value: str) -> tuple[str, frozenset[int]]:
    """What a value was before it was rounded to codes, or the codes; and the nodes that round."""
    nodes: set[int] = set()
    while value in graph.producer and graph.kind[value] is Kind.ACTIVATION:
        index = graph.producer[value]
        node = graph.nodes[index]
        units = filter(None, node.input[1:])
        if find_operator(node).name not in ROUNDS or not all(map(graph.is_constant, units)):
            break
        nodes.add(index)
        value = node.input[0]
    return value, frozenset(nodes)


def name_of(node: onnx.NodeProto) -> str:
    """An operator's name; of one of codes, that of the same operator of real numbers."""
    name = find_operator(node).name
    return _OF_CODES[name][0] if name in _OF_CODES else name


def _inputs_of(node: onnx.NodeProto) -> list[str]:
    """What an operator reads, without the units of codes."""
    name = find_operator(node).name
    if name in _OF_CODES:
        return [node.input[place] for place in _OF_CODES[name][1]]
    return [name for name in node.input if name]


def _has(node: onnx.NodeProto, wanted: Mapping[str, float]) -> bool:
    given = attributes(node)
    defined = onnx.defs.get_schema(node.op_type).attributes if wanted else {}
    for name, number in wanted.items():
        held = given.get(name, onnx.helper.get_attribute_value(defined[name].default_value))
        if not math.isclose(held, number, rel_tol=_NEAR):
            return False
    return True


def read_number(graph: Graph, name: str) -> float | None:
    """A constant of one real number, whatever its axes."""
    if not graph.is_constant(name) or not graph.is_known(name):
        return None
    if math.prod(graph.constant_shape(name)) != 1:
        return None
    array = graph.array(name)
    return float(array.reshape(())) if array.dtype.kind in "fiu" else None


def _adds_axes(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a constant has more axes than the activations that an operator takes with it.

    An unknown rank leaves room for one axis.
    """
    if find_operator(node).field != "elementwise":
        return False
    ranks = [graph.rank(name) or 1 for name in graph.activations(node)]
    constants = [name for name in node.input if graph.is_constant(name) and graph.is_known(name)]
    return any(len(graph.constant_shape(name)) > max(1, *ranks) for name in constants)


def _read_product(graph: Graph, value: str, deep: int = 0) -> _Multiplied:
    """Number and factors of a value, and the operators that multiply.

    What others read, too, is a factor as a whole, as is what lies too deep for any pattern.
    """
    whole: _Multiplied = 1.0, (value,), frozenset()
    _, inside, node = maker_of(graph, value)
    if node is None or name_of(node) not in ("Mul", "Div") or _adds_axes(graph, node):
        return whole
    made = (graph.nodes[index].output[0] for index in inside)
    if deep and any(graph.only_reader(name) is None for name in made):
        return whole
    number, parts = 1.0, _inputs_of(node)
    if find_operator(node).name == "Div":
        divisor = read_number(graph, parts.pop())
        if not divisor:
            return whole
        number = 1 / divisor
    factors: tuple[str, ...] = ()
    nodes = inside
    for part in parts:
        found = read_number(graph, part)
        if found is not None:
            number *= found
            continue
        inner: _Multiplied = 1.0, (part,), frozenset()
        if deep < _DEEPEST:
            inner = _read_product(graph, part, deep + 1)
        number, factors, nodes = number * inner[0], factors + inner[1], nodes | inner[2]
    return number, factors, nodes
