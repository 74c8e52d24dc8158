"""What a worker holds of the runs that it works for."""

from __future__ import annotations

import pickle
import threading
import time
from typing import Any

from micam_fast.core.errors import ClusterError
from micam_fast.engine.cluster.connecting import Facts, check_facts, tell_facts
from micam_fast.engine.cluster.shipment import ChunkWork, Shipment
from micam_fast.engine.loaded_model import LoadedModel

_held: dict[str, _Held] = {}


class _Held:
    """A run's model, opened when the first chunk comes."""

    def __init__(
        self, content: bytes, facts: Facts, worker: str, threads: int, memory_limit: int | None
    ) -> None:
        self._content, self._threads, self._memory_limit = content, threads, memory_limit
        self._facts, self._worker = facts, worker
        self._lock = threading.Lock()
        self._opened: tuple[LoadedModel, ChunkWork] | None = None

    def open(self) -> tuple[LoadedModel, ChunkWork]:
        with self._lock:
            if self._opened is None:
                # A worker that joined late was not looked at before.
                check_facts(self._worker, tell_facts(), self._facts)
                shipment: Shipment = pickle.loads(self._content)
                model = shipment.open(self._threads, self._memory_limit)
                self._opened, self._content = (model, shipment.work), b""
            return self._opened


def hold(
    run: str, content: bytes, facts: Facts, worker: str, threads: int, memory_limit: int | None
) -> None:
    """Take a pickled `Shipment` for a run, with what `tell_facts` tells where it comes from.

    `worker` is this worker's address, for messages; threads and memory are what it has.
    """
    _held[run] = _Held(content, facts, worker, threads, memory_limit)


def let_go(run: str) -> None:
    """The run is over."""
    _held.pop(run, None)


def work_on(run: str, chunk: bytes) -> tuple[Any, float]:
    """Do a pickled chunk of a run; what the run's `ChunkWork` gives, and the seconds that it took.

    Raises
    ------
    ClusterError
        If this worker was not given the run, or is of other versions.
    """
    held = _held.get(run)
    if held is None:
        raise ClusterError("a worker was not given the model; it is of another micam-fast")
    model, work = held.open()
    start = time.perf_counter()
    return work(model, pickle.loads(chunk)), time.perf_counter() - start
