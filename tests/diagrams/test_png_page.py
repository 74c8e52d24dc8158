"""Pages that are filled many times, against drawings by Pillow alone."""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import micam_fast
from micam_fast.core.choices import Look
from micam_fast.demo import DIGITS, MODEL
from micam_fast.diagrams.encoders import PngPage, write_png
from micam_fast.diagrams.encoders.fonts import drawable, font
from micam_fast.diagrams.encoders.glyphs import text_cover
from micam_fast.diagrams.marks import (
    Boxes,
    Drawing,
    Filling,
    Hole,
    Mark,
    Path,
    Picture,
    Plane,
    Template,
    Text,
)
from micam_fast.diagrams.tile_rooms import tile_room
from tests.helpers.pictures import compose
from tests.helpers.pillow_drawing import draw

Bytes = NDArray[np.uint8]

NUMBERS = [
    "map min: -1.23457e-05",
    "map max: 0",
    "map min: nan",
    "map max: 3.40282e+38",
    "map min: -inf",
]
COLOUR = (200, 30, 90)


def pixels_of(data: bytes) -> Bytes:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def written(page: PngPage, fillings: Sequence[Filling], level: int = 1) -> Bytes:
    file = io.BytesIO()
    page.write(fillings, file, level)
    return pixels_of(file.getvalue())


def drawn(drawing: Drawing) -> Bytes:
    file = io.BytesIO()
    write_png(drawing, file)
    return pixels_of(file.getvalue())


def noise(height: int, width: int, channels: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def frame(x: float, y: float, width: float, height: float, pen: float = 1.0) -> Path:
    right, bottom = x + width, y + height
    return Path(((x, y), (right, y), (right, bottom), (x, bottom)), COLOUR, pen, closed=True)


def hole_of(mark: Mark) -> Hole:
    if isinstance(mark, Text):
        return Hole(mark.x, mark.y - 1.5 * mark.size, 500, 2.5 * mark.size)
    if isinstance(mark, Picture):
        return Hole(mark.x, mark.y, mark.width, mark.height)
    if isinstance(mark, (Boxes, Plane)):
        return Hole(-50, -50, 1000, 1000)
    xs, ys = zip(*mark.points, strict=True)
    margin = mark.width + 1
    return Hole(
        min(xs) - margin,
        min(ys) - margin,
        max(xs) - min(xs) + 2 * margin,
        max(ys) - min(ys) + 2 * margin,
    )


def with_holes(drawing: Drawing, is_hole: Callable[[Mark], bool]) -> tuple[Template, list[Filling]]:
    """A drawing as a template, and the marks to fill it with, every other one made when needed."""
    chosen = [mark for mark in drawing.marks if is_hole(mark)]
    marks = tuple(hole_of(mark) if is_hole(mark) else mark for mark in drawing.marks)
    fillings: list[Filling] = list(chosen)
    fillings[::2] = [partial(copy, mark) for mark in chosen[::2]]
    return Template(drawing.width, drawing.height, marks), fillings


# --- Any marks --------------------------------------------------------------------------------

places = st.one_of(
    st.integers(-20, 130).map(float),
    st.integers(-40, 260).map(lambda n: n / 2),
    st.integers(-60, 400).map(lambda n: n * 0.37),
    st.floats(-20, 130, allow_nan=False),
)
points = st.tuples(places, places)
pens = st.sampled_from([0.37, 0.5, 1.0, 1.5, 3.0])
colours = st.tuples(*[st.integers(0, 255)] * 3)
texts = st.builds(
    Text,
    places,
    places,
    st.one_of(
        st.sampled_from([*NUMBERS, "cut to f…", "日 é", "/\\VAx(,"]),
        st.text(st.characters(codec="ascii"), max_size=12),
    ),
    st.sampled_from([4.81, 5.55, 6.5, 13.0, 15.0, 22.0, 26.0]),
    colours,
)
frames = st.builds(
    frame, places, places, st.floats(0, 120), st.sampled_from([0.0, 20.5, 75.85, 100.0]), pens
)
lines = st.builds(
    Path,
    st.lists(points, min_size=2, max_size=4, unique=True).map(tuple),
    colours,
    pens,
    closed=st.booleans(),
)
areas = st.builds(
    Path,
    st.lists(points, min_size=3, max_size=3, unique=True).map(tuple),
    colours,
    filled=st.just(True),
    closed=st.just(True),
)
curves = st.builds(
    Path,
    st.sampled_from([4, 7]).flatmap(
        lambda n: st.lists(points, min_size=n, max_size=n, unique=True).map(tuple)
    ),
    colours,
    pens,
    curved=st.just(True),
)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    pixels = noise(height, width, draw(st.sampled_from([3, 4])), draw(st.integers(0, 99)))
    if draw(st.booleans()):
        pixels[..., -1] = 255
    zooms = st.sampled_from([1.0, 1.0, 2.0, 5.0, 0.37, 1.7])
    return Picture(draw(places), draw(places), width * draw(zooms), height * draw(zooms), pixels)


# Multiples of an eighth: their sums are exact in any order.
eighths = st.integers(-160, 1040).map(lambda n: n / 8)
lengths = st.integers(0, 320).map(lambda n: n / 8)
boxes = st.builds(
    Boxes,
    st.lists(st.tuples(eighths, eighths, lengths, lengths), max_size=6).map(
        lambda found: np.array(found, np.float64).reshape(-1, 4)
    ),
    colours,
)
planes = st.builds(
    Plane,
    points,
    points,
    points,
    st.builds(noise, st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])),
)
marks = st.one_of(texts, boxes, planes, frames, lines, areas, curves, pictures())


