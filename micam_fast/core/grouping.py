"""What hangs together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def connected(keys: Iterable[Key], near: Callable[[Key], Iterable[Hashable]]) -> list[list[Key]]:
    """Keys in groups that are joined, be it through others of them.

    Parameters
    ----------
    keys
        All, each once.
    near
        Gives what a key is joined to, in whichever direction; what is no key joins nothing.

    Returns
    -------
    list
        Each group in the order of the keys, and the groups in that of their first ones.
    """
    order = {key: place for place, key in enumerate(keys)}
    group: dict[Hashable, list[Key]] = {key: [key] for key in order}
    for key in order:
        for other in near(key):
            if other in group and group[other] is not group[key]:
                small, large = sorted((group[key], group[other]), key=len)
                large.extend(small)
                group.update(dict.fromkeys(small, large))
    found = {id(each): each for each in group.values()}
    return [sorted(each, key=order.__getitem__) for each in found.values()]
