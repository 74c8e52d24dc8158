"""The nodes of a diagram as a graph of numbers.

Their order is one in which nothing reads a later one and a branch ends before the next one begins.
Files have any order that suits their writer: Keras lists a step of each branch in turn.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.kinds import Kind, kind_of

# Layers of a branch within a block are fewer.
_LONG_AGO = 16


@dataclass(frozen=True)
class Flow:
    """What reads what. A *step* is a node's place in this order.

    Attributes
    ----------
    places
        By step: the node's place in the diagram.
    nodes, kinds
        By step.
    reads, readers
        By step: the steps that it reads, and that read it.
    """

    places: tuple[int, ...]
    nodes: tuple[Node, ...]
    kinds: tuple[Kind, ...]
    reads: tuple[tuple[int, ...], ...]
    readers: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.nodes)


def flow_of(nodes: Sequence[Node]) -> Flow:
    """The graph of nodes; what is no node, nobody reads."""
    place_of = {node.key: place for place, node in enumerate(nodes)}
    read = {
        place: [place_of[link.source] for link in node.links if link.source in place_of]
        for place, node in enumerate(nodes)
    }
    order = _branch_by_branch(read)
    steps = {place: step for step, place in enumerate(order)}
    reads = [tuple(sorted({steps[each] for each in read[place]})) for place in order]
    readers: list[list[int]] = [[] for _ in order]
    for step, found in enumerate(reads):
        for source in found:
            readers[source].append(step)
    listed = tuple(nodes[place] for place in order)
    return Flow(
        tuple(order), listed, tuple(map(kind_of, listed)), tuple(reads), tuple(map(tuple, readers))
    )


def _branch_by_branch(read: Mapping[int, Sequence[int]]) -> list[int]:
    """Places, each right behind the last of those that it reads, as far as it can be.

    A branch that left long ago comes last of those that a join reads: the others go on.
    """
    depth: dict[int, int] = {}
    for place in in_order(read, read):
        depth[place] = 1 + max((depth[source] for source in read[place]), default=0)
    left = set(read).difference(*read.values())
    order: dict[int, None] = {}
    for end in sorted(left):
        waiting = [end]
        while waiting:
            place = waiting[-1]
            sources = [source for source in read[place] if source not in order]
            if not sources:
                order[waiting.pop()] = None
                continue
            deepest = max(depth[source] for source in sources)
            waiting.append(min(sources, key=lambda s: (depth[s] < deepest - _LONG_AGO, s)))
    return list(order)


def in_order(numbers: Collection[int], reads: Mapping[int, Collection[int]]) -> list[int]:
    """Numbers, each after those that it reads, else by size; those of a circle are left out."""
    waiting = {number: len(set(reads[number])) for number in numbers}
    readers: dict[int, list[int]] = {number: [] for number in numbers}
    for number in numbers:
        for source in set(reads[number]):
            readers[source].append(number)
    ready = [number for number, count in waiting.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for reader in readers[number]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    return order
