"""Running the command, and what it left."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import Result
from numpy.typing import NDArray

COMMAND = Path(sysconfig.get_path("scripts")) / "micam-fast"


def succeeded(result: Result) -> Result:
    """The result, which must be a success."""
    assert result.exit_code == 0, result.output
    return result


def failure_line(result: Result) -> str:
    """The one line of a failed run."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("micam-fast: error: ")
    assert result.stdout == ""
    return lines[0]


def usage_error(result: Result) -> str:
    """What a wrong use of an option is answered."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if "rror: " in line]
    return line


def names(folder: Path) -> list[str]:
    """Names of what is in a folder, but for the manifest of a run."""
    return sorted(path.name for path in folder.iterdir() if path.name != "manifest.jsonl")


def only(folder: Path, pattern: str) -> Path:
    """The one file that matches."""
    (path,) = folder.glob(pattern)
    return path


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All of an NPZ."""
    with np.load(path) as archive:
        return dict(archive)


def command(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    return subprocess.run(
        [COMMAND, *words], capture_output=True, text=True, timeout=120, check=False, cwd=cwd
    )
