"""Tiles: where the cells lie, how large their squares are, and what a shrunk map keeps."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from micam_fast.core.choices import Look
from micam_fast.core.layers import Layer
from micam_fast.diagrams import tiles
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import label_lines
from micam_fast.diagrams.marks import RULE
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.tile_rooms import PUBLISHED, TILE_HEIGHT, tile_room
from micam_fast.diagrams.tiles import (
    cell_centres,
    draw_tile,
    flat_place,
    grid_size,
    hatch,
    paint_isometric,
    shrunk_cells,
    stretched_side,
    tile_place,
)
from micam_fast.maps.layer_map import LayerMap
from tests.helpers.pictures import centroid, coverage, layer_map, painted_map, spot

# SPEC section 4.
FAR_LEFT, FAR_RIGHT, NEAR_LEFT, NEAR_RIGHT = (105, 1), (394, 38), (13, 148), (326, 192)
POINT = 150 / 72


def centre_of_plane() -> tuple[float, float]:
    """Where the diagonals cross: a projection keeps lines straight."""
    matrix = np.array(
        [
            [NEAR_RIGHT[1] - FAR_LEFT[1], FAR_LEFT[0] - NEAR_RIGHT[0]],
            [NEAR_LEFT[1] - FAR_RIGHT[1], FAR_RIGHT[0] - NEAR_LEFT[0]],
        ],
        float,
    )
    x, y = np.linalg.solve(
        matrix, [matrix[0] @ np.array(FAR_LEFT), matrix[1] @ np.array(FAR_RIGHT)]
    )
    return float(x), float(y)


@pytest.fixture
def squares_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published squares without the dots in them."""
    monkeypatch.setattr(tiles, "_DOT_SHARE", 0.0)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
@pytest.mark.parametrize(
    ("cell", "place"),
    [((0, 0), FAR_LEFT), ((0, 6), FAR_RIGHT), ((4, 0), NEAR_LEFT), ((4, 6), NEAR_RIGHT)],
)
@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_corner_cells_lie_where_spec_says(
    cell: tuple[int, int], place: tuple[int, int], scale: float
) -> None:
    # Blue 20 of layer 0 is a square 1.98 pixels wide: not cut, even one pixel below the edge.
    cover = coverage(paint_isometric(spot(5, 7, cell), 0, (5, 7), scale))
    assert centroid(cover) == pytest.approx(np.array(place) * scale, abs=0.05)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_cells_between_follow_the_perspective() -> None:
    cover = coverage(paint_isometric(spot(5, 7, (2, 3)), 0, (5, 7)))
    assert centroid(cover) == pytest.approx(centre_of_plane(), abs=0.05)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_rows_run_from_far_to_near_and_columns_to_the_right() -> None:
    def place(row: int, column: int) -> tuple[float, float]:
        return centroid(coverage(paint_isometric(spot(5, 7, (row, column)), 0, (5, 7))))

    down = [place(row, 2)[1] for row in range(5)]
    right = [place(2, column)[0] for column in range(7)]
    assert down == sorted(down)
    assert right == sorted(right)
    # Perspective: what is near is larger.
    assert np.all(np.diff(np.diff(down)) > 0)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
@pytest.mark.parametrize("blue", [20, 255])
@pytest.mark.parametrize("index", [0, 9, 432])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_area_of_a_square_in_points(blue: int, index: int, scale: float) -> None:
    cover = coverage(paint_isometric(spot(3, 3, (1, 1), blue), index, (3, 3), scale))
    points = 5 * blue / 255 * math.log(10 * (index + 1))
    # Up to 60 pixels of a square's border are rounded to 1/255.
    assert cover.sum() == pytest.approx(points * (POINT * scale) ** 2, rel=0.005, abs=0.12)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_near_squares_lie_over_far_ones() -> None:
    rgba = np.zeros((28, 28, 4), np.uint8)
    rgba[10, 10] = 255, 0, 255, 255
    rgba[11, 10] = 0, 255, 255, 255
    whole = paint_isometric(painted_map(rgba), 9, (28, 28))
    rgba[10, 10] = 0
    near = paint_isometric(painted_map(rgba), 9, (28, 28))
    full = (near == (0, 255, 255)).all(axis=2)
    assert full.sum() > 40
    assert (whole[full] == (0, 255, 255)).all()
    assert ((whole == (255, 0, 255)).all(axis=2)).any()


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_right_squares_lie_over_left_ones() -> None:
    rgba = np.zeros((100, 100, 4), np.uint8)
    rgba[50, 50] = 255, 0, 255, 255
    rgba[50, 51] = 0, 255, 255, 255
    whole = paint_isometric(painted_map(rgba), 9, (100, 100))
    rgba[50, 50] = 0
    full = (paint_isometric(painted_map(rgba), 9, (100, 100)) == (0, 255, 255)).all(axis=2)
    assert full.sum() > 40
    assert (whole[full] == (0, 255, 255)).all()


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_squares_are_cut_at_the_tile_s_upper_edge() -> None:
    cover = coverage(paint_isometric(spot(5, 5, (0, 0), 255), 0, (5, 5)))
    side = math.sqrt(5 * math.log(10)) * POINT
    assert cover.sum() == pytest.approx(side * (side / 2 + FAR_LEFT[1]), rel=0.01)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
