"""Drawings as PNG, band by band, so that a tall picture never stands in memory as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.encoders.png import LEVEL, PngRows
from micam_fast.diagrams.encoders.stamps import Ready, make_ready
from micam_fast.diagrams.marks import Drawing, Filling, Hole, Template, made_marks, without_holes

BAND_BYTES = 1 << 21
"""Bytes drawn at a time: they stay in the cache."""
BAND_ROWS = 64
"""But no fewer rows, however wide the picture is."""


@dataclass
class _Band:
    """Some rows of a page: what is laid over them, in order; an integer is a hole's number."""

    top: int
    rows: int
    steps: list[Ready | int] = field(default_factory=list)
    ending: list[int] = field(default_factory=list)


class PngPage:
    """A template made ready to be filled many times, by several threads at once if need be.

    The template's fixed marks are drawn here, once, and kept as what they cover.
    """

    def __init__(self, template: Template) -> None:
        self._width, self._height = max(1, round(template.width)), max(1, round(template.height))
        self._dpi = template.dpi
        rows = max(BAND_ROWS, BAND_BYTES // (1 + 3 * self._width))
        self._bands = [
            _Band(top, min(rows, self._height - top)) for top in range(0, self._height, rows)
        ]
        self._holes = 0
        for mark in template.marks:
            if isinstance(mark, Hole):
                # A pixel more on each side: marks are placed on whole pixels.
                begin, end = math.floor(mark.y) - 1, math.ceil(mark.y + mark.height) + 1
                touched = self._touched(begin, end)
                for band in touched:
                    band.steps.append(self._holes)
                for band in touched[-1:]:
                    band.ending.append(self._holes)
                self._holes += 1
            else:
                for ready in make_ready(mark, self._width, self._height):
                    for band in self._touched(ready.y, ready.end):
                        band.steps.append(ready)

    def _touched(self, begin: int, end: int) -> list[_Band]:
        """The bands that have one of these rows."""
        begin, end = max(begin, 0), min(end, self._height)
        if end <= begin:
            return []
        rows = self._bands[0].rows
        return self._bands[begin // rows : (end - 1) // rows + 1]

    def write(self, fillings: Sequence[Filling], file: BinaryIO, level: int = LEVEL) -> None:
        """Write the page as an RGB PNG of its own size, at the template's pixels to the inch.

        Parameters
        ----------
        fillings
            As many as there are holes, in their order. A function is called when its first row is
            drawn, and what it made is dropped after its last.
        file
            Where to.
        level
            Compression from 0 to 9. The default is the fastest by far.
        """
        if len(fillings) != self._holes:
            raise ValueError(f"{len(fillings)} fillings for {self._holes} holes")
        png = PngRows(file, self._width, self._height, self._dpi, level)
        room = np.empty((self._bands[0].rows, 1 + 3 * self._width), np.uint8)
        made: dict[int, list[Ready]] = {}
        for band in self._bands:
            rows = room[: band.rows]
            self._draw(band, fillings, made, rows)
            for hole in band.ending:
                made.pop(hole, None)
            png.write(rows)
        png.close()

    def _draw(
        self,
        band: _Band,
        fillings: Sequence[Filling],
        made: dict[int, list[Ready]],
        rows: NDArray[np.uint8],
    ) -> None:
        rows[:] = 255
        rows[:, 0] = 0
        for step in band.steps:
            if isinstance(step, int) and step not in made:
                made[step] = [
                    ready
                    for mark in made_marks(fillings[step])
                    for ready in make_ready(mark, self._width, self._height)
                ]
            for ready in made[step] if isinstance(step, int) else (step,):
                ready.lay(rows, band.top)


def write_png(drawing: Drawing, file: BinaryIO, level: int = LEVEL) -> None:
    """Write a drawing as an RGB PNG of its own size; see `PngPage.write`."""
    PngPage(without_holes(drawing)).write((), file, level)
