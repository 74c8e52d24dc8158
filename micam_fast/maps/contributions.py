"""What each channel of a layer adds to the layer's map.

The map of SPEC section 2 is a sum over the channels, ``CAM = sum_c D_c``. `contribute` gives the
summands ``D_c = s_c * (K_c applied to A_c)``, from the same taps and by the same loop as the map.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops import maps as loops
from micam_fast.maps.taps import Taps


def contribute(activation: NDArray[np.float32], taps: Taps) -> NDArray[np.float32]:
    """What each channel adds to the map.

    Parameters
    ----------
    activation
        ``(C, *space)`` with 1 to 3 axes of space.
    taps
        Of the layer, from `projections.find_taps`. Without a kernel they say ``A_c / C``; over
        depth they take the mean.

    Returns
    -------
    (C, h', w') float32
        Their sum over the channels is the map, but for rounding. All NaN for a channel that holds
        NaN or infinite values, or that overflows.
    """
    channels = len(activation)
    height, width = (1, *activation.shape[1:])[-2:]
    depth = taps.weights.shape[1] // channels
    count = len(taps.weights)
    size = math.prod(taps.size)
    # To the loop each channel is a layer of its own: its planes of depth are the layer's channels.
    weights = taps.weights.reshape(count, channels, depth).swapaxes(0, 1)
    numbers = np.arange(channels)
    table = np.zeros((channels, loops.TABLE_WIDTH), np.int64)
    table[:, loops.KIND] = loops.CHANNELS_FIRST
    table[:, loops.FOLLOWER] = loops.NONE
    table[:, loops.SOURCE] = numbers * (depth * height * width)
    table[:, loops.CHANNELS] = depth
    table[:, loops.ROWS_IN], table[:, loops.COLUMNS_IN] = height, width
    table[:, loops.WEIGHTS] = numbers * (count * depth)
    table[:, loops.TAPS] = count
    table[:, loops.MAP] = numbers * size
    table[:, loops.ROWS_OUT], table[:, loops.COLUMNS_OUT] = taps.size
    maps = np.empty((1, channels * size), np.float32)
    ranges = np.empty((1, channels, 2))
    loops.project_tasks(
        np.stack([numbers, np.zeros_like(numbers)], axis=1),
        table,
        np.ascontiguousarray(activation).reshape(-1),
        np.ascontiguousarray(weights).reshape(-1),
        taps.rows.reshape(-1),
        taps.columns.reshape(-1),
        maps,
        ranges,
    )
    found = maps.reshape(channels, *taps.size)
    # A value that no cell depends on must not be passed over, either.
    found[~finite_channels(activation) | np.isnan(ranges[0, :, 0])] = np.nan
    return found


def finite_channels(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which channels ``(C,)`` of ``(C, ...)`` hold neither NaN nor infinite values."""
    return np.asarray(np.isfinite(maps).reshape(len(maps), -1).all(axis=1))


def energy_shares(contributions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Which part of the map's energy each channel makes.

    With ``CAM = sum_c D_c`` it is ``share_c = <D_c, CAM> / <CAM, CAM>``, so that all shares
    together are 1. A channel that works against the map has a negative one.

    Parameters
    ----------
    contributions
        ``(C, h', w')`` from `contribute`. Channels that are not finite count as if they were not
        there.

    Returns
    -------
    (C,) float64
        NaN for a channel that is not finite; 0 for all others where the map is zero everywhere.
    """
    flat = contributions.reshape(len(contributions), -1)
    finite = finite_channels(flat)
    cam = flat.sum(axis=0, dtype=np.float64, where=finite[:, np.newaxis])
    # Not by BLAS: its threads would fight for the cores with those that draw.
    energy = float(np.square(cam).sum())
    shares = np.where(finite, 0.0, np.nan)
    if energy > 0:
        for channel in np.flatnonzero(finite):
            shares[channel] = float((flat[channel] * cam).sum()) / energy
    return shares
