"""The tables that tell the loops where each layer's activation lies and how it becomes a map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops import maps as loops
from micam_fast.core.activation_axes import ActivationAxes
from micam_fast.core.choices import Projection
from micam_fast.core.layers import Pointwise, Tap
from micam_fast.maps.bounds import check_rows, check_view, find_fitting_taps
from micam_fast.maps.flat_maps import flat_size
from micam_fast.maps.taps import SummedKernel, Taps, counts_kernel

Weigh = Callable[[str], SummedKernel]
"""Gives the summed kernel of a convolution by the layer's name."""


class LoopTables:
    """Rows of `loops.project_tasks` for so many layers, made one after the other.

    The other parameters are as of `MapPlan`. What a file says of a layer may not fit its
    activation: adding the layer raises a `SampleError` then, or `check` does once all are there.

    Attributes
    ----------
    rows
        ``(layers, TABLE_WIDTH)`` int64.
    sizes
        ``(h', w')`` of each map.
    staged
        Begin and size, by layer, of the activations that must be copied first.
    staged_size
        Float32 values that these copies take.
    total
        Cells of all maps of a sample.
    even
        Layers with an all-zero bias.
    weighted
        Layers whose map is made with a kernel.
    unread
        Layers with cells of the activation that no cell of the map depends on.
    """

    def __init__(
        self,
        layers: int,
        shapes: Mapping[str, tuple[int, ...]],
        input_size: tuple[int, int],
        batch_size: int,
        weigh: Weigh,
        projection: Projection,
    ) -> None:
        self._shapes, self._input_size, self._batch_size = shapes, input_size, batch_size
        self._weigh, self._projection = weigh, projection
        self.rows = np.zeros((layers, loops.TABLE_WIDTH), np.int64)
        self.rows[:, loops.FOLLOWER] = loops.NONE
        self._index: dict[str, int] = {}
        # Of each layer: begin and end of its activation among all, and its values in a sample.
        self._arrays: list[tuple[int, int, int]] = []
        self._leaders: list[int] = []
        self._weights, self._targets = _GrowingArray(np.float32), _GrowingArray(np.int32)
        self._runs = _GrowingArray(np.int32)
        self.sizes: list[tuple[int, int]] = []
        self.staged: dict[str, tuple[int, int]] = {}
        self.staged_size = self.total = 0
        self.even: set[str] = set()
        self.weighted: set[str] = set()
        self.unread: list[str] = []

    @property
    def numbers(self) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        """Weights, row targets and column runs of all layers."""
        return self._weights.whole(), self._targets.whole(), self._runs.whole()

    @property
    def reach(self) -> int:
        """Float32 values that the arena must hold."""
        staged = {self._index[name] for name in self.staged}
        read = zip(self._arrays, self._leaders, strict=True)
        return max((end for (_, end, _), leader in read if leader not in staged), default=0)

    def check(self) -> None:
        """Raise if a row leads out of an array."""
        numbers = self._weights.size, self._targets.size, self._runs.size
        check_rows(
            tuple(self._index),
            self.rows,
            np.array(self._leaders, np.int64),
            np.array(self._arrays, np.int64).reshape(-1, 3),
            self._batch_size,
            (*numbers, self.total),
        )

    def add_reader(self, name: str, tap: Tap, view: ActivationAxes, offset: int | None) -> None:
        """Add a layer that reads its own activation.

        The activation begins at `offset` in the arena; ``None`` if it must be copied first.
        """
        check_view(name, tap, view, self._batch_size)
        row = self._next(name, name)
        kind = None if offset is None else _read_as_it_is(view)
        size = math.prod(view.shape)
        if kind is None or offset is None:
            kind = loops.CHANNELS_FIRST if view.space else loops.FLAT
            # A value without a batch axis serves all samples.
            size = view.count * (1 if view.batch is None else self._batch_size)
            self.staged[name] = self.staged_size, size
            offset = self.staged_size
            self.staged_size += size
        self._arrays.append((offset, offset + size, view.count))
        stride = view.count
        if name not in self.staged and view.frame is not None:
            # Where it lies, the other frames lie, too.
            stride, offset = view.count * view.copies, offset + view.frame * view.count
        row[loops.KIND], row[loops.SOURCE] = kind, offset
        row[loops.SAMPLE_STRIDE] = 0 if view.batch is None else stride
        taps = self._find_taps(name, tap, view)
        if taps is None:
            row[loops.CHANNELS] = view.count
            self._place(row, flat_size(view.count, self._input_size))
            return
        row[loops.CHANNELS] = taps.weights.shape[1]
        row[loops.TAPS] = len(taps.weights)
        row[loops.ROWS_IN] = taps.rows.shape[1]
        row[loops.COLUMNS_IN] = view.size[-1]
        row[loops.WEIGHTS] = self._weights.add(taps.weights)
        row[loops.ROW_TARGETS] = self._targets.add(taps.rows)
        row[loops.COLUMN_RUNS] = self._runs.add(taps.columns)
        # The published projection reaches every cell by tap (0, 0).
        if self._projection == "transposed" and taps.leaves_out_cells(view.size[-1]):
            self.unread.append(name)
        self._place(row, taps.size)

    def add_follower(
        self, name: str, view: ActivationAxes, pointwise: Pointwise, leader: str
    ) -> None:
        """Add a layer whose mean is taken while its leader's activation is read."""
        row = self._next(name, leader)
        self._arrays.append(self._arrays[self._index[leader]])
        row[loops.KIND] = loops.FOLLOWS
        planes = view.channel_count * (view.size[0] if len(view.size) == 3 else 1)
        each, whole = planes // len(pointwise.scale), planes * view.taken
        numbers = [
            np.full(whole, 1.0 / whole, np.float32),
            np.tile(np.repeat(pointwise.scale, each), view.taken),
            np.tile(np.repeat(pointwise.shift, each), view.taken),
            np.array([pointwise.low, pointwise.high], np.float32),
        ]
        row[loops.WEIGHTS] = self._weights.add(np.concatenate(numbers))
        self._place(row, (1, *view.size)[-2:])
        first = self.rows[self._index[leader]]
        row[loops.FOLLOWER], first[loops.FOLLOWER] = first[loops.FOLLOWER], self._index[name]

    def _next(self, name: str, leader: str) -> NDArray[np.int64]:
        self._index[name] = len(self._index)
        self._leaders.append(self._index[leader])
        return np.asarray(self.rows[self._index[name]])

    def _place(self, row: NDArray[np.int64], size: tuple[int, ...]) -> None:
        height, width = size
        row[loops.MAP], row[loops.ROWS_OUT], row[loops.COLUMNS_OUT] = self.total, height, width
        self.sizes.append((height, width))
        self.total += height * width

    def _find_taps(self, name: str, tap: Tap, view: ActivationAxes) -> Taps | None:
        """Taps of a layer, ``None`` for a flat one."""
        if not view.space:
            return None
        kernel = self._weigh(name) if counts_kernel(tap, self._projection) else None
        if kernel is not None and kernel.even:
            self.even.add(name)
        read = self._shapes.get(tap.source) if tap.source is not None else None
        taps = find_fitting_taps(
            name, tap, view.size, view.channel_count, kernel, read, self._projection
        )
        if taps.weighted:
            self.weighted.add(name)
        return taps.averaged(view.taken)


class _GrowingArray:
    """Arrays one after the other in one."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._parts: list[NDArray[Any]] = [np.empty(0, dtype)]
        self.size = 0

    def add(self, part: NDArray[Any]) -> int:
        """Append an array, and tell where it begins."""
        begin = self.size
        self._parts.append(part.reshape(-1))
        self.size += part.size
        return begin

    def whole(self) -> NDArray[Any]:
        """All of them."""
        return np.concatenate(self._parts)


def _read_as_it_is(view: ActivationAxes) -> int | None:
    """How the loops can read an array where it lies; ``None`` if it must be copied first."""
    if view.batch not in (None, 0):
        return None
    if not view.space:
        return None if view.folded else loops.FLAT
    if view.sample_axes == view.folded + view.channels + view.space:
        return loops.CHANNELS_FIRST
    if view.sample_axes == view.space + view.channels and len(view.space) < 3:
        return loops.CHANNELS_LAST
    return None
