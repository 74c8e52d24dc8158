"""Tiles: a coloured map as a plane seen in perspective, or from above."""

from __future__ import annotations

import functools
import math
import threading

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import choose_strongest
from micam_fast._loops.isometric import canvas_size, paint_squares
from micam_fast.core.choices import Look
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.encoders.glyphs import text_cover
from micam_fast.diagrams.flat_sizes import flat_size, thin_sides
from micam_fast.diagrams.marks import DPI, INK, RULE, Picture, Text
from micam_fast.diagrams.numbers import show_value
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.tile_rooms import PUBLISHED, TILE_HEIGHT, TileRoom, tile_room
from micam_fast.maps.layer_map import LayerMap

# SPEC section 4: centres of the corner cells, elevation 30 degrees, azimuth 15 degrees.
CORNERS = (105, 1), (394, 38), (13, 148), (326, 192)
_LONGEST_SIDE = 150
# Of the area of a square of the highest B. Squares of low B are small, and those of low A are pale:
# without dots a layer's minimum, which may be its strongest response, would be a white hole.
_DOT_SHARE = 1 / 16
_LEAST_CELLS = 24
NARROW = 8
"""Times as long as it is wide: an isometric grid of few cells is stretched from here on."""
MOST_APART = 64
"""Rows of a narrow grid that stay apart however long they are: leads, channels of an EEG."""
# Share of a repeated row's width that is left empty before the next row.
_GAP = 0.3
# Of a row beside which its name stands.
_NAMED_ROW = 14
_HATCH_SPACING = 9
PLAIN_GREY = 200
VALUE_SIZE = 15.0
# Where the diagonals of the isometric plane cross.
_PLANE_MIDDLE = (209.5, 91.3)
# Of a tile whose darkest byte is no darker, nothing can be seen, and hardly anything of one whose
# largest square has fewer pixels: far from 0, maps that vary little have dots alone.
_PALEST, _DOT = 240, 4.0


