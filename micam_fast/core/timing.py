"""Where the time goes: seconds by stage, summed over all threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class StageTimes:
    """Seconds by stage. A stage within another one counts for itself alone.

    Attributes
    ----------
    seconds
        By name, in the order in which the stages were first entered; over all threads, so that
        their sum can be more than the time that passed.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()
        self._lock = threading.Lock()
        self._inner = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that passes within to a stage."""
        with self._lock:
            self.seconds.setdefault(name, 0.0)
        outer: float = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            with self._lock:
                self.seconds[name] += passed - self._inner.seconds
            self._inner.seconds = outer + passed

    def include(self, seconds: Mapping[str, float]) -> None:
        """Add what was measured elsewhere."""
        with self._lock:
            for name, spent in seconds.items():
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def passed(self) -> float:
        """Seconds since this object was made."""
        return time.perf_counter() - self._start
