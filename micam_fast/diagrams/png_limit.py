"""The largest PNG that is written."""

from __future__ import annotations

import math

from micam_fast.core.errors import TooLargeError

LARGEST_PNG = 170e6
"""Pixels above which a PNG is refused: many viewers, Pillow's default included, open no more."""


def check_png_size(width: float, height: float, scale: float, *, poster: bool = False) -> None:
    """Refuse a picture of so many pixels that hardly any viewer would open.

    `scale` is that of a diagram's tiles, or of a poster's pixels.

    Raises
    ------
    TooLargeError
        If the picture would have more than `LARGEST_PNG` pixels; the message says what to do.
    """
    if width * height > LARGEST_PNG:
        fitting = math.floor(scale * math.sqrt(LARGEST_PNG / (width * height)) * 20) / 20
        what, option = ("one", "scale_png") if poster else ("smaller tiles", "scale_tiles")
        raise TooLargeError(
            f"the PNG would have {width:.0f} x {height:.0f} = {width * height / 1e6:.0f} "
            f"megapixels, more than {LARGEST_PNG / 1e6:.0f}; write SVG instead, or {what} with "
            f"--{option.replace('_', '-')} {fitting:g} ({option}={fitting:g} in Python)"
        )