@given(st.lists(marks, max_size=8), st.integers(1, 120), st.integers(1, 120), st.data())
@settings(deadline=None, max_examples=150)
def test_pages_are_what_pillow_draws(
    found: list[Mark], width: int, height: int, data: st.DataObject
) -> None:
    drawing = Drawing(width, height, tuple(found))
    chosen = data.draw(st.sets(st.sampled_from(found))) if found else set()
    expected = draw(drawing)
    np.testing.assert_array_equal(drawn(drawing), expected)
    template, fillings = with_holes(drawing, lambda mark: any(mark is each for each in chosen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("micam_fast.diagrams.encoders.page.BAND_BYTES", 0)
        patch.setattr("micam_fast.diagrams.encoders.page.BAND_ROWS", data.draw(st.integers(1, 50)))
        page = PngPage(template)
    np.testing.assert_array_equal(written(page, fillings), expected)


@pytest.mark.no_jit
def test_a_small_page_is_what_pillow_draws() -> None:
    drawing = Drawing(
        40,
        30,
        (
            Path(((2.0, 1.0), (2.0, 20.0), (30.0, 5.0), (38.0, 28.0)), curved=True),
            Picture(5, 4, 12, 12, noise(3, 4, 4)),
            frame(5, 4, 12, 12),
            Picture(-2, 20, 8, 8, noise(8, 8, 3)),
            Text(3, 14, "a1", 9.5),
            Plane((20, 2), (12, 6), (-3, 9), noise(2, 3, 4)),
            Boxes(np.array([(1.5, 2.25, 3, 0.5), (4.5, 2, 0.25, 7), (35, 25, 9, 9)]), COLOUR),
            Text(12, 28, "é", 13),
        ),
    )
    template, fillings = with_holes(drawing, lambda mark: isinstance(mark, (Text, Picture)))
    np.testing.assert_array_equal(written(PngPage(template), fillings), draw(drawing))


@pytest.mark.parametrize("size", [4.81, 6.5, 13.0, 15.0, 22.0])
def test_lines_of_numbers_are_what_pillow_draws(size: float) -> None:
    values = np.random.default_rng(5).standard_normal(60) * 10.0 ** np.arange(-30, 30)
    found = [
        Text(7 + 0.13 * n, 30 + 2.5 * size * n + 0.29 * n, f"min: {value:.6g}", size)
        for n, value in enumerate(values)
    ]
    drawing = Drawing(400, round(2.5 * size * 62 + 60), tuple(found))
    np.testing.assert_array_equal(drawn(drawing), draw(drawing))


@pytest.mark.parametrize("size", [4.81, 13.0])
def test_glyphs_that_overlap_are_what_pillow_draws(size: float) -> None:
    pairs = ["/\\", "Ax", "K,", "(,", "!/", "LT", "fj", '"\\\\"']
    found = tuple(Text(5, 30 + 40 * n, pair * 3, size) for n, pair in enumerate(pairs))
    drawing = Drawing(200, 400, found)
    np.testing.assert_array_equal(drawn(drawing), draw(drawing))


def test_the_font_has_no_kerning() -> None:
    """Lines are set without it."""
    face = font(52.0)
    for pair in ("AV", "To", "LT", "-1", "1.", "11", "e-"):
        assert face.getlength(pair) == sum(map(face.getlength, pair))


@pytest.mark.parametrize("size", [8.0, 9.0, 13.5, 24.0])
@pytest.mark.parametrize("text", ["g", "VA", "A…g"])
def test_bold_lines_are_what_pillow_draws_much_larger(size: float, text: str) -> None:
    finer = 32
    mask = Image.new("L", (200 * finer, 40 * finer))
    face, stroke = font(size * finer), round(0.045 * size * finer / 2)
    pen = ImageDraw.Draw(mask)
    pen.text((8 * finer, 30 * finer), drawable(text), 255, face, anchor="ls", stroke_width=stroke)
    expected = np.asarray(mask.reduce(finer), np.float64)
    found = drawn(Drawing(200, 40, (Text(8, 30, text, size, (0, 0, 0), bold=True),)))[..., 0]
    assert (255.0 - found).sum() == pytest.approx(expected.sum(), rel=0.1)
    # Hinting moves stems by parts of a pixel.
    assert np.abs(255.0 - found - expected).sum() < 0.3 * expected.sum()


@pytest.mark.parametrize("text", ["", " "])
def test_text_without_ink_covers_nothing(text: str) -> None:
    assert not text_cover(Text(10, 20, text, 13.0))[2].any()


# --- Diagrams ---------------------------------------------------------------------------------


def diagram(look: Look, rankdir: str, scale: float, digit: int) -> Drawing:
    found = micam_fast.explain(MODEL, np.load(DIGITS)[digit])
    return compose(
        found.scene.layers,
        found.scene.layout(frozenset(found.maps), rankdir, tile_room(look, found.input_size).size),
        found.maps,
        ["model", f"sample: {digit}"],
        input_size=found.input_size,
        look=look,
        scale=scale,
    )


def is_of_sample(mark: Mark) -> bool:
    """Pictures, the lines of numbers, and what the header says about the sample."""
    return (isinstance(mark, Picture) and mark.title is not None) or (
        isinstance(mark, Text) and mark.text.startswith(("map min:", "map max:", "sample:"))
    )


@pytest.mark.parametrize("look", ["isometric", "flat"])
@pytest.mark.parametrize(
    ("rankdir", "scale"), [("TB", 1.0), ("LR", 1.0), ("TB", 0.37), ("LR", 1.3)]
)
def test_diagrams_are_what_pillow_draws(look: Look, rankdir: str, scale: float) -> None:
    first, second = (diagram(look, rankdir, scale, digit) for digit in (3, 7))
    template, fillings = with_holes(first, is_of_sample)
    page = PngPage(template)
    np.testing.assert_array_equal(written(page, fillings), draw(first))
    _, others = with_holes(second, is_of_sample)
    np.testing.assert_array_equal(written(page, others, level=6), draw(second))
    np.testing.assert_array_equal(drawn(second), draw(second))


# --- Fillings ---------------------------------------------------------------------------------


@pytest.fixture
def bands_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micam_fast.diagrams.encoders.page.BAND_BYTES", 0)
    monkeypatch.setattr("micam_fast.diagrams.encoders.page.BAND_ROWS", 10)


@pytest.mark.usefixtures("bands_of_ten")
def test_fillings_are_made_once_when_needed_and_dropped() -> None:
    """Each of three pictures reaches over three bands; at most one of them is there at a time."""
    alive: list[weakref.ref[Bytes]] = []
    expected = np.full((120, 20, 3), 255, np.uint8)

    def make(top: int) -> Picture:
        assert all(reference() is None for reference in alive)
        pixels = noise(20, 20, 3, top)
        expected[top : top + 20] = pixels
        alive.append(weakref.ref(pixels))
        return Picture(0, top, 20, 20, pixels)

    tops = (5, 45, 85)
    page = PngPage(Template(20, 120, tuple(Hole(0, top, 20, 20) for top in tops)))
    found = written(page, [partial(make, top) for top in tops])
    assert len(alive) == 3
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("bands_of_ten")
def test_threads_may_write_at_once() -> None:
    tile = noise(40, 30, 3)
    template = Template(
        60,
        90,
        (
            Text(5, 15, "fixed", 13),
            Hole(10, 20, 30, 40),
            frame(9.5, 20, 30, 40),
            Hole(5, 60, 55, 25),
            Hole(0, 0, 60, 90),
        ),
    )
    page = PngPage(template)
    wrong: list[int] = []

    def write(seed: int) -> None:
        for n in range(20):
            pixels = np.roll(tile, seed * 100 + n)
            fillings: list[Filling] = [
                partial(Picture, 10, 20, 30, 40, pixels),
                Text(5, 80, f"{seed}.{n}", 13),
                Boxes(np.array([(5, 3 * n, 40, 10.5), (45, 3 * n + 0.5, 5, 5)]), COLOUR),
            ]
            if not np.array_equal(written(page, fillings), draw(template.fill(fillings))):
                wrong.append(seed)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_a_filling_for_each_hole(count: int) -> None:
    page = PngPage(Template(50, 50, (Hole(0, 0, 9, 9), Hole(20, 0, 9, 9))))
    with pytest.raises(ValueError, match=f"{count} fillings for 2 holes"):
        page.write([Text(1, 5, "a", 5)] * count, io.BytesIO())


def test_holes_outside_the_page_are_left_out() -> None:
    page = PngPage(Template(10, 10, (Hole(0, 50, 5, 5), Hole(0, -50, 5, 5))))
    assert (written(page, [Picture(0, 50, 5, 5, noise(5, 5, 3))] * 2) == 255).all()
