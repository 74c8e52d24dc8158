"""Fewer cards for more blocks: several small ones in a card, or the ends of a run alike."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.blocks import Block
from micam_fast.diagrams.poster.kinds import kernel_size
from micam_fast.diagrams.poster.regions import LARGEST as LARGEST_BLOCK
from micam_fast.diagrams.poster.stages import Stage

_SHORTEST = 3
_SIZES = (6, 12, LARGEST_BLOCK)
"""Most nodes in a card of several blocks."""


@dataclass(frozen=True)
class Entry:
    """What a card shows: a block, or a run of blocks that are alike.

    Attributes
    ----------
    first, end
        Places of the first block and behind the last one.
    """

    first: int
    end: int

    @property
    def count(self) -> int:
        """How many blocks it stands for."""
        return self.end - self.first

    @property
    def shown(self) -> tuple[int, ...]:
        """Places of the blocks whose maps the card shows."""
        return (self.first,) if self.count == 1 else (self.first, self.end - 1)


def single_entries(blocks: Sequence[Block]) -> list[Entry]:
    """A card for each block."""
    return [Entry(place, place + 1) for place in range(len(blocks))]


def joined_blocks(blocks: Sequence[Block], stages: Sequence[Stage]) -> Iterator[tuple[Block, ...]]:
    """Ever fewer blocks: neighbours of one stage that are small together are one."""
    for most in _SIZES:
        joined: list[list[Block]] = []
        for stage in stages:
            begins = True
            for block in blocks[stage.first : stage.end]:
                if begins or sum(len(b.members) for b in (*joined[-1], block)) > most:
                    joined.append([])
                joined[-1].append(block)
                begins = False
        if len(joined) < len(blocks):
            yield tuple(map(_joined, joined))


def _joined(blocks: Sequence[Block]) -> Block:
    first, last = blocks[0], blocks[-1]
    if first is last:
        return first
    members = tuple(place for block in blocks for place in block.members)
    title = f"{first.title} … {last.title}" if first.title and last.title else ""
    return Block(title, members, last.exit)


def shorter_entries(
    blocks: Sequence[Block], nodes: Sequence[Node], stages: Sequence[Stage]
) -> Iterator[list[Entry]]:
    """Ever fewer cards: the longest runs are the first that become one card each.

    Blocks are alike if their layers are of the same classes with kernels of the same sizes, in one
    stage. The first and the last block of the network are no part of a run.
    """
    kinds = [_kind(block, nodes) for block in blocks]
    runs = sorted(
        (run for stage in stages for run in _runs(kinds, stage.first, stage.end)),
        key=lambda run: (-run.count, run.first),
    )
    lengths = sorted({run.count for run in runs}, reverse=True)
    for least in lengths:
        joined = {run.first: run for run in runs if run.count >= least}
        entries, place = [], 0
        while place < len(blocks):
            entry = joined.get(place, Entry(place, place + 1))
            entries.append(entry)
            place = entry.end
        yield entries


def _runs(kinds: Sequence[Hashable], begin: int, end: int) -> Iterator[Entry]:
    first, end = max(begin, 1), min(end, len(kinds) - 1)
    for place in range(first + 1, end + 1):
        if place == end or kinds[place] != kinds[first]:
            if place - first >= _SHORTEST:
                yield Entry(first, place)
            first = place


def _kind(block: Block, nodes: Sequence[Node]) -> Hashable:
    layers = [nodes[place].layer for place in block.members]
    return tuple((layer.class_label, kernel_size(layer)) for layer in layers)
