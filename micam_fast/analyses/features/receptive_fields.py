"""The input cells that each cell of a layer's map depends on.

From the map to the activation by the taps that the map itself is made by, from there to the input
through the model's graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import (
    ActivationAxes,
    spatial_input_size,
    view_activation,
    view_inputs,
)
from micam_fast.core.choices import Projection
from micam_fast.core.layers import Tap
from micam_fast.engine.batch_arrays import Batching
from micam_fast.engine.observation import observe_shapes
from micam_fast.maps.taps import SummedKernel, Taps, counts_kernel, find_taps
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.dependence import Dependence, follow, input_dependence
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.samples import Arrays

Ranges = tuple[tuple[int, int], ...]
"""First and last of each range, in order."""


@dataclass(frozen=True, eq=False)
class Field:
    """What a cell of a map depends on.

    Attributes
    ----------
    rows, columns
        ``(Hin,)`` and ``(Win,)``: the rows and the columns of the input that hold such cells.
    row_ranges, column_ranges
        From the first to the last of them. There are several ranges where the cell reads parts of
        its layer that are not neighbours, as the circular taps of the published projection do at a
        border; ranges that overlap or touch are one.
    exact
        Whether these are no larger than what the cell depends on; else they are at most that.
    """

    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    row_ranges: Ranges
    column_ranges: Ranges
    exact: bool


@dataclass(frozen=True, eq=False)
class LayerField:
    """Receptive fields of a layer's map.

    Attributes
    ----------
    size
        ``(h', w')`` of the map.
    taps
        From the activation to the map.
    dependence
        Of the activation's rows and columns, all channels together.
    grid
        ``(Hin, Win)``.
    """

    size: tuple[int, int]
    taps: Taps
    dependence: Dependence
    grid: tuple[int, int]

    def cell(self, row: int, column: int) -> Field:
        """What a cell of the map depends on."""
        places = read_cells(self.taps, row, column)
        rows, columns, exact = self.dependence.at(places)
        there = rows.any(axis=1)
        places, rows, columns = places[there], rows[there], columns[there]
        height, width = self.grid
        return Field(
            _unpacked(rows, height),
            _unpacked(columns, width),
            _ranges(places[:, 0], rows, height),
            _ranges(places[:, 1], columns, width),
            bool(exact.all()),
        )


def read_cells(taps: Taps, row: int, column: int) -> NDArray[np.intp]:
    """Rows and columns ``(n, 2)`` of the activation that a cell of the map is made of."""
    start, step, target, stride, count = np.moveaxis(taps.columns.astype(np.intp), -1, 0)
    along, rest = np.divmod(column - target, stride)
    tap, run = np.nonzero((rest == 0) & (along >= 0) & (along < count))
    columns = start[tap, run] + step[tap, run] * along[tap, run]
    # Each tap takes a row to one row only, but several rows may go to one.
    found, rows = np.nonzero(taps.rows[tap] == row)
    return np.stack([rows, columns[found]], axis=1)


class ReceptiveFields:
    """Receptive fields of a model's maps under a projection, for samples of one shape.

    The graph was read for these samples. If its sizes are not those of the maps, ONNX Runtime is
    asked, by its providers.

    Parameters
    ----------
    sample
        Any of these samples.
    sizes
        Sizes of the maps, as a run gave them.

    Attributes
    ----------
    grid
        ``(Hin, Win)``.
    """

    def __init__(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        names: Iterable[str],
        projection: Projection,
        sample: Arrays,
        *,
        providers: Sequence[Any],
        sizes: Mapping[str, tuple[int, int]],
    ) -> None:
        self._graph, self._projection = graph, projection
        self._batching = Batching(graph)
        self._count = self._batching.count([sample])
        feeds = self._batching.stack([sample])
        views = view_inputs(graph.inputs, {name: array.shape for name, array in feeds.items()})
        self.grid = spatial_input_size(views)
        self._taps = {name: graph.taps[name] for name in names}
        inputs = {
            spec.name: found
            for spec, view in zip(graph.inputs, views, strict=True)
            if (found := _on_grid(view, self.grid)) is not None
        }
        self._shapes = _known_shapes(graph.graph)
        if not all(self._fits(name, sizes[name]) for name in self._taps):
            self._shapes = _observed_shapes(file, graph, feeds, providers)
        wanted = [tap.value for tap in self._taps.values()]
        self._found = follow(graph.graph, inputs, self._shapes, graph.graph.numbers, wanted)
        self._fields: dict[str, LayerField | None] = {}

    def layer(self, name: str) -> LayerField | None:
        """Receptive fields of a layer's map; ``None`` for a flat layer."""
        if name not in self._fields:
            self._fields[name] = self._find(name)
        return self._fields[name]

    def _fits(self, name: str, size: tuple[int, int]) -> bool:
        """Tell whether a layer's map has the size that its inferred shape leads to."""
        tap = self._taps[name]
        if tap.value not in self._shapes:
            return False
        view = self._view(tap)
        return not view.space or self._layer_taps(name, view).size == size

    def _view(self, tap: Tap) -> ActivationAxes:
        shape = self._shapes[tap.value]
        batch = self._batching.batch_axis(tap.value, tap.axes, self._shapes, self._count)
        return view_activation(shape, tap.axes, tap.form, batch)

    def _layer_taps(self, name: str, view: ActivationAxes) -> Taps:
        """The taps of the map, without their weights."""
        tap, kernel = self._taps[name], None
        if counts_kernel(tap, self._projection):
            assert tap.geometry is not None
            weights = self._graph.reading.kernels[name]
            shape = weights.kernel_shape or self._graph.graph.constant_shape(weights.kernel)
            kernel = SummedKernel(np.zeros((1, *shape[2:])), tap.geometry, even=False)
        read = None if tap.source is None else self._shapes.get(tap.source)
        return find_taps(tap, view.size, 1, kernel, read, self._projection)

    def _find(self, name: str) -> LayerField | None:
        tap = self._taps[name]
        view = self._view(tap)
        if not view.space:
            return None
        taps = self._layer_taps(name, view)
        depth = view.space[:-2]
        found = self._found[tap.value]
        if depth and self._projection == "transposed" and counts_kernel(tap, self._projection):
            # Which depths reach the map is in the weights of its taps alone.
            full = found.mixed(depth)
            found = full if _same(found, full) else full.inexact()
        rows_and_columns = view.space[-2:]
        others = [axis for axis in range(len(view.shape)) if axis not in rows_and_columns]
        mixed = found.mixed(others).resized(dict.fromkeys(others, 1))
        moved = mixed.transposed([*others, *rows_and_columns])
        plane = moved.reshaped((1, *view.size)[-2:])
        return LayerField(taps.size, taps, plane, self.grid)


