"""The isometric look in formats that turn pictures by themselves: a map on a parallelogram.

Painted squares are a picture of 425 x 205 pixels for each map, which no format makes small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import INK, RULE, Mark, Path, Plane, Point, Text, enlarge, move
from micam_fast.diagrams.numbers import show_value
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.tiles import CORNERS, PLAIN_GREY, VALUE_SIZE, hatch
from micam_fast.maps.layer_map import LayerMap

# Pixels of a hatched plane: about those that it has in a diagram.
_HATCHED = (300, 150)


def tile_plane(pixels: NDArray[np.uint8], title: str | None = None) -> Plane:
    """The parallelogram next to the corners of SPEC section 4, in pixels of the published tile.

    Of all affine planes it has the smallest sum of squared distances from them. A plane in
    perspective is none, so each corner is off by some pixels.
    """
    far_left, far_right, near_left, near_right = np.array(CORNERS, float)
    across = (far_right - far_left + near_right - near_left) / 2
    down = (near_left - far_left + near_right - far_right) / 2
    corner = np.mean(np.array(CORNERS, float), axis=0) - (across + down) / 2
    return Plane(_point(corner), _point(across), _point(down), pixels, title)


def _point(vector: NDArray[np.float64]) -> Point:
    return float(vector[0]), float(vector[1])


def plane_in(box: Box, pixels: NDArray[np.uint8], title: str | None = None) -> Plane:
    """The same parallelogram, as large as a box holds it, in the box's middle."""
    plane = tile_plane(pixels, title)
    left, top, width, height = _bounds(plane)
    scale = min(box.width / width, box.height / height)
    x = box.x + (box.width - scale * width) / 2 - scale * left
    y = box.y + (box.height - scale * height) / 2 - scale * top
    return move(enlarge(plane, scale), x, y)


def plane_aspect() -> float:
    """Width of the parallelogram by its height."""
    _, _, width, height = _bounds(tile_plane(np.empty((1, 1, 3), np.uint8)))
    return width / height


def _bounds(plane: Plane) -> tuple[float, float, float, float]:
    """Left, top, width and height of what a plane covers."""
    corners = [place_on(plane, right, below) for right in (0, 1) for below in (0, 1)]
    (left, top), (right, bottom) = (
        tuple(map(which, zip(*corners, strict=True))) for which in (min, max)
    )
    return left, top, right - left, bottom - top


def place_on(plane: Plane, right: float, below: float) -> Point:
    """Where a part of the first row, and of the first column, leads to."""
    (x, y), (across_x, across_y), (down_x, down_y) = plane.corner, plane.across, plane.down
    return x + right * across_x + below * down_x, y + right * across_y + below * down_y


def plane_outline(plane: Plane) -> Path:
    """A thin line around it: a pale map is told from no map."""
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    points = tuple(place_on(plane, *corner) for corner in corners)
    return Path(points, RULE, 1.0, closed=True)


def draw_plane(found: LayerMap, plane: Plane, scale: float) -> tuple[Mark, ...]:
    """A layer's map on its plane; a grey one shows its value if it has but one."""
    pixels, value = found.rgba, ""
    if found.bad_values is not None:
        pixels = hatch(*_HATCHED, 1.0)
    elif found.plain:
        pixels = np.full((1, 1, 3), PLAIN_GREY, np.uint8)
        value = show_value(found.minimum) if found.constant else ""
    drawn = Plane(plane.corner, plane.across, plane.down, pixels, plane.title)
    if not value:
        return (drawn,)
    size = VALUE_SIZE * scale
    x, y = place_on(plane, 0.5, 0.5)
    return drawn, Text(x - text_width(value, size) / 2, y + 0.36 * size, value, size, INK)
