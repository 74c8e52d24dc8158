"""The log of a run: a line of JSON for each event, there at once, after those of earlier runs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from micam_fast.core.errors import OutputError
from micam_fast.runs.event_log import RunLog


def test_each_event_is_a_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("start", samples=("a", "b"))
        log.write("note", text="two\nlines, \x1b[31m, é, \ud800")
        lines = path.read_bytes().splitlines()
        assert len(lines) == 2
    first, second = map(json.loads, lines)
    assert list(first) == ["time", "event", "samples"]
    assert first["event"] == "start"
    assert first["samples"] == ["a", "b"]
    assert second["text"] == "two\nlines, \x1b[31m, é, \ud800"


def test_times_are_in_utc(tmp_path: Path) -> None:
    with RunLog(tmp_path / "log") as log:
        log.write("start")
    time = datetime.fromisoformat(json.loads((tmp_path / "log").read_text())["time"])
    assert time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)


def test_later_runs_are_appended(tmp_path: Path) -> None:
    for run in range(2):
        with RunLog(tmp_path / "log") as log:
            log.write("start", run=run)
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(each)["run"] for each in lines] == [0, 1]


def test_what_is_written_after_a_torn_line_can_be_read(tmp_path: Path) -> None:
    """A killed run, or a full disk, has left half a line."""
    (tmp_path / "log").write_bytes(b'{"time": "2026-')
    with RunLog(tmp_path / "log") as log:
        log.write("start")
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["event"] == "start"


def test_no_log(tmp_path: Path) -> None:
    with RunLog(None) as log:
        log.write("start")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["missing/log", "."])
def test_a_log_that_cannot_be_written_is_named(place: str, tmp_path: Path) -> None:
    path = tmp_path / place
    with pytest.raises(OutputError, match=re.escape(f"cannot write log {path}: ")):
        RunLog(path)


def test_a_full_disk_is_named_once() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    log = RunLog(full)
    with pytest.raises(OutputError, match="cannot write log /dev/full: No space left on device"):
        log.write("start")
    # What could not be written is not tried again when the log is closed.
    log.__exit__(None, None, None)
