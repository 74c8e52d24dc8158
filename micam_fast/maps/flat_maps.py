"""Maps of layers that have neither channels nor space: how their values are laid out."""

from __future__ import annotations

import math


def flat_size(count: int, input_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the map of a flat layer of 1 or more values, SPEC section 2.

    `input_size` is ``(Hin, Win)``.
    """
    height, width = input_size
    if count < height:
        return 1, count
    longer, shorter = max(height, width), min(height, width)
    rows = math.ceil(count / min(math.sqrt(count) * longer / shorter, longer))
    return rows, math.ceil(count / rows)
