"""The diagram of a difference: three maps in each node, on one scale."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.analyses.differences import Difference, diff
from micam_fast.analyses.differences.diagrams import compose_difference, plan_node
from micam_fast.core.layers import Layer
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.marks import Drawing, Path, Picture, Text
from micam_fast.diagrams.places import Box
from micam_fast.diagrams.tiles import hatch
from micam_fast.maps.signed_palette import diverging, paint_diverging
from tests.helpers.differences import maps_of, one_layer, side
from tests.helpers.pictures import box_of, contains, layer_map, overlap
from tests.helpers.small_diagram import NAMES

CAPTIONS = ["A", "B", "B - A"]


def drawn(
    difference: Difference, *, rankdir: str = "TB", scale: float = 1.0, native: bool = True
) -> Drawing:
    template, fillings = compose_difference(difference, rankdir=rankdir, scale=scale, native=native)
    return template.fill(fillings)


def panes(drawing: Drawing) -> dict[str, Picture]:
    return {
        mark.title: mark
        for mark in drawing.marks
        if isinstance(mark, Picture) and mark.title is not None
    }


def place(mark: Picture) -> Box:
    return Box(mark.x, mark.y, mark.width, mark.height)


# --- Nodes ----------------------------------------------------------------------------------


INPUTS = {
    "picture": (4, 4), "a-bit-wide": (10, 19), "wide": (10, 20), "table": (8, 41),
    "sequence": (1, 41), "long-sequence": (1, 5000), "tall": (41, 8), "column": (41, 1),
}  # fmt: skip
STACKED = ("wide", "table", "sequence", "long-sequence")


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("kind", INPUTS)
def test_a_node_has_three_maps_on_its_left(kind: str, scale: float, rankdir: str) -> None:
    """Side by side; one below the other where the input is at least twice as wide as high."""
    size = INPUTS[kind]
    a, b = (side(maps_of(seed, size=size), input_size=size) for seed in (1, 2))
    drawing = drawn(diff(a, b), rankdir=rankdir, scale=scale)
    shown = panes(drawing)
    assert list(shown) == [f"{name}: {caption}" for name in NAMES for caption in CAPTIONS]
    captions = [m for m in drawing.marks if isinstance(m, Text) and m.text in CAPTIONS]
    assert [mark.text for mark in captions] == CAPTIONS * len(NAMES)
    plan = plan_node(size)
    nodes = [
        box
        for box in (box_of(m) for m in drawing.marks if isinstance(m, Path) and m.closed)
        if (box.width, box.height) == pytest.approx([length * scale for length in plan.size])
    ]
    assert len(nodes) == len(NAMES)
    for name in NAMES:
        boxes = [place(shown[f"{name}: {caption}"]) for caption in CAPTIONS]
        (node,) = (node for node in nodes if contains(node, boxes[0]))
        texts = [m for m in captions if contains(node, _point(m))]
        for box, text in zip(boxes, texts, strict=True):
            assert contains(node, box)
            assert (box.width, box.height) == (boxes[0].width, boxes[0].height)
            middle = text.x + text_width(text.text, text.size) / 2
            if kind in STACKED:
                assert box.x == boxes[0].x
                assert text.x + text_width(text.text, text.size) < box.x
                assert text.y - 0.35 * text.size == pytest.approx(box.y + box.height / 2, abs=1)
            else:
                assert box.y == boxes[0].y
                assert node.y < text.y < box.y
                assert middle == pytest.approx(box.x + box.width / 2, abs=1)
        for one, other in itertools.pairwise(boxes):
            if kind in STACKED:
                assert one.y + one.height < other.y
            else:
                assert one.x + one.width < other.x


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 41), (656, 128)),  # 16 pixels to a cell.
        ((4, 20), (640, 128)),
        ((1, 41), (656, 24)),  # A strip has 24 at least.
        ((41, 41), (123, 123)),
    ],
)
def test_maps_of_a_table_are_as_wide_as_their_node(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert stacked_size((8, 41), shape) == expected


@pytest.mark.parametrize(
    ("steps", "shape", "expected"),
    [
        (40, (1, 40), (640, 112)),
        (40, (1, 20), (640, 112)),
        (40, (32, 40), (120, 96)),
        (400, (1, 400), (400, 112)),
        (400, (1, 100), (400, 112)),
        (5000, (1, 5000), (672, 112)),
    ],
)
def test_strips_of_a_sequence_are_as_high_as_their_room(
    steps: int, shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert stacked_size((1, steps), shape) == expected


def stacked_size(input_size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the maps of one layer."""
    layer = Layer("conv", "Conv", "Conv")
    maps = {"conv": layer_map(np.ones(shape))}
    one = side(maps, layers=(layer,), input_size=input_size)
    (found,) = {(each.width, each.height) for each in panes(drawn(diff(one, one))).values()}
    return found