def grid_size(input_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the isometric grid: ``Hin x Win``, scaled down evenly over 150.

    A short side keeps its rows or columns whatever the long one is, and they are repeated where
    they are few beside a long one: a line could hardly be seen.
    """
    factor = min(1.0, _LONGEST_SIDE / max(input_size))
    long = math.floor(max(input_size) * factor + 0.5)
    rows, columns = (_thick_side(side, factor, long) for side in input_size)
    return (_LEAST_CELLS if input_size[0] == 1 else rows), columns


def _thick_side(side: int, factor: float, long: int) -> int:
    """Cells of a side of the grid; as many for each row, so that none is wider than another."""
    scaled = max(1, math.floor(side * factor + 0.5))
    if scaled >= _LEAST_CELLS or long < NARROW * scaled:
        return scaled
    return side * max(1, _LEAST_CELLS // side) if side <= MOST_APART else _LEAST_CELLS


def draw_tile(
    found: LayerMap,
    index: int,
    input_size: tuple[int, int],
    look: Look,
    *,
    scale: float = 1.0,
    native: bool = False,
    names_room: float = 0.0,
) -> Picture:
    """Draw a layer's map as a picture placed in its tile, the tile's corner at ``(0, 0)``.

    Parameters
    ----------
    index
        The layer's index in the diagram, from 0.
    input_size
        ``(Hin, Win)``.
    scale
        Size relative to the published 635 x 205 pixels.
    native
        Whether the flat look keeps one pixel for each cell of the map, for formats that enlarge by
        themselves; else a map larger than the tile is shrunk here.
    names_room
        As in `tile_place`.
    """
    room = tile_room(look, input_size)
    place = tile_place(found, look, scale, room, names_room)
    if found.bad_values is not None:
        flat = look == "flat"
        pixels = hatch(round(place.width), round(place.height), scale) if flat else _hatched(scale)
    elif found.plain:
        return _plain(found, place, look, scale, 2 if native else 1)
    elif look == "isometric":
        pixels = paint_isometric(found, index, input_size, scale)
        dots = _square_area(index, 1.0) * float(found.rgba[..., 2].max()) / 255 < _DOT
        if dots or pixels.min() >= _PALEST:
            pixels = np.minimum(pixels, _outline(scale))
    else:
        most, row = _named_box(room, names_room)
        cells = None if native else shrunk_cells(found.cam, most, scale, row)
        pixels = found.rgba if cells is None else found.rgba.reshape(-1, 4)[cells]
    return Picture(place.x, place.y, place.width, place.height, pixels)


def paint_isometric(
    found: LayerMap, index: int, input_size: tuple[int, int], scale: float = 1.0
) -> NDArray[np.uint8]:
    """The published look, SPEC section 4.

    Returns
    -------
    (height, width, 3) uint8
        The part of the tile left of the label, 425 x 205 times `scale`.

    Raises
    ------
    ValueError
        If the layer's map and its colours are not of the same size.
    """
    if found.rgba.shape != (*found.cam.shape, 4):
        raise ValueError(f"colours {found.rgba.shape} of a map of {found.cam.shape}")
    rows, columns = grid_size(input_size)
    area = _square_area(index, scale)
    height, width = round(TILE_HEIGHT * scale), round(PUBLISHED.picture_width * scale)
    pixels = np.empty((height, width, 3), np.uint8)
    paint_squares(
        found.rgba.reshape(-1, 4),
        _choose_cells(found.cam, rows, columns).reshape(-1),
        cell_centres((rows, columns), input_size, scale),
        area,
        area * _DOT_SHARE,
        _canvas(canvas_size(height, width, area)),
        pixels,
    )
    return pixels


def _square_area(index: int, scale: float) -> float:
    """Of a square of the highest B: 5 * B * ln(10 * (i + 1)) points^2, in pixels^2."""
    return 5.0 * math.log(10.0 * (index + 1)) * (DPI / 72 * scale) ** 2


_local = threading.local()


def _canvas(size: int) -> NDArray[np.float32]:
    """Room for a picture in floats; a thread's pictures share it, so that it stays in the cache."""
    canvas: NDArray[np.float32] | None = getattr(_local, "canvas", None)
    if canvas is None or len(canvas) < size:
        canvas = _local.canvas = np.zeros(size, np.float32)
    return canvas


def _choose_cells(cam: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.int64]:
    """Which cell of a map stands at each place of a grid ``(rows, columns)``."""
    if cam.shape[0] <= rows and cam.shape[1] <= columns:
        return _nearest_cells(cam.shape[0], cam.shape[1], rows, columns)
    cells = np.empty((rows, columns), np.int64)
    choose_strongest(cam, cells)
    return cells


@functools.lru_cache(maxsize=256)
def _nearest_cells(height: int, width: int, rows: int, columns: int) -> NDArray[np.int64]:
    """The choice for a map that is not larger than its grid: the same whatever the map holds."""
    cells = np.empty((rows, columns), np.int64)
    choose_strongest(np.zeros((height, width), np.float32), cells)
    return cells


@functools.lru_cache(maxsize=16)
def cell_centres(
    grid: tuple[int, int], input_size: tuple[int, int], scale: float
) -> NDArray[np.float64]:
    """Pixel positions ``(rows * columns, 2)`` of a grid's cells' centres, row by row, far to near.

    A plane seen in perspective is the projective image of the unit square that takes its corners to
    the four given points. A grid of one row or column lies in the middle.
    """
    v, u = (_spread(cells, side) for cells, side in zip(grid, input_size, strict=True))
    u, v = (axis.reshape(-1) for axis in np.meshgrid(u, v))
    sources = [(0, 0), (1, 0), (0, 1), (1, 1)]
    equations, known = [], []
    for (s, t), (x, y) in zip(sources, CORNERS, strict=True):
        equations += [[s, t, 1, 0, 0, 0, -s * x, -t * x], [0, 0, 0, s, t, 1, -s * y, -t * y]]
        known += [x, y]
    a, b, c, d, e, f, g, h = np.linalg.solve(np.array(equations, float), np.array(known, float))
    depth = g * u + h * v + 1
    return np.stack([(a * u + b * v + c) / depth, (d * u + e * v + f) / depth], axis=1) * scale


def _spread(cells: int, side: int) -> NDArray[np.float64]:
    """Places from 0 to 1; cells that repeat one row of the input are nearer to each other."""
    if cells == 1:
        return np.array([0.5])
    copies = cells // side if side > 1 and cells % side == 0 else 1
    row, copy = np.divmod(np.arange(cells), copies)
    places = row + copy * (1 - _GAP) / copies
    return np.asarray(places / places[-1])


def tile_place(
    found: LayerMap,
    look: Look,
    scale: float,
    room: TileRoom = PUBLISHED,
    names_room: float = 0.0,
) -> Box:
    """Where `draw_tile` puts its picture; it depends on the map's shape alone.

    Names of rows take so many pixels, before they are scaled, left of a map seen from above.
    """
    if look == "isometric":
        return Box(0, 0, round(room.picture_width * scale), round(TILE_HEIGHT * scale))
    height, width = found.cam.shape
    most, row = _named_box(room, names_room)
    free = round(room.picture_width - names_room), TILE_HEIGHT
    place = flat_place((height, width), most, free, scale, row)
    return Box(place.x + round(names_room * scale), place.y, place.width, place.height)


def _named_box(room: TileRoom, names_room: float) -> tuple[tuple[int, int], int]:
    """Most pixels of a map beside names, and the least of each of its rows."""
    width, height = room.most
    return (round(width - names_room), height), _NAMED_ROW if names_room else 0


def flat_place(
    size: tuple[int, int],
    most: tuple[int, int],
    room: tuple[int, int],
    scale: float,
    row: int = 0,
) -> Box:
    """Where a map seen from above goes: in the middle of its room, as large as its cells allow.

    Parameters
    ----------
    size
        ``(h', w')`` of the map.
    most
        Width and height that it may take, before it is scaled.
    room
        Width and height in whose middle it is, before they are scaled.
    scale
        Of the diagram.
    row
        Pixels that each row takes if there is room, before they are scaled.

    Returns
    -------
    Box
        In pixels of the scaled diagram, from the corner of the room.
    """
    shown_height, shown_width = flat_size(size, most, scale, row)
    return Box(
        round((room[0] * scale - shown_width) / 2),
        round((room[1] * scale - shown_height) / 2),
        round(shown_width),
        round(shown_height),
    )


def shrunk_cells(
    cam: NDArray[np.float32], most: tuple[int, int], scale: float, row: int = 0
) -> NDArray[np.int64] | None:
    """Which cells are shown of a map that has more than `flat_place` has pixels for it.

    Returns
    -------
    (rows, columns) int64 or None
        Index among the map's cells, row by row; ``None`` where all cells are shown.
    """
    height, width = cam.shape
    shown_height, shown_width = flat_size((height, width), most, scale, row)
    rows, columns = (
        max(1, min(side, round(shown)))
        for side, shown in ((height, shown_height), (width, shown_width))
    )
    return None if (rows, columns) == (height, width) else _choose_cells(cam, rows, columns)


def stretched_side(size: tuple[int, int], room: TileRoom = PUBLISHED) -> str | None:
    """Which cells of a map are not drawn as squares, for its label: ``"rows"`` or ``"columns"``.

    A strip of one row is one wherever it is drawn, and its label says nothing.
    """
    rows, columns = thin_sides(size, room.most)
    return None if size[0] == 1 else "rows" if rows else "columns" if columns else None


def _plain(found: LayerMap, place: Box, look: Look, scale: float, detail: int) -> Picture:
    """A grey tile, with its value if it has but one; so many pixels for each of the diagram's."""
    scale *= detail
    if look == "isometric":
        pixels, middle = _grey_plane(scale).copy(), _PLANE_MIDDLE
    else:
        height, width = (max(1, round(side * detail)) for side in (place.height, place.width))
        pixels = np.full((height, width, 3), PLAIN_GREY, np.uint8)
        middle = width / 2 / scale, height / 2 / scale
    if found.constant:
        _write(pixels, show_value(found.minimum), middle, scale)
    return Picture(place.x, place.y, place.width, place.height, pixels)


def _write(pixels: NDArray[np.uint8], text: str, middle: tuple[float, float], scale: float) -> None:
    """Write a line of text around a place, if there is room."""
    size = VALUE_SIZE * scale
    x, y = middle[0] * scale - text_width(text, size) / 2, middle[1] * scale + 0.36 * size
    left, top, cover = text_cover(Text(x, y, text, size))
    height, width = cover.shape
    if left < 0 or top < 0 or left + width > pixels.shape[1] or top + height > len(pixels):
        return
    below = pixels[top : top + height, left : left + width]
    share = cover[..., np.newaxis] / 255
    below[:] = (below + share * (np.array(INK) - below)).round()


@functools.lru_cache(maxsize=4)
def _grey_plane(scale: float) -> NDArray[np.uint8]:
    grey = np.where(_distance(scale) >= 0, PLAIN_GREY, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


@functools.lru_cache(maxsize=4)
def _outline(scale: float) -> NDArray[np.uint8]:
    """The border of the plane, for a map whose squares can hardly be seen."""
    border = np.abs(_distance(scale) - 0.75) < 0.75
    grey = np.where(border, RULE[0], 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _distance(scale: float) -> NDArray[np.float64]:
    """How far within the plane each pixel of a tile lies, below 0 beyond it; pixels at scale 1."""
    height, width = round(TILE_HEIGHT * scale), round(PUBLISHED.picture_width * scale)
    y, x = np.mgrid[0:height, 0:width] / scale
    far_left, far_right, near_left, near_right = CORNERS
    corners = (far_left, far_right, near_right, near_left)
    found = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        side = math.hypot(x1 - x0, y1 - y0)
        found = np.minimum(found, ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / side)
    return found


@functools.lru_cache(maxsize=4)
def _hatched(scale: float) -> NDArray[np.uint8]:
    """Grey diagonal lines on the plane, for a layer that has no finite map."""
    inside = _distance(scale) >= 0
    y, x = np.mgrid[0 : inside.shape[0], 0 : inside.shape[1]] / scale
    return _hatch(x, y, inside)


def hatch(width: int, height: int, scale: float) -> NDArray[np.uint8]:
    """Grey diagonal lines, ``(height, width, 3)`` uint8: what stands where there is no map."""
    y, x = np.mgrid[0:height, 0:width] / scale
    return _hatch(x, y, np.ones(x.shape, bool))


def _hatch(
    x: NDArray[np.float64], y: NDArray[np.float64], inside: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    lines = (x + y) % _HATCH_SPACING < 1.5
    grey = np.where(inside & lines, 150, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)
