"""The bytes of a run's folder, to be compared with another one's."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from micam_fast.runs.manifest import COMPARED, NAME, RUNNING

_SECONDS = re.compile(r', "seconds": [0-9.e-]+(?=\}$)', re.MULTILINE)


def folder_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by name, empty folders too; of the manifest without its seconds."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            content = _timeless(path) if name == NAME else path.read_bytes()
            found[name] = hashlib.sha256(content).hexdigest()
        elif not any(path.iterdir()):
            found[name] = "an empty folder"
    return found


def manifest_lines(folder: Path) -> list[dict[str, Any]]:
    """The manifest's lines after its header."""
    return [json.loads(each) for each in (folder / NAME).read_text().splitlines()[1:]]


def _timeless(path: Path) -> bytes:
    """A manifest as it would be written, had no time passed and no one said how to run.

    What came of comparing the model with its file tells of the sample that was the first one ever.
    """
    first, rest = path.read_text().split("\n", 1)
    header = json.loads(first)
    del header[RUNNING]
    header.pop(COMPARED, None)
    content, count = _SECONDS.subn("", rest)
    assert count == rest.count("\n")
    return f"{json.dumps(header)}\n{content}".encode()
