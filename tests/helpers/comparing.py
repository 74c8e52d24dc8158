"""Comparisons of maps: with those expected, with the oracle's colours, of two runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import micam_fast
from tests.helpers import reference
from tests.helpers.models import Array


def assert_close(found: Array, expected: Array, tolerance: float = 1e-4) -> None:
    """Within the tolerance of the layer's largest value, as the issue judges."""
    assert found.shape == expected.shape
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale + 1e-30)


def assert_colours(explanation: micam_fast.Explanation) -> None:
    """RGBA, ranges and the global range follow from the maps, by the oracle."""
    low, high = reference.global_range(explanation.cams.values())
    assert explanation.global_range == pytest.approx((low, high), rel=1e-12, abs=0)
    for name, cam in explanation.cams.items():
        assert explanation.ranges[name] == pytest.approx(
            reference.published_range(cam), rel=1e-12, abs=0
        )
        expected = reference.rgba_uint8(cam, low, high).astype(int)
        assert np.abs(explanation.rgba[name].astype(int) - expected).max(initial=0) <= 1


def assert_same(first: micam_fast.Explanation, second: micam_fast.Explanation) -> None:
    """The same bits."""
    assert list(first.cams) == list(second.cams)
    assert first.global_range == second.global_range
    for name in first.cams:
        np.testing.assert_array_equal(first.cams[name], second.cams[name])
        np.testing.assert_array_equal(first.rgba[name], second.rgba[name])


def assert_singles(model: micam_fast.Model, samples: Any, batch_size: int) -> None:
    found = model.explain_many(samples, batch_size=batch_size)
    for sample, each in zip(samples, found, strict=True):
        single = model.explain(sample)
        assert each.output is not None
        assert single.output is not None
        np.testing.assert_allclose(each.output, single.output, rtol=1e-4, atol=1e-5)
        for name, cam in single.cams.items():
            assert_close(each.cams[name], cam, 1e-5)
