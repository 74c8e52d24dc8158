"""A diagram from left to right in rows like a text: Graphviz makes it one endless line."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.marks import Point
from micam_fast.diagrams.places import Box, DiagramLayout, EdgeLabel, NestedFrame, Route

_ASPECT = 1.6
"""Width by height that the rows come near to: a screen's."""
_TURN = 18.0
"""What an edge gets at a row's end, where it has an arrow's head, and at the next one's start."""
_ROW_GAP = 45.0
_FRAME_STEP = 6.0
"""How far an outer frame is from the inner ones where a row ends."""
_BEHIND = 16.0
"""Where a row ends behind its last nodes: before the heads of the arrows to the next ones."""


def wrap_rows(layout: DiagramLayout) -> DiagramLayout:
    """Cut a layout from left to right between its columns, and put the pieces below each other.

    Edges that are cut go on at the same height of the next row, and frames of nested models are
    drawn in each row.
    """
    rows = math.floor(math.sqrt(layout.width / _ASPECT / (layout.height + _ROW_GAP)))
    cuts = _choose_cuts(layout, rows) if rows > 1 else []
    if not cuts:
        return layout
    pieces = [
        _Piece(layout, left, right)
        for left, right in itertools.pairwise([-math.inf, *cuts, math.inf])
    ]
    # The first nodes of all rows stand below each other.
    lead = max(piece.lead for piece in pieces)
    nodes: dict[str, Box] = {}
    routes: list[Route] = []
    frames: list[NestedFrame] = []
    top = width = 0.0
    for piece in pieces:
        x, y = lead - piece.lead - piece.bounds.x, top - piece.bounds.y
        nodes.update((name, _moved_box(box, x, y)) for name, box in piece.nodes.items())
        routes.extend(_moved_route(route, x, y) for route in piece.routes)
        frames.extend(replace(each, box=_moved_box(each.box, x, y)) for each in piece.frames)
        top += piece.bounds.height + _ROW_GAP
        width = max(width, lead - piece.lead + piece.bounds.width)
    return DiagramLayout(width, top - _ROW_GAP, nodes, tuple(routes), tuple(frames))


def _choose_cuts(layout: DiagramLayout, rows: int) -> list[float]:
    """Where the rows end, at most so many of them, the longest of which is as short as can be."""
    ends: list[float] = []
    gaps: list[float] = []
    for box in sorted(layout.nodes.values(), key=lambda box: box.x):
        right = box.x + box.width
        if not ends or box.x > ends[-1]:
            if ends:
                gaps.append(ends[-1] + min(_BEHIND, (box.x - ends[-1]) / 2))
            ends.append(right)
        ends[-1] = max(ends[-1], right)
    widths = range(math.ceil(layout.width))
    enough = bisect.bisect_left(
        widths, True, key=lambda width: len(_fill_rows(gaps, ends, width)) < rows
    )
    return _fill_rows(gaps, ends, enough)


def _fill_rows(gaps: Sequence[float], ends: Sequence[float], width: float) -> list[float]:
    """Where rows of at most this width end that are filled like lines of a text."""
    cuts: list[float] = []
    start = 0.0
    for gap, end in zip(gaps, ends[1:], strict=True):
        if end - start > width:
            cuts.append(gap)
            start = gap
    return cuts