@pytest.mark.parametrize("index", [0, 999])
def test_every_square_keeps_within_the_picture_s_other_edges(index: int) -> None:
    rgba = np.full((3, 3, 4), 255, np.uint8)
    rgba[..., 1] = 0
    cover = coverage(paint_isometric(painted_map(rgba), index, (3, 3)))
    assert not cover[-1].any()
    assert not cover[:, 0].any()
    assert not cover[:, -1].any()


@pytest.mark.no_jit
@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((28, 28), (28, 28)),
        ((150, 150), (150, 150)),
        ((300, 150), (150, 75)),
        ((151, 30), (150, 30)),
        ((224, 224), (150, 150)),
        ((1, 600), (24, 150)),
        ((600, 2), (150, 24)),
        ((1, 1), (24, 1)),
    ],
)
def test_grid_is_the_input_s_and_not_over_150(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_size(size) == grid


@pytest.mark.no_jit
@given(st.integers(2, 5000), st.integers(1, 5000))
@settings(deadline=None)
def test_grid_keeps_the_input_s_proportions(height: int, width: int) -> None:
    factor = min(1, 150 / max(height, width))
    rows, columns = grid_size((height, width))
    for side, cells in ((height, rows), (width, columns)):
        if cells != pytest.approx(max(1, side * factor), abs=0.501):
            # A narrow grid is stretched, so that each row has as many cells as the others.
            assert max(height, width) >= 7 * side
            assert cells % side == 0 or side > 64
            assert 24 <= cells <= 64 or 12 < side < 24
            assert cells >= min(side, 24)


@pytest.mark.no_jit
@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((60, 1), (60, 24)), ((12, 5000), (24, 150)), ((200, 3), (150, 24)),
        ((30, 5000), (30, 150)), ((64, 9000), (64, 150)), ((65, 9000), (24, 150)),
        ((7, 1), (7, 1)),
    ],
)  # fmt: skip
def test_a_narrow_grid_is_stretched_and_its_rows_stay_apart(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert grid_size(size) == grid


@pytest.mark.no_jit
@pytest.mark.parametrize("size", [(12, 5000), (3, 200), (7, 60)])
def test_cells_that_repeat_a_row_are_nearer_to_each_other(size: tuple[int, int]) -> None:
    rows, columns = grid_size(size)
    # Down the last column, where the plane is widest.
    places = cell_centres((rows, columns), size, 1.0).reshape(rows, columns, 2)[:, -1]
    assert places[[0, -1]] == pytest.approx(np.array([FAR_RIGHT, NEAR_RIGHT]), abs=0.01)
    steps = np.hypot(*np.diff(places, axis=0).T)
    to_next = np.arange(1, rows) % (rows // size[0]) == 0
    assert to_next.sum() == size[0] - 1
    for here in np.flatnonzero(to_next):
        # Perspective makes far steps shorter by some percents.
        assert steps[here] > 1.5 * steps[here - 1]
        assert steps[here] > 1.5 * steps[here + 1]


@pytest.mark.no_jit
@pytest.mark.parametrize("size", [(28, 28), (1, 600), (60, 1), (40, 5000)])
def test_other_cells_are_spread_evenly(size: tuple[int, int]) -> None:
    rows, columns = grid_size(size)
    corners = [FAR_LEFT, FAR_RIGHT, NEAR_LEFT, NEAR_RIGHT]
    found = cell_centres((rows, columns), size, 1.0)
    even = cell_centres((rows, columns), (rows, columns), 1.0)
    np.testing.assert_array_equal(found, even)
    assert found.reshape(rows, columns, 2)[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(
        np.array(corners), abs=0.01
    )


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
@pytest.mark.parametrize("size", [(3, 1), (5, 1)])
def test_a_grid_of_one_column_lies_in_the_middle(size: tuple[int, int]) -> None:
    middle = size[0] // 2, size[1] // 2
    cover = coverage(paint_isometric(spot(*size, middle), 0, size))
    assert centroid(cover) == pytest.approx(centre_of_plane(), abs=0.05)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_a_sequence_fills_the_plane() -> None:
    """Its single row is repeated from far to near, so each step is a stripe."""
    cover = coverage(paint_isometric(spot(1, 10, (0, 3)), 0, (1, 10)))
    rows = np.flatnonzero(cover.sum(axis=1))
    assert rows[0] < 20
    assert rows[-1] > 160


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.no_jit
def test_a_small_map_fills_the_whole_grid() -> None:
    cover = coverage(paint_isometric(spot(1, 1, (0, 0)), 0, (3, 4)))
    one = coverage(paint_isometric(spot(3, 4, (1, 1)), 0, (3, 4))).sum()
    assert cover.sum() == pytest.approx(12 * one, rel=0.03)


@pytest.mark.usefixtures("squares_alone")
@pytest.mark.parametrize("row", [0, 1, 138, 275, 276])
def test_the_strongest_value_of_a_large_map_is_painted(row: int) -> None:
    cover = coverage(paint_isometric(spot(277, 75, (row, 40)), 0, (75, 75)))
    one = coverage(paint_isometric(spot(75, 75, (40, 40)), 0, (75, 75))).sum()
    assert cover.sum() == pytest.approx(one, rel=0.05)


@pytest.mark.no_jit
@pytest.mark.parametrize("index", [0, 432])
def test_a_dot_shows_the_minimum_of_a_layer_in_its_colour(index: int) -> None:
    """Where B is 0 there is no square, and where A is 0 none can be seen."""
    for cell in ((0, 255, 0, 0), (0, 255, 0, 255), (0, 255, 255, 0)):
        rgba = np.full((1, 1, 4), cell, np.uint8)
        pixels = paint_isometric(painted_map(rgba), index, (3, 3))
        ink = (255 - pixels[..., 0].astype(float)).sum() / 255
        full = 5 * math.log(10 * (index + 1)) * POINT**2
        assert ink == pytest.approx(9 * full / 16, rel=0.03)
        assert (pixels[..., 1] == 255).all()


@pytest.mark.no_jit
def test_full_squares_have_no_dots() -> None:
    full = painted_map(np.full((3, 3, 4), (255, 0, 255, 255), np.uint8))
    with_dots = paint_isometric(full, 9, (3, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "_DOT_SHARE", 0.0)
        np.testing.assert_array_equal(paint_isometric(full, 9, (3, 3)), with_dots)


@pytest.mark.no_jit
def test_isometric_tile_is_a_picture_of_the_published_size() -> None:
    picture = draw_tile(layer_map(np.eye(3)), 0, (3, 3), "isometric", scale=0.5)
    assert (picture.x, picture.y) == (0, 0)
    assert picture.pixels.shape == (picture.height, picture.width, 3) == (102, 212, 3)
    assert picture.pixels.dtype == np.uint8


# --- The flat look --------------------------------------------------------------------------

SQUARE_INPUT, WIDE_INPUT = (9, 9), (9, 18)


def flat_tile(
    height: int,
    width: int,
    *,
    native: bool = False,
    scale: float = 1.0,
    input_size: tuple[int, int] = WIDE_INPUT,
) -> tuple[tuple[float, float, float, float], tuple[int, ...]]:
    rgba = np.zeros((height, width, 4), np.uint8)
    picture = draw_tile(painted_map(rgba), 0, input_size, "flat", scale=scale, native=native)
    return (picture.x, picture.y, picture.width, picture.height), picture.pixels.shape


@pytest.mark.parametrize("native", [False, True])
def test_flat_look_enlarges_by_whole_numbers_without_resampling(native: bool) -> None:
    found = layer_map(np.random.default_rng(0).standard_normal((28, 20)))
    picture = draw_tile(found, 5, (28, 20), "flat", native=native)
    np.testing.assert_array_equal(picture.pixels, found.rgba)
    assert (picture.width, picture.height) == (20 * 6, 28 * 6)
    square = draw_tile(layer_map(np.eye(28)), 5, (28, 28), "flat", native=native)
    assert (square.width, square.height) == (28 * 5, 28 * 5)


@given(
    st.integers(1, 600),
    st.integers(1, 600),
    st.booleans(),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    st.sampled_from([SQUARE_INPUT, WIDE_INPUT]),
)
@settings(deadline=None, max_examples=150)
def test_flat_tile_lies_in_the_middle_of_its_place(
    height: int, width: int, native: bool, scale: float, input_size: tuple[int, int]
) -> None:
    room = tile_room("flat", input_size)
    (x, y, wide, tall), shape = flat_tile(
        height, width, native=native, scale=scale, input_size=input_size
    )
    assert x >= 0
    assert y >= 0
    assert abs(room.picture_width * scale - wide - 2 * x) <= 2
    assert abs(TILE_HEIGHT * scale - tall - 2 * y) <= 2
    assert x + wide <= (room.label_x - 8) * scale + 1
    if height > 1 and stretched_side((height, width), room) is None:
        even = wide * height / width
        assert tall == pytest.approx(max(1, even), abs=max(1, height / width) + 0.5)
    if native:
        assert shape[:2] == (height, width)


@pytest.mark.parametrize("width", [1, 10, 100, 1000])
def test_a_strip_of_one_row_can_be_seen(width: int) -> None:
    (_, _, wide, tall), shape = flat_tile(1, width)
    assert tall >= 24
    assert wide >= 185
    assert shape[0] == 1
    (_, _, wide, tall), _ = flat_tile(1, width, input_size=SQUARE_INPUT)
    assert tall >= 24
    assert wide >= 100


@given(st.integers(2, 600), st.integers(1, 900))
@settings(deadline=None, max_examples=150)
def test_a_shrunk_flat_tile_has_the_pixels_that_are_shown(height: int, width: int) -> None:
    (_, _, wide, tall), shape = flat_tile(height, width)
    if wide < width or tall < height:
        # A side that is stretched has its own cells.
        assert shape[:2] == (min(tall, height), min(wide, width))


@pytest.mark.parametrize("cell", [(0, 0), (399, 799), (123, 456)])
def test_a_shrunk_flat_tile_keeps_the_strongest(cell: tuple[int, int]) -> None:
    found = spot(400, 800, cell)
    picture = draw_tile(found, 0, (400, 800), "flat")
    assert picture.pixels.shape[1] < 400
    visible = np.argwhere(picture.pixels[..., 3])
    assert len(visible) == 1
    zoom = picture.pixels.shape[0] / 400
    assert visible[0] == pytest.approx(np.array(cell) * zoom, abs=1)


def test_a_flat_tile_that_is_not_finite_is_hatched() -> None:
    bad = layer_map([[float("nan"), 1.0], [0.0, 1.0]], bad_values=1)
    picture = draw_tile(bad, 0, (2, 2), "flat")
    assert (picture.x, picture.y, picture.width, picture.height) == (8, 28, 150, 150)
    np.testing.assert_array_equal(picture.pixels, hatch(150, 150, 1.0))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_map_that_is_not_finite_is_hatched(scale: float) -> None:
    bad = layer_map([[float("nan"), 1.0], [0.0, 1.0]], bad_values=1)
    picture = draw_tile(bad, 0, (2, 2), "isometric", scale=scale)
    assert (picture.width, picture.height) == (
        round(PUBLISHED.picture_width * scale),
        round(TILE_HEIGHT * scale),
    )
    assert picture.pixels.shape == (picture.height, picture.width, 3)
    assert (np.ptp(picture.pixels, axis=2) == 0).all()
    dark = np.argwhere(picture.pixels[..., 0] < 200)[:, ::-1] / scale
    # Lines all over the plane, and nowhere else.
    assert dark.min(axis=0) == pytest.approx([NEAR_LEFT[0], FAR_LEFT[1]], abs=10)
    assert dark.max(axis=0) == pytest.approx([FAR_RIGHT[0], NEAR_RIGHT[1]], abs=10)
    plane = (FAR_LEFT, FAR_RIGHT, NEAR_RIGHT, NEAR_LEFT)
    for (x0, y0), (x1, y1) in zip(plane, plane[1:] + plane[:1], strict=True):
        beside = (x1 - x0) * (dark[:, 1] - y0) - (y1 - y0) * (dark[:, 0] - x0)
        assert (beside > -2 * math.hypot(x1 - x0, y1 - y0)).all()
    assert 0.1 < len(dark) / scale**2 / 45_000 < 0.3


# --- Rooms of any size ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((28, 28), 1.0, Box(2, 2, 196, 196)),
        ((28, 28), 0.5, Box(8, 8, 84, 84)),
        ((10, 40), 1.0, Box(0, 75, 200, 50)),
        ((1, 10), 1.0, Box(0, 88, 200, 24)),
        ((400, 100), 1.0, Box(75, 0, 50, 200)),
    ],
)
def test_a_map_lies_in_the_middle_of_its_room(
    size: tuple[int, int], scale: float, expected: Box
) -> None:
    assert flat_place(size, (200, 200), (200, 200), scale) == expected


def test_cells_are_chosen_where_a_room_has_too_few_pixels() -> None:
    cam = np.zeros((400, 100), np.float32)
    cam[399, 99] = -1
    cells = shrunk_cells(cam, (200, 200), 1.0)
    assert cells is not None
    assert cells.shape == (200, 50)
    assert cells[-1, -1] == cam.size - 1
    assert shrunk_cells(cam, (200, 200), 2.0) is None


def test_hatching_is_grey_lines_from_lower_left_to_upper_right() -> None:
    pixels = hatch(20, 30, 1.0)
    assert pixels.shape == (30, 20, 3)
    y, x = np.mgrid[0:30, 0:20]
    expected = np.where((x + y) % 9 < 2, 150, 255)
    np.testing.assert_array_equal(pixels, expected[..., np.newaxis].repeat(3, axis=2))


def test_colours_of_another_size_than_the_map_are_not_painted() -> None:
    found = layer_map(np.eye(4, 5))
    wrong = dataclasses.replace(found, rgba=found.rgba[:-1])
    with pytest.raises(ValueError, match=r"colours \(3, 5, 4\) of a map of \(4, 5\)"):
        draw_tile(wrong, 0, (4, 5), "isometric")


# --- Tiles that would say nothing ------------------------------------------------------------

GREY = 200
PLANE_MIDDLE = centre_of_plane()


def grey_pixels(found: LayerMap, look: Look, *, native: bool = False) -> NDArray[np.uint8]:
    picture = draw_tile(found, 3, (4, 4), look, native=native)
    place = tile_place(found, look, 1.0, tile_room(look, (4, 4)))
    assert (picture.x, picture.y) == (place.x, place.y)
    assert (picture.width, picture.height) == (place.width, place.height)
    assert (picture.pixels == picture.pixels[..., :1]).all(), "colours in a grey tile"
    return picture.pixels


@pytest.mark.parametrize("look", ["isometric", "flat"])
def test_a_map_that_hardly_varies_is_grey(look: Look) -> None:
    pixels = grey_pixels(layer_map(np.linspace(5, 5.004, 16).reshape(4, 4)), look)
    assert set(np.unique(pixels)) <= {GREY, 255}
    assert (pixels == GREY).mean() > 0.4
    # The rule's other side: the colours are the formula's.
    varied = draw_tile(layer_map(np.linspace(5, 5.006, 16).reshape(4, 4)), 3, (4, 4), look).pixels
    assert (varied[..., 0] != varied[..., 1]).any()


def test_the_colours_of_a_grey_tile_are_kept_for_others() -> None:
    found = layer_map(np.full((4, 4), 5.0))
    assert found.plain
    assert found.rgba[0, 0].tolist() == [232, 0, 0, 255]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("look", ["isometric", "flat"])
@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (5.0, "5.00"), (-1.23456e-10, "-1.23e-10")]
)
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (1, 6)])
def test_a_constant_map_shows_its_value(
    shape: tuple[int, int], value: float, shown: str, look: Look, native: bool
) -> None:
    pixels = grey_pixels(layer_map(np.full(shape, value)), look, native=native)
    rows, columns = np.nonzero((pixels < 100).all(axis=2))
    assert len(rows), "no value"
    zoom = 2 if native else 1
    size, (x, y) = (
        15 * zoom,
        np.array(
            PLANE_MIDDLE
            if look == "isometric"
            else (pixels.shape[1] / 2 / zoom, pixels.shape[0] / 2 / zoom)
        )
        * zoom,
    )
    assert abs((rows.min() + rows.max()) / 2 - y) < size / 4
    assert abs((columns.min() + columns.max()) / 2 - x) < size / 2
    width = text_width(shown, size)
    assert np.ptp(columns) == pytest.approx(width, abs=0.3 * size)


