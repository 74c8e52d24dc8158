"""The finished diagram: header, legend, tiles with labels, edges, clusters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.core.choices import LOOKS, Look
from micam_fast.core.layers import Layer
from micam_fast.diagrams.diagram_template import compose_tile, diagram_size, edge_specs, node_specs
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Drawing, Mark, Path, Picture, Text, move
from micam_fast.diagrams.nodes import draw_nodes
from micam_fast.diagrams.parts import route_marks
from micam_fast.diagrams.places import Box, DiagramLayout, NestedFrame, Route
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import TILE_WIDTH, tile_room
from micam_fast.maps.layer_map import LayerMap
from tests.helpers.pictures import border_distance, box_of, compose, contains, layer_map, overlap
from tests.helpers.small_diagram import HEADER, INPUT_SIZE, LAYERS, LEFT_OUT, NAMES, placed


def some_maps(names: Sequence[str] = NAMES) -> dict[str, LayerMap]:
    rng = np.random.default_rng(2)
    return {
        layer.name: layer_map(rng.standard_normal((4, 4)), input_shapes=layer.input_shapes)
        for layer in LAYERS
        if layer.name in names
    }


def diagram(
    names: Sequence[str] = NAMES,
    *,
    look: Look = "isometric",
    rankdir: str = "TB",
    scale: float = 1.0,
    native: bool = False,
    header: Sequence[str] = HEADER,
) -> Drawing:
    return compose(
        LAYERS,
        placed(names, rankdir, look),
        some_maps(names),
        header,
        input_size=(4, 4),
        look=look,
        scale=scale,
        native=native,
    )


def texts(drawing: Drawing) -> dict[str, Text]:
    """Lines by what they say; those of several nodes only once."""
    return {mark.text: mark for mark in drawing.marks if isinstance(mark, Text)}


def tiles(drawing: Drawing) -> dict[str, Picture]:
    return {
        mark.title: mark
        for mark in drawing.marks
        if isinstance(mark, Picture) and mark.title is not None
    }


def node_boxes(drawing: Drawing, names: Sequence[str] = NAMES) -> dict[str, Box]:
    """The smallest frame around each layer's name."""
    frames = [box_of(mark) for mark in drawing.marks if isinstance(mark, Path) and mark.closed]
    said = texts(drawing)
    return {
        name: min(
            (f for f in frames if contains(f, Box(said[name].x, said[name].y, 0, 0))),
            key=lambda frame: frame.width * frame.height,
        )
        for name in names
    }


# --- Nodes ----------------------------------------------------------------------------------


def test_edges_run_from_producer_to_consumer() -> None:
    assert edge_specs(draw_nodes(LAYERS, ())) == [
        ("image", "conv", ""),
        ("conv", "left", ""),
        ("conv", "right", ""),
        ("left", "add", ""),
        ("right", "add", ""),
    ]


def test_nodes_have_the_published_size_and_left_out_ones_that_of_a_label() -> None:
    specs = {spec.name: spec for spec in node_specs(draw_nodes(LAYERS, ()), ["conv", "add"])}
    assert list(specs) == NAMES
    assert (specs["conv"].width, specs["conv"].height) == (635, 205)
    # image: name (two lines at most), class, O.
    assert specs["image"].width < 635
    assert 3 * 17.5 < specs["image"].height < 5 * 17.5 + 10
    assert specs["right"].cluster == ("outer", "inner")


@pytest.mark.parametrize("look", ["isometric", "flat"])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_every_layer_is_there_once(look: Look, rankdir: str) -> None:
    drawing = diagram(look=look, rankdir=rankdir)
    names = [mark.text for mark in drawing.marks if isinstance(mark, Text) and mark.text in NAMES]
    assert names == NAMES
    titles = [m.title for m in drawing.marks if isinstance(m, Picture) and m.title is not None]
    assert titles == NAMES


@pytest.mark.parametrize("look", ["isometric", "flat"])
def test_picture_and_label_lie_in_their_frame_side_by_side(look: Look) -> None:
    drawing = diagram(look=look)
    boxes, shown, said = node_boxes(drawing), tiles(drawing), texts(drawing)
    room = tile_room(look, INPUT_SIZE)
    for name, box in boxes.items():
        assert (box.width, box.height) == room.size
        tile = shown[name]
        assert contains(box, Box(tile.x, tile.y, tile.width, tile.height))
        assert tile.x + tile.width <= box.x + room.label_x
        assert said[name].x == box.x + room.label_x


