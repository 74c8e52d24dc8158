"""Terms of a value become as few as say the same.

A term is a product of rows, columns and a mask for each axis. Terms that differ in one of these
alone are united in it: so the parts of a circular padding, each of which fills some rows of the
same columns, make one term again, and terms do not multiply from layer to layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from micam_fast.models.onnx.dependence.terms import Mask, Term


def unite(terms: list[Term]) -> list[Term]:
    """Unite settled terms wherever nothing is lost by it."""
    found = terms
    while len(found) > 1:
        before = len(found)
        found = _merged(found, lambda term: term.pattern)
        for axis in range(len(found[0].masks)):
            found = _merged(found, functools.partial(_all_but_mask, axis=axis))
        found = _united_columns(found)
        found = [term.turned() for term in _united_columns([term.turned() for term in found])]
        if len(found) == before:
            break
    return found


def bound(terms: Sequence[Term]) -> Term:
    """One term that holds all: for each element the rows and columns of any; at most."""
    return functools.reduce(Term.united, (term.unmasked() for term in terms))


def _all_but_mask(term: Term, axis: int) -> object:
    others = [each for each in range(len(term.masks)) if each != axis]
    return _all_but_columns(term, others), term.columns.shape, term.columns.tobytes()


def _all_but_columns(term: Term, axes: Sequence[int]) -> object:
    """The rows of a term, and its masks along some axes."""
    masks = (_bytes(term.masks[axis]) for axis in axes)
    return term.exact, term.rows.shape, term.rows.tobytes(), *masks


def _bytes(mask: Mask) -> bytes | None:
    return None if mask is None else mask.tobytes()


def _merged(terms: Sequence[Term], key: Callable[[Term], object]) -> list[Term]:
    return [functools.reduce(Term.united, group) for group in _grouped(terms, key)]


def _grouped(terms: Sequence[Term], key: Callable[[Term], object]) -> list[list[Term]]:
    groups: dict[object, list[Term]] = {}
    for term in terms:
        groups.setdefault(key(term), []).append(term)
    return list(groups.values())


def _united_columns(terms: list[Term]) -> list[Term]:
    """Terms of the same rows become one.

    What a mask leaves out may be left out of the columns instead, unless rows lie along its axis.
    """
    axes = range(len(terms[0].masks))
    along = [axis for axis in axes if any(term.rows.shape[axis] > 1 for term in terms)]
    free = [axis for axis in axes if axis not in along]
    found: list[Term] = []
    for group in _grouped(terms, lambda term: _all_but_columns(term, along)):
        narrowed = [term.narrowed(free) for term in group] if len(group) > 1 else [None]
        fitting = [term for term in narrowed if term is not None]
        # Sets that would take too much memory stay apart.
        whole = len(fitting) == len(group)
        found.extend([functools.reduce(Term.united, fitting)] if whole else group)
    return found
