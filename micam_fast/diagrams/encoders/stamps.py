"""Marks made ready to be laid over the rows of a picture, band by band."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from micam_fast._loops.stamps import (
    find_runs,
    lay_boxes,
    lay_picture,
    lay_plane,
    lay_runs,
    most_runs,
)
from micam_fast.diagrams.encoders.glyphs import text_cover
from micam_fast.diagrams.encoders.lines import path_covers
from micam_fast.diagrams.encoders.png import shown_size
from micam_fast.diagrams.marks import (
    Boxes,
    Colour,
    Mark,
    Path,
    Picture,
    Plane,
    Point,
    Text,
    is_blank,
)


@dataclass(frozen=True, eq=False)
class Runs:
    """What a mask covers, as `find_runs` finds it."""

    height: int
    runs: NDArray[np.int32]
    packed: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Stamp:
    """A colour laid through a mask whose corner is at ``(x, y)``."""

    x: int
    y: int
    mask: Runs
    colour: Colour

    @property
    def end(self) -> int:
        """The row below the last one."""
        return self.y + self.mask.height

    def lay(self, rows: NDArray[np.uint8], top: int) -> None:
        """Lay it over `rows`, the first of which is row `top`."""
        lay_runs(self.mask.runs, self.mask.packed, self.x, self.y - top, self.colour, rows)


@dataclass(frozen=True, eq=False)
class PlacedPicture:
    """A picture, which row and column of it each row and column shown takes, and its corner."""

    x: int
    y: int
    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def end(self) -> int:
        """The row below the last one."""
        return self.y + len(self.rows)

    def lay(self, rows: NDArray[np.uint8], top: int) -> None:
        """Lay it over `rows`, the first of which is row `top`."""
        if self.pixels.shape == (len(self.rows), len(self.columns), 3):
            self._copy(rows, top)
        else:
            lay_picture(self.pixels, self.rows, self.columns, self.x, self.y - top, rows)

    def _copy(self, rows: NDArray[np.uint8], top: int) -> None:
        """Put an opaque picture in its own size."""
        first, end = max(self.y, top), min(self.end, top + len(rows))
        left, right = max(self.x, 0), min(self.x + len(self.columns), rows.shape[1] // 3)
        if end > first and right > left:
            part = self.pixels[first - self.y : end - self.y, left - self.x : right - self.x]
            part = part.reshape(end - first, -1)
            rows[first - top : end - top, 1 + 3 * left : 1 + 3 * right] = part


@dataclass(frozen=True, eq=False)
class PlacedBoxes:
    """Filled rectangles as `lay_boxes` takes them; their first row and the one below their last."""

    y: int
    end: int
    boxes: NDArray[np.float64]
    colour: Colour

    def lay(self, rows: NDArray[np.uint8], top: int) -> None:
        """Lay them over `rows`, the first of which is row `top`."""
        first, end = max(self.y, top), min(self.end, top + len(rows))
        if end > first:
            lay_boxes(self.boxes, self.colour, first, rows[first - top : end - top])


@dataclass(frozen=True, eq=False)
class PlacedPlane:
    """A picture on a parallelogram, see `lay_plane`, its first row and the one below its last."""

    y: int
    end: int
    pixels: NDArray[np.uint8]
    corners: tuple[float, float, float, float, float, float]

    def lay(self, rows: NDArray[np.uint8], top: int) -> None:
        """Lay it over `rows`, the first of which is row `top`."""
        first, end = max(self.y, top), min(self.end, top + len(rows))
        if end > first:
            lay_plane(self.pixels, self.corners, first, rows[first - top : end - top])


Ready: TypeAlias = Stamp | PlacedPicture | PlacedBoxes | PlacedPlane


def make_ready(mark: Mark, width: int, height: int) -> Iterator[Ready]:
    """What is to be laid for a mark, in order, on a page of this size."""
    if isinstance(mark, Picture):
        columns, rows = shown_size(mark)
        yield PlacedPicture(
            round(mark.x),
            round(mark.y),
            _read_only(np.ascontiguousarray(mark.pixels)),
            _nearest(mark.pixels.shape[0], rows),
            _nearest(mark.pixels.shape[1], columns),
        )
    elif isinstance(mark, Plane):
        yield from _plane(mark)
    elif is_blank(mark):
        return
    elif isinstance(mark, Boxes):
        top, bottom = mark.boxes[:, 1].min(), (mark.boxes[:, 1] + mark.boxes[:, 3]).max()
        boxes = mark.boxes[np.argsort(mark.boxes[:, 1], kind="stable")]
        yield PlacedBoxes(math.floor(top), math.ceil(bottom), boxes, mark.colour)
    elif isinstance(mark, Text):
        x, y, cover = text_cover(mark)
        yield Stamp(x, y, _find_runs(cover), mark.colour)
    else:
        yield from _path_stamps(mark, width, height)


def _plane(mark: Plane) -> Iterator[PlacedPlane]:
    (x, y), (across_x, across_y), (down_x, down_y) = mark.corner, mark.across, mark.down
    if across_x * down_y == across_y * down_x:
        return
    corners = [y, y + across_y, y + down_y, y + across_y + down_y]
    yield PlacedPlane(
        math.floor(min(corners)),
        math.ceil(max(corners)),
        _read_only(np.ascontiguousarray(mark.pixels)),
        (float(x), float(y), float(across_x), float(across_y), float(down_x), float(down_y)),
    )


def _path_stamps(mark: Path, width: int, height: int) -> Iterator[Stamp]:
    left, top = (_whole_below(mark, axis) for axis in (0, 1))
    if _is_box(mark) and left >= 0 and top >= 0:
        # Equal boxes share their masks. What is moved stays exact, as it moves towards zero.
        moved = tuple((x - left, y - top) for x, y in mark.points)
        for x, y, mask in _box_masks(moved, mark.width):
            yield Stamp(left + x, top + y, mask, mark.colour)
    else:
        for x, y, cover in path_covers(mark, width, height):
            yield Stamp(x, y, _find_runs(cover), mark.colour)


def _is_box(mark: Path) -> bool:
    """Whether it is the outline of a rectangle, as `composition` draws it."""
    if not mark.closed or mark.filled or mark.curved or len(mark.points) != 4:
        return False
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = mark.points
    return y0 == y1 and x1 == x2 and y2 == y3 and x3 == x0


def _whole_below(mark: Path, axis: int) -> int:
    """A whole number so far below the least coordinate that the line has room."""
    return math.floor(min(point[axis] for point in mark.points) - mark.width) - 2


@functools.lru_cache(maxsize=256)
def _box_masks(corners: tuple[Point, ...], width: float) -> list[tuple[int, int, Runs]]:
    columns, rows = (math.ceil(max(axis) + width) + 2 for axis in zip(*corners, strict=True))
    box = Path(corners, width=width, closed=True)
    return [(x, y, _find_runs(cover)) for x, y, cover in path_covers(box, columns, rows)]


def _find_runs(cover: NDArray[np.uint8]) -> Runs:
    runs = np.empty((most_runs(*cover.shape), 4), np.int32)
    packed = np.empty(cover.size, np.uint8)
    sizes = np.empty(2, np.int64)
    find_runs(_read_only(cover), runs, packed, sizes)
    return Runs(len(cover), runs[: sizes[0]].copy(), packed[: sizes[1]].copy())


def _read_only(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A view that cannot be written, as some pixels are anyway: loops are compiled for one kind."""
    view = pixels.view()
    view.flags.writeable = False
    return view


@functools.lru_cache(maxsize=1024)
def _nearest(size: int, shown: int) -> NDArray[np.int64]:
    """Which of `size` pixels each of `shown` ones takes: Pillow's choice."""
    line = Image.fromarray(np.arange(size, dtype=np.int32)[np.newaxis])
    chosen = np.array(line.resize((shown, 1), Image.Resampling.NEAREST), np.int64)
    return chosen.reshape(-1)
