"""How much of each pixel a line or an area covers: drawn oversampled by Pillow, in pieces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from micam_fast._loops.stamps import OVERSAMPLING
from micam_fast.diagrams.marks import DOTS, Path, Point

PIECE_ROWS = 512
"""Lines are cut into pieces where so many rows of the page end: a mask must not be too large."""
_T = np.linspace(0, 1, 25)[1:, np.newaxis]
_CUBIC = (1 - _T) ** 3, 3 * (1 - _T) ** 2 * _T, 3 * (1 - _T) * _T**2, _T**3
"""Weights ``(steps, 1)`` of a cubic piece's four points."""

Cover = tuple[int, int, NDArray[np.uint8]]
"""Where the corner of a mask lies, in whole pixels; coverage from 0 to 255."""


def path_covers(mark: Path, width: int, height: int) -> Iterator[Cover]:
    """Coverage of a path on a page of this size, piece by piece."""
    points = _flatten(mark.points) if mark.curved else list(mark.points)
    if mark.dotted:
        for dot in _dots(points, DOTS * mark.width):
            yield from path_covers(Path(dot, mark.colour, mark.width), width, height)
        return
    if mark.closed:
        points.append(points[0])
    margin = mark.width + 1
    first = max(0, math.floor(min(y for _, y in points) - margin))
    end = min(height, math.ceil(max(y for _, y in points) + margin) + 1)
    for top in range(first // PIECE_ROWS * PIECE_ROWS, end, PIECE_ROWS):
        cover = _piece(mark, points, top, width, min(PIECE_ROWS, height - top))
        if cover is not None:
            yield cover


def _piece(mark: Path, points: list[Point], top: int, width: int, rows: int) -> Cover | None:
    margin = mark.width + 1
    points = [(x, y - top) for x, y in points]
    if not mark.filled:
        points = _part_within(points, -margin, rows + margin)
    if not points:
        return None
    left = max(0, int(min(x for x, _ in points) - margin))
    upper = max(0, int(min(y for _, y in points) - margin))
    right = min(width, int(max(x for x, _ in points) + margin) + 2)
    lower = min(rows, int(max(y for _, y in points) + margin) + 2)
    if right <= left or lower <= upper:
        return None
    mask = Image.new("L", ((right - left) * OVERSAMPLING, (lower - upper) * OVERSAMPLING))
    scaled = [
        (math.floor((x - left) * OVERSAMPLING + 0.5), math.floor((y - upper) * OVERSAMPLING + 0.5))
        for x, y in points
    ]
    pen = ImageDraw.Draw(mask)
    if mark.filled:
        pen.polygon(scaled, fill=255)
    else:
        pen.line(scaled, fill=255, width=round(mark.width * OVERSAMPLING), joint="curve")
    return left, top + upper, np.asarray(mask.reduce(OVERSAMPLING))


def _part_within(points: list[Point], top: float, bottom: float) -> list[Point]:
    """The points from the first to the last piece that touches these rows."""
    pieces = enumerate(itertools.pairwise(y for _, y in points))
    touching = [i for i, ends in pieces if min(ends) < bottom and max(ends) > top]
    return points[touching[0] : touching[-1] + 2] if touching else []


def _dots(points: list[Point], length: float) -> Iterator[tuple[Point, ...]]:
    """Every other piece of this length of a line."""
    corners = np.array(points)
    steps = np.hypot(*np.diff(corners, axis=0).T)
    along = np.concatenate(([0.0], np.cumsum(steps)))
    for start in np.arange(0.0, along[-1], 2 * length):
        inner = along[(along > start) & (along < start + length)]
        places = np.concatenate(([start], inner, [min(start + length, along[-1])]))
        xs, ys = (np.interp(places, along, axis) for axis in corners.T)
        yield tuple(zip(xs.tolist(), ys.tolist(), strict=True))


def _flatten(points: tuple[Point, ...]) -> list[Point]:
    """Points along cubic Bezier curves."""
    found = [points[0]]
    for i in range(0, len(points) - 3, 3):
        a, b, c, d = np.array(points[i : i + 4])
        piece = _CUBIC[0] * a + _CUBIC[1] * b + _CUBIC[2] * c + _CUBIC[3] * d
        found.extend(map(tuple, piece.tolist()))
    return found
