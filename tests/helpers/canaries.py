"""Arrays with numbers around them that a loop must neither read nor write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from micam_fast._loops import maps as loops
from tests.helpers.models import Array

_ROOM = 8192
"""Values on each side; further out a loop would read what it may not, and the process would end."""


def surround(array: Array) -> tuple[Array, Array]:
    """A copy within NaN on both sides, and all of that."""
    whole = np.full(array.size + 2 * _ROOM, np.nan, array.dtype)
    inner = whole[_ROOM : _ROOM + array.size].reshape(array.shape)
    inner[...] = array
    return inner, whole


def is_whole(whole: Array) -> bool:
    """Tell whether nobody has written around the array."""
    return bool(np.isnan(whole[:_ROOM]).all() and np.isnan(whole[-_ROOM:]).all())


@contextmanager
def canaries() -> Iterator[None]:
    """Within it, what the loops of maps read and write lies among NaN.

    What is read from there spoils a map, and what is written there raises an `AssertionError`.
    """
    project = loops.project_tasks

    def surrounded(tasks: Array, table: Array, source: Array, weights: Array, *rest: Any) -> None:
        *numbers, maps, ranges = rest
        source, weights = surround(source)[0], surround(weights)[0]
        kept = surround(maps), surround(ranges)
        project(tasks, table, source, weights, *numbers, *(inner for inner, _ in kept))
        for out, (inner, whole) in zip((maps, ranges), kept, strict=True):
            assert is_whole(whole), "a loop wrote around its map"
            out[...] = inner

    loops.project_tasks = surrounded  # type: ignore[assignment]
    try:
        yield
    finally:
        loops.project_tasks = project
