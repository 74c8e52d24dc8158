"""The sample itself, as a poster's header shows it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.texts import count_of
from micam_fast.diagrams.marks import INK, RULE, Mark, Path, Picture
from micam_fast.diagrams.places import Box
from micam_fast.samples import OwnPicture

_FRAME_WIDTH = 0.8
_LINE_WIDTH = 0.7
_LEAST_SHARE = 0.25
"""Of the longer side: cells of a longer or wider picture are no squares any more."""
_WIDEST = 2.0
"""Of a strip or waveforms, in heights."""
_MOST_BANDS = 6
"""Waveforms above each other; more stand in two columns, as on the paper of an ECG."""
_FILLED = 0.9
"""Of a band, by the waveform with the largest range."""
_GAP = 5.0
"""Left and right of a waveform, so that neighbours do not run into each other."""


def own_picture_width(picture: OwnPicture, height: float) -> float:
    """How wide a box of this height is that a picture fills; at most twice as wide as high."""
    if picture.kind != "picture":
        return _WIDEST * height
    rows, columns = picture.size
    return height * min(_WIDEST, max(_LEAST_SHARE, columns / rows))


def own_picture_caption(picture: OwnPicture) -> str:
    """What a picture does not show: its place in a clip, its values, further inputs.

    A photo in its own colours needs no caption, which is empty then.
    """
    words = []
    if picture.slice is not None:
        index, count = picture.slice
        words.append(f"slice {index} of {count} (from 0)")
    if picture.bounds is not None:
        low, high = picture.bounds
        words.append(f"values {low:.3g} to {high:.3g}" if low < high else f"all values {low:.3g}")
    if picture.is_log:
        words.append("logarithmic")
    if picture.further_inputs:
        words.append(f"not shown: {count_of(picture.further_inputs, 'further input')}")
    return ", ".join(words)


def own_picture_marks(picture: OwnPicture, box: Box) -> list[Mark]:
    """A sample's own picture in a box, from its left top corner: one picture, or lines, in a frame.

    Square cells stay square unless a picture is more than four times as long as wide.
    """
    if picture.pixels is None:
        return [*_waveforms(picture, box), _frame(box)]
    box = _fit(picture, box)
    return [Picture(box.x, box.y, box.width, box.height, picture.pixels), _frame(box)]


def _fit(picture: OwnPicture, box: Box) -> Box:
    """The part of a box that pixels fill."""
    rows, columns = picture.size
    if picture.kind == "strip":
        # Rows and columns of a table have no common measure.
        height = box.height if rows > 1 else min(box.height, _LEAST_SHARE * box.width)
        return Box(box.x, box.y, box.width, height)
    share = min(1 / _LEAST_SHARE, max(_LEAST_SHARE, columns / rows))
    width = min(box.width, box.height * share)
    return Box(box.x, box.y, width, width / share)


def _frame(box: Box) -> Path:
    right, bottom = box.x + box.width, box.y + box.height
    corners = ((box.x, box.y), (right, box.y), (right, bottom), (box.x, bottom))
    return Path(corners, RULE, _FRAME_WIDTH, closed=True)


def _waveforms(picture: OwnPicture, box: Box) -> Iterator[Path]:
    """A line for each channel, each in a band around its own middle, all on one scale."""
    series = picture.series
    assert series is not None
    count = len(series)
    columns = 1 if count <= _MOST_BANDS else 2
    rows = -(-count // columns)
    band, height = box.width / columns, box.height / rows
    width = band - _GAP
    known = [each[np.isfinite(each)].astype(np.float64) for each in series]
    largest = max(float(np.ptp(each)) for each in known if each.size)
    scale = _FILLED * height / largest if largest > 0 else 0.0
    for place, (lead, values) in enumerate(zip(series, known, strict=True)):
        if not values.size:
            continue
        column, row = divmod(place, rows)
        left, middle = box.x + column * band + _GAP / 2, box.y + (row + 0.5) * height
        centre = (values.min() + values.max()) / 2
        reduced = _columns(lead, max(1, int(width)))
        step = width / len(reduced)
        levels = middle - (reduced - centre) * scale
        for begin, end in _runs(np.isfinite(levels[:, 0])):
            points = tuple(_points(levels[begin:end], left + begin * step, step))
            yield Path(points, INK, _LINE_WIDTH)


def _columns(lead: NDArray[np.float32], most: int) -> NDArray[np.float64]:
    """Extremes ``(columns, 2)`` of neighbouring columns together, so that there are few enough."""
    block = -(-len(lead) // most)
    begins = np.arange(0, len(lead), block)
    low = np.fmin.reduceat(lead[:, 0], begins)
    return np.stack([low, np.fmax.reduceat(lead[:, 1], begins)], axis=1).astype(np.float64)


def _runs(known: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Begin and end of each stretch of columns that hold values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2):
        yield int(begin), int(end)


def _points(levels: NDArray[np.float64], x: float, step: float) -> Iterator[tuple[float, float]]:
    """A line through both extremes of each column, the nearer one first."""
    last = float(levels[0, 0])
    for column, (low, high) in enumerate(levels.tolist()):
        first, last = (low, high) if abs(low - last) <= abs(high - last) else (high, low)
        yield x + (column + 0.25) * step, first
        if first != last or len(levels) == 1:
            yield x + (column + 0.75) * step, last
