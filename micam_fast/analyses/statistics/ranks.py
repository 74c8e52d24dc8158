"""How many directions a layer's channels use, and how many they could."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.statistics.groups import ClassMoments, merge_groups
from micam_fast.analyses.statistics.moments import ChannelMoments

Linear = Mapping[str, tuple[str, NDArray[np.float64]]]
"""Layers that follow linearly from another one, as `find_linear` gives them."""


@dataclass(frozen=True)
class UsedRank:
    """The effective rank of a layer, and the largest one that it could have; ``None``: unknown.

    Attributes
    ----------
    effective
        Exponential of the entropy of the normalized eigenvalues of the channels' covariance.
    possible
        What no rank can be above.
    limit
        What limits it: the ``"channels"``; the ``"inputs"`` of a layer that is a sum of them; the
        number of ``"samples"``, or of ``"positions"`` where a sample has several.
    """

    effective: float | None = None
    possible: int | None = None
    limit: str | None = None


class Ranks:
    """The ranks of layers over some samples.

    Parameters
    ----------
    groups
        What is known of the samples.
    linear
        Layers whose covariance follows from another one's.
    limits
        Channels and largest rank of layers, as `find_rank_limits` gives them.
    unranked
        Layers that have no effective rank.
    """

    def __init__(
        self,
        groups: Sequence[ClassMoments],
        linear: Linear,
        limits: Mapping[str, tuple[int, int]],
        unranked: Collection[str],
    ) -> None:
        self._groups, self._linear = groups, linear
        self._limits, self._unranked = limits, unranked

    def find(self, layer: str, moments: ChannelMoments) -> UsedRank:
        """The rank of a layer of these moments."""
        factor: NDArray[np.float64] | None = None
        base: ChannelMoments | None = moments
        if moments.covariance is None:
            if layer not in self._linear or layer in self._unranked:
                return UsedRank()
            source, factor = self._trace(layer)
            base = merge_groups(self._groups, source)
        if base is None or base.covariance is None:
            return UsedRank()
        effective = base.covariance.effective_rank(factor)
        if effective is None:
            return UsedRank()
        count, channels = base.covariance.count, len(moments.counts)
        # The mean over all positions takes a direction.
        bounds = [(channels, "channels"), (self._inputs(layer, channels), "inputs")]
        bounds.append((count - 1, "samples" if count <= moments.samples else "positions"))
        possible, limit = min(bounds, key=lambda each: each[0])
        return UsedRank(effective, possible, limit)

    def _trace(self, layer: str) -> tuple[str, NDArray[np.float64]]:
        """The layer with a covariance of its own that another one follows from, and how."""
        source, factor = self._linear[layer]
        while source in self._linear:
            source, before = self._linear[source]
            if before.ndim == 2:
                factor = factor[:, np.newaxis] * before if factor.ndim == 1 else factor @ before
            else:
                factor = factor * before
        return source, factor

    def _inputs(self, layer: str, channels: int) -> int:
        """The largest rank that a layer's inputs allow: at most the number of its channels."""
        found = channels
        while True:
            of_kernel, most = self._limits.get(layer, (None, channels))
            if of_kernel == channels:
                found = min(found, most)
            if layer not in self._linear:
                return found
            layer = self._linear[layer][0]
            base = merge_groups(self._groups, layer)
            if base is None:
                return found
            channels = len(base.counts)
            found = min(found, channels)
