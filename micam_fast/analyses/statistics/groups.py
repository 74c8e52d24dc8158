"""What is known of the samples of each class."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from micam_fast.analyses.statistics.moments import ChannelMoments
from micam_fast.api.averages import Average

FedShapes = tuple[tuple[str, tuple[int, ...]], ...]
"""What a sample is fed as: names and shapes."""


@dataclass(eq=False)
class ClassMoments:
    """What is known of the samples of one class.

    Attributes
    ----------
    layers
        Moments by layer name.
    fed
        How many samples were fed in which shapes.
    average
        Of their maps; empty where diagrams were not asked for.
    """

    layers: dict[str, ChannelMoments] = field(default_factory=dict)
    fed: Counter[FedShapes] = field(default_factory=Counter)
    average: Average = field(default_factory=Average)

    def merge(self, other: ClassMoments) -> None:
        """Count in the samples of another part."""
        for name, moments in other.layers.items():
            if name in self.layers:
                self.layers[name].merge(moments)
            else:
                self.layers[name] = copy.deepcopy(moments)
        self.fed += other.fed
        self.average.merge(other.average)


def merge_groups(groups: Sequence[ClassMoments], layer: str) -> ChannelMoments | None:
    """Moments of a layer over some groups; ``None`` where it was not measured."""
    parts = [group.layers[layer] for group in groups if layer in group.layers]
    if len(parts) < 2:
        return parts[0] if parts else None
    moments = copy.deepcopy(parts[0])
    for part in parts[1:]:
        moments.merge(part)
    return moments
