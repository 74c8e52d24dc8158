"""The picture of one layer: where its maps lie, what colours they have, what is written."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.analyses.grids.picture import (
    LARGEST_GRID,
    LONGEST_SIDE,
    MOST_MAPS,
    arrange_cells,
    draw_grid,
)
from micam_fast.core.choices import CHANNEL_KINDS, ChannelKind
from micam_fast.core.layers import Layer
from micam_fast.diagrams.encoders import write_svg
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Drawing, Picture, Text
from micam_fast.diagrams.places import Box
from micam_fast.maps.contributions import energy_shares
from micam_fast.maps.signed_palette import paint_diverging
from tests.helpers.drawings import pixels_of
from tests.helpers.models import Array, random_array
from tests.helpers.pictures import Bytes, overlap

LAYER = Layer(
    "block/conv & <1>", "Conv", "Conv2D", ("x",), ((None, 3, 9, 9),), (None, 4, 7, 7), (4, 3, 3, 3),
    (4,), "relu",
)  # fmt: skip
HEADER = ["net, sample: 3.png"]
WHITE = (255, 255, 255)


def draw(maps: Array, of: ChannelKind = "activations") -> Drawing:
    return draw_grid(LAYER, maps.astype(np.float32), of=of, header=HEADER)


def texts(drawing: Drawing) -> list[str]:
    return [mark.text for mark in drawing.marks if isinstance(mark, Text)]


def captions(drawing: Drawing) -> list[Text]:
    """Those above maps: a channel's number, and its share."""
    marks = [mark for mark in drawing.marks if isinstance(mark, Text)]
    return [mark for mark in marks if re.fullmatch(r"\d+(  -?\d+\.\d %)?", mark.text)]


def field(drawing: Drawing) -> Picture:
    """The picture of all maps."""
    return [m for m in drawing.marks if isinstance(m, Picture) and m.title == LAYER.name][-1]


