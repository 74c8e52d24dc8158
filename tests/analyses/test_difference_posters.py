"""The poster of a difference: every map, bar and word is that of its layer."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from micam_fast import Model
from micam_fast.analyses.differences import Difference, Noise, diff
from micam_fast.analyses.differences.files import svg_text
from micam_fast.analyses.differences.posters import DifferenceContent, draw_poster
from micam_fast.core.choices import PAGES, DrawingChoice
from micam_fast.core.layers import Layer
from micam_fast.demo import DIGITS
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.marks import Boxes, Drawing, Path as Line, Picture, Text
from micam_fast.diagrams.numbers import show_value
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.palette import LINE, MARKER, SMALL
from micam_fast.diagrams.poster.scale import BarScale
from micam_fast.diagrams.poster.sheet import NARROW, Sheet
from micam_fast.diagrams.poster.template import PosterTemplate
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tiles import hatch
from micam_fast.maps.layer_map import LayerMap
from micam_fast.maps.signed_palette import paint_diverging
from micam_fast.samples.orders import Order, Permutation
from tests.helpers.differences import maps_of, side, two_models
from tests.helpers.posters import residual_difference, residual_explanation

POSTER = Style("flat", drawing="poster")
CAPTIONS = ["A", "B", "B - A"]


@pytest.fixture(scope="module")
def samples() -> Difference:
    return residual_difference(8)


def made(difference: Difference, style: Style = POSTER) -> tuple[Sheet, Drawing]:
    template, fillings = draw_poster(difference, style, 1.0)
    return template.sheet, template.blank.fill(fillings)


def pictures(drawing: Drawing) -> list[Picture]:
    return [mark for mark in drawing.marks if isinstance(mark, Picture) and mark.title]


def texts(drawing: Drawing) -> list[Text]:
    return [mark for mark in drawing.marks if isinstance(mark, Text)]


def words(drawing: Drawing) -> list[str]:
    return [text.text for text in texts(drawing)]


def with_map(difference: Difference, name: str, **changed: object) -> Difference:
    """The same comparison with another map in A."""
    a = difference.a
    maps: dict[str, LayerMap] = {**a.maps, name: replace(a.maps[name], **changed)}  # type: ignore[arg-type]
    return diff(replace(a, maps=maps), difference.b)


# --- Maps -----------------------------------------------------------------------------------


def test_the_page_is_that_of_a_s_own_poster_but_for_sizes(samples: Difference) -> None:
    sheet, _ = made(samples)
    template, _ = fill_template(samples.a, POSTER, native=True)
    assert isinstance(template, PosterTemplate)
    own = template.sheet
    assert (sheet.nodes, sheet.blocks, sheet.stages) == (own.nodes, own.blocks, own.stages)
    assert sheet.ways == own.ways


def test_cards_show_a_b_and_the_difference_on_one_scale(samples: Difference) -> None:
    sheet, drawing = made(samples)
    by_place = {(p.x, p.y): p for p in pictures(drawing)}
    for card in sheet.cards:
        name = sheet.nodes[sheet.blocks[card.entry.first].exit].key
        each = samples.layers[name]
        assert [tile.pane for tile in card.tiles] == [0, 1, 2]
        for tile, caption, values in zip(card.tiles, CAPTIONS, each.drawn, strict=True):
            shown = by_place[tile.shown.x, tile.shown.y]
            assert shown.title == f"{name}: {caption}"
            assert values is not None
            np.testing.assert_array_equal(
                shown.pixels, paint_diverging(values, each.bound)[..., :3]
            )


def test_captions_stand_above_their_tiles(samples: Difference) -> None:
    sheet, drawing = made(samples)
    shown = [text for text in texts(drawing) if text.text in CAPTIONS and text.size == SMALL]
    assert [text.text for text in shown] == CAPTIONS * len(sheet.cards)
    tiles = [tile.box for card in sheet.cards for tile in card.tiles]
    for text, box in zip(shown, tiles, strict=True):
        middle = text.x + text_width(text.text, SMALL) / 2
        assert middle == pytest.approx(box.x + box.width / 2)
        assert box.y - 8 < text.y < box.y


def test_thumbnails_are_differences_of_their_layers(samples: Difference) -> None:
    sheet, drawing = made(samples)
    by_place = {(p.x, p.y): p for p in pictures(drawing)}
    thumbs = list(sheet.thumbs)
    assert len(thumbs) == len(samples.layers)
    for number in np.random.default_rng(0).choice(len(thumbs), 10, replace=False).tolist():
        thumb = thumbs[number]
        each = samples.layers[sheet.nodes[thumb.place].key]
        assert each.difference is not None
        shown = by_place[thumb.shown.x, thumb.shown.y]
        assert shown.title == f"{each.layer.name}: B - A"
        expected = paint_diverging(each.difference, each.bound)[..., :3]
        np.testing.assert_array_equal(shown.pixels, expected)


def test_large_maps_show_the_strongest_difference_of_each_cell() -> None:
    size = (400, 400)
    sides = [side(maps_of(seed, size=size), input_size=size) for seed in (1, 2)]
    change = np.zeros(size, np.float32)
    change[7, 390] = -50
    first = sides[0].maps
    changed = {n: replace(m, cam=m.cam + change) for n, m in first.items()}
    difference = diff(sides[0], replace(sides[1], maps=changed))
    _, drawing = made(difference)
    shown = {p.title: p.pixels for p in pictures(drawing)}
    for name, each in difference.layers.items():
        assert each.difference is not None
        pixels = shown[f"{name}: B - A"]
        rows, columns, _ = pixels.shape
        assert rows < 400
        strongest = paint_diverging(each.difference[7:8, 390:391], each.bound)[..., :3]
        cell = pixels[7 * rows // 400, 390 * columns // 400]
        assert cell.tolist() == strongest[0, 0].tolist()


def test_white_maps_have_an_outline(samples: Difference) -> None:
    sheet, drawing = made(diff(samples.a, samples.a))
    lines = {m.points for m in drawing.marks if isinstance(m, Line) and m.closed and not m.filled}
    corners = {min(points) for points in lines}
    for thumb in sheet.thumbs:
        x, y = thumb.shown.x, thumb.shown.y
        assert any(abs(a - x) < 0.5 and abs(b - y) < 0.5 for a, b in corners)


@pytest.mark.parametrize("page", ["screen", "a4"])
def test_what_is_no_map_is_hatched_and_cells_are_square(page: str) -> None:
    """Of A's layers some are not in B, and some of B's are smaller."""
    difference = two_models()
    _, drawing = made(difference, replace(POSTER, page=PAGES[page]))
    greys = np.unique(hatch(48, 48, 1.0))
    kinds = set()
    for picture in pictures(drawing):
        assert picture.title is not None
        name, caption = picture.title.split(": ")
        each = difference.layers[name]
        values = each.drawn[CAPTIONS.index(caption)]
        kinds.add((caption, values is None, each.b is None))
        if values is None:
            np.testing.assert_array_equal(np.unique(picture.pixels), greys)
        elif min(values.shape) > 1:
            rows, columns, _ = picture.pixels.shape
            assert (rows, columns) == values.shape
            assert picture.width / columns == pytest.approx(picture.height / rows)
    assert {("B - A", True, False), ("B - A", True, True), ("B", True, True)} <= kinds


def test_a_card_of_one_layer_says_why_there_is_no_difference() -> None:
    content = DifferenceContent(two_models())
    assert content.caption("conv") == "A is 8 x 6, B is 6 x 4"
    assert content.caption("pool") == "only in A"
    assert content.caption("x") == "relative L2 0"
    conv, relu = "conv_1", "relu_1"
    layers = [Layer(conv, "Conv", "Conv"), Layer(relu, "Relu", "Relu", (conv,))]
    a = side(maps_of(1, conv, relu), layers=tuple(layers))
    b = replace(a, maps={**a.maps, relu: replace(a.maps[relu], weighted=True)})
    found = DifferenceContent(diff(a, b))
    assert found.caption(relu) == "B's is weighted through a kernel, A's is not"
    assert found.caption("none") == ""


def test_wide_maps_stand_one_below_the_other() -> None:
    size = (4, 40)
    a, b = (side(maps_of(seed, size=size), input_size=size) for seed in (1, 2))
    sheet, drawing = made(diff(a, b))
    for card in sheet.cards:
        boxes = [tile.box for tile in card.tiles]
        assert len({box.x for box in boxes}) == 1
        assert boxes[0].y + boxes[0].height < boxes[1].y
        assert boxes[1].y + boxes[1].height < boxes[2].y
        captions = [t for t in texts(drawing) if t.text in CAPTIONS and t.x == card.x]
        inside = [t for t in captions if card.room.y < t.y < card.room.y + card.room.height]
        assert [text.text for text in inside] == CAPTIONS
        assert max(t.x + text_width(t.text, SMALL) for t in inside) < boxes[0].x


def test_a_run_shows_the_maps_of_its_first_block() -> None:
    sheet, drawing = made(residual_difference(420))
    runs = [card for card in sheet.cards if card.entry.count > 1]
    assert runs
    for card in runs:
        exits = [sheet.blocks[number].exit for number in card.entry.shown]
        assert [tile.place for tile in card.tiles] == [exits[0]] * 3
        assert set(exits) <= {thumb.place for thumb in card.thumbs}
    assert words(drawing).count("B - A, first") == len(runs)


# --- Bars -----------------------------------------------------------------------------------


def bars_in(drawing: Drawing, room: Box) -> list[tuple[float, float, tuple[int, int, int]]]:
    """Top, bottom and colour of the bars in a room."""
    return [
        (y, y + height, mark.colour)
        for mark in drawing.marks
        if isinstance(mark, Boxes)
        for x, y, width, height in mark.boxes.tolist()
        if (x, width) == (room.x, room.width) and height > 0.6
        if room.y - 1 <= y <= room.y + room.height
    ]


def test_bars_are_the_relative_l2_on_one_scale(samples: Difference) -> None:
    sheet, drawing = made(samples)
    measures = np.array([each.relative_l2 for each in samples.layers.values()])
    scale = BarScale.of(np.stack([np.zeros_like(measures), measures], axis=1))
    assert scale.low == 0
    shown = list(sheet.layers)
    assert len(shown) == len(samples.layers)
    for thumb, room in shown:
        each = samples.layers[sheet.nodes[thumb.place].key]
        ((top, bottom, colour),) = bars_in(drawing, room)
        high = float(scale.places(np.array([each.relative_l2]))[0])
        assert bottom == pytest.approx(room.y + room.height)
        assert top == pytest.approx(room.y + (1 - high) * room.height, abs=0.81)
        assert colour != LINE


def test_an_infinite_one_has_another_colour_and_takes_no_part(samples: Difference) -> None:
    name = "relu3b"
    zeros = np.zeros_like(samples.a.maps[name].cam)
    found = with_map(samples, name, cam=zeros, minimum=0.0, maximum=0.0)
    assert math.isinf(found.layers[name].relative_l2)
    sheet, drawing = made(found)
    for thumb, room in sheet.layers:
        ((top, bottom, colour),) = bars_in(drawing, room)
        assert (colour == LINE) == (sheet.nodes[thumb.place].key == name)
        if colour == LINE:
            assert (top, bottom) == pytest.approx((room.y, room.y + room.height))
    assert any(f"1 infinite, as A is all zero: {name}" in line for line in words(drawing))
    assert not any("relative L2 inf" in line for line in words(drawing))


def test_what_is_not_compared_has_no_bar(samples: Difference) -> None:
    name = "conv3a"
    found = with_map(samples, name, bad_values=2, minimum=math.nan, maximum=math.nan)
    sheet, drawing = made(found)
    counts = {sheet.nodes[t.place].key: len(bars_in(drawing, room)) for t, room in sheet.layers}
    assert [layer for layer, count in counts.items() if count == 0] == [name]
    assert f"compared: 48 of 49 layers; 1 not finite: {name}" in words(drawing)


# --- Words ----------------------------------------------------------------------------------


def marked(drawing: Drawing) -> str:
    (found,) = (t.text for t in texts(drawing) if t.colour == MARKER and len(t.text) > 3)
    return found


def test_markers_are_the_layers_that_differ_most(samples: Difference) -> None:
    _, drawing = made(samples)
    layers = [each for each in samples.layers.values() if each.layer.op_type != "Input"]
    most = max(layers, key=lambda each: each.relative_l2)
    least = min(layers, key=lambda each: each.correlation)
    x, y = marked(drawing).split(" · ")
    said, _, value, *_ = x.removeprefix("X largest ").split()
    assert (said, x.partition(value)[2].split()[0]) == ("relative", most.layer.name)
    assert float(value) == pytest.approx(most.relative_l2, rel=0.01)
    assert y.startswith(f"Y lowest correlation {least.correlation:.4f} {least.layer.name}")


def test_an_input_is_no_find(samples: Difference) -> None:
    small = samples.b.maps["image"].cam * np.float32(-1e-3)
    found = with_map(samples, "image", cam=small)
    assert found.ranked[0].layer.name == "image"
    assert min(found.compared, key=lambda each: each.correlation).layer.name == "image"
    _, drawing = made(found)
    assert "image" not in marked(drawing)


def test_the_layer_that_adds_most_noise_is_marked(samples: Difference) -> None:
    noise = {"conv1a": Noise(100.0, 9.0, own=4.0), "relu1a": Noise(100.0, 16.0, own=1.0)}
    layers = {n: replace(e, noise=noise.get(n)) for n, e in samples.layers.items()}
    _, drawing = made(replace(samples, layers=layers))
    assert marked(drawing).split(" · ")[-1].startswith("Z adds most noise 20.00 % conv1a")


def test_nothing_is_marked_where_nothing_differs(samples: Difference) -> None:
    _, drawing = made(diff(samples.a, samples.a))
    assert not any(text.colour == MARKER for text in texts(drawing))


def test_the_header_tells_both_sides(demo_model: Model) -> None:
    three, eight = (demo_model.explain(np.load(DIGITS)[digit]) for digit in (3, 8))
    a = replace(three, sample="digits.npy[3]", label="3")
    _, drawing = made(diff(a, replace(eight, sample="digits.npy[8]")))
    found = words(drawing)
    assert "lenet_mnist: B - A" in found
    assert "digits.npy[3], label 3" in found
    assert "digits.npy[8]" in found
    assert [line for line in found if line.startswith("class ")] == [
        each.prediction.brief("class") for each in (three, eight) if each.prediction is not None
    ]
    untitled = [m for m in drawing.marks if isinstance(m, Picture) and not m.title and m.y < 100]
    assert len(untitled) == 2
    for picture, each in zip(untitled, (three, eight), strict=True):
        assert each.own_picture is not None
        assert each.own_picture.pixels is not None
        np.testing.assert_array_equal(picture.pixels, each.own_picture.pixels)


def test_layers_of_b_alone_are_named_below_the_header() -> None:
    _, drawing = made(two_models())
    (line,) = (text for text in texts(drawing) if text.text.startswith("compared: "))
    assert line.text.endswith("3 only in A: pool, dense, softmax; 2 only in B: own, gpool")
    assert not any("own" in (picture.title or "") for picture in pictures(drawing))


def test_the_order_of_b_is_told(samples: Difference) -> None:
    order = Permutation(rows=Order("seed:3", seed=3))
    _, drawing = made(diff(samples.a, samples.b, permutation=order))
    assert any(line.startswith("order of B's input: ") for line in words(drawing))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("blocks", [1, 8, 30])
def test_texts_are_legible_apart_and_on_the_page(blocks: int, page: str) -> None:
    style = replace(POSTER, page=PAGES[page])
    sheet, drawing = made(residual_difference(blocks, models=True), style)
    assert sheet.height == PAGES[page][1]
    boxes = []
    for text in texts(drawing):
        assert text.size >= SMALL
        right = text.x + text_width(text.text, text.size)
        assert text.x >= 0
        assert right <= drawing.width
        boxes.append((text.x, text.y - 0.62 * text.size, right, text.y, text.text))
    for one, other in itertools.combinations(boxes, 2):
        across = one[0] < other[2] - 0.3 and other[0] < one[2] - 0.3
        down = one[1] < other[3] - 0.3 and other[1] < one[3] - 0.3
        assert not (across and down), (one, other)


def test_a_narrow_page_has_markers_and_counts_in_two_lines(samples: Difference) -> None:
    sheet, drawing = made(samples, replace(POSTER, page=PAGES["a4"]))
    assert sheet.width < NARROW
    (counts,) = (text for text in texts(drawing) if text.text.startswith("compared: "))
    (markers,) = (t for t in texts(drawing) if t.colour == MARKER and len(t.text) > 3)
    assert counts.y - markers.y >= 10
    assert counts.y < min(line.y + 4 for line in sheet.lines)


# --- Files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["a4", "700x600"])
def test_the_page_of_a_file_is_chosen(samples: Difference, page: str, tmp_path: Path) -> None:
    width, height = PAGES.get(page, (700, 600))
    path = samples.save(tmp_path / "d.png", drawing="poster", page=page, scale_png=2)
    with Image.open(path) as picture:
        assert picture.size == (2 * width, 2 * height)


@pytest.mark.parametrize("drawing", ["poster", "diagram"])
def test_a_pdf_is_one_page_with_text(
    samples: Difference, drawing: DrawingChoice, tmp_path: Path
) -> None:
    path = samples.save(tmp_path / "d.pdf", drawing=drawing, page="a4")
    (page,) = PdfReader(path).pages
    assert "B - A" in page.extract_text()
    if drawing == "poster":
        assert (page.mediabox.width, page.mediabox.height) == pytest.approx((595.5, 842.25))


def test_large_networks_are_posters_and_small_ones_diagrams() -> None:
    for blocks, poster in ((2, False), (8, True)):
        difference = residual_difference(blocks)
        assert (len(difference.layers) > 24) == poster
        text = svg_text(difference, Style("flat"))
        assert ("in the order of the page" in text) == poster
        diagram = svg_text(difference, Style("flat", rankdir="TB"))
        assert "in the order of the page" not in diagram


def test_a_poster_needs_no_graphviz_and_is_what_a_notebook_shows(samples: Difference) -> None:
    scene = replace(samples.a.scene, lay_out=None, _layouts={})  # type: ignore[arg-type]
    a, b = (replace(each, scene=scene) for each in (samples.a, samples.b))
    difference = replace(samples, a=a, b=b)
    shown = difference._repr_mimebundle_()["image/svg+xml"]
    assert shown == svg_text(samples, POSTER)


@pytest.mark.parametrize("given", [{"rankdir": "LR"}, {"scale_tiles": 1.0}])
def test_what_belongs_to_the_diagram_is_refused(
    samples: Difference, given: dict[str, str | float], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="belong to the diagram, not to the poster"):
        samples.save(tmp_path / "d.svg", drawing="poster", **given)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_an_unknown_page_is_refused(samples: Difference, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown page: 'a3'"):
        samples.save(tmp_path / "d.svg", drawing="poster", page="a3")


def test_numbers_stand_beside_the_tiles_where_there_is_room() -> None:
    difference = residual_difference(8)
    sheet, drawing = made(difference)
    assert sheet.arrangement.numbers == "beside"
    found = words(drawing)
    assert found.count("rel. L2") == found.count("corr.") == len(sheet.cards)
    for card in sheet.cards:
        each = difference.layers[sheet.nodes[card.tiles[0].place].key]
        assert show_value(each.relative_l2) in found


def test_the_relative_l2_stands_below_the_title_where_tiles_fill_the_card() -> None:
    difference = residual_difference(12)
    sheet, drawing = made(difference)
    assert sheet.arrangement.numbers == "line"
    for card in sheet.cards:
        each = difference.layers[sheet.nodes[card.tiles[0].place].key]
        (line,) = (t for t in texts(drawing) if t.x == card.x and card.y < t.y - 12 < card.y + 12)
        assert line.text == f"relative L2 {show_value(each.relative_l2)}"
        assert line.y < card.tiles[0].box.y - 8


def test_a_mean_has_no_own_picture() -> None:
    a = residual_explanation(8)
    found = diff(replace(a, fed=None), replace(a, fed=None))
    _, drawing = made(found)
    header = [m for m in drawing.marks if isinstance(m, Picture) and not m.title and m.y < 100]
    assert not header
