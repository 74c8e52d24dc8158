"""Files of the user's cache folder that hold what takes time to find out about a model.

They save time and nothing else: one that is missing, damaged or of another version is made anew,
and a folder that cannot be written is left alone. They are JSON: reading them runs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from micam_fast.core.digests import short_digest
from micam_fast.core.errors import OutputError
from micam_fast.core.output_files import atomic_file, is_there, make_folder

LARGEST_NUMBER = 256
"""Files that are kept; of more, those go that were not used for longest."""

_PACKAGE = Path(__file__).parent.parent
_WINGS = ("core", "models", "maps", "engine", "diagrams")
"""Where what is kept is found out: layers and their names by `models`, layouts by `diagrams`, and
by `engine` whether a graph gives what its file gives."""


class PlanFiles:
    """A folder of such files; it is made when there is something to keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> Any:
        """What was kept under a key from `plan_key`; ``None`` if there is nothing of use."""
        path = self._place(key)
        if not is_there(path.is_file):
            return None
        try:
            digest, _, content = path.read_bytes().partition(b"\n")
            if digest != short_digest(content).encode():
                return None
            # So that the files in use are the newest ones.
            with suppress(OSError):
                os.utime(path)
            return json.loads(content)
        except (OSError, ValueError, RecursionError):
            return None

    def keep(self, key: str, content: Any) -> None:
        """Keep dataclasses, lists, dictionaries by names, and plain values."""
        text = json.dumps(content, separators=(",", ":"), default=vars).encode()
        with suppress(OutputError, OSError):
            make_folder(self._folder)
            with atomic_file(self._place(key)) as file:
                file.write(short_digest(text).encode() + b"\n" + text)
            for path in sorted(self._folder.iterdir(), key=_age)[LARGEST_NUMBER:]:
                path.unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def user_plan_files() -> PlanFiles:
    """Those in the user's cache folder."""
    from platformdirs import user_cache_path

    return PlanFiles(user_cache_path("micam-fast") / "plans")


def plan_key(*parts: bytes) -> str:
    """A name for what is made of these parts, and of nothing else, by this version of the code."""
    digest = hashlib.sha256(_code())
    for part in parts:
        digest.update(b"%d " % len(part))
        digest.update(part)
    return digest.hexdigest()[:32]


@functools.cache
def _code() -> bytes:
    """Versions, and the sizes and times of the sources: no one must think of raising a number."""
    from importlib.metadata import version

    import onnx

    paths = sorted(path for wing in _WINGS for path in (_PACKAGE / wing).rglob("*.py"))
    sources = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths]
    return repr((version("micam-fast"), onnx.__version__, sources)).encode()


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:
        # Another process was faster.
        return 0
