"""Where a model runs: threads, and memory that is used again, all lanes within one bound."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.lru import Recent
from micam_fast.engine.onnx_runtime import Extractor

KEPT_SETS = 3


class Lane:
    """Where one worker runs a model: memory for activations that is used again by the next batch.

    Parameters
    ----------
    threads
        Threads of ONNX Runtime's own pool in each run.

    Attributes
    ----------
    extractors
        By the places where the model is cut.
    lock
        One batch at a time, whoever asks.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.extractors: Recent[tuple[int, ...], list[Extractor]] = Recent(KEPT_SETS)
        self._staging = np.empty(0, np.float32)
        self.lock = threading.RLock()

    def staging(self, size: int) -> NDArray[np.float32]:
        """Room for so many values, or more."""
        if len(self._staging) < size:
            self._staging = np.empty(size, np.float32)
        return self._staging

    def release(self) -> None:
        """Let go of the memory of the activations."""
        for extractor in (each for kept in self.extractors.values() for each in kept):
            extractor.release()


class SharedMemory:
    """Bytes that several lanes share: a sample that needs more than a lane's part waits for it.

    How a sample is computed must not depend on how many run beside it, so it is never cut smaller
    for their sake. A lane keeps what it had until another one has need of it.

    Parameters
    ----------
    size
        Bytes of all lanes together.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[Lane, int] = {}
        self._busy: set[Lane] = set()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, lane: Lane, needed: int) -> Iterator[None]:
        """Wait until a lane may hold so many bytes; more than there are is all of them."""
        needed = min(needed, self.size)
        with self._changed:
            self._kept.pop(lane, None)
            while not self._make_room(needed):
                self._changed.wait()
            self._kept[lane] = needed
            self._busy.add(lane)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(lane)
                self._changed.notify_all()

    def _make_room(self, needed: int) -> bool:
        """Tell whether so much is free, if need be after idle lanes have let go of theirs."""
        for lane in [each for each in self._kept if each not in self._busy]:
            if sum(self._kept.values()) + needed <= self.size:
                break
            lane.release()
            del self._kept[lane]
        return sum(self._kept.values()) + needed <= self.size