class _Piece:
    """What lies between two cuts of a layout, in its places there.

    Attributes
    ----------
    nodes, routes, frames
        As in `DiagramLayout`.
    bounds
        The rectangle around all of them.
    lead
        How far the first node is from its left side.
    """

    def __init__(self, layout: DiagramLayout, left: float, right: float) -> None:
        self._layout, self._left, self._right = layout, left, right
        self.nodes = {name: box for name, box in layout.nodes.items() if self._holds(box.x)}
        self.frames = list(self._frames())
        self.routes = [part for route in layout.routes for part in self._parts(route)]
        boxes = [*self.nodes.values(), *(frame.box for frame in self.frames)]
        points = [(box.x, box.y) for box in boxes]
        points += [(box.x + box.width, box.y + box.height) for box in boxes]
        points += [point for route in self.routes for point in (*route.points, route.tip)]
        xs, ys = zip(*points, strict=True)
        self.bounds = Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
        self.lead = min(box.x for box in self.nodes.values()) - self.bounds.x

    def _holds(self, x: float) -> bool:
        return self._left <= x < self._right

    def _frames(self) -> Iterator[NestedFrame]:
        """Frames of which some nodes are here; they reach the cuts beyond which they go on."""
        inside = [
            (frame, [box for box in self._layout.nodes.values() if _lies_in(box, frame.box)])
            for frame in self._layout.clusters
        ]
        # Inner ones first: they may end a little behind a cut, and outer ones go round them.
        left, right = self._left, self._right
        for frame, boxes in sorted(inside, key=lambda each: len(each[1])):
            if not any(self._holds(box.x) for box in boxes):
                continue
            begin, end = frame.box.x, frame.box.x + frame.box.width
            if any(box.x < self._left for box in boxes):
                begin = left - _FRAME_STEP
            if any(box.x >= self._right for box in boxes):
                end = right + _FRAME_STEP
            left, right = min(left, begin), max(right, end)
            yield replace(frame, box=replace(frame.box, x=begin, width=end - begin))

    def _parts(self, route: Route) -> Iterator[Route]:
        """The parts of an edge that lie here."""
        xs = [x for x, _ in route.points]
        if max(xs) < self._left or min(xs) >= self._right:
            return
        runs: list[list[Point]] = []
        for points in _bezier_pieces(route.points, (self._left, self._right)):
            if not self._holds((points[0][0] + points[3][0]) / 2):
                continue
            if runs and runs[-1][-1] == points[0]:
                runs[-1] += points[1:]
            else:
                runs.append(list(points))
        for run in runs:
            tip, label = run[-1], None
            if run[-1] == route.points[-1]:
                tip = route.tip
            elif run[-1][0] >= self._right - 0.5:
                tip = run[-1][0] + _TURN, run[-1][1]
            if run[0] != route.points[0] and run[0][0] <= self._left + 0.5:
                x, y = run[0]
                run[:0] = [(x - _TURN, y), (x - _TURN * 2 / 3, y), (x - _TURN / 3, y)]
            if route.label is not None and self._holds(route.label.place[0]) and run is runs[0]:
                label = route.label
            yield Route(tuple(run), tip, label)


def _bezier_pieces(points: Sequence[Point], cuts: Sequence[float]) -> Iterator[tuple[Point, ...]]:
    """The cubic curves of a route, divided where they cross a vertical line."""
    for start in range(0, len(points) - 1, 3):
        curve = np.array(points[start : start + 4], float)
        begin = 0.0
        for end in [*_crossings(curve[:, 0], cuts), 1.0]:
            yield tuple((float(x), float(y)) for x, y in _between(curve, begin, end))
            begin = end


def _crossings(xs: NDArray[np.float64], cuts: Sequence[float]) -> list[float]:
    """Where on a curve its x is one of these, from 0 to 1 without both."""
    a, b, c, d = xs
    found: set[float] = set()
    for cut in cuts:
        if math.isfinite(cut) and min(xs) < cut < max(xs):
            powers = [d - 3 * c + 3 * b - a, 3 * (a - 2 * b + c), 3 * (b - a), a - cut]
            roots = np.roots(powers)
            found.update(float(r.real) for r in roots if abs(r.imag) < 1e-9 and 0 < r.real < 1)
    return sorted(found)


def _between(curve: NDArray[np.float64], begin: float, end: float) -> NDArray[np.float64]:
    """The part of a cubic Bezier curve between two places, as one."""
    if (begin, end) == (0.0, 1.0):
        return curve
    corners = []
    for places in ((begin,) * 3, (begin, begin, end), (begin, end, end), (end,) * 3):
        level = curve
        for t in places:
            level = level[:-1] + t * (level[1:] - level[:-1])
        corners.append(level[0])
    return np.array(corners)


def _lies_in(box: Box, frame: Box) -> bool:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    across = frame.x < x < frame.x + frame.width
    return across and frame.y < y < frame.y + frame.height


def _moved_box(box: Box, x: float, y: float) -> Box:
    return replace(box, x=round(box.x + x), y=round(box.y + y))


def _moved_route(route: Route, x: float, y: float) -> Route:
    def moved(point: Point) -> Point:
        return point[0] + x, point[1] + y

    label = route.label and EdgeLabel(route.label.text, moved(route.label.place))
    return Route(tuple(moved(point) for point in route.points), moved(route.tip), label)
