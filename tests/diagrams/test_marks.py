"""Marks, and sheets of them, moved, enlarged and filled."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from micam_fast.diagrams.marks import (
    DPI,
    Drawing,
    Hole,
    Mark,
    Path,
    Picture,
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
