"""Explanations to files, in any format."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, cast

from micam_fast.core.formats import format_of
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style


class _Writer(Protocol):
    """A module of `api.formats`."""

    def write(self, shown: Shown, path: Path, style: Style) -> list[Path]: ...


def save(shown: Shown, path: Path, style: Style) -> Path:
    """Write an explanation in the format that the path's suffix names; see `Explanation.save`."""
    write_format(format_of(path, "diagram"), shown, path, style)
    return path


def check_size(names: Iterable[str], width: int, height: int, style: Style) -> None:
    """Refuse a picture that one of these formats cannot hold, or that no viewer would open.

    A module of `api.formats` that has such a limit has a function of this name.

    Raises
    ------
    TooLargeError
        With what to do.
    """
    for name in names:
        check = getattr(_writer(name), "check_size", None)
        if check is not None:
            check(width, height, style)


def write_format(name: str, shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write an explanation in a format; return all files that this made."""
    return _writer(name).write(shown, path, style)


@functools.cache
def _writer(name: str) -> _Writer:
    return cast(_Writer, importlib.import_module(f"micam_fast.api.formats.{name}"))
