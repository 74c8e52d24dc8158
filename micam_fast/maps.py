"""Activations of a batch to maps and their ranges, by tables that are made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops import maps as loops
from micam_fast.choices import Projection
from micam_fast.layers import Shape, Tap
from micam_fast.projections import (
    SummedKernel,
    Taps,
    convolution_taps,
    mean_taps,
)
from micam_fast.views import View, flat_size, view_activation

Weigh = Callable[[str], SummedKernel]
"""Gives the summed kernel of a convolution by the layer's name."""


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of a batch.

    Attributes
    ----------
    values
        ``(samples, total)`` float32, each layer's map where `slots` says.
    ranges
        ``(samples, layers, 2)`` float64: minimum and maximum, NaN for a map that is not finite.
    bad_values
        By (sample, layer name): how many activation values are NaN or infinite.
    """

    values: NDArray[np.float32]
    ranges: NDArray[np.float64]
    bad_values: Mapping[tuple[int, str], int]


class MapPlan:
    """Tables that turn activations of known shapes into maps.

    Parameters
    ----------
    taps
        The layers to map, by name.
    shapes
        Shapes of the activations, and of what convolutions read, by ONNX value.
    offsets
        Where in the arena a float32 activation begins, by ONNX value. Others are copied.
    batch_size
        Samples in a batch.
    batch_axes
        Axis of the samples by ONNX value; a value that is missing belongs to a single sample.
    input_size
        ``(Hin, Win)`` of SPEC section 1.
    weigh
        Gives the summed kernel of a convolution.
    projection
        ``"published"`` or ``"transposed"``.

    Attributes
    ----------
    names
        Layers with a map, in order; a layer without values has none.
    sizes
        ``(h', w')`` of each map.
    slots
        ``(layers, 2)`` int64: begin and size of each map in ``Maps.values``.
    """

    def __init__(
        self,
        taps: Mapping[str, Tap],
        shapes: Mapping[str, tuple[int, ...]],
        offsets: Mapping[str, int],
        *,
        batch_size: int,
        batch_axes: Mapping[str, int | None],
        input_size: tuple[int, int],
        weigh: Weigh,
        projection: Projection,
    ) -> None:
        self._batch_size = batch_size
        self._taps = taps
        self._views = {
            name: view_activation(shapes[tap.value], tap.axes, tap.form, batch_axes.get(tap.value))
            for name, tap in taps.items()
            if tap.value in shapes and 0 not in shapes[tap.value]
        }
        self.names = tuple(self._views)
        self._staged: dict[str, tuple[int, int]] = {}
        self._checked: list[str] = []
        self._even: set[str] = set()
        table = np.zeros((len(self.names), loops.TABLE_WIDTH), np.int64)
        weights, rows, columns = _Store(np.float32), _Store(np.int32), _Store(np.int32)
        sizes = []
        staged = mapped = 0
        for index, name in enumerate(self.names):
            view = self._views[name]
            row = table[index]
            kind = view.in_memory() if taps[name].value in offsets else None
            found = self._find_taps(name, view, shapes, weigh, projection)
            count = view.count
            # A value without a batch axis serves all samples.
            copies = 1 if view.batch is None else batch_size
            if kind is None:
                row[loops.KIND] = loops.CHANNELS_FIRST if view.space else loops.FLAT
                self._staged[name] = (staged, count * copies)
                row[loops.SOURCE] = staged
                staged += count * copies
            else:
                row[loops.KIND] = kind
                row[loops.SOURCE] = offsets[taps[name].value]
            row[loops.SAMPLE_STRIDE] = 0 if view.batch is None else count
            if found is None:
                size = flat_size(count, input_size)
                row[loops.CHANNELS] = count
            else:
                size = found.size
                row[loops.CHANNELS] = found.weights.shape[1]
                row[loops.TAPS] = len(found.weights)
                row[loops.ROWS_IN] = found.rows.shape[1]
                row[loops.COLUMNS_IN] = view.size[-1]
                row[loops.WEIGHTS] = weights.add(found.weights)
                row[loops.ROW_TARGETS] = rows.add(found.rows)
                row[loops.COLUMN_RUNS] = columns.add(found.columns)
                # The published projection reaches every cell by tap (0, 0).
                if projection == "transposed" and found.leaves_out_cells(view.size[-1]):
                    self._checked.append(name)
            row[loops.MAP] = mapped
            row[loops.ROWS_OUT], row[loops.COLUMNS_OUT] = size
            mapped += size[0] * size[1]
            sizes.append(size)
        self._table = table
        self._weights, self._rows, self._columns = weights.whole(), rows.whole(), columns.whole()
        self._staging = np.empty(staged, np.float32)
        self._total = mapped
        self.sizes = tuple(sizes)
        self.slots = np.stack(
            [table[:, loops.MAP], table[:, loops.ROWS_OUT] * table[:, loops.COLUMNS_OUT]], axis=1
        )

    def _find_taps(
        self,
        name: str,
        view: View,
        shapes: Mapping[str, tuple[int, ...]],
        weigh: Weigh,
        projection: Projection,
    ) -> Taps | None:
        """Taps of a layer, ``None`` for a flat one."""
        tap = self._taps[name]
        if not view.space:
            return None
        size = view.size
        height, width = (1, *size)[-2:]
        depth = size[0] if len(size) == 3 else 1
        plain = mean_taps(view.channel_count, height, width, depth)
        if tap.geometry is None or (tap.source is None and projection == "transposed"):
            return plain
        kernel = weigh(name)
        if kernel.even:
            self._even.add(name)
        source_size = size
        if projection == "transposed" and tap.source is not None:
            read = shapes[tap.source]
            source_size = read[1 : tap.source_channel] + read[tap.source_channel + 1 :]
        gone = tap.squeezed
        if gone is not None and kernel.values.shape[1 + gone] == 1:
            kernel = kernel.without_axis(gone)
            if projection == "transposed":
                source_size = source_size[:gone] + source_size[gone + 1 :]
        if kernel.rank != len(size):
            return plain
        return convolution_taps(kernel, projection, size, source_size)

    def shown_shape(self, name: str) -> Shape:
        """Shape of a layer's activation as labels show it, ``None`` for the batch."""
        view, order = self._views[name], self._taps[name].shown
        axes = range(len(view.shape)) if order is None else order
        return tuple(None if axis == view.batch else view.shape[axis] for axis in axes)

    def is_flat(self, name: str) -> bool:
        """Tell whether the layer's map is a list of values."""
        return not self._views[name].space

    def has_even_weights(self, name: str) -> bool:
        """Tell whether the layer's bias is all zero, so that its channels count evenly."""
        return name in self._even

    def project(
        self,
        arena: NDArray[np.float32],
        arrays: Mapping[str, NDArray[Any]],
        pool: Executor,
        workers: int,
    ) -> Maps:
        """Turn a batch's activations into maps.

        Parameters
        ----------
        arena, arrays
            The activations, of the shapes that the plan was made for.
        pool, workers
            Threads that run the loops, and how many shares to cut the work in.
        """
        for name, (begin, count) in self._staged.items():
            with np.errstate(over="ignore", invalid="ignore"):
                self._views[name].copy(
                    arrays[self._taps[name].value], self._staging[begin : begin + count]
                )
        values = np.empty((self._batch_size, self._total), np.float32)
        ranges = np.empty((self._batch_size, len(self.names), 2))
        staged = np.array([name in self._staged for name in self.names], bool)
        tables = self._table, self._weights, self._rows, self._columns
        jobs = [
            (tasks, tables[0], source, *tables[1:], values, ranges)
            for source, chosen in ((arena, ~staged), (self._staging, staged))
            for tasks in self._shares(np.flatnonzero(chosen), workers)
        ]
        if workers == 1:
            for job in jobs:
                loops.project_tasks(*job)
        else:
            for waiting in [pool.submit(loops.project_tasks, *job) for job in jobs]:
                waiting.result()
        return Maps(values, ranges, self._count_bad_values(arrays, ranges))

    def _shares(self, layers: NDArray[np.intp], workers: int) -> list[NDArray[np.int64]]:
        """Cut (layer, sample) tasks in shares of about the same work, the largest tasks first."""
        work = np.array([self._views[self.names[layer]].count + 1 for layer in layers], np.int64)
        order = np.argsort(-work, kind="stable")
        samples = np.arange(self._batch_size)
        tasks = np.stack(
            [np.repeat(layers[order], len(samples)), np.tile(samples, len(order))], axis=1
        ).astype(np.int64)
        shares: list[list[int]] = [[] for _ in range(workers)]
        loads = [0] * workers
        for index, load in enumerate(np.repeat(work[order], len(samples)).tolist()):
            lightest = loads.index(min(loads))
            shares[lightest].append(index)
            loads[lightest] += load
        return [tasks[share] for share in shares if share]

    def _count_bad_values(
        self, arrays: Mapping[str, NDArray[Any]], ranges: NDArray[np.float64]
    ) -> dict[tuple[int, str], int]:
        """Count NaN and infinite activations; a layer that has some gets the range NaN."""
        suspects = {(int(s), self.names[n]) for s, n in np.argwhere(np.isnan(ranges[..., 0]))}
        suspects |= {(s, name) for s in range(self._batch_size) for name in self._checked}
        found = {}
        for sample, name in sorted(suspects):
            activation = self._views[name].select(arrays[self._taps[name].value], sample)
            count = int(np.count_nonzero(~np.isfinite(activation)))
            index = self.names.index(name)
            if count or np.isnan(ranges[sample, index, 0]):
                found[sample, name] = count
                ranges[sample, index] = np.nan
        return found


class _Store:
    """Arrays one after the other in one."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._parts: list[NDArray[Any]] = [np.empty(0, dtype)]
        self._size = 0

    def add(self, part: NDArray[Any]) -> int:
        """Append an array, and tell where it begins."""
        begin = self._size
        self._parts.append(part.reshape(-1))
        self._size += part.size
        return begin

    def whole(self) -> NDArray[Any]:
        """All of them."""
        return np.concatenate(self._parts)
