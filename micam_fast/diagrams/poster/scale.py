"""The one scale on which all bars of a poster stand: symmetric, logarithmic away from zero."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_USUAL = 0.1
"""Share of the layers that are smaller than the value up to which the scale is linear."""
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
        usual = float(np.quantile(sizes[np.isfinite(sizes) & (sizes > 0)], _USUAL))
        least = max(usual, largest * 10.0**-_MOST_DECADES, sys.float_info.min)
        linear = 10.0 ** math.floor(math.log10(least))
        return cls(low, high, linear)

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places of values: 0 at the bottom, 1 at the top; those beyond the ends are clipped."""
        low, high = self._bent(np.array([self.low, self.high]))
        bent = self._bent(np.clip(values, self.low, self.high))
        return np.asarray((bent - low) / (high - low))

    def _bent(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sign(values) * np.log1p(np.abs(values) / self.linear)

    def ticks(self, most: int) -> list[float]:
        """Zero and powers of ten within the scale, at most so many, the largest among them."""
        tops = [
            math.floor(math.log10(abs(end))) if abs(end) >= self.linear else None
            for end in (self.low, self.high)
        ]
        lowest = round(math.log10(self.linear))
        top = max((each for each in tops if each is not None), default=lowest)
        for step in range(1, top - lowest + 2):
            powers = [10.0**p for p in range(top, lowest - 1, -step)]
            found = [-p for p in powers if -p >= self.low] + [0.0]
            found += [p for p in reversed(powers) if p <= self.high]
            if len(found) <= most:
                return found
        return [0.0]
