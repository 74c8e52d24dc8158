"""A poster's footer: what its colours, bars, letters and lines mean, as far as it has them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import INK, Boxes, Mark, Path, Picture, Text
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.blocks import Block
from micam_fast.diagrams.poster.kinds import KINDS, kind_of
from micam_fast.diagrams.poster.palette import (
    NEGATIVE,
    PALE_POSITIVE,
    POSITIVE,
    QUIET,
    SMALL,
    WAY,
    box_path,
)
from micam_fast.diagrams.poster.pixels import GREY_MAP
from micam_fast.diagrams.poster.ways import Ways

_ABOVE, _LINE, _BELOW = 20.0, 13.0, 8.0
_GAP, _INNER = 17.0, 5.0
"""Between items, and within one."""


@dataclass(frozen=True)
class Sign:
    """What is drawn beside words; its lower left corner is handed over."""

    width: float
    draw: Callable[[float, float], Iterator[Mark]]


@dataclass(frozen=True)
class LegendItem:
    """A part of the legend that stays on one line."""

    parts: tuple[str | Sign, ...]

    @functools.cached_property
    def width(self) -> float:
        """With the gaps between its parts."""
        return sum(map(_part_width, self.parts)) + _INNER * (len(self.parts) - 1)

    def draw(self, x: float, y: float) -> Iterator[Mark]:
        """The marks, the baseline of the words starting here."""
        for part in self.parts:
            if isinstance(part, str):
                yield Text(x, y, part, SMALL, QUIET)
            else:
                yield from part.draw(x, y)
            x += _part_width(part) + _INNER


def _part_width(part: str | Sign) -> float:
    return text_width(part, SMALL) if isinstance(part, str) else part.width


def _ramp(low: float, high: float, width: float) -> Sign:
    return Sign(width, lambda x, y: iter([Picture(x, y - 7, width, 8, _ramp_pixels(low, high))]))


def _draw_bar(x: float, y: float) -> Iterator[Mark]:
    for left, top, colour in ((0, -8, POSITIVE), (0, -3.5, NEGATIVE), (5, -8, PALE_POSITIVE)):
        yield Boxes(np.array([[x + left, y + top, 4.0, 4.5]]), colour)


def _draw_grey(x: float, y: float) -> Iterator[Mark]:
    yield Picture(x, y - 7, 8, 8, GREY_MAP)


def _draw_frame(thumb: NDArray[np.uint8], x: float, y: float) -> Iterator[Mark]:
    yield Picture(x, y - 7, 8, 8, thumb)
    yield box_path(Box(x, y - 7, 8, 8), INK, 0.9)


def _draw_way(x: float, y: float) -> Iterator[Mark]:
    yield Path(((x, y), (x, y - 6), (x + 12, y - 6), (x + 12, y - 2.5)), WAY, 0.9)
    corners = ((x + 12, y + 0.5), (x + 10.2, y - 2.7), (x + 13.8, y - 2.7))
    yield Path(corners, WAY, 0, filled=True, closed=True)


def _draw_number(x: float, y: float) -> Iterator[Mark]:
    yield Text(x, y, "N", SMALL, WAY, bold=True)


@dataclass(frozen=True, eq=False)
class Colours:
    """What the colours of a page mean.

    Attributes
    ----------
    items
        For maps and bars.
    thumb
        ``(1, 1, 3)`` uint8, of a thumbnail.
    """

    items: tuple[LegendItem, ...]
    thumb: NDArray[np.uint8]


_SAMPLE_ITEMS = (
    LegendItem(("smallest", _ramp(-1.0, 1.0, 70.0), "largest value of that layer, dark blue is 0")),
    LegendItem(("0", _ramp(0.0, 1.0, 40.0), "largest where no value is negative")),
    LegendItem((Sign(8.0, _draw_grey), "hardly varies")),
    LegendItem(
        (Sign(9.0, _draw_bar), "smallest to largest, one logarithmic scale; inputs are pale")
    ),
)
_WAY = LegendItem((Sign(14.0, _draw_way), "a way around"))
_NUMBER = LegendItem((Sign(6.0, _draw_number), "to or from card N"))


@dataclass(frozen=True)
class Legend:
    """The legend of a page, in as many lines as it takes.

    Attributes
    ----------
    lines
        What stands on each.
    """

    lines: tuple[tuple[LegendItem, ...], ...]

    @classmethod
    def of(
        cls,
        colours: Colours,
        nodes: Sequence[Node],
        blocks: Sequence[Block],
        ways: Ways,
        width: float,
    ) -> Legend:
        """The legend of these blocks on a page of this width between its margins."""
        items = list(colours.items)
        if len(blocks) < len(nodes):
            kinds = {kind_of(node) for node in nodes}
            frame = LegendItem(
                (Sign(8.0, functools.partial(_draw_frame, colours.thumb)), "has weights")
            )
            items += [frame] * any(kind.has_kernel for kind in kinds)
            items += [_WAY] * any(way.elbows or way.side for way in ways.blocks)
            items += (LegendItem((f"{k.letter}  {k.word}",)) for k in KINDS if k in kinds)
        items += [_NUMBER] * bool(ways.long)
        lines: list[list[LegendItem]] = [[]]
        room = width
        for item in items:
            if lines[-1] and item.width > room:
                lines.append([])
                room = width
            lines[-1].append(item)
            room -= item.width + _GAP
        return cls(tuple(map(tuple, lines)))

    @property
    def height(self) -> float:
        """With the room above and below."""
        return _ABOVE + _LINE * len(self.lines) + _BELOW

    def marks(self, left: float, bottom: float) -> Iterator[Mark]:
        """The legend above the bottom of a page."""
        y = bottom - _BELOW - _LINE * (len(self.lines) - 1) - 2
        for line in self.lines:
            x = left
            for item in line:
                yield from item.draw(x, y)
                x += item.width + _GAP
            y += _LINE


@functools.cache
def _ramp_pixels(low: float, high: float) -> NDArray[np.uint8]:
    cells = 1 if low == high else 96
    values = np.linspace(low, high, cells).astype(np.float32)
    colours = np.empty((cells, 4), np.uint8)
    ends = np.array([[min(low, 0.0), 1.0]])
    colour_maps(np.array([[0, cells]], np.int64), values, ends, -1.0, 1.0, colours)
    return np.ascontiguousarray(colours[np.newaxis, :, :3])


SAMPLE_COLOURS = Colours(_SAMPLE_ITEMS, _ramp_pixels(0.5, 0.5))
"""Of a sample's maps."""
