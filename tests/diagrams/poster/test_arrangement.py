"""How a poster's cards stand in rows."""

from __future__ import annotations

import itertools

from hypothesis import given, settings, strategies as st

from micam_fast.diagrams.poster.arrangement import (
    GAP,
    ROW_GAP,
    Arrangement,
    CardNeed,
    arrange_cards,
)
from micam_fast.diagrams.poster.panes import Panes

SCREEN = 1404.0, 770.0
RESNET_50 = [3] * 4 + [4] * 4 + [5] * 6 + [6] * 3 + [7]


def needs_of(stages: list[int], thumbs: int = 10, side: int = 0) -> list[CardNeed]:
    return [CardNeed(thumbs, side, stage) for stage in stages]


def arranged(
    needs: list[CardNeed], size: tuple[float, float] = SCREEN, aspect: float = 1.0
) -> Arrangement:
    found = arrange_cards(needs, *size, Panes(aspect))
    assert found is not None
    return found


@given(
    st.lists(st.tuples(st.integers(1, 24), st.integers(0, 3), st.integers(0, 4)), max_size=60),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
)
@settings(deadline=None, max_examples=20)
def test_all_cards_stand_on_the_page(cards: list[tuple[int, int, int]], aspect: float) -> None:
    cards.sort(key=lambda each: each[2])
    needs = [CardNeed(*each) for each in cards] or [CardNeed(1, 0, 0)]
    found = arrange_cards(needs, *SCREEN, Panes(aspect))
    if found is None:
        return
    assert [row.first for row in found.rows] == [0, *(row.end for row in found.rows)][:-1]
    assert found.rows[-1].end == len(needs)
    assert all(row.end - row.first <= found.columns for row in found.rows)
    height = sum(found.row_height(row) for row in found.rows)
    assert height + ROW_GAP * (len(found.rows) - 1) <= SCREEN[1] + 1e-6
    assert found.columns * (found.card_width + GAP) - GAP <= SCREEN[0] + 1e-6
    assert found.tile_width <= found.card_width + 1e-9
    for row in found.rows:
        for need in needs[row.first : row.end]:
            thumbs = need.thumbs if found.beside else need.thumbs + need.side
            per_line = found.per_line(thumbs)
            assert -(-thumbs // per_line) <= row.lines
            assert per_line * (found.thumb + 1) - 1 <= found.card_width + 1e-9


def test_tiles_have_the_aspect_of_the_input() -> None:
    for aspect in (0.5, 1.0, 4.0):
        found = arranged(needs_of(RESNET_50), aspect=aspect)
        assert abs(found.tile_width / found.tile_height - aspect) < 1e-9


def test_stages_of_a_resnet_are_not_split() -> None:
    found = arranged(needs_of(RESNET_50))
    for before, after in itertools.pairwise(found.rows):
        assert RESNET_50[before.end - 1] != RESNET_50[after.first]


def test_one_block_more_does_not_turn_the_page_upside_down() -> None:
    columns = []
    for more in range(6):
        stages = sorted(RESNET_50 + [5] * more)
        columns.append(arranged(needs_of(stages)).columns)
    assert max(abs(b - a) for a, b in itertools.pairwise(columns)) <= 2


def test_what_cannot_fit_is_told() -> None:
    assert arrange_cards(needs_of([0] * 4000), *SCREEN, Panes(1.0)) is None


def test_a_run_takes_lines_for_its_first_and_its_last_block() -> None:
    single, run = CardNeed(8, 0, 0), CardNeed(8, 0, 0, tiles=2)
    lines = [arranged([each] * 12).rows[0].lines for each in (single, run)]
    assert lines[1] >= 2 * lines[0]


def test_side_branches_stand_beside_the_tile_where_there_is_room() -> None:
    assert arranged(needs_of(RESNET_50, side=2)).beside
