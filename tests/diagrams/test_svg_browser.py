"""SVG files as Chromium shows them: text as wide as measured, pictures side by side in a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from micam_fast.diagrams.encoders import write_svg
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Drawing, Picture, Text
from tests.helpers.browser import chromium, screen, shown
from tests.helpers.drawings import everything, pixels_of

LINES = [
    "layer4.2.conv3 / AV To LT fi ffl",
    "min: -1.23457e-05",
    "56 x 56",
    "Wa.Yo,P.",
    "spaces   between",
]
SIZES = [8.0, 9.0, 11.0, 13.5, 24.0]
LENGTHS = (
    "[...document.querySelectorAll('svg[class] text, :root > text')]"
    ".map((each) => each.getComputedTextLength())"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def lines() -> Drawing:
    """All texts in all sizes, plain and bold."""
    texts = [
        Text(10, 30 + 30 * row + 150 * block, line, size, bold=bool(block % 2))
        for block, size in enumerate(SIZES)
        for row, line in enumerate(LINES)
    ]
    return Drawing(600, 800, tuple(texts))


def written(drawing: Drawing, folder: FilePath, name: str = "drawing.svg") -> FilePath:
    path = folder / name
    path.write_text(write_svg(drawing))
    return path


def check_widths(found: list[float], drawing: Drawing) -> None:
    texts = [mark for mark in drawing.marks if isinstance(mark, Text)]
    expected = [text_width(mark.text, mark.size) for mark in texts]
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_text_is_as_wide_as_measured(browser: Any, tmp_path: FilePath) -> None:
    with shown(browser, written(lines(), tmp_path), 600, 800) as page:
        check_widths(page.evaluate(LENGTHS), lines())


def test_pictures_in_one_page_leave_each_other_and_the_page_alone(
    browser: Any, tmp_path: FilePath
) -> None:
    """As the outputs of a notebook stand in one document, beside pictures of other programs."""
    small = Drawing(300, 100, (Text(10, 50, "another", 20),))
    ours = [write_svg(each).split("?>", 1)[1] for each in (lines(), small)]
    foreign = '<svg id="foreign"><text font-family="serif">a  b</text><image/></svg>'
    page_path = tmp_path / "page.html"
    page_path.write_text(
        f"<!DOCTYPE html><body style='font-family:Aileron'>{ours[0]}{foreign}{ours[1]}</body>"
    )
    with shown(browser, page_path, 600, 800) as page:
        check_widths(page.evaluate(LENGTHS), Drawing(0, 0, (*lines().marks, *small.marks)))
        styles = page.evaluate(
            "['text', 'image'].map((each) => getComputedStyle(document.querySelector("
            "'#foreign ' + each))).map((each) => [each.fontFamily, each.whiteSpace,"
            " each.imageRendering])"
        )
        assert styles == [["serif", "nowrap", "auto"], ["Aileron", "normal", "auto"]]
        families = page.evaluate("[...document.fonts].map((each) => each.family)")
        assert len(set(families)) == 1
        assert families[0].startswith("micam-")


def test_svg_and_png_agree(browser: Any, tmp_path: FilePath) -> None:
    """But for smooth edges, and hints of the font that move its stems by parts of a pixel."""
    # The font of PNG has no letters with accents, and a browser finds another that does.
    marks = [
        replace(mark, text=mark.text.replace("Á", "A").replace("é", "e"))
        if isinstance(mark, Text)
        else mark
        for mark in everything().marks
    ]
    drawing = replace(everything(), marks=tuple(marks))
    with shown(browser, written(drawing, tmp_path), 300, 200) as page:
        svg = screen(page).astype(int)
    png = pixels_of(drawing)
    assert np.abs(svg - png).mean() < 4
    blurred = [
        np.asarray(Image.fromarray(each.astype(np.uint8)).filter(ImageFilter.BoxBlur(2)), int)
        for each in (svg, png)
    ]
    assert np.abs(blurred[0] - blurred[1]).max() < 60


def test_a_picture_shown_as_an_image_has_its_font(browser: Any, tmp_path: FilePath) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    drawing = Drawing(600, 800, (*lines().marks, Picture(400, 20, 160, 160, pixels)))
    path = written(drawing, tmp_path)
    page_path = tmp_path / "page.html"
    page_path.write_text(
        f"<!DOCTYPE html><body style='margin:0'><img src='{path.name}' style='display:block'>"
    )
    with shown(browser, path, 600, 800) as page:
        alone = screen(page)
    with shown(browser, page_path, 600, 800) as page:
        np.testing.assert_array_equal(screen(page), alone)
    np.testing.assert_array_equal(
        alone[20:180, 400:560], pixels.repeat(40, axis=0).repeat(40, axis=1)
    )
