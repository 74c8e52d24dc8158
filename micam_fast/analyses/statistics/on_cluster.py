"""Statistics of a data set by the workers of a cluster."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from micam_fast.analyses.statistics.measuring import (
    Measuring,
    OnSample,
    Tag,
    multiply_adds,
)
from micam_fast.analyses.statistics.results import Statistics
from micam_fast.core.errors import SampleError
from micam_fast.engine.activations import ActivationStream
from micam_fast.engine.cluster.chunks import cut, weigh
from micam_fast.engine.cluster.connecting import use_client
from micam_fast.engine.cluster.dispatch import open_run
from micam_fast.engine.cluster.shipment import compare_first
from micam_fast.engine.loaded_model import LoadedModel, SampleLike
from micam_fast.engine.streaming import run_in_thread
from micam_fast.engine.untouched import Outcome
from micam_fast.samples import Arrays

_FEWEST, _MOST = 32, 2048
_BYTES = 64_000_000
# Of this order on any machine: bytes a second between processes, products a second of a thread.
_SENT, _MULTIPLIED = 2e8, 1e10
_LEAST_SECONDS = 1e-3
_SHARE = 0.1

TaggedArrays = tuple[int, Arrays | SampleError, Tag]


class _Measure:
    """What a worker does with a chunk of samples and their tags.

    The covariances of all its threads may take `memory` bytes; ``None`` for the model's own.
    """

    def __init__(self, measuring: Measuring, memory: int | None) -> None:
        self._measuring, self._memory = measuring, memory
        self._lock = threading.Lock()
        self._activations: ActivationStream | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Measure, (self._measuring, self._memory)

    def __call__(
        self, model: LoadedModel, chunk: list[TaggedArrays]
    ) -> tuple[Statistics, dict[str, Outcome]]:
        memory = model.memory if self._memory is None else self._memory
        found = self._measuring.measure(
            model,
            [sample for _, sample, _ in chunk],
            iter([tag for _, _, tag in chunk]),
            activations=self._open(model),
            explain=functools.partial(run_in_thread, model.pipeline("published")),
            memory=max(1, memory // model.threads),
            first=chunk[0][0],
        )
        # The caller has found these for itself.
        found.linear, found.rank_limits = {}, {}
        return found, dict(model.outcomes)

    def _open(self, model: LoadedModel) -> ActivationStream:
        """The model for one sample at a time; each thread of the worker has a stream of its own."""
        with self._lock:
            if self._activations is None:
                self._activations = ActivationStream(
                    model.file,
                    model.graph,
                    model.find_graph,
                    self._measuring.names,
                    threads=1,
                    providers=model.providers,
                    memory=max(1, model.memory // model.threads),
                )
            return self._activations


def measure_on(
    client: Any,
    model: LoadedModel,
    samples: Iterable[SampleLike | SampleError],
    tags: Iterator[Tag],
    measuring: Measuring,
    memory: int | None,
    done: OnSample,
) -> Statistics:
    """Do what `Measuring.measure` does, on the workers of a client of ``dask.distributed``.

    Covariances may take `memory` bytes on each worker and here, by default as much as activations
    may take there.

    Raises
    ------
    ClusterError
        If the client is closed, or its workers are lost or of other versions.
    """
    cluster = use_client(client)
    shapes: dict[str, tuple[int, ...]] = {}

    def items() -> Iterator[TaggedArrays]:
        for index, sample in enumerate(samples):
            fitted = model.fit(sample)
            if not isinstance(fitted, SampleError):
                shapes.update((name, array.shape) for name, array in fitted.items())
            yield index, fitted, next(tags)

    bound = model.memory if memory is None else memory
    found = measuring.begin(model)
    ranked = frozenset() if measuring.positions == 0 else measuring.names - found.linear.keys()
    size = 0

    def count() -> int:
        nonlocal size
        size = size or chunk_size(model, ranked, shapes)
        return size

    given = compare_first(model, items(), lambda item: item[1])
    with open_run(cluster, model, _Measure(measuring, memory)) as run:
        chunks = cut(given, count, lambda item: weigh(item[1]), largest=_BYTES)
        for each in run.each(chunks):
            if isinstance(each.result, SampleError):
                found.failed.append((each.chunk[0][0], each.result))
            else:
                part, outcomes = each.result
                model.learn(outcomes)
                found.merge(part)
                found.limit(bound)
            failed = dict(found.failed[-len(each.chunk) :])
            for index, _, _ in each.chunk:
                done(index, failed.get(index))
    return found


def chunk_size(
    model: LoadedModel, ranked: Collection[str], shapes: Mapping[str, tuple[int, ...]]
) -> int:
    """Samples in a chunk, so that sending its covariances back takes a tenth of the time.

    It is the same for each run, whatever the cluster, and so are the bits of what is merged. The
    layers `ranked` have a covariance of their own; `shapes`, by input name, are those of one
    sample, and empty where none is known.
    """
    sent = products = 0.0
    for layer in model.layers:
        shape = [size or 1 for size in layer.output_shape or ()]
        tap = model.graph.taps[layer.name]
        axis = tap.axes.completed(len(shape)).channel
        flat = tap.form == "flat" or len(shape) < 3 or axis is None
        channels = math.prod(shape) if flat else shape[axis or 0]
        if layer.name in ranked:
            sent += 4.0 * channels**2
            products += channels * math.prod(shape) / 2
    if shapes:
        products += sum(each or 0 for each in multiply_adds(model.known_graph(shapes)).values())
    seconds = _LEAST_SECONDS + products / _MULTIPLIED
    return min(max(_FEWEST, math.ceil(sent / _SENT / _SHARE / seconds)), _MOST)
