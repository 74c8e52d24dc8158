"""Marks, and sheets of them, moved, enlarged and filled."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from micam_fast.diagrams.marks import (
    DPI,
    Boxes,
    Drawing,
    Hole,
    Mark,
    Path,
    Picture,
    Plane,
    Template,
    Text,
    enlarge,
    move,
    without_holes,
)

PIXELS = np.zeros((1, 1, 3), np.uint8)
PATH = Path(((0.0, 1.0), (2.0, 3.0)), width=1.5)
MOVED_AND_ENLARGED: list[tuple[Mark | Hole, Mark | Hole, Mark | Hole]] = [
    (
        PATH,
        Path(((10.0, 21.0), (12.0, 23.0)), width=1.5),
        Path(((0.0, 2.0), (4.0, 6.0)), width=3.0),
    ),
    (Text(1, 2, "x", 13), Text(11, 22, "x", 13), Text(2, 4, "x", 26)),
    (
        Picture(1, 2, 3, 4, PIXELS),
        Picture(11, 22, 3, 4, PIXELS),
        Picture(2, 4, 6, 8, PIXELS),
    ),
    (
        Boxes(np.array([(1.0, 2, 3, 4), (5, 6, 7, 8)])),
        Boxes(np.array([(11.0, 22, 3, 4), (15, 26, 7, 8)])),
        Boxes(np.array([(2.0, 4, 6, 8), (10, 12, 14, 16)])),
    ),
    (
        Plane((1, 2), (3, 4), (-5, 6), PIXELS, "x"),
        Plane((11, 22), (3, 4), (-5, 6), PIXELS, "x"),
        Plane((2, 4), (6, 8), (-10, 12), PIXELS, "x"),
    ),
    (Hole(1, 2, 3, 4), Hole(11, 22, 3, 4), Hole(2, 4, 6, 8)),
]


def same(found: Mark | Hole, expected: Mark | Hole) -> bool:
    pairs = zip(astuple(found), astuple(expected), strict=True)
    return type(found) is type(expected) and all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.parametrize(("mark", "moved", "enlarged"), MOVED_AND_ENLARGED)
def test_marks_and_holes_are_moved_and_enlarged(
    mark: Mark | Hole, moved: Mark | Hole, enlarged: Mark | Hole
) -> None:
    assert same(move(mark, 10, 20), moved)
    assert same(enlarge(mark, 2.0), enlarged)
    assert enlarge(mark, 1.0) is mark


@pytest.mark.parametrize(
    "boxes",
    [
        np.zeros((3, 5)),
        np.zeros(4),
        np.zeros((2, 4), np.float32),
    ],
)
def test_boxes_are_four_numbers_each(boxes: Any) -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 4\) float64"):
        Boxes(boxes)


@pytest.mark.parametrize(
    "box", [(0, 0, -1, 1), (0, 0, 1, -1), (0, np.nan, 1, 1), (0, 0, np.inf, 1)]
)
def test_boxes_are_finite_and_not_of_negative_size(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="finite and not of negative size"):
        Boxes(np.array([(0, 0, 1, 1), box], np.float64))


def test_empty_marks_leave_their_holes_empty() -> None:
    template = Template(100, 50, (Hole(0, 0, 9, 9), Hole(20, 0, 9, 9), Hole(40, 0, 9, 9)))
    some = Boxes(np.ones((1, 4)))
    filled = template.fill([Text(0, 9, "", 9), Boxes(np.empty((0, 4))), some])
    assert filled.marks == (some,)


def test_a_sheet_has_150_pixels_to_the_inch_unless_told() -> None:
    assert Drawing(1, 1, ()).dpi == Template(1, 1, ()).dpi == DPI == 150


def test_an_enlarged_template_has_the_same_inches() -> None:
    template = Template(100, 50, (Hole(1, 2, 3, 4), PATH), "title", 96.0)
    found = template.enlarged(1.5)
    assert (found.width, found.height, found.dpi, found.title) == (150, 75, 144, "title")
    hole, path = found.marks
    assert same(hole, Hole(1.5, 3, 4.5, 6))
    assert same(path, enlarge(PATH, 1.5))


def test_a_filled_template_keeps_its_pixels_to_the_inch() -> None:
    template = Template(100, 50, (Hole(1, 2, 3, 4), PATH), "title", 96.0)
    filled = template.fill([Text(1, 6, "a", 5)])
    assert (filled.dpi, filled.title, len(filled.marks)) == (96.0, "title", 2)
    again = without_holes(filled)
    assert (again.dpi, again.title, again.marks) == (96.0, "title", filled.marks)
