"""Drawings as PNG, SVG and PDF; and the font."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pypdf
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from micam_fast.diagrams.encoders import SvgPage, encode_picture, write_pdf, write_png, write_svg
from micam_fast.diagrams.encoders.fonts import drawable, font, text_width
from micam_fast.diagrams.encoders.png import encode_png
from micam_fast.diagrams.marks import (
    BLACK,
    Boxes,
    Drawing,
    Filling,
    Hole,
    Path,
    Picture,
    Plane,
    Point,
    Template,
    Text,
)
from tests.helpers.drawings import HOSTILE, SVG, everything, pixels_of, sheet

PIXELS = np.array(
    [[[255, 0, 0, 255], [0, 255, 0, 128]], [[0, 0, 255, 0], [9, 8, 7, 255]]], np.uint8
)


def png_bytes(drawing: Drawing, level: int = 1) -> bytes:
    buffer = io.BytesIO()
    write_png(drawing, buffer, level)
    return buffer.getvalue()


def bands_of(rows: int, patch: pytest.MonkeyPatch) -> None:
    """Draw so many rows at a time."""
    patch.setattr("micam_fast.diagrams.encoders.page.BAND_BYTES", 0)
    patch.setattr("micam_fast.diagrams.encoders.page.BAND_ROWS", rows)


def pdf_bytes(drawing: Drawing) -> bytes:
    buffer = io.BytesIO()
    write_pdf(drawing, buffer)
    return buffer.getvalue()


def pdf_page(drawing: Drawing) -> pypdf.PageObject:
    (page,) = pypdf.PdfReader(io.BytesIO(pdf_bytes(drawing))).pages
    return page


# --- PNG ------------------------------------------------------------------------------------


def test_png_is_a_png_at_150_pixels_an_inch() -> None:
    with Image.open(io.BytesIO(png_bytes(everything()))) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (300, 200))
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.02)


@pytest.mark.parametrize("dpi", [96.0, 144.0])
def test_png_tells_the_sheet_s_pixels_to_the_inch(dpi: float) -> None:
    with Image.open(io.BytesIO(png_bytes(replace(sheet(), dpi=dpi)))) as image:
        assert (image.size, image.info["dpi"]) == ((300, 200), pytest.approx((dpi, dpi), abs=0.02))


@pytest.mark.parametrize(("level", "size"), [(1, 600_000), (6, 60_000)])
def test_an_empty_sheet_is_white_and_small(level: int, size: int) -> None:
    data = png_bytes(sheet(width=3000, height=5000), level)
    assert len(data) < size
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image) == 255).all()


@pytest.mark.parametrize("rows", [1, 7, 64, 199])
def test_bands_make_no_difference(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixels_of(everything())
    bands_of(rows, monkeypatch)
    np.testing.assert_array_equal(pixels_of(everything()), whole)


@pytest.mark.parametrize("rows", [3, 100])
@given(
    st.lists(
        st.tuples(st.floats(-20, 120), st.floats(-20, 120)), min_size=4, max_size=4, unique=True
    ),
    st.booleans(),
    st.sampled_from(["line", "curve", "area"]),
)
@settings(deadline=None, max_examples=40)
def test_bands_make_no_difference_to_lines(
    rows: int, points: list[tuple[float, float]], closed: bool, kind: str
) -> None:
    path = Path(tuple(points), closed=closed, curved=kind == "curve", filled=kind == "area")
    drawing = sheet(path, width=100, height=100)
    whole = pixels_of(drawing)
    with pytest.MonkeyPatch.context() as patch:
        bands_of(rows, patch)
        np.testing.assert_array_equal(pixels_of(drawing), whole)


@pytest.mark.parametrize("kind", ["line", "curve", "area"])
@pytest.mark.parametrize("closed", [False, True])
def test_pieces_of_lines_fit_together(
    kind: str, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a pixel here and there, as Pillow rounds by the distance to a mask's corner."""
    points = np.random.default_rng(4).uniform(-30, 330, (40, 7, 2))
    curved, filled = kind == "curve", kind == "area"
    for each in points:
        path = Path(tuple(map(tuple, each)), closed=closed, curved=curved, filled=filled)
        whole = pixels_of(sheet(path))
        with monkeypatch.context() as patch:
            patch.setattr("micam_fast.diagrams.encoders.lines.PIECE_ROWS", 64)
            pieces = pixels_of(sheet(path))
        difference = np.abs(whole.astype(int) - pieces).max(axis=2)
        assert difference.max() <= 40
        assert (difference > 0).sum() <= 5


