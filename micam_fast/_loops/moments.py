"""Moments of channels: one read of an activation, sums in float64.

Helpers stand in this file because Numba's cache does not notice a change in another one. The loops
release the GIL. Blocks are merged by the formula of Chan, Golub and LeVeque ("Algorithms for
Computing the Sample Variance", 1983), so that nothing is lost where a mean is large and a deviation
small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the counts of a channel: finite values, zeros among them, NaN and infinite values.
FINITE, ZEROS, STRAYS, COUNTS = 0, 1, 2, 3
# Columns of its moments: mean, sum of squared differences from it, smallest and largest value.
MEAN, SQUARES, LOW, HIGH, MOMENTS = 0, 1, 2, 3, 4

# Values that are read twice, for their mean and their differences from it: they stay in L1.
_BLOCK = 4096
_INFINITY = np.int32(0x7F800000)
_MAGNITUDE = np.int32(0x7FFFFFFF)

# Sums of float64 in any order, so that they run in vectors; what is not finite never enters them.
_FLAGS = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def add_moments(
    values: NDArray[np.float32], counts: NDArray[np.int64], moments: NDArray[np.float64]
) -> None:
    """Add the values ``(C, P)`` of each channel to `counts` ``(C, 3)`` and `moments` ``(C, 4)``.

    These may have room for further channels.
    """
    bits = values.view(np.int32)
    extremes = np.empty(2, np.int32)
    floats = extremes.view(np.float32)
    for c in range(values.shape[0]):
        for begin in range(0, values.shape[1], _BLOCK):
            end = min(begin + _BLOCK, values.shape[1])
            block = values[c, begin:end]
            if _find_extremes(bits[c, begin:end], extremes, counts[c]):
                low, high = floats[0], floats[1]
                moments[c, LOW] = min(moments[c, LOW], np.float64(low))
                moments[c, HIGH] = max(moments[c, HIGH], np.float64(high))
                _add_block(block, counts[c], moments[c])
            else:
                _add_finite(block, counts[c], moments[c])


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def add_squares(values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Add to `out` ``(2,)`` the squares of the finite values ``(C, P)``, and their number."""
    for c in range(values.shape[0]):
        total = 0.0
        count = 0
        for p in range(values.shape[1]):
            value = np.float64(values[c, p])
            if np.isfinite(value):
                total += value * value
                count += 1
        out[0] += total
        out[1] += count


@njit(cache=True, nogil=True, inline="always")
def _find_extremes(
    bits: NDArray[np.int32], extremes: NDArray[np.int32], counts: NDArray[np.int64]
) -> bool:
    """Tell whether all values are finite; if so, count the zeros, and find smallest and largest.

    As integers, numbers are in their order, and vectors compare them even with NaN among them.
    """
    largest, zeros = np.int32(0), np.int32(0)
    low, high = np.int32(2147483647), np.int32(-2147483648)
    for p in range(len(bits)):
        magnitude = bits[p] & _MAGNITUDE
        ordered = bits[p] ^ ((bits[p] >> np.int32(31)) & _MAGNITUDE)
        largest = max(largest, magnitude)
        low, high = min(low, ordered), max(high, ordered)
        zeros += np.int32(magnitude == 0)
    if largest >= _INFINITY:
        return False
    counts[ZEROS] += zeros
    extremes[0] = low ^ ((low >> np.int32(31)) & _MAGNITUDE)
    extremes[1] = high ^ ((high >> np.int32(31)) & _MAGNITUDE)
    return True


@njit(cache=True, nogil=True, fastmath=_FLAGS, inline="always")
def _add_block(
    values: NDArray[np.float32], counts: NDArray[np.int64], moments: NDArray[np.float64]
) -> None:
    total = 0.0
    for p in range(len(values)):
        total += np.float64(values[p])
    mean = total / len(values)
    squares = 0.0
    for p in range(len(values)):
        difference = np.float64(values[p]) - mean
        squares += difference * difference
    _merge_block(len(values), mean, squares, counts, moments)


@njit(cache=True, nogil=True, fastmath=_FLAGS, inline="always")
def _add_finite(
    values: NDArray[np.float32], counts: NDArray[np.int64], moments: NDArray[np.float64]
) -> None:
    """Add a block in which some values are not finite."""
    count = 0
    total = 0.0
    for value in values:
        if np.isfinite(value):
            count += 1
            total += np.float64(value)
    counts[STRAYS] += len(values) - count
    if count == 0:
        return
    mean = total / count
    squares = 0.0
    for value in values:
        if np.isfinite(value):
            difference = np.float64(value) - mean
            squares += difference * difference
            counts[ZEROS] += value == 0
            moments[LOW] = min(moments[LOW], np.float64(value))
            moments[HIGH] = max(moments[HIGH], np.float64(value))
    _merge_block(count, mean, squares, counts, moments)


@njit(cache=True, nogil=True, fastmath=_FLAGS, inline="always")
def _merge_block(
    count: int,
    mean: float,
    squares: float,
    counts: NDArray[np.int64],
    moments: NDArray[np.float64],
) -> None:
    both = counts[FINITE] + count
    step = mean - moments[MEAN]
    share = count / both
    moments[SQUARES] += squares + step * step * share * counts[FINITE]
    moments[MEAN] += step * share
    counts[FINITE] = both


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def centre_channels(
    values: NDArray[np.float32], begin: int, means: NDArray[np.float64], out: NDArray[Any]
) -> None:
    """Fill `means` ``(C,)`` of values ``(C, P)`` from `begin` on, and `out` with the differences.

    `out` says how many there are; it is of float32 or float64, as `products` are in `add_products`.
    """
    for c in range(values.shape[0]):
        target = out[c]
        source = values[c, begin : begin + len(target)]
        total = 0.0
        for p in range(len(source)):
            total += np.float64(source[p])
        mean = total / len(source)
        means[c] = mean
        for p in range(len(source)):
            target[p] = np.float64(source[p]) - mean


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def add_products(
    products: NDArray[Any],
    row: int,
    column: int,
    step: NDArray[np.float64],
    weight: float,
    out: NDArray[np.float64],
) -> None:
    """Add a tile of products to a lower triangle, and ``weight * step step'``.

    `products` begins at `row` and `column` of the matrix; `out` holds the rows of the triangle one
    after the other.
    """
    for i in range(products.shape[0]):
        first = (row + i) * (row + i + 1) // 2 + column
        count = min(products.shape[1], row + i - column + 1)
        target = out[first : first + count]
        source, steps = products[i, :count], step[column : column + count]
        factor = weight * step[row + i]
        for j in range(count):
            target[j] += source[j] + factor * steps[j]
