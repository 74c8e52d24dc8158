"""The painter of squares, against a naive one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from micam_fast._loops.isometric import canvas_size, paint_squares

pytestmark = pytest.mark.no_jit

Bytes = NDArray[np.uint8]
Float64 = NDArray[np.float64]

OPAQUE_RED = [255, 0, 255, 255]
OPAQUE_GREEN = [0, 255, 255, 255]


def naive(
    colours: Bytes,
    cells: list[int],
    centres: Float64,
    full_area: float,
    canvas: Float64,
    dot_area: float = 0.0,
) -> Float64:
    """Paint pixel by pixel, in float64."""
    painted = canvas.copy()
    for cell, (x, y) in zip(cells, centres, strict=True):
        red, green, blue, alpha = (float(part) for part in colours[cell])
        dot = dot_area, 1 - alpha * blue / 255**2
        for area, cover in (dot, (full_area * blue / 255, alpha / 255)):
            half = area**0.5 / 2
            for row, column in np.ndindex(*painted.shape[:2]):
                tall = max(0.0, min(y + half, row + 1) - max(y - half, row))
                wide = max(0.0, min(x + half, column + 1) - max(x - half, column))
                ink = np.array([red, green, blue])
                painted[row, column] += tall * wide * cover * (ink - painted[row, column])
    return painted


def paint(
    colours: list[list[int]] | Bytes,
    centres: list[tuple[float, float]] | Float64,
    full_area: float,
    size: tuple[int, int] = (12, 12),
    cells: list[int] | None = None,
    dot_area: float = 0.0,
) -> NDArray[np.float32]:
    """The canvas, so far as it was painted; what lies below is white."""
    # What is not painted on must not be read: a sum with NaN is NaN.
    canvas = np.full(canvas_size(*size, full_area), np.nan, np.float32)
    pixels = np.empty((*size, 3), np.uint8)
    order = list(range(len(colours))) if cells is None else cells
    paint_squares(
        np.array(colours, np.uint8),
        np.array(order, np.int64),
        np.array(centres, np.float64).reshape(-1, 2),
        full_area,
        dot_area,
        canvas,
        pixels,
    )
    painted = canvas[: pixels.size].reshape(pixels.shape)
    painted[np.isnan(painted)] = 255
    np.testing.assert_array_equal(pixels, np.floor(painted + np.float32(0.5)))
    return painted


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_squares_equal_naive_ones(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    size = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    channel = st.integers(0, 255)
    colours = np.array([[data.draw(channel) for _ in range(4)] for _ in range(count)], np.uint8)
    cells = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=5))
    place = st.floats(-4, 13, allow_nan=False)
    centres = np.array([[data.draw(place), data.draw(place)] for _ in cells])
    area = data.draw(st.floats(0.01, 60))
    dot = data.draw(st.sampled_from([0.0, area / 16, area]))
    expected = naive(colours, cells, centres, area, np.full((*size, 3), 255.0), dot)
    found = paint(colours, centres, area, size, cells, dot)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


def test_a_square_on_the_pixel_grid_is_sharp() -> None:
    canvas = paint([OPAQUE_RED], [(5.0, 4.0)], 16.0)
    expected = np.full((12, 12, 3), 255.0)
    expected[2:6, 3:7] = OPAQUE_RED[:3]
    np.testing.assert_array_equal(canvas, expected)


def test_later_squares_lie_over_earlier_ones() -> None:
    red_last = paint([OPAQUE_GREEN, OPAQUE_RED], [(4.0, 4.0), (5.0, 5.0)], 16.0)
    green_last = paint([OPAQUE_RED, OPAQUE_GREEN], [(5.0, 5.0), (4.0, 4.0)], 16.0)
    assert red_last[4, 4].tolist() == OPAQUE_RED[:3]
    assert green_last[4, 4].tolist() == OPAQUE_GREEN[:3]
    assert red_last[2, 2].tolist() == green_last[2, 2].tolist() == OPAQUE_GREEN[:3]


def test_straight_alpha_is_laid_over_white() -> None:
    canvas = paint([[255, 0, 255, 51]], [(5.0, 5.0)], 16.0)
    np.testing.assert_allclose(canvas[5, 5], [255, 0.8 * 255, 255], atol=1e-3)


@pytest.mark.parametrize("colour", [[255, 255, 255, 0], [255, 255, 0, 255]])
def test_what_has_no_opacity_or_no_area_paints_nothing(colour: list[int]) -> None:
    assert (paint([colour], [(5.0, 5.0)], 16.0) == 255).all()


@pytest.mark.parametrize("blue", [1, 100, 255])
def test_area_is_proportional_to_blue(blue: int) -> None:
    canvas = paint([[255, 0, blue, 255]], [(6.3, 5.7)], 40.0)
    covered = (255 - canvas[..., 1]) / 255
    assert covered.sum() == pytest.approx(40.0 * blue / 255, rel=1e-4)


@pytest.mark.parametrize(
    ("centre", "share"),
    [
        ((0.0, 6.0), 0.5),
        ((12.0, 6.0), 0.5),
        ((6.0, 0.0), 0.5),
        ((6.0, 12.0), 0.5),
        ((0.0, 0.0), 0.25),
        ((12.0, 12.0), 0.25),
        ((-3.0, 6.0), 0.0),
        ((6.0, 99.0), 0.0),
    ],
)
def test_squares_are_cut_at_the_edge(centre: tuple[float, float], share: float) -> None:
    canvas = paint([OPAQUE_RED], [centre], 16.0)
    assert ((255 - canvas[..., 1]) / 255).sum() == pytest.approx(16.0 * share)
