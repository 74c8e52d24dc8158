"""What a sample looks like by itself: a picture, a strip of a table, or waveforms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import grid_input, view_activation, view_inputs
from micam_fast.core.layers import ModelInput
from micam_fast.samples.arrays import Arrays
from micam_fast.samples.pictures import PixelRules

_LONGEST_SIDE = 150
"""Cells along a side of a picture or strip; a poster shows it about 85 pixels high."""
_MOST_COLUMNS = 200
"""Of a waveform."""
_KEPT_BYTES = 100_000
"""Of the largest array that is kept whole until somebody asks for its picture."""
_MOST_LEADS, _SHORTEST_LEAD = 16, 4
"""Channels that are drawn as lines, and how many times their number of steps there must be."""
_FEWEST_STEPS = 16
_MOST_CHANNELS = 4
"""A picture file has no more; of further channels only the mean is shown."""
_CONSTANT = 128
"""Grey of a sample that has one value everywhere."""
_CROWDED = 0.1
"""Share of the range in which the middle 80 % of the values are hardly told apart."""


@dataclass(frozen=True, eq=False)
class OwnPicture:
    """A sample as it is shown beside its name: small, and in colours already.

    Attributes
    ----------
    kind
        ``"picture"``, ``"strip"`` for values without a second spatial axis (time or columns from
        left to right, features from top to bottom), or ``"waveform"`` for few channels over time.
    pixels
        ``(h, w, 3)`` uint8, at most 150 x 150, ``(h, w, 4)`` where a cell is not finite, which is
        transparent; ``None`` for a waveform.
    series
        ``(channels, columns, 2)`` float32: the smallest and largest value in each of at most 200
        columns, NaN where none is finite; ``None`` but for a waveform.
    bounds
        The values that are black and white, or the smallest and largest of a waveform, after cells
        were averaged; ``None`` where `pixels` are a file's own colours.
    is_log
        Whether the greys between the bounds are logarithms of the distance to the median: else a
        few large values of one channel would leave all others black.
    size
        Of the whole input: ``(rows, columns)`` of a picture or strip, ``(channels, steps)`` of a
        waveform.
    slice
        Which slice or frame a picture shows, from 0, and of how many; ``None`` where there is one.
    further_inputs
        How many inputs the model has that are not shown.
    """

    kind: Literal["picture", "strip", "waveform"]
    pixels: NDArray[np.uint8] | None
    series: NDArray[np.float32] | None
    bounds: tuple[float, float] | None
    size: tuple[int, int]
    slice: tuple[int, int] | None = None
    further_inputs: int = 0
    is_log: bool = False


@dataclass(frozen=True, eq=False)
class _Cells:
    """A picture or strip without colours.

    `codes` are ``(h, w, C)`` values, in all steps of their type between the bounds: 65,536 of one
    channel, of which a table's largest value must leave some to the others, else 256.
    """

    codes: NDArray[np.uint8] | NDArray[np.uint16]
    finite: NDArray[np.bool_] | None
    bounds: tuple[float, float]
    kind: Literal["picture", "strip"]
    size: tuple[int, int]
    slice: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class _Lines:
    """Waveforms; `series` as in `OwnPicture`."""

    series: NDArray[np.float32]
    bounds: tuple[float, float]
    size: tuple[int, int]


_Small: TypeAlias = _Cells | _Lines | None


class FedSample:
    """What a model was fed for a sample, as far as its own picture needs it: at most 100 kB."""

    __slots__ = ("_given", "_shown")

    def __init__(self, shown: ShownInput, given: NDArray[Any] | _Small) -> None:
        self._shown, self._given = shown, given

    def picture(self, pixel_rules: Mapping[str, PixelRules] | None) -> OwnPicture | None:
        """The sample's own picture; ``None`` where no value is finite, or its axes are unknown.

        Parameters
        ----------
        pixel_rules
            By input name: how the pixels of a picture file became its array, if there is such a
            file. Such an input is shown in the file's colours; any other from its smallest to its
            largest value, three channels as red, green and blue, and the mean over any other
            number of channels.
        """
        if isinstance(self._given, np.ndarray):
            self._given = self._shown.shrink(self._given)
        small, shown = self._given, self._shown
        if small is None:
            return None
        if isinstance(small, _Lines):
            return OwnPicture(
                "waveform", None, small.series, small.bounds, small.size, None, shown.further
            )
        rules = None if pixel_rules is None else pixel_rules.get(shown.name)
        pixels = None if rules is None else _file_pixels(small, rules)
        bounds, is_log = None, False
        if pixels is None:
            pixels, bounds, is_log = _stretched(small)
        return OwnPicture(
            small.kind,
            _with_gaps(pixels, small.finite),
            None,
            bounds,
            small.size,
            small.slice,
            shown.further,
            is_log,
        )


class ShownInput:
    """The input whose values a sample's own picture shows: the one that gives ``Hin x Win``.

    Attributes
    ----------
    name
        Of the input.
    further
        How many others the model has.
    """

    def __init__(self, inputs: Sequence[ModelInput]) -> None:
        shapes = {spec.name: tuple(size or 1 for size in spec.shape) for spec in inputs}
        self._spec = inputs[grid_input(view_inputs(inputs, shapes))]
        self.name = self._spec.name
        self.further = len(inputs) - 1

    def keep(self, sample: Arrays) -> FedSample:
        """Keep a copy of a small array, and of a large one what its picture needs."""
        array = sample[self.name]
        # A view would keep the whole batch in memory, and show what is written there later.
        return FedSample(self, array.copy() if array.nbytes <= _KEPT_BYTES else self.shrink(array))

    def shrink(self, array: NDArray[Any]) -> _Small:
        """What the picture of a sample needs, whatever the size of its array."""
        if not array.size:
            return None
        batch = self._spec.axes.batch
        fed = array if batch is None else np.expand_dims(array, batch)
        view = view_activation(fed.shape, self._spec.axes, "channels", batch)
        values = view.arrange(fed, 0)[0]
        if not view.space and array.ndim > 2:
            # Nothing says which of the axes are seen.
            return None
        if not view.space:
            columns = array.shape[-1] if array.ndim else 1
            return _shrink_cells(values.reshape((1, -1, columns)), "strip")
        if len(view.space) == 1:
            channels, steps = values.shape
            few = channels <= _MOST_LEADS and steps >= max(_FEWEST_STEPS, _SHORTEST_LEAD * channels)
            return _shrink_lines(values) if few else _shrink_cells(values[np.newaxis], "strip")
        count = values.shape[1] if len(view.space) == 3 else 1
        if len(view.space) == 3:
            values = values[:, count // 2]
        if 1 in values.shape[1:]:
            # Channels of a single row or column are features, not colours.
            return _shrink_cells(values.reshape((1, len(values), -1)), "strip")
        return _shrink_cells(values, "picture", None if count == 1 else (count // 2, count))


def _shrink_cells(
    values: NDArray[np.float32],
    kind: Literal["picture", "strip"],
    chosen: tuple[int, int] | None = None,
) -> _Small:
    """Values ``(C, h, w)``, of which the means of blocks are kept."""
    size = values.shape[1:]
    steps = tuple(math.ceil(each / _LONGEST_SIDE) for each in size)
    with np.errstate(over="ignore", invalid="ignore"):
        if len(values) not in (1, 3, _MOST_CHANNELS):
            values = values.mean(axis=0, keepdims=True)
        # A picture keeps its proportions.
        across, along = steps if kind == "strip" else (max(steps), max(steps))
        cells = _block_means(_block_means(values, 1, across), 2, along)
    finite: NDArray[np.bool_] | None = None
    known = cells
    low, high = float(cells.min()), float(cells.max())
    if not math.isfinite(high - low):
        finite = np.asarray(np.isfinite(cells).all(axis=0))
        known = cells[:, finite]
        if not known.size:
            return None
        low, high = float(known.min()), float(known.max())
        cells = np.where(finite, cells, np.float32(low))
    kind_of_code = np.iinfo(np.uint16 if len(cells) == 1 else np.uint8)
    if high == low:
        codes = np.zeros(cells.shape, kind_of_code.dtype)
    else:
        # No difference of two float32 is infinite in float64, which takes longer.
        wide = high - low > float(np.finfo(np.float32).max)
        scaled = cells - np.array(low, np.float64 if wide else np.float32)
        scaled *= kind_of_code.max / (high - low)
        scaled += 0.5
        codes = scaled.astype(kind_of_code.dtype)
    codes = np.ascontiguousarray(np.moveaxis(codes, 0, -1))
    codes.flags.writeable = False
    if finite is not None and finite.all():
        finite = None
    return _Cells(codes, finite, (low, high), kind, (size[0], size[1]), chosen)


def _shrink_lines(values: NDArray[np.float32]) -> _Small:
    """Channels over time ``(C, T)``: extremes of each column, so that no peak is lost."""
    channels, steps = values.shape
    block = math.ceil(steps / _MOST_COLUMNS)
    columns = math.ceil(steps / block)
    # The last value once more does not change the extremes of the last column.
    filled = np.pad(values, ((0, 0), (0, columns * block - steps)), mode="edge")
    # Extremes along a first axis take a fifth of the time of those along a short last one.
    blocks = np.ascontiguousarray(filled.reshape((channels, columns, block)).transpose((2, 0, 1)))
    series = np.stack([blocks.min(axis=0), blocks.max(axis=0)], axis=2)
    if not np.isfinite(series).all():
        known = np.where(np.isfinite(blocks), blocks, np.nan)
        series = np.stack([np.fmin.reduce(known, axis=0), np.fmax.reduce(known, axis=0)], axis=2)
        if np.isnan(series).all():
            return None
    series = np.asarray(series, np.float32)
    series.flags.writeable = False
    bounds = float(np.nanmin(series)), float(np.nanmax(series))
    return _Lines(series, bounds, (channels, steps))


def _block_means(values: NDArray[np.float32], axis: int, block: int) -> NDArray[np.float32]:
    """Means of `block` neighbours along an axis; the last of fewer, where some are left."""
    if block == 1:
        return values
    whole = values.shape[axis] // block * block

    def part(begin: int, end: int, step: int) -> NDArray[np.float32]:
        return values[(slice(None),) * axis + (slice(begin, end, step),)]

    # Slices: sums over a short axis of their own take ten times as long.
    means = part(0, whole, block) + part(1, whole, block)
    for place in range(2, block):
        means += part(place, whole, block)
    means *= np.float32(1 / block)
    if whole == values.shape[axis]:
        return means
    rest = part(whole, values.shape[axis], 1).mean(axis=axis, keepdims=True)
    return np.concatenate([means, rest], axis=axis)


def _stretched(cells: _Cells) -> tuple[NDArray[np.uint8], tuple[float, float], bool]:
    """Colours from the smallest to the largest value, these values, and whether by logarithms."""
    low, high = cells.bounds
    if high == low:
        return np.full((*cells.codes.shape[:2], 3), _CONSTANT, np.uint8), cells.bounds, False
    if cells.codes.shape[-1] == 3:
        return np.asarray(cells.codes, np.uint8), cells.bounds, False
    steps = np.iinfo(cells.codes.dtype).max
    values = cells.codes.mean(axis=-1, dtype=np.float64)
    known = values if cells.finite is None else values[cells.finite]
    first, last = float(known.min()), float(known.max())
    bounds = low + first * (high - low) / steps, low + last * (high - low) / steps
    if first == last:
        return np.full((*values.shape, 3), _CONSTANT, np.uint8), bounds, False
    spread = _spread_out(known)
    if spread is not None:
        middle, unit = spread
        values = np.arcsinh((values - middle) / unit)
        first, last = (math.asinh((each - middle) / unit) for each in (first, last))
    grey = np.clip((values - first) * (255 / (last - first)) + 0.5, 0, 255).astype(np.uint8)
    return _as_grey(grey[..., np.newaxis]), bounds, spread is not None


def _spread_out(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Median and median distance to it, where most values lie in a small part of the range.

    The most frequent value is left out: nothing is hidden by the ground of a drawing.
    """
    kinds, counts = np.unique(values, return_counts=True)
    if len(kinds) < 3:
        return None
    told_apart = values[values != kinds[counts.argmax()]]
    least, middle, most = np.percentile(told_apart, (10, 50, 90))
    unit = float(np.median(np.abs(told_apart - middle)))
    if unit == 0 or most - least > _CROWDED * (kinds[-1] - kinds[0]):
        return None
    return float(middle), unit


