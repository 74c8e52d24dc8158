"""What all evidence together says of each value's axes, and why."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from micam_fast.core.layers import Axes, Reason
from micam_fast.models.onnx.axes.evidence import (
    Claim,
    Evidence,
    Level,
    Role,
    growth_claims,
    input_claims,
    node_claims,
)
from micam_fast.models.onnx.axes.links import Link, find_links, note_origin
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.operators import find_operator

Known = tuple[tuple[int, ...], Evidence, Level]
"""Axes, what says so, and how much it counts after its way."""


@dataclass(frozen=True)
class Conclusions:
    """Axes of every activation of which something is known.

    Attributes
    ----------
    axes
        By value.
    """

    axes: Mapping[str, Axes]
    _known: tuple[Mapping[str, Known], ...]
    _against: Mapping[str, tuple[tuple[int, ...], Evidence]]

    def has_channels(self, value: str) -> bool:
        """Tell whether something says where a value's channels lie."""
        found = self.axes.get(value)
        return found is not None and found.channel is not None

    def is_sure(self, value: str) -> bool:
        """Tell whether more than a hint says where a value's channels lie."""
        return self.has_channels(value) and self._known[Role.CHANNEL][value][2] < Level.HINTS

    def reason(self, value: str) -> Reason:
        """What says where a value's batch and channels lie."""
        channels, batch = (self._known[role].get(value) for role in (Role.CHANNEL, Role.BATCH))
        against = self._against.get(value)
        return Reason(
            str(channels[1]) if channels and self.has_channels(value) else None,
            str(batch[1]) if batch else None,
            None if against is None else f"{against[1]}: channels on axis {max(against[0])}",
        )


def infer_axes(graph: Graph) -> Conclusions:
    """Conclude from all that nodes and inputs of a graph say."""
    claims, links = _look_around(graph)
    known, against = _spread(claims, links, {value.name for value in graph.inputs})
    channels, batches, _ = known
    axes = {}
    for value in {**batches, **channels}:
        batch = batches[value][0] if value in batches else (0,)
        places = channels[value][0] if value in channels else ()
        free = [axis for axis in places if axis not in batch]
        if places and not free and value in batches and batches[value][2] > channels[value][2]:
            batch, free = (), list(places)
        # Of several axes that hold channels, heads and groups, the last one counts fastest.
        axes[value] = Axes(
            batch[0] if batch else None,
            max(free) if free else None,
            assumed_batch=value not in batches,
        )
    return Conclusions(axes, known, against)


def _look_around(graph: Graph) -> tuple[list[Claim], Mapping[str, list[Link]]]:
    """All evidence, and the ways between values by the one that they begin at."""
    claims = [*input_claims(graph), *growth_claims(graph)]
    links: defaultdict[str, list[Link]] = defaultdict(list)
    origins: dict[str, str] = {}
    rows = [(node, find_operator(node)) for node in graph.nodes]
    walks = any(operator.channels == "recurrent" for _, operator in rows)
    for node, operator in rows:
        read = graph.activations(node)
        if not read or not any(node.output):
            continue
        claims.extend(node_claims(graph, node, operator, read))
        for value, link in find_links(graph, node, operator, read, origins, walks=walks):
            links[value].append(link)
        note_origin(graph, node, operator, read, origins)
    return claims, links


def _spread(
    claims: Iterable[Claim], links: Mapping[str, list[Link]], inputs: set[str]
) -> tuple[tuple[dict[str, Known], ...], dict[str, tuple[tuple[int, ...], Evidence]]]:
    """What is concluded of each role, and evidence against it; the strongest and nearest first."""
    known: tuple[dict[str, Known], ...] = ({}, {}, {})
    against: dict[str, tuple[tuple[int, ...], Evidence]] = {}
    waiting = [
        (evidence.level, 0, place, value, role, axes, evidence)
        for place, (value, role, axes, evidence) in enumerate(claims)
        if value
    ]
    heapq.heapify(waiting)
    place = len(waiting)
    while waiting:
        level, far, _, value, role, axes, evidence = heapq.heappop(waiting)
        held = known[role]
        if value in held:
            if role is Role.CHANNEL:
                _compare(held[value], value, level, axes, evidence, against)
            continue
        held[value] = axes, evidence, level
        if role is Role.WALKED and value in inputs and axes == (0,):
            place += 1
            whole = Role.BATCH, (), evidence
            heapq.heappush(waiting, (level, far + 1, place, value, *whole))
        for link in links.get(value, ()):
            carried = _carry(link, role, axes)
            if carried is None:
                continue
            most = max(level, link.level)
            if not carried and link.joined:
                most = Level.JOINED
            if link.other not in held:
                place += 1
                entry = (most, far + 1, place, link.other, role, carried, evidence)
                heapq.heappush(waiting, entry)
            elif role is Role.CHANNEL:
                _compare(held[link.other], link.other, most, carried, evidence, against)
    return known, against


def _carry(link: Link, role: Role, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    if role is Role.WALKED and link.forwards:
        return None
    return axes if link.carry is None else link.carry(role, axes)


def _compare(
    held: Known,
    value: str,
    level: Level,
    axes: tuple[int, ...],
    evidence: Evidence,
    against: dict[str, tuple[tuple[int, ...], Evidence]],
) -> None:
    """Keep evidence that contradicts a conclusion, where both are strong."""
    strong = max(held[2], level) <= Level.DEFINES
    if strong and set(axes).isdisjoint(held[0]):
        against.setdefault(value, (axes, evidence))
