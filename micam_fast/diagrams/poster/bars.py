"""Bars of all layers: below each thumbnail, and side by side in the header, on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import RULE, Boxes, Mark, Path, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.content import Content
from micam_fast.diagrams.poster.header import chart_box
from micam_fast.diagrams.poster.palette import LINE, QUIET, SMALL
from micam_fast.diagrams.poster.scale import BarScale
from micam_fast.diagrams.poster.sheet import Sheet

_LEAST_BAR = 0.8
"""Height of the bar of a layer that has one value."""
_SHARE = 0.82
"""Of the chart's width for a layer; the rest is left empty before the next one."""
_LINE_WIDTH = 0.5
_SIDE_BY_SIDE = 4.0
"""Bars that are nearer to each other share a line of zero."""
_TICKS = 5


class Bars:
    """A bar for each layer, on one scale: what is above zero has one colour, what is below another.

    Those that are paler take no part in the scale.
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        places = list(sheet.order)
        self._nodes = [sheet.nodes[place] for place in places]
        number = {place: index for index, place in enumerate(places)}
        shown = list(sheet.layers)
        self._shown = np.array([number[thumb.place] for thumb, _ in shown], np.intp)
        self._rooms = np.array([(r.x, r.y, r.width, r.height) for _, r in shown])
        self._lines = _bar_lines([room for _, room in shown])
        self._chart_rooms = _chart_rooms(sheet)

    def marks(self, content: Content) -> Iterator[Mark]:
        """The bars, their lines of zero, and the chart's scale."""
        ranges, pale = content.ranges(self._nodes)
        scale = BarScale.of(ranges[~pale])
        zero = float(scale.places(np.zeros(1))[0])
        low, high = scale.places(ranges).T
        yield from _tick_marks(scale, chart_box(self._sheet))
        x, y, width, height = self._lines.T
        level = y + (1 - zero) * height - _LINE_WIDTH / 2
        yield Boxes(np.stack([x, level, width, np.full(len(x), _LINE_WIDTH)], axis=1), LINE)
        every = np.arange(len(self._nodes))
        for rooms, which in ((self._rooms, self._shown), (self._chart_rooms, every)):
            parts = _signed_boxes(rooms, low[which], high[which], zero)
            for boxes, (usual, paler) in zip(parts, content.bar_colours, strict=True):
                there = np.isfinite(boxes).all(axis=1) & (boxes[:, 3] > 0)
                yield Boxes(boxes[there & ~pale[which]], usual)
                yield Boxes(boxes[there & pale[which]], paler)


def chart_place(sheet: Sheet, number: int) -> float:
    """Where the middle of the bar of a layer stands in the header, by its number on the page."""
    box = chart_box(sheet)
    return box.x + (number + 0.5) * box.width / len(sheet.nodes)


def _chart_rooms(sheet: Sheet) -> NDArray[np.float64]:
    """``(layers, 4)``: room of each layer's bar in the header, in the order of the page."""
    box, count = chart_box(sheet), len(sheet.nodes)
    step = box.width / count
    rooms = np.empty((count, 4))
    rooms[:, 0] = box.x + step * (np.arange(count) + (1 - _SHARE) / 2)
    rooms[:, 1:] = box.y, _SHARE * step, box.height
    return rooms


def _bar_lines(rooms: Sequence[Box]) -> NDArray[np.float64]:
    """``(lines, 4)``: rooms of bars that stand side by side, as one room."""
    lines: list[list[float]] = []
    for room in rooms:
        if lines and lines[-1][1] == room.y and room.x - sum(lines[-1][::2]) < _SIDE_BY_SIDE:
            lines[-1][2] = room.x + room.width - lines[-1][0]
        else:
            lines.append([room.x, room.y, room.width, room.height])
    return np.array(lines)


def _signed_boxes(
    rooms: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], zero: float
) -> Iterator[NDArray[np.float64]]:
    """The parts of bars above zero, then those below it; a part that is not there has no height.

    Parameters
    ----------
    rooms
        ``(n, 4)``: x, y, width and height of each bar's room.
    low, high
        ``(n,)``: where each begins and ends, from 0 at the bottom to 1 at the top.
    zero
        Where zero stands.
    """
    x, y, width, height = rooms.T
    for there, bound in ((high > zero, np.maximum), (low < zero, np.minimum)):
        begin, end = bound(low, zero), bound(high, zero)
        top, bottom = y + (1 - end) * height, y + (1 - begin) * height
        tall = np.where(there, np.maximum(bottom - top, _LEAST_BAR), 0.0)
        yield np.stack([x, top, width, tall], axis=1)


def _tick_marks(scale: BarScale, chart: Box) -> Iterator[Mark]:
    """Lines and numbers of the header's scale."""
    ticks = scale.ticks(_TICKS)
    levels = {
        tick: chart.y + (1 - place) * chart.height
        for tick, place in zip(ticks, scale.places(np.array(ticks)).tolist(), strict=True)
    }
    named: list[float] = []
    # Zero first, then the outermost: what stands too near to one of these has no number.
    for tick in sorted(ticks, key=lambda each: (each != 0, -abs(each), each)):
        y = levels[tick]
        colour, width = (LINE, 0.8) if tick == 0 else (RULE, 0.6)
        yield Path(((chart.x, y), (chart.x + chart.width, y)), colour, width)
        if all(abs(y - other) >= SMALL for other in named):
            words = f"{tick:g}"
            yield Text(chart.x - 4 - text_width(words, SMALL), y + 3, words, SMALL, QUIET)
            named.append(y)
