"""Main tiles of a card in their room."""

from __future__ import annotations

import itertools

import pytest

from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.arrangement import CardNeed, arrange_cards
from micam_fast.diagrams.poster.panes import GAP, Panes

CAPTIONS = ("A", "B", "B - A")
ROOMS = [(120.0, 80.0), (400.0, 90.0), (70.0, 300.0), (300.0, 300.0)]


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.9, 2.0, 4.0])
@pytest.mark.parametrize("size", ROOMS)
def test_a_single_tile_fills_its_room(aspect: float, size: tuple[float, float]) -> None:
    width, height = Panes(aspect).room_in(*size)
    assert width == min(size[0], aspect * size[1])
    assert list(Panes(aspect).split(Box(3, 5, width, height))) == [Box(3, 5, width, height)]


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.9, 2.0, 4.0])
@pytest.mark.parametrize("size", ROOMS)
def test_three_tiles_stand_side_by_side_or_stacked_where_they_are_wide(
    aspect: float, size: tuple[float, float]
) -> None:
    panes = Panes(aspect, CAPTIONS)
    width, height = panes.room_in(*size)
    assert width <= size[0] + 1e-9
    assert height <= size[1] + 1e-9
    assert width == pytest.approx(size[0]) or height == pytest.approx(size[1])
    boxes = list(panes.split(Box(3, 5, width, height)))
    assert len(boxes) == 3
    for box in boxes:
        assert box.width / box.height == pytest.approx(aspect)
        assert box.x >= 3
        assert box.x + box.width <= 3 + width + 1e-9
        assert box.y + box.height <= 5 + height + 1e-9
    for one, other in itertools.pairwise(boxes):
        if aspect >= 2:
            assert one.x == other.x > 3 + 20
            assert one.y + one.height + GAP == pytest.approx(other.y)
        else:
            assert one.y == other.y > 5 + 8
            assert one.x + one.width + GAP == pytest.approx(other.x)


def test_cards_of_three_tiles_have_fewer_columns_and_legible_tiles() -> None:
    needs = [CardNeed(10, 0, stage) for stage in range(4) for _ in range(4)]
    found = [arrange_cards(needs, 1404, 770, each) for each in (Panes(1), Panes(1, CAPTIONS))]
    assert found[0] is not None
    assert found[1] is not None
    assert found[1].columns < found[0].columns
    assert min(found[1].panes.tile_in(found[1].tile_width)) >= 18
    crowded = needs * 40
    assert arrange_cards(crowded, 1404, 770, Panes(1, CAPTIONS)) is None


def test_few_cards_of_three_tiles_stand_in_two_columns() -> None:
    needs = [CardNeed(3, 0, stage) for stage in range(4)]
    found = [arrange_cards(needs, 1404, 770, each) for each in (Panes(1), Panes(1, CAPTIONS))]
    assert [None if each is None else each.columns for each in found] == [2, 2]