def test_a_tile_that_has_no_room_for_its_value_has_none() -> None:
    pixels = draw_tile(layer_map(np.full((60, 1), -1.23456e-10)), 0, (60, 1), "flat").pixels
    assert (pixels == GREY).all()


def test_a_plane_of_dots_has_a_border() -> None:
    """Far from 0, what varies by a little more than a thousandth has blue bytes of nearly 0."""
    cam = 1000 + np.linspace(0, 1.5, 16).reshape(4, 4)
    found = dataclasses.replace(layer_map(cam), rgba=np.full((4, 4, 4), (255, 0, 2, 255), np.uint8))
    pixels = draw_tile(found, 3, (4, 4), "isometric").pixels
    grey = (pixels == RULE[0]).all(axis=2)
    assert grey.sum() > 500
    usual = dataclasses.replace(found, rgba=np.full((4, 4, 4), (255, 0, 120, 255), np.uint8))
    assert not (draw_tile(usual, 3, (4, 4), "isometric").pixels == RULE[0]).all(axis=2).any()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_an_isometric_tile_never_vanishes(scale: float) -> None:
    # A layer of small values beside one of huge ones: all of its cells are transparent.
    found = dataclasses.replace(
        layer_map([[0.0, 1.0], [0.5, 0.25]]), rgba=np.zeros((2, 2, 4), np.uint8)
    )
    pixels = draw_tile(found, 3, (2, 2), "isometric", scale=scale).pixels
    rows, columns = np.nonzero((pixels < 240).all(axis=2))
    for axis, expected in ((columns, (13, 394)), (rows, (1, 192))):
        assert (axis.min(), axis.max()) == pytest.approx(
            np.array(expected) * scale, abs=2 * max(1, scale)
        )
    # What can be seen has no border.
    seen = draw_tile(layer_map([[0.0, 1.0], [0.5, 0.25]]), 3, (2, 2), "isometric").pixels
    np.testing.assert_array_equal(
        seen, paint_isometric(layer_map([[0.0, 1.0], [0.5, 0.25]]), 3, (2, 2))
    )


