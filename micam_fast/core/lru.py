"""What was made last, up to a number of things."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class LruCache(dict[Key, Value]):
    """A dictionary that makes what it is asked for, and lets go of what was not used for longest.

    It keeps as many entries as the limit says.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def get_or_make(self, key: Key, make: Callable[[], Value]) -> Value:
        """The entry of this key, made now if it is not there."""
        if key in self:
            value = self.pop(key)
        else:
            # First, so that the old and the new never stand in memory together beyond the limit.
            while len(self) >= self._limit:
                del self[next(iter(self))]
            value = make()
        self[key] = value
        return value
