"""Which files are meant: files, folders, patterns, and ``FILE:N``."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from micam_fast.core.errors import SampleError
from micam_fast.core.output_files import is_there
from micam_fast.samples.arrays import ARRAY_SUFFIXES
from micam_fast.samples.csv_tables import CSV_SUFFIX
from micam_fast.samples.pictures import IMAGE_SUFFIXES
from micam_fast.samples.record_files import is_record_name

_SELECTOR = re.compile(r"(.+):([0-9]{1,18})", re.DOTALL)
"""A number of more digits is none that a file could have."""
_SUFFIXES = frozenset((*ARRAY_SUFFIXES, *IMAGE_SUFFIXES))
_WILD = re.compile(r"[*?[]")
_ANY_DEPTH = "**"
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR)

Source = Path | SampleError
"""A file; or an error in the place of a folder that cannot be read."""


def expand_paths(texts: Iterable[str]) -> Iterator[Source]:
    """Files, with patterns replaced by what they match and folders by the samples in them.

    What a pattern or folder stands for is sorted by name. Only the names of one folder are held.
    CSV files count in a folder that holds no other samples; beside these they are lists. For
    patterns see `match_paths`.
    """
    for text in texts:
        for path in match_paths(text):
            if isinstance(path, SampleError) or not is_there(path.is_dir):
                yield path
            else:
                yield from _samples_in(path, _matched_below(text))


def match_paths(text: str) -> Iterator[Source]:
    """The files and folders that a pattern matches; or what is named, if there is such a thing.

    ``*``, ``?`` and ``[...]`` match within a name, ``**`` any number of folders, none of them by a
    link. What begins with a dot is matched only by a pattern that does.
    """
    if not _is_pattern(text):
        yield Path(text)
        return
    path = Path(text)
    parts = path.relative_to(path.anchor).parts
    if parts.count(_ANY_DEPTH) > 1:
        yield SampleError(f"pattern {text!r} has several {_ANY_DEPTH!r}, expected is one at most")
        return
    none = True
    for found in _matches(Path(path.anchor), parts):
        none = False
        yield found
    if none:
        yield SampleError(f"no file matches {text!r}")


def split_selector(text: str) -> tuple[str, int | None]:
    """``FILE:N`` as a file and the number of a sample in it; a file of that very name wins."""
    found = _SELECTOR.fullmatch(text)
    if found is None or os.path.lexists(text):
        return text, None
    return found[1], int(found[2])


def _is_pattern(text: str) -> bool:
    return _WILD.search(text) is not None and not os.path.lexists(text)


def _matched_below(text: str) -> str | None:
    """What names the files below a folder have that a pattern matches along with the folder."""
    if not _is_pattern(text):
        return None
    *folders, last = Path(text).parts
    return last if _ANY_DEPTH in folders else None


def _samples_in(folder: Path, without: str | None) -> Iterator[Source]:
    """The samples in a folder, but for those that match a pattern."""
    samples: list[str] = []
    tables: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                stem, dot, end = name.rpartition(".")
                suffix = dot + end.lower() if stem else ""
                if suffix in _SUFFIXES or is_record_name(name):
                    kept = samples
                elif suffix == CSV_SUFFIX:
                    kept = tables
                else:
                    continue
                # A link that leads to itself is no folder, and an error in the place of a sample.
                if not is_there(entry.is_dir):
                    kept.append(name)
    except OSError as error:
        yield _unreadable(folder, error)
    for name in sorted(samples or tables):
        if without is None or not fnmatch(name, without):
            yield folder / name


def _matches(folder: Path, parts: tuple[str, ...]) -> Iterator[Source]:
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == _ANY_DEPTH:
        for each in _folders_below(folder):
            yield from [each] if isinstance(each, SampleError) else _matches(each, rest)
    elif _WILD.search(first) is None:
        if os.path.lexists(folder / first):
            yield from _matches(folder / first, rest)
    else:
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if _fits(entry.name, first)]
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                yield _unreadable(folder, error)
            return
        for name in sorted(names):
            yield from _matches(folder / name, rest) if rest else [folder / name]


def _folders_below(folder: Path) -> Iterator[Source]:
    """A folder and those below it, each before what is in it; links could lead back."""
    # A stack of its own: folders may be nested deeper than calls.
    waiting = [str(folder)] if is_there(folder.is_dir) else []
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
                ]
        except OSError as error:
            yield _unreadable(Path(here), error)
            continue
        yield Path(here)
        waiting += [f"{here}{os.sep}{name}" for name in sorted(names, reverse=True)]


def _fits(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) and (pattern.startswith(".") or not name.startswith("."))


def _unreadable(folder: Path, error: OSError) -> SampleError:
    return SampleError(f"cannot read folder {folder}: {error.strerror or error}")
