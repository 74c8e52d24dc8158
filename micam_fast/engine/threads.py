"""Which threads belong to a pool: one that works on a sample must not wait for its own pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_thread = threading.local()


@contextmanager
def working() -> Iterator[None]:
    """Mark the thread as one of a pool, while it works on a sample."""
    _thread.works = True
    try:
        yield
    finally:
        _thread.works = False


def is_working() -> bool:
    """Tell whether this thread is one of a pool, at work on a sample."""
    return getattr(_thread, "works", False)
