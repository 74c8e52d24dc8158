"""Batches of inputs to results: how many samples run together, and where."""

from __future__ import annotations

import queue
import threading
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.lru import LruCache
from micam_fast.core.timing import StageTimes
from micam_fast.engine.batch_arrays import NotBatchableError
from micam_fast.engine.runner import Runner, Worker
from micam_fast.engine.sample_result import SampleResult
from micam_fast.engine.sessions import Sessions, SharedSessions
from micam_fast.engine.shaped_graphs import FindGraph
from micam_fast.engine.workspaces import SharedMemory, Workspace
from micam_fast.maps.taps import SummedKernel
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.merging import IS_BLOCKED
from micam_fast.samples import Arrays

# What suits most models, as measured. Large activations leave the caches, so that fewer samples
# are better; large weights are read once a batch, so that more of them have the use.
_USUAL_BATCH, _LARGEST_BATCH = 8, 32
_USUAL_BYTES = 64e6
# Of samples of many shapes.
_KEPT_RUNNERS = 64


class Pipeline:
    """A model under one projection, for the mean of frames or one of them.

    The numbers of a sample are the same bits whatever runs with it or beside it. Each thread takes
    a batch and does all that it needs, which was measured to be faster, too: nothing waits for
    another thread, and a batch stays in the caches of its core. A sample with no other beside it
    gets all threads, ONNX Runtime's where these do not change the bits, and the loops'.

    A model whose operators sum in an order of the batch's (`models.onnx.invariance`) runs one
    sample at a time. Of any other the first batch of several samples is proved: its first and
    another sample also run alone, each value must have grown along its batch axis and nowhere else,
    and their maps and outputs must be the same bits. A model that fails (a Reshape that fixes the
    batch, a mean over it) runs one sample at a time from then on. A batch that the model fixes is
    filled up with the last sample.
    """

    def __init__(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        find_graph: FindGraph,
        mapped: frozenset[str],
        projection: Projection,
        frame: int | None = None,
        activation_range: bool = False,
        *,
        threads: int,
        providers: Sequence[Any],
        memory: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._find_graph = find_graph
        self._mapped, self._projection, self._frame = mapped, projection, frame
        self._activation_range = activation_range
        self._runners: LruCache[ModelGraph, Runner] = LruCache(_KEPT_RUNNERS)
        self._sessions = SharedSessions(file, providers=providers, memory=memory)
        self._kernels: dict[str, SummedKernel] = {}
        # Key of sessions of the graph as it was opened, until samples have shapes of their own.
        self._unread: Hashable | None = None
        self._lock, self._proving = threading.RLock(), threading.RLock()
        # The newest; that of the graph as it was read when the model was opened to begin with.
        self._runner = self._runners[graph] = self._make_runner(graph)
        self._batching = self._runner.batching
        invariance = graph.reading.invariance
        shared = threads if invariance.threads and IS_BLOCKED else 1
        self._runner.sessions.check(shared)
        self._unread = next(iter(self._sessions), None)
        self.threads = threads
        # Whether each sample runs alone: a batch has other bits or does not work, or there is none.
        self._alone = not invariance.batch or any(s.axes.batch is None for s in graph.inputs)
        self._proved: set[ModelGraph] = set()
        self._memory = SharedMemory(memory)
        self._wide = Worker(Workspace(shared), pool, threads)
        self._narrow: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for _ in range(threads):
            self._narrow.put(Worker(Workspace(1)))

    @property
    def sessions(self) -> Sessions:
        """The model's sessions, those of the newest runner."""
        return self._runner.sessions

    def runner(self, graph: ModelGraph) -> Runner:
        """What runs batches of samples that a graph was read for."""
        newest = self._runner
        if newest.graph is not graph:
            with self._lock:
                newest = self._runners.get_or_make(graph, lambda: self._make_runner(graph))
                self._runner = newest
        return newest

    def _make_runner(self, graph: ModelGraph) -> Runner:
        return Runner(
            graph,
            self._mapped,
            self._projection,
            self._frame,
            self._activation_range,
            self._open_sessions,
            self._kernels,
        )

    def _open_sessions(self, graph: ModelGraph, wanted: Sequence[str]) -> Sessions:
        """Sessions for a graph; those of the graph as it was opened are let go."""
        key = self._sessions.key(graph, wanted)
        with self._lock:
            unread, self._unread = self._unread, None
            if unread not in (None, key):
                # They run nothing any more, and hold the weights.
                del self._sessions[unread]
            return self._sessions.find(graph, wanted)

    def outputs(self, graph: ModelGraph, sample: Arrays) -> list[dict[str, NDArray[Any]]]:
        """The model's outputs for one sample, as `Runner.outputs` gives them.

        Its threads are those of a lone sample, whose session is open.
        """
        return self.runner(graph).outputs(sample, Workspace(self._wide.workspace.threads))

    def batch_size(self, sample: Arrays, asked: int | None) -> int:
        """Samples in one run, by the model's own batch, the caller and the memory bound.

        They have the sample's shapes; `asked` is the most that is wanted.

        Raises
        ------
        SampleError
            If the model cannot run the sample.
        """
        if self._batching.fixed_batch is not None:
            return self._batching.fixed_batch
        # In the order of the samples: the first of a shape is the one that is compared.
        graph = self._find_graph(sample)
        if self._alone:
            return 1
        runner = self.runner(graph)
        if not runner.graph.reading.invariance.batch:
            return 1
        size = self._size(runner, sample, 1)
        weights = self.sessions.weights_size
        # A batch must not be what makes slices needed.
        fitting = max(1, self._memory.size // self.threads // size)
        if asked is not None:
            return min(asked, fitting)
        useful = min(max(_USUAL_BATCH, weights // size), _LARGEST_BATCH)
        return max(1, min(fitting, useful, round(max(_USUAL_BYTES, weights) / size)))

    def parts(self, count: int) -> int:
        """In how many parts a lone batch of so many samples runs, side by side."""
        return min(self.threads, 1 if self._batching.fixed_batch is not None else count)

    @contextmanager
    def wide(self, samples: Sequence[Arrays]) -> Iterator[Worker]:
        """The worker with all threads, for samples with no others beside them."""
        with (
            self._wide.workspace.lock,
            self._memory.taken(self._wide.workspace, self._needed(samples)),
        ):
            yield self._wide

    @contextmanager
    def narrow(self, samples: Sequence[Arrays]) -> Iterator[Worker]:
        """A worker of one thread, one of as many as there are threads."""
        worker = self._narrow.get()
        try:
            with self._memory.taken(worker.workspace, self._needed(samples)):
                yield worker
        finally:
            self._narrow.put(worker)

    def _needed(self, samples: Sequence[Arrays]) -> int:
        """Bytes of the activations of a batch."""
        count = self._batching.count(samples)
        if self._alone and self._batching.fixed_batch is None:
            count = 1
        try:
            runner = self.runner(self._find_graph(samples[0]))
        except SampleError:
            # The run itself tells why.
            return 1
        return self._size(runner, samples[0], count)

    def _size(self, runner: Runner, sample: Arrays, count: int) -> int:
        """Bytes of the activations of so many samples."""
        shapes = {name: array.shape for name, array in sample.items()}
        fed = runner.batching.fed_shapes(shapes, count)
        return max(1, runner.sessions.size(fed, count))

    def run(
        self, samples: Sequence[Arrays], worker: Worker, stages: StageTimes
    ) -> list[SampleResult | SampleError]:
        """Run a batch; one at a time if the model cannot take several, or the batch fails."""
        if len(samples) > 1 and self._alone:
            return self._one_by_one(samples, worker, stages)
        try:
            runner = self.runner(self._find_graph(samples[0]))
            if len(samples) > 1 and runner.graph not in self._proved:
                with self._proving:
                    return list(self._prove(runner, samples, worker, stages))
            return list(runner.run(samples, worker, stages))
        except NotBatchableError:
            self._alone = True
            return self._one_by_one(samples, worker, stages)
        except SampleError as error:
            if len(samples) == 1:
                return [error]
            found = self._one_by_one(samples, worker, stages)
            # Each sample alone, but not together: there is no use in trying that again.
            self._alone |= not any(isinstance(each, SampleError) for each in found)
            return found

    def _one_by_one(
        self, samples: Sequence[Arrays], worker: Worker, stages: StageTimes
    ) -> list[SampleResult | SampleError]:
        return [found for sample in samples for found in self.run([sample], worker, stages)]

    def _prove(
        self, runner: Runner, samples: Sequence[Arrays], worker: Worker, stages: StageTimes
    ) -> list[SampleResult]:
        """Run a batch, and two of its samples alone; these must be the same."""
        if runner.graph in self._proved:
            return runner.run(samples, worker, stages)
        # The last one, or the last that is not the first again: the same sample proves nothing.
        places = range(len(samples) - 1, 0, -1)
        place = next((i for i in places if _differ(samples[0], samples[i])), -1)
        shapes: dict[str, tuple[int, ...]] = {}
        (first,) = runner.run(samples[:1], worker, stages, seen=shapes)
        (other,) = runner.run([samples[place]], worker, stages)
        alone = None if self._batching.fixed_batch is not None else shapes
        together = runner.run(samples, worker, stages, alone=alone)
        if not (_alike(first, together[0]) and _alike(other, together[place])):
            raise NotBatchableError
        if place > 0:
            self._proved.add(runner.graph)
        return together


def _differ(one: Arrays, other: Arrays) -> bool:
    return any(not np.array_equal(array, other[name]) for name, array in one.items())


def _alike(first: SampleResult, second: SampleResult) -> bool:
    """Tell whether two results of one sample are the same bits."""
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (cam, second.cams[name]) for name, cam in first.cams.items()
    ]
    if first.output is not None and second.output is not None:
        pairs.append((first.output, second.output))
    if first.prediction is not None and second.prediction is not None:
        pairs.append((first.prediction.probabilities, second.prediction.probabilities))
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)