def test_pictures_are_laid_over_white_by_their_alpha() -> None:
    found = pixels_of(sheet(Picture(1, 2, 2, 2, PIXELS), width=5, height=5))
    expected = np.full((5, 5, 3), 255, np.uint8)
    expected[2:4, 1:3] = [[(255, 0, 0), (127, 255, 127)], [(255, 255, 255), (9, 8, 7)]]
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_pictures_are_laid_over_what_lies_below() -> None:
    below = Picture(0, 0, 2, 2, np.zeros((1, 1, 3), np.uint8))
    found = pixels_of(sheet(below, Picture(0, 0, 2, 2, PIXELS), width=2, height=2))
    expected = [[(255, 0, 0), (0, 128, 0)], [(0, 0, 0), (9, 8, 7)]]
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_pictures_are_enlarged_without_smoothing() -> None:
    opaque = PIXELS[..., :3]
    found = pixels_of(sheet(Picture(0, 0, 8, 6, opaque), width=8, height=6))
    np.testing.assert_array_equal(found, opaque.repeat(3, axis=0).repeat(4, axis=1))


def test_pictures_are_cut_at_the_edges() -> None:
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    found = pixels_of(
        sheet(Picture(-2, -2, 4, 4, red), Picture(8, 9, 4, 4, red), width=10, height=10)
    )
    expected = np.zeros((10, 10), bool)
    expected[:2, :2] = expected[9:, 8:] = True
    np.testing.assert_array_equal((found == (255, 0, 0)).all(axis=2), expected)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., :3]], ids=["alpha", "opaque"])
def test_an_upright_plane_is_a_picture(pixels: NDArray[np.uint8]) -> None:
    plane = Plane((-5, 20), (40, 0), (0, 30), pixels)
    expected = pixels_of(sheet(Picture(-5, 20, 40, 30, pixels)))
    np.testing.assert_array_equal(pixels_of(sheet(plane)), expected)


def test_an_upright_plane_covers_parts_of_the_pixels_at_its_edges() -> None:
    black = np.zeros((1, 1, 3), np.uint8)
    found = pixels_of(sheet(Plane((2.25, 3.5), (4, 0), (0, 0.25), black), width=9, height=6))
    expected = np.zeros((6, 9))
    expected[3, 2:7] = [0.75, 1, 1, 1, 0.25]
    np.testing.assert_allclose(255.0 - found[..., 0], 255 * 0.25 * expected, atol=1)


