"""One batch through a model: what it is fed, the plan of its maps, its results."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import spatial_input_size, view_inputs
from micam_fast.core.choices import Projection
from micam_fast.core.layers import Tap
from micam_fast.core.lru import LruCache
from micam_fast.core.timing import StageTimes
from micam_fast.engine.batch_arrays import Batching, Shapes
from micam_fast.engine.onnx_runtime import Activations
from micam_fast.engine.result_builder import ResultBuilder
from micam_fast.engine.sample_result import SampleResult
from micam_fast.engine.sessions import Sessions
from micam_fast.engine.workspaces import Workspace
from micam_fast.maps.plan import BatchMaps, MapPlan
from micam_fast.maps.taps import SummedKernel, sum_kernel
from micam_fast.models.onnx import ModelGraph
from micam_fast.samples import Arrays

_KEPT_PLANS = 128

OpenSessions = Callable[[ModelGraph, Sequence[str]], Sessions]
"""Gives the sessions for a graph of which some values are wanted."""


@dataclass(frozen=True, eq=False)
class Worker:
    """Where a batch runs: a workspace of ONNX Runtime, and who runs the loops.

    Attributes
    ----------
    workspace
        Memory and threads of ONNX Runtime.
    pool, threads
        Of the loops; without a pool the calling thread runs them.
    prepared
        Plans that fit the lane's activations, whose places do not change from batch to batch.
    """

    workspace: Workspace
    pool: ThreadPoolExecutor | None = None
    threads: int = 1
    prepared: WeakKeyDictionary[Activations, _Prepared] = field(default_factory=WeakKeyDictionary)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A plan for activations and inputs of these shapes.

    `given` are the values among them that results hold or are read from, with their batch axes.
    """

    plan: MapPlan
    fed: tuple[tuple[int, ...], ...]
    given: Mapping[str, int | None]


