"""Diagrams from left to right in rows like a text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from micam_fast.diagrams.dot import EdgeSpec, NodeSpec
from micam_fast.diagrams.layout import find_engine, lay_out
from micam_fast.diagrams.places import Box, DiagramLayout, EdgeLabel, NestedFrame, Route
from micam_fast.diagrams.wrapping import wrap_rows
from tests.helpers.pictures import contains, overlap

WIDTH, HEIGHT, GAP = 330, 205, 45
TURN = 18


def chain(count: int, height: int = HEIGHT) -> DiagramLayout:
    """Nodes ``0``, ``1``, ... in a line; each edge is straight and ends before its head."""
    step = WIDTH + GAP
    boxes = {str(n): Box(n * step, 0, WIDTH, height) for n in range(count)}
    routes = []
    for n in range(1, count):
        start, tip = n * step - GAP, n * step
        xs = np.linspace(start, tip - 17, 4).tolist()
        routes.append(Route(tuple((x, height / 2) for x in xs), (tip, height / 2)))
    return DiagramLayout(count * step - GAP, height, boxes, tuple(routes), ())


def rows_of(layout: DiagramLayout) -> list[list[str]]:
    """Names of the nodes by row."""
    by_top = itertools.groupby(layout.nodes.items(), key=lambda item: item[1].y)
    return [[name for name, _ in row] for _, row in by_top]


def bezier(points: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    a, b, c, d = points
    s = 1 - t
    return np.asarray(s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d)


def test_a_short_diagram_stays_as_it_is() -> None:
    layout = chain(3)
    assert wrap_rows(layout) is layout


def test_rows_are_alike_and_read_like_a_text() -> None:
    found = wrap_rows(chain(12))
    names = [str(n) for n in range(12)]
    assert rows_of(found) == [names[:4], names[4:8], names[8:]]
    for first in ("4", "8"):
        assert found.nodes[first].x == found.nodes["0"].x
    for one, other in itertools.combinations(found.nodes.values(), 2):
        assert not overlap(one, other)


@pytest.mark.parametrize("count", [12, 100, 1000])
def test_a_long_diagram_gets_the_shape_of_a_screen(count: int) -> None:
    found = wrap_rows(chain(count))
    assert list(found.nodes) == [str(n) for n in range(count)]
    assert 1.2 < found.width / found.height < 2.4
    sheet = Box(0, 0, found.width, found.height)
    for box in found.nodes.values():
        assert (box.width, box.height) == (WIDTH, HEIGHT)
        assert contains(sheet, box)
    for route in found.routes:
        for x, y in (*route.points, route.tip):
            assert -1 <= x <= found.width + 1
            assert -1 <= y <= found.height + 1


def test_an_edge_goes_on_at_the_same_height_of_the_next_row() -> None:
    found = wrap_rows(chain(12))
    assert len(found.routes) == 11 + 2
    leaving = [r for r in found.routes if r.tip[0] - r.points[-1][0] == pytest.approx(TURN)]
    assert len(leaving) == 2
    coming = [r for r in found.routes if r.points[0][0] == pytest.approx(0, abs=1)]
    assert len(coming) == 2
    for last, first, out, into in zip(("3", "7"), ("4", "8"), leaving, coming, strict=True):
        left, right = found.nodes[last], found.nodes[first]
        assert out.points[0] == pytest.approx((left.x + WIDTH, left.y + HEIGHT / 2), abs=1)
        assert out.tip[1] - left.y == pytest.approx(into.points[0][1] - right.y, abs=1)
        # Its head is whole, and at the node.
        assert into.tip == pytest.approx((right.x, right.y + HEIGHT / 2), abs=1)
        assert into.tip[0] - into.points[-1][0] == pytest.approx(17)


@given(st.lists(st.floats(0, 400), min_size=4, max_size=4), st.integers(8, 12))
@settings(deadline=None, max_examples=40)
def test_the_parts_of_a_skip_connection_lie_on_its_curve(heights: list[float], end: int) -> None:
    """An edge past many nodes, of any shape."""
    plain = chain(13, 400)
    x0, x1 = plain.nodes["0"].x + WIDTH, plain.nodes[str(end)].x - 17.0
    curve = np.stack([np.linspace(x0, x1, 4), heights], axis=1)
    points = tuple((float(x), float(y)) for x, y in curve)
    skip = Route(points, (x1 + 17, heights[3]), EdgeLabel("12 layers", points[1]))
    layout = DiagramLayout(plain.width, 400, plain.nodes, (skip,), ())
    found = wrap_rows(layout)
    rows = rows_of(found)
    crossed = next(n for n, row in enumerate(rows) if str(end) in row) + 1
    assert len(found.routes) == crossed
    assert sum(route.label is not None for route in found.routes) == 1
    on_curve = np.array([bezier(curve, t) for t in np.linspace(0, 1, 4001)])
    for row, route in zip(rows, found.routes, strict=False):
        name = row[0]
        back = np.array((plain.nodes[name].x - found.nodes[name].x, -found.nodes[name].y))
        own = np.array(route.points)[-4:] + back
        for t in np.linspace(0, 1, 9):
            distance = np.abs(on_curve - bezier(own, t)).max(axis=1).min()
            assert distance < 2


def test_frames_are_drawn_in_each_row_that_they_reach() -> None:
    nodes = [NodeSpec(str(n), WIDTH, HEIGHT, ()) for n in range(3)]
    inner = [("a", "a.0"), ("a", "a.1"), ("a", "a.2")]
    nodes += [NodeSpec(f"{path[1]}.{n}", WIDTH, HEIGHT, path) for path in inner for n in range(3)]
    nodes += [NodeSpec("end", WIDTH, HEIGHT, ())]
    names = [node.name for node in nodes]
    edges = [EdgeSpec(*pair) for pair in itertools.pairwise(names)]
    layout = lay_out(nodes, edges, rankdir="LR", engine=find_engine())
    found = wrap_rows(layout)
    assert len(rows_of(found)) == 2
    for node in nodes:
        box = found.nodes[node.name]
        for depth in node.cluster:
            around = [each for each in found.clusters if each.name == depth]
            assert any(contains(each.box, box) for each in around)
        others = [each.box for each in found.clusters if each.name not in node.cluster]
        assert not any(overlap(box, other) for other in others)
    outer = [each.box for each in found.clusters if each.name == "a"]
    assert len(outer) == len({box.y for box in outer}) > 1
    for each in found.clusters:
        if each.name != "a":
            assert any(contains(box, each.box) for box in outer)


def test_nodes_above_each_other_stay_together() -> None:
    plain = chain(12)
    above = {f"{name}b": Box(box.x + 55, 250, 220, 90) for name, box in plain.nodes.items()}
    layout = DiagramLayout(plain.width, 340, {**plain.nodes, **above}, (), ())
    found = wrap_rows(layout)
    for name, box in plain.nodes.items():
        below = found.nodes[f"{name}b"]
        assert (below.x - found.nodes[name].x, below.y - found.nodes[name].y) == (55, 250 - box.y)


def test_an_empty_frame_is_dropped() -> None:
    plain = chain(12)
    frame = NestedFrame("void", Box(WIDTH + 1, 10, 40, 40))
    layout = DiagramLayout(plain.width, HEIGHT, plain.nodes, (), (frame,))
    assert not wrap_rows(layout).clusters
