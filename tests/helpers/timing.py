"""How long something takes, whatever else the machine does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done inside takes no more processor time, with its threads and ended processes.

    The clock on the wall counts what other processes do, too: five seconds may be one of work.
    """
    start = sum(os.times()[:4])
    yield
    assert sum(os.times()[:4]) - start < seconds
