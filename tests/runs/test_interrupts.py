"""Signals: the first asks to stop, the second ends at once, and what was before comes back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from micam_fast.runs.interrupts import Stop, stop_on_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EACH = pytest.mark.parametrize("number", SIGNALS)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of before are there again after each test."""
    before = [signal.getsignal(each) for each in SIGNALS]
    yield
    assert [signal.getsignal(each) for each in SIGNALS] == before


@EACH
def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    said: list[str] = []
    with stop_on_signals(said.append) as stop:
        assert (stop.signal, stop.reason) == (None, None)
        signal.raise_signal(number)
        assert (stop.signal, stop.reason) == (number, "interrupted")
    assert said == ["interrupted; finishing the samples in hand (once more ends at once)"]


@EACH
def test_the_second_ends_at_once(number: signal.Signals) -> None:
    said: list[str] = []
    with stop_on_signals(said.append) as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match=rf"^{number.value}$"):
            signal.raise_signal(number)
    # The first one tells why.
    assert stop.signal == signal.SIGINT
    assert len(said) == 1


@pytest.mark.parametrize("error", [RuntimeError, BrokenPipeError])
def test_a_stream_that_takes_no_line_does_not_matter(error: type[Exception]) -> None:
    """The signal came in the middle of another line, or nobody reads any more."""

    def say(text: str) -> None:
        raise error(text)

    with stop_on_signals(say) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.reason == "interrupted"


def test_handlers_come_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="failed"), stop_on_signals(lambda text: None):
        raise ValueError("failed")


def test_runs_within_runs() -> None:
    with stop_on_signals(lambda text: None) as outer:
        with stop_on_signals(lambda text: None) as inner:
            signal.raise_signal(signal.SIGINT)
        assert (inner.signal, outer.signal) == (signal.SIGINT, None)
        signal.raise_signal(signal.SIGTERM)
        assert outer.signal == signal.SIGTERM


def test_another_thread_gets_no_signals() -> None:
    found: list[Stop] = []
    before = signal.getsignal(signal.SIGINT)

    def run() -> None:
        with stop_on_signals(lambda text: None) as stop:
            found.append(stop)
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (stop,) = found
    assert stop.reason is None


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As ``nohup`` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(print) as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.reason is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
