"""What the rule of an operator sees of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from micam_fast.models.onnx.dependence.cells import Dependence, union
from micam_fast.models.onnx.dependence.terms import Term
from micam_fast.models.onnx.graph import Graph, Kind, attributes, input_name
from micam_fast.models.onnx.operators import find_operator


class NodeReading:
    """One node of a graph, with what the activations that it reads depend on.

    Shapes of values, and numbers of those that are made from shapes alone, are there if known.

    Attributes
    ----------
    given
        The node's attributes.
    operator
        What is known of its operator.
    is_old
        Whether the model has a version of it that works another way.
    unread
        Activations that the rule has not looked at so far.
    """

    def __init__(
        self,
        graph: Graph,
        node: onnx.NodeProto,
        shapes: Mapping[str, tuple[int, ...]],
        numbers: Mapping[str, NDArray[Any]],
        found: Mapping[str, Dependence],
    ) -> None:
        self._graph, self.node, self._shapes, self._found = graph, node, shapes, found
        self._numbers = numbers
        self.operator = find_operator(node)
        self.given = attributes(node)
        since, until = self.operator.since, self.operator.until
        opset = self.given.get("opset", graph.opset)
        self.is_old = until is not None or (since is not None and opset < since)
        self.unread = set(graph.activations(node))

    def word(self, name: str, default: str) -> str:
        """A text among the attributes."""
        return str(self.given.get(name, default.encode()).decode())

    def is_activation(self, position: int) -> bool:
        """Tell whether there is an input at a position that depends on the model's input."""
        return self._graph.kind.get(self._name(position)) is Kind.ACTIVATION

    def read(self, position: int = 0) -> Dependence:
        """What an input depends on.

        Raises
        ------
        ValueError
            If its shape is not known.
        """
        name = self._name(position)
        self.unread.discard(name)
        return self._found.get(name) or Dependence(self.shape(position), ())

    def shape(self, position: int) -> tuple[int, ...]:
        """Shape of an input.

        Raises
        ------
        LookupError
            If it is not known.
        """
        name = self._name(position)
        return self._shapes[name] if name in self._shapes else self._graph.constant_shape(name)

    @property
    def made(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self._shapes[self.node.output[0]]

    @property
    def made_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all outputs; of one without a name ``()``."""
        return [self._shapes[name] if name else () for name in self.node.output]

    def has(self, position: int) -> bool:
        """Tell whether an optional input is there."""
        return bool(self._name(position))

    def array(self, position: int) -> NDArray[Any]:
        """Values of an input that does not depend on the model's input.

        Raises
        ------
        ValueError
            If they are not known.
        """
        name = self._name(position)
        if name in self._numbers:
            return self._numbers[name]
        if not self._graph.is_known(name):
            raise ValueError(f"the values of {name!r} are not known")
        return self._graph.array(name)

    def integers(self, position: int, attribute: str) -> list[int] | None:
        """Integers of an attribute, or of an input in newer versions; ``None`` if not given."""
        if attribute in self.given:
            found = self.given[attribute]
            return [int(each) for each in (found if isinstance(found, list) else [found])]
        if not self.has(position):
            return None
        return [int(each) for each in self.array(position).reshape(-1)]

    def axis(self, default: int, rank: int) -> int:
        """The attribute ``axis``, counted from the first."""
        return int(self.given.get("axis", default)) % rank

    def _name(self, position: int) -> str:
        return input_name(self.node, position)


Rule = Callable[[NodeReading], "Dependence | list[Dependence]"]
"""What the first output depends on, or what all outputs do.

A ValueError or LookupError says that it cannot tell.
"""


def elementwise(step: NodeReading) -> Dependence:
    """Element by element, with broadcasting."""
    terms: list[Term] = []
    for position in range(len(step.node.input)):
        if step.is_activation(position):
            terms.extend(step.read(position).stretched(step.made).terms)
    return union(step.made, terms)


def added(one: Dependence, *others: Dependence) -> Dependence:
    """What the sum of values of one shape depends on."""
    return union(one.shape, [term for each in (one, *others) for term in each.terms])
