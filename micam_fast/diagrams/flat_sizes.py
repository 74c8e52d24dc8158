"""How large a map seen from above is: as large as its room allows, and no side too thin to see."""

from __future__ import annotations

import math

# What is thinner in pixels is stretched: as a line it could hardly be seen. Each of some rows gets
# pixels enough to be told from the next.
_LEAST_THICKNESS, _MOST_THICKNESS, _ROW_THICKNESS = 24, 96, 6
_STRIP_HEIGHT, _STRETCHED_TO = 24, 40


def thin_sides(size: tuple[int, int], most: tuple[int, int]) -> tuple[bool, bool]:
    """Which sides of a map would be too thin to see, whatever the scale."""
    zoom = _flat_zoom(size, most)
    return size[0] * zoom < _LEAST_THICKNESS, size[1] * zoom < _LEAST_THICKNESS


def strip_thickness(cells: int, least: int = _STRETCHED_TO) -> int:
    """Pixels of a map's thin side, of so many rows or columns: they are told from each other."""
    return min(max(least, _ROW_THICKNESS * cells), _MOST_THICKNESS)


def flat_size(
    size: tuple[int, int], most: tuple[int, int], scale: float, row: int = 0
) -> tuple[float, float]:
    """Height and width in pixels of a map; the parameters are as of `flat_place`."""
    most_width, most_height = (side * scale for side in most)
    zoom = _flat_zoom(size, (most_width, most_height))
    least = _STRIP_HEIGHT if size[0] == 1 else _STRETCHED_TO, _STRETCHED_TO
    found = []
    for cells, thin, room, enough in zip(
        size, thin_sides(size, most), (most_height, most_width), least, strict=True
    ):
        wanted = strip_thickness(cells, enough) * scale if thin else 0
        found.append(max(1.0, cells * zoom, min(wanted, room)))
    height, width = found
    return max(height, min(row * scale * size[0], most_height)), width


def _flat_zoom(size: tuple[int, int], most: tuple[float, float]) -> float:
    """Pixels to a cell: whole ones for a map that is smaller than its room."""
    zoom = min(most[0] / size[1], most[1] / size[0])
    return math.floor(zoom) if zoom >= 1 else zoom
