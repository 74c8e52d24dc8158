"""A poster's footer: what its colours and letters mean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Mark, Path, Picture, Text
from micam_fast.diagrams.poster.kinds import KINDS, kind_of
from micam_fast.diagrams.poster.palette import NEGATIVE, POSITIVE, QUIET, SMALL
from micam_fast.diagrams.poster.sheet import FOOTER_HEIGHT, MARGIN, Sheet


def footer_marks(sheet: Sheet) -> Iterator[Mark]:
    """The legend."""
    y = sheet.height - FOOTER_HEIGHT / 2 + 3
    x = MARGIN

    def text(words: str, gap: float = 5.0) -> Text:
        nonlocal x
        mark = Text(x, y, words, SMALL, QUIET)
        x += text_width(words, SMALL) + gap
        return mark

    def bar(low: float, high: float, width: float) -> Iterator[Mark]:
        nonlocal x
        yield Picture(x, y - 7, width, 8, _ramp(low, high, 96))
        x += width + 5

    yield text("smallest")
    yield from bar(-1, 1, 70)
    yield text("largest value of that layer, dark blue is 0", 30)
    yield text("0")
    yield from bar(0, 1, 40)
    yield text("largest where no value is negative", 30)
    for colour, top, bottom in ((POSITIVE, -8.0, -3.5), (NEGATIVE, -3.5, 1.0)):
        corners = ((x, y + top), (x + 4, y + top), (x + 4, y + bottom), (x, y + bottom))
        yield Path(corners, colour, 0, filled=True, closed=True)
    x += 9
    yield text("each layer from smallest to largest, one scale on the page", 30)
    used = {kind_of(node) for node in sheet.nodes}
    letters = "   ".join(f"{kind.letter} {kind.word}" for kind in KINDS if kind in used)
    if sheet.arrangement.letters and x + text_width(letters, SMALL) <= sheet.width - MARGIN:
        yield text(letters)


def _ramp(low: float, high: float, cells: int) -> NDArray[np.uint8]:
    values = np.linspace(low, high, cells).astype(np.float32)
    colours = np.empty((cells, 4), np.uint8)
    whole = np.array([[0, cells]], np.int64)
    colour_maps(whole, values, np.array([[low, high]], float), -1.0, 1.0, colours)
    return np.ascontiguousarray(colours[np.newaxis, :, :3])
