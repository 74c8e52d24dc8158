"""Names and sizes of pages."""

from __future__ import annotations

import pytest

from micam_fast.core.choices import PAGES, parse_page


@pytest.mark.parametrize(
    ("text", "size"), [("a4", (794, 1123)), ("screen", (1440, 900)), ("1000x800", (1000, 800))]
)
def test_pages(text: str, size: tuple[int, int]) -> None:
    assert parse_page(text) == size


@pytest.mark.parametrize(
    "text", ["A3", "", "1000", "1000x", "-1000x800", "1e3x800", "1x2x3", "²00x900"]
)
def test_what_is_no_page(text: str) -> None:
    with pytest.raises(ValueError, match=f"must be one of {', '.join(PAGES)} or WxH"):
        parse_page(text)


@pytest.mark.parametrize("text", ["400x900", "1440x90", "1440x99999999999"])
def test_pages_of_strange_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="sides beyond 500 to 14400"):
        parse_page(text)
