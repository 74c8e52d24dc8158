"""Sizes of flat maps and of the input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from micam_fast.core.activation_axes import flat_size, spatial_input_size, view_activation
from micam_fast.core.layers import Axes
from tests.helpers import reference


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (20736, (75, 75), (277, 75)),
        (1024, (150, 75), (16, 64)),
        (10, (28, 28), (1, 10)),
        (27, (28, 28), (1, 27)),
        (28, (28, 28), (6, 5)),
        (36, (10, 12), (5, 8)),
        (1, (1, 40), (1, 1)),
        (100, (1, 40), (3, 34)),
    ],
)
def test_flat_sizes(count: int, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert flat_size(count, size) == expected


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 300))
def test_flat_sizes_equal_the_oracle(count: int, height: int, width: int) -> None:
    assert (
        flat_size(count, (height, width))
        == reference.flat_map(np.zeros(count), height, width).shape
    )


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
