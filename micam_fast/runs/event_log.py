"""What happens in a run, for programs: a line of JSON for each event."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from micam_fast.core.errors import OutputError, os_errors_as
from micam_fast.runs.journal import manifest_line
from micam_fast.runs.observing import RunSample


class RunLog:
    """A file that events are appended to, each a JSON object with ``time`` (UTC) and ``event``.

    Parameters
    ----------
    path
        ``None`` for a log that keeps nothing.

    Raises
    ------
    OutputError
        If the file cannot be written, now or later.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = None
        if path is not None:
            with os_errors_as(OutputError, f"cannot write log {path}"):
                torn = _is_torn(path)
                # Who follows the file sees each line as it comes.
                self._file = path.open("ab", buffering=0)
                if torn:
                    self._file.write(b"\n")

    def write(self, event: str, **facts: Any) -> None:
        """Tell of an event."""
        if self._file is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        content = json.dumps({"time": time, "event": event, **facts}).encode() + b"\n"
        with os_errors_as(OutputError, f"cannot write log {self._path}"):
            while content:
                content = content[self._file.write(content) or 0 :]

    def finished(self, sample: RunSample) -> None:
        """Tell of a sample; the ranges of all its layers are in the manifest."""
        if self._file is not None:
            line = manifest_line(sample)
            told = {name: line[name] for name in line if not name.endswith("ranges")}
            self.write("sample", **told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()


def _is_torn(path: Path) -> bool:
    """Whether a file ends in half a line, as a full disk leaves it."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
