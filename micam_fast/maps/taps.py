"""What a layer's map takes from its kernel, once per model: tap weights and shifts.

Both projections of SPEC section 2 are linear in the activations, so the kernel is summed over its
input channels, multiplied by the channel weights and, for 3-D convolutions, summed over depth
beforehand. What is left for the loops is a ``(T, C)`` matrix and, for each of the ``T`` taps, where
a row and a column of the activation go on the map.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.maps import RUN_WIDTH, RUNS_PER_TAP
from micam_fast.core.activation_axes import step_axes
from micam_fast.core.choices import Projection
from micam_fast.core.layers import Geometry, Tap


@dataclass(frozen=True, eq=False)
class Taps:
    """How channels become a map.

    Attributes
    ----------
    weights
        ``(T, C)`` float32; for a 3-D convolution ``(T, C * depth)``, channels outermost.
    rows
        ``(T, h)`` int32: the map's row that a row of the activation goes to, -1 if to none.
    columns
        ``(T, RUNS_PER_TAP, RUN_WIDTH)`` int32: source start and step, target start and step, count.
    size
        ``(h', w')`` of the map.
    weighted
        Whether they hold a kernel; else the map is a mean.
    """

    weights: NDArray[np.float32]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    size: tuple[int, int]
    weighted: bool = False

    def averaged(self, copies: int) -> Taps:
        """The same taps for so many copies of all channels, one behind the other: their mean."""
        if copies == 1:
            return self
        return replace(self, weights=np.tile(self.weights, (1, copies)) / np.float32(copies))

    def leaves_out_cells(self, width: int) -> bool:
        """Tell whether some cell of an activation of this width reaches no cell of the map."""
        reached = np.zeros((self.rows.shape[1], width), bool)
        for rows, runs in zip(self.rows, self.columns, strict=True):
            for start, step, _, _, count in runs:
                reached[np.ix_(rows >= 0, start + step * np.arange(count))] = True
        return not reached.all()


def channel_weights(bias: NDArray[Any] | None, channels: int) -> NDArray[np.float64]:
    """SPEC section 2: ``b_c`` where the layer has a bias that is not all zero, else ``1/C``."""
    if bias is None or not np.any(bias):
        return np.full(channels, 1.0 / channels)
    return bias.astype(np.float64)


def mean_taps(channels: int, height: int, width: int, depth: int = 1) -> Taps:
    """The mean over channels, and over depth: a single tap that stays where it is."""
    weights = np.full((1, channels * depth), 1.0 / (channels * depth), np.float32)
    rows = np.arange(height, dtype=np.int32)[np.newaxis]
    return Taps(weights, rows, _runs([[(0, 1, 0, 1, width)]]), (height, width))


@dataclass(frozen=True, eq=False)
class SummedKernel:
    """A kernel summed over its input channels and multiplied by the channel weights.

    Attributes
    ----------
    values
        ``(C, *k)`` float64.
    geometry
        Of the convolution.
    even
        Whether the layer has a bias that is all zero, so that its channels count evenly.
    """

    values: NDArray[np.float64]
    geometry: Geometry
    even: bool

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return self.values.ndim - 1

    def without_axis(self, gone: int) -> SummedKernel:
        """The same convolution without a spatial axis along which the kernel's size is 1."""
        rank = self.rank

        def rest(values: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(value for axis, value in enumerate(values) if axis % rank != gone)

        by_axis = ("strides", "dilations", "pads", "output_padding", "output_shape")
        fewer: dict[str, Any] = {name: rest(getattr(self.geometry, name)) for name in by_axis}
        geometry = replace(self.geometry, **fewer)
        return SummedKernel(self.values.squeeze(gone + 1), geometry, self.even)


# Weights that are not finite, or too large, make maps that are not finite, and that is told.
_quietly = np.errstate(over="ignore", invalid="ignore")


@_quietly
def sum_kernel(kernel: NDArray[Any], bias: NDArray[Any] | None, geometry: Geometry) -> SummedKernel:
    """What both projections need of a convolution, once per model.

    Parameters
    ----------
    kernel
        ONNX order: ``(C, J/groups, *k)``, transposed convolution ``(J, C/groups, *k)``.
    bias
        ``(C,)`` or ``None``.
    geometry
        Strides, pads, dilations, groups.
    """
    if geometry.transpose:
        grouped = kernel.reshape((geometry.groups, -1, *kernel.shape[1:]))
        summed = np.asarray(grouped.sum(axis=1, dtype=np.float64))
        summed = summed.reshape((-1, *kernel.shape[2:]))
    else:
        summed = np.asarray(kernel.sum(axis=1, dtype=np.float64))
    weights = channel_weights(bias, len(summed)).reshape((-1,) + (1,) * (summed.ndim - 1))
    return SummedKernel(summed * weights, geometry, bias is not None and not np.any(bias))


def counts_kernel(tap: Tap, projection: Projection) -> bool:
    """Tell whether a layer's kernel takes part in its map; else that is a mean over channels."""
    return tap.geometry is not None and (tap.source is not None or projection == "published")


@_quietly
def find_taps(
    tap: Tap,
    size: tuple[int, ...],
    channels: int,
    kernel: SummedKernel | None,
    read: tuple[int, ...] | None,
    projection: Projection,
) -> Taps:
    """Taps of a layer that has channels and space, with or without a kernel.

    Parameters
    ----------
    size, channels
        Spatial size of its activation, 1 to 3 axes, and number of channels.
    kernel
        From `sum_kernel`; ``None`` where `counts_kernel` says that it takes no part.
    read
        Shape of the ONNX value ``tap.source``; only ``"transposed"`` looks at it.
    projection
        ``"published"`` or ``"transposed"``, see SPEC section 2.
    """
    gone, source_size = tap.squeezed, size
    if kernel is not None and projection == "transposed":
        assert read is not None
        left_out: tuple[int, ...] = (0, tap.source_channel)
        if tap.form == "distributed":
            left_out += step_axes(len(read), 0, tap.source_channel)
        source_size = tuple(size for axis, size in enumerate(read) if axis not in left_out)
    if kernel is not None and gone is not None and kernel.values.shape[1 + gone] == 1:
        kernel = kernel.without_axis(gone)
        if projection == "transposed":
            source_size = source_size[:gone] + source_size[gone + 1 :]
    if kernel is None or kernel.rank != len(size):
        height, width = (1, *size)[-2:]
        return mean_taps(channels, height, width, size[0] if len(size) == 3 else 1)
    if projection == "published":
        return _circular_taps(kernel.values, size)
    begins = kernel.geometry.begin_pads(kernel.values.shape[1:], size, source_size)
    return _adjoint_taps(kernel.values, kernel.geometry, begins, size, source_size)


def _circular_taps(kernel: NDArray[np.float64], size: tuple[int, ...]) -> Taps:
    """The published projection: circular, on the layer's own grid, spatially transposed.

    A kernel of one row on a grid of one row is that of a 1-D convolution, and so is one of one
    column: transposed, it would lose all taps but one.
    """
    if kernel.ndim == 2:
        kernel = kernel[:, np.newaxis]
        size = (1, *size)
    elif kernel.ndim == 4 or (1, 1) not in zip(kernel.shape[1:], size, strict=True):
        kernel = kernel.swapaxes(-1, -2)
    depth = 1
    if kernel.ndim == 4:
        # A circular shift along depth does not change the mean over depth.
        depth, *rest = size
        size = tuple(rest)
        kernel = np.repeat(kernel[:, :depth].sum(axis=1), depth, axis=0) / depth
    height, width = size
    kernel = kernel[:, :height, :width]
    shifts = [(u, v) for u in range(kernel.shape[1]) for v in range(kernel.shape[2])]
    weights = np.ascontiguousarray(kernel.reshape(len(kernel), -1).T, np.float32)
    rows = np.array([(np.arange(height) + u) % height for u, _ in shifts], np.int32)
    columns = [[(0, 1, v, 1, width - v), (width - v, 1, 0, 1, v)] for _, v in shifts]
    return Taps(weights, rows, _runs(columns), (height, width), weighted=True)


def _adjoint_taps(
    kernel: NDArray[np.float64],
    geometry: Geometry,
    begins: tuple[int, ...],
    size: tuple[int, ...],
    source_size: tuple[int, ...],
) -> Taps:
    """The adjoint of the layer's own linear map, on the grid of what the layer reads.

    The layer links position ``y`` of its finer side with position ``x`` of its coarser side and tap
    ``k`` where ``y = x * stride + k * dilation - pad``. The finer side is a convolution's input
    and a transposed convolution's output.
    """
    strides, dilations = geometry.strides, geometry.dilations
    if kernel.ndim == 2:
        kernel = kernel[:, np.newaxis]
        size, source_size = (1, *size), (1, *source_size)
        strides, dilations, begins = (1, *strides), (1, *dilations), (0, *begins)
    links = _gathering_link if geometry.transpose else _scattering_link
    if kernel.ndim == 4:
        kernel = _fold_depth(kernel, links, strides, dilations, begins, size, source_size)
        size, source_size = size[1:], source_size[1:]
        strides, dilations, begins = strides[1:], dilations[1:], begins[1:]
    height, width = size
    rows, columns = [], []
    for v, u in itertools.product(range(kernel.shape[1]), range(kernel.shape[2])):
        targets = np.full(height, -1, np.int32)
        shift = v * dilations[0] - begins[0]
        s0, ds, d0, dd, count = links(strides[0], shift, height, source_size[0])
        steps = np.arange(count)
        targets[s0 + ds * steps] = d0 + dd * steps
        rows.append(targets)
        columns.append([links(strides[1], u * dilations[1] - begins[1], width, source_size[1])])
    weights = np.ascontiguousarray(kernel.reshape(len(kernel), -1).T, np.float32)
    size = source_size[0], source_size[1]
    return Taps(weights, np.array(rows, np.int32), _runs(columns), size, weighted=True)


def _scattering_link(stride: int, shift: int, size: int, target: int) -> tuple[int, ...]:
    """Run of a convolution: position ``x`` goes to ``x * stride + shift`` within the target."""
    first = max(0, math.ceil(-shift / stride))
    last = min(size - 1, (target - 1 - shift) // stride)
    return first, 1, first * stride + shift, stride, max(0, last - first + 1)


def _gathering_link(stride: int, shift: int, size: int, target: int) -> tuple[int, ...]:
    """Run of a transposed convolution: ``x * stride + shift`` goes to ``x``."""
    target_start, _, source_start, step, count = _scattering_link(stride, shift, target, size)
    return source_start, step, target_start, 1, count


def _fold_depth(
    kernel: NDArray[np.float64],
    links: Callable[[int, int, int, int], tuple[int, ...]],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    begins: tuple[int, ...],
    size: tuple[int, ...],
    source_size: tuple[int, ...],
) -> NDArray[np.float64]:
    """Kernels ``(C * depth, kh, kw)`` whose map is the mean over the depth of the 3-D map."""
    depth = size[0]
    folded = np.zeros((len(kernel), depth, *kernel.shape[2:]))
    for k in range(kernel.shape[1]):
        shift = k * dilations[0] - begins[0]
        start, step, _, _, count = links(strides[0], shift, depth, source_size[0])
        folded[:, start : start + step * count : step] += kernel[:, k : k + 1]
    return folded.reshape((-1, *kernel.shape[2:])) / source_size[0]


def _runs(columns: Sequence[Sequence[tuple[int, ...]]]) -> NDArray[np.int32]:
    runs = np.zeros((len(columns), RUNS_PER_TAP, RUN_WIDTH), np.int32)
    runs[:, :, 1] = runs[:, :, 3] = 1
    for tap, each in enumerate(columns):
        runs[tap, : len(each)] = each
    return runs
