"""Ways around: inside a block, beside it, and between blocks that do not follow each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.blocks import Block

_LONGEST_SIDE = 3


@dataclass(frozen=True)
class Elbow:
    """A way around to a join; both ends are places of nodes.

    Attributes
    ----------
    source
        ``None`` for what enters the block.
    join
        What reads it beside the member before it.
    """

    source: int | None
    join: int


@dataclass(frozen=True)
class SideBranch:
    """A way of few layers beside the main one: a shortcut with its normalization.

    Attributes
    ----------
    members
        Places of its nodes, in order.
    source
        What it begins with; ``None`` for what enters the block.
    join
        Where it ends.
    """

    members: tuple[int, ...]
    source: int | None
    join: int


@dataclass(frozen=True)
class BlockWays:
    """The ways of a block.

    Attributes
    ----------
    row
        Places of the members that follow each other: all but the side branch.
    elbows
        In the order of their joins.
    side
        ``None`` where no way is short enough to stand beside the main tile.
    follows
        Whether the block reads the one before it.
    """

    row: tuple[int, ...]
    elbows: tuple[Elbow, ...]
    side: SideBranch | None
    follows: bool


@dataclass(frozen=True, order=True)
class LongEdge:
    """A block reads another that is not the one before it; both by their numbers, from 0."""

    source: int
    target: int


@dataclass(frozen=True)
class Ways:
    """All ways of blocks, in the order of the blocks; long edges by their sources."""

    blocks: tuple[BlockWays, ...]
    long: tuple[LongEdge, ...]


def find_ways(blocks: Sequence[Block], nodes: Sequence[Node]) -> Ways:
    """The ways within blocks and between them."""
    place_of = {node.key: place for place, node in enumerate(nodes)}
    reads = [
        [place_of[link.source] for link in node.links if link.source in place_of] for node in nodes
    ]
    readers: defaultdict[int, list[int]] = defaultdict(list)
    for place, found in enumerate(reads):
        for source in found:
            readers[source].append(place)
    block_of = {place: number for number, block in enumerate(blocks) for place in block.members}
    edges = {
        (block_of[source], block_of[place]) for place, found in enumerate(reads) for source in found
    }
    found_ways = []
    for number, block in enumerate(blocks):
        side = _side_branch(block, reads, readers)
        apart = () if side is None else side.members
        row = tuple(place for place in block.members if place not in apart)
        before = set(blocks[number - 1].members) if number else set()
        elbows = _elbows(row, block, reads, apart, before)
        found_ways.append(BlockWays(row, elbows, side, (number - 1, number) in edges))
    long = sorted(LongEdge(i, j) for i, j in edges if i != j and j != i + 1)
    return Ways(tuple(found_ways), tuple(long))


def _elbows(
    row: Sequence[int],
    block: Block,
    reads: Sequence[Sequence[int]],
    apart: Collection[int],
    previous: Collection[int],
) -> tuple[Elbow, ...]:
    """Elbows to the joins of a row; what enters by a long edge has a pill, and no elbow."""
    own = set(block.members)
    uses = Counter(source for place in block.members for source in reads[place])
    found: dict[Elbow, None] = {}
    for before, join in pairwise(row):
        if before not in reads[join]:
            continue
        for source in reads[join]:
            if source in own:
                if source != before and source not in apart:
                    found[Elbow(source, join)] = None
            elif uses[source] > 1 or source in previous:
                found[Elbow(None, join)] = None
    return tuple(found)


def _side_branch(
    block: Block, reads: Sequence[Sequence[int]], readers: Mapping[int, Sequence[int]]
) -> SideBranch | None:
    """The first way of few layers that ends in a join where a longer way ends, too."""
    own = set(block.members)
    for join in block.members:
        ways = [_way_to(source, own, reads, readers) for source in reads[join] if source in own]
        if len(reads[join]) < 2 or len(ways) < 2:
            continue
        shortest = min(ways, key=len)
        longest = max(ways, key=len)
        if 0 < len(shortest) <= _LONGEST_SIDE and len(shortest) < len(longest):
            (source,) = reads[shortest[0]]
            return SideBranch(tuple(shortest), source if source in own else None, join)
    return None


def _way_to(
    last: int,
    own: Collection[int],
    reads: Sequence[Sequence[int]],
    readers: Mapping[int, Sequence[int]],
) -> list[int]:
    """The members of a way that ends here, back to where it left another one or came in."""
    way: list[int] = []
    step = last
    while step in own and len(reads[step]) == len(readers[step]) == 1:
        way.append(step)
        (step,) = reads[step]
    return way[::-1]