def test_layers_that_were_left_out_are_labels() -> None:
    mapped = [name for name in NAMES if name != LEFT_OUT]
    drawing = diagram(mapped)
    assert list(tiles(drawing)) == mapped
    box = node_boxes(drawing)[LEFT_OUT]
    assert box.width < TILE_WIDTH
    inside = [
        mark.text
        for mark in drawing.marks
        if isinstance(mark, Text) and contains(box, Box(mark.x, mark.y, 0, 0))
    ]
    assert inside == ["left", "Relu", "O: ?"]


def test_no_layer_has_a_map() -> None:
    drawing = diagram([])
    assert not tiles(drawing)
    assert set(NAMES) <= set(texts(drawing))


long_names = st.text(st.sampled_from("abW/_.:- é日\n"), min_size=1, max_size=90)


@given(long_names, st.booleans(), st.sampled_from(LOOKS))
@settings(deadline=None, max_examples=60)
def test_any_label_stays_in_its_frame(name: str, mapped: bool, look: Look) -> None:
    layer = Layer(
        name, "Conv", name, (), ((None, 999, 9999, 9999, 9999),) * 3, (None, 3), (9,) * 12, (9,)
    )
    maps = {name: layer_map([[-1e-30, 12345.678]], flat=True, even_weights=True)} if mapped else {}
    (spec,) = node_specs(draw_nodes([layer], maps), maps, tile_room(look, INPUT_SIZE).size)
    drawing = compose(
        [layer],
        DiagramLayout(spec.width, spec.height, {name: Box(0, 0, spec.width, spec.height)}, (), ()),
        maps,
        [],
        input_size=INPUT_SIZE,
        look=look,
    )
    frame = max(
        (box_of(m) for m in drawing.marks if isinstance(m, Path)),
        key=lambda box: box.width * box.height,
    )
    lines = [mark for mark in drawing.marks if isinstance(mark, Text) and mark.y > frame.y]
    assert len(lines) >= 5
    for line in lines:
        assert line.y + line.size / 4 <= frame.y + frame.height
        assert line.x + text_width(line.text, line.size) <= frame.x + frame.width
    for upper, lower in itertools.pairwise(lines):
        assert lower.y - upper.y >= lower.size


def test_what_was_cut_is_told_in_full() -> None:
    name = "model/" * 20 + "end"
    drawing = compose_tile(
        Layer(name, "Conv", "Conv"),
        0,
        layer_map([[0, 1]]),
        input_size=(1, 2),
        style=Style("flat"),
    )
    lines = [mark for mark in drawing.marks if isinstance(mark, Text)]
    assert [line.full for line in lines if line.full is not None] == [name, name]
    assert lines[1].text.endswith("end")


def test_a_tile_of_its_own() -> None:
    drawing = compose_tile(
        LAYERS[1], 1, some_maps()["conv"], input_size=(4, 4), style=Style(scale_tiles=2.0)
    )
    assert (drawing.width, drawing.height, drawing.title) == (1270, 410, "conv")
    assert {"conv", "Conv", "I: (None, 1, 4, 4)"} <= set(texts(drawing))
    assert list(tiles(drawing)) == ["conv"]
    assert tiles(drawing)["conv"].pixels.shape == (410, 850, 3)


# --- Edges and clusters ---------------------------------------------------------------------


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_arrows_run_from_node_to_node(rankdir: str, scale: float) -> None:
    mapped = [name for name in NAMES if name != LEFT_OUT]
    drawing = diagram(mapped, rankdir=rankdir, scale=scale)
    boxes = node_boxes(drawing)
    lines = [mark for mark in drawing.marks if isinstance(mark, Path) and mark.curved]
    heads = [mark for mark in drawing.marks if isinstance(mark, Path) and mark.filled]
    found = []
    for line, head in zip(lines, heads, strict=True):
        tip, *base = head.points
        assert np.mean(base, axis=0) == pytest.approx(line.points[-1])
        ends = []
        for point in (line.points[0], tip):
            name = min(boxes, key=lambda each: border_distance(boxes[each], point))
            assert border_distance(boxes[name], point) <= 3 * scale
            ends.append(name)
        found.append(tuple(ends))
    assert sorted(found) == sorted(
        (tail, head) for tail, head, _ in edge_specs(draw_nodes(LAYERS, ()))
    )


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_an_arrow_s_head_is_nearly_as_wide_as_long_and_leaves_half_of_the_gap(rankdir: str) -> None:
    for route in placed(rankdir=rankdir).routes:
        _, head = (mark for mark in route_marks(route) if isinstance(mark, Path))
        tip, left, right = np.array(head.points)
        width, length = np.hypot(*(left - right)), np.hypot(*(tip - (left + right) / 2))
        assert 0.7 < width / length < 1
        assert length < 0.5 * np.hypot(*(tip - np.array(route.points[0])))


