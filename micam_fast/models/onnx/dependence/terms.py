"""Sets of cells of the input grid, one for each element of a value: products of rows and columns.

An operator takes unions of them over the elements that it reads, axis by axis.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]
"""Sets of rows or columns as packed bits along the last axis; the axes before are the value's, of
size 1 where the set is the same for all elements along it."""

Mask = NDArray[np.bool_] | None
"""``(d,)``: elements along an axis that a term is about; ``None`` for all."""

Groups = Sequence[tuple[tuple[int, int], tuple[int, int]]]
"""Runs of axes before and after a Reshape: begin and end of each."""

MOST_BYTES = 2**27
"""What the sets of a term may take."""


@dataclass(frozen=True, eq=False)
class Term:
    """Elements of a value, each with a product of a set of rows and a set of columns.

    Attributes
    ----------
    rows, columns
        The sets. An element where one of them is empty depends on nothing.
    masks
        One for each axis of the value. An element that one of them leaves out depends on nothing.
    exact
        Whether the sets are those that the element depends on, and not larger.
    """

    rows: Bits
    columns: Bits
    masks: tuple[Mask, ...]
    exact: bool = True

    def varies(self, axis: int) -> bool:
        """Tell whether the sets are not the same for all elements along an axis."""
        return bool(self.rows.shape[axis] > 1 or self.columns.shape[axis] > 1)

    @functools.cached_property
    def filled(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where there are rows, and where there are columns."""
        return np.asarray(self.rows.any(axis=-1)), np.asarray(self.columns.any(axis=-1))

    @functools.cached_property
    def is_whole(self) -> bool:
        """Whether no element depends on nothing."""
        return all(mask is None for mask in self.masks) and all(f.all() for f in self.filled)

    @functools.cached_property
    def pattern(self) -> tuple[object, ...]:
        """Equal for terms that leave out the same elements, so that they can be united."""
        if self.is_whole:
            return ()
        masks = tuple(None if mask is None else mask.tobytes() for mask in self.masks)
        return masks, *((each.shape, each.tobytes()) for each in self.filled)

    def settled(self) -> Term | None:
        """The same, so that rows and columns can be united apart from each other.

        A mask goes into the sets that vary along its axis. Where rows and columns vary along the
        same axis, both are empty where one is. ``None`` if nothing is left.
        """
        rows, columns, masks = self.rows, self.columns, list(self.masks)
        for axis, mask in enumerate(masks):
            if mask is None or mask.all():
                masks[axis] = None
            elif not mask.any():
                return None
            elif self.varies(axis):
                rows, columns = _without(rows, axis, mask), _without(columns, axis, mask)
                masks[axis] = None
        found = Term(rows, columns, tuple(masks), self.exact)
        there = found.filled[0] & found.filled[1]
        if not there.any():
            return None
        if there.all() or not any(
            row > 1 and column > 1
            for row, column in zip(rows.shape[:-1], columns.shape[:-1], strict=True)
        ):
            return found
        if there.size * (rows.shape[-1] + columns.shape[-1]) > MOST_BYTES:
            return self.coarse()
        both = there[..., np.newaxis]
        return Term(rows * both, columns * both, found.masks, self.exact)

    def coarse(self) -> Term:
        """All that any element depends on, for each of them; at most."""
        mixed = self.mixed(tuple(range(len(self.masks))))
        return replace(mixed, exact=False)

    def unmasked(self) -> Term:
        """The same sets for elements that the masks leave out, too; at most."""
        return replace(self, masks=(None,) * len(self.masks), exact=False)

    def turned(self) -> Term:
        """Rows for columns, and columns for rows."""
        return replace(self, rows=self.columns, columns=self.rows)

    def narrowed(self, axes: Sequence[int]) -> Term | None:
        """The same without masks along some axes: what they leave out has no columns.

        ``None`` if the columns would take too much.
        """
        columns, masks = self.columns, list(self.masks)
        for axis in axes:
            mask = masks[axis]
            if mask is not None:
                if columns.size // columns.shape[axis] * mask.size > MOST_BYTES:
                    return None
                columns, masks[axis] = _without(columns, axis, mask), None
        return replace(self, columns=columns, masks=tuple(masks))

    def united(self, other: Term) -> Term:
        """Both, of the same pattern or different in one set or one mask.

        In whole ones the sets may vary along different axes.
        """
        sets = []
        for first, second in ((self.rows, other.rows), (self.columns, other.columns)):
            if math.prod(np.broadcast_shapes(first.shape, second.shape)) > MOST_BYTES:
                return self.coarse().united(other.coarse())
            sets.append(first | second)
        masks = tuple(_either(*both) for both in zip(self.masks, other.masks, strict=True))
        return Term(sets[0], sets[1], masks, self.exact and other.exact)

    def linked(self, axis: int, table: NDArray[np.intp]) -> Term:
        """Elements that read some along an axis; see `Dependence.linked`."""
        mask = self.masks[axis]
        if not self.varies(axis):
            reads = table >= 0
            if mask is not None:
                reads &= mask[table]
            mask = np.asarray(reads.any(axis=0))
        masks = self._masks_with(axis, mask)
        return self._changed(lambda bits: _gathered(bits, axis, table), masks)

    def mixed(self, axes: tuple[int, ...]) -> Term:
        """Elements that read everything along some axes."""
        # A term that is settled has an element somewhere along each mask.
        masks = tuple(None if axis in axes else mask for axis, mask in enumerate(self.masks))
        return self._changed(lambda bits: np.bitwise_or.reduce(bits, axes, keepdims=True), masks)

    def accumulated(self, axis: int, step: int) -> Term:
        """Elements that read those before them along an axis (after them for a step of -1)."""
        way = slice(None, None, step)
        place = (slice(None),) * axis + (way,)
        mask = self.masks[axis]
        if mask is not None:
            mask = np.logical_or.accumulate(mask[way])[way]
        masks = self._masks_with(axis, mask)
        return self._changed(
            lambda bits: np.bitwise_or.accumulate(bits[place], axis=axis)[place], masks
        )

    def transposed(self, perm: Sequence[int]) -> Term:
        """The elements with their axes in another order."""
        masks = tuple(self.masks[axis] for axis in perm)
        return self._changed(lambda bits: bits.transpose(*perm, len(perm)), masks)

    def lifted(self, axes: int) -> Term:
        """The elements with so many new axes in front."""
        new = (1,) * axes
        masks = (None,) * axes + self.masks
        return self._changed(lambda bits: bits.reshape(new + bits.shape), masks)

    def reshaped(self, before: Sequence[int], after: Sequence[int], groups: Groups) -> Term:
        """The elements in their order in another shape."""
        masks: list[Mask] = [None] * len(after)
        rows, columns = self.rows, self.columns
        for (a, b), (c, d) in groups:
            if b - a == d - c == 1:
                masks[c] = self.masks[a]
                continue
            for axis in range(a, b):
                mask = self.masks[axis]
                if mask is not None:
                    rows = _without(rows, axis, mask)
        if max(_whole_size(bits, before, groups) for bits in (rows, columns)) > MOST_BYTES:
            new = (1,) * len(after)
            masks = [None] * len(after)
            return self.coarse()._changed(lambda bits: bits.reshape(*new, -1), tuple(masks))
        rows, columns = (_reshaped(bits, before, after, groups) for bits in (rows, columns))
        return Term(rows, columns, tuple(masks), self.exact)

    def _changed(self, change: Callable[[Bits], Bits], masks: tuple[Mask, ...]) -> Term:
        """The same change of rows and columns."""
        return Term(change(self.rows), change(self.columns), masks, self.exact)

    def _masks_with(self, axis: int, mask: Mask) -> tuple[Mask, ...]:
        return (*self.masks[:axis], mask, *self.masks[axis + 1 :])


