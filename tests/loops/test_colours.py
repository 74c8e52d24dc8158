"""The colour loop and the choice of cells, against the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from micam_fast._loops.colours import choose_strongest, colour_maps
from tests.helpers import reference

pytestmark = pytest.mark.no_jit

Map = NDArray[np.float32]
Bytes = NDArray[np.uint8]

UNTOUCHED = 77
GAP = 3

numbers = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38])
maps = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=numbers
)
# Few different values, so that many are equally strong.
tied_maps = hnp.arrays(
    np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=13), elements=st.integers(-2, 2)
)
sides = st.integers(1, 13)


def colour(cams: list[Map], ranges: list[tuple[float, float]] | None = None) -> list[Bytes]:
    """Run the loop on maps that lie in one array, with gaps between them that must stay as is."""
    slots, begin = [], GAP
    for cam in cams:
        slots.append((begin, cam.size))
        begin += cam.size + GAP
    values = np.full(begin, 5.0, np.float32)
    for (start, size), cam in zip(slots, cams, strict=True):
        values[start : start + size] = cam.reshape(-1)
    out = np.full((begin, 4), UNTOUCHED, np.uint8)
    used = np.array(ranges or [reference.published_range(cam) for cam in cams], np.float64)
    colour_maps(np.array(slots, np.int64), values, used, *reference.global_range(cams), out)
    between = np.ones(begin, bool)
    for start, size in slots:
        between[start : start + size] = False
    assert (out[between] == UNTOUCHED).all()
    return [
        out[start : start + size].reshape(*cam.shape, 4)
        for (start, size), cam in zip(slots, cams, strict=True)
    ]


def chosen(cam: Map, rows: int, columns: int) -> NDArray[np.int64]:
    out = np.full((rows, columns), -1, np.int64)
    choose_strongest(cam, out)
    return out


@given(st.lists(maps, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_colours_equal_the_formulas(cams: list[Map]) -> None:
    low, high = reference.global_range(cams)
    for cam, found in zip(cams, colour(cams), strict=True):
        np.testing.assert_array_equal(found, reference.rgba_uint8(cam, low, high))


def test_colours_by_hand() -> None:
    (found,) = colour([np.array([[-2, 0, 1, 3]], np.float32)])
    assert found[0].tolist() == [
        [0, 255, 0, 0],
        [0, 0, 102, 161],
        [85, 0, 153, 198],
        [255, 0, 255, 255],
    ]


def test_opacity_spans_all_layers() -> None:
    weak, strong = colour([np.array([[0, 1]], np.float32), np.array([[0, 4]], np.float32)])
    assert weak[0, :, 3].tolist() == [0, 128]
    assert strong[0, :, 3].tolist() == [0, 255]
    # Red and blue are the layer's own.
    assert weak[0, :, 0].tolist() == strong[0, :, 0].tolist() == [0, 255]
    assert weak[0, :, 2].tolist() == strong[0, :, 2].tolist() == [0, 255]


def test_a_map_of_zeros_is_empty_where_all_are() -> None:
    (found,) = colour([np.zeros((2, 3), np.float32)])
    assert not found.any()


def test_an_even_map_lies_at_the_bottom_of_its_lifted_range() -> None:
    (found,) = colour([np.full((1, 2), 5, np.float32)])
    # m = 5, M = 5.5: red 5 / 5.5, blue 0, opacity that of the strongest value.
    assert found[0].tolist() == [[232, 0, 0, 255]] * 2


def test_a_layer_without_range_is_empty_and_changes_no_other() -> None:
    good = np.array([[-1, 2, 4]], np.float32)
    bad = np.array([[np.nan, 1e30, -np.inf]], np.float32)
    alone = colour([good])[0]
    first, empty, last = colour([good, bad, good], [(-1, 4), (math.nan, math.nan), (-1, 4)])
    assert not empty.any()
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(last, alone)


def test_values_beyond_the_ranges_are_clipped() -> None:
    values = np.array([-9, 9], np.float32)
    out = np.empty((2, 4), np.uint8)
    colour_maps(np.array([[0, 2]], np.int64), values, np.array([[-1.0, 1.0]]), -1.0, 1.0, out)
    assert out.tolist() == [[0, 255, 0, 0], [255, 0, 255, 255]]


@given(tied_maps, sides, sides)
@settings(deadline=None, max_examples=150)
def test_chosen_cells_equal_the_formulas(whole: NDArray[np.int8], rows: int, columns: int) -> None:
    cam = whole.astype(np.float32)
    height, width = cam.shape
    shrunk = reference.shrink_strongest(cam, min(rows, height), min(columns, width))
    expected = reference.resize_nearest(shrunk, rows, columns)
    np.testing.assert_array_equal(cam.reshape(-1)[chosen(cam, rows, columns)], expected)


@given(sides, sides, sides, sides)
@settings(deadline=None, max_examples=50)
def test_of_equally_strong_values_the_first_is_chosen(
    height: int, width: int, rows: int, columns: int
) -> None:
    rows, columns = min(rows, height), min(columns, width)
    signs = np.where(np.arange(height * width) % 2, 1, -1).reshape(height, width)
    expected = [
        [
            min(
                y * width + x
                for y in range(height)
                for x in range(width)
                if (y * rows // height, x * columns // width) == (row, column)
            )
            for column in range(columns)
        ]
        for row in range(rows)
    ]
    assert chosen(signs.astype(np.float32), rows, columns).tolist() == expected


@given(tied_maps)
@settings(deadline=None, max_examples=20)
def test_a_grid_of_the_map_s_own_size_is_the_map(whole: NDArray[np.int8]) -> None:
    cells = chosen(whole.astype(np.float32), *whole.shape)
    assert cells.reshape(-1).tolist() == list(range(whole.size))


def test_a_negative_peak_survives() -> None:
    cam = np.ones((6, 6), np.float32)
    cam[4, 1] = -7
    assert chosen(cam, 2, 2).reshape(-1).tolist() == [0, 3, 4 * 6 + 1, 3 * 6 + 3]


def test_a_cell_of_nan_alone_keeps_an_index_of_its_own() -> None:
    cam = np.full((4, 4), np.nan, np.float32)
    assert chosen(cam, 2, 2).tolist() == [[0, 2], [8, 10]]
