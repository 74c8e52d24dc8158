"""What the diagrams of samples share: sheets, and their templates as pieces of SVG."""

from __future__ import annotations

import copy
import dataclasses
import functools
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from micam_fast import Explanation, Model
from micam_fast.api.formats.svg import svg_text
from micam_fast.core.choices import Look
from micam_fast.demo import DIGITS
from micam_fast.diagrams.diagram_template import DiagramTemplate
from micam_fast.diagrams.encoders import SvgPage, write_png, write_svg
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.filling import header_lines
from micam_fast.diagrams.heading import head_width
from micam_fast.diagrams.marks import Drawing, Filling, Hole, Mark, Path, Picture, Template, Text
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.diagrams.nodes import draw_nodes
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import tile_room
from micam_fast.maps.layer_map import LayerMap
from tests.helpers.drawings import HOSTILE, SVG, everything
from tests.helpers.pictures import compose, layer_map
from tests.helpers.small_diagram import HEADER, LAYERS, LEFT_OUT, NAMES, placed

NODES = draw_nodes(LAYERS, NAMES)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def maps_of(seed: int, names: Sequence[str] = NAMES, **given: Any) -> dict[str, LayerMap]:
    rng = np.random.default_rng(seed)
    return {
        layer.name: layer_map(
            rng.standard_normal((4, 4)) * 10.0 ** rng.integers(-9, 9),
            input_shapes=layer.input_shapes,
            **given,
        )
        for layer in LAYERS
        if layer.name in names
    }


def assert_same_marks(found: Drawing, expected: Drawing) -> None:
    assert (found.width, found.height, found.title) == (
        expected.width,
        expected.height,
        expected.title,
    )
    for one, other in zip(found.marks, expected.marks, strict=True):
        if isinstance(one, Picture):
            assert isinstance(other, Picture)
            np.testing.assert_array_equal(one.pixels, other.pixels)
            empty = np.empty((1, 1, 3), np.uint8)
            one = dataclasses.replace(one, pixels=empty)
            other = dataclasses.replace(other, pixels=empty)
            assert vars(one) == vars(other)
        else:
            assert one == other


# --- Sheets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["isometric", "flat"])
@pytest.mark.parametrize(("rankdir", "scale"), [("TB", 1.0), ("LR", 0.7)])
@pytest.mark.parametrize("names", [NAMES, [n for n in NAMES if n != LEFT_OUT], []])
def test_a_sheet_of_another_sample_gives_this_one_s_diagram(
    look: Look, rankdir: str, scale: float, names: Sequence[str]
) -> None:
    where = placed(names, rankdir, look)
    how: dict[str, Any] = {"input_size": (4, 4), "style": Style(look, scale_tiles=scale)}
    other = ["demo_net", "sample: 7.png", "prediction: class 3, probability 0.4444"]
    template = DiagramTemplate(NODES, where, maps_of(1, names), other, **how)
    for seed in (2, 3):
        maps = maps_of(seed, names)
        filled = template.blank.fill(template.fillings(maps, HEADER))
        expected = compose(LAYERS, where, maps, HEADER, input_size=(4, 4), look=look, scale=scale)
        assert_same_marks(filled, expected)


def test_hatched_and_flat_layers_have_sheets_too() -> None:
    where = placed(look="flat")
    kinds: list[dict[str, Any]] = [
        {"bad_values": 3}, {"bad_values": 0}, {"flat": True, "even_weights": True},
    ]  # fmt: skip
    for kind in kinds:
        template = DiagramTemplate(
            NODES, where, maps_of(1, **kind), HEADER, input_size=(4, 4), style=Style("flat")
        )
        maps = maps_of(2, **kind)
        filled = template.blank.fill(template.fillings(maps, HEADER))
        expected = compose(LAYERS, where, maps, HEADER, input_size=(4, 4), look="flat")
        assert_same_marks(filled, expected)


