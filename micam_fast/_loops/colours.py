"""Maps to colours: the four channels of SPEC section 3, and the choice of cells in a shrunk map."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the table that says where a layer's map lies.
MAP, SIZE = 0, 1


@njit(cache=True, nogil=True)
def _byte(value: float) -> np.uint8:
    return np.uint8(np.floor(255.0 * min(max(value, 0.0), 1.0) + 0.5))


@njit(cache=True, nogil=True)
def colour_maps(
    table: NDArray[np.int64],
    maps: NDArray[np.float32],
    ranges: NDArray[np.float64],
    global_low: float,
    global_high: float,
    out: NDArray[np.uint8],
) -> None:
    """Colour all maps of a sample.

    Parameters
    ----------
    table
        ``(layers, 2)``: begin and size of each layer's map in `maps`.
    maps
        All maps of the sample, one-dimensional.
    ranges
        ``(layers, 2)``: ``m`` and ``M``, ``M`` already lifted by SPEC's rule; NaN for a layer that
        takes no part.
    global_low, global_high
        ``gmin`` and ``gmax`` over the layers.
    out
        ``(len(maps), 4)``: R, G, B, A as straight (not premultiplied) bytes, written.
    """
    spread = global_high - global_low
    for layer in range(table.shape[0]):
        begin = table[layer, MAP]
        end = begin + table[layer, SIZE]
        low, high = ranges[layer]
        if np.isnan(low):
            out[begin:end] = 0
            continue
        for i in range(begin, end):
            t = np.float64(maps[i])
            out[i, 0] = _byte(t / high) if high > 0.0 else 0
            out[i, 1] = _byte(t / low) if low < 0.0 else 0
            out[i, 2] = _byte((t - low) / (high - low)) if high != low else 0
            out[i, 3] = _byte(np.sqrt(max((t - global_low) / spread, 0.0))) if spread > 0.0 else 0


@njit(cache=True, nogil=True)
def choose_strongest(values: NDArray[np.float32], out: NDArray[np.int64]) -> None:
    """For each cell of a smaller grid, the flat index of the strongest value that falls into it.

    Cell ``(y, x)`` of `values` ``(h, w)`` falls into ``(y * H // h, x * W // w)`` of `out`
    ``(H, W)``; an axis along which `out` is larger is enlarged by nearest neighbour instead.
    Strongest is the largest absolute value, the first in row-major order if several are equal.
    """
    height, width = values.shape
    rows, columns = out.shape
    for row in range(rows):
        top = _first(row, rows, height)
        bottom = max(_first(row + 1, rows, height), top + 1)
        for column in range(columns):
            left = _first(column, columns, width)
            right = max(_first(column + 1, columns, width), left + 1)
            best = top * width + left
            strength = np.float32(-1.0)
            for y in range(top, bottom):
                for x in range(left, right):
                    if np.abs(values[y, x]) > strength:
                        strength = np.abs(values[y, x])
                        best = y * width + x
            out[row, column] = best


@njit(cache=True, nogil=True)
def _first(cell: int, cells: int, size: int) -> int:
    """First source index of a cell: all that fall into it, or the one with the nearest centre.

    Of two equally near centres the lower index is taken, as the published engine does.
    """
    if cells < size:
        return -((-cell * size) // cells)
    return ((2 * cell + 1) * size - 1) // (2 * cells)