def test_an_arrow_without_length_is_no_area() -> None:
    route = Route(((0, 0), (0, 1), (0, 2), (0, 3)), (0, 3))
    layout = DiagramLayout(700, 300, {"image": Box(0, 0, 635, 205)}, (route,), ())
    drawing = compose(LAYERS[:1], layout, {}, HEADER, input_size=(1, 1), look="flat")
    assert len([m for m in drawing.marks if isinstance(m, Path) and m.curved]) == 1
    assert not [m for m in drawing.marks if isinstance(m, Path) and m.filled]


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_clusters_are_frames_with_titles(rankdir: str) -> None:
    drawing = diagram(rankdir=rankdir)
    frames = node_boxes(drawing, ["outer", "inner"])
    nodes = node_boxes(drawing)
    assert contains(frames["outer"], frames["inner"])
    assert contains(frames["outer"], nodes["left"])
    assert contains(frames["inner"], nodes["right"])
    assert not overlap(frames["inner"], nodes["left"])
    for name in ("image", "conv", "add"):
        assert not overlap(frames["outer"], nodes[name])
    said = texts(drawing)
    for name, frame in frames.items():
        title = said[name]
        line = Box(
            title.x,
            title.y - title.size,
            text_width(title.text, title.size),
            title.size * 1.25,
        )
        assert contains(frame, line)
        assert not any(overlap(line, node) for node in nodes.values())
    assert not contains(frames["inner"], Box(said["outer"].x, said["outer"].y, 0, 0))


def test_a_long_cluster_title_is_cut() -> None:
    name = "a_very_long_name_of_a_model_" * 5
    layout = DiagramLayout(
        300, 200, {"image": Box(40, 60, 220, 90)}, (), (NestedFrame(name, Box(0, 0, 300, 200)),)
    )
    drawing = compose(LAYERS[:1], layout, {}, HEADER, input_size=(1, 1), look="flat")
    (title,) = (mark for mark in drawing.marks if isinstance(mark, Text) and mark.full == name)
    assert text_width(title.text, title.size) < 300


# --- Header and legend ----------------------------------------------------------------------


def test_header_stands_above_the_diagram() -> None:
    drawing = diagram()
    said = texts(drawing)
    top = min(box.y for box in node_boxes(drawing).values())
    heights = [said[line].y for line in HEADER]
    assert heights == sorted(heights)
    assert heights[-1] < top
    assert said[HEADER[0]].size > said[HEADER[1]].size
    assert drawing.title == HEADER[0]


def test_the_legend_explains_all_channels() -> None:
    drawing = diagram()
    said = texts(drawing)
    bars = {
        mark.y: mark for mark in drawing.marks if isinstance(mark, Picture) and mark.title is None
    }
    first = min(box.y for box in node_boxes(drawing).values())
    lines = sorted(
        (
            mark
            for mark in drawing.marks
            if isinstance(mark, Text) and mark.text in ("R", "G", "B", "A")
        ),
        key=lambda mark: mark.y,
    )
    assert [line.text for line in lines] == ["R", "G", "B", "A"]
    assert len(bars) == 5
    for channel, (line, bar) in enumerate(
        zip(lines, [bars[y] for y in sorted(bars)], strict=False)
    ):
        assert bar.y < line.y < bar.y + bar.height
        assert bar.y + bar.height < first
        assert bar.pixels[0, 0, channel] == 0
        assert bar.pixels[0, -1, channel] == 255
        others = np.delete(bar.pixels[0], [channel, 3], axis=1)
        assert not others.any()
    for word in ("positive strength", "negative strength", "map min", "map max", "of all maps"):
        assert [text for text in said if word in text]


