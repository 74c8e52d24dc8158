"""Maps by SPEC's formulas from ONNX Runtime's activations, whatever a file says of its sizes.

A layer is known by what the formulas need: where its activation is, where its channels lie, its
kernel and how that walks. Nothing is taken from the package.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.helpers import reference
from tests.helpers.models import Array


@dataclass(frozen=True)
class Walk:
    """How a kernel in ONNX order walks; `pads` are the begins, ``None`` for "same"."""

    kernel: Array
    bias: Array | None
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int] | None
    groups: int
    transpose: bool
    output_padding: Sequence[int] = ()


@dataclass(frozen=True)
class Known:
    """A layer; `source` is what its convolution reads, and `source_channel` the axis there."""

    value: str
    channel: int | None
    form: str = "channels"
    walk: Walk | None = None
    source: str | None = None
    source_channel: int = 1
    extra: dict[str, Any] = field(default_factory=dict)


def expected_maps(
    layer: Known, values: Mapping[str, Array], size: tuple[int, int], projection: str
) -> Iterator[Array]:
    """The map; several where a file may be read in several ways."""
    whole = values[layer.value]
    if whole.shape[:1] == (1,):
        yield _map(layer, whole[0], _read(layer, values), size, projection)
        return
    # What is no batch of one sample: copies of it, or all of it is one.
    if whole.ndim > 0:
        found = [_map(layer, each, _read(layer, values), size, projection) for each in whole]
        yield np.mean(found, axis=0)
    yield _map(layer, whole, None, size, projection, first=0)


def _read(layer: Known, values: Mapping[str, Array]) -> tuple[int, ...] | None:
    if layer.source is None:
        return None
    shape = values[layer.source].shape[1:]
    channel = layer.source_channel - 1
    return shape[:channel] + shape[channel + 1 :]


def _map(
    layer: Known,
    one: Array,
    read: tuple[int, ...] | None,
    size: tuple[int, int],
    projection: str,
    first: int = 1,
) -> Array:
    channel = layer.channel
    if channel is not None:
        channel -= first
    elif one.ndim >= 2:
        channel = one.ndim - 1 if one.ndim == 2 or layer.extra.get("channels_last") else 0
    if layer.form == "recurrent" and one.ndim == 3:
        return reference.mean_map(one.reshape(len(one), -1))
    known = channel is not None and 0 <= channel < one.ndim
    if layer.form == "flat" or not 2 <= one.ndim <= 4 or not known:
        return reference.flat_map(one, *size)
    last = np.moveaxis(one, channel or 0, -1)
    walk = layer.walk
    if walk is None or walk.kernel.ndim != last.ndim + 1:
        return reference.mean_map(last)
    if projection == "published":
        # On a grid of one row a kernel of one row is a 1-D convolution's.
        pairs = enumerate(zip(last.shape[:-1], walk.kernel.shape[2:], strict=True))
        axis = next((axis for axis, pair in pairs if last.ndim == 3 and pair == (1, 1)), None)
        kernel = walk.kernel if axis is None else walk.kernel.squeeze(2 + axis)
        grid = last if axis is None else last.squeeze(axis)
        if walk.transpose:
            found = reference.published_conv_transpose(grid, kernel, walk.bias, walk.groups)
        else:
            turned = np.moveaxis(kernel, (0, 1), (-1, -2))
            found = reference.published_conv(grid, turned, walk.bias)
        return found.T if axis == 1 else found
    if read is None:
        return reference.mean_map(last)
    return reference.adjoint_map(
        last,
        walk.kernel,
        walk.bias,
        input_size=read,
        strides=walk.strides,
        pads_begin=_begins(walk, last.shape[:-1], read),
        dilations=walk.dilations,
        groups=walk.groups,
        transpose=walk.transpose,
    )


def _begins(walk: Walk, size: Sequence[int], read: Sequence[int]) -> Sequence[int]:
    """ONNX's rule for SAME_UPPER."""
    if walk.pads is not None:
        return walk.pads
    found = []
    for axis, kernel in enumerate(walk.kernel.shape[2:]):
        reach = (kernel - 1) * walk.dilations[axis] + 1
        total = (size[axis] - 1) * walk.strides[axis] + reach - read[axis]
        if walk.transpose:
            extra = walk.output_padding[axis] if walk.output_padding else 0
            total = walk.strides[axis] * (read[axis] - 1) + extra + reach - size[axis]
        found.append(max(total, 0) // 2)
    return found


def is_right(
    found: Any, layer: Known, values: Mapping[str, Array], size: tuple[int, int], projection: str
) -> bool:
    """Tell whether a `LayerMap` is one of those that may be."""
    activation = values[layer.value]
    largest = float(np.abs(activation, dtype=np.float64).max(initial=0))
    if not math.isfinite(largest):
        return found.bad_values is not None
    for expected in expected_maps(layer, values, size, projection):
        top = float(np.abs(expected).max(initial=0))
        if top > 1e30:
            # It may be too much for float32.
            return True
        if found.bad_values is not None or found.cam.shape != expected.shape:
            continue
        if np.abs(found.cam - expected).max(initial=0) <= 1e-4 * top + 1e-3 * largest:
            return True
    return False
