"""How a diagram looks: what is settled by the size of the input."""

from __future__ import annotations

import pytest

from micam_fast.core.choices import LOOKS
from micam_fast.diagrams.style import Style


@pytest.mark.parametrize(
    ("size", "look"),
    [
        ((28, 28), "isometric"),
        # The published example's input.
        ((75, 75), "isometric"),
        ((75, 10), "isometric"),
        ((76, 75), "flat"),
        ((224, 224), "flat"),
        ((12, 5000), "flat"),
        # A sequence and a list of numbers.
        ((1, 50), "flat"),
        (None, "flat"),
    ],
)
def test_the_published_look_is_for_inputs_up_to_the_published_example_s(
    size: tuple[int, int] | None, look: str
) -> None:
    assert Style().look == "auto"
    assert Style().look_for(size) == look
    for asked in LOOKS:
        assert Style(asked).look_for(size) == asked


def test_a_poster_is_flat_unless_somebody_asks_for_planes() -> None:
    assert Style().look_for((28, 28), poster=True) == "flat"
    assert Style("isometric").look_for((224, 224), poster=True) == "isometric"
