"""The diverging palette: even for both signs, and readable by colour-blind people."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast.maps.signed_palette import diverging, paint_diverging

# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision
# deficiency", 2009, full severity: protanopia, deuteranopia, tritanopia; on linear sRGB.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
WHITE_POINT = np.array([0.95047, 1.0, 1.08883])
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = colours / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def cielab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = np.clip(rgb, 0, 1) @ RGB_TO_XYZ.T / WHITE_POINT
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def test_the_palette_runs_from_blue_over_white_to_brown() -> None:
    palette = diverging()
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert not palette.flags.writeable
    np.testing.assert_array_equal(palette[[127, 128]], 255)
    assert palette[0, 2] > palette[0, 1] > palette[0, 0]
    assert palette[255, 0] > palette[255, 1] > palette[255, 2]


def test_both_signs_look_equally_strong_and_stronger_values_are_darker() -> None:
    lightness = cielab(linear(diverging()))[:, 0]
    # Equal in OKLab, where the palette is made; CIELAB differs a little about blue.
    assert np.abs(lightness - lightness[::-1]).max() < 6
    assert (np.diff(lightness[:128]) > -0.35).all()
    assert (np.diff(lightness[128:]) < 0.35).all()


@pytest.mark.parametrize("kind", DEFICIENCIES)
def test_signs_are_told_apart_whatever_cone_is_missing(kind: str) -> None:
    seen = cielab(linear(diverging()) @ np.array(DEFICIENCIES[kind]).T)
    apart = np.linalg.norm(seen - seen[::-1], axis=1)
    # From a quarter of the bound on: ten times what is just noticed.
    assert apart[:96].min() > 23


def test_values_are_painted_by_sign_and_strength() -> None:
    values = np.array([[-4.0, -2.0, -1.0, 0.0], [1.0, 2.0, 9.0, np.nan]])
    pixels = paint_diverging(values, 2.0)
    palette = diverging()
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[0, :, :3], palette[[0, 0, 63, 128]])
    np.testing.assert_array_equal(pixels[1, :3, :3], palette[[192, 255, 255]])
    assert pixels[..., 3].tolist() == [[255] * 4, [255, 255, 255, 0]]
    assert not pixels[1, 3].any()


def test_opposite_values_mirror_each_other() -> None:
    values = np.linspace(0, 1, 400)[np.newaxis]
    steps = {tuple(colour): place for place, colour in enumerate(diverging().tolist())}
    above = [steps[tuple(each)] for each in paint_diverging(values, 1.0)[0, :, :3].tolist()]
    below = [steps[tuple(each)] for each in paint_diverging(-values, 1.0)[0, :, :3].tolist()]
    # 127 and 128 are the same white.
    assert all(a + b == 255 or {a, b} <= {127, 128} for a, b in zip(above, below, strict=True))


def test_without_a_spread_all_is_white() -> None:
    assert (paint_diverging(np.array([0.0, 3.0], np.float32), 0.0) == 255).all()


@pytest.mark.parametrize("bound", [-1.0, np.nan, np.inf])
def test_a_bound_must_be_a_size(bound: float) -> None:
    with pytest.raises(ValueError, match="bound must be a finite number of at least 0, not"):
        paint_diverging(np.zeros(2), bound)
