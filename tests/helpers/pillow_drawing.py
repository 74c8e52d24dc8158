"""Drawings by Pillow and NumPy alone, mark after mark, for the tests of the faster way."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from micam_fast.diagrams.encoders.fonts import drawable, font
from micam_fast.diagrams.marks import Boxes, Drawing, Mark, Path, Picture, Plane, Point, Text

BAND_ROWS = 512
_OVERSAMPLING = 4
_CURVE_STEPS = 24


def draw(drawing: Drawing) -> NDArray[np.uint8]:
    """The pixels of a drawing, ``(height, width, 3)`` uint8."""
    return np.concatenate(list(draw_bands(drawing)))


def draw_bands(drawing: Drawing) -> Iterator[NDArray[np.uint8]]:
    """Rows of the picture, ``(at most BAND_ROWS, width, 3)`` uint8, from top to bottom."""
    width, height = round(drawing.width), round(drawing.height)
    extents = [_extent(mark) for mark in drawing.marks]
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        band = Image.new("RGB", (width, bottom - top), (255, 255, 255))
        for mark, (first, last) in zip(drawing.marks, extents, strict=True):
            if first < bottom and last > top:
                _draw(mark, band, top)
        yield np.asarray(band)


def _extent(mark: Mark) -> tuple[float, float]:
    """First and last row that a mark can touch."""
    if isinstance(mark, Text):
        return mark.y - 1.5 * mark.size, mark.y + mark.size
    if isinstance(mark, Picture):
        return mark.y, mark.y + mark.height
    if isinstance(mark, (Boxes, Plane)):
        return 0, math.inf
    rows = [y for _, y in mark.points]
    return min(rows) - mark.width - 1, max(rows) + mark.width + 1


def _draw(mark: Mark, band: Image.Image, top: int) -> None:
    if isinstance(mark, Text):
        _draw_text(mark, band, top)
    elif isinstance(mark, Picture):
        _draw_picture(mark, band, top)
    elif isinstance(mark, Boxes):
        _draw_boxes(mark, band, top)
    elif isinstance(mark, Plane):
        _draw_plane(mark, band, top)
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


def _draw_boxes(mark: Boxes, band: Image.Image, top: int) -> None:
    """Draw by how much of each pixel they cover, but at most all of it."""
    cover = np.zeros((band.height, band.width))
    for x, y, width, height in mark.boxes:
        across, down = (
            np.clip(np.minimum(begin + length, place + 1) - np.maximum(begin, place), 0, None)
            for begin, length, place in (
                (x, width, np.arange(band.width)),
                (y, height, np.arange(top, top + band.height)),
            )
        )
        cover += np.outer(down, across)
    mask = np.floor(255 * np.minimum(cover, 1) + 0.5).astype(np.uint8)
    band.paste(mark.colour, (0, 0), Image.fromarray(mask))


def _draw_plane(mark: Plane, band: Image.Image, top: int) -> None:
    """Draw by where the middle of each pixel lies along both vectors."""
    (x, y), (across_x, across_y), (down_x, down_y) = mark.corner, mark.across, mark.down
    area = across_x * down_y - across_y * down_x
    if area == 0:
        return
    dx = np.arange(band.width) + 0.5 - x
    dy = (np.arange(top, top + band.height) + 0.5 - y)[:, np.newaxis]
    u, v = (dx * down_y - dy * down_x) / area, (dy * across_x - dx * across_y) / area
    part = np.ones(u.shape)
    for along, vector in ((u, mark.down), (v, mark.across)):
        distance = abs(area) / np.hypot(*vector)
        edges = (np.clip(each * distance + 0.5, 0, 1) for each in (along, 1 - along))
        part *= np.maximum(sum(edges) - 1, 0)
    # Sharp corners end with the box around all four.
    reach_x = [x, x + across_x, x + down_x, x + across_x + down_x]
    reach_y = [y, y + across_y, y + down_y, y + across_y + down_y]
    part[:, : max(math.floor(min(reach_x)), 0)] = 0
    part[:, max(math.ceil(max(reach_x)), 0) :] = 0
    part[: max(math.floor(min(reach_y)) - top, 0)] = 0
    part[max(math.ceil(max(reach_y)) - top, 0) :] = 0
    height, width, channels = mark.pixels.shape
    rows, columns = (
        np.clip(np.trunc(along * cells), 0, cells - 1).astype(int)
        for along, cells in ((v, height), (u, width))
    )
    taken = mark.pixels[rows, columns]
    if channels == 4:
        part *= taken[..., 3] / 255
    mask = np.floor(255 * part + 0.5).astype(np.uint8)
    colours = Image.fromarray(np.ascontiguousarray(taken[..., :3]))
    band.paste(colours, (0, 0), Image.fromarray(mask))


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
