"""What each step reads but for shortcuts that tell nothing of blocks."""

from __future__ import annotations

from dataclasses import dataclass

from micam_fast.diagrams.poster.flow import Flow
from micam_fast.diagrams.poster.kinds import CONCAT
from micam_fast.diagrams.poster.scales import scales_of


@dataclass(frozen=True)
class MainWays:
    """The edges that tell of blocks.

    Attributes
    ----------
    reads
        By step: the steps that it reads.
    far
        Steps where edges begin that were left out.
    """

    reads: tuple[tuple[int, ...], ...]
    far: frozenset[int]


def main_ways(flow: Flow) -> MainWays:
    """The main ways of a graph.

    A concat that joins all that an earlier one joins, and more, counts as one that reads that one:
    DenseNet is written both ways. An edge past a way that makes the maps smaller and larger again,
    or larger and smaller, is left out: it joins two ends of a network, no block.
    """
    reads = _joined_once(flow)
    far = _far_edges(flow, reads)
    kept = (
        tuple(source for source in read if (source, step) not in far)
        for step, read in enumerate(reads)
    )
    return MainWays(tuple(kept), frozenset(source for source, _ in far))


def _joined_once(flow: Flow) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    # By step: the last concat so far that reads it.
    concat_of: dict[int, int] = {}
    for step, read in enumerate(flow.reads):
        wanted = read
        if flow.kinds[step] is CONCAT and len(read) > 1:
            before = concat_of.get(read[0])
            if before is not None:
                past = set(flow.reads[before])
                if past < set(read):
                    wanted = tuple(sorted({before, *set(read) - past}))
            concat_of.update(dict.fromkeys(read, step))
        found.append(wanted)
    return found


def _far_edges(flow: Flow, reads: list[tuple[int, ...]]) -> set[tuple[int, int]]:
    """Edges past a change of size and back."""
    scales = scales_of(flow)
    # Sets of steps as bits.
    down = sum(1 << step for step in scales.down)
    up = sum(1 << step for step in scales.up)
    if not down or not up:
        return set()
    above: list[int] = []
    for step, read in enumerate(reads):
        mask = 1 << step
        for source in read:
            mask |= above[source]
        above.append(mask)
    below = [1 << step for step in range(len(reads))]
    for step in reversed(range(len(reads))):
        for source in reads[step]:
            below[source] |= below[step]
    found = set()
    for step, read in enumerate(reads):
        for source in read[:-1]:
            between = above[step] & below[source] & ~(1 << source | 1 << step)
            if between & down and between & up:
                found.add((source, step))
    return found