def shown_map(drawing: Drawing, channel: int, size: tuple[int, int]) -> Bytes:
    """A channel's cells, read from the finished pixels below its caption."""
    (caption,) = [m for m in captions(drawing) if m.text.split()[0] == str(channel)]
    whole = field(drawing)
    zoom_y, zoom_x = (
        round(whole.height / whole.pixels.shape[0]), round(whole.width / whole.pixels.shape[1]),
    )  # fmt: skip
    x, y = round(caption.x), round(caption.y + 5)
    area = pixels_of(drawing)[y : y + size[0] * zoom_y, x : x + size[1] * zoom_x]
    assert area.shape == (size[0] * zoom_y, size[1] * zoom_x, 3)
    cells = area[zoom_y // 2 :: zoom_y, zoom_x // 2 :: zoom_x]
    # Enlarged by whole factors, without smoothing; the frame lies outside.
    np.testing.assert_array_equal(area, cells.repeat(zoom_y, axis=0).repeat(zoom_x, axis=1))
    return cells


@pytest.mark.parametrize("of", CHANNEL_KINDS)
@pytest.mark.parametrize("shape", [(1, 7, 7), (5, 3, 8), (64, 7, 7), (6, 1, 50), (6, 50, 1)])
def test_each_map_below_its_number_on_one_scale(
    shape: tuple[int, int, int], of: ChannelKind
) -> None:
    maps = random_array(1, *shape)
    drawing = draw(maps, of)
    bound = float(np.abs(maps).max())
    for channel in {0, shape[0] // 2, shape[0] - 1}:
        found = shown_map(drawing, channel, shape[1:])
        np.testing.assert_array_equal(found, paint_diverging(maps[channel], bound)[..., :3])


def test_activations_are_in_the_order_of_the_channels() -> None:
    drawing = draw(random_array(1, 64, 7, 7))
    assert [mark.text for mark in captions(drawing)] == [str(n) for n in range(64)]
    lines = texts(drawing)
    assert lines[:4] == [
        LAYER.name,
        "Conv2D · I: (None, 3, 9, 9) · O: (None, 4, 7, 7) · relu · (4, 3, 3, 3) + (4,)",
        HEADER[0],
        "64 feature maps of 7 x 7, in the order of the channels",
    ]
    places = [(mark.y, mark.x) for mark in captions(drawing)]
    assert places == sorted(places)


def test_contributions_begin_with_the_largest_share() -> None:
    maps = random_array(1, 9, 4, 5)
    maps[4] = -3 * maps.sum(axis=0)
    shares = energy_shares(maps)
    drawing = draw(maps, "contributions")
    shown = [mark.text.split() for mark in captions(drawing)]
    order = [int(words[0]) for words in shown]
    assert order == sorted(range(9), key=lambda channel: -abs(shares[channel]))
    for channel, words in zip(order, shown, strict=True):
        assert float(words[1]) == pytest.approx(100 * shares[channel], abs=0.051)
    assert "-0.0 %" not in " ".join(texts(drawing))
    assert "the largest share of the map's energy first" in texts(drawing)[3]


def test_the_sum_of_contributions_has_a_scale_of_its_own() -> None:
    maps = random_array(2, 5, 4, 6)
    cam = maps.sum(axis=0, dtype=np.float64)
    drawing = draw(maps, "contributions")
    whole, _ = [m for m in drawing.marks if isinstance(m, Picture) and m.title == LAYER.name]
    expected = paint_diverging(cam.astype(np.float32), float(np.abs(cam).max()))
    np.testing.assert_array_equal(whole.pixels, expected[..., :3])
    assert f"their sum, {cam.min():.6g} to {cam.max():.6g}, on a scale of its own" in texts(drawing)
    assert not any("their sum" in text for text in texts(draw(maps[:1], "contributions")))


@pytest.mark.parametrize(
    ("values", "meaning", "ends"),
    [
        ([-2.0, 1.0], "-2 to 2, ", (-1.0, 1.0)),
        ([0.0, 4.0], "0 to 4, ", (0.0, 1.0)),
        ([-0.5, 0.0], "-0.5 to 0, ", (-1.0, 0.0)),
        ([0.0, 0.0], "0 to 0, ", (0.0, 0.0)),
    ],
)
def test_the_legend_has_the_signs_that_there_are(
    values: list[float], meaning: str, ends: tuple[float, float]
) -> None:
    drawing = draw(np.array(values).reshape(1, 1, 2))
    bar = next(mark for mark in drawing.marks if isinstance(mark, Picture))
    expected = paint_diverging(np.array(ends), 1.0)
    np.testing.assert_array_equal(bar.pixels[0, [0, -1]], expected)
    (line,) = [text for text in texts(drawing) if "zero is white" in text]
    assert line.startswith(meaning)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("of", CHANNEL_KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_hatched(bad: float, of: ChannelKind) -> None:
    maps = random_array(1, 6, 5, 5)
    good = maps.copy()
    maps[2, 1, 1] = bad
    good[2] = 0
    drawing = draw(maps, of)
    assert "; hatched: 1 that are not finite" in texts(drawing)[3]
    expected = paint_diverging(good[4], float(np.abs(good).max()))[..., :3]
    np.testing.assert_array_equal(shown_map(drawing, 4, (5, 5)), expected)
    (caption,) = [mark for mark in captions(drawing) if mark.text == "2"]
    assert of == "activations" or captions(drawing)[-1] is caption
    y, x = round(caption.y + 5), round(caption.x)
    area = pixels_of(drawing)[y : y + 40, x : x + 40].astype(int)
    assert (area == area[..., :1]).all()
    shades = set(np.unique(area).tolist())
    assert len(shades) == 2
    assert 255 in shades


def test_all_channels_not_finite() -> None:
    maps = np.full((3, 4, 4), np.nan)
    for of in CHANNEL_KINDS:
        drawing = draw(maps, of)
        assert [mark.text for mark in captions(drawing)] == ["0", "1", "2"]
        assert pixels_of(drawing).shape[:2] == (drawing.height, drawing.width)


@pytest.mark.parametrize(
    ("shape", "most"),
    [
        ((1, 28, 28), (1000, 600)),
        ((3, 224, 224), (1000, 1000)),
        ((64, 112, 112), (1200, 1500)),
        ((2048, 7, 7), (5400, 4000)),
        ((32, 1, 400), (2000, 1500)),
        ((512, 14, 14), (3000, 3000)),
    ],
)
@pytest.mark.parametrize("of", CHANNEL_KINDS)
def test_sizes(shape: tuple[int, int, int], most: tuple[int, int], of: ChannelKind) -> None:
    """Everything lies within a picture of a sane size, nothing on anything else; lines fit."""
    drawing = draw(random_array(1, *shape), of)
    assert drawing.width <= most[0]
    assert drawing.height <= most[1]
    whole = field(drawing)
    assert whole.x + whole.width <= drawing.width
    assert whole.y + whole.height <= drawing.height
    assert whole.y + whole.height == pytest.approx(drawing.height - 36, abs=1)
    for mark in drawing.marks:
        if isinstance(mark, Text):
            assert mark.x + text_width(mark.text, mark.size) <= drawing.width - 20
    marks = captions(drawing)
    assert len(marks) == shape[0]
    boxes = [
        Box(m.x, m.y - m.size, text_width(m.text, m.size), m.size)
        for m in marks[: min(150, len(marks))]
    ]
    assert not any(overlap(one, two) for i, one in enumerate(boxes) for two in boxes[:i])


def test_svg_of_many_channels_is_one_picture_and_text() -> None:
    text = write_svg(draw(np.maximum(random_array(1, 2048, 7, 7), 0)))
    assert len(text) < 800_000
    root = ElementTree.fromstring(text)
    names = [each.tag.rpartition("}")[2] for each in root.iter()]
    assert names.count("image") == 2  # the legend's bar, and the maps
    found = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert LAYER.name in found
    assert found[-2048:] == [str(channel) for channel in range(2048)]


@given(
    count=st.integers(1, MOST_MAPS),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    caption=st.floats(0, 90),
)
@settings(max_examples=200, deadline=None)
def test_places(count: int, height: int, width: int, caption: float) -> None:
    cells = arrange_cells(count, (height, width), caption)
    rows, columns = cells.field
    assert rows * cells.zoom[0] * columns * cells.zoom[1] <= LARGEST_GRID
    assert cells.columns <= count
    assert (cells.rows - 1) * cells.columns < count <= cells.rows * cells.columns
    # Room for a caption above each map, and beside the next one's.
    assert (cells.pitch[0] - cells.size[0]) * cells.zoom[0] >= 20
    assert cells.pitch[1] * cells.zoom[1] >= caption + 8
    assert cells.pitch[1] > cells.size[1]
    even = (-(-height // cells.shrunk), -(-width // cells.shrunk))
    narrow = max(height, width) >= 8 * min(height, width)
    kept = min(64, height, width) if narrow else 1
    assert cells.size == tuple(map(max, even, (min(height, kept), min(width, kept))))
    assert min(side * zoom for side, zoom in zip(cells.size, cells.zoom, strict=True)) >= 24
    for place in (0, cells.columns - 1, count - 1):
        y, x = cells.corner(place)
        assert 0 <= y <= rows - cells.size[0]
        assert 0 <= x <= columns - cells.size[1]
    # About a page's proportion: what is nearer to it leaves more places empty.
    pitch = [step * zoom for step, zoom in zip(cells.pitch, cells.zoom, strict=True)]
    wanted = (4 / 3 * count * pitch[0] / pitch[1]) ** 0.5

    def off(number: int) -> float:
        return abs(math.log(number / wanted))

    nearer = [each for each in range(1, count + 1) if off(each) < off(cells.columns) - 1e-9]
    assert all(-count % each > -count % cells.columns for each in nearer)
    if cells.rows > 3 and cells.columns > 3:
        # The price of full rows is highest for 25 maps, 5 x 5 of them: trying all proportions of a
        # map gives 0.54 and 3.05.
        assert 0.53 < cells.columns * pitch[1] / (cells.rows * pitch[0]) < 3.06


def test_a_page_of_many_maps_has_its_proportion() -> None:
    # Empty places are a small part of many.
    for count in (200, 500, 1999):
        for size in ((1, 5), (8, 8), (60, 20), (2, 1)):
            cells = arrange_cells(count, size, 20.0)
            height, width = (n * z for n, z in zip(cells.field, cells.zoom, strict=True))
            assert 1 < width / height < 1.8, (count, size)


def test_maps_too_large_for_a_picture_keep_their_strongest_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert arrange_cells(64, (900, 900)).shrunk == 1
    assert arrange_cells(64, (1500, 1100)).shrunk == 2
    assert arrange_cells(64, (1500, 1100)).zoom == (1, 1)
    monkeypatch.setattr("micam_fast.analyses.grids.picture.LARGEST_GRID", 4.5e5)
    cells = arrange_cells(64, (150, 111))
    assert cells.shrunk == 2
    assert cells.size == (75, 56)
    maps = np.zeros((64, 150, 111), np.float32)
    maps[1, 71, 33] = -5
    maps[1, 70, 32] = 4
    drawing = draw(maps)
    assert "; a cell is the strongest of 2 x 2" in texts(drawing)[3]
    row, column = cells.corner(1)
    np.testing.assert_array_equal(
        field(drawing).pixels[row + 35, column + 16], paint_diverging(np.array(-5.0), 5.0)[:3]
    )
    assert tuple(field(drawing).pixels[row + 36, column + 16]) == WHITE


def test_a_long_sequence_stays_a_strip() -> None:
    maps = np.zeros((4, 1, 1_000_000), np.float32)
    maps[0, 0, 999_999] = 3
    drawing = draw(maps)
    cells = arrange_cells(4, (1, 1_000_000))
    assert cells.shrunk > 1
    assert cells.zoom == (24, 1)
    assert drawing.width < LONGEST_SIDE + 100
    assert f"; a cell is the strongest of 1 x {cells.shrunk}" in texts(drawing)[3]
    end = field(drawing).pixels[0, cells.size[1] - 1]
    np.testing.assert_array_equal(end, paint_diverging(np.array(3.0), 3.0)[:3])


@pytest.mark.parametrize(
    ("size", "zoom"),
    [
        ((12, 5000), (6, 1)), ((5000, 12), (1, 6)), ((3, 5000), (14, 1)), ((30, 5000), (4, 1)),
        ((96, 5000), (1, 1)), ((200, 3), (1, 14)),
    ],
)  # fmt: skip
def test_rows_of_a_long_signal_can_be_told_apart(
    size: tuple[int, int], zoom: tuple[int, int]
) -> None:
    cells = arrange_cells(8, size, 20.0)
    assert (cells.size, cells.zoom) == (size, zoom)
    drawing = draw(random_array(1, 8, *size))
    thick = "rows" if zoom[0] > zoom[1] else "columns"
    assert texts(drawing)[3].endswith(f"; {thick} drawn thicker") is (zoom != (1, 1))
    assert "drawn thicker" not in texts(draw(random_array(1, 8, 1, 500)))[3]


def test_a_row_is_thinner_where_there_is_no_room() -> None:
    """Names of 32 rows, each beside 12 pixels, of very many maps: the names give way."""
    cells = arrange_cells(MOST_MAPS, (32, 5000), 75.0, 12)
    assert cells.zoom[0] == 1
    height, width = (side * zoom for side, zoom in zip(cells.field, cells.zoom, strict=True))
    assert height * width <= LARGEST_GRID
    names = [f"lead {number}" for number in range(32)]
    maps = np.zeros((MOST_MAPS, 32, 100), np.float32)
    drawing = draw_grid(LAYER, maps, of="activations", row_names=names)
    assert not any(text.startswith("lead") for text in texts(drawing))


def test_too_many_channels_to_look_at() -> None:
    maps = random_array(1, MOST_MAPS + 3, 1, 2)
    maps[MOST_MAPS + 1] = 100
    drawing = draw(maps)
    assert texts(drawing)[3].endswith(f"; the first {MOST_MAPS} of them")
    assert captions(drawing)[-1].text == str(MOST_MAPS - 1)
    drawing = draw(maps, "contributions")
    assert len(captions(drawing)) == MOST_MAPS
    assert captions(drawing)[0].text.startswith(f"{MOST_MAPS + 1}  ")
