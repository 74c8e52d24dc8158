"""Which cells of the input grid each element of a value depends on.

A set of cells is kept as a product of a set of rows and a set of columns, and what an element
depends on as the union of a few such products. So gaps (strides, dilations), borders, branches and
joined parts come out exactly.

The dependence is that of the operators' structure: a weight that happens to be zero counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from micam_fast.models.onnx.dependence.terms import MOST_BYTES, Term
from micam_fast.models.onnx.dependence.uniting import bound, unite

_MOST_TERMS = 64


@dataclass(frozen=True, eq=False)
class Dependence:
    """What each element of a value depends on: the union of the terms.

    Attributes
    ----------
    shape
        Of the value; ``None`` where it is no tensor of known shape, and the terms have no axes.
    terms
        None for a value that does not depend on the input grid.
    """

    shape: tuple[int, ...] | None
    terms: tuple[Term, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, which must be known.

        Raises
        ------
        ValueError
            If it is not.
        """
        if self.shape is None:
            raise ValueError("a value of unknown shape")
        return self.shape

    def inexact(self) -> Dependence:
        """The same, known to be too large."""
        return Dependence(self.shape, tuple(replace(t, exact=False) for t in self.terms))

    def linked(self, axis: int, table: NDArray[np.intp]) -> Dependence:
        """What a value depends on each of whose elements reads some along an axis.

        The table ``(taps, size)`` holds positions that each one reads, -1 for none.
        """
        shape = (*self.sizes[:axis], table.shape[1], *self.sizes[axis + 1 :])
        return union(shape, [term.linked(axis, table) for term in self.terms])

    def mixed(self, axes: Iterable[int]) -> Dependence:
        """What a value depends on whose elements all read everything along these axes."""
        chosen = tuple(axes)
        return union(self.sizes, [term.mixed(chosen) for term in self.terms])

    def resized(self, sizes: Mapping[int, int]) -> Dependence:
        """The same with other sizes of axes along which all elements are the same."""
        shape = tuple(sizes.get(axis, size) for axis, size in enumerate(self.sizes))
        return Dependence(shape, self.terms)

    def accumulated(self, axis: int, *, backwards: bool = False) -> Dependence:
        """What a value depends on whose elements read all up to them along an axis."""
        step = -1 if backwards else 1
        return union(self.shape, [term.accumulated(axis, step) for term in self.terms])

    def masked(self, axis: int, mask: NDArray[np.bool_]) -> Dependence:
        """The same for some elements along an axis, and nothing for the others."""
        return self.linked(axis, np.where(mask, np.arange(len(mask)), -1)[np.newaxis])

    def transposed(self, perm: Sequence[int]) -> Dependence:
        """The value with its axes in another order."""
        shape = tuple(self.sizes[axis] for axis in perm)
        return Dependence(shape, tuple(term.transposed(perm) for term in self.terms))

    def stretched(self, shape: Sequence[int]) -> Dependence:
        """The value broadcast to a shape.

        Raises
        ------
        ValueError
            If it cannot be.
        """
        if np.broadcast_shapes(self.sizes, tuple(shape)) != tuple(shape):
            raise ValueError(f"{self.shape} cannot be broadcast to {tuple(shape)}")
        new = len(shape) - len(self.sizes)
        return Dependence(tuple(shape), tuple(term.lifted(new) for term in self.terms))

    def reshaped(self, shape: Sequence[int]) -> Dependence:
        """The value with its elements, in their order, in another shape.

        Raises
        ------
        ValueError
            If the shape has another number of elements, or none.
        """
        groups = _groups(self.sizes, shape)
        return union(shape, [term.reshaped(self.sizes, shape, groups) for term in self.terms])

    def at(
        self, places: NDArray[np.intp]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
        """What the elements at places ``(n, axes)`` depend on.

        Returns
        -------
        rows, columns
            ``(n, ...)`` packed bits; none where an element depends on nothing.
        exact
            ``(n,)``: whether the sets are not larger than what the element depends on.
        """
        count = len(places)
        exact = np.ones(count, np.bool_)
        sets: tuple[list[NDArray[np.uint8]], ...] = [], []
        for term in self.terms:
            there = np.ones(count, np.bool_)
            for mask, chosen in zip(term.masks, places.T, strict=True):
                if mask is not None:
                    there &= mask[chosen]
            found = []
            for bits in (term.rows, term.columns):
                index = (
                    chosen if size > 1 else np.zeros(count, np.intp)
                    for chosen, size in zip(places.T, bits.shape[:-1], strict=True)
                )
                found.append(bits[tuple(index)].reshape(count, bits.shape[-1]))
                there &= found[-1].any(axis=1)
            exact &= term.exact | ~there
            for each, bits in zip(sets, found, strict=True):
                each.append(bits * there[:, np.newaxis])
        rows, columns = (
            np.bitwise_or.reduce(each) if each else np.zeros((count, 0), np.uint8) for each in sets
        )
        return rows, columns, exact


def union(shape: Sequence[int] | None, terms: Iterable[Term]) -> Dependence:
    """All terms together, as few as say the same; one for too many, which is too large."""
    found = unite([term for each in terms if (term := each.settled()) is not None])
    if len(found) > _MOST_TERMS:
        found = [bound(found)]
    return Dependence(None if shape is None else tuple(shape), tuple(found))


def everything(sources: Iterable[Dependence], shape: Sequence[int] | None) -> Dependence:
    """All that the sources depend on, for each element of a value; at most."""
    axes = 0 if shape is None else len(shape)
    terms = []
    for term in (term for source in sources for term in source.terms):
        whole = term.coarse()
        flat = Term(whole.rows.reshape(-1), whole.columns.reshape(-1), (), exact=False)
        terms.append(flat.lifted(axes))
    return union(shape, terms)


def input_dependence(
    shape: Sequence[int], grid: tuple[int, int], row_axis: int | None, column_axis: int | None
) -> Dependence:
    """The input itself: each element depends on its own cell of a grid of rows and columns.

    They lie along these axes; ``None`` for a grid of size 1 there.
    """
    sets = []
    exact = True
    for axis, size in zip((row_axis, column_axis), grid, strict=True):
        width = math.ceil(size / 8)
        if axis is None or size * width > MOST_BYTES:
            # One row alone is exact; a grid of tens of thousands of columns is not followed.
            exact = exact and axis is None
            bits = np.packbits(np.ones(size, np.bool_)).reshape((1,) * len(shape) + (width,))
        else:
            places = np.arange(size)
            bits = np.zeros((size, width), np.uint8)
            bits[places, places // 8] = 128 >> (places % 8)
            bits = bits.reshape(*(size if i == axis else 1 for i in range(len(shape))), width)
        sets.append(bits)
    return union(shape, [Term(sets[0], sets[1], (None,) * len(shape), exact)])


def _groups(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The smallest runs of axes that hold the same elements before and after."""
    if math.prod(before) != math.prod(after) or math.prod(before) == 0:
        raise ValueError(f"{tuple(before)} cannot be reshaped to {tuple(after)}")
    groups = []
    i = j = 0
    while i < len(before) and j < len(after):
        first = i, j
        left, right = before[i], after[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        groups.append(((first[0], i), (first[1], j)))
    # What is left over has size 1.
    groups.append(((i, len(before)), (j, len(after))))
    return groups
