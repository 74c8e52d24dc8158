"""Streams of samples: batches run side by side, one to each thread, results come in order."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from micam_fast.core.errors import SampleError
from micam_fast.core.timing import StageTimes
from micam_fast.engine.pipeline import Pipeline
from micam_fast.engine.runner import Worker
from micam_fast.engine.sample_result import SampleResult
from micam_fast.engine.threads import is_working, working
from micam_fast.samples import Arrays

Found = SampleResult | SampleError
Result = TypeVar("Result")


@dataclass(eq=False)
class StreamedSample:
    """A sample on its way through the engine, and what became of it.

    Attributes
    ----------
    index
        Its place in the stream.
    arrays
        By input name, in the model's layout, or why there are none; empty once they have been run.
    found
        What the engine made of it; ``None`` until it has been run.
    seconds
        That it took so far: its share of its batch, waiting for memory included.
    """

    index: int
    arrays: Arrays | SampleError
    found: Found | None = None
    seconds: float = 0.0


Streamed = TypeVar("Streamed", bound=StreamedSample)
Finish = Callable[[Streamed], Result]
"""Goes on with a sample that was run, in the thread that ran it."""


def stream(
    pipeline: Pipeline,
    samples: Iterable[Streamed],
    finish: Finish[Streamed, Result],
    *,
    batch_size: int | None,
    pool: ThreadPoolExecutor | None,
    stages: StageTimes,
) -> Iterator[Result]:
    """Run samples, and go on with each in the thread that ran it.

    A lone batch is shared by all threads, and a lone sample, too. Of several batches, as many as
    there are threads and one more are held at a time, whatever the length of the stream.

    Parameters
    ----------
    finish
        What is done with each sample; its results are given out, in the order of the samples.
    batch_size
        Most samples in a batch; ``None`` for what suits the model.
    pool
        As many threads as the pipeline has; ``None`` if the caller is one of as many threads, each
        of which has a stream of its own.
    """
    work = _BatchWork(pipeline, finish, stages)
    batches = _cut(pipeline, samples, batch_size)
    if pool is None:
        for batch in batches:
            yield from work.narrow(batch)
    # What a sample is used for may be to run others: a thread of the pool must not wait for it.
    elif pipeline.threads == 1 or is_working():
        for batch in batches:
            yield from map(finish, work.run(batch, pipeline.wide))
    else:
        first, second = next(batches, None), next(batches, None)
        if first is not None and second is not None:
            yield from _side_by_side(work, itertools.chain([first, second], batches), pool)
        elif first is not None:
            yield from _spread(work, first, pool)


class _BatchWork(Generic[Streamed, Result]):
    """What is done with a batch, in the thread that calls."""

    def __init__(
        self, pipeline: Pipeline, finish: Finish[Streamed, Result], stages: StageTimes
    ) -> None:
        self.pipeline, self._finish, self._stages = pipeline, finish, stages

    def run(
        self,
        batch: list[Streamed],
        worker: Callable[[Sequence[Arrays]], AbstractContextManager[Worker]],
    ) -> list[Streamed]:
        """Run a batch; one of a single sample may be one that failed before."""
        start = time.perf_counter()
        feeds = [each.arrays for each in batch if not isinstance(each.arrays, SampleError)]
        found: list[Found] = [each.arrays for each in batch if isinstance(each.arrays, SampleError)]
        if feeds:
            with worker(feeds) as chosen:
                found = self.pipeline.run(feeds, chosen, self._stages)
        share = (time.perf_counter() - start) / len(batch)
        for sample, own in zip(batch, found, strict=True):
            sample.arrays, sample.found = {}, own
            sample.seconds += share
        return batch

    def narrow(self, batch: list[Streamed]) -> list[Result]:
        """Run a batch in one thread, and finish its samples."""
        with working():
            return [self._finish(sample) for sample in self.run(batch, self.pipeline.narrow)]

    def finish(self, sample: Streamed) -> Result:
        """Finish a sample in a thread of the pool that did not run it."""
        with working():
            return self._finish(sample)


def _spread(
    work: _BatchWork[Streamed, Result], batch: list[Streamed], pool: ThreadPoolExecutor
) -> Iterator[Result]:
    """A lone batch over all threads: in parts, or by the threads of one run."""
    parts = work.pipeline.parts(len(batch))
    if parts == 1:
        yield from pool.map(work.finish, work.run(batch, work.pipeline.wide))
        return
    size = math.ceil(len(batch) / parts)
    pieces = (batch[begin : begin + size] for begin in range(0, len(batch), size))
    yield from _side_by_side(work, pieces, pool)


def _side_by_side(
    work: _BatchWork[Streamed, Result], batches: Iterable[list[Streamed]], pool: ThreadPoolExecutor
) -> Iterator[Result]:
    """Each batch in a thread of its own; results in the order of the samples."""
    pending: deque[Future[list[Result]]] = deque()
    try:
        for batch in batches:
            pending.append(pool.submit(work.narrow, batch))
            if len(pending) > work.pipeline.threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        for waiting in pending:
            waiting.cancel()


def _cut(
    pipeline: Pipeline, samples: Iterable[Streamed], batch_size: int | None
) -> Iterator[list[Streamed]]:
    """Consecutive samples of the same shapes; those that failed go alone."""
    for _, group in itertools.groupby(samples, key=_shapes):
        first = next(group)
        size = _batch_size(pipeline, first.arrays, batch_size)
        group = itertools.chain([first], group)
        while batch := list(itertools.islice(group, size)):
            yield batch


def _batch_size(pipeline: Pipeline, arrays: Arrays | SampleError, asked: int | None) -> int:
    """Samples in a batch; one that failed, or that the model cannot run, goes alone."""
    if isinstance(arrays, SampleError):
        return 1
    try:
        return pipeline.batch_size(arrays, asked)
    except SampleError:
        return 1


def _shapes(sample: StreamedSample) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
    if isinstance(sample.arrays, SampleError):
        return None
    return tuple((name, array.shape) for name, array in sample.arrays.items())


def number_samples(samples: Iterable[Arrays | SampleError]) -> Iterator[StreamedSample]:
    """Records for a stream of samples that have nothing but their arrays."""
    return itertools.starmap(StreamedSample, enumerate(samples))


def take_found(sample: StreamedSample) -> Found:
    """What the engine made of a sample that was run: for `stream`, where nothing else is done."""
    assert sample.found is not None
    return sample.found


def run_in_thread(
    pipeline: Pipeline, samples: Iterable[Arrays | SampleError], batch_size: int | None = None
) -> Iterator[Found]:
    """What the engine makes of samples, in the calling thread, which is one of several."""
    numbered, stages = number_samples(samples), StageTimes()
    return stream(pipeline, numbered, take_found, batch_size=batch_size, pool=None, stages=stages)
