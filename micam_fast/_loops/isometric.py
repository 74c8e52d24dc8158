"""The isometric look: squares, and dots in them, painted from far to near onto a white tile."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_WHITE = np.float32(255.0)
# Floats that the widest vector registers hold: rows of squares are painted in whole ones.
_LANES = 16
# Whole registers of whole pixels, at a time.
_BLOCK = 3 * _LANES


@njit(cache=True, nogil=True)
def paint_squares(
    colours: NDArray[np.uint8],
    cells: NDArray[np.int64],
    centres: NDArray[np.float64],
    full_area: float,
    dot_area: float,
    canvas: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    """Paint one screen-aligned square for each cell, in order, over what lies below.

    In the middle of each lies a dot of the same colour, as opaque as the square itself is small or
    transparent: 1 - A * B.

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
    dot_area
        Area of a dot, at most that; 0 for none.
    canvas
        Room for `canvas_size` floats, for the colours before they are rounded.
    out
        ``(height, width, 3)``, written. A pixel that a square covers in part takes that part of its
        colour; what no square covers is white.
    """
    height, width = out.shape[:2]
    longest = _longest_row(full_area)
    # The square at hand: its colour again and again, and the opacity of its first, its inner and
    # its last row, channel by channel. Beyond its columns the opacity is zero, which leaves a pixel
    # as it is, so that a row can be painted in whole registers.
    ink = np.empty(longest, np.float32)
    opacity = np.empty(3 * longest, np.float32)
    covered = np.empty(9, np.float64)
    parts = np.empty(9, np.float32)
    inked = -1
    white = 0
    # Each cell's dot, then its square.
    for part in range(2 * cells.shape[0]):
        square = part // 2
        cell = cells[square]
        red, green, blue, alpha = colours[cell]
        if part % 2 == 0:
            half = 0.5 * np.sqrt(dot_area)
            cover = 1.0 - alpha / 255.0 * (blue / 255.0)
        else:
            half = 0.5 * np.sqrt(full_area * blue / 255.0)
            cover = alpha / 255.0
        if half == 0.0 or cover == 0.0:
            continue
        x, y = centres[square]
        left, right = x - half, x + half
        top, bottom = y - half, y + half
        first, end = max(0, int(np.floor(left))), min(width, int(np.ceil(right)))
        upper, lower = max(0, int(np.floor(top))), min(height, int(np.ceil(bottom)))
        if end <= first or lower <= upper:
            continue
        if lower > white:
            # Only now, while the rows stay in the nearest cache for what is painted on them.
            canvas[3 * width * white : 3 * width * lower] = _WHITE
            white = lower
        if cell != inked:
            inked = cell
            # Unsigned indices: a signed one is asked at each access whether it counts from the end.
            for i in range(0, longest, 3):
                ink[np.uintp(i)] = np.float32(red)
                ink[np.uintp(i + 1)] = np.float32(green)
                ink[np.uintp(i + 2)] = np.float32(blue)
        covered[0] = covered[1] = covered[2] = min(bottom, upper + 1.0) - max(top, float(upper))
        covered[3] = covered[4] = covered[5] = 1.0
        covered[6] = covered[7] = covered[8] = min(bottom, float(lower)) - max(top, lower - 1.0)
        for row in range(0, 9, 3):
            covered[row] *= min(right, first + 1.0) - max(left, float(first))
            covered[row + 2] *= min(right, float(end)) - max(left, end - 1.0)
        for place in range(9):
            parts[place] = np.float32(covered[place] * cover)
        count = 3 * (end - first)
        for row in range(3):
            inner, last = parts[3 * row + 1], parts[3 * row + 2]
            for block in range(0, count, _BLOCK):
                begin = row * longest + block
                inside = count - block
                for i in range(_BLOCK):
                    within = inner if i < inside - 3 else last
                    opacity[np.uintp(begin + i)] = within if i < inside else np.float32(0.0)
            for i in range(3):
                opacity[np.uintp(row * longest + i)] = parts[3 * row]
        lanes = (count + _LANES - 1) // _LANES * _LANES
        for py in range(upper, lower):
            begin = longest * (0 if py == upper else 2 if py == lower - 1 else 1)
            target = 3 * (py * width + first)
            for i in range(lanes):
                below = canvas[np.uintp(target + i)]
                canvas[np.uintp(target + i)] = below + opacity[np.uintp(begin + i)] * (
                    ink[np.uintp(i)] - below
                )
    rounded = out.reshape(-1)
    for i in range(3 * width * white):
        rounded[i] = np.uint8(canvas[i] + np.float32(0.5))
    rounded[3 * width * white :] = np.uint8(255)


def canvas_size(height: int, width: int, full_area: float) -> int:
    """Floats that `paint_squares` needs: the picture, and what a row's last register may touch."""
    return 3 * height * width + int(_longest_row(full_area))


@njit(cache=True, nogil=True)
def _longest_row(full_area: float) -> int:
    """Channels of a row of the largest square, in whole blocks."""
    side = int(np.ceil(np.sqrt(full_area))) + 1
    return (3 * side + _BLOCK - 1) // _BLOCK * _BLOCK
