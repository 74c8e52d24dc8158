"""The opaque colours of maps on a poster, and how large a map is shown in its room."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import choose_strongest
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.tiles import hatch
from micam_fast.maps.layer_map import LayerMap

GREY_MAP = np.full((1, 1, 3), 200, np.uint8)
"""Pixels of a map that hardly varies."""
_LEAST_SHARE = 0.3
"""Of a room's height or width, for a map that would be a line."""
_WIDE = 2.0
"""Width by height from which a room is for strips."""


def map_pixels(found: LayerMap, most: tuple[int, int]) -> NDArray[np.uint8]:
    """A map's colours without transparency.

    Parameters
    ----------
    found
        The map.
    most
        Rows and columns that are shown at most: of a map with more, the strongest value of each
        cell survives.

    Returns
    -------
    (rows, columns, 3) uint8
        Grey for a map that hardly varies, hatched for one that is not finite.
    """
    if found.bad_values is not None:
        return hatch(48, 48, 1.5)
    if found.plain:
        return GREY_MAP
    cells = strongest_cells(found.cam, most)
    if cells is None:
        return np.ascontiguousarray(found.rgba[..., :3])
    return np.ascontiguousarray(found.rgba.reshape(-1, 4)[:, :3][cells])


def strongest_cells(values: NDArray[np.float32], most: tuple[int, int]) -> NDArray[np.int64] | None:
    """The cell whose value is shown by each of so many rows and columns; ``None`` for all cells."""
    height, width = values.shape
    rows, columns = min(height, most[0]), min(width, most[1])
    if (rows, columns) == (height, width):
        return None
    cells = np.empty((rows, columns), np.int64)
    choose_strongest(values, cells)
    return cells


def fitted(size: tuple[int, int], room: Box) -> Box:
    """Where a map of so many rows and columns stands in its room: in the middle, its cells square.

    A map that would be a line is thicker; a strip fills a room for strips.
    """
    rows, columns = size
    if rows == 1 and room.width >= _WIDE * room.height:
        return room
    cell = min(room.width / columns, room.height / rows)
    width = max(cell * columns, _LEAST_SHARE * room.width)
    height = max(cell * rows, _LEAST_SHARE * room.height)
    x, y = room.x + (room.width - width) / 2, room.y + (room.height - height) / 2
    return Box(x, y, width, height)


def cells_for(box: Box, density: float) -> tuple[int, int]:
    """Rows and columns of pixels that a box of this size can show, at so many to a unit."""
    return max(1, math.ceil(box.height * density)), max(1, math.ceil(box.width * density))
