"""The command on a terminal, and what it showed there."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.helpers.commands import COMMAND


def on_terminal(
    words: Sequence[str | Path], cwd: Path, *, stdout: int | None = None, width: int = 80
) -> tuple[int, str]:
    """Run the command with its standard error on a terminal; the exit code and what it showed."""
    leader, follower = pty.openpty()
    environment: Mapping[str, str] = {
        **{key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")},
        "TERM": "xterm",
        "COLUMNS": str(width),
    }
    process = subprocess.Popen(
        [COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=follower if stdout is None else stdout,
        stderr=follower,
        cwd=cwd,
        env=environment,
    )
    os.close(follower)
    shown = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return process.wait(timeout=60), shown.decode()


def without_escapes(text: str) -> str:
    """Terminal output without its colours and cursor moves."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)
