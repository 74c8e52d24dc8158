"""The isometric look: squares painted from far to near onto a white tile."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def paint_squares(
    colours: NDArray[np.uint8],
    cells: NDArray[np.int64],
    centres: NDArray[np.float64],
    full_area: float,
    out: NDArray[np.float32],
) -> None:
    """Paint one screen-aligned square for each cell, in order, over what lies below.

    Parameters
    ----------
    colours
        ``(n, 4)`` straight RGBA of the map's cells.
    cells
        ``(m,)`` index into `colours` for each square.
    centres
        ``(m, 2)`` x and y of the squares' centres, pixels.
    full_area
        Area in square pixels of a square whose B is 255; the area is proportional to B.
    out
        ``(height, width, 3)``, red, green, blue from 0 to 255, painted over. A pixel that a square
        covers in part takes that part of its colour.
    """
    height, width = out.shape[:2]
    for square in range(cells.shape[0]):
        red, green, blue, alpha = colours[cells[square]]
        if alpha == 0 or blue == 0:
            continue
        half = 0.5 * np.sqrt(full_area * blue / 255.0)
        x, y = centres[square]
        left, right = x - half, x + half
        top, bottom = y - half, y + half
        for py in range(max(0, int(np.floor(top))), min(height, int(np.ceil(bottom)))):
            covered_rows = min(bottom, py + 1.0) - max(top, float(py))
            for px in range(max(0, int(np.floor(left))), min(width, int(np.ceil(right)))):
                covered = covered_rows * (min(right, px + 1.0) - max(left, float(px)))
                opacity = np.float32(covered * alpha / 255.0)
                pixel = out[py, px]
                pixel[0] += opacity * (np.float32(red) - pixel[0])
                pixel[1] += opacity * (np.float32(green) - pixel[1])
                pixel[2] += opacity * (np.float32(blue) - pixel[2])