@pytest.mark.parametrize(
    ("corner", "across", "down"),
    [
        ((40, 10), (60, 25), (-30, 40)),
        ((40.3, 60.8), (60.5, -31), (5, 33)),
        ((80, 20), (-50, 10), (20.25, 55)),
        ((-20, 50), (160, 3), (0, 7)),
    ],
)
def test_a_plane_is_a_parallelogram_of_cells(corner: Point, across: Point, down: Point) -> None:
    """Against 8 x 8 points in each pixel: those within, and the cell that each lies in."""
    cells = np.random.default_rng(3).integers(0, 256, (4, 6, 3), np.uint8)
    plane = Plane(corner, across, down, cells)
    found = 255.0 - pixels_of(sheet(plane, width=120, height=100))
    fine = (np.indices((800, 960))[::-1] + 0.5) / 8 - np.reshape(corner, (2, 1, 1))
    basis = np.linalg.inv(np.transpose([across, down]))
    u, v = np.einsum("ij,jyx->iyx", basis, fine)
    within = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    share = within.reshape(100, 8, 120, 8).mean((1, 3))
    row, column = (np.clip(w * n, 0, n - 1).astype(int) for w, n in ((v, 4), (u, 6)))
    # Pixels all of which lies in one cell, but not at an edge.
    numbers = (6 * row + column).reshape(100, 8, 120, 8).transpose(0, 2, 1, 3).reshape(100, 120, 64)
    far = np.asarray(Image.fromarray(share == 1).convert("L").filter(ImageFilter.MinFilter(3))) > 0
    inner = far & (numbers.min(2) == numbers.max(2))
    assert inner.sum() > 150
    np.testing.assert_array_equal(255 - found[inner], cells.reshape(24, 3)[numbers[inner, 0]])
    black = replace(plane, pixels=np.zeros_like(cells))
    cover = 1 - pixels_of(sheet(black, width=120, height=100))[..., 0] / 255
    assert np.abs(cover - share).max() < 0.3
    assert cover[share == 0].max() < 0.1
    assert np.abs(cover - share)[(share > 0) & (share < 1)].mean() < 0.04
    assert cover.sum() == pytest.approx(share.sum(), rel=0.003)


def test_a_plane_without_area_is_not_drawn() -> None:
    for down in ((20, 10), (0, 0)):
        plane = Plane((10, 10), (40, 20), down, PIXELS)
        assert (pixels_of(sheet(plane)) == 255).all()


def test_text_stands_on_its_baseline() -> None:
    size = 15.0
    found = pixels_of(sheet(Text(20, 50, "HHHH", size, BLACK)))
    rows, columns = np.nonzero(found[..., 0] < 128)
    assert rows.max() in (48, 49, 50)
    assert rows.min() > 50 - size
    assert columns.min() in (20, 21, 22)
    assert columns.max() == pytest.approx(20 + text_width("HHHH", size), abs=3)


def test_text_has_its_colour() -> None:
    found = pixels_of(sheet(Text(5, 50, "███ HHH", 40, (200, 30, 10))))
    assert (found == (200, 30, 10)).all(axis=2).any()


def test_bold_text_has_thicker_stems_in_the_same_places() -> None:
    plain, bold = (
        255.0 - pixels_of(sheet(Text(20, 90, "HHHHHH", 60, BLACK, bold=each)))[60, :, 0]
        for each in (False, True)
    )
    stems = 12
    assert bold.sum() - plain.sum() == pytest.approx(stems * 255 * 0.045 * 60, rel=0.1)
    places = np.arange(len(plain))
    assert bold @ places / bold.sum() == pytest.approx(plain @ places / plain.sum(), abs=0.3)


def test_a_line_has_its_width_colour_and_place() -> None:
    found = pixels_of(sheet(Path(((10.0, 20.0), (40.0, 20.0)), BLACK, 4.0), width=60, height=40))
    dark = 1 - found[..., 0] / 255
    assert dark[:, 25].sum() == pytest.approx(4, abs=0.5)
    rows = np.nonzero(dark[:, 25])[0]
    assert rows.mean() == pytest.approx(19.5, abs=0.5)
    assert not dark[:, :8].any()
    assert not dark[:, 43:].any()


def test_an_area_is_filled_with_smooth_edges() -> None:
    corners = ((10.0, 10.0), (50.0, 10.0), (30.0, 50.0))
    found = pixels_of(sheet(Path(corners, BLACK, filled=True, closed=True)))
    dark = 1 - found[..., 0] / 255
    assert dark.sum() == pytest.approx(800, rel=0.04)
    assert ((dark > 0) & (dark < 1)).any()


