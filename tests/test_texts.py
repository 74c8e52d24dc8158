"""Aligned tables, counts, names in one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from micam_fast.texts import aligned, count_of, first_of, printable


def test_texts_begin_and_numbers_end_together() -> None:
    rows = [("layer", "seen", "n"), ("a", "itself", "12"), ("longer", "b", "")]
    assert list(aligned(rows, texts=2)) == [
        "layer   seen     n",
        "a       itself  12",
        "longer  b",
    ]
    assert list(aligned(rows, texts=1, least=4)) == [
        "layer     seen     n",
        "a       itself    12",
        "longer       b",
    ]
    assert list(aligned([("1", "23"), ("456", "7")], texts=0)) == ["  1  23", "456   7"]
    assert list(aligned([("a", "", "b"), ("ab", "", "c")], texts=3)) == ["a   b", "ab  c"]
    assert list(aligned([], texts=2)) == []


def test_names_stay_in_their_line() -> None:
    rows = [("new\nline\x1b[31m", "1"), ("tab\t", "2")]
    assert list(aligned(rows, texts=1)) == [r"new\nline\x1b[31m  1", r"tab\t              2"]


@given(st.text())
def test_printable_texts(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


def test_counts_and_lists() -> None:
    assert [count_of(n, "layer") for n in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
    assert [first_of(["a", "b", "c"], most) for most in (1, 2, 3)] == [
        "a and 2 more", "a, b and 1 more", "a, b, c",
    ]  # fmt: skip