def test_header_and_legend_overlap_nothing() -> None:
    drawing = diagram(header=[*HEADER, "label: 3", "all maps: min -1, max 2"])
    lines = [
        Box(mark.x, mark.y - 0.8 * mark.size, text_width(mark.text, mark.size), mark.size)
        for mark in drawing.marks
        if isinstance(mark, Text) and mark.text
    ]
    bars = [
        Box(mark.x, mark.y, mark.width, mark.height)
        for mark in drawing.marks
        if isinstance(mark, Picture)
    ]
    for one, other in itertools.combinations([*lines, *bars], 2):
        assert not overlap(one, other)


def test_a_wide_header_has_its_room() -> None:
    header = ["net", "sample: " + "x" * 300]
    drawing = diagram(header=header)
    line = texts(drawing)[header[1]]
    assert line.x + text_width(line.text, line.size) < drawing.width
    middle = np.mean([box.x + box.width / 2 for box in node_boxes(drawing, ["image"]).values()])
    assert 0.2 < middle / drawing.width < 0.8


# --- Size -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("scale", [1.0, 0.37, 2.0])
def test_all_marks_lie_on_the_sheet_of_the_size_told(rankdir: str, scale: float) -> None:
    drawing = diagram(rankdir=rankdir, scale=scale)
    assert (drawing.width, drawing.height) == diagram_size(placed(rankdir=rankdir), HEADER, scale)
    for mark in drawing.marks:
        if isinstance(mark, Path):
            box = box_of(mark)
        elif isinstance(mark, Text):
            box = Box(mark.x, mark.y, 0, 0)
        else:
            assert isinstance(mark, Picture)
            box = Box(mark.x, mark.y, mark.width, mark.height)
        assert contains(Box(0, 0, drawing.width, drawing.height), box)
    if rankdir == "LR":
        assert drawing.width > drawing.height


def numbers(mark: Mark) -> list[float]:
    """All lengths of a mark that a scale multiplies."""
    if isinstance(mark, Path):
        return [*itertools.chain(*mark.points), mark.width]
    if isinstance(mark, Text):
        return [mark.x, mark.y, mark.size]
    assert isinstance(mark, Picture)
    return [mark.x, mark.y, mark.width, mark.height]


@pytest.mark.parametrize("look", ["isometric", "flat"])
@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_scale_multiplies_everything(look: Look, scale: float) -> None:
    mapped = [name for name in NAMES if name != LEFT_OUT]
    plain = diagram(mapped, look=look)
    scaled = diagram(mapped, look=look, scale=scale)
    assert (scaled.width, scaled.height) == pytest.approx(
        (plain.width * scale, plain.height * scale), abs=1
    )
    assert len(scaled.marks) == len(plain.marks)
    for one, other in zip(plain.marks, scaled.marks, strict=True):
        assert type(one) is type(other)
        if look == "flat" and (isinstance(one, Picture) or len(numbers(one)) == 9):
            continue  # enlarged by whole numbers, so its size goes in steps
        assert numbers(other) == pytest.approx(np.array(numbers(one)) * scale, abs=1)


def test_tiles_are_painted_at_their_final_size() -> None:
    for tile in tiles(diagram(scale=2.0)).values():
        assert tile.pixels.shape[:2] == (tile.height, tile.width) == (410, 850)


def test_native_tiles_keep_the_map_s_pixels() -> None:
    found = some_maps()
    for name, tile in tiles(diagram(look="flat", native=True)).items():
        np.testing.assert_array_equal(tile.pixels, found[name].rgba)


@pytest.mark.parametrize(
    "mark",
    [
        Path(((0, 1), (2, 3))),
        Text(1, 2, "x", 13),
        Picture(1, 2, 3, 4, np.zeros((1, 1, 3), np.uint8)),
    ],
    ids=["path", "text", "picture"],
)
def test_moving_a_mark_moves_it_alone(mark: Mark) -> None:
    moved = move(mark, 10, 20)
    shifts = np.array(numbers(moved)) - np.array(numbers(mark))
    expected = [10, 20, 10, 20, 0] if isinstance(mark, Path) else [10, 20, 0, 0]
    assert shifts.tolist() == expected[: len(shifts)]


def test_maps_of_uncached_layers_are_not_drawn() -> None:
    maps: Mapping[str, LayerMap] = {**some_maps(), "ghost": layer_map([[1]])}
    drawing = compose(LAYERS, placed(look="flat"), maps, HEADER, input_size=(4, 4), look="flat")
    assert list(tiles(drawing)) == NAMES
