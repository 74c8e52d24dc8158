"""Maps on a parallelogram: the isometric look of SVG and PDF."""

from __future__ import annotations

import numpy as np
import pytest

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Plane, Text, enlarge, move
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.planes import draw_plane, place_on, plane_outline, tile_plane
from micam_fast.diagrams.row_names import plane_name_marks
from micam_fast.diagrams.tiles import CORNERS, hatch
from tests.helpers.pictures import layer_map

PIXELS = np.zeros((1, 1, 4), np.uint8)
UNIT = ((0, 0), (1, 0), (0, 1), (1, 1))


def test_the_plane_is_the_affine_one_next_to_the_corners() -> None:
    plane = tile_plane(PIXELS, "conv")
    # Least squares: the columns of the design are 1, u, v of each corner.
    design = np.array([(1, *corner) for corner in UNIT], float)
    wanted, *_ = np.linalg.lstsq(design, np.array(CORNERS, float), rcond=None)
    np.testing.assert_allclose([plane.corner, plane.across, plane.down], wanted)
    for corner, (x, y) in zip(UNIT, CORNERS, strict=True):
        assert place_on(plane, *corner) == pytest.approx((x, y), abs=7)
    assert plane.title == "conv"


def test_the_outline_goes_round_it() -> None:
    plane = move(enlarge(tile_plane(PIXELS), 0.5), 10, 20)
    outline = plane_outline(plane)
    assert outline.closed
    assert not outline.filled
    around = (UNIT[0], UNIT[1], UNIT[3], UNIT[2])
    assert outline.points == tuple(place_on(plane, *corner) for corner in around)


def test_a_map_keeps_its_pixels() -> None:
    found = layer_map(np.random.default_rng(0).standard_normal((5, 4)))
    (drawn,) = draw_plane(found, tile_plane(PIXELS, "conv"), 1.0)
    assert isinstance(drawn, Plane)
    np.testing.assert_array_equal(drawn.pixels, found.rgba)
    assert drawn.title == "conv"


def test_a_grey_plane_shows_its_only_value_in_its_middle() -> None:
    plane = enlarge(tile_plane(PIXELS), 2.0)
    drawn, value = draw_plane(layer_map(np.full((4, 4), 5.0)), plane, 2.0)
    assert isinstance(drawn, Plane)
    assert np.unique(drawn.pixels).tolist() == [200]
    assert isinstance(value, Text)
    assert (value.text, value.size) == ("5.00", 30)
    x, y = place_on(plane, 0.5, 0.5)
    assert value.x + text_width(value.text, value.size) / 2 == pytest.approx(x)
    assert y < value.y < y + value.size / 2
    hardly = layer_map(np.linspace(5, 5.004, 16).reshape(4, 4))
    assert len(draw_plane(hardly, plane, 2.0)) == 1


def test_what_is_not_finite_is_hatched() -> None:
    bad = layer_map([[float("nan"), 1.0]], bad_values=1)
    (drawn,) = draw_plane(bad, tile_plane(PIXELS), 1.0)
    assert isinstance(drawn, Plane)
    np.testing.assert_array_equal(drawn.pixels, hatch(300, 150, 1.0))


@pytest.mark.parametrize("rows", [2, 12, 20, 32])
def test_names_stand_at_the_ends_of_the_rows(rows: int) -> None:
    names = [f"lead {n}" for n in range(rows)]
    box = Box(30, 400, 635, 205)
    plane = move(tile_plane(PIXELS), box.x, box.y)
    marks = list(plane_name_marks(names, plane, box))
    if rows == 32:
        # Smaller than can be read.
        assert not marks
        return
    assert [mark.text for mark in marks] == names
    for row, mark in enumerate(marks):
        x, y = place_on(plane, 1.0, (row + 0.5) / rows)
        assert mark.x == pytest.approx(x + 4)
        assert mark.y - 0.36 * mark.size == pytest.approx(y)
    assert not list(plane_name_marks([], plane, box))
