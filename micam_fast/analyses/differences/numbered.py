"""Which is which of several layers of one operation in one module.

Their names differ by a number that tells the order in the file, and each exporter has its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from micam_fast.analyses.differences.operations import family
from micam_fast.analyses.differences.sides import Side
from micam_fast.core.layers import Layer

_Sides = tuple[Side, Side]
_Known = tuple[Mapping[str, str], Mapping[str, str]]
"""Names in A, by the names of A and by those of B, of layers that are paired."""


def find_doubted(a: Side, b: Side) -> tuple[set[str], set[str]]:
    """Names in A and B whose number may mean another layer on the other side."""
    ours, theirs = (_in_modules(side.layers.values()) for side in (a, b))
    several = [
        key for key in ours.keys() & theirs.keys() if max(len(ours[key]), len(theirs[key])) > 1
    ]
    numbered = {name for key in several for name in (*ours[key], *theirs[key])}
    sure = {name: name for name in a.layers if name in b.layers and name not in numbered}
    doubted: tuple[set[str], set[str]] = set(), set()
    for key in several:
        if not _are_in_order((a, b), ours[key], theirs[key], (sure, sure)):
            doubted[0].update(ours[key])
            doubted[1].update(theirs[key])
    return doubted


def pair_in_modules(a: Side, b: Side, pairs: Mapping[str, str]) -> dict[str, str]:
    """Pairs of those that are left: in their order, else by their sizes and what is around them.

    Exporters call an operation by other operators: a Flatten is a Reshape. Those that remain alike
    are paired in their order if both sides have as many.
    """
    known = {name: name for name in pairs}, {other: name for name, other in pairs.items()}
    ours, theirs = (
        _in_modules(layer for name, layer in side.layers.items() if name not in of_side)
        for side, of_side in zip((a, b), known, strict=True)
    )
    found: dict[str, str] = {}
    for key, names in ours.items():
        others = theirs.get(key, [])
        if _are_in_order((a, b), names, others, known):
            found |= zip(names, others, strict=True)
        else:
            found |= _pair_alike((a, b), names, others, known)
    return found


def _in_modules(layers: Iterable[Layer]) -> dict[tuple[str, str], list[str]]:
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for layer in layers:
        if layer.module is not None:
            found[layer.module, family(layer)].append(layer.name)
    return found


def _are_in_order(
    sides: _Sides, names: Sequence[str], others: Sequence[str], known: _Known
) -> bool:
    """Whether there are as many on both sides, and each may be its counterpart if several are."""
    if len(names) != len(others):
        return False
    pairs = zip(names, others, strict=True)
    return len(names) == 1 or all(_may_be(sides, *pair, known) for pair in pairs)


def _pair_alike(
    sides: _Sides, names: Sequence[str], others: Sequence[str], known: _Known
) -> dict[str, str]:
    """Pairs of those that may be the same layers of B, as many as they are, which no others may."""
    alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        alike[tuple(other for other in others if _may_be(sides, name, other, known))].append(name)
    groups = Counter(other for each in alike for other in each)
    even = [
        each
        for each, of_a in alike.items()
        if len(each) == len(of_a) and all(groups[other] == 1 for other in each)
    ]
    return {n: o for each in even for n, o in zip(alike[each], each, strict=True)}


def _may_be(sides: _Sides, name: str, other: str, known: _Known) -> bool:
    """Whether nothing says that these are not the same: sizes, what they read, what reads them."""
    one, same = sides[0].layers[name], sides[1].layers[other]
    return (
        _sizes_fit(one, same)
        and not _differ(one.inputs, same.inputs, known)
        and not _differ(sides[0].readers[name], sides[1].readers[other], known)
    )


def _differ(mine: Sequence[str], yours: Sequence[str], known: _Known) -> bool:
    """Whether these cannot be the same: where all are known, one differs; else all do."""
    ours = {known[0][each] for each in mine if each in known[0]}
    theirs = {known[1][each] for each in yours if each in known[1]}
    if len(ours) == len({*mine}) and len(theirs) == len({*yours}):
        return ours != theirs
    return bool(ours) and bool(theirs) and ours.isdisjoint(theirs)


def _sizes_fit(one: Layer, other: Layer) -> bool:
    """Whether sizes that both know are the same; files may fix the batch or leave it open."""
    if one.output_shape is None or other.output_shape is None:
        return True
    sizes, others = one.output_shape[1:], other.output_shape[1:]
    return len(sizes) == len(others) and all(
        None in pair or pair[0] == pair[1] for pair in zip(sizes, others, strict=True)
    )
