"""Blocks: what a poster shows as one card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.flow import Flow, flow_of, in_order
from micam_fast.diagrams.poster.graph_blocks import LARGEST, Found, find_groups
from micam_fast.diagrams.poster.kinds import CONCAT, CUT, INPUT, RESIZE
from micam_fast.diagrams.poster.named_blocks import NamedGroup, named_groupings

STEM, HEAD = "stem", "head"
_COVERED, _WHOLE = 0.8, 0.7


@dataclass(frozen=True)
class Block:
    """A block.

    Attributes
    ----------
    title
        What its card is called.
    members
        Places of its nodes in the diagram, in order.
    exit
        The place whose map is the main tile.
    """

    title: str
    members: tuple[int, ...]
    exit: int


@dataclass(frozen=True)
class Grouping:
    """The blocks of a network, in an order in which none reads a later one.

    Attributes
    ----------
    blocks
        Every node is in one.
    by
        What tells them.
    regions, whole_regions
        How many regions the graph has, and how many of them lie in one block.
    """

    blocks: tuple[Block, ...]
    by: Literal["names", "graph", "layers"]
    regions: int
    whole_regions: int


def find_blocks(nodes: Sequence[Node]) -> Grouping:
    """The blocks of the nodes of a diagram."""
    flow = flow_of(nodes)
    found = find_groups(flow)
    by: Literal["names", "graph", "layers"] = "graph"
    groups = [_Group(list(steps)) for steps in found.groups]
    if len(flow) <= LARGEST:
        by, groups = "layers", [_Group([step], flow.nodes[step].title) for step in range(len(flow))]
    else:
        named = next((each for each in named_groupings(flow) if _win(each, found, flow)), None)
        if named is not None:
            by, groups = "names", [_Group(list(each.steps), each.title) for each in named]
    if by != "layers":
        groups = _with_leftovers(groups, flow)
    groups = _ordered(groups, flow)
    if by != "layers":
        _name(groups, flow, by)
    block_of = {step: number for number, group in enumerate(groups) for step in group.steps}
    whole = sum(len({block_of[step] for step in steps}) == 1 for steps in found.regions)
    return Grouping(tuple(_block(group, flow) for group in groups), by, len(found.regions), whole)


def _win(named: Sequence[NamedGroup], found: Found, flow: Flow) -> bool:
    """Tell whether blocks by names are better than those of the graph."""
    block_of = {step: number for number, group in enumerate(named) for step in group.steps}
    covered = sum(len(group.steps) for group in named if group.title is not None)
    whole = sum(len({block_of[step] for step in steps}) == 1 for steps in found.regions)
    return covered > _COVERED * len(flow) and whole >= _WHOLE * len(found.regions)


# --- Leftovers ---------------------------------------------------------------------------------


@dataclass
class _Group:
    """A block that is being made; `title` is the one by names."""

    steps: list[int]
    title: str | None = None
    merged: bool = field(default=False)


def _with_leftovers(groups: Sequence[_Group], flow: Flow) -> list[_Group]:
    """Blocks, with what is left over in the one that reads it or in the one before."""
    owner = {step: number for number, group in enumerate(groups) for step in group.steps}
    held = dict(enumerate(groups))

    def merge(number: int, into: int) -> None:
        group = held.pop(number)
        held[into].steps = sorted([*held[into].steps, *group.steps])
        held[into].title = held[into].title or group.title
        owner.update(dict.fromkeys(group.steps, into))

    for number, group in list(held.items()):
        if not _is_leftover(group, flow):
            continue
        readers = {owner[r] for step in group.steps for r in flow.readers[step]} - {number}
        sources = {owner[s] for step in group.steps for s in flow.reads[step]} - {number}
        goes_on = flow.kinds[group.steps[0]] in (CONCAT, RESIZE, CUT, INPUT) or not sources
        if goes_on and len(readers) == 1:
            merge(number, readers.pop())
        elif sources:
            merge(number, max(sources, key=lambda each: max(held[each].steps)))
        elif readers:
            merge(number, min(readers, key=lambda each: min(held[each].steps)))
    return list(held.values())


def _is_leftover(group: _Group, flow: Flow) -> bool:
    """Tell whether nothing in a group has a kernel, and nothing joins."""
    if len(group.steps) > 1 and any(len(flow.reads[step]) > 1 for step in group.steps):
        return False
    return not any(flow.kinds[step].has_kernel for step in group.steps)


# --- Order and names ---------------------------------------------------------------------------


def _ordered(groups: Sequence[_Group], flow: Flow) -> list[_Group]:
    """Blocks, each after those that it reads; those of a circle are divided."""
    groups = sorted(groups, key=lambda group: group.steps)
    while True:
        reads = _reads_of(groups, flow)
        order = in_order(range(len(groups)), reads)
        if len(order) == len(groups):
            return [groups[number] for number in order]
        groups = _divided(groups, set(range(len(groups))) - set(order))


def _reads_of(groups: Sequence[_Group], flow: Flow) -> dict[int, set[int]]:
    owner = {step: number for number, group in enumerate(groups) for step in group.steps}
    return {
        number: {owner[s] for step in group.steps for s in flow.reads[step]} - {number}
        for number, group in enumerate(groups)
    }


def _divided(groups: Sequence[_Group], circle: set[int]) -> list[_Group]:
    """Groups, those of a circle in pieces that follow each other in the order of steps."""
    found = [group for number, group in enumerate(groups) if number not in circle]
    owner = {step: number for number in circle for step in groups[number].steps}
    last = None
    for step in sorted(owner):
        if owner[step] != last:
            last = owner[step]
            found.append(_Group([], groups[last].title))
        found[-1].steps.append(step)
    return sorted(found, key=lambda group: group.steps)


def _name(groups: Sequence[_Group], flow: Flow, by: str) -> None:
    """Give every block a title."""
    number = 0
    for place, group in enumerate(groups):
        number += 1
        if any(flow.kinds[step] is INPUT for step in group.steps) and place == 0:
            group.title = STEM
            number = 0
        elif place == len(groups) - 1 and (by == "graph" or group.title is None):
            group.title = HEAD
        elif group.title is None:
            titles = [flow.nodes[step].title for step in group.steps]
            group.title = f"block {number}" if by == "graph" else titles[0]


def _block(group: _Group, flow: Flow) -> Block:
    members = tuple(sorted(flow.places[step] for step in group.steps))
    assert group.title is not None
    return Block(group.title, members, flow.places[_exit(group.steps, flow)])


def _exit(steps: Sequence[int], flow: Flow) -> int:
    """The last step that is read from outside or by nobody; of a concat, its one new argument."""
    own = set(steps)
    last = max(step for step in steps if not flow.readers[step] or not own >= {*flow.readers[step]})
    if flow.kinds[last] is CONCAT:
        new = [step for step in flow.reads[last] if step in own]
        if len(new) == 1 < len(flow.reads[last]):
            return new[0]
    return last
