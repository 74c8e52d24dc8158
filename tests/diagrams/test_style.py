"""What is drawn where nobody chose."""

from __future__ import annotations

from typing import Any

import pytest

from micam_fast.core.choices import LARGEST_DIAGRAM
from micam_fast.diagrams.style import Style


@pytest.mark.parametrize(
    ("given", "small", "large"),
    [
        ({}, False, True),
        ({"drawing": "poster"}, True, True),
        ({"drawing": "diagram"}, False, False),
        ({"rankdir": "TB"}, False, False),
        ({"scale_tiles": 1.0}, False, False),
    ],
)
def test_what_is_a_poster(given: dict[str, Any], small: bool, large: bool) -> None:
    style = Style(**given)
    assert style.is_poster(LARGEST_DIAGRAM) is small
    assert style.is_poster(LARGEST_DIAGRAM + 1) is large


@pytest.mark.parametrize("given", [{"rankdir": "LR"}, {"scale_tiles": 2.0}])
def test_a_poster_has_no_direction_and_no_size_of_tiles(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="rankdir and scale_tiles belong to the diagram"):
        Style(drawing="poster", **given)


@pytest.mark.parametrize("name", ["scale_tiles", "scale_png"])
def test_scales_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive number"):
        Style(**{name: 0.0})  # type: ignore[arg-type]


def test_a_drawing_is_one_of_three() -> None:
    with pytest.raises(ValueError, match=r"unknown drawing: 'wall' \(must be one of auto, diagram"):
        Style(drawing="wall")  # type: ignore[arg-type]
