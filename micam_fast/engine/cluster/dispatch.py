"""A run on a cluster: chunks out, results back in their order, each once."""

from __future__ import annotations

import pickle
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from micam_fast.core.errors import ClusterError, MicamError, SampleError
from micam_fast.core.extras import import_extra
from micam_fast.engine.cluster.connecting import WAIT, Cluster, tell_facts
from micam_fast.engine.cluster.plugins import chunk_task, scheduler_plugin, worker_plugin
from micam_fast.engine.cluster.shipment import ChunkWork, pack
from micam_fast.engine.loaded_model import LoadedModel

_CHUNKS_A_THREAD = 2
_LOOK = 1.0
"""Seconds between looks at the cluster."""
_DIED = "the workers that ran it died, one after the other (of a crash, or out of memory)"


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """What became of a chunk, or of one sample of a chunk that no worker survived.

    Attributes
    ----------
    chunk
        As it was given, or its part.
    result
        What the run's work gave; an error where the workers died of it.
    seconds
        That it took.
    """

    chunk: list[Any]
    result: Any
    seconds: float


class ClusterRun:
    """One model and one kind of work on a cluster, by a name of its own; see `open_run`."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name
        self._distributed = import_extra("distributed", extra="distributed", purpose="a run")
        self._task = chunk_task()
        self._count = 0
        self._threads, self._looked, self._seen = 0, 0.0, time.monotonic()

    def each(self, chunks: Iterator[list[Any]]) -> Iterator[ChunkResult]:
        """Do chunks; a few for each thread of the cluster are in hand at a time.

        A chunk whose worker is lost is done by another one. Where Dask gives a chunk up, because
        several workers were lost while they had it, its samples are done one by one, with nothing
        beside them.

        Yields
        ------
        Done
            In the order of the chunks.

        Raises
        ------
        MicamError
            What the work raised.
        ClusterError
            If the scheduler or all workers are lost.
        """
        pending: deque[tuple[list[Any], Any]] = deque()
        try:
            for chunk in chunks:
                pending.append((chunk, self._submit(chunk)))
                while len(pending) >= self._window():
                    yield from self._take(pending)
            while pending:
                yield from self._take(pending)
        finally:
            client = self._cluster.client
            _apart(client, lambda: client.cancel([future for _, future in pending]))

    def _take(self, pending: deque[tuple[list[Any], Any]]) -> Iterator[ChunkResult]:
        """What has become of the oldest chunk, once that is known."""
        chunk, future = pending[0]
        found = self._wait(future)
        if found is not None:
            pending.popleft()
            yield ChunkResult(chunk, *found)
            return
        # Others may have died with the guilty one; from now on each runs alone.
        for _, other in list(pending)[1:]:
            self._settle(other)
        pending.popleft()
        for item in chunk:
            found = self._wait(self._submit([item]))
            yield ChunkResult([item], *((SampleError(_DIED), 0.0) if found is None else found))

    def _wait(self, future: Any) -> tuple[Any, float] | None:
        """The result of a chunk; ``None`` if its workers died."""
        self._settle(future)
        try:
            result: tuple[Any, float] = future.result()
            return result
        except self._distributed.KilledWorker:
            return None
        except MicamError:
            raise
        except ModuleNotFoundError as error:
            missing = (error.name or str(error)).partition(".")[0]
            raise ClusterError(
                f"a worker of {self._cluster.address} has no {missing}; install the same on all "
                "machines"
            ) from None
        except self._distributed.CancelledError:
            raise self._cluster.lost() from None

    def _settle(self, future: Any) -> None:
        """Wait until a chunk is done, in whatever way."""
        settled = threading.Event()
        future.add_done_callback(lambda _: settled.set())
        while not settled.wait(_LOOK):
            self._look()

    def _submit(self, chunk: list[Any]) -> Any:
        self._count += 1
        try:
            # More than the advised size is one sample, which cannot be cut.
            with import_extra("dask", extra="distributed", purpose="a run").config.set(
                {"distributed.admin.large-graph-warning-threshold": "1TB"}
            ):
                return self._cluster.client.submit(
                    self._task,
                    self._name,
                    pickle.dumps(chunk, protocol=5),
                    key=f"{self._name}-{self._count}",
                    fifo_timeout="0ms",
                )
        except self._cluster.errors as error:
            raise self._cluster.lost() from error

    def _window(self) -> int:
        if time.monotonic() - self._looked > _LOOK:
            self._look()
        return max(1, _CHUNKS_A_THREAD * self._threads)

    def _look(self) -> None:
        """Find out how many workers there are."""
        if self._cluster.client.status in ("closed", "closing"):
            raise self._cluster.lost()
        self._looked = time.monotonic()
        self._threads = self._cluster.threads()
        if self._threads:
            self._seen = self._looked
        elif self._looked - self._seen > WAIT:
            raise ClusterError(f"all workers of {self._cluster.address} are gone, for {WAIT:g} s")


@contextmanager
def open_run(cluster: Cluster, model: LoadedModel, work: ChunkWork) -> Iterator[ClusterRun]:
    """Send a model and its work to the workers, and take them away in the end.

    Several runs may share a cluster.

    Raises
    ------
    ClusterError
        If the model is too large, or the scheduler is gone.
    """
    name = f"micam-fast-{secrets.token_hex(8)}"
    content = pickle.dumps(pack(model, work), protocol=5)
    client = cluster.client
    try:
        # First, so that nothing is left even if this process is killed; only a scheduler that
        # takes no plugins goes without.
        with suppress(Exception):
            client.register_plugin(scheduler_plugin(name, client.id), name=name)
        client.register_plugin(worker_plugin(name, content, tell_facts()), name=name)
    except cluster.errors as error:
        raise cluster.lost() from error
    try:
        yield ClusterRun(cluster, name)
    finally:
        _apart(client, lambda: client.unregister_worker_plugin(name))
        _apart(client, lambda: client.unregister_scheduler_plugin(name))


def _apart(client: Any, end: Callable[[], object]) -> None:
    """Take something away from a cluster; one that is gone holds nothing."""

    def act() -> None:
        with suppress(Exception):
            end()

    if client.asynchronous:
        # An abandoned stream ends in any thread, the client's own included, which must not wait.
        threading.Thread(target=act, daemon=True).start()
    else:
        act()
