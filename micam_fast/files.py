"""Output files: written beside their name and renamed, so that no half file is ever seen."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from micam_fast.errors import OutputError


def partial_path(path: Path) -> Path:
    """A hidden name beside a file, to write it under until it is complete.

    Threads, and processes of several machines, may write the same file at a time.
    """
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name when it is complete.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    partial = partial_path(path)
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def is_there(test: Callable[[], bool]) -> bool:
    """What a path's test tells; no for a name that no file can have, and where none may be seen."""
    try:
        return test()
    except OSError:
        return False


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove {path}: {error.strerror or error}") from None


def check_folder(path: Path) -> None:
    """Make sure that a folder is there or can be made, and that files can be written in it.

    Raises
    ------
    OutputError
        If not. Nothing is created.
    """
    nearest = path.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(f"cannot write to folder {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to folder {path}: no permission to write in {nearest}")


def check_file(path: Path) -> None:
    """Make sure that a file can be written, as far as can be told without writing it.

    Raises
    ------
    OutputError
        If not. Nothing is created.
    """
    check_folder(path.parent)
    if is_there(path.is_dir):
        raise OutputError(f"cannot write {path}: it is a folder")


def make_folder(path: Path) -> Path:
    """Create a folder and those around it, where they are not there.

    Raises
    ------
    OutputError
        If it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to folder {path}: {error.strerror or error}") from None
    return path


def file_stem(text: str, longest: int = 80) -> str:
    """Any text as a part of a file name: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:longest] or "unnamed"