@pytest.mark.parametrize("look", ["isometric", "flat"])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.3])
def test_what_a_sample_brings_stays_within_its_holes(look: Look, scale: float) -> None:
    header = [*HEADER, "all maps: min -1.23457e-05, max 1.23457e+38"]
    given: dict[str, Any] = {"input_size": (4, 4), "style": Style(look, scale_tiles=scale)}
    template = DiagramTemplate(NODES, placed(look=look), maps_of(1), header, **given)
    extremes = maps_of(2)
    extremes["conv"] = layer_map([[-1.23457e-30, 0, 1.23457e30, 1]] * 4)
    holes = [mark for mark in template.blank.marks if isinstance(mark, Hole)]
    for hole, filling in zip(holes, template.fillings(extremes, header), strict=True):
        mark = filling() if callable(filling) else filling
        assert isinstance(mark, (Text, Picture))
        if isinstance(mark, Text):
            left, top = mark.x, mark.y - mark.size
            right, bottom = left + text_width(mark.text, mark.size), mark.y + 0.4 * mark.size
        else:
            left, top = mark.x, mark.y
            right, bottom = left + mark.width, top + mark.height
        assert hole.x <= left
        assert hole.y <= top
        assert right <= hole.x + hole.width + 1e-6
        assert bottom <= hole.y + hole.height + 1e-6


# --- Scenes ---------------------------------------------------------------------------------


def scene() -> ModelDiagram:
    return ModelDiagram("demo_net", LAYERS)


FROM_ABOVE = tile_room("flat", (4, 4)).size
HOW: Mapping[str, Any] = {"input_size": (4, 4), "style": Style("flat"), "native": False}


def test_samples_of_the_same_shapes_share_a_sheet() -> None:
    of_all = scene()
    first = of_all.template(maps_of(1), HEADER, **HOW)
    assert of_all.template(maps_of(2), [*HEADER[:2], "prediction: none"], **HOW) is first


