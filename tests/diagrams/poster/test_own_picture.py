"""Marks of a sample's own picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from micam_fast.diagrams.marks import Mark, Path, Picture
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.own_picture import (
    own_picture_caption,
    own_picture_marks,
    own_picture_width,
)
from micam_fast.samples import OwnPicture
from tests.helpers.drawings import pixels_of, sheet
from tests.helpers.models import Array

BOX = Box(10, 20, 80, 60)


def picture(rows: int, columns: int, kind: str = "picture") -> OwnPicture:
    pixels = np.zeros((min(rows, 150), min(columns, 150), 3), np.uint8)
    assert kind in ("picture", "strip")
    shown = OwnPicture("picture", pixels, None, (0.0, 1.0), (rows, columns))
    return replace(shown, kind="strip") if kind == "strip" else shown


def waveforms(*leads: Array) -> OwnPicture:
    series = np.repeat(np.array(leads, np.float32)[..., np.newaxis], 2, axis=2)
    low, high = float(np.nanmin(series)), float(np.nanmax(series))
    return OwnPicture("waveform", None, series, (low, high), series.shape[:2])


def drawn(marks: list[Mark]) -> Picture:
    (found,) = (mark for mark in marks if isinstance(mark, Picture))
    return found


def lines(marks: list[Mark]) -> list[Path]:
    *found, frame = (mark for mark in marks if isinstance(mark, Path))
    assert frame.closed
    return found


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((50, 50), (60, 60)),
        ((30, 60), (80, 40)),
        ((60, 30), (30, 60)),
        ((10, 400), (80, 20)),
        ((400, 10), (15, 60)),
    ],
)
def test_a_picture_keeps_its_proportions_within_reason(
    size: tuple[int, int], wanted: tuple[float, float]
) -> None:
    found = drawn(own_picture_marks(picture(*size), BOX))
    assert (found.x, found.y) == (10, 20)
    assert (found.width, found.height) == wanted


def test_a_table_fills_the_box_and_a_single_row_is_flat() -> None:
    found = drawn(own_picture_marks(picture(5, 200, "strip"), BOX))
    assert (found.width, found.height) == (80, 60)
    found = drawn(own_picture_marks(picture(1, 200, "strip"), BOX))
    assert (found.width, found.height) == (80, 20)


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (picture(50, 50), 60),
        (picture(30, 60), 120),
        (picture(10, 60), 120),
        (picture(60, 10), 15),
        (picture(50, 50, "strip"), 120),
        (waveforms(np.arange(9)), 120),
    ],
)
def test_a_picture_fills_a_box_of_its_width(shown: OwnPicture, wanted: float) -> None:
    width = own_picture_width(shown, 60)
    assert width == wanted
    frame = own_picture_marks(shown, Box(0, 0, width, 60))[-1]
    assert isinstance(frame, Path)
    assert max(x for x, _ in frame.points) == pytest.approx(width)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"bounds": None}, ""),
        ({}, "values 0 to 1"),
        ({"bounds": (-1, 502.1), "is_log": True}, "values -1 to 502, logarithmic"),
        ({"bounds": (2.5, 2.5)}, "all values 2.5"),
        ({"bounds": (-2.117904, 2.64)}, "values -2.12 to 2.64"),
        ({"bounds": None, "slice": (8, 16)}, "slice 8 of 16 (from 0)"),
        ({"further_inputs": 2}, "values 0 to 1, not shown: 2 further inputs"),
    ],
)
def test_the_caption_tells_what_is_not_seen(changes: dict[str, Any], wanted: str) -> None:
    assert own_picture_caption(replace(picture(4, 4), **changes)) == wanted


def test_the_cells_are_not_smoothed() -> None:
    cells = np.array([[[0] * 3, [255] * 3]], np.uint8)
    shown = OwnPicture("strip", cells, None, (0.0, 1.0), (1, 2))
    page = pixels_of(sheet(*own_picture_marks(shown, Box(10, 10, 80, 80))))
    row = page[20, 12:88, 0]
    assert set(row.tolist()) == {0, 255}
    assert row.tolist() == sorted(row.tolist())


def test_waveforms_stand_above_each_other_on_one_scale() -> None:
    time = np.linspace(0, 6, 60)
    first, second = lines(own_picture_marks(waveforms(np.sin(time), 5 + 2 * np.sin(time)), BOX))
    heights = [np.ptp([y for _, y in line.points]) for line in (first, second)]
    assert heights[1] == pytest.approx(2 * heights[0], rel=1e-3)
    assert heights[1] == pytest.approx(0.9 * 30, rel=1e-3)
    assert max(y for _, y in first.points) < 50
    assert min(y for _, y in second.points) > 50
    # Larger values are higher up.
    assert first.points[0][1] > min(y for _, y in first.points)


@pytest.mark.parametrize("count", [6, 7, 12, 16])
def test_lines_stay_within_the_box_and_apart(count: int) -> None:
    rng = np.random.default_rng(0)
    found = lines(own_picture_marks(waveforms(*rng.standard_normal((count, 200))), BOX))
    assert len(found) == count
    for line in found:
        assert all(10 < x < 90 and 20 <= y <= 80 for x, y in line.points)
        assert [x for x, _ in line.points] == sorted(x for x, _ in line.points)
    assert len({min(x for x, _ in line.points) for line in found}) == (2 if count > 6 else 1)


def test_a_peak_of_one_column_survives_a_narrow_box() -> None:
    lead = np.zeros(200)
    lead[77] = 1.0
    (line,) = lines(own_picture_marks(waveforms(lead), Box(0, 0, 20, 60)))
    heights = [y for _, y in line.points]
    assert max(heights) - min(heights) == pytest.approx(54)
    assert len(line.points) <= 2 * 20


def test_gaps_are_not_bridged() -> None:
    lead = np.arange(20.0)
    lead[5], lead[8:12] = np.nan, np.nan
    found = lines(own_picture_marks(waveforms(lead, np.full(20, np.nan)), BOX))
    assert [len(line.points) for line in found] == [5, 2, 8]


def test_a_constant_is_a_line_in_the_middle() -> None:
    (line,) = lines(own_picture_marks(waveforms(np.full(20, 3.0)), BOX))
    assert {y for _, y in line.points} == {50}