def _file_pixels(cells: _Cells, rules: PixelRules) -> NDArray[np.uint8] | None:
    """The file's own colours; ``None`` where its values are no bytes."""
    if cells.kind != "picture":
        return None
    low, high = cells.bounds
    pixels = rules.undo(low + cells.codes * ((high - low) / np.iinfo(cells.codes.dtype).max))
    largest = pixels.max()
    # Half a step more or less: the values were rounded to 256 of them. Pictures of floats from 0
    # to 1 would be black.
    if not (np.isfinite(pixels).all() and pixels.min() >= -0.5 and 1 < largest <= 255.5):
        return None
    if pixels.shape[-1] == _MOST_CHANNELS:
        # As the white page shows it.
        alpha = pixels[..., 3:] / 255
        pixels = pixels[..., :3] * alpha + 255 * (1 - alpha)
    return _as_grey(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _as_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Red, green and blue; the same for all three where there is one channel."""
    return pixels if pixels.shape[-1] == 3 else np.repeat(pixels[..., :1], 3, axis=-1)


def _with_gaps(pixels: NDArray[np.uint8], finite: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Pixels of which those that are not finite are transparent."""
    if finite is None:
        return pixels
    return np.dstack([pixels, np.where(finite, 255, 0).astype(np.uint8)])
