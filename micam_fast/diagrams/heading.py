"""What stands above a diagram: the lines about its sample, and the legend."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import fit_line
from micam_fast.diagrams.marks import BLACK, INK, RULE, Mark, Path, Picture, Text
from micam_fast.diagrams.tile_rooms import TILE_WIDTH

MARGIN = 36.0
_TITLE_SIZE, _LINE_SIZE = 22.0, 15.0
_LEGEND_SIZE = 13.0
_LONGEST_LINE = 1600.0
"""Pixels; a picture would be as wide as its longest line, and a name may be any length."""
LEGEND_BAR = (150, 13)
"""Width and height of a legend's bars."""
_LEGEND_LINE = 21.0
_LEGEND_GAP = 18.0
_LEGEND = (
    ("R", "positive strength: value / largest value of the map"),
    ("G", "negative strength: value / smallest value of the map"),
    ("B", "place in the map's own range, from map min to map max"),
    ("A", "place between the smallest (transparent) and the largest value of all maps"),
)
_LEGEND_AREA = "; area of the square"
_LEGEND_BOTH = "R, G and B together: a layer from -1 over 0 to 1"


@dataclass(frozen=True, eq=False)
class LegendLine:
    """A line of the legend: what its colours mean.

    Attributes
    ----------
    meaning
        In words.
    bar
        ``(1, width, 4)`` uint8 or ``(height, width, 3)``, ...: any picture, stretched to
        `LEGEND_BAR`; ``None`` for a line of words alone.
    letter
        Before the bar.
    """

    meaning: str
    bar: NDArray[np.uint8] | None
    letter: str = ""


def fit_header(lines: Iterable[str]) -> list[str]:
    """Lines about the sample, the title first, cut in the middle where they are very long."""
    return [
        fit_line(line, _LINE_SIZE if index else _TITLE_SIZE, _LONGEST_LINE)
        for index, line in enumerate(lines)
    ]


def header_texts(header: Sequence[str]) -> Iterator[Text]:
    """The lines about the sample, the title first."""
    y = MARGIN + _TITLE_SIZE
    for index, line in enumerate(header):
        size = _LINE_SIZE if index else _TITLE_SIZE
        yield Text(MARGIN, y, line, size, INK if index else BLACK)
        y += 1.5 * _LINE_SIZE if index else 1.3 * _TITLE_SIZE


def _header_height(header: Sequence[str]) -> float:
    return 1.3 * _TITLE_SIZE + 1.5 * _LINE_SIZE * max(0, len(header) - 1) + _LEGEND_GAP


def head_height(header: Sequence[str], legend_lines: int = len(_LEGEND) + 1) -> float:
    """Height of header and legend, with the margins around them."""
    return _header_height(header) + _LEGEND_LINE * legend_lines + 2 * MARGIN


def head_width(header: Sequence[str], legend_width: float | None = None) -> float:
    """Width that header and legend need; by default the legend of the channels."""
    lines = [text_width(line, _LINE_SIZE) for line in header[1:]]
    lines += [text_width(line, _TITLE_SIZE) for line in header[:1]]
    width = _channel_legend_width() if legend_width is None else legend_width
    return max([*lines, width, TILE_WIDTH])


@functools.cache
def _channel_legend_width() -> float:
    return legend_width(text + _LEGEND_AREA for _, text in _LEGEND)


def legend_width(meanings: Iterable[str]) -> float:
    """Width that the lines of a legend need."""
    longest = max(text_width(text, _LEGEND_SIZE) for text in meanings)
    return LEGEND_BAR[0] + 34 + longest


def legend_lines() -> list[str]:
    """The legend of the channels as text."""
    return [f"{letter}: {meaning}" for letter, meaning in _LEGEND]


def channel_legend(*, squares: bool) -> Iterator[LegendLine]:
    """What the four channels mean, each as a bar from 0 to 1, and all of them together.

    The area of `squares` means something, too.
    """
    width = LEGEND_BAR[0]
    ramp = np.linspace(0, 255, width).round().astype(np.uint8)
    for channel, (letter, meaning) in enumerate(_LEGEND):
        bar = np.zeros((1, width, 4), np.uint8)
        bar[..., 3] = 255
        bar[0, :, channel] = ramp
        in_squares = _LEGEND_AREA if letter == "B" and squares else ""
        yield LegendLine(meaning + in_squares, bar, letter)
    values = np.linspace(-1, 1, width).astype(np.float32)
    both = np.empty((width, 4), np.uint8)
    whole = np.array([[0, width]], np.int64)
    colour_maps(whole, values, np.array([[-1.0, 1.0]]), -1.0, 1.0, both)
    both[:, 3] = 255
    yield LegendLine(_LEGEND_BOTH, both[np.newaxis])


def legend_marks(header: Sequence[str], lines: Iterable[LegendLine]) -> Iterator[Mark]:
    """The legend, below the lines of the header."""
    width, height = LEGEND_BAR
    y = MARGIN + _header_height(header)
    for line in lines:
        yield Text(MARGIN, y + height - 2, line.letter, _LEGEND_SIZE, BLACK)
        if line.bar is not None:
            yield Picture(MARGIN + 20, round(y), width, height, line.bar)
            yield frame(MARGIN + 19.5, round(y) - 0.5, width + 1, height + 1)
        yield Text(MARGIN + width + 30, y + height - 2, line.meaning, _LEGEND_SIZE)
        y += _LEGEND_LINE


def frame(x: float, y: float, width: float, height: float) -> Path:
    """A thin line around a rectangle."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Path(corners, RULE, 1.0, closed=True)
