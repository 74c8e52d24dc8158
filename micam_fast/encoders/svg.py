"""SVG: text as text, pictures embedded at their native resolution and shown without smoothing."""

from __future__ import annotations

import base64
import re
from xml.sax.saxutils import escape, quoteattr

from micam_fast.drawing import Colour, Drawing, Mark, Path, Picture, Text
from micam_fast.encoders.fonts import FAMILY
from micam_fast.encoders.png import encode_png

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = (
    f"text{{font-family:{FAMILY},Helvetica,Arial,sans-serif;white-space:pre}}"
    "image{image-rendering:crisp-edges;image-rendering:pixelated}"
)


def write_svg(drawing: Drawing) -> str:
    """A drawing as one self-contained SVG text."""
    width, height = _number(drawing.width), _number(drawing.height)
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        f"<title>{_text(drawing.title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_mark(mark) for mark in drawing.marks),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _mark(mark: Mark) -> str:
    if isinstance(mark, Text):
        title = "" if mark.full is None else f"<title>{_text(mark.full)}</title>"
        return (
            f'<text x="{_number(mark.x)}" y="{_number(mark.y)}" font-size="{_number(mark.size)}" '
            f'fill="{_hex(mark.colour)}">{_text(mark.text)}{title}</text>'
        )
    if isinstance(mark, Picture):
        data = base64.b64encode(encode_png(mark.pixels)).decode()
        title = "" if mark.title is None else f"<title>{_text(mark.title)}</title>"
        return (
            f'<image x="{_number(mark.x)}" y="{_number(mark.y)}" width="{_number(mark.width)}" '
            f'height="{_number(mark.height)}" preserveAspectRatio="none" '
            f"href={quoteattr('data:image/png;base64,' + data)}>{title}</image>"
        )
    if mark.filled:
        paint = f'fill="{_hex(mark.colour)}"'
    else:
        paint = f'fill="none" stroke="{_hex(mark.colour)}" stroke-width="{_number(mark.width)}"'
    return f'<path d="{_path_data(mark)}" {paint}/>'


def _path_data(mark: Path) -> str:
    words = [f"{_number(x)},{_number(y)}" for x, y in mark.points]
    step = "C" if mark.curved else "L"
    return f"M{words[0]}{step}{' '.join(words[1:])}{'Z' if mark.closed else ''}"


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
