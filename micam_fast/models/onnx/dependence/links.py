"""Which positions along an axis an operator reads for each position that it makes.

All tables are ``(taps, size)`` with places in the source; -1 where there is nothing to read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.intp]


def window_link(
    size: int, source: int, kernel: int, stride: int, dilation: int, begin: int
) -> Table:
    """A convolution's or pool's window along an axis, with padding before the first position."""
    taps = np.arange(kernel)[:, np.newaxis] * dilation - begin
    return _within(np.arange(size) * stride + taps, source)


def spread_link(
    size: int, source: int, kernel: int, stride: int, dilation: int, begin: int
) -> Table:
    """A transposed convolution's window; parameters as in `window_link`."""
    taps = np.arange(kernel)[:, np.newaxis] * dilation - begin
    places, rest = np.divmod(np.arange(size) - taps, stride)
    return np.where(rest == 0, _within(places, source), -1)


def group_link(size: int, source: int, groups: int) -> Table:
    """Channels of a grouped convolution, each of which reads all of its group."""
    each = source // groups
    group = np.arange(size) // (size // groups)
    return np.asarray(group * each + np.arange(each)[:, np.newaxis], np.intp)


def pad_link(source: int, before: int, after: int, mode: str) -> Table:
    """A Pad; negative padding cuts off."""
    places = np.arange(-before, source + after)
    if mode == "edge":
        places = places.clip(0, source - 1)
    elif mode == "wrap":
        places = places % source
    elif mode == "reflect":
        period = max(1, 2 * (source - 1))
        places = (source - 1) - np.abs(places % period - (source - 1))
    elif mode != "constant":
        raise ValueError(f"Pad with mode {mode!r}")
    return _within(places, source)[np.newaxis]


def slice_link(source: int, start: int, stop: int, step: int) -> Table:
    """A Slice along an axis, its numbers counted from the end and clamped as ONNX does."""
    lowest, highest = (0, source) if step > 0 else (-1, source - 1)
    first, last = (
        min(max(place + source if place < 0 else place, lowest), highest) for place in (start, stop)
    )
    return np.arange(max(first, 0), last, step)[np.newaxis]


def place_link(size: int, source: int, offset: int) -> Table:
    """A part of a Concat: where it lies in the whole."""
    return _within(np.arange(size) - offset, source)[np.newaxis]


def resize_link(
    size: int,
    source: int,
    *,
    scale: float,
    mode: str,
    coordinates: str,
    nearest: str,
    exclude_outside: bool,
) -> Table:
    """A Resize or Upsample along an axis, in float32 as ONNX Runtime computes it.

    The texts are ONNX's attributes ``mode``, ``coordinate_transformation_mode`` and
    ``nearest_mode``; `exclude_outside` lets a cubic leave out what lies beyond the border.
    """
    places = _source_coordinates(size, source, np.float32(scale), coordinates)
    if mode == "nearest":
        chosen = _nearest(places, nearest, shrinks=scale < 1)
        return chosen.clip(0, source - 1)[np.newaxis]
    if mode == "linear":
        places = places.clip(0, source - 1)
    first = np.floor(places).astype(np.intp)
    between = places != first
    if mode == "linear":
        return np.stack([first, np.where(between, np.minimum(first + 1, source - 1), -1)])
    if mode != "cubic":
        raise ValueError(f"Resize with mode {mode!r}")
    taps = first + np.arange(-1, 3)[:, np.newaxis]
    # A cubic's weights at a position itself are 0, 1, 0, 0.
    read = between | (np.arange(-1, 3)[:, np.newaxis] == 0)
    inside = _within(taps, source) if exclude_outside else taps.clip(0, source - 1)
    return np.where(read, inside, -1)


def _source_coordinates(
    size: int, source: int, scale: np.float32, coordinates: str
) -> NDArray[np.float32]:
    places = np.arange(size, dtype=np.float32)
    half = np.float32(0.5)
    if coordinates == "asymmetric":
        return places / scale
    if coordinates == "align_corners":
        if size == 1:
            return np.zeros(1, np.float32)
        return places * np.float32(source - 1) / np.float32(size - 1)
    if coordinates == "tf_half_pixel_for_nn":
        return (places + half) / scale
    if coordinates == "pytorch_half_pixel" and size == 1:
        return np.zeros(1, np.float32)
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        return (places + half) / scale - half
    raise ValueError(f"Resize with coordinates {coordinates!r}")


def _nearest(places: NDArray[np.float32], nearest: str, *, shrinks: bool) -> Table:
    half = np.float32(0.5)
    if nearest == "simple":
        # Before opset 11.
        nearest = "ceil" if shrinks else "floor"
    # How to round, and what is added before.
    ways: dict[str, tuple[Any, Any]] = {
        "floor": (np.floor, 0),
        "ceil": (np.ceil, 0),
        "round_prefer_floor": (np.ceil, -half),
        "round_prefer_ceil": (np.floor, half),
    }
    if nearest not in ways:
        raise ValueError(f"Resize with nearest mode {nearest!r}")
    rounded, shift = ways[nearest]
    return np.asarray(rounded(places + shift), np.intp)


def _within(places: NDArray[np.intp], source: int) -> Table:
    return np.where((places >= 0) & (places < source), places, -1)
