"""Batches of inputs to explanations: how many samples run together, and what is planned once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.assembly import assemble
from micam_fast.errors import SampleError
from micam_fast.explanation import Explanation
from micam_fast.layers import Axes, Tap
from micam_fast.maps import MapPlan, Maps
from micam_fast.onnx_model import ModelGraph, OnnxFile
from micam_fast.projections import Projection, SummedKernel, sum_kernel
from micam_fast.scene import Scene
from micam_fast.sessions import Sessions
from micam_fast.views import single_batch_axis, spatial_input_size, view_activation

DEFAULT_BATCH = 8
_KEPT_PLANS = 32
# A batch that mixes its samples shows far larger differences, rounding far smaller ones.
_ALIKE = 1e-3

Shapes = Mapping[str, tuple[int, ...]]
Sample = Mapping[str, NDArray[Any]]


class Pipeline:
    """A model under one projection.

    The first batch of several samples is proved: its first sample also runs alone, each value must
    have grown along its batch axis and nowhere else, and the maps must be the same. A model that
    fails (a Reshape that fixes the batch, a mean over it) runs one sample at a time from then on.
    """

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
        self._graph, self._projection, self._scene = graph, projection, scene
        self._threads, self._memory, self._pool = threads, memory, pool
        self._taps = {
            layer.name: graph.taps[layer.name] for layer in graph.layers if layer.name in mapped
        }
        wanted = [tap.value for tap in self._taps.values()]
        if projection == "transposed":
            wanted += [tap.source for tap in self._taps.values() if tap.source is not None]
        if graph.prediction is not None:
            wanted.append(graph.prediction)
        self.sessions = Sessions(
            file, graph, wanted, memory=memory, threads=threads, providers=providers
        )
        self._plans: dict[tuple[Any, ...], MapPlan] = {}
        self._kernels: dict[str, SummedKernel] = {}
        self._fixed_batch = _fixed_batch(graph)
        self._single = any(spec.axes.batch is None for spec in graph.inputs)
        self._proved = self._fixed_batch is not None
        # The memory of activations is used again: one batch at a time, whoever asks.
        self._lock = threading.Lock()

    def batch_size(self, shapes: Shapes, asked: int | None) -> int:
        """Samples in one run, by the model's own batch, the caller and the memory bound.

        Parameters
        ----------
        shapes
            Of one sample, by input name.
        asked
            What the caller wants.
        """
        if self._fixed_batch is not None:
            return self._fixed_batch
        if self._single:
            return 1
        if asked is not None:
            return asked
        one = {
            spec.name: _insert(shapes[spec.name], spec.axes.batch) for spec in self._graph.inputs
        }
        fitting = self._memory // max(1, self.sessions.sample_size(one))
        return max(1, min(DEFAULT_BATCH, fitting))

    def explain(self, samples: Sequence[Sample], size: int) -> list[Explanation | SampleError]:
        """Explain a batch; one at a time if the model cannot take several, or the batch fails."""
        if len(samples) > 1 and self._single:
            return self._one_by_one(samples)
        # A fixed batch is filled up by repeating its last sample.
        missing = size - len(samples) if self._fixed_batch is not None else 0
        batch = [*samples, *[samples[-1]] * missing]
        try:
            with self._lock:
                if len(batch) > 1 and not self._proved:
                    return list(self._prove(batch))
                return list(self._run(batch)[: len(samples)])
        except _NotBatchableError:
            self._single = True
            return self._one_by_one(samples)
        except SampleError as error:
            if len(samples) == 1:
                return [error]
            found = self._one_by_one(samples)
            # Each sample alone, but not together: there is no use in trying that again.
            self._single |= not any(isinstance(each, SampleError) for each in found)
            return found

    def _one_by_one(self, samples: Sequence[Sample]) -> list[Explanation | SampleError]:
        return [found for sample in samples for found in self.explain([sample], 1)]

    def _prove(self, samples: Sequence[Sample]) -> list[Explanation]:
        """Run a batch, and its first sample alone; the batch must be the same, sample by sample."""
        alone: dict[str, tuple[int, ...]] = {}
        (single,) = self._run(samples[:1], seen=alone)
        together = self._run(samples, alone=alone)
        for name, found in single.maps.items():
            first, second = found.cam, together[0].maps[name].cam
            finite = np.isfinite(first) & np.isfinite(second)
            scale = np.abs(first[finite]).max(initial=0)
            difference = np.abs(first[finite] - second[finite]).max(initial=0)
            if first.shape != second.shape or difference > _ALIKE * scale:
                raise _NotBatchableError
        self._proved = True
        return together

    def _run(
        self,
        samples: Sequence[Sample],
        *,
        alone: Shapes | None = None,
        seen: dict[str, tuple[int, ...]] | None = None,
    ) -> list[Explanation]:
        """Run a batch. `seen` is told all shapes; `alone` has those of a run of one sample."""
        count = len(samples)
        feeds = self._stack(samples)
        shapes = {} if seen is None else seen
        shapes.update((name, array.shape) for name, array in feeds.items())
        axes = {spec.name: spec.axes.batch for spec in self._graph.inputs}
        input_size = spatial_input_size(
            [
                view_activation(feeds[spec.name].shape, spec.axes, "channels", spec.axes.batch)
                for spec in self._graph.inputs
            ]
        )
        found: list[tuple[MapPlan, Maps]] = []
        outputs: list[NDArray[Any]] | None = None
        pending = dict(self._taps)
        for activations in self.sessions.run(feeds, count):
            arrays = {**feeds, **activations.arrays}
            shapes.update((name, array.shape) for name, array in activations.arrays.items())
            taps = {name: tap for name, tap in pending.items() if tap.value in arrays}
            for name, tap in taps.items():
                del pending[name]
                if tap.value not in axes:
                    axes[tap.value] = _batch_axis(tap.value, tap.axes, shapes, alone, count)
            plan = self._plan(taps, shapes, axes, activations.offsets, count, input_size)
            found.append((plan, plan.project(activations.arena, arrays, self._pool, self._threads)))
            value = self._graph.prediction
            if value is not None and value in arrays and outputs is None:
                axis = _batch_axis(value, self._graph.prediction_axes, shapes, alone, count)
                outputs = [_take(arrays[value], sample, axis) for sample in range(count)]
        return [
            assemble(
                found,
                sample,
                graph=self._graph,
                output=None if outputs is None else outputs[sample],
                input_size=input_size,
                scene=self._scene,
            )
            for sample in range(count)
        ]

    def _stack(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        feeds = {}
        for spec in self._graph.inputs:
            rows = [sample[spec.name] for sample in samples]
            batch = spec.axes.batch
            feeds[spec.name] = rows[0] if batch is None else np.stack(rows, axis=batch)
        return feeds

    def _plan(
        self,
        taps: Mapping[str, Tap],
        shapes: Shapes,
        axes: Mapping[str, int | None],
        offsets: Mapping[str, int],
        count: int,
        input_size: tuple[int, int],
    ) -> MapPlan:
        key = (
            count,
            input_size,
            *(
                (name, shapes[tap.value], axes[tap.value], offsets.get(tap.value))
                for name, tap in taps.items()
            ),
        )
        if key not in self._plans:
            while len(self._plans) >= _KEPT_PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = MapPlan(
                taps,
                shapes,
                offsets,
                batch_size=count,
                batch_axes=axes,
                input_size=input_size,
                weigh=self._weigh,
                projection=self._projection,
            )
        return self._plans[key]

    def _weigh(self, name: str) -> SummedKernel:
        """A layer's kernel, read and summed once."""
        if name not in self._kernels:
            geometry = self._taps[name].geometry
            assert geometry is not None
            self._kernels[name] = sum_kernel(*self._graph.weights(name), geometry)
        return self._kernels[name]


