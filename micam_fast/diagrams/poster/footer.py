"""A poster's footer: what its colours and letters mean."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Boxes, Mark, Picture, Text
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.kinds import KINDS, kind_of
from micam_fast.diagrams.poster.palette import NEGATIVE, POSITIVE, QUIET, SMALL

_ABOVE, _LINE, _BELOW = 12.0, 13.0, 8.0
_GAP, _INNER = 18.0, 5.0
"""Between items, and within one."""
_BAR = 4.0


def footer_height(nodes: Sequence[Node], width: float) -> float:
    """Height of the footer on a page of this width between its margins."""
    return _ABOVE + _LINE * len(_lines(nodes, width)) + _BELOW


def footer_marks(nodes: Sequence[Node], width: float, left: float, bottom: float) -> Iterator[Mark]:
    """The legend, in as many lines as it takes, above the page's bottom."""
    lines = _lines(nodes, width)
    y = bottom - _BELOW - _LINE * (len(lines) - 1) - 2
    for line in lines:
        x = left
        for item in line:
            yield from item.draw(x, y)
            x += item.width + _GAP
        y += _LINE


@dataclass(frozen=True)
class _Item:
    """A part of the legend that stays on one line: words, and ramps or bars among them."""

    parts: tuple[str | tuple[float, float, float] | None, ...]

    @functools.cached_property
    def width(self) -> float:
        """With the gaps between its parts."""
        return sum(map(_part_width, self.parts)) + _INNER * (len(self.parts) - 1)

    def draw(self, x: float, y: float) -> Iterator[Mark]:
        """The marks, the baseline of the words starting here."""
        for part in self.parts:
            if isinstance(part, str):
                yield Text(x, y, part, SMALL, QUIET)
            elif part is None:
                for colour, top in ((POSITIVE, -8.0), (NEGATIVE, -3.5)):
                    yield Boxes(np.array([[x, y + top, _BAR, 4.5]]), colour)
            else:
                low, high, width = part
                yield Picture(x, y - 7, width, 8, _ramp(low, high, 96))
            x += _part_width(part) + _INNER


def _part_width(part: str | tuple[float, float, float] | None) -> float:
    if isinstance(part, str):
        return text_width(part, SMALL)
    return _BAR if part is None else part[2]


_ITEMS = (
    _Item(("smallest", (-1.0, 1.0, 70.0), "largest value of that layer, dark blue is 0")),
    _Item(("0", (0.0, 1.0, 40.0), "largest where no value is negative")),
    _Item((None, "each layer from smallest to largest, one scale on the page")),
    _Item(("grey: the map hardly varies",)),
)


def _lines(nodes: Sequence[Node], width: float) -> list[list[_Item]]:
    used = {kind_of(node) for node in nodes}
    letters = (_Item((f"{kind.letter}  {kind.word}",)) for kind in KINDS if kind in used)
    lines: list[list[_Item]] = [[]]
    room = width
    for item in (*_ITEMS, *letters):
        if lines[-1] and item.width > room:
            lines.append([])
            room = width
        lines[-1].append(item)
        room -= item.width + _GAP
    return lines


def _ramp(low: float, high: float, cells: int) -> NDArray[np.uint8]:
    values = np.linspace(low, high, cells).astype(np.float32)
    colours = np.empty((cells, 4), np.uint8)
    whole = np.array([[0, cells]], np.int64)
    colour_maps(whole, values, np.array([[low, high]], float), -1.0, 1.0, colours)
    return np.ascontiguousarray(colours[np.newaxis, :, :3])
