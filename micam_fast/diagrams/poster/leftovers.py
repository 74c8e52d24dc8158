"""What is left over between blocks: layers without a kernel that no name and no region holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from micam_fast.diagrams.poster.flow import Flow
from micam_fast.diagrams.poster.kinds import CONCAT, CUT, INPUT, NORMALIZATION, RESIZE
from micam_fast.diagrams.poster.regions import LARGEST
from micam_fast.diagrams.poster.scales import scales_of

_FULL = LARGEST + LARGEST // 4
"""Layers of a block with what was left over, at most."""
_LEADING = (CONCAT, CUT, INPUT, RESIZE)


@dataclass
class Group:
    """A block that is being made.

    Attributes
    ----------
    steps
        In order.
    title
        What names say; ``None`` where they say nothing.
    """

    steps: list[int]
    title: str | None = None


def with_leftovers(groups: Sequence[Group], flow: Flow) -> list[Group]:
    """Blocks, with what is left over in the one that reads it or in the one before.

    The first holds for a concat, a resize, a split and an input, for the normalization of a sum,
    and for what makes maps smaller: the block before shows a map of its own size. A stem ends in
    the size that blocks have.
    """
    scales = scales_of(flow)
    held = dict(enumerate(groups))
    owner = {step: number for number, group in held.items() for step in group.steps}
    for number, group in enumerate(groups):
        if not _is_leftover(group, flow):
            continue
        readers = {owner[r] for step in group.steps for r in flow.readers[step]} - {number}
        sources = {owner[s] for step in group.steps for s in flow.reads[step]} - {number}
        leads = _leads(group, flow)
        if scales.ends(group.steps):
            fed = (flow.kinds[step] is INPUT for each in sources for step in held[each].steps)
            leads = leads or not any(fed)
        if readers and (not sources or (leads and len(readers) == 1)):
            into = min(readers, key=lambda each: held[each].steps)
        elif sources:
            into = max(sources, key=lambda each: held[each].steps[-1])
        else:
            continue
        other = held[into]
        if len(other.steps) + len(group.steps) > _FULL:
            continue
        del held[number]
        other.steps = sorted([*other.steps, *group.steps])
        owner.update(dict.fromkeys(group.steps, into))
    return list(held.values())


def is_flat(flow: Flow, step: int) -> bool:
    """Tell whether a step gives a list of values for each sample; unknown sizes are many."""
    shape = flow.nodes[step].layer.output_shape
    return shape is not None and sum(size != 1 for size in shape[1:]) <= 1


def _leads(group: Group, flow: Flow) -> bool:
    """Tell whether a leftover begins something: also what normalizes a sum, or many maps."""
    first = group.steps[0]
    read = flow.reads[first]
    begins = flow.kinds[first] is NORMALIZATION and len(read) == 1 < len(flow.reads[read[0]])
    return flow.kinds[first] in _LEADING or begins or _flattens(group, flow)


def _flattens(group: Group, flow: Flow) -> bool:
    read = {source for step in group.steps for source in flow.reads[step]} - {*group.steps}
    return is_flat(flow, group.steps[-1]) and not all(is_flat(flow, source) for source in read)


def _is_leftover(group: Group, flow: Flow) -> bool:
    """Tell whether nothing in a group has a kernel, and nothing joins others of it."""
    own = set(group.steps)
    if any(len(own.intersection(flow.reads[step])) > 1 for step in group.steps):
        return False
    return not any(flow.kinds[step].has_kernel for step in group.steps)
