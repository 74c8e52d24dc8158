"""A picture as a list of marks, before any file format: what the encoders turn into files.

Lengths are pixels of the sheet, x to the right, y downwards; colours are sRGB bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float]

DPI = 150
"""Pixels to the inch of a diagram, as in the published engine."""
BLACK: Colour = (0, 0, 0)
INK: Colour = (34, 34, 34)
GREY: Colour = (110, 110, 110)
RULE: Colour = (200, 200, 200)


@dataclass(frozen=True)
class Text:
    """A line of text, its baseline starting at ``(x, y)``.

    ``full`` is the unshortened text where `text` was cut to fit; formats that can, show it when
    the pointer rests on the line. A `bold` line is as wide as another, its outlines drawn with
    a pen of `BOLD_PEN` of its size: the font has no bold face.
    """

    x: float
    y: float
    text: str
    size: float
    colour: Colour = INK
    full: str | None = None
    bold: bool = False

    @property
    def pen(self) -> float:
        """Width of the line along the outlines; 0 for none."""
        return BOLD_PEN * self.size if self.bold else 0.0


BOLD_PEN = 0.045


@dataclass(frozen=True)
class Path:
    """A line or area. With `curved`, the points are a start and then cubic Bezier triples.

    A `dotted` line is drawn for `DOTS` of its widths, then left out for as many, and so on.
    """

    points: tuple[Point, ...]
    colour: Colour = GREY
    width: float = 1.5
    curved: bool = False
    filled: bool = False
    closed: bool = False
    dotted: bool = False


DOTS = 2.0


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels shown in a rectangle without smoothing; ``(h, w, 3)`` or ``(h, w, 4)`` uint8."""

    x: float
    y: float
    width: float
    height: float
    pixels: NDArray[np.uint8]
    title: str | None = None


@dataclass(frozen=True, eq=False)
class Boxes:
    """Filled upright rectangles of one colour, ``(n, 4)``: x, y, width and height of each.

    Those that touch or overlap are one area, as the bars of a chart.
    """

    boxes: NDArray[np.float64]
    colour: Colour = GREY

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or self.boxes.dtype != np.float64:
            raise ValueError(
                f"boxes {self.boxes.shape} {self.boxes.dtype}, expected (n, 4) float64"
            )
        if not np.isfinite(self.boxes).all() or (self.boxes[:, 2:] < 0).any():
            raise ValueError("boxes must be finite and not of negative size")


@dataclass(frozen=True, eq=False)
class Plane:
    """Pixels shown on a parallelogram without smoothing, ``(h, w, 3)`` or ``(h, w, 4)`` uint8.

    `corner` is where the first pixel begins; the vectors `across` and `down` go along the whole
    first row and along the whole first column.
    """

    corner: Point
    across: Point
    down: Point
    pixels: NDArray[np.uint8]
    title: str | None = None


Mark: TypeAlias = Text | Path | Picture | Boxes | Plane


@dataclass(frozen=True, eq=False)
class Drawing:
    """A white sheet of `width` x `height` pixels and the marks on it, painted in order.

    `dpi` is the number of its pixels to the inch: how large PDF and PNG say that the sheet is.
    """

    width: float
    height: float
    marks: tuple[Mark, ...]
    title: str = ""
    dpi: float = DPI


@dataclass(frozen=True)
class Hole:
    """A place for what each sample brings, one mark or several, and the rectangle that holds it."""

    x: float
    y: float
    width: float
    height: float


Marks: TypeAlias = Mark | tuple[Mark, ...]
Filling: TypeAlias = Marks | Callable[[], Marks]
"""What goes into a hole: one mark or several, or a function that makes them when needed."""


@dataclass(frozen=True, eq=False)
class Template:
    """A drawing whose marks are the same for many samples, but for some holes among them."""

    width: float
    height: float
    marks: tuple[Mark | Hole, ...]
    title: str = ""
    dpi: float = DPI

    def fill(self, fillings: Iterable[Filling]) -> Drawing:
        """The drawing of one sample, by as many fillings as there are holes, in their order.

        An empty mark leaves its hole empty.
        """
        given = iter(fillings)
        marks: list[Mark] = []
        for mark in self.marks:
            if not isinstance(mark, Hole):
                marks.append(mark)
            else:
                marks.extend(made_marks(next(given)))
        return Drawing(self.width, self.height, tuple(marks), self.title, self.dpi)

    def enlarged(self, scale: float) -> Template:
        """The template of a sheet of the same inches that has more pixels to each."""
        width, height, dpi = (each * scale for each in (self.width, self.height, self.dpi))
        marks = tuple(enlarge(mark, scale) for mark in self.marks)
        return replace(self, width=width, height=height, marks=marks, dpi=dpi)


def without_holes(drawing: Drawing) -> Template:
    """The template that is a drawing already."""
    return Template(drawing.width, drawing.height, drawing.marks, drawing.title, drawing.dpi)


def made_marks(filling: Filling) -> Sequence[Mark]:
    """The marks that go into a hole, without blank ones."""
    made = filling() if callable(filling) else filling
    found = made if isinstance(made, tuple) else (made,)
    return [mark for mark in found if not is_blank(mark)]


def is_blank(mark: Mark) -> bool:
    """Tell whether a mark is a line without text, or no boxes: what this sample does not have."""
    if isinstance(mark, Boxes):
        return not len(mark.boxes)
    return isinstance(mark, Text) and not mark.text


_M = TypeVar("_M", bound=Mark | Hole)


def move(mark: _M, x: float, y: float) -> _M:
    """The mark, so many pixels further right and down."""
    if isinstance(mark, Path):
        return replace(mark, points=tuple((px + x, py + y) for px, py in mark.points))
    if isinstance(mark, Boxes):
        return replace(mark, boxes=mark.boxes + np.array((x, y, 0.0, 0.0)))
    if isinstance(mark, Plane):
        return replace(mark, corner=(mark.corner[0] + x, mark.corner[1] + y))
    return replace(mark, x=mark.x + x, y=mark.y + y)


def enlarge(mark: _M, scale: float) -> _M:
    """The mark with all its lengths multiplied, the distance from the corner of the sheet, too."""
    if scale == 1.0:
        return mark
    if isinstance(mark, Path):
        points = tuple((x * scale, y * scale) for x, y in mark.points)
        return replace(mark, points=points, width=mark.width * scale)
    if isinstance(mark, Boxes):
        return replace(mark, boxes=mark.boxes * scale)
    if isinstance(mark, Plane):
        vectors = mark.corner, mark.across, mark.down
        corner, across, down = ((x * scale, y * scale) for x, y in vectors)
        return replace(mark, corner=corner, across=across, down=down)
    if isinstance(mark, Text):
        return replace(mark, x=mark.x * scale, y=mark.y * scale, size=mark.size * scale)
    x, y, width, height = (each * scale for each in (mark.x, mark.y, mark.width, mark.height))
    return replace(mark, x=x, y=y, width=width, height=height)