@pytest.mark.parametrize(
    "other",
    [{"input_size": (8, 4)}, {"style": Style("isometric")}, {"style": Style("flat", "LR")},
     {"style": Style("flat", scale_tiles=2.0)}, {"native": True}],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_another_look_is_another_sheet(other: dict[str, Any]) -> None:
    of_all = scene()
    first = of_all.template(maps_of(1), HEADER, **HOW)
    assert of_all.template(maps_of(1), HEADER, **{**HOW, **other}) is not first
    assert of_all.template(maps_of(1), HEADER, **HOW) is first


@pytest.mark.parametrize(
    "given",
    [{"flat": True}, {"even_weights": True}, {"bad_values": 0}, {"bad_values": 9},
     {"doubt": "channels assumed last"}, {"shape": (None, 9, 4, 4)}],
    ids=str,
)  # fmt: skip
def test_maps_with_other_labels_are_on_another_sheet(given: dict[str, Any]) -> None:
    of_all = scene()
    of_all.template(maps_of(1), HEADER, **HOW)
    changed = {**maps_of(2), "right": maps_of(2, **given)["right"]}
    template = of_all.template(changed, HEADER, **HOW)
    expected = compose(
        LAYERS, of_all.layout(frozenset(NAMES), "TB", FROM_ABOVE), changed, HEADER,
        input_size=(4, 4), look="flat",
    )  # fmt: skip
    assert_same_marks(template.blank.fill(template.fillings(changed, HEADER)), expected)


@pytest.mark.parametrize(
    "header",
    [["demo_net"], [*HEADER, "label: 3"], ["demo_net", "sample: " + "W" * 200, HEADER[2]], []],
    ids=["short", "longer", "wide", "none"],
)
def test_headers_of_another_size_are_on_another_sheet(header: list[str]) -> None:
    of_all = scene()
    first = of_all.template(maps_of(1), HEADER, **HOW)
    template = of_all.template(maps_of(1), header, **HOW)
    assert template is not first
    assert template.blank.width >= head_width(header)
    where = of_all.layout(frozenset(NAMES), "TB", FROM_ABOVE)
    expected = compose(LAYERS, where, maps_of(1), header, input_size=(4, 4), look="flat")
    assert_same_marks(template.blank.fill(template.fillings(maps_of(1), header)), expected)


@pytest.mark.parametrize("style", [Style(), Style("flat", "LR", 0.6)], ids=["isometric", "flat"])
def test_files_do_not_depend_on_the_samples_before(demo_model: Model, style: Style) -> None:
    """Also where one of them is not finite, and has no prediction."""
    digits = np.load(DIGITS)[:3].astype(np.float32)
    digits[1, ..., 3, 3] = np.nan
    # With a label in the prediction's place, all headers have as many lines.
    together = [
        dataclasses.replace(each, label=None if each.prediction else "3")
        for each in demo_model.explain_many(digits, batch_size=3)
    ]
    assert len({len(header_lines(each)) for each in together}) == 1
    for found in [*together, *together]:
        alone = dataclasses.replace(
            found, scene=ModelDiagram(demo_model.scene.model, demo_model.scene.layers)
        )
        assert svg_text(found, style) == svg_text(alone, style)
        assert _png(found, style) == _png(alone, style)


def _png(found: Explanation, style: Style) -> bytes:
    header = header_lines(found)
    template = found.scene.template(
        found.maps, header, input_size=found.input_size, style=style, native=False
    )
    file = io.BytesIO()
    template.png.write(template.fillings(found.maps, header), file)
    whole = io.BytesIO()
    write_png(template.blank.fill(template.fillings(found.maps, header)), whole)
    assert file.getvalue() == whole.getvalue()
    return file.getvalue()


# --- SVG ------------------------------------------------------------------------------------


def resolved(text: str) -> list[tuple[str, dict[str, str], list[float], str]]:
    """All elements in order: tag, attributes, numbers of a path, text; ``<use>`` is looked up."""
    root = ET.fromstring(text)
    shapes = {each.get("id"): each for each in root.iterfind(f"{SVG}defs/{SVG}path")}
    assert len(shapes) == len(root.findall(f"{SVG}defs/{SVG}path"))
    used = set()
    found = []
    for each in root:
        if each.tag == f"{SVG}defs":
            continue
        attributes, (x, y) = dict(each.attrib), (0.0, 0.0)
        tag = each.tag
        if tag == f"{SVG}use":
            used.add(attributes["href"].removeprefix("#"))
            shape = shapes[attributes["href"].removeprefix("#")]
            x, y = float(attributes["x"]), float(attributes["y"])
            attributes = {key: value for key, value in shape.attrib.items() if key != "id"}
            tag = shape.tag
        data = attributes.pop("d", "")
        numbers = [float(word) for word in NUMBER.findall(data)]
        moved = [value + (y if place % 2 else x) for place, value in enumerate(numbers)]
        attributes["steps"] = NUMBER.sub("", data)
        found.append((tag, attributes, moved, "".join(each.itertext())))
    assert used == set(shapes)
    return found


def assert_same_picture(found: str, expected: str) -> None:
    assert ET.fromstring(found).attrib == ET.fromstring(expected).attrib
    for one, other in zip(resolved(found), resolved(expected), strict=True):
        assert one[:2] == other[:2]
        assert one[3] == other[3]
        # Places are written with two digits.
        assert one[2] == pytest.approx(other[2], abs=0.021)


def with_holes(drawing: Drawing, chosen: Sequence[bool]) -> tuple[Template, list[Filling]]:
    """A template with holes for the chosen marks, and these; every other one is made when asked."""
    marks: list[Mark | Hole] = []
    fillings: list[Filling] = []
    for mark, is_hole in zip(drawing.marks, chosen, strict=True):
        if is_hole:
            marks.append(Hole(0, 0, drawing.width, drawing.height))
            fillings.append(mark if len(fillings) % 2 else functools.partial(copy.copy, mark))
        else:
            marks.append(mark)
    return Template(drawing.width, drawing.height, tuple(marks), drawing.title), fillings


coordinates = st.floats(-500, 500)
corner = st.tuples(coordinates, coordinates)
paths = st.builds(
    lambda points, at, kind, closed: Path(
        tuple((x + at[0], y + at[1]) for x, y in points),
        curved=kind == "curve", filled=kind == "area", closed=closed,
    ),
    st.sampled_from([[(0, 0), (635, 0), (635, 205), (0, 205)], [(1, 2), (3.004, 4), (5, 6), (7, 8)],
                     [(0, 0), (0, 0), (0.001, -0.001), (9, 9)]]),
    corner, st.sampled_from(["line", "curve", "area"]), st.booleans(),
)  # fmt: skip
lines = st.builds(
    lambda at, text, full: Text(at[0], at[1], text, 13, full=full),
    corner, st.text(max_size=20) | st.just(HOSTILE), st.none() | st.text(max_size=9),
)  # fmt: skip
pictures = st.builds(
    lambda at, seed, channels, title: Picture(
        at[0], at[1], 30, 20,
        np.random.default_rng(seed).integers(0, 256, (2, 3, channels), np.uint8), title,
    ),
    corner, st.integers(0, 9), st.sampled_from([3, 4]), st.none() | st.just(HOSTILE),
)  # fmt: skip


@given(st.lists(st.tuples(paths | lines | pictures, st.booleans()), max_size=12), st.text())
@settings(deadline=None, max_examples=100)
def test_a_filled_template_is_the_drawing(parts: list[tuple[Mark, bool]], title: str) -> None:
    drawing = Drawing(300, 200.5, tuple(mark for mark, _ in parts), title)
    template, fillings = with_holes(drawing, [is_hole for _, is_hole in parts])
    assert_same_picture(SvgPage(template).write(fillings), write_svg(template.fill(fillings)))


@pytest.mark.parametrize("every", [1, 2, 3])
def test_pages_are_filled_many_times(every: int) -> None:
    drawing = everything()
    chosen = [place % every == 0 for place in range(len(drawing.marks))]
    template, fillings = with_holes(drawing, chosen)
    page = SvgPage(template)
    assert page.write(fillings) == page.write(iter(fillings))
    texts: list[Filling] = [Text(1, 2, HOSTILE, 13) for _ in fillings]
    assert_same_picture(page.write(texts), write_svg(template.fill(texts)))
    assert_same_picture(page.write(fillings), write_svg(drawing))


@pytest.mark.parametrize("look", ["isometric", "flat"])
def test_the_svg_of_a_sheet_is_that_of_its_drawing(demo_model: Model, look: Look) -> None:
    for digit in np.load(DIGITS)[:2]:
        found = dataclasses.replace(demo_model.explain(digit), sample=HOSTILE, label="<&>")
        header = header_lines(found)
        room = tile_room(look, found.input_size)
        where = found.scene.layout(frozenset(found.maps), "TB", room.size)
        drawing = compose(
            found.scene.layers, where, found.maps, header, input_size=found.input_size, look=look,
            native=True,
        )  # fmt: skip
        assert_same_picture(svg_text(found, Style(look)), write_svg(drawing))


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_a_filling_for_each_hole(count: int) -> None:
    page = SvgPage(Template(10, 10, (Hole(0, 0, 5, 5),)))
    with pytest.raises(ValueError, match=r"argument 2 is (shorter|longer)"):
        page.write([Text(1, 2, "a", 13)] * count)


def test_shapes_are_told_apart_in_a_page_with_several_diagrams(demo_model: Model) -> None:
    """A saved notebook holds the SVG of several cells as one document."""
    found = demo_model.explain(np.load(DIGITS)[3])
    texts = [svg_text(found, Style("flat", rankdir)) for rankdir in ("TB", "LR")]
    texts.append(write_svg(everything()))
    meanings: dict[str, str] = {}
    for text in texts:
        for each in ET.fromstring(text).iterfind(f"{SVG}defs/{SVG}path"):
            name, data = each.attrib["id"], each.attrib["d"]
            assert meanings.setdefault(name, data) == data
