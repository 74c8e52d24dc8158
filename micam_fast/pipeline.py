"""Batches of inputs to explanations: how many samples run together, and what is planned once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.assembly import ReadShapes, assemble, find_read_shapes
from micam_fast.choices import Projection
from micam_fast.errors import SampleError
from micam_fast.explanation import Explanation
from micam_fast.layers import Axes, Tap
from micam_fast.maps import MapPlan, Maps
from micam_fast.onnx_model import ModelGraph, OnnxFile
from micam_fast.projections import SummedKernel, sum_kernel
from micam_fast.recent import Recent
from micam_fast.scene import Scene
from micam_fast.sessions import Sessions
from micam_fast.views import single_batch_axis, spatial_input_size, view_activation

DEFAULT_BATCH = 8
_KEPT_PLANS = 128
# A batch that mixes its samples shows far larger differences, rounding far smaller ones.
_ALIKE = 1e-3

Shapes = Mapping[str, tuple[int, ...]]
Sample = Mapping[str, NDArray[Any]]


class Pipeline:
    """A model under one projection.

    The first batch of several samples is proved: its first and its last sample also run alone, each
    value must have grown along its batch axis and nowhere else, and their maps and outputs must be
    the same. A model that fails (a Reshape that fixes the batch, a mean over it) runs one sample at
    a time from then on. A batch that the model fixes is filled up with the last sample.
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
        self._plans: Recent[tuple[Any, ...], MapPlan] = Recent(_KEPT_PLANS)
        self._read_shapes: Recent[tuple[MapPlan, ...], ReadShapes] = Recent(_KEPT_PLANS)
        self._kernels: dict[str, SummedKernel] = {}
        self._fixed_batch = _fixed_batch(graph)
        # Whether each sample runs alone: an input has no batch axis, or a batch did not work.
        self._alone = any(spec.axes.batch is None for spec in graph.inputs)
        self._proved = False
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
        if self._alone:
            return 1
        if asked is not None:
            return asked
        one = {
            spec.name: _insert(shapes[spec.name], spec.axes.batch) for spec in self._graph.inputs
        }
        fitting = self._memory // max(1, self.sessions.sample_size(one))
        return max(1, min(DEFAULT_BATCH, fitting))

    def explain(self, samples: Sequence[Sample]) -> list[Explanation | SampleError]:
        """Explain a batch; one at a time if the model cannot take several, or the batch fails."""
        if len(samples) > 1 and self._alone:
            return self._one_by_one(samples)
        try:
            with self._lock:
                if len(samples) > 1 and not self._proved:
                    return list(self._prove(samples))
                return list(self._run(samples))
        except _NotBatchableError:
            self._alone = True
            return self._one_by_one(samples)
        except SampleError as error:
            if len(samples) == 1:
                return [error]
            found = self._one_by_one(samples)
            # Each sample alone, but not together: there is no use in trying that again.
            self._alone |= not any(isinstance(each, SampleError) for each in found)
            return found

    def _one_by_one(self, samples: Sequence[Sample]) -> list[Explanation | SampleError]:
        return [found for sample in samples for found in self.explain([sample])]

    def _prove(self, samples: Sequence[Sample]) -> list[Explanation]:
        """Run a batch, and its first and last sample alone; these must be the same."""
        shapes: dict[str, tuple[int, ...]] = {}
        (first,) = self._run(samples[:1], seen=shapes)
        (last,) = self._run(samples[-1:])
        together = self._run(samples, alone=None if self._fixed_batch is not None else shapes)
        if not (_alike(first, together[0]) and _alike(last, together[-1])):
            raise _NotBatchableError
        # Samples that are the same prove nothing for others.
        self._proved = any(
            not np.array_equal(samples[0][name], samples[-1][name]) for name in samples[0]
        )
        return together

    def _run(
        self,
        samples: Sequence[Sample],
        *,
        alone: Shapes | None = None,
        seen: dict[str, tuple[int, ...]] | None = None,
    ) -> list[Explanation]:
        """Run a batch. `seen` is told all shapes; `alone` has those of a run of one sample."""
        count = self._fixed_batch or len(samples)
        feeds = self._stack([*samples, *[samples[-1]] * (count - len(samples))])
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
                    axes[tap.value] = self._batch_axis(tap.value, tap.axes, shapes, alone, count)
            plan = self._plan(taps, shapes, axes, activations.offsets, count, input_size)
            found.append((plan, plan.project(activations.arena, arrays, self._pool, self._threads)))
            value = self._graph.prediction
            if value is not None and value in arrays and outputs is None:
                axis = self._batch_axis(value, self._graph.prediction_axes, shapes, alone, count)
                outputs = [_take(arrays[value], sample, axis) for sample in range(count)]
        plans = tuple(plan for plan, _ in found)
        read_shapes = self._read_shapes.get_or_make(
            plans, lambda: find_read_shapes(self._graph, plans)
        )
        return [
            assemble(
                found,
                sample,
                graph=self._graph,
                read_shapes=read_shapes,
                output=None if outputs is None else outputs[sample],
                input_size=input_size,
                scene=self._scene,
            )
            for sample in range(len(samples))
        ]

    def _batch_axis(
        self, value: str, axes: Axes, shapes: Shapes, alone: Shapes | None, count: int
    ) -> int | None:
        """Axis of the samples in a value.

        Raises
        ------
        _NotBatchableError
            If a batch of several samples has not grown along the axis that the graph tells.
        SampleError
            If it is the model's own batch that is hidden in another axis.
        """
        shape, batch = shapes[value], axes.batch
        if count == 1:
            return single_batch_axis(shape, axes)
        if self._fixed_batch is not None and (batch is None or shape[batch : batch + 1] == (1,)):
            # One value for all samples of a batch that cannot be made smaller.
            return None
        fits = batch is not None and batch < len(shape) and shape[batch] == count
        if not fits and self._fixed_batch is not None:
            raise SampleError(
                f"the model's batch of {count} is not an axis of its own in {value!r} "
                f"{shape}; export the model with a batch of 1, or an open one"
            )
        if not fits or batch is None:
            raise _NotBatchableError
        if alone is not None and alone[value] != (*shape[:batch], 1, *shape[batch + 1 :]):
            raise _NotBatchableError
        return batch

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
                (
                    name,
                    shapes[tap.value],
                    axes[tap.value],
                    offsets.get(tap.value),
                    None if tap.source is None else shapes.get(tap.source),
                )
                for name, tap in taps.items()
            ),
        )
        return self._plans.get_or_make(
            key,
            lambda: MapPlan(
                taps,
                shapes,
                offsets,
                batch_size=count,
                batch_axes=axes,
                input_size=input_size,
                weigh=self._weigh,
                projection=self._projection,
            ),
        )

    def _weigh(self, name: str) -> SummedKernel:
        """A layer's kernel, read and summed once."""
        if name not in self._kernels:
            geometry = self._taps[name].geometry
            assert geometry is not None
            self._kernels[name] = sum_kernel(*self._graph.weights(name), geometry)
        return self._kernels[name]


