"""Batches of inputs to explanations: forward pass, maps, colours, each planned once."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.errors import SampleError
from micam_fast.explanation import Explanation, predict
from micam_fast.layers import Shape, Tap
from micam_fast.maps import MapPlan, Maps
from micam_fast.onnx_model import ModelGraph, OnnxFile
from micam_fast.onnx_model.slices import cut_model, move_weights
from micam_fast.projections import Projection
from micam_fast.results import LayerMap
from micam_fast.runtime import Extractor, extract, open_session
from micam_fast.scene import Scene
from micam_fast.views import fits_batch, spatial_input_size, view_activation

DEFAULT_BATCH = 8
# Protocol buffers end at 2 GiB; a model above is handed over with its weights apart.
LARGEST_MESSAGE = 2**31 - 2**20
LARGE_WEIGHT = 2**20
_KEPT_PLANS = 8


class Pipeline:
    """A model under one projection: what is fetched, the open sessions, the tables of the maps."""

    def __init__(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        mapped: frozenset[str],
        projection: Projection,
        *,
        threads: int,
        providers: Sequence[Any],
        memory: int,
        pool: ThreadPoolExecutor,
        scene: Scene,
    ) -> None:
        self._file, self._graph, self._projection = file, graph, projection
        self._threads, self._providers = threads, providers
        self._memory, self._pool, self._scene = memory, pool, scene
        self._taps = {
            layer.name: graph.taps[layer.name] for layer in graph.layers if layer.name in mapped
        }
        fed = {spec.name for spec in graph.inputs}
        wanted = [tap.value for tap in self._taps.values()]
        if projection == "transposed":
            wanted += [tap.source for tap in self._taps.values() if tap.source is not None]
        wanted.append(graph.prediction)
        self._wanted = [name for name in dict.fromkeys(wanted) if name in graph.graph.producer]
        self._fed = fed
        self._slices: dict[int, list[Extractor]] = {}
        self._plans: dict[tuple[Any, ...], MapPlan] = {}
        self._single = False
        # The memory of activations is used again: one batch at a time, whoever asks.
        self._lock = threading.Lock()
        self._sizes: dict[tuple[Any, ...], dict[str, int]] = {}
        self._extractors({}, 0)

    def batch_size(self, shapes: Mapping[str, tuple[int, ...]], asked: int | None) -> int:
        """Samples in one run, by the model's own batch, the caller and the memory bound."""
        fixed = {
            spec.shape[spec.axes.batch]
            for spec in self._graph.inputs
            if spec.axes.batch < len(spec.shape)
        }
        known = [size for size in fixed if size is not None]
        if known:
            return known[0]
        if any(not spec.shape for spec in self._graph.inputs):
            return 1
        if asked is not None:
            return asked
        one = {
            spec.name: _insert(shapes[spec.name], spec.axes.batch) for spec in self._graph.inputs
        }
        each = sum(self._value_sizes(one).get(name, 0) for name in self._wanted)
        return max(1, min(DEFAULT_BATCH, self._memory // max(each, 1)))

    def explain(
        self, samples: Sequence[Mapping[str, NDArray[Any]]], size: int
    ) -> list[Explanation | SampleError]:
        """Explain a batch; one at a time if the model cannot take several, or the batch fails."""
        if len(samples) > 1 and self._single:
            return [found for sample in samples for found in self.explain([sample], 1)]
        # A fixed batch is filled up by repeating its last sample.
        padded = (
            [*samples, *[samples[-1]] * (size - len(samples))]
            if self._has_fixed_batch()
            else samples
        )
        try:
            with self._lock:
                return self._run(padded)[: len(samples)]
        except _NotBatchableError:
            self._single = True
            return self.explain(samples, 1)
        except SampleError as error:
            if len(samples) == 1:
                return [error]
            return [found for sample in samples for found in self.explain([sample], 1)]

    def _has_fixed_batch(self) -> bool:
        return any(
            spec.axes.batch < len(spec.shape) and (spec.shape[spec.axes.batch] or 1) > 1
            for spec in self._graph.inputs
        )

    def _run(
        self, samples: Sequence[Mapping[str, NDArray[Any]]]
    ) -> list[Explanation | SampleError]:
        count = len(samples)
        feeds = self._stack(samples)
        input_size = self._input_size(feeds, count)
        shapes = {name: array.shape for name, array in feeds.items()}
        found: list[tuple[MapPlan, Maps]] = []
        output: NDArray[Any] | None = feeds.get(self._graph.prediction)
        extractors = self._extractors({n: a.shape for n, a in feeds.items()}, count)
        pending = dict(self._taps)
        for activations in extract(extractors, feeds):
            arrays = {**feeds, **activations.arrays} if not found else dict(activations.arrays)
            shapes.update({name: array.shape for name, array in activations.arrays.items()})
            taps = {name: tap for name, tap in pending.items() if tap.value in arrays}
            for name, tap in taps.items():
                del pending[name]
                if count > 1 and not fits_batch(arrays[tap.value].shape, tap.axes, count):
                    raise _NotBatchableError
            plan = self._plan(taps, shapes, activations.offsets, count, input_size)
            found.append((plan, plan.project(activations.arena, arrays, self._pool, self._threads)))
            if self._graph.prediction in activations.arrays:
                output = activations.arrays[self._graph.prediction].copy()
        assert output is not None
        return [self._assemble(found, sample, count, output, input_size) for sample in range(count)]

    def _stack(self, samples: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        feeds = {}
        for spec in self._graph.inputs:
            rows = [sample[spec.name] for sample in samples]
            batched = spec.axes.batch < len(spec.shape)
            feeds[spec.name] = np.stack(rows, axis=spec.axes.batch) if batched else rows[0]
        return feeds

    def _input_size(self, feeds: Mapping[str, NDArray[Any]], count: int) -> tuple[int, int]:
        return spatial_input_size(
            [
                view_activation(feeds[spec.name].shape, spec.axes, "channels", count)
                for spec in self._graph.inputs
            ]
        )

    def _extractors(self, shapes: Mapping[str, tuple[int, ...]], count: int) -> list[Extractor]:
        """Open sessions whose activations keep within the memory bound."""
        sizes = self._value_sizes(shapes) if count else {}
        wanted = {name: sizes[name] for name in self._wanted if name in sizes}
        if sum(wanted.values()) <= self._memory:
            if 1 not in self._slices:
                self._slices[1] = self._open(wanted, 2**62)
            return self._slices[1]
        slices = math.ceil(sum(wanted.values()) / self._memory)
        if slices not in self._slices:
            self._slices[slices] = self._open(wanted, sum(wanted.values()) // slices)
        return self._slices[slices]

    def _open(self, sizes: Mapping[str, int], budget: int) -> list[Extractor]:
        opened = []
        graph = self._graph.graph
        for part in cut_model(self._file, graph, self._wanted, sizes, budget):
            weights: list[onnx.TensorProto] = []
            if part.proto.ByteSize() > LARGEST_MESSAGE:
                weights = list(move_weights(part.proto, LARGE_WEIGHT))
            session = open_session(
                part.proto,
                name=self._file.name,
                folder=self._file.folder,
                weights=weights,
                threads=self._threads,
                providers=self._providers,
            )
            opened.append(Extractor(session, part.inputs, part.outputs))
        return opened

    def _value_sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Bytes of each value for inputs of these shapes, the batch included."""
        key = tuple(sorted(shapes.items()))
        if key not in self._sizes:
            self._sizes[key] = self._graph.graph.value_sizes(shapes)
        return self._sizes[key]

    def _plan(
        self,
        taps: Mapping[str, Tap],
        shapes: Mapping[str, tuple[int, ...]],
        offsets: Mapping[str, int],
        count: int,
        input_size: tuple[int, int],
    ) -> MapPlan:
        key = (
            count,
            input_size,
            *((name, shapes[tap.value], offsets.get(tap.value)) for name, tap in taps.items()),
        )
        if key not in self._plans:
            while len(self._plans) >= _KEPT_PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = MapPlan(
                taps,
                shapes,
                offsets,
                batch_size=count,
                input_size=input_size,
                weigh=self._graph.weights,
                projection=self._projection,
            )
        return self._plans[key]

    def _input_shapes(self, name: str, found: Mapping[str, LayerMap]) -> tuple[Shape | None, ...]:
        """Shapes of what a layer reads, open sizes from its parents where these fit."""
        layer = self._graph.layer(name)
        if not layer.inputs:
            return (found[name].shape,)
        parents = [found[parent].shape for parent in layer.inputs if parent in found]
        return tuple(
            next((p for p in parents if shape is not None and _fits(p, shape)), shape)
            for shape in layer.input_shapes
        )

    def _assemble(
        self,
        found: Sequence[tuple[MapPlan, Maps]],
        sample: int,
        count: int,
        output: NDArray[Any],
        input_size: tuple[int, int],
    ) -> Explanation:
        """Colour the maps of one sample, and put the result together."""
        lows = np.concatenate([maps.ranges[sample, :, 0] for _, maps in found])
        highs = np.concatenate([maps.ranges[sample, :, 1] for _, maps in found])
        finite = ~np.isnan(lows)
        low = min(0.0, float(lows[finite].min(initial=0.0)))
        high = max(0.0, float(highs[finite].max(initial=0.0)))
        coloured: dict[str, LayerMap] = {}
        for plan, maps in found:
            ranges = lift_ranges(maps.ranges[sample])
            values = maps.values[sample].copy()
            rgba = np.empty((len(values), 4), np.uint8)
            colour_maps(plan.slots, values, ranges, low, high, rgba)
            values.flags.writeable = rgba.flags.writeable = False
            for index, name in enumerate(plan.names):
                begin, size = plan.slots[index]
                height, width = plan.sizes[index]
                coloured[name] = LayerMap(
                    cam=values[begin : begin + size].reshape(height, width),
                    rgba=rgba[begin : begin + size].reshape(height, width, 4),
                    minimum=float(maps.ranges[sample, index, 0]),
                    maximum=float(maps.ranges[sample, index, 1]),
                    range=(float(ranges[index, 0]), float(ranges[index, 1])),
                    shape=plan.shown_shape(name),
                    flat=plan.is_flat(name),
                    even_weights=plan.has_even_weights(name),
                    bad_values=maps.bad_values.get((sample, name)),
                )
        ordered = {
            name: replace(coloured[name], input_shapes=self._input_shapes(name, coloured))
            for name in self._taps
            if name in coloured
        }
        first = _sample_output(output, sample, count)
        return Explanation(
            maps=MappingProxyType(ordered),
            global_range=(low, high),
            prediction=predict(first, self._graph.last_op),
            output=first,
            input_size=input_size,
            scene=self._scene,
        )


class _NotBatchableError(Exception):
    """An activation that does not hold one entry for each sample."""


def lift_ranges(ranges: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(m, M)`` of SPEC section 3: if ``m != 0``, ``M = max(M, m + 0.1 * |m|)``.

    Parameters
    ----------
    ranges
        ``(layers, 2)``: minimum and maximum of each map.
    """
    lifted = ranges.copy()
    low = ranges[:, 0]
    lifted[:, 1] = np.where(
        low != 0, np.maximum(ranges[:, 1], low + 0.1 * np.abs(low)), ranges[:, 1]
    )
    return lifted


def _sample_output(output: NDArray[Any], sample: int, count: int) -> NDArray[Any]:
    batched = output.ndim > 0 and output.shape[0] == count
    found = output[sample] if batched else output.view()
    found.flags.writeable = False
    return found


def _fits(shape: Shape, pattern: Shape) -> bool:
    """Tell whether a shape fills in the open sizes of another."""
    return len(shape) == len(pattern) and all(
        wanted in (None, size) for size, wanted in zip(shape, pattern, strict=True)
    )


def _insert(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis:])
