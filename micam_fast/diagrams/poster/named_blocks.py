"""Blocks by the modules that a person wrote, or by what names of layers have in common."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from micam_fast.core.grouping import connected
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.flow import Flow
from micam_fast.diagrams.poster.regions import LARGEST, Steps

# Modules lie within each other some ten deep; a file's names may be anything.
_DEEPEST = 64
_SEPARATORS = ("/", "/.", "/._")


@dataclass(frozen=True)
class NamedGroup:
    """Steps whose names begin alike; ``None`` as a title where a step is alone."""

    title: str | None
    steps: Steps


def named_groupings(flow: Flow) -> Iterator[tuple[NamedGroup, ...]]:
    """The groups by each way to read the names: by modules, else split at more and more signs."""
    above = _above(flow)
    if any(node.layer.cluster for node in flow.nodes):
        yield _groups(flow, above, [_modules(node) for node in flow.nodes])
    for signs in _SEPARATORS:
        if any(signs[-1] in node.title for node in flow.nodes):
            splits = re.compile(f"[{re.escape(signs)}]")
            yield _groups(flow, above, [_prefixes(node.title, splits) for node in flow.nodes])


def _modules(node: Node) -> list[str]:
    """Paths of the modules around a node, outermost first.

    Those of PyTorch are paths; those of Keras are names, and joined they begin the layer's name.
    """
    found = []
    for depth, path in enumerate(node.layer.cluster, 1):
        joined = "/".join(node.layer.cluster[:depth])
        whole = joined if node.layer.name.startswith(f"{joined}/") else path
        if len(whole) < len(node.title):
            found.append(whole)
    return found


def _prefixes(name: str, splits: re.Pattern[str]) -> list[str]:
    """Beginnings of a name up to each of these signs, shortest first."""
    places = (found.start() for found in islice(splits.finditer(name), _DEEPEST))
    return [name[:place] for place in places if place]


def _groups(
    flow: Flow, above: Sequence[int], prefixes: Sequence[Sequence[str]]
) -> tuple[NamedGroup, ...]:
    held = Counter(prefix for found in prefixes for prefix in dict.fromkeys(found))
    members: defaultdict[str, list[int]] = defaultdict(list)
    groups: list[NamedGroup] = []
    for step, found in enumerate(prefixes):
        prefix = next((each for each in found if held[each] <= LARGEST), None)
        if prefix is None:
            groups.append(NamedGroup(None, (step,)))
        else:
            members[prefix].append(step)
    for prefix, steps in members.items():
        if len(steps) == 1:
            groups.append(NamedGroup(None, (steps[0],)))
            continue
        parts = [
            part
            for round_ in _rounds(steps, flow, above)
            for part in connected(round_, lambda step: flow.reads[step])
        ]
        for part in parts:
            title = prefix if len(parts) == 1 else _longest_common(prefixes, part)
            groups.append(NamedGroup(title if len(part) > 1 else None, tuple(part)))
    return tuple(sorted(groups, key=lambda group: group.steps))


def _longest_common(prefixes: Sequence[Sequence[str]], steps: Sequence[int]) -> str:
    """The longest beginning of all these names: several blocks are told apart by it."""
    first, *others = (prefixes[step] for step in steps)
    return [prefix for prefix in first if all(prefix in other for other in others)][-1]


def _above(flow: Flow) -> list[int]:
    """By step: itself and all that it depends on, as bits."""
    above: list[int] = []
    for step, read in enumerate(flow.reads):
        mask = 1 << step
        for source in read:
            mask |= above[source]
        above.append(mask)
    return above


def _rounds(steps: Sequence[int], flow: Flow, above: Sequence[int]) -> list[list[int]]:
    """Steps by how often a way that leads to them has left them all and come back."""
    rounds: list[list[int]] = []
    masks: list[int] = []
    round_of: dict[int, int] = {}
    for step in steps:
        highest = 0
        for source in flow.reads[step]:
            if source in round_of:
                highest = max(highest, round_of[source])
                continue
            back = (n for n in reversed(range(len(masks))) if masks[n] & above[source])
            highest = max(highest, next(back, -1) + 1)
        round_of[step] = highest
        while len(rounds) <= highest:
            rounds.append([])
            masks.append(0)
        rounds[highest].append(step)
        masks[highest] |= 1 << step
    return rounds
