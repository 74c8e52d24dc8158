"""The room of a node: the published one, and the one of maps seen from above."""

from __future__ import annotations

import pytest

from micam_fast.core.choices import LOOKS, Look
from micam_fast.diagrams.tile_rooms import PUBLISHED, tile_room


@pytest.mark.parametrize("size", [(28, 28), (12, 5000), None])
def test_the_isometric_look_has_the_published_room(size: tuple[int, int] | None) -> None:
    assert tile_room("isometric", size) == PUBLISHED
    assert PUBLISHED.size == (635, 205)


@pytest.mark.parametrize(
    ("size", "width"),
    [((28, 28), 330), ((224, 400), 330), ((500, 20), 330), (None, 330), ((20, 40), 635)],
)
def test_from_above_a_node_is_as_wide_as_its_input_asks(
    size: tuple[int, int] | None, width: int
) -> None:
    assert tile_room("flat", size).size == (width, 205)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("size", [(28, 28), (20, 40)])
def test_picture_and_label_share_the_width(look: Look, size: tuple[int, int]) -> None:
    room = tile_room(look, size)
    assert room.most[0] <= room.picture_width <= room.label_x
    # The longest usual line, "(2048, 1024, 1, 1) + (2048,)".
    assert room.size[0] - room.label_x >= 155 + 6
