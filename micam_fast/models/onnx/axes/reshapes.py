"""Where a Reshape puts axes, by the order of the elements, which it keeps.

Sizes are products of a number and of open sizes, so that ``(N, T, C)`` and ``(-1, C)`` can be
compared though ``N`` is open. An open size equals itself alone.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import onnx

from micam_fast.core.layers import Shape
from micam_fast.models.onnx.graph import Graph, attributes
from micam_fast.models.onnx.limits import MOST_AXES
from micam_fast.models.onnx.operators import find_operator

_BATCH = -1
"""The open size of a batch; others are named by numbers from 0."""


@dataclass(frozen=True)
class Size:
    """A number times open sizes, each of which has a number for its name."""

    number: int | Fraction
    unknown: tuple[int, ...] = ()

    def __mul__(self, other: Size) -> Size:
        if not (self.unknown or other.unknown):
            return Size(self.number * other.number)
        return Size(self.number * other.number, tuple(sorted(self.unknown + other.unknown)))

    def divided(self, other: Size) -> Size | None:
        """The quotient; ``None`` where an open size does not cancel out."""
        left = list(self.unknown)
        for each in other.unknown:
            if each not in left:
                return None
            left.remove(each)
        if not other.number:
            return None
        quotient = Fraction(self.number) / other.number
        number = quotient.numerator if quotient.denominator == 1 else quotient
        return Size(number, tuple(left))

    def divides(self, other: Size) -> bool:
        """Tell whether another size is a whole multiple of this one."""
        quotient = other.divided(self)
        return quotient is not None and isinstance(quotient.number, int)


ONE = Size(1)


@dataclass(frozen=True)
class _Group:
    """Axes that are none of size 1, before and after, which hold the same elements."""

    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Reshaping:
    """What a Reshape or Flatten does to sizes.

    Attributes
    ----------
    before, after
        Sizes; an open size that is not understood is one of its own.
    target
        The sizes that a Reshape asks for, 0 for one that it copies; ``None`` where the file does
        not tell them.
    fixed
        Whether the target is constant.
    flattened
        The axis of a Flatten.
    grows
        Whether it does the same for any number of samples.
    """

    before: tuple[Size, ...]
    after: tuple[Size, ...]
    target: tuple[int, ...] | None = None
    fixed: bool = False
    flattened: int | None = None
    grows: bool = False

    def move_channels(self, axes: Iterable[int]) -> tuple[int, ...]:
        """Axes after it that hold nothing but channels, else those that hold channels, too."""
        held = frozenset(axes)
        pure: set[int] = set()
        mixed: set[int] = set()
        for axis in held:
            group = self._groups[0].get(axis)
            if group is None:
                pure.update(after for one, after in self._ones if one == axis)
            elif len(group.before) == 1 or held.issuperset(group.before):
                pure.update(group.after)
            elif len(group.after) == 1:
                mixed.update(group.after)
        return tuple(sorted(pure or mixed))

    def move_channels_back(self, axes: Iterable[int]) -> tuple[int, ...]:
        """Axes before it that hold these channels."""
        found: set[int] = set()
        for axis in axes:
            group = self._groups[1].get(axis)
            if group is None:
                found.update(before for before, one in self._ones if one == axis)
            elif len(group.before) == 1:
                found.update(group.before)
        return tuple(sorted(found))

    def move_alone_back(self, axis: int) -> int | None:
        """The axis before it that is this axis, no more and no less."""
        group = self._groups[1].get(axis)
        if group is None:
            return next((before for before, one in self._ones if one == axis), None)
        alone = len(group.before) == len(group.after) == 1
        return group.before[0] if alone else None

    def move_batch(self, axis: int) -> tuple[int, ...]:
        """Axis after it that holds the batch, maybe with more; none where no axis does.

        An axis whose slowest part is not the batch holds none: its samples lie between each other.
        """
        first = product(self.before[:axis])
        batched = (*self.before[:axis], self.before[axis] * Size(1, (_BATCH,)))
        grown = self._sizes((*batched, *self.before[axis + 1 :])) if self.grows else None
        holders = [place for place, size in enumerate(grown or ()) if _BATCH in size.unknown]
        if grown is not None and holders:
            folded = self.after[holders[0]] not in (ONE, self.before[0])
            if axis == 0 and holders[0] and self.after[0] == ONE and folded:
                # Sizes that begin with 1 are for one sample, whatever is fed.
                return (0,)
            return (holders[0],) if product(grown[: holders[0]]) == first else ()
        size = self.before[axis]
        if axis == 0:
            gone = self.fixed and size == ONE and len(self.after) < 3 and self.after[:1] != (ONE,)
            return () if gone or not self.after else (0,)
        places = [n for n in range(len(self.after)) if product(self.after[:n]) == first]
        same = [place for place in places if self.after[place] == size]
        return tuple((same or [n for n in places if self._may_hold(self.after[n], size)])[:1])

    def move_batch_back(self, axis: int) -> tuple[int, ...] | None:
        """Axis before it that holds the batch; no axis if none does, ``None`` if nobody knows."""
        size, first = self.after[axis], product(self.after[:axis])
        places = [n for n in range(len(self.before)) if product(self.before[:n]) == first]
        same = [place for place in places if self.before[place] == size]
        if same and size != ONE and same[0] != places[0]:
            # A batch of one, before this axis, may be folded into it.
            return None
        if same:
            return (same[0],)
        if axis == 0 and not self.before:
            return ()
        if axis == 0:
            if size != ONE or (self.target is not None and self.target[0] < 1):
                return (0,)
            return () if self.grows else None
        return () if self.grows else None

    @staticmethod
    def _may_hold(size: Size, batch: Size) -> bool:
        return batch != ONE and size != ONE and (batch.divides(size) or size.divides(batch))

    def _sizes(self, before: tuple[Size, ...]) -> tuple[Size, ...] | None:
        """Sizes after it for other ones before it, where the target tells them."""
        if self.flattened is not None:
            return product(before[: self.flattened]), product(before[self.flattened :])
        return None if self.target is None else _fill(self.target, before)

    @functools.cached_property
    def _groups(self) -> tuple[dict[int, _Group], dict[int, _Group]]:
        """The groups of axes, by axis before and after."""
        groups = [_Group(*pair) for pair in self._pieces]
        return (
            {axis: group for group in groups for axis in group.before},
            {axis: group for group in groups for axis in group.after},
        )

    @functools.cached_property
    def _pieces(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        first, second = self._long
        return [
            (tuple(first[a:b]), tuple(second[c:d]))
            for (a, c), (b, d) in itertools.pairwise(self._cuts)
        ]

    @functools.cached_property
    def _long(self) -> tuple[list[int], list[int]]:
        """Axes of other sizes than 1."""
        first = [axis for axis, size in enumerate(self.before) if size != ONE]
        return first, [axis for axis, size in enumerate(self.after) if size != ONE]

    @functools.cached_property
    def _cuts(self) -> list[tuple[int, int]]:
        """Where as many elements lie before an axis on both sides, counted in long axes.

        Both ends are among them.
        """
        first, second = self._long
        found = {(0, 0), (len(first), len(second))}
        for step in (1, -1):
            # From the front, and from the back: the number of all elements is the same.
            sizes = [self.before[axis] for axis in first[::step]]
            places = {product(sizes[:n]): n for n in range(1, len(sizes))}
            sizes = [self.after[axis] for axis in second[::step]]
            for n in range(1, len(sizes)):
                place = places.get(product(sizes[:n]))
                if place is not None:
                    pair = (place, n) if step > 0 else (len(first) - place, len(second) - n)
                    found.add(pair)
        return sorted(found)

    @functools.cached_property
    def _ones(self) -> list[tuple[int, int]]:
        """Axes of size 1 that are the same before and after."""
        sides = self.before, self.after
        first, second = ([n for n, s in enumerate(side) if s == ONE] for side in sides)
        (one, other), found = self._long, []
        for a, b in self._cuts:
            here = [axis for axis in first if sum(each < axis for each in one) == a]
            there = [axis for axis in second if sum(each < axis for each in other) == b]
            found += list(zip(here, there, strict=False))
        left = set(first) - {a for a, _ in found}, set(second) - {b for _, b in found}
        if len(left[0]) == len(left[1]) == 1:
            # An axis of size 1 can be put anywhere.
            found.append((left[0].pop(), left[1].pop()))
        return found


def product(sizes: Iterable[Size]) -> Size:
    """Number of elements."""
    found = ONE
    for size in sizes:
        found = found * size
    return found


def read_reshape(graph: Graph, node: onnx.NodeProto) -> Reshaping | None:
    """What a Reshape or Flatten does; ``None`` where the number of axes is unknown."""
    shape, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if shape is None:
        return None
    before = _sizes_of(shape, 0)
    given = attributes(node)
    if find_operator(node).name == "Flatten":
        axis = int(given.get("axis", 1))
        axis += len(shape) if axis < 0 else 0
        sizes = product(before[:axis]), product(before[axis:])
        return Reshaping(before, sizes, flattened=axis, grows=graph.has_open_batch)
    asked = listed_numbers(graph, node.input[1]) if len(node.input) > 1 else None
    if asked is not None and not given.get("allowzero", 0):
        sizes_after = _fill(asked, before)
        if sizes_after is not None:
            fixed = graph.is_constant(node.input[1])
            # Sizes that were computed are those of this number of samples.
            grows = fixed and graph.has_open_batch
            return Reshaping(before, sizes_after, asked, fixed, grows=grows)
    if after is None:
        return None
    open_axes = [axis for axis, size in enumerate(after) if size is None]
    if len(open_axes) == 1:
        filled = _fill([-1 if size is None else size for size in after], before)
        if filled is not None:
            return Reshaping(before, filled, grows=graph.has_open_batch)
    return Reshaping(before, _sizes_of(after, MOST_AXES))


def _sizes_of(shape: Shape, first_name: int) -> tuple[Size, ...]:
    """Sizes of a shape, whose open ones are named by numbers from this one on."""
    return tuple(
        Size(1, (name,)) if size is None else Size(size)
        for name, size in enumerate(shape, first_name)
    )


def listed_numbers(graph: Graph, name: str) -> tuple[int, ...] | None:
    """The numbers of a known value that has one for each axis."""
    if not graph.is_known(name) or math.prod(graph.constant_shape(name)) > MOST_AXES:
        return None
    return tuple(int(number) for number in graph.array(name).reshape(-1))


def _fill(target: Sequence[int], before: Sequence[Size]) -> tuple[Size, ...] | None:
    """A target's sizes, with those that it copies and the one that takes the rest."""
    if sum(size == -1 for size in target) > 1 or min(target, default=0) < -1:
        return None
    if any(size == 0 and axis >= len(before) for axis, size in enumerate(target)):
        return None
    sizes = [before[axis] if size == 0 else Size(max(size, 1)) for axis, size in enumerate(target)]
    if -1 in target:
        rest = product(before).divided(product(sizes))
        if rest is None:
            return None
        sizes[target.index(-1)] = rest
    return tuple(sizes)
