"""Numbers in labels: three digits, both ends of a range in one unit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from micam_fast.diagrams.numbers import show_range, show_value


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((-0.269661, 0.231507), ("-0.270", "0.232")),
        ((-34.2497, -0.709041), ("-34.2", "-0.709")),
        ((0.000465063, 0.44287), ("0.000465", "0.443")),
        ((0.0, 1.0), ("0", "1.00")),
        ((-704.239, 12345.6), ("-704", "12300")),
        ((0.0, 99999.0), ("0", "1.00e5")),
        # One power of ten for both.
        ((-1e6, 45000.0), ("-1.00e6", "0.0450e6")),
        ((-1.25e-7, 3.1e-9), ("-1.25e-7", "0.0310e-7")),
        ((0.0, 9.9996e-4), ("0", "0.00100")),
        # Zeros would fill the line.
        ((1.29193e-10, 0.999839), ("1.29e-10", "1.00")),
        ((-1234567.0, 1.23e-9), ("-1.23e6", "1.23e-9")),
        ((-0.0, 0.0), ("0", "0")),
        ((5e-324, 1.7e308), ("4.94e-324", "1.70e308")),
        ((-math.inf, math.nan), ("-inf", "nan")),
    ],
)
def test_both_ends_have_three_digits_and_one_unit(
    ends: tuple[float, float], shown: tuple[str, str]
) -> None:
    assert show_range(*ends) == shown


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((-1001.5, -1000.0), ("-1002", "-1000")),
        ((300.0, 300.2), ("300.0", "300.2")),
        ((7.0, 7.0000001), ("7.00000", "7.00000")),
    ],
)
def test_different_ends_look_different_up_to_six_digits(
    ends: tuple[float, float], shown: tuple[str, str]
) -> None:
    assert show_range(*ends) == shown


@given(st.floats(-1e300, 1e300), st.floats(-1e4, 1e4))
def test_what_is_shown_is_the_number_to_three_digits(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for value, text in zip((low, high), show_range(low, high), strict=True):
        assert float(text) == pytest.approx(value, rel=5.1e-3, abs=1e-320)
        assert (text == "0") == (value == 0)
        assert len(text) <= 11


def test_a_single_value() -> None:
    assert [show_value(value) for value in (0.25, -3, 2e5)] == ["0.250", "-3.00", "2.00e5"]