class _NotBatchableError(Exception):
    """A model whose samples cannot run together."""


def _alike(first: Explanation, second: Explanation) -> bool:
    """Tell whether two results of one sample are the same, but for rounding."""
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (found.cam, second.maps[name].cam) for name, found in first.maps.items()
    ]
    if first.output is not None and second.output is not None and first.output.dtype.kind == "f":
        pairs.append((first.output, second.output))
    return all(_close(one, other) for one, other in pairs)


def _close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    finite = np.isfinite(one)
    if one.shape != other.shape or not np.array_equal(finite, np.isfinite(other)):
        return False
    scale = np.abs(one[finite]).max(initial=0)
    return bool(np.abs(one[finite] - other[finite]).max(initial=0) <= _ALIKE * scale)


def _take(array: NDArray[Any], sample: int, axis: int | None) -> NDArray[Any]:
    """One sample's own, read-only copy."""
    found = np.array(array if axis is None else np.take(array, sample, axis=axis))
    found.flags.writeable = False
    return found


def _fixed_batch(graph: ModelGraph) -> int | None:
    """The batch that the model's inputs fix, if they do."""
    sizes = [spec.shape[spec.axes.batch] for spec in graph.inputs if spec.axes.batch is not None]
    return max((size for size in sizes if size is not None), default=None)


def _insert(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    return shape if axis is None else (*shape[:axis], 1, *shape[axis:])
