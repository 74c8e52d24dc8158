"""PNG, drawn and written in bands, so that a tall picture never stands in memory as a whole.

Pillow draws text and shapes, zlib compresses; only the few bytes of PNG's frame are made here,
because no encoder at hand takes an image row by row.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from micam_fast.drawing import DPI, WHITE, Drawing, Mark, Path, Picture, Point, Text
from micam_fast.encoders.fonts import drawable, font

BAND_ROWS = 512
_LEVEL = 6
_OVERSAMPLING = 4
_CURVE_STEPS = 24


def write_png(drawing: Drawing, file: BinaryIO) -> None:
    """Write a drawing as an RGB PNG of its own size, at 150 pixels an inch."""
    width, height = round(drawing.width), round(drawing.height)
    _write_header(file, width, height)
    compressor = zlib.compressobj(_LEVEL)
    above = np.zeros((width, 3), np.uint8)
    for band in draw_bands(drawing):
        # Filter "up": each row as its difference to the one above, so that white costs nothing.
        before = np.concatenate([above[np.newaxis], band[:-1]])
        rows = np.empty((len(band), 1 + 3 * width), np.uint8)
        rows[:, 0] = 2
        rows[:, 1:] = (band - before).reshape(len(band), -1)
        above = band[-1]
        data = compressor.compress(rows.tobytes())
        if data:
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def draw_bands(drawing: Drawing) -> Iterator[NDArray[np.uint8]]:
    """Rows of the picture, ``(at most BAND_ROWS, width, 3)`` uint8, from top to bottom."""
    width, height = round(drawing.width), round(drawing.height)
    extents = [_extent(mark) for mark in drawing.marks]
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        band = Image.new("RGB", (width, bottom - top), WHITE)
        for mark, (first, last) in zip(drawing.marks, extents, strict=True):
            if first < bottom and last > top:
                _draw(mark, band, top)
        yield np.asarray(band)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A small picture, ``(h, w, 3)`` or ``(h, w, 4)`` uint8, as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_LEVEL)
    return buffer.getvalue()


def encode_picture(mark: Picture) -> bytes:
    """A picture as PNG bytes of the size that it is shown in."""
    return encode_png(np.asarray(_shown(mark)))


def _extent(mark: Mark) -> tuple[float, float]:
    """First and last row that a mark can touch."""
    if isinstance(mark, Text):
        return mark.y - 1.5 * mark.size, mark.y + mark.size
    if isinstance(mark, Picture):
        return mark.y, mark.y + mark.height
    rows = [y for _, y in mark.points]
    return min(rows) - mark.width - 1, max(rows) + mark.width + 1


def _draw(mark: Mark, band: Image.Image, top: int) -> None:
    if isinstance(mark, Text):
        _draw_text(mark, band, top)
    elif isinstance(mark, Picture):
        _draw_picture(mark, band, top)
    else:
        _draw_path(mark, band, top)


def _draw_text(mark: Text, band: Image.Image, top: int) -> None:
    """Draw oversampled: small sizes keep their spacing, which hinting would spoil."""
    shown, face = drawable(mark.text), font(mark.size * _OVERSAMPLING)
    x, y = mark.x * _OVERSAMPLING, (mark.y - top) * _OVERSAMPLING
    box = face.getbbox(shown, anchor="ls")
    left = max(0, math.floor((x + box[0]) / _OVERSAMPLING))
    upper = math.floor((y + box[1]) / _OVERSAMPLING)
    right = min(band.width, math.ceil((x + box[2]) / _OVERSAMPLING) + 1)
    lower = math.ceil((y + box[3]) / _OVERSAMPLING) + 1
    if right <= left or lower <= upper:
        return
    mask = Image.new("L", ((right - left) * _OVERSAMPLING, (lower - upper) * _OVERSAMPLING))
    place = round(x) - left * _OVERSAMPLING, round(y) - upper * _OVERSAMPLING
    ImageDraw.Draw(mask).text(place, shown, fill=255, font=face, anchor="ls")
    band.paste(mark.colour, (left, upper, right, lower), mask.reduce(_OVERSAMPLING))


def _draw_picture(mark: Picture, band: Image.Image, top: int) -> None:
    picture = _shown(mark)
    corner = round(mark.x), round(mark.y) - top
    if picture.mode == "RGBA":
        band.paste(picture, corner, picture)
    else:
        band.paste(picture, corner)


def _shown(mark: Picture) -> Image.Image:
    size = max(1, round(mark.width)), max(1, round(mark.height))
    picture = Image.fromarray(mark.pixels)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.NEAREST)


def _draw_path(mark: Path, band: Image.Image, top: int) -> None:
    """Draw with smooth edges: oversampled as a mask, then the colour through it."""
    points = [(x, y - top) for x, y in (_flatten(mark.points) if mark.curved else mark.points)]
    if mark.closed:
        points.append(points[0])
    margin = mark.width + 1
    if not mark.filled:
        points = _part_within(points, -margin, band.height + margin)
    if not points:
        return
    left = max(0, int(min(x for x, _ in points) - margin))
    upper = max(0, int(min(y for _, y in points) - margin))
    right = min(band.width, int(max(x for x, _ in points) + margin) + 2)
    lower = min(band.height, int(max(y for _, y in points) + margin) + 2)
    if right <= left or lower <= upper:
        return
    size = right - left, lower - upper
    mask = Image.new("L", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING))
    scaled = [
        (
            math.floor((x - left) * _OVERSAMPLING + 0.5),
            math.floor((y - upper) * _OVERSAMPLING + 0.5),
        )
        for x, y in points
    ]
    pen = ImageDraw.Draw(mask)
    if mark.filled:
        pen.polygon(scaled, fill=255)
    else:
        pen.line(scaled, fill=255, width=round(mark.width * _OVERSAMPLING), joint="curve")
    band.paste(mark.colour, (left, upper, right, lower), mask.reduce(_OVERSAMPLING))


def _part_within(points: list[Point], top: float, bottom: float) -> list[Point]:
    """The points from the first to the last piece that touches these rows."""
    touching = [
        i
        for i in range(len(points) - 1)
        if min(points[i][1], points[i + 1][1]) < bottom
        and max(points[i][1], points[i + 1][1]) > top
    ]
    return points[touching[0] : touching[-1] + 2] if touching else []


def _flatten(points: tuple[Point, ...]) -> list[Point]:
    """Points along cubic Bezier curves."""
    controls = np.array(points)
    t = np.linspace(0, 1, _CURVE_STEPS + 1)[1:, np.newaxis]
    pieces = [controls[:1]]
    for i in range(0, len(controls) - 3, 3):
        a, b, c, d = controls[i : i + 4]
        pieces.append(
            (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
        )
    return [(float(x), float(y)) for x, y in np.concatenate(pieces)]


def _write_header(file: BinaryIO, width: int, height: int) -> None:
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    per_metre = round(DPI / 0.0254)
    _write_chunk(file, b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data)
    file.write(struct.pack(">I", zlib.crc32(kind + data)))