def test_a_curve_passes_where_bezier_says() -> None:
    points = ((10.0, 10.0), (110.0, 10.0), (10.0, 110.0), (110.0, 110.0))
    found = pixels_of(sheet(Path(points, BLACK, 2.0, curved=True)))
    for t in (0.1, 0.3, 0.5, 0.8):
        weights = np.array([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
        x, y = weights @ np.array(points)
        assert found[int(y), int(x), 0] < 128


def test_boxes_cover_parts_of_pixels_and_leave_no_seams() -> None:
    rows = [(2, 3, 1.5, 2), (3.5, 3, 1, 2), (4.5, 3, 0.25, 2), (8, 3.75, 1, 0.5), (8, 3.75, 1, 0.5)]
    found = 255 - pixels_of(sheet(Boxes(np.array(rows), BLACK), width=10, height=6)).astype(int)
    expected = np.zeros((6, 10))
    expected[3:5, 2:5] = [255, 255, 191]
    expected[3:5, 8] = 127.5
    np.testing.assert_allclose(found, expected[..., np.newaxis].repeat(3, 2), atol=1)


@pytest.mark.parametrize("level", range(10))
def test_pixels_are_the_same_at_every_level(level: int) -> None:
    with Image.open(io.BytesIO(png_bytes(everything(), level))) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels_of(everything()))


@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 10), (10, 1), (75, 40)])
def test_a_small_picture_is_a_png(size: tuple[int, int], channels: int, level: int) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*size, channels), np.uint8)
    for each in (pixels, pixels[::-1]):
        with Image.open(io.BytesIO(encode_png(each, level))) as image:
            np.testing.assert_array_equal(np.atleast_3d(np.asarray(image)), each)


def test_a_picture_alone_is_as_large_as_it_is_shown() -> None:
    with Image.open(io.BytesIO(encode_picture(Picture(7, 7, 8, 6, PIXELS)))) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), PIXELS.repeat(3, 0).repeat(4, 1))


DOTTED = Path(((10.0, 50.0), (110.0, 50.0)), width=4.0, dotted=True)
"""A line of dots of 8 pixels, and as many between."""


