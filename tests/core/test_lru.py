"""What is kept, and what is let go."""

from __future__ import annotations

import pytest

from micam_fast.core.lru import LruCache


def test_what_was_not_used_for_longest_goes() -> None:
    recent: LruCache[str, int] = LruCache(2)
    assert recent.get_or_make("a", lambda: 1) == 1
    assert recent.get_or_make("b", lambda: 2) == 2
    assert recent.get_or_make("a", lambda: 99) == 1
    assert recent.get_or_make("c", lambda: 3) == 3
    assert dict(recent) == {"a": 1, "c": 3}


def test_a_maker_that_fails_leaves_no_entry() -> None:
    recent: LruCache[str, float] = LruCache(1)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        recent.get_or_make("a", lambda: 1 / 0)
    assert not recent