def _same(one: Dependence, other: Dependence) -> bool:
    return len(one.terms) == len(other.terms) and all(
        a.rows.shape == b.rows.shape
        and a.columns.shape == b.columns.shape
        and a.pattern == b.pattern
        for a, b in zip(one.terms, other.terms, strict=True)
    )


def _on_grid(view: ActivationAxes, grid: tuple[int, int]) -> Dependence | None:
    """An input as its own cells; ``None`` for one of another size than the grid."""
    if view.space:
        if (1, *view.size)[-2:] != grid:
            return None
        row_axis, column_axis = (None, *view.space)[-2:]
        return input_dependence(view.shape, grid, row_axis, column_axis)
    if (1, view.count) != grid:
        return None
    # A flat one is a row of its values in their order.
    rest = [size for axis, size in enumerate(view.shape) if axis != view.batch]
    values = input_dependence((view.count,), grid, None, 0).reshaped(rest)
    if view.batch is None:
        return values
    order = [*range(1, view.batch + 1), 0, *range(view.batch + 1, len(view.shape))]
    return values.stretched((view.shape[view.batch], *rest)).transposed(order)


def _known_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shapes of the activations of which all sizes are known."""
    shapes = {
        name: graph.shape(name) for name, kind in graph.kind.items() if kind is Kind.ACTIVATION
    }
    return {
        name: tuple(size for size in shape if size is not None)
        for name, shape in shapes.items()
        if shape is not None and None not in shape
    }


def _observed_shapes(
    file: OnnxFile,
    graph: ModelGraph,
    feeds: Mapping[str, NDArray[Any]],
    providers: Sequence[Any],
) -> dict[str, tuple[int, ...]]:
    """Shapes of the activations, each told by a run."""
    wanted = {tap.value for tap in graph.taps.values()}
    names = [
        name
        for name, kind in graph.graph.kind.items()
        if kind is Kind.ACTIVATION
        and name not in feeds
        and (name in wanted or graph.graph.consumers[name])
        and graph.graph.is_tensor(name)
    ]
    found = observe_shapes(file, names, feeds, providers)
    return {**{name: array.shape for name, array in feeds.items()}, **found}


def _unpacked(bits: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """All sets together, a value for each row or column."""
    if not bits.size:
        return np.zeros(size, np.bool_)
    return np.unpackbits(np.bitwise_or.reduce(bits), count=size).astype(np.bool_)


def _ranges(places: NDArray[np.intp], bits: NDArray[np.uint8], size: int) -> Ranges:
    """First and last of the sets of each run of neighbouring places."""
    found: list[tuple[int, int]] = []
    different = np.unique(places)
    for run in np.split(different, np.flatnonzero(np.diff(different) > 1) + 1):
        (seen,) = np.nonzero(_unpacked(bits[np.isin(places, run)], size))
        if seen.size:
            found.append((int(seen[0]), int(seen[-1])))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(joined)
