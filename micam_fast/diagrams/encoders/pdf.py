"""PDF by ReportLab: vector lines and text, tiles as pictures, one page as large as the diagram."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from PIL import Image

from micam_fast.diagrams.encoders.fonts import FAMILY, drawable, font_bytes
from micam_fast.diagrams.marks import (
    DOTS,
    Boxes,
    Drawing,
    Mark,
    Path,
    Picture,
    Plane,
    Text,
    is_blank,
)

_POINTS_PER_INCH = 72
# Acrobat's limit for a side of a page.
_LONGEST = 14400.0
# PDF's numbers of ways to join lines and to draw text.
_MITRED, _ROUND = 0, 1
_FILL_AND_STROKE = 2
# ReportLab's number of the rule by which what two outlines go around is filled, too.
_NONZERO = 1


def write_pdf(drawing: Drawing, file: BinaryIO) -> None:
    """Write a drawing as one page; a page over Acrobat's 14,400 points is scaled to fit, evenly."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    if FAMILY not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(FAMILY, io.BytesIO(font_bytes())))
    scale = min(_POINTS_PER_INCH / drawing.dpi, _LONGEST / max(drawing.width, drawing.height))
    canvas = Canvas(file, pagesize=(drawing.width * scale, drawing.height * scale), invariant=1)
    canvas.setTitle(drawable(drawing.title))
    canvas.scale(scale, scale)
    for mark in drawing.marks:
        _draw(mark, canvas, drawing.height)
    canvas.showPage()
    canvas.save()


def _draw(mark: Mark, canvas: Any, height: float) -> None:
    """Draw with y turned round: PDF counts upwards."""
    if isinstance(mark, Text):
        _draw_text(mark, canvas, height)
    elif isinstance(mark, Picture):
        place = mark.x, height - mark.y - mark.height, mark.width, mark.height
        canvas.drawImage(_reader(mark), *place, mask="auto")
    elif isinstance(mark, Plane):
        # An image fills the unit square, its last row at the bottom.
        (x, y), (across_x, across_y), (down_x, down_y) = mark.corner, mark.across, mark.down
        canvas.saveState()
        canvas.transform(across_x, -across_y, -down_x, down_y, x + down_x, height - y - down_y)
        canvas.drawImage(_reader(mark), 0, 0, 1, 1, mask="auto")
        canvas.restoreState()
    elif isinstance(mark, Boxes):
        if not is_blank(mark):
            canvas.setFillColorRGB(*(part / 255 for part in mark.colour))
            path = canvas.beginPath()
            for x, y, wide, high in mark.boxes.tolist():
                path.rect(x, height - y - high, wide, high)
            canvas.drawPath(path, stroke=0, fill=1, fillMode=_NONZERO)
    else:
        _draw_path(mark, canvas, height)


def _reader(mark: Picture | Plane) -> Any:
    from reportlab.lib.utils import ImageReader

    return ImageReader(Image.fromarray(mark.pixels))


def _draw_text(mark: Text, canvas: Any, height: float) -> None:
    colour = [part / 255 for part in mark.colour]
    canvas.setFont(FAMILY, mark.size)
    canvas.setFillColorRGB(*colour)
    if mark.bold:
        canvas.setStrokeColorRGB(*colour)
        canvas.setLineWidth(mark.pen)
        canvas.setLineJoin(_ROUND)
        canvas.setDash([])
    mode = _FILL_AND_STROKE if mark.bold else None
    canvas.drawString(mark.x, height - mark.y, drawable(mark.text), mode=mode)
    if mark.bold:
        canvas.setLineJoin(_MITRED)


def _draw_path(mark: Path, canvas: Any, height: float) -> None:
    colour = [part / 255 for part in mark.colour]
    canvas.setStrokeColorRGB(*colour)
    canvas.setFillColorRGB(*colour)
    canvas.setLineWidth(mark.width)
    canvas.setDash([DOTS * mark.width] if mark.dotted else [])
    path = canvas.beginPath()
    points = [(x, height - y) for x, y in mark.points]
    path.moveTo(*points[0])
    if mark.curved:
        for i in range(1, len(points) - 2, 3):
            path.curveTo(*points[i], *points[i + 1], *points[i + 2])
    else:
        for point in points[1:]:
            path.lineTo(*point)
    if mark.closed:
        path.close()
    canvas.drawPath(path, stroke=int(not mark.filled), fill=int(mark.filled))
