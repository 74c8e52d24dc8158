"""How much a file may take that comes from anyone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from micam_fast.core.errors import SampleError
from micam_fast.core.texts import first_of

_LONGEST_NAME = 30


def check_memory(path: Path, what: str, needed: int, memory: int) -> None:
    """Make sure that something of a file takes no more bytes than it may.

    Raises
    ------
    SampleError
        If it takes more.
    """
    if needed > memory:
        raise SampleError(
            f"{path}: {what} would take {show_bytes(needed)} of memory, the bound is "
            f"{show_bytes(memory)} (--memory)"
        )


def show_bytes(number: int) -> str:
    """A number of bytes in the largest unit that it fills."""
    size, unit = float(min(number, 2**80)), 0
    while size >= 1024 and unit < 4:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def list_names(names: Iterable[str]) -> str:
    """Names out of a file for a message: few, and none of any length."""
    return first_of([name[:_LONGEST_NAME] for name in names], 10)


class BoundedFile:
    """An open file of which a library may read only so much, in only so many pieces.

    What a library does for each piece takes time, and what it keeps of them memory.
    """

    def __init__(
        self, file: BinaryIO, path: Path, what: str, most: int, reads: int = 2**60
    ) -> None:
        self._file, self._path, self._what = file, path, what
        self._bytes, self._reads = most, reads
        self._size = os.fstat(file.fileno()).st_size
        # What reads by the descriptor is not counted.
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno
        self.seekable = file.seekable

    def allow(self, most: int, reads: int) -> None:
        """From here on: so many bytes more, in so many reads."""
        self._bytes, self._reads = most, reads

    def read(self, size: int = -1) -> bytes:
        """As of any file.

        Raises
        ------
        SampleError
            If it is too much.
        """
        # Python sets aside what is asked for, whatever there is.
        wanted = self._size if size < 0 else min(size, self._size)
        found = self._file.read(min(wanted, self._bytes + 1))
        self._bytes -= len(found)
        self._reads -= 1
        if self._bytes < 0 or self._reads < 0:
            raise SampleError(
                f"{self._path} is broken: {self._what} of more bytes or pieces than a real file has"
            )
        return found
