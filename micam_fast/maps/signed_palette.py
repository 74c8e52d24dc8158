"""The diverging palette: signed values as blue over white to brown, alike for both signs."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

# OKLab (B. Ottosson, "A perceptual color space for image processing", 2020) to linear sRGB.
_LAB_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
# Blue and orange lie on opposite sides of white for every common form of colour blindness. Both
# arms have the same lightness and chroma at the same strength, so neither sign looks stronger.
_BLUE, _ORANGE = math.radians(255), math.radians(56)
_DARKEST = 0.42
_MOST_CHROMA = 0.125


@functools.cache
def diverging() -> NDArray[np.uint8]:
    """The palette.

    Returns
    -------
    (256, 3) uint8
        sRGB. Row 0 is the most negative value (dark blue), row 255 the most positive (brown), rows
        127 and 128 are white; read-only.
    """
    strength = np.arange(128) / 127
    lightness = 1 - (1 - _DARKEST) * strength
    # Just below what both hues have in sRGB: little beside white, little again in the dark.
    chroma = np.minimum(_MOST_CHROMA, np.minimum(0.47 * (1 - lightness), 0.24 * lightness))
    arms = [_to_bytes(lightness, chroma, hue) for hue in (_BLUE, _ORANGE)]
    palette = np.concatenate([arms[0][::-1], arms[1]])
    palette.flags.writeable = False
    return palette


def paint_diverging(values: NDArray[np.floating], bound: float) -> NDArray[np.uint8]:
    """Colour signed values.

    Parameters
    ----------
    values
        ``(h, w)``, or any shape.
    bound
        The absolute value that gets the strongest colours, larger ones are clipped to it; with 0
        all is white.

    Returns
    -------
    (h, w, 4) uint8
        Opaque RGBA, shape of `values` and a last axis. NaN is transparent.

    Raises
    ------
    ValueError
        If the bound is negative or not finite.
    """
    if not 0 <= bound < math.inf:
        raise ValueError(f"bound must be a finite number of at least 0, not {bound}")
    known = ~np.isnan(values)
    given = np.where(known, values, 0).astype(np.float64)
    # Both signs are rounded away from their own white, so that opposite values mirror each other.
    strength = np.clip(np.abs(given) / bound, 0, 1) if bound else np.zeros(given.shape)
    steps = np.floor(127 * strength + 0.5).astype(np.intp)
    pixels = np.empty((*given.shape, 4), np.uint8)
    pixels[..., :3] = diverging()[np.where(given < 0, 127 - steps, 128 + steps)]
    pixels[..., 3] = np.where(known, 255, 0)
    pixels[~known] = 0
    return pixels


def _to_bytes(
    lightness: NDArray[np.float64], chroma: NDArray[np.float64], hue: float
) -> NDArray[np.uint8]:
    """OKLab's lightness, chroma and hue as sRGB bytes ``(n, 3)``."""
    lab = np.stack([lightness, chroma * math.cos(hue), chroma * math.sin(hue)], axis=1)
    linear = (lab @ _LAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T
    linear = np.clip(linear, 0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.floor(255 * gamma + 0.5), np.uint8)