def _either(one: Mask, other: Mask) -> Mask:
    """What one of two masks keeps."""
    if one is None or other is None or (one | other).all():
        return None
    return one | other


def _without(bits: Bits, axis: int, mask: NDArray[np.bool_]) -> Bits:
    """The sets, empty where a mask leaves an element out."""
    shape = [1] * bits.ndim
    shape[axis] = len(mask)
    return bits * mask.reshape(shape)


def _gathered(bits: Bits, axis: int, table: NDArray[np.intp]) -> Bits:
    if bits.shape[axis] == 1:
        return bits
    out = np.zeros((*bits.shape[:axis], table.shape[1], *bits.shape[axis + 1 :]), np.uint8)
    for places in table:
        taken = bits.take(np.maximum(places, 0), axis=axis)
        out |= _without(taken, axis, places >= 0)
    return out


def _whole_size(bits: Bits, before: Sequence[int], groups: Groups) -> int:
    """Bytes that the sets take while the axes that a Reshape joins or cuts are written out."""
    size = int(bits.shape[-1])
    for (a, b), (c, d) in groups:
        joined = max(bits.shape[a:b], default=1) > 1 and not b - a == d - c == 1
        size *= math.prod(before[a:b] if joined else bits.shape[a:b])
    return size


def _reshaped(bits: Bits, before: Sequence[int], after: Sequence[int], groups: Groups) -> Bits:
    whole, shape = list(bits.shape), []
    for (a, b), (c, d) in groups:
        if b - a == d - c == 1:
            shape.append(bits.shape[a])
        elif max(bits.shape[a:b], default=1) == 1:
            shape.extend([1] * (d - c))
        else:
            whole[a:b] = before[a:b]
            shape.extend(after[c:d])
    found = np.broadcast_to(bits, whole).reshape(*shape, bits.shape[-1])
    for axis, size in enumerate(shape):
        first = found.take([0], axis=axis)
        if size > 1 and (found == first).all():
            found = first
    return found