def _point(mark: Text) -> Box:
    return Box(mark.x, mark.y, 0, 0)


def test_all_three_are_painted_on_one_scale() -> None:
    a, b = np.array([[1.0, -2.0]]), np.array([[0.5, 3.0]])
    shown = panes(drawn(one_layer(a, b)))
    for caption, values in zip(CAPTIONS, (a, b, b - a), strict=True):
        np.testing.assert_array_equal(
            shown[f"conv: {caption}"].pixels, paint_diverging(values, 5.0)
        )
    strongest = shown["conv: B - A"].pixels[0, 1]
    assert strongest.tolist() == [*diverging()[-1].tolist(), 255]
    np.testing.assert_array_equal(shown["conv: B - A"].pixels[0, 0, :3], diverging()[127 - 13])


def test_nothing_changes_where_a_and_b_are_the_same() -> None:
    shown = panes(drawn(one_layer([[1, 2]], [[1, 2]])))
    assert (shown["conv: B - A"].pixels == 255).all()


def test_a_map_with_more_cells_than_pixels_keeps_its_strongest() -> None:
    a = np.zeros((500, 300), np.float32)
    b = a.copy()
    a[123, 45], b[321, 222] = -7, 9
    found = one_layer(a, b)
    shown = panes(drawn(found, native=False))
    for caption, expected in (("A", {-7}), ("B", {9}), ("B - A", {7, 9})):
        picture = shown[f"conv: {caption}"]
        assert picture.pixels.shape[:2] == (picture.height, picture.width) == (224, 134)
        colours = {tuple(each) for each in picture.pixels.reshape(-1, 4).tolist()}
        white = tuple(paint_diverging(np.zeros(1), 9)[0].tolist())
        values = [np.array([value]) for value in expected]
        assert colours - {white} == {tuple(paint_diverging(v, 9)[0].tolist()) for v in values}
    assert panes(drawn(found))["conv: A"].pixels.shape == (500, 300, 4)


def test_layers_without_a_difference_are_hatched() -> None:
    a = {
        "image": layer_map([[1, 2]]),
        "conv": layer_map([[1, 2]]),
        "right": layer_map([[np.nan, 1]], bad_values=3),
        "add": layer_map([[4, 2]]),
    }
    b = {"image": layer_map([[1, 2]]), "conv": layer_map([[1], [3]]), "right": layer_map([[8, 9]])}
    found = diff(side(a), side(b))
    drawing = drawn(found, native=False)
    shown = panes(drawing)
    hatched = []
    for title, picture in shown.items():
        if picture.pixels.shape[2] == 3:
            expected = hatch(round(picture.width), round(picture.height), 1.0)
            np.testing.assert_array_equal(picture.pixels, expected)
            hatched.append(title)
    assert hatched == ["conv: B - A", "right: A", "right: B - A", "add: B", "add: B - A"]
    np.testing.assert_array_equal(
        shown["conv: B"].pixels, paint_diverging(np.array([[1], [3]]), 3.0)
    )
    said = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    for line in (
        "A is 1 x 2, B is 2 x 1",
        "A is not finite",
        "A: 3 NaN or infinite",
        "only in A",
        "compared: 1 of 4 layers; 1 not finite: right; 1 of different size: conv; 1 only in A: add",
    ):
        assert said.count(line) == 1
    # A layer that neither maps is a label.
    assert "left" in said


