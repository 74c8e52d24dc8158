"""A poster's page: every layer is where it belongs, with its own numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from micam_fast.api.explanation import Explanation
from micam_fast.core.choices import PAGES, Detail
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.marks import Boxes, Drawing, Picture, Plane, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.poster.markers import find_markers
from micam_fast.diagrams.poster.palette import PALE_NEGATIVE, PALE_POSITIVE
from micam_fast.diagrams.poster.scale import BarScale
from micam_fast.diagrams.poster.sheet import Sheet
from micam_fast.diagrams.poster.template import PosterTemplate
from micam_fast.diagrams.style import Style
from tests.helpers.posters import check_texts, residual_explanation

POSTER = Style("flat", drawing="poster")


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    return residual_explanation(8)


def made(explanation: Explanation, style: Style = POSTER) -> tuple[PosterTemplate, Drawing]:
    template, fillings = fill_template(explanation, style, native=True)
    assert isinstance(template, PosterTemplate)
    return template, template.blank.fill(fillings)


def pictures(drawing: Drawing) -> list[Picture]:
    return [mark for mark in drawing.marks if isinstance(mark, Picture) and mark.title]


def rooms(sheet: Sheet, place: int) -> list[Box]:
    tiles = [tile.shown for card in sheet.cards for tile in card.tiles if tile.place == place]
    return tiles + [each.shown for each in sheet.thumbs if each.place == place]


def test_every_layer_is_on_the_page_once_as_a_thumbnail(explanation: Explanation) -> None:
    template, drawing = made(explanation)
    titles = [picture.title for picture in pictures(drawing)]
    exits = len(template.sheet.blocks)
    assert len(titles) == len(explanation.maps) + exits
    assert set(titles) == set(explanation.maps)


def test_thumbnails_show_the_maps_of_their_layers(explanation: Explanation) -> None:
    """The colours that stand where the page has a layer are those of this layer's own map."""
    template, drawing = made(explanation)
    by_place = {(p.x, p.y): p for p in pictures(drawing)}
    rng = np.random.default_rng(0)
    sheet = template.sheet
    for place in rng.choice(len(sheet.nodes), 10, replace=False).tolist():
        name = sheet.nodes[place].key
        found = explanation.maps[name]
        for box in rooms(sheet, place):
            shown = by_place[box.x, box.y].pixels
            if found.plain:
                assert shown.tolist() == [[[200, 200, 200]]]
            else:
                np.testing.assert_array_equal(shown, found.rgba[..., :3])


def test_bars_tell_the_ranges_of_their_layers(explanation: Explanation) -> None:
    template, drawing = made(explanation)
    sheet = template.sheet
    names = [node.key for node in sheet.nodes]
    ranges = np.array([(explanation.maps[n].minimum, explanation.maps[n].maximum) for n in names])
    is_input = np.array([node.layer.op_type == "Input" for node in sheet.nodes])
    scale = BarScale.of(ranges[~is_input])
    bars = np.concatenate(
        [mark.boxes for mark in drawing.marks if isinstance(mark, Boxes) and len(mark.boxes)]
    )
    for thumb, room in sheet.layers:
        inside = bars[
            (bars[:, 0] == room.x) & (bars[:, 2] == room.width) & (bars[:, 3] > 0.6)
            & (bars[:, 1] >= room.y - 1) & (bars[:, 1] <= room.y + room.height)
        ]  # fmt: skip
        low, high = scale.places(ranges[thumb.place])
        zero = float(scale.places(np.zeros(1))[0])
        if low == high == zero:
            continue
        top, bottom = inside[:, 1].min(), (inside[:, 1] + inside[:, 3]).max()
        assert top == pytest.approx(room.y + (1 - high) * room.height, abs=0.81)
        assert bottom == pytest.approx(room.y + (1 - low) * room.height, abs=0.81)


def test_inputs_are_pale(explanation: Explanation) -> None:
    _, drawing = made(explanation)
    pale = [m for m in drawing.marks if isinstance(m, Boxes) and m.colour == PALE_POSITIVE]
    # In the legend, below the thumbnail and in the chart.
    assert [len(mark.boxes) for mark in pale] == [1, 1, 1]
    assert PALE_NEGATIVE not in [m.colour for m in drawing.marks if isinstance(m, Boxes)]


