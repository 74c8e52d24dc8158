"""Blocks from the graph alone: regions with several ways, and units that repeat.

A *cut* is a step that every open edge starts from: all that comes later depends on it alone. The
steps between two cuts, with the later one, are a *region* if there are several: a residual block,
an inception cell. What lies in a chain are *units*: a pad, a layer with a kernel, its followers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from micam_fast.core.grouping import connected
from micam_fast.diagrams.poster.flow import Flow
from micam_fast.diagrams.poster.kinds import ACTIVATION, COPY, FUNCTION, NORMALIZATION, PAD
from micam_fast.diagrams.poster.scales import Scales, scales_of
from micam_fast.diagrams.poster.shortcuts import main_reads

LARGEST = 24
"""Layers of a block, at most."""
_FOLLOWERS = (NORMALIZATION, ACTIVATION, COPY, FUNCTION)
_PERIODS = range(2, 7)

Steps = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """Blocks of a graph.

    Attributes
    ----------
    groups
        Steps of each block; every step is in one.
    regions
        Steps of those that are regions, or units that repeat.
    """

    groups: tuple[Steps, ...]
    regions: tuple[Steps, ...]


@dataclass
class _Piece:
    """A region, or a single step; `ends` tells that what comes next is no successor of it."""

    steps: Steps
    is_region: bool
    ends: bool = False


@dataclass
class _Unit:
    steps: list[int]
    is_region: bool


def find_groups(flow: Flow) -> Found:
    """The blocks of a graph, in its order."""
    reads, scales = main_reads(flow), scales_of(flow)
    groups: list[Steps] = []
    regions: list[Steps] = []
    run: list[_Piece] = []
    for piece in _pieces(range(len(flow)), reads):
        run.append(piece)
        if piece.ends:
            _group_run(run, flow, scales, groups, regions)
            run = []
    _group_run(run, flow, scales, groups, regions)
    return Found(tuple(groups), tuple(regions))


# --- Regions -----------------------------------------------------------------------------------


def _pieces(steps: Sequence[int], reads: Sequence[Collection[int]]) -> list[_Piece]:
    """Regions of at most `LARGEST` steps, and single steps, in an order of series and branches."""
    found: list[_Piece] = []
    for branch in connected(steps, lambda step: reads[step]):
        found += _series(branch, reads)
        found[-1].ends = True
    return found


def _series(steps: Sequence[int], reads: Sequence[Collection[int]]) -> list[_Piece]:
    """The pieces of steps that hang together."""
    found: list[_Piece] = []
    for stretch in _stretches(steps, reads):
        if len(stretch) == 1:
            found.append(_Piece(tuple(stretch), is_region=False))
        elif len(stretch) <= LARGEST:
            found.append(_Piece(tuple(stretch), is_region=True))
        else:
            found += _within(stretch, steps, reads)
    return found


def _within(
    stretch: Sequence[int], around: Sequence[int], reads: Sequence[Collection[int]]
) -> list[_Piece]:
    """The pieces of a region that is too large for one block."""
    own = set(stretch)
    joins = len(own.intersection(reads[stretch[-1]])) > 1
    if joins:
        # Without what joins them, ways lie beside each other.
        inner = _pieces(stretch[:-1], reads)
        return [*inner, _Piece((stretch[-1],), is_region=False)]
    if len(stretch) < len(around):
        return _pieces(stretch, reads)
    return [piece for part in _narrowest(stretch, reads) for piece in _pieces(part, reads)]


def _stretches(steps: Sequence[int], reads: Sequence[Collection[int]]) -> Iterator[list[int]]:
    """Steps up to each cut, the cut included; at last those behind the last one."""
    cuts = set(_cuts(steps, reads))
    stretch: list[int] = []
    for step in steps:
        stretch.append(step)
        if step in cuts:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _cuts(steps: Sequence[int], reads: Sequence[Collection[int]]) -> list[int]:
    """The steps that, somewhere, every open edge starts from, and the last one that joins all."""
    last = _last_readers(steps, reads)
    closing: dict[int, list[int]] = {}
    for source, reader in last.items():
        closing.setdefault(reader, []).append(source)
    cuts: list[int] = []
    # The open sources are known by their number and their sum.
    count = total = 0
    for step in steps:
        for source in closing.get(step, ()):
            count -= 1
            total -= source
        if step in last:
            count += 1
            total += step
        if count == 1 and (not cuts or cuts[-1] != total):
            cuts.append(total)
    return cuts


def _last_readers(steps: Sequence[int], reads: Sequence[Collection[int]]) -> dict[int, int]:
    own = set(steps)
    return {source: step for step in steps for source in reads[step] if source in own}


def _narrowest(steps: Sequence[int], reads: Sequence[Collection[int]]) -> list[list[int]]:
    """Steps, divided where the fewest ways are open."""
    last = _last_readers(steps, reads)
    closing: dict[int, int] = {}
    for reader in last.values():
        closing[reader] = closing.get(reader, 0) + 1
    widths = []
    count = 0
    for step in steps:
        count += (step in last) - closing.get(step, 0)
        widths.append(count)
    narrow = min(widths[:-1])
    parts: list[list[int]] = [[]]
    for step, width in zip(steps, widths, strict=True):
        parts[-1].append(step)
        if width == narrow:
            parts.append([])
    return [part for part in parts if part]


# --- Units -------------------------------------------------------------------------------------


def _group_run(
    run: Sequence[_Piece],
    flow: Flow,
    scales: Scales,
    groups: list[Steps],
    regions: list[Steps],
) -> None:
    """Blocks of pieces that follow each other."""
    chain: list[_Unit] = []
    for unit in _units(run, flow):
        if unit.is_region:
            _group_chain(chain, flow, scales, groups, regions)
            chain = []
            groups.append(tuple(unit.steps))
            regions.append(tuple(unit.steps))
        else:
            chain.append(unit)
    _group_chain(chain, flow, scales, groups, regions)


def _units(run: Sequence[_Piece], flow: Flow) -> list[_Unit]:
    units: list[_Unit] = []
    waiting: list[int] = []
    for piece in run:
        step = piece.steps[0]
        kind = flow.kinds[step]
        if piece.is_region:
            units.append(_Unit([*waiting, *piece.steps], is_region=True))
            waiting = []
        elif kind is PAD or (kind in _FOLLOWERS and _waits(units, waiting, flow)):
            waiting.append(step)
        elif kind in _FOLLOWERS and units:
            units[-1].steps.append(step)
        else:
            units.append(_Unit([*waiting, step], is_region=False))
            waiting = []
    if waiting:
        units.append(_Unit(waiting, is_region=False))
    return units


def _waits(units: Sequence[_Unit], waiting: Sequence[int], flow: Flow) -> bool:
    """Tell whether a follower belongs to what comes next, as in regions that begin with one."""
    if waiting:
        return True
    if not units or not units[-1].is_region:
        return not units
    return flow.kinds[units[-1].steps[0]] in (NORMALIZATION, ACTIVATION)


def _signature(unit: _Unit, flow: Flow) -> tuple[object, ...]:
    """Operators and sizes of kernels."""
    found: list[object] = []
    for step in unit.steps:
        kind, layer = flow.kinds[step], flow.nodes[step].layer
        if kind is PAD:
            continue
        found.append(kind)
        if kind.has_kernel and layer.kernel_shape is not None:
            found.append(_kernel_size(layer.kernel_shape, layer.onnx_name is None))
    return tuple(found)


def _kernel_size(shape: tuple[int, ...], is_keras: bool) -> tuple[int, ...]:
    return shape[:-2] if is_keras else shape[2:]


def _group_chain(
    chain: Sequence[_Unit],
    flow: Flow,
    scales: Scales,
    groups: list[Steps],
    regions: list[Steps],
) -> None:
    """Blocks of units that follow each other."""
    signatures = [_signature(unit, flow) for unit in chain]
    start, rest = 0, []
    while start < len(chain):
        period, count = _repeats(signatures, start)
        size = sum(len(unit.steps) for unit in chain[start : start + period])
        if count < 2 or size > LARGEST:
            rest.append(chain[start])
            start += 1
            continue
        groups += _rest(rest, scales)
        rest = []
        for _ in range(count):
            block = tuple(s for unit in chain[start : start + period] for s in unit.steps)
            groups.append(block)
            regions.append(block)
            start += period
    groups += _rest(rest, scales)


def _repeats(signatures: Sequence[object], start: int) -> tuple[int, int]:
    """How many units repeat from here on, and how often; the longest such stretch."""
    best = (1, 1)
    for period in _PERIODS:
        first = signatures[start : start + period]
        if len(first) < period or any(
            period % part == 0 and [*first] == [*first[:part]] * (period // part)
            for part in range(1, period)
        ):
            continue
        count = 1
        while signatures[start + count * period : start + (count + 1) * period] == first:
            count += 1
        if count > 1 and count * period > best[0] * best[1]:
            best = (period, count)
    return best


def _rest(units: Sequence[_Unit], scales: Scales) -> list[Steps]:
    """Units that do not repeat: one block, else one for each size, else one for each unit."""
    if not units:
        return []
    if sum(len(unit.steps) for unit in units) <= LARGEST:
        return [tuple(step for unit in units for step in unit.steps)]
    parts: list[list[_Unit]] = [[]]
    for unit in units:
        if parts[-1] and scales.begins(unit.steps):
            parts.append([])
        parts[-1].append(unit)
        if scales.ends(unit.steps):
            parts.append([])
    found: list[Steps] = []
    for part in filter(None, parts):
        if sum(len(unit.steps) for unit in part) <= LARGEST:
            found.append(tuple(step for unit in part for step in unit.steps))
        else:
            found += [tuple(unit.steps) for unit in part]
    return found