class _NotBatchableError(Exception):
    """A model whose samples cannot run together."""


def _batch_axis(
    value: str, axes: Axes, shapes: Shapes, alone: Shapes | None, count: int
) -> int | None:
    """Axis of the samples in a value.

    Raises
    ------
    _NotBatchableError
        If a batch of several samples has not grown along the axis that the graph tells.
    """
    shape, batch = shapes[value], axes.batch
    if count == 1:
        return single_batch_axis(shape, axes)
    if batch is None or batch >= len(shape) or shape[batch] != count:
        raise _NotBatchableError
    if alone is not None and alone[value] != (*shape[:batch], 1, *shape[batch + 1 :]):
        raise _NotBatchableError
    return batch


def _take(array: NDArray[Any], sample: int, axis: int | None) -> NDArray[Any]:
    """One sample's own, read-only copy."""
    found = np.array(array if axis is None else np.take(array, sample, axis=axis))
    found.flags.writeable = False
    return found


def _fixed_batch(graph: ModelGraph) -> int | None:
    """The batch that the model's inputs fix, if they do."""
    for spec in graph.inputs:
        if spec.axes.batch is not None and spec.shape[spec.axes.batch] is not None:
            return spec.shape[spec.axes.batch]
    return None


def _insert(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    return shape if axis is None else (*shape[:axis], 1, *shape[axis:])
