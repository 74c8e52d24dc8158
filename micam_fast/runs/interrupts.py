"""Ctrl-C, SIGTERM and a lost terminal: what is in hand is finished, a second time ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@dataclass
class Stop:
    """Whether to begin no further sample, and why.

    Attributes
    ----------
    signal
        Number of the signal that asked for it.
    reason
        In words, ``None`` as long as the run goes on.
    """

    signal: int | None = None
    reason: str | None = None


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[Stop]:
    """Let the first SIGINT, SIGTERM or SIGHUP ask to stop.

    A second one raises ``KeyboardInterrupt``, with its number. A signal that is ignored, as by
    ``nohup``, stays so. `say` is told when the first one comes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        # Signals come to the main thread, and only it may say what they do.
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.signal is not None:
            raise KeyboardInterrupt(number)
        stop.signal, stop.reason = number, "interrupted"
        # The signal may have come in the middle of another line, or the reader may have gone.
        with suppress(RuntimeError, OSError):
            say("interrupted; finishing the samples in hand (once more ends at once)")

    before = {
        each: signal.signal(each, ask)
        for each in _SIGNALS
        if signal.getsignal(each) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
