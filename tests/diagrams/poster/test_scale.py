"""The scale of a poster's bars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from micam_fast.diagrams.poster.scale import BarScale

VALUES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=20))
def test_places_rise_with_values_and_stay_inside(pairs: list[tuple[float, float]]) -> None:
    ranges = np.sort(np.array(pairs), axis=1)
    scale = BarScale.of(ranges)
    values = np.unique(np.append(ranges, 0.0))
    places = scale.places(values)
    assert (np.diff(places) >= 0).all()
    assert places.min() >= 0
    assert places.max() <= 1
    if np.any(ranges):
        assert places[0] == 0
        assert places[-1] == 1


def test_equal_values_of_both_signs_are_as_far_from_zero() -> None:
    scale = BarScale.of(np.array([[-30.0, 100.0], [-2.0, 5.0]]))
    low, zero, high = scale.places(np.array([-3.0, 0.0, 3.0]))
    assert zero - low == pytest.approx(high - zero)


def test_each_decade_takes_as_much_room_far_from_zero() -> None:
    scale = BarScale.of(np.array([[0.0, 10.0**n] for n in range(5)]))
    steps = np.diff(scale.places(np.array([10.0, 100.0, 1000.0, 10000.0])))
    np.testing.assert_allclose(steps, steps[-1], rtol=0.1)


def test_a_tiny_value_does_not_take_the_room_of_the_others() -> None:
    scale = BarScale.of(np.array([[0.0, 1e-20], [0.0, 5.0], [0.0, 7.0]]))
    assert scale.linear >= 1e-4


def test_layers_that_are_not_finite_take_no_part() -> None:
    with_bad = BarScale.of(np.array([[np.nan, np.nan], [-1.0, 4.0]]))
    assert with_bad == BarScale.of(np.array([[-1.0, 4.0]]))


def test_layers_of_zeros_have_a_scale() -> None:
    assert BarScale.of(np.zeros((3, 2))).places(np.zeros(1)) == [0.0]


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=9), st.integers(3, 7))
def test_ticks_are_powers_of_ten_within_the_scale(
    pairs: list[tuple[float, float]], most: int
) -> None:
    scale = BarScale.of(np.sort(np.array(pairs), axis=1))
    ticks = scale.ticks(most)
    assert 0.0 in ticks
    assert len(ticks) <= most
    assert ticks == sorted(ticks)
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    powers = np.log10(np.abs([tick for tick in ticks if tick]))
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-9)
