"""Sizes of flat maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from micam_fast.maps.flat_maps import flat_size
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