# --- Long and narrow maps --------------------------------------------------------------------


@pytest.mark.no_jit
@pytest.mark.parametrize(
    ("size", "shown", "stretched"),
    [
        ((60, 1), (180, 40), "columns"),
        ((12, 5000), (72, 390), "rows"),
        ((200, 3), (185, 40), "columns"),
        ((40, 9000), (96, 390), "rows"),
        ((1, 130), (24, 390), None),
        ((28, 28), (168, 168), None),
        ((28, 5), (168, 30), None),
    ],
)
def test_a_narrow_map_keeps_a_thickness_and_its_label_says_so(
    size: tuple[int, int], shown: tuple[int, int], stretched: str | None
) -> None:
    found = layer_map(random_values(size))
    place = tile_place(found, "flat", 1.0)
    assert (place.height, place.width) == shown
    double = tile_place(found, "flat", 2.0)
    assert min(double.height, double.width) >= 2 * min(shown)
    middle = place.x + place.width / 2, place.y + place.height / 2
    room = np.array([PUBLISHED.picture_width, TILE_HEIGHT])
    assert middle == pytest.approx(room / 2, abs=1)
    assert stretched_side(size) == stretched
    lines = [line for line in label_lines(Layer("x", "Relu", "Relu"), found) if "drawn" in line]
    assert lines == ([] if stretched is None else [f"{stretched} drawn thicker"])


def test_a_label_says_what_its_own_room_stretches() -> None:
    found = layer_map(random_values((10, 60)))
    layer = Layer("x", "Relu", "Relu")
    drawn = "rows drawn thicker"
    assert drawn not in label_lines(layer, found)
    assert drawn in label_lines(layer, found, room=tile_room("flat", SQUARE_INPUT))


@pytest.mark.parametrize("look", ["isometric", "flat"])
def test_twelve_leads_are_twelve_rows(look: Look) -> None:
    """A lead that alone is strong is seen, each in its own place."""
    seen = []
    for lead in range(12):
        values = np.zeros((12, 5000))
        values[lead] = 1.0
        pixels = draw_tile(layer_map(values), 3, (12, 5000), look, native=False).pixels
        red = pixels[..., 0].astype(int) - pixels[..., 1]
        rows = np.flatnonzero(red.max(axis=1) > 128)
        seen.append(rows.mean())
    assert np.all(np.diff(seen) > (0.9 if look == "flat" else 8))


def random_values(size: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=size).astype(np.float32)
