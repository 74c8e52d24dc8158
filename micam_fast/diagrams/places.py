"""Where Graphviz put the nodes, edges and clusters of a diagram; pixels, y downwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from micam_fast.diagrams.marks import Point


@dataclass(frozen=True)
class Box:
    """A rectangle by its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


EDGE_LABEL_SIZE = 13.0
"""Of an edge's label, pixels."""


@dataclass(frozen=True)
class EdgeLabel:
    """What stands beside an edge, and the middle of its baseline."""

    text: str
    place: Point


@dataclass(frozen=True)
class Route:
    """An edge: a start and cubic Bezier triples, and the tip of its arrow.

    One with a label leads through layers that are not drawn.
    """

    points: tuple[Point, ...]
    tip: Point
    label: EdgeLabel | None = None


@dataclass(frozen=True)
class NestedFrame:
    """A nested model's frame."""

    name: str
    box: Box


@dataclass(frozen=True)
class DiagramLayout:
    """Everything that does not depend on the sample.

    Attributes
    ----------
    width, height
        Of the laid out graph.
    nodes
        By layer name.
    """

    width: float
    height: float
    nodes: Mapping[str, Box]
    routes: tuple[Route, ...]
    clusters: tuple[NestedFrame, ...]
