"""Regions of a graph: stretches with several ways, and single steps between them.

A *cut* is a step that, somewhere, every open edge starts from: what comes later depends on it
alone. The steps between two cuts, with the later one, are a region if there are several: a residual
block, an inception cell. A region that is too large for a block is searched again inside, without
the step that joins it; where that has no cuts, it is divided where the fewest ways are open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from micam_fast.core.grouping import connected

LARGEST = 24
"""Layers of a block, at most."""
_DIVIDED = 2 * LARGEST
# Networks lie some five deep; what lies deeper is single steps.
_DEEPEST = 24

Steps = tuple[int, ...]
Reads = Sequence[Collection[int]]


@dataclass(frozen=True)
class Piece:
    """A part of a graph.

    Attributes
    ----------
    steps
        In order.
    role
        A ``"region"``, a single ``"step"``, or a ``"part"`` of a region that is too large.
    ends
        Whether what comes next does not continue it.
    """

    steps: Steps
    role: Literal["region", "step", "part"] = "step"
    ends: bool = False


def find_pieces(steps: Sequence[int], reads: Reads) -> list[Piece]:
    """The pieces of steps, branch by branch."""
    found: list[Piece] = []
    for branch in connected(steps, lambda step: reads[step]):
        *pieces, last = series(branch, reads)
        found += [*pieces, replace(last, ends=True)]
    return found


def series(steps: Sequence[int], reads: Reads, depth: int = 0) -> list[Piece]:
    """The pieces of steps that hang together."""
    if depth > _DEEPEST:
        return [Piece((step,)) for step in steps]
    found: list[Piece] = []
    for stretch, is_joined in _stretches(steps, reads):
        if len(stretch) == 1:
            found.append(Piece(tuple(stretch)))
        elif len(stretch) <= LARGEST:
            found.append(Piece(tuple(stretch), "region"))
        elif len(stretch) <= _DIVIDED:
            found += _packed([*_fragments(stretch, is_joined, reads, depth)], len(stretch))
        else:
            for part in _inside(stretch, is_joined, len(steps), reads):
                *pieces, last = series(part, reads, depth + 1)
                found += [*pieces, replace(last, ends=True)]
    return found


def _stretches(steps: Sequence[int], reads: Reads) -> Iterator[tuple[list[int], bool]]:
    """Steps up to each cut, the cut included, and those behind the last one.

    With each, whether its last step joins it.
    """
    cuts = _cuts(steps, reads)
    stretch: list[int] = []
    for step in steps:
        stretch.append(step)
        if step in cuts:
            yield stretch, True
            stretch = []
    if stretch:
        read = {source for step in stretch for source in reads[step]}
        yield stretch, len(set(stretch) - read) == 1


def _cuts(steps: Sequence[int], reads: Reads) -> set[int]:
    """The steps that, somewhere, every open edge starts from."""
    last = _last_readers(steps, reads)
    closing: dict[int, list[int]] = {}
    for source, reader in last.items():
        closing.setdefault(reader, []).append(source)
    cuts = set()
    # The open sources are known by their number and their sum.
    count = total = 0
    for step in steps:
        for source in closing.get(step, ()):
            count -= 1
            total -= source
        if step in last:
            count += 1
            total += step
        if count == 1:
            cuts.add(total)
    return cuts


def _last_readers(steps: Sequence[int], reads: Reads) -> dict[int, int]:
    own = set(steps)
    return {source: step for step in steps for source in reads[step] if source in own}


# --- Inside of regions that are too large ------------------------------------------------------


def _inside(
    stretch: Sequence[int], is_joined: bool, around: int, reads: Reads
) -> list[Sequence[int]]:
    """Branches of a region, or what follows each other in it; `around` steps hang together."""
    joined = stretch[-1:] if is_joined else ()
    branches = connected(stretch[: len(stretch) - len(joined)], lambda step: reads[step])
    if not joined and len(branches) == 1 and len(stretch) == around:
        return [
            branch
            for part in _narrowest(stretch, reads)
            for branch in connected(part, lambda step: reads[step])
        ]
    return [*branches, joined] if joined else [*branches]


def _narrowest(steps: Sequence[int], reads: Reads) -> list[list[int]]:
    """Steps, divided where the fewest ways are open."""
    last = _last_readers(steps, reads)
    closed = Counter(last.values())
    widths = []
    width = 0
    for step in steps:
        width += (step in last) - closed[step]
        widths.append(width)
    narrow = min(widths[:-1])
    parts: list[list[int]] = [[]]
    for step, width in zip(steps, widths, strict=True):
        parts[-1].append(step)
        if width == narrow:
            parts.append([])
    return [part for part in parts if part]


def _fragments(
    stretch: Sequence[int], is_joined: bool, reads: Reads, depth: int
) -> Iterator[Sequence[int]]:
    """What a region consists of, each small enough for a block."""
    for part in _inside(stretch, is_joined, len(stretch), reads):
        if len(part) <= LARGEST:
            yield part
            continue
        for inner, joins in _stretches(part, reads):
            if len(inner) <= LARGEST:
                yield inner
            elif depth > _DEEPEST:
                yield from ([step] for step in inner)
            else:
                yield from _fragments(inner, joins, reads, depth + 1)


def _packed(fragments: Sequence[Sequence[int]], size: int) -> list[Piece]:
    """Blocks of fragments that follow each other, of about the same size."""
    wanted = size / -(-size // LARGEST)
    bins: list[list[int]] = [[]]
    for number, fragment in enumerate(fragments, 1):
        held = len(bins[-1])
        # What joins all branches stands with the last of them.
        joins = number == len(fragments) and len(fragment) == 1
        if held and (held + len(fragment) > LARGEST or (held >= wanted and not joins)):
            bins.append([])
        bins[-1] += fragment
    return [Piece(tuple(sorted(found)), "part", ends=True) for found in bins]
