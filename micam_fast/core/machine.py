"""What this machine has."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_UNKNOWN = 2**33


def machine_memory() -> int:
    """Bytes of memory; 8 GiB where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def quarter_of_memory() -> int:
    """A quarter of the machine's memory, in bytes: what one kind of thing may take by default."""
    return machine_memory() // 4


def release_memory() -> None:
    """Give free memory back to the system, where the C library holds on to it.

    Blocks of ever other sizes leave gaps between those that stay: without this, a run grows by some
    kilobytes with each sample. It takes some milliseconds.
    """
    # Other C libraries than glibc have no such function, and give memory back by themselves.
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
