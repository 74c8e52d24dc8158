"""Sizes of the input."""

from __future__ import annotations

import pytest

from micam_fast.core.activation_axes import spatial_input_size, view_activation
from micam_fast.core.layers import Axes


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([((1, 3, 8, 6), Axes(0, 1))], (8, 6)),
        ([((1, 8, 6, 3), Axes(0, 3))], (8, 6)),
        ([((1, 3, 5, 8, 6), Axes(0, 1))], (8, 6)),
        ([((1, 9, 4), Axes(0, 2))], (1, 9)),
        ([((1, 7), Axes(0, None))], (1, 7)),
        ([((1, 7), Axes(0, None)), ((1, 3, 8, 6), Axes(0, 1))], (8, 6)),
        ([((1, 7), Axes(0, None)), ((1, 9, 4), Axes(0, 2))], (1, 7)),
    ],
)
def test_input_sizes(shapes: list[tuple[tuple[int, ...], Axes]], expected: tuple[int, int]) -> None:
    views = [view_activation(shape, axes, "channels", 0) for shape, axes in shapes]
    assert spatial_input_size(views) == expected
