"""Numbers as pictures show them: three digits, and one way of writing for both ends of a range."""

from __future__ import annotations

import math

_DIGITS, _MOST_DIGITS = 3, 6
# The stronger end of a range is written plainly between these, the weaker one down to this part.
_LEAST_PLAIN, _MOST_PLAIN = -3, 4
_LEAST_PART = 4


def show_range(low: float, high: float) -> tuple[str, str]:
    """Both ends of a range to three digits, in one unit: ``-34.2`` and ``-0.709``.

    Very large and very small ones share a power of ten (``-1.25e-7`` and ``0.0310e-7``). An end
    that would need too many zeros beside the other has its own power of ten.
    Different ends look different: they get up to six digits.
    """
    for digits in range(_DIGITS, _MOST_DIGITS + 1):
        shown = _show(low, high, digits)
        if low == high or shown[0] != shown[1]:
            break
    return shown


def show_value(value: float) -> str:
    """A single number to three digits, as `show_range` writes it."""
    return show_range(value, value)[0]


def _show(low: float, high: float, digits: int) -> tuple[str, str]:
    powers = [_power(value, digits) for value in (low, high) if value and math.isfinite(value)]
    unit = max(powers, default=0)
    if _LEAST_PLAIN <= unit <= _MOST_PLAIN:
        unit = 0
    if powers and min(powers) < unit - _LEAST_PART:
        # Zeros would fill the line.
        return _alone(low, digits), _alone(high, digits)
    return _in_unit(low, unit, digits), _in_unit(high, unit, digits)


def _power(value: float, digits: int) -> int:
    """The power of ten of a number's first digit, once it is rounded."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _in_unit(value: float, unit: int, digits: int) -> str:
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    # The text of the rounded digits: dividing by a power of ten would round twice.
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    sign = "-" if value < 0 else ""
    return f"{sign}{_moved(mantissa.lstrip('-').replace('.', ''), int(power) - unit)}" + (
        f"e{unit}" if unit else ""
    )


def _moved(digits: str, power: int) -> str:
    """Digits whose first one stands for this power of ten."""
    if power < 0:
        return f"0.{'0' * (-power - 1)}{digits}"
    whole, rest = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{whole}.{rest}" if rest else whole


def _alone(value: float, digits: int) -> str:
    """A number beside one of quite another size."""
    if value and math.isfinite(value) and not _LEAST_PLAIN <= _power(value, digits) <= _MOST_PLAIN:
        return _with_power(value, digits)
    return _in_unit(value, 0, digits)


def _with_power(value: float, digits: int) -> str:
    if value == 0 or not math.isfinite(value):
        return _in_unit(value, 0, digits)
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(power)}"
