"""What a check found, in aligned lines and in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from micam_fast.analyses.checks.cascade import Cascade
from micam_fast.analyses.checks.curves import PARTS, RANDOM_ORDERS, Curves
from micam_fast.core.texts import LONGEST_CELL, aligned, count_of, first_of, one_line

KEPT = 0.5
"""A rank correlation, of a map or of its absolute values, from which on the map counts as kept."""

_MOST_NAMED = 12
_WIDTH = 96


def check_lines(
    cascade: Cascade, curves: Curves | None, no_curves: str, samples: int
) -> Iterator[str]:
    """Both tables, each with what it comes to; see `Check`."""
    yield from _cascade_lines(cascade, samples)
    yield ""
    if curves is None:
        yield f"No deletion and insertion: {no_curves}."
    else:
        yield from _curve_lines(curves, samples)


def _cascade_lines(cascade: Cascade, samples: int) -> Iterator[str]:
    if not cascade.steps:
        yield "No layer has weights that could be made random."
        return
    weighty = count_of(sum(map(len, cascade.steps)), "layer")
    yield from _wrap(
        f"Weights made random from {cascade.steps[0][0]} back to {cascade.steps[-1][-1]}, "
        f"{weighty} in {count_of(len(cascade.steps), 'step')}; mean over "
        f"{count_of(samples, 'sample')} and "
        f"{count_of(cascade.draws, 'draw')}. Rank correlation with the original, of each map and "
        "of its absolute values |map|: with random weights in the layer itself (or the nearest "
        "before it) and all later ones, then in all layers."
    )
    yield ""
    reached = [n for n, at in zip(cascade.layers, cascade.first, strict=True) if at is not None]
    numbers = {name: (*cascade.own(name), *cascade.last(name)) for name in reached}
    if reached:
        width = max(len("layer"), *(len(one_line(name, LONGEST_CELL)) for name in reached))
        yield f"{'':{width}}  {'own and later':>16}  {'all weights':>16}"
        rows: list[Sequence[str]] = [("layer", "map", "|map|", "map", "|map|")]
        rows += [(name, *map(_number, found)) for name, found in numbers.items()]
        yield from aligned(rows, texts=1, least=7)
        yield ""
    finals = {
        name: max(found[2:]) for name, found in numbers.items() if not np.isnan(found[2:]).any()
    }
    kept = [name for name, value in finals.items() if value >= KEPT]
    changed = [name for name in finals if name not in kept]
    share = f"of {count_of(len(reached), 'map')}"
    if kept:
        yield from _wrap(
            f"Still rank-correlated ({KEPT} or more) with all weights random, so that the input, "
            f"or borders, show more than what was learned: {len(kept)} {share}: {_names(kept)}."
        )
    if changed:
        yield from _wrap(f"Changed with the weights: {len(changed)} {share}: {_names(changed)}.")
    undefined = [name for name in reached if name not in finals]
    if undefined:
        yield from _wrap(f"Not defined (a map is constant or not finite): {_names(undefined)}.")
    free = [name for name in cascade.layers if name not in reached]
    if free:
        yield from _wrap(f"No weights lead to {_names(free)}.")


def _curve_lines(curves: Curves, samples: int) -> Iterator[str]:
    area = "probability of the predicted class"
    if not curves.claimed:
        area = "softmax of the largest output, which may be no class"
    yield from _wrap(
        f"Deletion and insertion of the input's cells in {PARTS} parts, those of largest |map| "
        f"first. Area under the {area}; low is good for deletion, high "
        f"for insertion. Better: samples of {samples} that beat {RANDOM_ORDERS} random orders."
    )
    yield ""
    rows = [("order by |map| of", "deletion", "better", "insertion", "better")]
    for name in curves.layers:
        deletion, insertion, _ = curves.areas(name)
        less, more = map(str, curves.better_than_random(name))
        rows.append((name, _number(deletion), less, _number(insertion), more))
    chance = _number(float(np.nanmean(curves.random_areas)))
    rows.append(("random order", chance, "", chance, ""))
    yield from aligned(rows, texts=1, least=9)
    yield ""
    better = [n for n in curves.layers if min(curves.better_than_random(n)) > samples / 2]
    others = [name for name in curves.layers if name not in better]
    if better:
        yield from _wrap(f"Better than random order for most samples, both ways: {_names(better)}.")
    if others:
        yield from _wrap(f"Not for most samples, or one way only: {_names(others)}.")


def _wrap(text: str) -> Iterator[str]:
    yield from textwrap.wrap(one_line(text), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _names(names: Sequence[str]) -> str:
    return first_of(names, _MOST_NAMED)


def _number(value: float) -> str:
    # What rounds to zero has no sign.
    return "-" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"
