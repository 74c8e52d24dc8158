"""How long something takes, whatever else the machine does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STEPS = 5_000_000
_USUAL = 0.063
"""Seconds that so many steps of `_slowness` take on the machine that bounds were written on."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done inside takes no more processor time, with its threads and ended processes.

    The clock on the wall counts what other processes do, too: five seconds may be one of work. Nor
    is a second of a processor always the same work: a virtual one was seen at a third of its speed
    for hours. So the seconds are those of the usual machine, by a loop before and behind.
    """
    before, start = _slowness(), sum(os.times()[:4])
    yield
    taken = sum(os.times()[:4]) - start
    slowness = max(before, _slowness())
    assert taken < seconds * slowness, f"{taken:.2f} s, on a machine {slowness:.2f} times slower"


def _slowness() -> float:
    """How many times slower than usual Python runs now; 1 where it is faster."""
    start = time.process_time()
    for _ in range(_STEPS):
        pass
    return max(1.0, (time.process_time() - start) / _USUAL)
