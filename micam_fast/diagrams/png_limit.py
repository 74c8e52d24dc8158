"""The largest PNG that is written."""

from __future__ import annotations

import math

from micam_fast.core.errors import TooLargeError

LARGEST_PNG = 170e6
"""Pixels above which a PNG is refused: many viewers, Pillow's default included, open no more."""


def check_png_size(width: float, height: float, scale: float) -> None:
    """Refuse a picture of so many pixels, its tiles scaled, that hardly any viewer would open.

    Raises
    ------
    TooLargeError
        If the picture would have more than `LARGEST_PNG` pixels; the message says what to do.
    """
    if width * height > LARGEST_PNG:
        fitting = math.floor(scale * math.sqrt(LARGEST_PNG / (width * height)) * 20) / 20
        raise TooLargeError(
            f"the PNG would have {width} x {height} = {width * height / 1e6:.0f} megapixels, more "
            f"than {LARGEST_PNG / 1e6:.0f}; write SVG instead, or smaller tiles with "
            f"--scale-tiles {fitting:g} (scale_tiles={fitting:g} in Python)"
        )
