"""Blocks from the graph alone: regions, units that repeat, and what is like the inside of a region.

Single steps that follow each other are *units*: a pad, a layer with a kernel, its followers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from micam_fast.diagrams.poster.flow import Flow
from micam_fast.diagrams.poster.kinds import (
    ACTIVATION,
    ADD,
    CONCAT,
    COPY,
    DIVIDE,
    FUNCTION,
    INPUT,
    MULTIPLY,
    NORMALIZATION,
    PAD,
    SUBTRACT,
    kernel_size,
)
from micam_fast.diagrams.poster.regions import (
    LARGEST,
    Piece,
    Steps,
    find_pieces,
    series,
)
from micam_fast.diagrams.poster.scales import Scales, scales_of
from micam_fast.diagrams.poster.shortcuts import MainWays, main_ways

_FOLLOWERS = (NORMALIZATION, ACTIVATION, COPY, FUNCTION, ADD, SUBTRACT, MULTIPLY, DIVIDE)
_PERIODS = range(2, 7)
_SHORT = 4
"""Steps of a chain that stands with the branches that it leads to, at most."""

Signature = tuple[object, ...]
Patterns = Sequence[tuple[int, frozenset[tuple[int, ...]]]]
"""Lengths of sequences of units, and those of each length; the first that fits counts."""


@dataclass(frozen=True)
class Found:
    """Blocks of a graph.

    Attributes
    ----------
    groups
        Steps of each block; every step is in one.
    regions
        Steps of those stretches with several ways that a block can hold.
    """

    groups: tuple[Steps, ...]
    regions: tuple[Steps, ...]


@dataclass
class _Unit:
    """Steps that are no more divided.

    Attributes
    ----------
    steps
        In order, those of a region after the steps that lead to it.
    kernels, shape
        Numbers of their operators with the sizes of kernels, and with whether these are larger than
        one: the same for units that are alike.
    is_region
        Whether it has several ways.
    concat
        Whether these end in a concat.
    ends
        Whether the block ends with it.
    """

    steps: list[int]
    is_region: bool
    concat: bool = False
    ends: bool = False
    kernels: int = 0
    shape: int = 0


def find_groups(flow: Flow) -> Found:
    """The blocks of a graph, in its order."""
    return _Grouping(flow, main_ways(flow), scales_of(flow)).run()


@dataclass
class _Grouping:
    flow: Flow
    ways: MainWays
    scales: Scales
    groups: list[Steps] = field(default_factory=list)
    numbers: dict[Signature, int] = field(default_factory=dict)

    def run(self) -> Found:
        pieces = find_pieces(range(len(self.flow)), self.ways.reads)
        regions = [piece.steps for piece in pieces if piece.role == "region"]
        patterns = self._patterns(regions)
        # What leads to the branches of a region that is too large, if it is a short chain.
        leading: Steps = ()
        for run in _runs(pieces):
            if run[0].role == "part":
                steps = run[0].steps
                if leading and len(leading) + len(steps) <= LARGEST:
                    self.groups[-1] = (*leading, *steps)
                else:
                    self.groups.append(steps)
                leading = ()
            else:
                count = len(self.groups)
                self._group(self._units(run), patterns)
                is_short = len(run) <= _SHORT and len(self.groups) == count + 1
                is_short = is_short and all(piece.role == "step" for piece in run)
                is_fed = self.flow.kinds[run[0].steps[0]] is INPUT
                leading = self.groups[-1] if is_short and not is_fed else ()
        return Found(tuple(self.groups), tuple(regions))

    # --- Units ---------------------------------------------------------------------------------

    def _units(self, run: Sequence[Piece]) -> list[_Unit]:
        units: list[_Unit] = []
        waiting: list[int] = []
        for piece in run:
            step = piece.steps[0]
            if piece.role == "region":
                is_concat = self.flow.kinds[piece.steps[-1]] is CONCAT
                units.append(_Unit([*waiting, *piece.steps], is_region=True, concat=is_concat))
                waiting = []
            elif self._waits(step, units, waiting):
                waiting.append(step)
            elif units and self._follows(step) and not units[-1].ends:
                units[-1].steps.append(step)
            else:
                units.append(_Unit([*waiting, step], is_region=False))
                waiting = []
            if not waiting and not self.ways.far.isdisjoint(piece.steps):
                units[-1].ends = True
        if waiting:
            units.append(_Unit(waiting, is_region=False))
        for unit in units:
            unit.kernels = self._number(("kernels", *self._signed(unit, whole=True)))
            unit.shape = self._number(("shape", *self._signed(unit, whole=False)))
        return units

    def _number(self, signature: Signature) -> int:
        """A number for each signature: numbers are quickly compared."""
        return self.numbers.setdefault(signature, len(self.numbers))

    def _follows(self, step: int) -> bool:
        return self.flow.kinds[step] in _FOLLOWERS and len(self.flow.reads[step]) == 1

    def _waits(self, step: int, units: Sequence[_Unit], waiting: Sequence[int]) -> bool:
        """Tell whether a step leads to what comes next."""
        if self.flow.kinds[step] is PAD:
            return True
        if not self._follows(step):
            return False
        # Where regions begin with a normalization, so does what lies between them.
        first = units[-1].steps[0] if units and units[-1].is_region else None
        return bool(waiting) or (
            first is not None and self.flow.kinds[first] in (NORMALIZATION, ACTIVATION)
        )

    def _signed(self, unit: _Unit, *, whole: bool) -> Iterator[object]:
        """Operators, and the sizes of kernels or whether they are larger than one."""
        for step in unit.steps:
            kind, layer = self.flow.kinds[step], self.flow.nodes[step].layer
            if kind in (PAD, COPY):
                continue
            yield kind
            size = kernel_size(layer)
            if kind.has_kernel and size is not None:
                yield size if whole else any(length > 1 for length in size)

    # --- What is like the inside of a region ---------------------------------------------------

    def _patterns(self, regions: Sequence[Steps]) -> Patterns:
        """Units between the two ends of a shortcut; longest first."""
        inside = {shapes for steps in regions if (shapes := self._inside(steps)) is not None}
        # The first block of a network may do without what makes its maps more.
        without_first = {shapes[1:] for shapes in inside}
        return [*_by_length(inside), *_by_length(without_first)]

    def _inside(self, steps: Steps) -> tuple[int, ...] | None:
        """The units of a region up to the join that reads what enters it, too."""
        own = set(steps)
        joins = (n for n in reversed(range(len(steps))) if len(self.ways.reads[steps[n]]) > 1)
        place = next(joins, 0)
        if not place or own.issuperset(self.ways.reads[steps[place]]):
            return None
        pieces = series(steps[:place], self.ways.reads)
        return tuple(unit.shape for unit in self._units(pieces))

    # --- Blocks --------------------------------------------------------------------------------

    def _group(self, units: Sequence[_Unit], patterns: Patterns) -> None:
        """Blocks of units that follow each other."""
        start, rest = 0, list[_Unit]()
        size = 1
        while start < len(units):
            if size == 1 or not _repeats(units, start - size, size):
                size = self._block_size(units, start, patterns)
            if size == 1 and not units[start].is_region:
                rest.append(units[start])
            else:
                before = units[start - len(rest) - 1] if start > len(rest) else None
                self._group_rest(rest, before, is_last=False)
                rest = []
                self._add(units[start : start + size])
            start += size
        before = units[-len(rest) - 1] if len(units) > len(rest) else None
        self._group_rest(rest, before, is_last=True)

    def _block_size(self, units: Sequence[_Unit], start: int, patterns: Patterns) -> int:
        """How many units from here on are a block: one if they are none together."""
        size = _like(units, start, patterns)
        if size > 1:
            return size
        size = self._period(units, start)
        for inner in range(start + 1, start + size):
            if _like(units, inner, patterns) > 1 or 1 < self._period(units, inner) < size:
                return 1
        return size

    def _period(self, units: Sequence[_Unit], start: int) -> int:
        """The fewest units that are followed by their like; one if there are none."""
        before = units[start - 1] if start else None
        continues = before is not None and not before.ends and not before.is_region
        if continues and self.scales.ends(units[start].steps):
            # A pool belongs to what comes before it, and begins nothing.
            return 1
        for period in _PERIODS:
            part = units[start : start + period]
            kernels = [unit.kernels for unit in part]
            if (
                _repeats(units, start, period)
                and not _is_periodic(kernels)
                and not all(unit.is_region for unit in part)
                and sum(len(unit.steps) for unit in part) <= LARGEST
                and not any(unit.ends for unit in part[:-1])
                and not any(self.scales.ends(unit.steps) for unit in part[1:-1])
            ):
                return period
        return 1

    def _add(self, units: Sequence[_Unit]) -> None:
        self.groups.append(tuple(step for unit in units for step in unit.steps))

    def _group_rest(self, units: Sequence[_Unit], before: _Unit | None, *, is_last: bool) -> None:
        """Units that do not repeat: a block for each size, where these are small enough."""
        if not units:
            return
        is_first = any(self.flow.kinds[unit.steps[0]] is INPUT for unit in units)
        is_short = sum(len(unit.steps) for unit in units) <= LARGEST
        parts = self._sizes(units, pools=not (is_last and is_short))
        if is_first and is_short and not any(unit.ends for unit in units[:-1]):
            parts = [[*units]]
        first = parts[0]
        if (
            before is not None
            and before.concat
            and len(first) == 1
            and not self.scales.begins(first[0].steps)
            and len(first[0].steps) + len(self.groups[-1]) <= LARGEST
        ):
            # What mixes the channels that a region has joined belongs to it.
            self.groups[-1] += tuple(first[0].steps)
            del parts[0]
        for part in parts:
            if sum(len(unit.steps) for unit in part) <= LARGEST:
                self._add(part)
            else:
                for unit in part:
                    self._add([unit])

    def _sizes(self, units: Sequence[_Unit], *, pools: bool) -> list[list[_Unit]]:
        """Units, divided where the size of maps changes, and where a far edge leaves."""
        parts: list[list[_Unit]] = [[]]
        for unit in units:
            if parts[-1] and self.scales.begins(unit.steps):
                parts.append([])
            parts[-1].append(unit)
            # A pool that comes first leads to what comes next.
            is_pool = pools and len(parts[-1]) > 1 and self.scales.ends(unit.steps)
            if unit.ends or is_pool:
                parts.append([])
        return [part for part in parts if part]


def _runs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces that continue each other; parts of a region each alone."""
    run: list[Piece] = []
    for piece in pieces:
        if piece.role == "part":
            if run:
                yield run
            yield [piece]
            run = []
            continue
        run.append(piece)
        if piece.ends:
            yield run
            run = []
    if run:
        yield run


def _repeats(units: Sequence[_Unit], start: int, period: int) -> bool:
    """Tell whether as many units as these follow that are like them."""
    first, next_ = units[start : start + period], units[start + period : start + 2 * period]
    return [unit.kernels for unit in first] == [unit.kernels for unit in next_]


def _like(units: Sequence[_Unit], start: int, patterns: Patterns) -> int:
    """How many units from here on are like the inside of a region; one if they are not."""
    for length, found in patterns:
        if tuple(unit.shape for unit in units[start : start + length]) in found:
            return length
    return 1


def _by_length(found: set[tuple[int, ...]]) -> Patterns:
    lengths = sorted({len(each) for each in found if len(each) > 1}, reverse=True)
    return [
        (length, frozenset(e for e in found if len(e) == length and not _is_periodic(e)))
        for length in lengths
    ]


def _is_periodic(first: Sequence[object]) -> bool:
    """Tell whether a sequence repeats a shorter one."""
    size = len(first)
    return any(
        size % part == 0 and [*first] == [*first[:part]] * (size // part) for part in range(1, size)
    )