def test_a_dotted_line_is_drawn_and_left_out_by_turns() -> None:
    row = pixels_of(sheet(DOTTED))[50, :, 0] < 255
    middles = np.arange(10, 110) // 1
    inner = [x for x in middles if (x - 10) % 8 not in (0, 7)]
    assert [bool(row[x]) for x in inner] == [(x - 10) // 8 % 2 == 0 for x in inner]


def test_dots_follow_a_curve() -> None:
    points = ((10.0, 10.0), (10.0, 150.0), (250.0, 150.0), (250.0, 190.0))
    plain, dotted = (
        pixels_of(sheet(Path(points, curved=True, dotted=each)))[..., 0] for each in (False, True)
    )
    assert not np.any((dotted < 200) & (plain == 255))
    share = (255.0 - dotted).sum() / (255.0 - plain).sum()
    assert share == pytest.approx(0.5, abs=0.05)


# --- SVG ------------------------------------------------------------------------------------


def test_svg_knows_dotted_lines() -> None:
    root = ET.fromstring(write_svg(sheet(DOTTED, replace(DOTTED, dotted=False))))
    assert [path.get("stroke-dasharray") for path in root.iter(f"{SVG}path")] == ["8", None]


def test_svg_has_all_marks_in_order() -> None:
    root = ET.fromstring(write_svg(everything()))
    tags = [child.tag.removeprefix(SVG) for child in root]
    assert tags[:3] == ["title", "style", "rect"]
    kinds = {Path: "path", Picture: "image", Text: "text", Boxes: "path", Plane: "image"}
    assert tags[3:] == [kinds[type(mark)] for mark in everything().marks]
    assert (root.get("width"), root.get("height")) == ("300", "200")
    assert root.get("viewBox") == "0 0 300 200"
    assert root.findtext(f"{SVG}title") == "everything"


def test_svg_is_as_many_pixels_as_the_sheet_whatever_an_inch_has() -> None:
    assert write_svg(everything()) == write_svg(replace(everything(), dpi=96.0))


def test_svg_text_is_text() -> None:
    root = ET.fromstring(write_svg(sheet(Text(1.5, 2, 'a <b> & "c"', 13, (1, 2, 255)))))
    (text,) = root.iter(f"{SVG}text")
    assert text.text == 'a <b> & "c"'
    assert text.attrib == {"x": "1.5", "y": "2", "font-size": "13", "fill": "#0102ff"}


def test_svg_draws_bold_text_with_a_pen_along_its_outlines() -> None:
    root = ET.fromstring(write_svg(sheet(Text(1, 2, "a", 20, (1, 2, 255), bold=True))))
    (text,) = root.iter(f"{SVG}text")
    assert text.attrib == {
        "x": "1",
        "y": "2",
        "font-size": "20",
        "fill": "#0102ff",
        "stroke": "#0102ff",
        "stroke-width": "0.9",
        "stroke-linejoin": "round",
    }


def test_svg_tells_the_full_text_of_what_was_cut() -> None:
    root = ET.fromstring(write_svg(sheet(Text(1, 2, "a…z", 13, full="a < z"))))
    (text,) = root.iter(f"{SVG}text")
    assert (text.text, text.findtext(f"{SVG}title")) == ("a…z", "a < z")


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@settings(deadline=None, max_examples=150)
def test_svg_is_valid_whatever_the_texts_hold(text: str) -> None:
    drawing = sheet(
        Text(1, 2, text, 13, full=text), Picture(0, 0, 2, 2, PIXELS, title=text), title=text
    )
    root = ET.fromstring(write_svg(drawing).encode())
    (shown,) = root.iter(f"{SVG}text")
    if text.isprintable():
        assert (shown.text or "") == root.findtext(f"{SVG}title") == text


def test_svg_tells_the_code_of_what_cannot_be_seen() -> None:
    root = ET.fromstring(write_svg(sheet(Text(1, 2, HOSTILE, 13))).encode())
    (text,) = root.iter(f"{SVG}text")
    assert text.text == (
        "<a href=\"x\">&amp; 'q' ]]> \\x00\\x07\\x1b\\x7f \\ud800 \\udfff \\ufffe \\n\\t é 日 🙂"
        " </text>"
    )


def test_svg_holds_its_pictures_at_their_own_size() -> None:
    picture = Picture(3.25, 4, 80, 60, PIXELS, title="conv & co")
    root = ET.fromstring(write_svg(sheet(picture)))
    (image,) = root.iter(f"{SVG}image")
    places = {key: image.get(key) for key in ("x", "y", "width", "height")}
    assert places == {"x": "3.25", "y": "4", "width": "80", "height": "60"}
    assert image.get("preserveAspectRatio") == "none"
    assert image.findtext(f"{SVG}title") == "conv & co"
    kind, data = image.attrib["href"].split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as png:
        np.testing.assert_array_equal(np.asarray(png), PIXELS)


def test_svg_shows_planes_as_one_picture_each() -> None:
    plane = Plane((100.5, 20), (80, 35.126), (-60, 40), PIXELS, title="conv & co")
    (image,) = ET.fromstring(write_svg(sheet(plane))).iter(f"{SVG}image")
    places = {key: image.get(key) for key in ("x", "y", "width", "height", "transform")}
    assert places == {
        "x": None,
        "y": None,
        "width": "1",
        "height": "1",
        "transform": "matrix(80 35.13 -60 40 100.5 20)",
    }
    assert image.get("preserveAspectRatio") == "none"
    assert image.findtext(f"{SVG}title") == "conv & co"
    with Image.open(io.BytesIO(base64.b64decode(image.attrib["href"].split(",")[1]))) as png:
        np.testing.assert_array_equal(np.asarray(png), PIXELS)


def test_svg_compresses_its_pictures_as_told() -> None:
    pixels = np.random.default_rng(0).integers(0, 30, (24, 24, 3), np.uint8)
    template = Template(50, 50, (Hole(0, 0, 24, 24), Hole(24, 24, 24, 24)))
    fillings: list[Filling] = [
        Picture(0, 0, 24, 24, pixels),
        Plane((24, 24), (24, 0), (0, 24), pixels),
    ]
    fast, small = (SvgPage(template, level).write(fillings) for level in (1, 6))
    assert SvgPage(template).write(fillings) == fast
    assert len(small) < 0.9 * len(fast)
    for text in (fast, small):
        for image in ET.fromstring(text).iter(f"{SVG}image"):
            data = base64.b64decode(image.attrib["href"].split(",")[1])
            with Image.open(io.BytesIO(data)) as png:
                np.testing.assert_array_equal(np.asarray(png), pixels)


def test_svg_refers_to_nothing_outside_and_does_not_smooth() -> None:
    text = write_svg(everything())
    root = ET.fromstring(text)
    style = root.findtext(f"{SVG}style") or ""
    assert "image-rendering:pixelated" in style
    assert re.findall(r"url\((.{21})", text) == ["data:font/woff;base64"]
    assert "@import" not in text
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.endswith("href") or key == "src":
                assert value.startswith("data:image/png;base64,")


def test_svg_paths() -> None:
    curve = Path(((0, 1), (2, 3), (4, 5), (6, 7)), (1, 2, 3), 1.5, curved=True)
    area = Path(((0, 0), (2, 0), (1, 2.125)), (255, 0, 0), filled=True, closed=True)
    root = ET.fromstring(write_svg(sheet(curve, area)))
    line, filled = (path.attrib for path in root.iter(f"{SVG}path"))
    assert line == {
        "d": "M0,1C2,3 4,5 6,7",
        "fill": "none",
        "stroke": "#010203",
        "stroke-width": "1.5",
    }
    assert filled == {"d": "M0,0L2,0 1,2.12Z", "fill": "#ff0000"}


def test_svg_has_all_boxes_in_one_path() -> None:
    boxes = np.array([(1, 2, 30, 40.126), (12345.678, -0.001, 1e-9, 1e-3)])
    root = ET.fromstring(write_svg(sheet(Boxes(boxes, (1, 2, 3)))))
    (path,) = root.iter(f"{SVG}path")
    assert path.attrib == {
        "d": "M1,2h30v40.13H1zM12345.68,0h0v0H12345.68z",
        "fill": "#010203",
    }


# --- PDF ------------------------------------------------------------------------------------


def test_pdf_is_one_page_of_the_drawing_s_size() -> None:
    page = pdf_page(everything())
    assert [float(side) for side in page.mediabox] == pytest.approx([0, 0, 144, 96])


def test_pdf_has_the_sheet_s_inches() -> None:
    page = pdf_page(sheet(Text(96, 48, "here", 12), width=1440, height=900, dpi=96.0))
    assert [float(side) for side in page.mediabox] == pytest.approx([0, 0, 1080, 675])
    assert text_places(page)[0] == pytest.approx((72, 675 - 36, 0.75))


def test_pdf_text_is_text() -> None:
    found = pdf_page(everything()).extract_text()
    for line in range(1, 11):
        assert f"gj {line}" in found
    assert "cut to f…" in found


def test_pdf_knows_dotted_lines() -> None:
    content = pdf_page(sheet(DOTTED, replace(DOTTED, dotted=False))).get_contents()
    assert content is not None
    dashes = [line for line in content.get_data().splitlines() if line.endswith(b" d")]
    assert dashes == [b"[8] 0 d", b"[] 0 d"]


def test_pdf_draws_bold_text_with_a_pen_along_its_outlines() -> None:
    """And what comes after it as if it had not been there."""
    bold = Text(10, 40, "bold", 20, (255, 0, 0), bold=True)
    page = pdf_page(sheet(DOTTED, bold, Text(10, 80, "plain", 20), DOTTED))
    assert [line.strip() for line in page.extract_text().splitlines()] == ["bold", "plain"]
    content = page.get_contents()
    assert content is not None
    lines = content.get_data().decode("latin-1").splitlines()
    (drawn,) = (line for line in lines if "2 Tr" in line)
    assert drawn.endswith("0 Tr ET")
    before = lines[: lines.index(drawn)]
    state_of = ("RG", "w", "j", "d")
    state = {line.split()[-1]: line for line in before if line.split()[-1] in state_of}
    assert state == {"RG": "1 0 0 RG", "w": ".9 w", "j": "1 j", "d": "[] 0 d"}
    after = lines[lines.index(drawn) + 1 :]
    assert after[0] == "0 j"
    assert not any("2 Tr" in line for line in after)


def test_pdf_has_all_boxes_in_one_path() -> None:
    boxes = np.array([(1, 2, 30, 40.125), (5, 6, 7, 8)])
    page = pdf_page(sheet(Boxes(boxes, (255, 0, 0)), Boxes(np.empty((0, 4)))))
    content = page.get_contents()
    assert content is not None
    drawn = " ".join(content.get_data().decode("latin-1").split())
    assert drawn.endswith(" 1 0 0 rg n 1 157.875 30 40.125 re 5 186 7 8 re f")


def test_pdf_shows_planes_as_one_picture_each() -> None:
    plane = Plane((100.5, 20), (80, 35), (-60, 40), PIXELS)
    page = pdf_page(sheet(plane, Text(1, 20, "after", 13)))
    (image,) = page.images
    assert image.image is not None
    assert np.asarray(image.image).shape == (2, 2, 4)
    matrices: list[list[float]] = []

    def visit(operator: bytes, _: object, matrix: list[float], *__: object) -> None:
        if operator == b"Do":
            matrices.append(matrix)

    page.extract_text(visitor_operand_before=visit)
    (matrix,) = matrices
    a, b, c, d, e, f = np.array(matrix) / 0.48
    # The unit square's corners, from the sheet's upper left: the last row is at the bottom.
    assert (e + c, 200 - f - d) == pytest.approx((100.5, 20))
    assert (a, -b) == pytest.approx((80, 35))
    assert (-c, d) == pytest.approx((-60, 40))
    assert text_places(page)[0] == pytest.approx((0.48, 96 - 9.6, 0.48))


def test_pdf_has_title_and_no_date() -> None:
    data = pdf_bytes(sheet(title="model"))
    meta = pypdf.PdfReader(io.BytesIO(data)).metadata
    assert meta is not None
    assert meta.title == "model"


def test_pdf_is_the_same_bytes_twice() -> None:
    assert pdf_bytes(everything()) == pdf_bytes(everything())


@pytest.mark.parametrize(("width", "height"), [(60_000, 1000), (1000, 30_001), (90_000, 90_000)])
def test_pdf_keeps_to_acrobat_s_limit(width: int, height: int) -> None:
    page = pdf_page(sheet(Text(10, 20, "far", 13), width=width, height=height))
    box = page.mediabox
    assert max(box.width, box.height) == pytest.approx(14_400)
    assert float(box.width) / float(box.height) == pytest.approx(width / height)
    assert "far" in page.extract_text()


def test_pdf_below_the_limit_is_not_scaled() -> None:
    box = pdf_page(sheet(width=30_000, height=300)).mediabox
    assert (float(box.width), float(box.height)) == pytest.approx((14_400, 144))


def test_pdf_holds_pictures_at_their_own_size() -> None:
    opaque = PIXELS[..., :3]
    page = pdf_page(sheet(Picture(10, 20, 80, 60, PIXELS), Picture(0, 0, 9, 9, opaque)))
    images = [np.asarray(image.image) for image in page.images if image.image is not None]
    assert sorted(image.shape[2] for image in images) == [3, 4]
    for image in images:
        shown = image[..., 3] > 0 if image.shape[2] == 4 else np.ones((2, 2), bool)
        np.testing.assert_array_equal(image[shown], PIXELS[..., : image.shape[2]][shown])


def text_places(page: pypdf.PageObject) -> list[tuple[float, float, float]]:
    """Where each text of a page begins, from the lower left, and its scale."""
    places: list[tuple[float, float, float]] = []

    def visit(text: str, user: list[float], matrix: list[float], *_: object) -> None:
        if text.strip():
            x, y = matrix[4], matrix[5]
            a, b, c, d, e, f = user
            places.append((a * x + c * y + e, b * x + d * y + f, a))

    page.extract_text(visitor_text=visit)
    return places


def test_pdf_places_text_from_below() -> None:
    places = text_places(pdf_page(sheet(Text(100, 50, "here", 13))))
    assert places[0] == pytest.approx((48, 96 - 24, 0.48))


@pytest.mark.parametrize("write", [png_bytes, pdf_bytes])
def test_any_text_is_drawn(write: object) -> None:
    assert callable(write)
    drawing = sheet(Text(1, 20, HOSTILE, 13), title=HOSTILE)
    assert write(drawing) != write(replace(drawing, marks=(Text(1, 20, "", 13),)))


def test_pdf_shows_escapes_for_what_the_font_lacks() -> None:
    found = pdf_page(sheet(Text(1, 20, "日\x00", 13))).extract_text()
    assert r"\u65e5\x00" in found


# --- The font -------------------------------------------------------------------------------


def test_plain_text_is_drawn_as_it_is() -> None:
    text = "".join(chr(code) for code in range(0x20, 0x7F))
    assert drawable(text) == text


@pytest.mark.parametrize("text", ["…", "™", "a … b"])
def test_glyphs_of_the_font_are_drawn(text: str) -> None:
    assert drawable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\n\t", r"\n\t"),
        ("\x00\x1b", r"\x00\x1b"),
        ("\ud800", r"\ud800"),
        ("日", r"\u65e5"),
        ("🙂", r"\U0001f642"),
        ("\uffff", r"\uffff"),
    ],
)
def test_what_the_font_lacks_is_escaped(text: str, shown: str) -> None:
    assert drawable(f"a{text}b") == f"a{shown}b"


