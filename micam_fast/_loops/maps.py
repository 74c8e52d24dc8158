"""Activations to maps: one read of the activations, ranges included.

Every map of SPEC section 2 is the same two steps. First a projection of the ``C`` channels onto the
``T`` taps of the summed kernel, ``plane[t, p] = sum_c weights[t, c] * A[c, p]``; then each plane is
shifted (circularly, or with stride and zero boundary) and added to the map. A mean over channels
is the case of one tap with the weights ``1/C``. So one table-driven loop serves all layers.

A layer that is an affine function of another one's activation, channel by channel, and then
clipped (batch normalization, ReLU, both) is a follower: its mean is taken from that activation
while a block of it is in the cache, so that its own need not be written, nor read.

Helpers stand in this file because Numba's cache does not notice a change in another one. The loops
release the GIL: threads call them with disjoint tasks, which gives the same bits for any number of
threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the table that describes a layer to `project_tasks`.
KIND, SOURCE, SAMPLE_STRIDE, CHANNELS, ROWS_IN, COLUMNS_IN = 0, 1, 2, 3, 4, 5
WEIGHTS, TAPS, ROW_TARGETS, COLUMN_RUNS, MAP, ROWS_OUT, COLUMNS_OUT = 6, 7, 8, 9, 10, 11, 12
# Row of the first follower of a layer, of the next one of a follower; NONE if there is none.
FOLLOWER = 13
TABLE_WIDTH = 14
NONE = -1

# Values of KIND. A follower is no task of its own.
CHANNELS_FIRST, CHANNELS_LAST, FLAT, FOLLOWS = 0, 1, 2, 3

# A tap's columns move in at most two contiguous runs: source start, source step, target start,
# target step, count.
RUNS_PER_TAP, RUN_WIDTH = 2, 5

# Pixels whose partial sums are held at a time: 9 taps x 512 x 4 bytes stay in L1.
_BLOCK = 512

# Not "nnan" and not "ninf": a NaN or an infinity in the activations must reach the map.
_FLAGS = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _project_channels_first(
    source: NDArray[np.float32],
    begin: int,
    stride: int,
    channels: int,
    weights: NDArray[np.float32],
    planes: NDArray[np.float32],
    count: int,
) -> None:
    """Fill ``planes[t, :count]`` from ``A[c, p] = source[begin + c * stride + p]``."""
    taps = weights.shape[0]
    for t in range(taps):
        for p in range(count):
            planes[t, p] = np.float32(0.0)
    whole = channels - channels % 4
    for c in range(0, whole, 4):
        first = source[begin + c * stride : begin + c * stride + count]
        second = source[begin + (c + 1) * stride : begin + (c + 1) * stride + count]
        third = source[begin + (c + 2) * stride : begin + (c + 2) * stride + count]
        fourth = source[begin + (c + 3) * stride : begin + (c + 3) * stride + count]
        # Four channels and three taps at a time: twelve products for ten accesses to L1.
        for t in range(0, taps - 2, 3):
            a0, a1, a2, a3 = weights[t, c], weights[t, c + 1], weights[t, c + 2], weights[t, c + 3]
            u = t + 1
            b0, b1, b2, b3 = weights[u, c], weights[u, c + 1], weights[u, c + 2], weights[u, c + 3]
            u = t + 2
            c0, c1, c2, c3 = weights[u, c], weights[u, c + 1], weights[u, c + 2], weights[u, c + 3]
            plane, next_plane, last_plane = planes[t], planes[t + 1], planes[t + 2]
            for p in range(count):
                v0, v1, v2, v3 = first[p], second[p], third[p], fourth[p]
                plane[p] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
                next_plane[p] += b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
                last_plane[p] += c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
        for t in range(taps - taps % 3, taps):
            a0, a1, a2, a3 = weights[t, c], weights[t, c + 1], weights[t, c + 2], weights[t, c + 3]
            plane = planes[t]
            for p in range(count):
                plane[p] += a0 * first[p] + a1 * second[p] + a2 * third[p] + a3 * fourth[p]
    for c in range(whole, channels):
        first = source[begin + c * stride : begin + c * stride + count]
        for t in range(taps):
            w0 = weights[t, c]
            plane = planes[t]
            for p in range(count):
                plane[p] += w0 * first[p]


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _project_channels_last(
    source: NDArray[np.float32],
    begin: int,
    channels: int,
    weights: NDArray[np.float32],
    planes: NDArray[np.float32],
    count: int,
) -> None:
    """Fill ``planes[t, :count]`` from ``A[c, p] = source[begin + p * channels + c]``."""
    for p in range(count):
        pixel = source[begin + p * channels : begin + (p + 1) * channels]
        for t in range(weights.shape[0]):
            row = weights[t]
            total = np.float32(0.0)
            for c in range(channels):
                total += row[c] * pixel[c]
            planes[t, p] = total


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _add_shifted(
    planes: NDArray[np.float32],
    first_row: int,
    rows: int,
    columns: int,
    row_targets: NDArray[np.int32],
    column_runs: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Add each tap's plane, which holds `rows` rows from `first_row` on, to the map."""
    for t in range(planes.shape[0]):
        for y in range(rows):
            target = row_targets[t, first_row + y]
            if target < 0:
                continue
            plane = planes[t, y * columns : (y + 1) * columns]
            line = out[target]
            for r in range(RUNS_PER_TAP):
                s0, ds, d0, dd, count = column_runs[t, r]
                if ds == 1 and dd == 1:
                    moved = line[d0 : d0 + count]
                    taken = plane[s0 : s0 + count]
                    for i in range(count):
                        moved[i] += taken[i]
                else:
                    for i in range(count):
                        line[d0 + i * dd] += plane[s0 + i * ds]


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _follow_channels_first(
    source: NDArray[np.float32],
    begin: int,
    stride: int,
    channels: int,
    numbers: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Fill `out` with a follower's mean; `numbers` are its weights, scales, shifts and bounds."""
    count = len(out)
    scales, shifts = numbers[channels : 2 * channels], numbers[2 * channels : 3 * channels]
    low, high = numbers[3 * channels], numbers[3 * channels + 1]
    for p in range(count):
        out[p] = np.float32(0.0)
    whole = channels - channels % 4
    for c in range(0, whole, 4):
        first = source[begin + c * stride : begin + c * stride + count]
        second = source[begin + (c + 1) * stride : begin + (c + 1) * stride + count]
        third = source[begin + (c + 2) * stride : begin + (c + 2) * stride + count]
        fourth = source[begin + (c + 3) * stride : begin + (c + 3) * stride + count]
        # Each channel has a weight of its own, though all are the same: so the sum is taken as in
        # `_project_channels_first`, to the bit.
        a0, a1, a2, a3 = numbers[c], numbers[c + 1], numbers[c + 2], numbers[c + 3]
        s0, s1, s2, s3 = scales[c], scales[c + 1], scales[c + 2], scales[c + 3]
        b0, b1, b2, b3 = shifts[c], shifts[c + 1], shifts[c + 2], shifts[c + 3]
        for p in range(count):
            v0 = _clip(first[p] * s0 + b0, low, high)
            v1 = _clip(second[p] * s1 + b1, low, high)
            v2 = _clip(third[p] * s2 + b2, low, high)
            v3 = _clip(fourth[p] * s3 + b3, low, high)
            out[p] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
    for c in range(whole, channels):
        first = source[begin + c * stride : begin + c * stride + count]
        a0, s0, b0 = numbers[c], scales[c], shifts[c]
        for p in range(count):
            out[p] += a0 * _clip(first[p] * s0 + b0, low, high)


@njit(cache=True, nogil=True, fastmath=_FLAGS)
def _follow_channels_last(
    source: NDArray[np.float32],
    begin: int,
    channels: int,
    numbers: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """The same where the channels of a pixel stand together."""
    scales, shifts = numbers[channels : 2 * channels], numbers[2 * channels : 3 * channels]
    low, high = numbers[3 * channels], numbers[3 * channels + 1]
    for p in range(len(out)):
        pixel = source[begin + p * channels : begin + (p + 1) * channels]
        total = np.float32(0.0)
        for c in range(channels):
            total += numbers[c] * _clip(pixel[c] * scales[c] + shifts[c], low, high)
        out[p] = total


@njit(cache=True, nogil=True)
def _clip(value: np.float32, low: np.float32, high: np.float32) -> np.float32:
    """The value within bounds; NaN stays NaN."""
    value = low if value < low else value
    return high if value > high else value


@njit(cache=True, nogil=True)
def _measure_range(values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    """Write minimum and maximum of `values`, or NaN twice if any value is not finite."""
    low = np.inf
    high = -np.inf
    finite = True
    for value in values:
        finite = finite and bool(np.isfinite(value))
        low = min(low, np.float64(value))
        high = max(high, np.float64(value))
    out[0] = low if finite else np.nan
    out[1] = high if finite else np.nan


@njit(cache=True, nogil=True)
def project_tasks(
    tasks: NDArray[np.int64],
    table: NDArray[np.int64],
    source: NDArray[np.float32],
    weights: NDArray[np.float32],
    row_targets: NDArray[np.int32],
    column_runs: NDArray[np.int32],
    maps: NDArray[np.float32],
    ranges: NDArray[np.float64],
) -> None:
    """Turn activations into maps, with their ranges.

    Parameters
    ----------
    tasks
        ``(n, 2)``: row of `table` and index of the sample.
    table
        ``(layers, TABLE_WIDTH)``: offsets and sizes by the column constants of this module.
    source
        All activations, one-dimensional; a layer's samples are ``SAMPLE_STRIDE`` apart.
    weights
        All layers' ``(T, C)`` tap weights, one after the other; of a follower ``C`` weights,
        scales and shifts, and two bounds.
    row_targets
        All layers' ``(T, ROWS_IN)`` target rows, ``-1`` where a row falls off the map.
    column_runs
        All layers' ``(T, RUNS_PER_TAP, RUN_WIDTH)`` runs of columns.
    maps
        ``(samples, sum of map sizes)``, written.
    ranges
        ``(samples, layers, 2)``: minimum and maximum of each map, NaN where not finite, written.
    """
    for task in range(tasks.shape[0]):
        layer, sample = tasks[task]
        row = table[layer]
        begin = row[SOURCE] + sample * row[SAMPLE_STRIDE]
        channels, height, width, taps = row[CHANNELS], row[ROWS_IN], row[COLUMNS_IN], row[TAPS]
        size = row[ROWS_OUT] * row[COLUMNS_OUT]
        values = maps[sample, row[MAP] : row[MAP] + size]
        values[:] = np.float32(0.0)
        if row[KIND] == FLAT:
            # Not as a slice: to compile its error message takes longer than all that is here.
            for i in range(channels):
                values[i] = source[begin + i]
        else:
            out = values.reshape(row[ROWS_OUT], row[COLUMNS_OUT])
            w = weights[row[WEIGHTS] : row[WEIGHTS] + taps * channels].reshape(taps, channels)
            targets = row_targets[row[ROW_TARGETS] : row[ROW_TARGETS] + taps * height]
            runs_size = taps * RUNS_PER_TAP * RUN_WIDTH
            runs = column_runs[row[COLUMN_RUNS] : row[COLUMN_RUNS] + runs_size]
            block = max(1, min(height, _BLOCK // max(1, width)))
            planes = np.empty((taps, block * width), np.float32)
            for top in range(0, height, block):
                rows = min(block, height - top)
                count = rows * width
                if row[KIND] == CHANNELS_FIRST:
                    at = begin + top * width
                    _project_channels_first(source, at, height * width, channels, w, planes, count)
                else:
                    at = begin + top * width * channels
                    _project_channels_last(source, at, channels, w, planes, count)
                _add_shifted(
                    planes,
                    top,
                    rows,
                    width,
                    targets.reshape(taps, height),
                    runs.reshape(taps, RUNS_PER_TAP, RUN_WIDTH),
                    out,
                )
                follower = row[FOLLOWER]
                while follower != NONE:
                    other = table[follower]
                    numbers = weights[other[WEIGHTS] : other[WEIGHTS] + 3 * channels + 2]
                    place = other[MAP] + top * width
                    mean = maps[sample, place : place + count]
                    if row[KIND] == CHANNELS_FIRST:
                        _follow_channels_first(source, at, height * width, channels, numbers, mean)
                    else:
                        _follow_channels_last(source, at, channels, numbers, mean)
                    follower = other[FOLLOWER]
        _measure_range(values, ranges[sample, layer])
        follower = row[FOLLOWER]
        while follower != NONE:
            other = table[follower]
            _measure_range(
                maps[sample, other[MAP] : other[MAP] + height * width], ranges[sample, follower]
            )
            follower = other[FOLLOWER]
