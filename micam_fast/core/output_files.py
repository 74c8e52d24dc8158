"""Output files: written beside their name and renamed, so that no half file is ever seen."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import BinaryIO, TypeVar

from micam_fast.core.digests import short_digest
from micam_fast.core.errors import OutputError, os_errors_as

AnyPath = TypeVar("AnyPath", bound=PurePath)
_LONGEST_PATH, _LONGEST_PART = 1000, 240
# Some systems drop blanks and dots at the end of a name.
_LEADS_OUT = re.compile(r"(^|[/\\])[. ]*\.\.[. ]*($|[/\\])")
_HASHED = re.compile(r"~[0-9a-f]{32}$")


def partial_path(path: AnyPath) -> AnyPath:
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
        with os_errors_as(OutputError, f"cannot write {path}"):
            with partial.open("wb") as file:
                yield file
            partial.replace(path)
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
    with os_errors_as(OutputError, f"cannot remove {path}"):
        path.unlink(missing_ok=True)


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
    with os_errors_as(OutputError, f"cannot write to folder {path}"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def make_own_folder(path: Path) -> Path:
    """Like `make_folder`, for a folder whose name is ours and not the user's.

    Raises
    ------
    OutputError
        If it cannot be created, or is a link: who has put that there may lead us anywhere.
    """
    if path.is_symlink():
        raise OutputError(f"cannot write to folder {path}: it is a link; remove it")
    return make_folder(path)


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder that is created where it is not there, and goes again if nothing came of it.

    Raises
    ------
    OutputError
        If it cannot be created.
    """
    made = not is_there(path.exists)
    make_folder(path)
    try:
        yield path
    finally:
        if made:
            # Fails, as it should, if there is something in it.
            with suppress(OSError):
                path.rmdir()


def file_stem(text: str, longest: int = 80) -> str:
    """Any text as a part of a file name: letters, digits, dot, dash and underscore.

    It begins with none that has a meaning there: a hidden file's dot, an option's dash.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-").rstrip("._")[:longest] or "unnamed"


def unique_stem(text: str, longest: int = 80) -> str:
    """Like `file_stem`; with a hash of the text where that is another one."""
    stem = file_stem(text, longest)
    return stem if stem == text else f"{stem}~{short_digest(text)}"


def archive_name(text: str) -> str:
    """Any text as the name of something in an archive, which unpackers make a path of.

    It is the text itself, slashes included, unless that could lead out of a folder (``..``), holds
    what cannot be printed, or is longer than file systems take; then some letters and a hash.
    """
    odd = (
        not text.isprintable()
        or len(text.encode()) > _LONGEST_PATH
        or max(len(part.encode()) for part in re.split(r"[/\\]", text)) > _LONGEST_PART
        or _LEADS_OUT.search(text)
        or _HASHED.search(text)
    )
    return f"{file_stem(text)}~{short_digest(text)}" if odd else text
