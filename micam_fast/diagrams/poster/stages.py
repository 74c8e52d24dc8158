"""Stages: consecutive blocks of one size, which a poster writes above their cards."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.blocks import HEAD, Block
from micam_fast.maps.layer_map import LayerMap

VALUES = "values"


@dataclass(frozen=True)
class Stage:
    """Consecutive blocks whose maps are of one size.

    Attributes
    ----------
    title
        The size, ``56 x 56``; ``values`` for lists of values.
    first, end
        Places of the first block and behind the last one.
    layers
        How many layers they hold.
    """

    title: str
    first: int
    end: int
    layers: int


def find_stages(
    blocks: Sequence[Block], nodes: Sequence[Node], maps: Mapping[str, LayerMap]
) -> tuple[Stage, ...]:
    """The stages of blocks, by the size of the map that each block shows.

    A block without a map joins the stage before it.
    """
    titles: list[str] = []
    for block in blocks:
        found = maps.get(nodes[block.exit].key)
        if found is not None:
            titles.append(size_of(found))
        else:
            titles.append(titles[-1] if titles else "")
    stages, first = [], 0
    for title, group in itertools.groupby(titles):
        end = first + len(list(group))
        layers = sum(nodes[place].holds for b in blocks[first:end] for place in b.members)
        stages.append(Stage(title, first, end, layers))
        first = end
    return tuple(stages)


def apart_lists(
    blocks: Sequence[Block], nodes: Sequence[Node], maps: Mapping[str, LayerMap]
) -> tuple[Block, ...]:
    """Blocks that begin with maps and end with lists of values are two: the lists have no size."""
    found: list[Block] = []
    for block in blocks:
        are_lists = [
            (each := maps.get(nodes[place].key)) is not None and size_of(each) == VALUES
            for place in block.members
        ]
        cut = are_lists.index(True) if True in are_lists else 0
        if cut and all(are_lists[cut:]) and block.exit in block.members[cut:]:
            maps_part, lists = block.members[:cut], block.members[cut:]
            is_head = block.title == HEAD or block is blocks[-1]
            title = HEAD if is_head else VALUES
            found.append(Block("" if is_head else block.title, maps_part, maps_part[-1]))
            found.append(Block(title, lists, block.exit))
        else:
            found.append(block)
    return tuple(found)


def size_of(found: LayerMap) -> str:
    """The size of a map in words; a list of values, or a single one, has none."""
    height, width = found.cam.shape
    return VALUES if found.flat or height * width == 1 else f"{height} x {width}"
