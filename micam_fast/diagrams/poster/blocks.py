"""Blocks: what a poster shows as one card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.flow import Flow, flow_of, in_order
from micam_fast.diagrams.poster.graph_blocks import find_groups
from micam_fast.diagrams.poster.kinds import CONCAT, INPUT
from micam_fast.diagrams.poster.leftovers import Group, is_flat, with_leftovers
from micam_fast.diagrams.poster.named_blocks import NamedGroup, named_groupings
from micam_fast.diagrams.poster.regions import LARGEST, Steps

STEM, HEAD = "stem", "head"
_COVERED, _WHOLE = 0.8, 0.7


@dataclass(frozen=True)
class Block:
    """A block.

    Attributes
    ----------
    title
        What its card is called; empty where nothing names it, so that its number does.
    members
        Places of its nodes in the diagram: nothing reads a later one, and branches follow each
        other.
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
    groups = [Group([*steps]) for steps in found.groups]
    if len(flow) <= LARGEST:
        by, groups = "layers", [Group([step], flow.nodes[step].title) for step in range(len(flow))]
    else:
        for named in filter(lambda each: _cover(each, flow), named_groupings(flow)):
            merged = with_leftovers([Group([*e.steps], e.title) for e in named], flow)
            if _whole(merged, found.regions) >= _WHOLE * len(found.regions):
                by, groups = "names", merged
                break
        else:
            groups = with_leftovers(groups, flow)
    groups = _ordered(groups, flow)
    if by != "layers":
        groups = _titled(groups, flow, by)
    blocks = tuple(_block(group, flow) for group in groups)
    return Grouping(blocks, by, len(found.regions), _whole(groups, found.regions))


def _whole(groups: Sequence[Group], regions: Sequence[Steps]) -> int:
    """How many regions lie in one group."""
    block_of = {step: number for number, group in enumerate(groups) for step in group.steps}
    return sum(len({block_of[step] for step in steps}) == 1 for steps in regions)


def _cover(named: Sequence[NamedGroup], flow: Flow) -> bool:
    """Tell whether names tell enough; what lies before the first group or behind the last is apart.

    A stem and a head are a block each, whatever their layers are called.
    """
    covered = [group.steps for group in named if group.title is not None]
    if not covered:
        return False
    count = sum(map(len, covered))
    first, last = min(map(min, covered)), max(map(max, covered))
    apart = first, len(flow) - 1 - last
    between = len(flow) - sum(size for size in apart if size <= LARGEST)
    return count > _COVERED * between and count > len(flow) / 2


# --- Order and names ---------------------------------------------------------------------------


def _ordered(groups: Sequence[Group], flow: Flow) -> list[Group]:
    """Blocks, each after those that it reads; those of a circle are divided."""
    groups = sorted(groups, key=lambda group: group.steps)
    while True:
        reads = _reads_of(groups, flow)
        order = in_order(range(len(groups)), reads)
        if len(order) == len(groups):
            return [groups[number] for number in order]
        groups = _divided(groups, set(range(len(groups))) - set(order))


def _reads_of(groups: Sequence[Group], flow: Flow) -> dict[int, set[int]]:
    owner = {step: number for number, group in enumerate(groups) for step in group.steps}
    return {
        number: {owner[s] for step in group.steps for s in flow.reads[step]} - {number}
        for number, group in enumerate(groups)
    }


def _divided(groups: Sequence[Group], circle: set[int]) -> list[Group]:
    """Groups, those of a circle in pieces that follow each other in the order of steps."""
    found = [group for number, group in enumerate(groups) if number not in circle]
    owner = {step: number for number in circle for step in groups[number].steps}
    last = None
    for step in sorted(owner):
        if owner[step] != last:
            last = owner[step]
            found.append(Group([], groups[last].title))
        found[-1].steps.append(step)
    return sorted(found, key=lambda group: group.steps)


def _titled(groups: Sequence[Group], flow: Flow, by: str) -> list[Group]:
    """Blocks with titles; those without a name at the end are the head."""
    found = [*groups]
    while by == "names" and len(found) > 1 and _is_head(found[-2:], flow):
        last = found.pop()
        found[-1].steps = sorted([*found[-1].steps, *last.steps])
    fed = [place for place, group in enumerate(found) if _has_input(group, flow)]
    for place, group in enumerate(found):
        if place == 0 and fed == [0]:
            group.title = STEM
        elif place == len(found) - 1:
            group.title = group.title or HEAD
        elif group.title is None and by == "names":
            first = (step for step in group.steps if flow.kinds[step].has_kernel)
            group.title = flow.nodes[next(first, group.steps[0])].title
    return found


def _is_head(pair: Sequence[Group], flow: Flow) -> bool:
    """Tell whether two blocks at the end have no names and give values that are no maps."""
    before, last = pair
    return (
        before.title is None
        and last.title is None
        and len(before.steps) + len(last.steps) <= LARGEST
        and not _has_input(before, flow)
        and all(is_flat(flow, _exit(group.steps, flow)) for group in pair)
    )


def _has_input(group: Group, flow: Flow) -> bool:
    return any(flow.kinds[step] is INPUT for step in group.steps)


def _block(group: Group, flow: Flow) -> Block:
    members = tuple(flow.places[step] for step in group.steps)
    return Block(group.title or "", members, flow.places[_exit(group.steps, flow)])


def _exit(steps: Sequence[int], flow: Flow) -> int:
    """The last step that is read from outside or by nobody; of a concat, its one new argument."""
    own = set(steps)
    last = max(step for step in steps if not flow.readers[step] or not own >= {*flow.readers[step]})
    if flow.kinds[last] is CONCAT:
        new = [step for step in flow.reads[last] if step in own]
        if len(new) == 1 < len(flow.reads[last]):
            return new[0]
    return last