def test_a_map_of_another_projection_is_hatched() -> None:
    """Beside A's, on one scale, its signs would mislead."""
    layer = Layer("conv", "Conv", "Conv")
    cams = layer_map([[1, 2]]), layer_map([[-7, -7]], weighted=True)
    drawing = drawn(diff(*(side({"conv": cam}, layers=(layer,)) for cam in cams)))
    shown = panes(drawing)
    np.testing.assert_array_equal(
        shown["conv: A"].pixels, paint_diverging(np.array([[1, 2]], np.float32), 2.0)
    )
    for caption in ("B", "B - A"):
        pixels = shown[f"conv: {caption}"].pixels
        np.testing.assert_array_equal(pixels, hatch(pixels.shape[1], pixels.shape[0], 1.0))
    said = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    words = "maps are not compared: B's is weighted through a kernel, A's is not"
    assert words in " ".join(said)
    assert "scale: ±2.00" in said
    assert "compared: 0 of 1 layers; 1 weighted through a kernel in one alone: conv" in said


# --- Texts ----------------------------------------------------------------------------------


long_names = st.text(st.sampled_from("abW/_.:- é日\n"), min_size=1, max_size=90)


@given(long_names, st.booleans(), st.sampled_from([(4, 4), (64, 128), (1, 40)]))
@settings(deadline=None, max_examples=40)
def test_any_label_stays_in_its_frame(name: str, flat: bool, size: tuple[int, int]) -> None:
    layer = Layer(
        name, "Conv", name, (), ((None, 999, 9999, 9999, 9999),) * 3, (None, 3), (9,) * 12, (9,),
        "relu",
    )  # fmt: skip
    cams = (
        layer_map([[-1e-30, 12345.678]], flat=flat, even_weights=not flat),
        layer_map([[1e-30, -12345.678]], flat=flat, shape=(None, 7)),
    )
    sides = (side({name: cam}, layers=(layer,), input_size=size) for cam in cams)
    drawing = drawn(diff(*sides))
    frame = max(
        (box_of(m) for m in drawing.marks if isinstance(m, Path)),
        key=lambda box: box.width * box.height,
    )
    lines = [mark for mark in drawing.marks if isinstance(mark, Text) and mark.y > frame.y]
    label = [line for line in lines if line.text not in CAPTIONS]
    assert len(label) >= 12
    right = max(pane.x + pane.width for pane in panes(drawing).values())
    for line in label:
        assert line.x > right
        assert line.y + line.size / 4 <= frame.y + frame.height
        assert line.x + text_width(line.text, line.size) <= frame.x + frame.width
    for upper, lower in itertools.pairwise(label):
        assert lower.y - upper.y >= lower.size


# --- Header and legend ----------------------------------------------------------------------


def test_the_legend_explains_the_scale() -> None:
    drawing = drawn(diff(side(maps_of(1)), side(maps_of(2))))
    bars = [m for m in drawing.marks if isinstance(m, Picture) and m.title is None]
    ramp, hatched = bars
    np.testing.assert_array_equal(ramp.pixels[0, [0, -1], :3], diverging()[[0, 255]])
    np.testing.assert_array_equal(hatched.pixels, hatch(150, 13, 1.0))
    said = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    for words in ("blue is negative, white 0, brown positive", "no map", "|B - A| / |A|"):
        assert len([text for text in said if words in text]) == 1


def test_header_and_legend_overlap_nothing() -> None:
    drawing = drawn(diff(side(maps_of(1), sample="W" * 90), side(maps_of(2))))
    lines = [
        Box(mark.x, mark.y - 0.8 * mark.size, text_width(mark.text, mark.size), mark.size)
        for mark in drawing.marks
        if isinstance(mark, Text) and mark.text
    ]
    pictures = [place(mark) for mark in drawing.marks if isinstance(mark, Picture)]
    sheet = Box(0, 0, drawing.width, drawing.height)
    for box in (*lines, *pictures):
        assert contains(sheet, box)
    for one, other in itertools.combinations([*lines, *pictures], 2):
        assert not overlap(one, other)
