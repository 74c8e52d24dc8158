"""The one scale on which all bars of a poster stand: symmetric, logarithmic away from zero."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_USUAL = 0.1
"""Share of the layers that are smaller than the value up to which the scale is linear."""
_NOISE = 1e-4
"""By the median layer: what is smaller is as good as zero."""
_MOST_DECADES = 24
"""Between that value and the largest."""


@dataclass(frozen=True)
class BarScale:
    """Places of values between the bottom and the top of a bar's room.

    A value ``v`` stands at ``sign(v) log(1 + |v| / linear)``: all values of a page are compared by
    eye, and they span decades.

    Attributes
    ----------
    low, high
        Smallest and largest value that has a place, zero among them or at an end.
    linear
        Up to this absolute value the scale is about linear.
    """

    low: float
    high: float
    linear: float

    @classmethod
    def of(cls, ranges: NDArray[np.float64]) -> BarScale:
        """The scale of layers with these ranges, ``(layers, 2)``; NaN takes no part."""
        ends = ranges[np.isfinite(ranges)]
        low, high = float(min(0.0, ends.min(initial=0.0))), float(max(0.0, ends.max(initial=0.0)))
        largest = max(-low, high)
        if largest == 0:
            return cls(0.0, 1.0, 1.0)
        sizes = np.abs(ranges).max(axis=1)
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        # Layers of rounding noise are no small layers.
        usual = max(float(np.quantile(sizes, _USUAL)), float(np.median(sizes)) * _NOISE)
        least = max(usual, largest * 10.0**-_MOST_DECADES, 10 * sys.float_info.min)
        # A decade below the usual layers, so that their bars are not dots beside large ones.
        linear = 10.0 ** (math.floor(math.log10(least)) - 1)
        return cls(low, high, linear)

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places of values: 0 at the bottom, 1 at the top; those beyond the ends are clipped."""
        low, high = self._bent(np.array([self.low, self.high]))
        bent = self._bent(np.clip(values, self.low, self.high))
        return np.asarray((bent - low) / (high - low))

    def _bent(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sign(values) * np.log1p(np.abs(values) / self.linear)

    def ticks(self, most: int) -> list[float]:
        """Zero and powers of ten within the scale, at most so many, alike above and below zero."""
        lowest = round(math.log10(self.linear))
        tops = [math.floor(math.log10(e)) for e in (-self.low, self.high) if e >= self.linear]
        if not tops:
            return [0.0]
        # The largest power of each side first, then one between the smaller of these and zero.
        powers = dict.fromkeys((min(tops), max(tops), (min(tops) + lowest) // 2))
        found = [0.0]
        for power in powers:
            both = [v for v in (10.0**power, -(10.0**power)) if self.low <= v <= self.high]
            if len(found) + len(both) <= most:
                found += both
        return sorted(found)
