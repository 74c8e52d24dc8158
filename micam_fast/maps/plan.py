"""Activations of a batch to maps and their ranges, by tables that are made once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops import maps as loops
from micam_fast.core.activation_axes import view_activation
from micam_fast.core.choices import Projection
from micam_fast.core.layers import Pointwise, Reason, Shape, Tap
from micam_fast.maps.bounds import check_pointwise
from micam_fast.maps.loop_tables import LoopTables, Weigh

Share = list[NDArray[np.int64]]
"""``(n, 2)`` for each worker: rows of the table and indices of the samples."""


@dataclass(frozen=True, eq=False)
class BatchMaps:
    """Maps of a batch.

    Attributes
    ----------
    values
        ``(samples, total)`` float32, each layer's map where `slots` says.
    ranges
        ``(samples, layers, 2)`` float64: minimum and maximum, NaN for a map that is not finite.
    bad_values
        By (sample, layer name): how many activation values are NaN or infinite.
    activation_ranges
        ``(samples, layers, 2)`` float64: minimum and maximum of what each map is made of, NaN for a
        layer that is not finite; ``None`` where the plan was not asked for them.
    """

    values: NDArray[np.float32]
    ranges: NDArray[np.float64]
    bad_values: Mapping[tuple[int, str], int]
    activation_ranges: NDArray[np.float64] | None = None


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
    pointwise
        By name: layers whose activation is not given out but computed from another layer's.
    frame
        Which one of what is folded into an activation its map is made of, from 0; by default the
        map is the mean over all of it.
    activation_range
        Whether ranges of the activations are wanted, which must be read once more for them.

    Raises
    ------
    SampleError
        If a layer's kernel, axes or factors, which are what a file says, do not fit its activation;
        if a layer has frames, but not so many.

    Attributes
    ----------
    taps
        As given.
    names
        Layers with a map, in order; a layer without values has none.
    empty
        Shapes as labels show them of the activations without values, by layer name.
    sizes
        ``(h', w')`` of each map.
    slots
        ``(layers, 2)`` int64: begin and size of each map in ``BatchMaps.values``.
    staging
        Float32 values that `project` needs to copy activations to.
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
        pointwise: Mapping[str, Pointwise] = MappingProxyType({}),
        frame: int | None = None,
        activation_range: bool = False,
    ) -> None:
        self._measures = activation_range
        self._batch_size = batch_size
        self.taps = taps
        self._pointwise = pointwise
        values = {
            n: pointwise[n].source if n in pointwise else tap.value for n, tap in taps.items()
        }
        self._values = {n: v for n, v in values.items() if v in shapes and 0 not in shapes[v]}
        self.empty = {
            name: _shown_shape(shapes[value], batch_axes.get(value), taps[name].shown)
            for name, value in values.items()
            if 0 in shapes.get(value, ())
        }
        self._views = {
            name: view_activation(
                shapes[value], taps[name].axes, taps[name].form, batch_axes.get(value), frame
            )
            for name, value in self._values.items()
        }
        self.names = tuple(self._views)
        tables = LoopTables(len(self.names), shapes, input_size, batch_size, weigh, projection)
        readers: dict[str, str] = {}
        for name, view in self._views.items():
            value = self._values[name]
            leader = readers.get(value)
            if name in pointwise:
                check_pointwise(name, taps[name], pointwise[name], view.shape)
                if leader is not None and view.space and view == self._views[leader]:
                    tables.add_follower(name, view, pointwise[name], leader)
                else:
                    tables.add_reader(name, taps[name], view, None)
            else:
                tables.add_reader(name, taps[name], view, offsets.get(value))
                readers[value] = name
        tables.check()
        self._table, self._numbers, self._reach = tables.rows, tables.numbers, tables.reach
        self._staged, self._even, self._unread = tables.staged, tables.even, tables.unread
        self._weighted = tables.weighted
        self._total = tables.total
        self.staging = tables.staged_size
        self.sizes = tuple(tables.sizes)
        rows = tables.rows
        self.slots = np.stack(
            [rows[:, loops.MAP], rows[:, loops.ROWS_OUT] * rows[:, loops.COLUMNS_OUT]], axis=1
        )
        self._is_staged = np.array([name in self._staged for name in self.names], bool)
        self._shares: dict[int, tuple[Share, Share]] = {}

    def shown_shape(self, name: str) -> Shape:
        """Shape of a layer's activation as labels show it, ``None`` for the batch."""
        view = self._views[name]
        return _shown_shape(view.shape, view.batch, self.taps[name].shown)

    def is_flat(self, name: str) -> bool:
        """Tell whether the layer's map is a list of values."""
        return not self._views[name].space

    def count_channels(self, name: str) -> int | None:
        """How many channels the layer's activation has at each place; ``None`` for a list."""
        view = self._views[name]
        return view.channel_count if view.space else None

    def is_number(self, name: str) -> bool:
        """Tell whether the layer's activation is one number for each sample."""
        return self._views[name].count == 1

    def count_copies(self, name: str) -> int:
        """How many frames, windows, pairs or steps are folded into the layer's activation."""
        return self._views[name].copies

    def has_frames(self) -> bool:
        """Tell whether something is folded into an activation."""
        return any(view.folded for view in self._views.values())

    def is_stepped(self, name: str) -> bool:
        """Tell whether a wrapper runs the layer on each step, so that what is folded are frames."""
        return self.taps[name].stepped

    def find_doubt(self, name: str, reason: Reason) -> str | None:
        """What a label says where a reason leaves open on which axis the layer's channels lie."""
        return self._views[name].doubt(reason)

    def has_even_weights(self, name: str) -> bool:
        """Tell whether the layer's bias is all zero, so that its channels count evenly."""
        return name in self._even

    def is_weighted(self, name: str) -> bool:
        """Tell whether the layer's map is made with its kernel; else it is a mean or a list."""
        return name in self._weighted

    def project(
        self,
        arena: NDArray[np.float32],
        arrays: Mapping[str, NDArray[Any]],
        staging: NDArray[np.float32],
        *,
        pool: Executor | None = None,
        workers: int = 1,
    ) -> BatchMaps:
        """Turn a batch's activations into maps.

        Parameters
        ----------
        arena, arrays
            The activations, of the shapes and at the places that the plan was made for.
        staging
            At least as many values as the attribute of this name says; overwritten.
        pool, workers
            Threads that run the loops, and how many shares to cut the work in; by default the
            calling thread does all of it.

        Raises
        ------
        ValueError
            If arena or staging are too small, whatever the activations hold.
        """
        if len(arena) < self._reach or len(staging) < self.staging:
            raise ValueError(
                f"an arena of {len(arena)} and a staging of {len(staging)} values, at least "
                f"{self._reach} and {self.staging} are expected"
            )
        for name, (begin, count) in self._staged.items():
            with np.errstate(over="ignore", invalid="ignore"):
                activation = self._activation(name, arrays)
                self._views[name].copy(activation, staging[begin : begin + count])
        values = np.empty((self._batch_size, self._total), np.float32)
        ranges = np.empty((self._batch_size, len(self.names), 2))
        if workers not in self._shares:
            self._shares[workers] = self._cut_shares(workers)
        jobs = [
            (tasks, self._table, source, *self._numbers, values, ranges)
            for source, shares in zip((arena, staging), self._shares[workers], strict=True)
            for tasks in shares
        ]
        if pool is None or workers == 1:
            for job in jobs:
                loops.project_tasks(*job)
        else:
            for waiting in [pool.submit(loops.project_tasks, *job) for job in jobs]:
                waiting.result()
        bad_values = self._count_bad_values(arrays, ranges)
        measured = self._measure(arrays, ranges) if self._measures else None
        return BatchMaps(values, ranges, bad_values, measured)

    def _measure(
        self, arrays: Mapping[str, NDArray[Any]], ranges: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Minimum and maximum of the activations whose maps are finite."""
        found = np.full(ranges.shape, np.nan)
        for index, name in enumerate(self.names):
            activation = self._activation(name, arrays)
            for sample in np.flatnonzero(~np.isnan(ranges[:, index, 0])).tolist():
                own = self._views[name].select(activation, sample)
                found[sample, index] = own.min(), own.max()
        return found

    def _activation(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """A layer's activation, computed where ONNX Runtime did not give it out."""
        array = arrays[self._values[name]]
        if name not in self._pointwise:
            return array
        channel = self.taps[name].axes.channel
        assert channel is not None
        return self._pointwise[name].apply(array, channel)

    def _cut_shares(self, workers: int) -> tuple[Share, Share]:
        """Tasks of each worker: those that read the arena, and those that read copies."""
        reads = self._table[:, loops.KIND] != loops.FOLLOWS
        masks = reads & ~self._is_staged, reads & self._is_staged
        arena, copies = (self._cut(np.flatnonzero(mask), workers) for mask in masks)
        return arena, copies

    def _cut(self, layers: NDArray[np.intp], workers: int) -> Share:
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
        suspects |= {(s, name) for s in range(self._batch_size) for name in self._unread}
        found = {}
        for sample, name in sorted(suspects):
            activation = self._views[name].select(self._activation(name, arrays), sample)
            count = int(np.count_nonzero(~np.isfinite(activation)))
            index = self.names.index(name)
            if count or np.isnan(ranges[sample, index, 0]):
                found[sample, name] = count
                ranges[sample, index] = np.nan
        return found


def _shown_shape(shape: tuple[int, ...], batch: int | None, order: tuple[int, ...] | None) -> Shape:
    axes = range(len(shape)) if order is None else order
    return tuple(None if axis == batch else shape[axis] for axis in axes)
