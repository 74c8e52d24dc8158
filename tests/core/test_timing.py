"""Seconds by stage."""

from __future__ import annotations

import threading

import pytest

from micam_fast.core.timing import StageTimes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times that the clock will show."""
    times: list[float] = []
    monkeypatch.setattr("micam_fast.core.timing.time.perf_counter", lambda: times.pop(0))
    return times


def test_stages_add_up_even_when_they_fail(clock: list[float]) -> None:
    clock += [0.0, 0.0, 2.0, 10.0, 13.0]
    stages = StageTimes()
    with stages.stage("work"):
        pass
    with pytest.raises(ValueError, match="stopped"), stages.stage("work"):
        raise ValueError("stopped")
    assert stages.seconds == {"work": 5.0}


def test_a_stage_within_another_counts_for_itself_alone(clock: list[float]) -> None:
    clock += [0.0, 0.0, 1.0, 2.0, 3.0, 5.0, 9.0, 20.0]
    stages = StageTimes()
    with stages.stage("outer"):  # from 0 to 9
        with stages.stage("inner"):  # from 1 to 2
            pass
        with stages.stage("inner"):  # from 3 to 5
            pass
    assert stages.seconds == {"outer": 6.0, "inner": 3.0}
    assert stages.passed() == 20.0


def test_threads_do_not_disturb_each_other() -> None:
    stages = StageTimes()
    inside, ended = threading.Event(), threading.Event()

    def other() -> None:
        with stages.stage("other"):
            inside.set()
            assert ended.wait(10)

    thread = threading.Thread(target=other)
    with stages.stage("mine"):
        thread.start()
        assert inside.wait(10)
    mine = stages.seconds["mine"]
    ended.set()
    thread.join()
    assert stages.seconds["mine"] == mine > 0
    assert stages.seconds["other"] > 0


def test_seconds_from_elsewhere(clock: list[float]) -> None:
    clock += [0.0, 0.0, 2.0]
    stages = StageTimes()
    with stages.stage("work"):
        pass
    stages.include({"work": 3.0, "more": 1.0})
    assert stages.seconds == {"work": 5.0, "more": 1.0}
