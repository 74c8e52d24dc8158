"""Streams of samples: batches run side by side, one to each thread, results come in order."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from numpy.typing import NDArray

from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import SampleError
from micam_fast.core.timing import Stages
from micam_fast.engine.pipeline import Pipeline
from micam_fast.engine.runner import Worker

Result = TypeVar("Result")
Found = Explanation | SampleError
Feed = dict[str, NDArray[Any]]
Batch = list[tuple[int, Feed | SampleError]]
Then = Callable[[int, Found], Result]
"""Takes the index of a sample and what was found; runs in the thread that found it."""


def stream(
    pipeline: Pipeline,
    samples: Iterable[Feed | SampleError],
    batch_size: int | None,
    then: Then[Result],
    pool: ThreadPoolExecutor | None,
    stages: Stages,
) -> Iterator[Result]:
    """Explain samples, and go on with each in the thread that explained it.

    A lone batch is shared by all threads, and a lone sample, too. Of several batches, as many as
    there are threads and one more are held at a time, whatever the length of the stream.

    Parameters
    ----------
    pipeline
        The model.
    samples
        Arrays by input name, or why there are none.
    batch_size
        Most samples in a batch; ``None`` for what suits the model.
    then
        What is done with each sample; its results are given out, in the order of the samples.
    pool
        As many threads as the pipeline has; ``None`` if the caller is one of as many threads, each
        of which has a stream of its own.
    stages
        Is told how long things take.
    """

    def explain(
        batch: Batch, way: Callable[[list[Feed]], AbstractContextManager[Worker]]
    ) -> list[tuple[int, Found, float]]:
        start = time.perf_counter()
        feeds = [each for _, each in batch if not isinstance(each, SampleError)]
        found: list[Found] = [each for _, each in batch if isinstance(each, SampleError)]
        if feeds:
            with way(feeds) as worker:
                found = pipeline.explain(feeds, worker, stages)
        share = (time.perf_counter() - start) / len(batch)
        return [(index, each, share) for (index, _), each in zip(batch, found, strict=True)]

    def tell(index: int, found: Found, share: float) -> Result:
        _thread.share = share
        return then(index, found)

    def run(batch: Batch) -> list[Result]:
        with working():
            return list(itertools.starmap(tell, explain(batch, pipeline.narrow)))

    def go_on(index: int, found: Found, share: float) -> Result:
        with working():
            return tell(index, found, share)

    batches = _batches(pipeline, samples, batch_size)
    if pool is None:
        for batch in batches:
            yield from run(batch)
        return
    # What a sample is used for may be to explain others: a thread of the pool must not wait for it.
    alone = pipeline.threads == 1 or getattr(_thread, "works", False)
    first = next(batches, None)
    second = None if alone else next(batches, None)
    if first is None:
        return
    if alone:
        for batch in itertools.chain([first], batches):
            yield from itertools.starmap(tell, explain(batch, pipeline.wide))
        return
    rest = [] if second is None else [second]
    if second is None:
        parts = pipeline.parts(len(first))
        if parts == 1:
            yield from pool.map(go_on, *zip(*explain(first, pipeline.wide), strict=True))
            return
        size = math.ceil(len(first) / parts)
        first, *rest = (first[begin : begin + size] for begin in range(0, len(first), size))
    pending: deque[Future[list[Result]]] = deque()
    try:
        for batch in itertools.chain([first], rest, batches):
            pending.append(pool.submit(run, batch))
            if len(pending) > pipeline.threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        for waiting in pending:
            waiting.cancel()


_thread = threading.local()


@contextmanager
def working() -> Iterator[None]:
    """Mark the thread as one of a pool, while it works on a sample; see `stream`."""
    _thread.works = True
    try:
        yield
    finally:
        _thread.works = False


def explained_in() -> float:
    """Seconds that it took to explain the sample that this thread goes on with.

    Its share of its batch, waiting for a worker and for memory included.
    """
    found: float = getattr(_thread, "share", 0.0)
    return found


def _batches(
    pipeline: Pipeline, samples: Iterable[Feed | SampleError], batch_size: int | None
) -> Iterator[Batch]:
    """Consecutive samples of the same shapes, with their indices; samples that failed go alone."""
    for shapes, group in itertools.groupby(enumerate(samples), key=lambda each: _shapes(each[1])):
        size = 1 if shapes is None else pipeline.batch_size(dict(shapes), batch_size)
        while batch := list(itertools.islice(group, size)):
            yield batch


def _shapes(sample: Feed | SampleError) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
    if isinstance(sample, SampleError):
        return None
    return tuple((name, array.shape) for name, array in sample.items())
