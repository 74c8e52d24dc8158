"""Where a model runs: threads, and memory that is used again, all workspaces within one bound."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.lru import LruCache
from micam_fast.engine.onnx_runtime import Extractor

KEPT_SETS = 3


class Workspace:
    """Where one worker runs a model: memory for activations that is used again by the next batch.

    Parameters
    ----------
    threads
        Threads of ONNX Runtime's own pool in each run.

    Attributes
    ----------
    extractors
        By the model's sessions, and by the places where the model is cut.
    lock
        One batch at a time, whoever asks.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.extractors: LruCache[Hashable, list[Extractor]] = LruCache(KEPT_SETS)
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
    """Bytes that several workspaces share: a sample that needs more than its part waits for it.

    How a sample is computed must not depend on how many run beside it, so it is never cut smaller
    for their sake. A workspace keeps what it had until another one has need of it.

    Parameters
    ----------
    size
        Bytes of all workspaces together.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[Workspace, int] = {}
        self._busy: set[Workspace] = set()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, workspace: Workspace, needed: int) -> Iterator[None]:
        """Wait until a workspace may hold so many bytes; more than there are is all of them."""
        needed = min(needed, self.size)
        with self._changed:
            self._kept.pop(workspace, None)
            while not self._make_room(needed):
                self._changed.wait()
            self._kept[workspace] = needed
            self._busy.add(workspace)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(workspace)
                self._changed.notify_all()

    def _make_room(self, needed: int) -> bool:
        """Tell whether so much is free, if need be after idle workspaces have let go of theirs."""
        for workspace in [each for each in self._kept if each not in self._busy]:
            if sum(self._kept.values()) + needed <= self.size:
                break
            workspace.release()
            del self._kept[workspace]
        return sum(self._kept.values()) + needed <= self.size
