"""Ranks of a map's cells, their order, and means of what is not always defined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def standard_ranks(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Ranks with mean 0 and norm 1, so that the product of two of them is their correlation.

    Parameters
    ----------
    values
        Any shape. Equal values share the mean of their ranks.

    Returns
    -------
    array or None
        One-dimensional; ``None`` if the values are all equal, so that the rank correlation is not
        defined.
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return None
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks))


def order_cells(values: NDArray[Any], rng: np.random.Generator) -> NDArray[np.intp]:
    """Flat indices of a map's cells, those of the largest absolute values first.

    Parameters
    ----------
    values
        The map.
    rng
        Decides about cells of the same strength, which would otherwise go from top to bottom.
    """
    strengths = np.abs(values).reshape(-1)
    return np.lexsort((rng.permutation(len(strengths)), -strengths))


def mean_of_defined(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The mean along an axis of those values that are not NaN; NaN where there is none."""
    defined = np.isfinite(values)
    counts = defined.sum(axis=axis)
    sums = np.where(defined, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
