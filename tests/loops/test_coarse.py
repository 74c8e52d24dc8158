"""Maps on few cells, by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from micam_fast._loops.coarse import coarsen

pytestmark = pytest.mark.no_jit


def expected(values: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float64]:
    height, width = values.shape
    means = np.empty((rows, columns))
    for row in range(rows):
        top, bottom = row * height // rows, (row + 1) * height // rows
        for column in range(columns):
            left, right = column * width // columns, (column + 1) * width // columns
            part = values[top : max(bottom, top + 1), left : max(right, left + 1)]
            means[row, column] = part.astype(np.float64).mean()
    means -= means.mean()
    norm = np.linalg.norm(means)
    return np.asarray(means / norm if norm > 1e-9 else np.zeros_like(means))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(16, 16), (1, 16), (3, 5)]))
def test_means_without_their_mean_of_norm_one(
    height: int, width: int, cells: tuple[int, int]
) -> None:
    rng = np.random.default_rng(height * 41 + width)
    values = rng.normal(size=(height, width)).astype(np.float32)
    values.flags.writeable = False
    out = np.full(cells, np.nan)
    coarsen(values, out)
    np.testing.assert_allclose(out, expected(values, *cells), atol=1e-9)


def test_equal_values_are_zeros() -> None:
    out = np.full((16, 16), np.nan)
    coarsen(np.full((20, 30), 0.5, np.float32), out)
    assert not out.any()