def test_markers_frame_the_layers_that_they_name(explanation: Explanation) -> None:
    template, drawing = made(explanation)
    sheet = template.sheet
    for marker in find_markers(sheet.nodes, explanation.maps):
        title = sheet.nodes[marker.place].title
        found = [m for m in drawing.marks if isinstance(m, Text) and marker.text in m.text]
        assert f"{marker.letter} {marker.text} {title}" in found[0].text
        box = next(each.shown for each in sheet.thumbs if each.place == marker.place)
        above = [
            m for m in drawing.marks
            if isinstance(m, Text) and marker.letter in m.text and m.bold
            and abs(m.x + text_width(m.text, m.size) / 2 - box.x - box.width / 2) < 0.1
            and abs(m.y - box.y) < 3
        ]  # fmt: skip
        assert above


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("blocks", [1, 8, 30])
def test_texts_are_legible_apart_and_on_the_page(blocks: int, page: str) -> None:
    explanation = replace(residual_explanation(blocks), sample="digits.npy[3]")
    _, drawing = made(explanation, replace(POSTER, page=PAGES[page]))
    check_texts(drawing)


@pytest.mark.parametrize("blocks", [0, 1, 12, 40, 120])
def test_nothing_leaves_the_page(blocks: int) -> None:
    template, _ = made(residual_explanation(blocks))
    sheet = template.sheet
    assert sheet.width == 1440
    assert sheet.height == 900
    shown = [tile for card in sheet.cards for tile in card.tiles]
    for each in (*shown, *sheet.thumbs):
        assert each.box.x >= 0
        assert each.box.x + each.box.width <= sheet.width
        assert each.box.y + each.box.height <= sheet.height


def test_a_long_run_of_alike_blocks_is_one_card() -> None:
    template, drawing = made(residual_explanation(120), replace(POSTER, page=(640, 520)))
    sheet = template.sheet
    runs = [card for card in sheet.cards if card.entry.count > 1]
    assert runs
    hidden = sum(card.entry.count - 2 for card in runs)
    assert len(sheet.cards) == len(sheet.blocks) - sum(c.entry.count - 1 for c in runs)
    assert hidden > 50
    texts = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    for card in runs:
        assert f"x {card.entry.count}" in texts


def test_main_tiles_of_the_isometric_look_are_planes(explanation: Explanation) -> None:
    template, drawing = made(explanation, replace(POSTER, look="isometric"))
    maps = explanation.maps
    spatial = {
        template.sheet.nodes[tile.place].key
        for card in template.sheet.cards
        for tile in card.tiles
        if not maps[template.sheet.nodes[tile.place].key].flat
    }
    planes = [mark for mark in drawing.marks if isinstance(mark, Plane)]
    assert {plane.title for plane in planes} == spatial
    for plane in planes:
        assert plane.title is not None
        if not maps[plane.title].plain:
            np.testing.assert_array_equal(plane.pixels, maps[plane.title].rgba[..., :3])
    flat = [picture.title for picture in pictures(drawing)]
    assert len(flat) == len(maps) + len(template.sheet.blocks) - len(planes)


def test_depth_and_only_shorten_the_poster(explanation: Explanation) -> None:
    template, _ = made(explanation, replace(POSTER, detail=Detail(only_mapped=True)))
    assert len(template.sheet.nodes) == len(explanation.maps)


def test_a_template_is_made_once_for_samples_of_the_same_shapes(explanation: Explanation) -> None:
    other = replace(explanation, sample="another one", label="7")
    first, _ = fill_template(explanation, POSTER, native=True)
    second, fillings = fill_template(other, POSTER, native=True)
    assert first is second
    texts = [m.text for m in first.blank.fill(fillings).marks if isinstance(m, Text)]
    assert "another one, label 7" in texts


def test_a_poster_needs_no_graphviz(explanation: Explanation) -> None:
    scene = replace(explanation.scene, lay_out=None, _layouts={})  # type: ignore[arg-type]
    template, _ = made(replace(explanation, scene=scene))
    assert template.sheet.cards


def test_a_layer_that_is_not_finite_is_hatched(explanation: Explanation) -> None:
    name = "conv3a"
    found = explanation.maps[name]
    bad = replace(found, bad_values=2, minimum=np.nan, maximum=np.nan)
    _, drawing = made(replace(explanation, maps={**explanation.maps, name: bad}))
    shown = [picture.pixels for picture in pictures(drawing) if picture.title == name]
    assert len(np.unique(shown[0])) == 2


def test_numbers_stand_beside_the_tile_where_there_is_room(explanation: Explanation) -> None:
    _, drawing = made(explanation)
    texts = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    assert texts.count("max") == texts.count("min")
    assert all(re.match(r"^[A-C]? ?\S", text) for text in texts)
