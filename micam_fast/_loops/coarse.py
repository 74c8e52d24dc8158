"""Maps on few cells, made alike in mean and size, so that two of them can be compared."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def coarsen(values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Means of the cells that fall into each cell of a smaller grid, less their mean, of norm 1.

    Row ``i`` of `out` ``(H, W)`` has the rows from ``i * h // H`` to ``(i + 1) * h // H`` of
    `values` ``(h, w)``, at least one; columns likewise. Where all means are equal, `out` is 0.
    """
    height, width = values.shape
    rows, columns = out.shape
    total = 0.0
    for row in range(rows):
        top = row * height // rows
        bottom = max((row + 1) * height // rows, top + 1)
        for column in range(columns):
            left = column * width // columns
            right = max((column + 1) * width // columns, left + 1)
            summed = 0.0
            for y in range(top, bottom):
                for x in range(left, right):
                    summed += np.float64(values[y, x])
            mean = summed / ((bottom - top) * (right - left))
            out[row, column] = mean
            total += mean
    middle = total / (rows * columns)
    squares = 0.0
    for row in range(rows):
        for column in range(columns):
            out[row, column] -= middle
            squares += out[row, column] * out[row, column]
    factor = 1.0 / np.sqrt(squares) if squares > 0 else 0.0
    for row in range(rows):
        for column in range(columns):
            out[row, column] *= factor