class Runner:
    """Runs batches of a model under one projection, for the mean of frames or one of them.

    The layers `mapped` get a map. Runners of a model share the `kernels` that they have summed.
    """

    def __init__(
        self,
        graph: ModelGraph,
        mapped: frozenset[str],
        projection: Projection,
        frame: int | None,
        activation_range: bool,
        open_sessions: OpenSessions,
        kernels: dict[str, SummedKernel],
    ) -> None:
        self.graph, self._projection, self._frame = graph, projection, frame
        self._activation_range = activation_range
        self._taps = {
            layer.name: graph.taps[layer.name] for layer in graph.layers if layer.name in mapped
        }
        read = {tap.value for name, tap in self._taps.items() if name not in graph.pointwise}
        self._pointwise = {
            name: found
            for name, found in graph.pointwise.items()
            if name in self._taps and found.source in read
        }
        wanted = [tap.value for name, tap in self._taps.items() if name not in self._pointwise]
        # Values that are computed from another one have its shape.
        self._shaped_as = {self._taps[n].value: p.source for n, p in self._pointwise.items()}
        if projection == "transposed":
            sources = [tap.source for tap in self._taps.values() if tap.source is not None]
            wanted += [value for value in sources if value not in self._shaped_as]
        wanted += graph.given
        # The others are compared with those of the untouched file.
        outputs = [each.value for each in graph.outputs]
        wanted += [value for value in outputs if value not in self._shaped_as]
        self._open_sessions, self._wanted = open_sessions, wanted
        self._sessions: weakref.ref[Sessions] | None = None
        self.batching = Batching(graph)
        self._plans: LruCache[tuple[Any, ...], MapPlan] = LruCache(_KEPT_PLANS)
        self._builders: LruCache[tuple[MapPlan, ...], ResultBuilder] = LruCache(_KEPT_PLANS)
        self._kernels = kernels
        # Workers share the plans.
        self._lock = threading.Lock()

    @property
    def sessions(self) -> Sessions:
        """The sessions that run the graph; no runner holds those that others have replaced."""
        # To ask the pipeline takes as long as a small layer.
        found = None if self._sessions is None else self._sessions()
        if found is None:
            found = self._open_sessions(self.graph, self._wanted)
            self._sessions = weakref.ref(found)
        return found

    def run(
        self,
        samples: Sequence[Arrays],
        worker: Worker,
        stages: StageTimes,
        *,
        alone: Shapes | None = None,
        seen: dict[str, tuple[int, ...]] | None = None,
    ) -> list[SampleResult]:
        """Run a batch.

        Parameters
        ----------
        samples
            Of the same shapes.
        alone
            Shapes of all values in a run of one sample, to compare the batch's with.
        seen
            Records all shapes.

        Raises
        ------
        NotBatchableError
            If a batch of several samples has not grown along the axes that the graph tells.
        SampleError
            If ONNX Runtime cannot run the batch.
        """
        count = self.batching.count(samples)
        feeds = self.batching.stack(samples)
        shapes = {} if seen is None else seen
        shapes.update((name, array.shape) for name, array in feeds.items())
        input_size = spatial_input_size(view_inputs(self.graph.inputs, shapes))
        plans: list[MapPlan] = []
        found: list[BatchMaps] = []
        given: dict[str, list[NDArray[Any]]] = {}
        pending = dict(self._taps)
        runs = self.sessions.run(feeds, count, worker.workspace)
        while True:
            with stages.stage("forward pass"):
                activations = next(runs, None)
            if activations is None:
                break
            arrays = {**feeds, **activations.arrays}
            shapes.update((name, array.shape) for name, array in activations.arrays.items())
            with stages.stage("maps"):
                # Inputs that no activation depends on may have changed their shapes.
                fed = tuple(array.shape for array in feeds.values())
                prepared = worker.prepared.get(activations)
                if prepared is None or alone is not None or prepared.fed != fed:
                    prepared = self._prepare(
                        pending, activations.offsets, arrays, shapes, alone, count, input_size, fed
                    )
                    worker.prepared[activations] = prepared
                plan = prepared.plan
                plans.append(plan)
                found.append(
                    plan.project(
                        activations.arena,
                        arrays,
                        worker.workspace.staging(plan.staging),
                        pool=worker.pool,
                        workers=worker.threads,
                    )
                )
                pending = {name: tap for name, tap in pending.items() if name not in plan.taps}
                for value, axis in prepared.given.items():
                    if value not in given:
                        own = (_take(arrays[value], sample, axis) for sample in range(count))
                        given[value] = list(own)
        with stages.stage("maps"):
            with self._lock:
                key = tuple(plans)
                builder = self._builders.get_or_make(
                    key, lambda: ResultBuilder(self.graph, key, self._frame)
                )
            return [
                builder.build(
                    found,
                    sample,
                    fed=samples[sample],
                    given={value: own[sample] for value, own in given.items()},
                    input_size=input_size,
                )
                for sample in range(len(samples))
            ]

    def outputs(self, sample: Arrays, workspace: Workspace) -> list[dict[str, NDArray[Any]]]:
        """The model's outputs for one sample: as the session gives them, and as maps have them.

        The two differ in outputs that follow from another layer's activation.
        """
        feeds = self.batching.stack([sample])
        names = [each.value for each in self.graph.outputs]
        layers = {self._taps[n].value: n for n in self._pointwise}
        given: dict[str, NDArray[Any]] = {}
        followed: dict[str, NDArray[Any]] = {}
        for activations in self.sessions.run(feeds, self.batching.count([sample]), workspace):
            arrays = {**feeds, **activations.arrays}
            given.update((name, arrays[name].copy()) for name in names if name in arrays)
            for name in names:
                layer = layers.get(name)
                if layer is not None and self._pointwise[layer].source in arrays:
                    function, channel = self._pointwise[layer], self._taps[layer].axes.channel
                    assert channel is not None
                    followed[name] = function.apply(arrays[function.source], channel)
        return [followed | given, given | followed]

    def _prepare(
        self,
        pending: Mapping[str, Tap],
        offsets: Mapping[str, int],
        arrays: Mapping[str, NDArray[Any]],
        shapes: dict[str, tuple[int, ...]],
        alone: Shapes | None,
        count: int,
        input_size: tuple[int, int],
        fed: tuple[tuple[int, ...], ...],
    ) -> _Prepared:
        """Plan the maps of those layers whose activations, or what they follow from, are there."""
        batch_axis = self.batching.batch_axis
        axes = {spec.name: spec.axes.batch for spec in self.graph.inputs}
        taps = {}
        for name, tap in pending.items():
            value = self._read_value(name)
            if value in arrays:
                taps[name] = tap
                if value not in axes:
                    axes[value] = batch_axis(value, tap.axes, shapes, count, alone)
        for value, source in self._shaped_as.items():
            if source in shapes:
                shapes[value] = shapes[source]
        given = {
            value: batch_axis(value, own, shapes, count, alone)
            for value, own in self.graph.given.items()
            if value in arrays
        }
        with self._lock:
            plan = self._plan(taps, shapes, axes, offsets, count, input_size)
        return _Prepared(plan, fed, given)

    def _read_value(self, name: str) -> str:
        """The ONNX value that a layer's map is computed from."""
        found = self._pointwise.get(name)
        return self._taps[name].value if found is None else found.source

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
                    shapes[value],
                    axes[value],
                    offsets.get(value),
                    None if tap.source is None else shapes.get(tap.source),
                )
                for name, tap in taps.items()
                for value in (self._read_value(name),)
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
                pointwise=self._pointwise,
                frame=self._frame,
                activation_range=self._activation_range,
            ),
        )

    def _weigh(self, name: str) -> SummedKernel:
        """A layer's kernel, read and summed once."""
        if name not in self._kernels:
            geometry = self._taps[name].geometry
            assert geometry is not None
            self._kernels[name] = sum_kernel(*self.graph.weights(name), geometry)
        return self._kernels[name]


def _take(array: NDArray[Any], sample: int, axis: int | None) -> NDArray[Any]:
    """One sample's own, read-only copy."""
    found = np.array(array if axis is None else np.take(array, sample, axis=axis))
    found.flags.writeable = False
    return found