@given(st.text(st.characters(exclude_categories=()), max_size=30))
@settings(deadline=None)
def test_what_is_drawn_has_glyphs(text: str) -> None:
    missing = bytes(font(32).getmask("\uffff"))
    for c in set(drawable(text)):
        assert bytes(font(32).getmask(c)) != missing


def test_width_grows_with_the_text() -> None:
    widths = [text_width("conv_1"[:length], 13) for length in range(7)]
    assert widths[0] == 0
    assert np.all(np.diff(widths) > 0)
    assert text_width("W", 13) > 2 * text_width("i", 13)


@pytest.mark.parametrize("size", [15.0, 13.0, 6.5, 4.5])
@pytest.mark.parametrize("text", ["model_2_1/b1_conv1_1", "min: -0.0789712", "WWWWiiiillll"])
def test_width_is_proportional_to_the_size(text: str, size: float) -> None:
    # Labels are measured at full size and drawn at any scale, and by the PDF without hinting.
    assert text_width(text, size) / size == pytest.approx(text_width(text, 1000) / 1000, rel=0.02)


@pytest.mark.parametrize("size", [13.0, 6.5])
def test_png_text_is_as_wide_as_measured(size: float) -> None:
    text = "HinputH" * 5
    found = pixels_of(sheet(Text(10, 50, text, size, BLACK), width=600))
    columns = np.nonzero((found[..., 0] < 200).any(axis=0))[0]
    assert columns.max() - 10 == pytest.approx(text_width(text, size), abs=2)
