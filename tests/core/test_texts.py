"""Aligned tables, counts, names in one line."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from micam_fast.core.texts import (
    aligned,
    count_of,
    error_line,
    first_of,
    free_name,
    one_line,
    printable,
    shortened,
)


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
    assert printable(shown) == shown
    assert text.isprintable() or shown != text


def test_counts_and_lists() -> None:
    assert [count_of(n, "layer") for n in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
    assert [first_of(["a", "b", "c"], most) for most in (1, 2, 3)] == [
        "a and 2 more", "a, b and 1 more", "a, b, c",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv/日 é:0", "conv/日 é:0"),
        ("a\x1b[31m\n\x9b", r"a\x1b[31m\n\x9b"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u200b\u2060\ufeff\u2028\xa0", r"\u200b\u2060\ufeff\u2028\xa0"),
        ("half \ud800", r"half \ud800"),
        # Accents, as many as languages put on a letter.
        ("Vie\u0302\u0323t", "Vie\u0302\u0323t"),
        ("e" + 6 * "\u0301" + "x", "e" + 4 * "\u0301" + 2 * r"\u0301" + "x"),
    ],
)
def test_what_cannot_be_seen_is_told_by_its_code(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_texts_lose_their_middle() -> None:
    assert [shortened("abcdefghij", most) for most in (10, 9, 4, 1)] == [
        "abcdefghij", "abc...hij", "a...", "...",
    ]  # fmt: skip
    assert shortened("abcdefghij", 5, "…") == "ab…ij"
    assert len(one_line("\x00" * 100_000, 200)) == 200
    assert len(error_line("x" * 100_000)) < 11_000
    rows = [("x" * 500, "y" * 500), ("a", "b")]
    first, second = aligned(rows, texts=2)
    assert (len(first), second.split()) == (120 + 2 + 500, ["a", "b"])


def test_a_free_name_has_the_first_number_that_is_free() -> None:
    assert free_name("a", ()) == "a"
    assert free_name("a", {"a", "a#2"}) == "a#3"
