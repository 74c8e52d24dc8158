"""What stands above a diagram: the lines about its sample, and the legend."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.choices import Look
from micam_fast.drawing import BLACK, INK, RULE, Mark, Path, Picture, Text
from micam_fast.encoders.fonts import text_width
from micam_fast.tiles import TILE_WIDTH

MARGIN = 36.0
_TITLE_SIZE, _LINE_SIZE = 22.0, 15.0
_LEGEND_SIZE = 13.0
_LEGEND_BAR = (150, 13)
_LEGEND_LINE = 21.0
_LEGEND_GAP = 18.0
_LEGEND = (
    ("R", "positive strength: value / largest value of the layer"),
    ("G", "negative strength: value / smallest value of the layer"),
    ("B", "place in the layer's own range, from minimum to maximum"),
    ("A", "place between the smallest (transparent) and the largest value of all layers"),
)
_LEGEND_AREA = "; area of the square"
_LEGEND_BOTH = "R, G and B together: a layer from -1 over 0 to 1"


def header_texts(header: Sequence[str]) -> Iterator[Text]:
    """The lines about the sample, the title first."""
    y = MARGIN + _TITLE_SIZE
    for index, line in enumerate(header):
        size = _LINE_SIZE if index else _TITLE_SIZE
        yield Text(MARGIN, y, line, size, INK if index else BLACK)
        y += 1.5 * _LINE_SIZE if index else 1.3 * _TITLE_SIZE


def _header_height(header: Sequence[str]) -> float:
    return 1.3 * _TITLE_SIZE + 1.5 * _LINE_SIZE * max(0, len(header) - 1) + _LEGEND_GAP


def head_height(header: Sequence[str]) -> float:
    """Height of header and legend, with the margins around them."""
    return _header_height(header) + _LEGEND_LINE * (len(_LEGEND) + 1) + 2 * MARGIN


def head_width(header: Sequence[str]) -> float:
    """Width that header and legend need."""
    lines = [text_width(line, _LINE_SIZE) for line in header[1:]]
    lines += [text_width(line, _TITLE_SIZE) for line in header[:1]]
    return max([*lines, _legend_width(), TILE_WIDTH])


@functools.cache
def _legend_width() -> float:
    longest = max(text_width(text + _LEGEND_AREA, _LEGEND_SIZE) for _, text in _LEGEND)
    return _LEGEND_BAR[0] + 34 + longest


def legend_lines() -> list[str]:
    """The legend as text."""
    return [f"{letter}: {meaning}" for letter, meaning in _LEGEND]


def legend(header: Sequence[str], look: Look) -> Iterator[Mark]:
    """What the four channels mean, each as a bar from 0 to 1, and all of them together."""
    y = MARGIN + _header_height(header)
    width = _LEGEND_BAR[0]
    ramp = np.linspace(0, 255, width).round().astype(np.uint8)
    for channel, (letter, meaning) in enumerate(_LEGEND):
        bar = np.zeros((1, width, 4), np.uint8)
        bar[..., 3] = 255
        bar[0, :, channel] = ramp
        in_squares = _LEGEND_AREA if letter == "B" and look == "isometric" else ""
        yield from _legend_line(y, letter, bar, meaning + in_squares)
        y += _LEGEND_LINE
    values = np.linspace(-1, 1, width).astype(np.float32)
    both = np.empty((width, 4), np.uint8)
    whole = np.array([[0, width]], np.int64)
    colour_maps(whole, values, np.array([[-1.0, 1.0]]), -1.0, 1.0, both)
    both[:, 3] = 255
    yield from _legend_line(y, "", both[np.newaxis], _LEGEND_BOTH)


def _legend_line(y: float, letter: str, bar: NDArray[np.uint8], meaning: str) -> Iterator[Mark]:
    width, height = _LEGEND_BAR
    yield Text(MARGIN, y + height - 2, letter, _LEGEND_SIZE, BLACK)
    yield Picture(MARGIN + 20, round(y), width, height, bar)
    yield frame(MARGIN + 19.5, round(y) - 0.5, width + 1, height + 1)
    yield Text(MARGIN + width + 30, y + height - 2, meaning, _LEGEND_SIZE)


def frame(x: float, y: float, width: float, height: float) -> Path:
    """A thin line around a rectangle."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Path(corners, RULE, 1.0, closed=True)
