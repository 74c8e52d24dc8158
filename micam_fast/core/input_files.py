"""Files of users: regular ones only, opened so that nothing hangs, and read up to a bound."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np

TEXT_LIMIT = 2**24
"""Most bytes of a file of names, and of one that describes others."""
LIST_LIMIT = 2**28
"""Most bytes of a list with a line for each sample."""


def open_input(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, a socket or a device is refused, and not opened.

    Raises
    ------
    OSError
        If it is none or cannot be opened; `strerror` says why.
    """
    try:
        # Before it is opened, as a device may act on that; and after, as it may be another by then.
        _check_regular(path.stat())
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    except ValueError:
        # A NUL character, or one that the file system's encoding does not have.
        raise OSError(errno.EINVAL, "no file can have such a name") from None
    try:
        _check_regular(os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read_input(path: Path, most: int) -> bytes:
    """The content of a regular file of `most` bytes or less.

    Raises
    ------
    OSError
        If it is none, is larger, or cannot be read; `strerror` says why.
    """
    with open_input(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB, the most for its kind")
        return file.read()


class Lines(Sequence[str]):
    r"""Lines of a text in UTF-8, each decoded when it is asked for.

    As a list of texts ten million short lines would take half a gigabyte.

    Parameters
    ----------
    content
        The text, with or without a byte order mark; lines end in ``\n``, ``\r\n`` or ``\r``.

    Raises
    ------
    UnicodeDecodeError
        If it is not UTF-8.
    """

    def __init__(self, content: bytes) -> None:
        content = content.removeprefix(b"\xef\xbb\xbf")
        content.decode()
        if b"\r" in content:
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if content and not content.endswith(b"\n"):
            content += b"\n"
        self._content = content
        self._ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start = int(self._ends[place - 1]) + 1 if place else 0
        return self._content[start : int(self._ends[place])].decode()


def read_bounded_lines(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Lines of an open file.

    Raises
    ------
    OSError
        If one has more than `most` bytes.
    """
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise OSError(errno.EFBIG, f"line {number} has more than {most} bytes")
        yield line


def _open_without_waiting(path: str, flags: int) -> int:
    # Windows has no such flag, and no such pipes.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    what = next((name for test, name in kinds if test(found.st_mode)), "a device")
    raise OSError(errno.EINVAL, f"it is {what}, and no regular file")
