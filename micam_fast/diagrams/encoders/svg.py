"""SVG: text as text in the font that comes with the file, pictures at their native resolution.

Nothing that an SVG says is meant for anything but itself, as several may stand in one page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.digests import short_digest
from micam_fast.core.texts import one_line
from micam_fast.diagrams.encoders.fonts import FAMILY
from micam_fast.diagrams.encoders.png import LEVEL, png_url
from micam_fast.diagrams.encoders.web_font import font_face, web_family
from micam_fast.diagrams.marks import (
    DOTS,
    Boxes,
    Colour,
    Drawing,
    Filling,
    Hole,
    Mark,
    Path,
    Picture,
    Plane,
    Template,
    Text,
    made_marks,
    without_holes,
)

_LONGEST_TEXT = 2000


class SvgPage:
    """The text of a template; samples fill in the rest.

    Shapes that several marks have, like the frames of the nodes, stand in the text once.

    Parameters
    ----------
    template
        What all samples share.
    level
        Compression of the pictures from 0 to 9. The default is the fastest by far, but makes
        pictures of a few kilobytes no smaller; 2 makes them smaller by a third.
    """

    def __init__(self, template: Template, level: int = LEVEL) -> None:
        self._level = level
        paths = [mark for mark in template.marks if isinstance(mark, Path)]
        count = Counter(_shape(path) for path in paths)
        shared = [shape for shape, times in count.items() if times > 1]
        # By what they are: several diagrams may stand in one page, as in a notebook.
        self._names = {shape: f"micam-{short_digest(shape, 6)}" for shape in shared}
        width, height = _number(template.width), _number(template.height)
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" class="{web_family()}">',
            f"<title>{_text(template.title)}</title>",
            f"<style>{_style()}</style>",
        ]
        if shared:
            definitions = [f'<path id="{self._names[each]}" {each}/>' for each in shared]
            lines.append(f"<defs>{''.join(definitions)}</defs>")
        lines.append(f'<rect width="{width}" height="{height}" fill="#ffffff"/>')
        # The pieces of text before, between and after the holes.
        self._pieces: list[str] = []
        for mark in template.marks:
            if isinstance(mark, Hole):
                self._pieces.append("\n".join([*lines, ""]))
                lines = []
            else:
                lines.append(self._fixed(mark))
        self._pieces.append("\n".join([*lines, "</svg>", ""]))

    def write(self, fillings: Iterable[Filling]) -> str:
        """The diagram of one sample, by fillings in the order of the holes, as one SVG text."""
        first, *rest = self._pieces
        parts = [first]
        for filling, piece in zip(fillings, rest, strict=True):
            for mark in made_marks(filling):
                parts += (_mark(mark, self._level), "\n")
            parts.append(piece)
        return "".join(parts)

    def _fixed(self, mark: Mark) -> str:
        if not isinstance(mark, Path) or (shape := _shape(mark)) not in self._names:
            return _mark(mark, self._level)
        (x, y), *_ = mark.points
        return f'<use href="#{self._names[shape]}" x="{_number(x)}" y="{_number(y)}"/>'


def write_svg(drawing: Drawing) -> str:
    """A drawing as one self-contained SVG text."""
    return SvgPage(without_holes(drawing)).write(())


def _style() -> str:
    # For what is within this class alone: there may be other pictures in the page.
    within = web_family()
    return (
        f"{font_face()}"
        f".{within} text{{font-family:{web_family()},{FAMILY},Helvetica,Arial,sans-serif;"
        "white-space:pre}"
        f".{within} image{{image-rendering:crisp-edges;image-rendering:pixelated}}"
    )


def _mark(mark: Mark, level: int) -> str:
    if isinstance(mark, Text):
        title = "" if mark.full is None else f"<title>{_text(mark.full)}</title>"
        colour = _hex(mark.colour)
        bold = (
            f' stroke="{colour}" stroke-width="{_number(mark.pen)}" stroke-linejoin="round"'
            if mark.bold
            else ""
        )
        return (
            f'<text x="{_number(mark.x)}" y="{_number(mark.y)}" font-size="{_number(mark.size)}" '
            f'fill="{colour}"{bold}>{_text(mark.text)}{title}</text>'
        )
    if isinstance(mark, Picture):
        place = (
            f'x="{_number(mark.x)}" y="{_number(mark.y)}" width="{_number(mark.width)}" '
            f'height="{_number(mark.height)}"'
        )
        return _image(place, mark, level)
    if isinstance(mark, Plane):
        numbers = map(_number, (*mark.across, *mark.down, *mark.corner))
        place = f'width="1" height="1" transform="matrix({" ".join(numbers)})"'
        return _image(place, mark, level)
    if isinstance(mark, Boxes):
        return f'<path d="{_outlines(mark.boxes)}" fill="{_hex(mark.colour)}"/>'
    return f"<path {_shape(mark, *mark.points[0])}/>"


def _image(place: str, mark: Picture | Plane, level: int) -> str:
    title = "" if mark.title is None else f"<title>{_text(mark.title)}</title>"
    url = png_url(mark.pixels, level)
    return f'<image {place} preserveAspectRatio="none" href="{url}">{title}</image>'


def _outlines(boxes: NDArray[np.float64]) -> str:
    """Outlines of boxes as the data of one path."""
    x, y, width, height = (np.round(boxes.T, 2) + 0.0).tolist()
    edges = zip(x, y, width, height, strict=True)
    return "".join([f"M{x:.9g},{y:.9g}h{w:.9g}v{h:.9g}H{x:.9g}z" for x, y, w, h in edges])


def _shape(path: Path, x: float = 0.0, y: float = 0.0) -> str:
    """Attributes of a path that begins at this place."""
    (left, top), *_ = path.points
    words = [f"{_number(x + px - left)},{_number(y + py - top)}" for px, py in path.points]
    step = "C" if path.curved else "L"
    data = f"M{words[0]}{step}{' '.join(words[1:])}{'Z' if path.closed else ''}"
    if path.filled:
        return f'd="{data}" fill="{_hex(path.colour)}"'
    width = _number(path.width)
    line = f'd="{data}" fill="none" stroke="{_hex(path.colour)}" stroke-width="{width}"'
    return f'{line} stroke-dasharray="{_number(DOTS * path.width)}"' if path.dotted else line


def _text(text: str) -> str:
    # What is not printable has no place in XML, or none in a line; and a name may be any length.
    return escape(one_line(text, _LONGEST_TEXT))


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
