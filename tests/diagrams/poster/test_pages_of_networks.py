"""Posters of known networks, with maps of random numbers: what stands where."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from micam_fast.api.explanation import Explanation
from micam_fast.core.choices import PAGES
from micam_fast.core.layers import Layer
from micam_fast.diagrams.filling import fill_template
from micam_fast.diagrams.marks import Text
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.poster.arrangement import PILLS
from micam_fast.diagrams.poster.palette import WAY
from micam_fast.diagrams.poster.template import PosterTemplate
from micam_fast.diagrams.style import Style
from micam_fast.maps.layer_map import LayerMap
from tests.helpers.network_layers import network_names, network_nodes
from tests.helpers.posters import chain_nodes, check_texts, layer_map

STAGE = re.compile(r"conv(\d)_block")


def explained(nodes: tuple[Node, ...]) -> Explanation:
    """Maps of 12 x 12 cells, of 6 x 6 from the middle on, and lists at the end.

    A layer called ``conv3_block1`` has a map of 3 x 3.
    """
    rng = np.random.default_rng(1)
    maps: dict[str, LayerMap] = {}
    layers: list[Layer] = []
    for place, node in enumerate(nodes):
        if place > len(nodes) - 4:
            found = layer_map(rng.normal(size=(1, 10)), flat=True)
        else:
            stage = STAGE.match(node.key)
            side = 12 if place < len(nodes) // 2 else 6
            side = side if stage is None else int(stage[1])
            found = layer_map(rng.normal(size=(side, side)))
        maps[node.key] = replace(found, channels=None if found.flat else 256)
        layers.append(node.layer)
    scene = ModelDiagram("a network with a name", tuple(layers))
    return Explanation(maps, (-5.0, 5.0), None, None, (96, 96), scene, "a sample.png")


@pytest.mark.parametrize("page", ["screen", "a4", "slide"])
@pytest.mark.parametrize("name", network_names())
def test_every_layer_is_on_a_legible_page(name: str, page: str) -> None:
    nodes = network_nodes(name)
    explanation = explained(nodes)
    style = Style("flat", drawing="poster", page=PAGES[page])
    template, fillings = fill_template(explanation, style, native=True)
    assert isinstance(template, PosterTemplate)
    sheet = template.sheet
    assert (sheet.width, sheet.height) == PAGES[page]
    check_texts(template.blank.fill(fillings))
    shown = [thumb.place for thumb in sheet.thumbs]
    assert sorted(shown) == list(range(len(nodes)))
    for thumb in sheet.thumbs:
        assert thumb.box.x + thumb.box.width <= sheet.width
        assert thumb.box.y + thumb.box.height <= sheet.height


def test_names_lose_what_their_stage_shares_where_cards_are_narrow() -> None:
    style = Style("flat", drawing="poster", page=PAGES["a4"])
    template, fillings = fill_template(explained(network_nodes("DenseNet121")), style, native=True)
    texts = [m for m in template.blank.fill(fillings).marks if isinstance(m, Text) and m.bold]
    cut = {text.full: text.text for text in texts if text.full is not None}
    assert cut["conv4_block17"] == "block17"
    assert not any("…" in text for text in cut.values())


def test_numbers_of_far_cards_stand_above_the_tiles() -> None:
    style = Style("flat", drawing="poster")
    template, fillings = fill_template(explained(network_nodes("unet")), style, native=True)
    assert isinstance(template, PosterTemplate)
    sheet = template.sheet
    marks = template.blank.fill(fillings).marks
    numbers = [mark for mark in marks if isinstance(mark, Text) and mark.colour == WAY]
    assert sheet.ways.long
    for edge in sheet.ways.long:
        for here, there in ((edge.source, edge.target), (edge.target, edge.source)):
            room = sheet.cards[here].room
            inside = [
                each.text
                for each in numbers
                if room.y - PILLS < each.y < room.y
                and room.x <= each.x <= room.x + sheet.arrangement.card_width
            ]
            assert str(there + 1) in inside


@pytest.mark.parametrize(("layers", "grows"), [(100, False), (4000, True)])
def test_a_page_that_had_to_grow_says_so(layers: int, grows: bool) -> None:
    style = Style("flat", drawing="poster", page=(500, 500))
    template, fillings = fill_template(explained(chain_nodes(layers)), style, native=True)
    assert isinstance(template, PosterTemplate)
    assert (template.sheet.height > 500) is grows
    texts = [mark.text for mark in template.blank.fill(fillings).marks if isinstance(mark, Text)]
    assert any(text.endswith("taller than asked for") for text in texts) is grows
