"""Streams cut into chunks: large enough that sending them costs little, small enough to balance."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from micam_fast.core.errors import SampleError

Item = TypeVar("Item")

LARGEST_CHUNK = 8_000_000
"""Bytes of arrays; Dask advises against more than 10 MB in a task."""


class Pace:
    """How many samples make a chunk of about a second."""

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self.count = 4

    def learn(self, count: int, seconds: float) -> None:
        """Take note of how long a chunk took."""
        fitting = count if seconds <= 0 else round(count / seconds)
        # A chunk that was the first on its worker opened the model, too; step by step.
        self.count = max(1, min(fitting, 4 * self.count, self._most))


def cut(
    items: Iterator[Item],
    count: Callable[[], int],
    weigh: Callable[[Item], int],
    *,
    largest: int = LARGEST_CHUNK,
    patience: float | None = None,
) -> Iterator[list[Item]]:
    """Cut a stream into lists of consecutive items; each is read when it is asked for.

    Before each chunk `count` tells how many it shall have. The chunk ends sooner when its items, by
    `weigh`, have `largest` bytes, or when `patience`, in seconds, is at its end.
    """
    for first in items:
        chunk, weight, most = [first], weigh(first), count()
        start = time.monotonic()
        while len(chunk) < most and weight < largest:
            if patience is not None and time.monotonic() - start > patience:
                break
            item = next(items, None)
            if item is None:
                break
            chunk.append(item)
            weight += weigh(item)
        yield chunk


def weigh(sample: Mapping[str, NDArray[Any]] | SampleError) -> int:
    """Bytes of a sample's arrays."""
    return 0 if isinstance(sample, SampleError) else sum(each.nbytes for each in sample.values())
