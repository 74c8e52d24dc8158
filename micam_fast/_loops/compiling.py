"""Telling a user that the loops are being compiled, which takes seconds and happens once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _FirstStart(event.Listener):
    """Calls back when the first compilation begins; loops from the cache are none."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say: Callable[[], None] | None = say

    def on_start(self, event: event.Event) -> None:
        say, self._say = self._say, None
        if say is not None:
            say()

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def when_compiling(say: Callable[[], None]) -> Iterator[None]:
    """Within it, `say` is called once if a loop must be compiled, before that is done."""
    listener = _FirstStart(say)
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)  # type: ignore[no-untyped-call]
