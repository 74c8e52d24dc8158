"""Choosing layers by pattern and by place."""

from __future__ import annotations

import pytest

from micam_fast.core.errors import LayerSelectionError
from micam_fast.core.layer_choice import choose_layers, layers_between, match_layers
from micam_fast.core.layers import Layer, Shape, fill_shapes


def chain(*names: str) -> list[Layer]:
    """Layers, each of which reads the one before it."""
    return [
        Layer(name, "Relu", "Relu", inputs=(names[index - 1],) if index else ())
        for index, name in enumerate(names)
    ]


# image -> stem -> (left_1 -> left_2, right) -> join -> head; side hangs on stem
DIAMOND = [
    Layer("image", "Input", "Input"),
    Layer("stem", "Conv", "Conv", inputs=("image",)),
    Layer("left_1", "Conv", "Conv", inputs=("stem",)),
    Layer("left_2", "Conv", "Conv", inputs=("left_1",)),
    Layer("right", "Conv", "Conv", inputs=("stem",)),
    Layer("side", "Conv", "Conv", inputs=("stem",)),
    Layer("join", "Add", "Add", inputs=("left_2", "right")),
    Layer("head", "Gemm", "Gemm", inputs=("join",)),
]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("stem", {"stem"}),
        ("left_*", {"left_1", "left_2"}),
        ("left_?,right", {"left_1", "left_2", "right"}),
        (" stem , head ", {"stem", "head"}),
        ("left_[2-9]", {"left_2"}),
        (["stem", "h*"], {"stem", "head"}),
        (("*",), {layer.name for layer in DIAMOND}),
        ("stem,stem,st*", {"stem"}),
    ],
)
def test_match_layers(patterns: str | list[str], expected: set[str]) -> None:
    assert match_layers(DIAMOND, patterns) == expected


def test_match_is_case_sensitive() -> None:
    layers = chain("Conv", "conv")
    assert match_layers(layers, "c*") == {"conv"}


def test_a_name_with_pattern_characters_matches_itself() -> None:
    layers = chain("conv[0]", "conv0", "why?", "a*b", "axb")
    assert match_layers(layers, "conv[0]") == {"conv[0]"}
    assert match_layers(layers, "why?") == {"why?"}
    assert match_layers(layers, "a*b") == {"a*b"}


def test_a_name_with_a_comma_matches_itself() -> None:
    layers = chain("block,1", "block", "1")
    assert match_layers(layers, "block,1") == {"block,1"}
    assert match_layers(layers, ["block,1"]) == {"block,1"}


@pytest.mark.parametrize(
    "pattern", ["StatefulPartitionedCall/model/conv_1/*", "*/conv_1/*", "*conv_1*"]
)
def test_match_paths(pattern: str) -> None:
    name = "StatefulPartitionedCall/model/conv_1/Conv2D"
    assert match_layers(chain("image", name), pattern) == {name}


@pytest.mark.parametrize(
    ("pattern", "near"),
    [("lefd_1", "left_1"), ("LEFT_1", "left_1"), ("*joyn*", "join"), ("haed", "head")],
)
def test_no_match_shows_near_names(pattern: str, near: str) -> None:
    with pytest.raises(LayerSelectionError, match=rf"near names: (.*, )?{near}\b") as caught:
        match_layers(DIAMOND, pattern)
    assert repr(pattern) in str(caught.value)


def test_no_match_nothing_near_shows_the_first_layers() -> None:
    with pytest.raises(LayerSelectionError, match="the first layers: image, stem, left_1"):
        match_layers(DIAMOND, "zzzzzzzz")


def test_one_bad_pattern_among_good_ones_is_refused() -> None:
    with pytest.raises(LayerSelectionError, match="no layer matches 'nope'"):
        match_layers(DIAMOND, "stem,nope")


@pytest.mark.parametrize("empty", ["", "stem,", ","])
def test_an_empty_pattern_is_refused(empty: str) -> None:
    with pytest.raises(LayerSelectionError, match="no layer matches ''"):
        match_layers(DIAMOND, empty)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (None, None, {layer.name for layer in DIAMOND}),
        ("join", None, {"join", "head"}),
        ("stem", None, {layer.name for layer in DIAMOND} - {"image"}),
        (None, "left_1", {"image", "stem", "left_1"}),
        (None, "join", {"image", "stem", "left_1", "left_2", "right", "join"}),
        ("stem", "join", {"stem", "left_1", "left_2", "right", "join"}),
        ("left_1", "join", {"left_1", "left_2", "join"}),
        ("right", "right", {"right"}),
        ("side", None, {"side"}),
    ],
)
def test_layers_between(start: str | None, stop: str | None, expected: set[str]) -> None:
    assert layers_between(DIAMOND, start, stop) == expected


@pytest.mark.parametrize(("start", "stop"), [("join", "stem"), ("left_1", "right")])
def test_no_way_between(start: str, stop: str) -> None:
    with pytest.raises(
        LayerSelectionError, match=f"no way leads from layer '{start}' to layer '{stop}'"
    ):
        layers_between(DIAMOND, start, stop)


@pytest.mark.parametrize(("start", "stop"), [("steem", None), (None, "steem"), ("stem", "steem")])
def test_between_unknown_names_shows_near_names(start: str | None, stop: str | None) -> None:
    with pytest.raises(LayerSelectionError, match=r"'steem' \(near names: stem"):
        layers_between(DIAMOND, start, stop)


def test_between_takes_names_not_patterns() -> None:
    with pytest.raises(LayerSelectionError, match=r"no layer matches 'left_\*'"):
        layers_between(DIAMOND, "left_*", None)


def test_near_names_survive_names_that_differ_in_case_only() -> None:
    layers = chain("Conv_1", "conv_1")
    with pytest.raises(LayerSelectionError, match=r"(?i)near names: .*conv_1"):
        match_layers(layers, "conv_11")


def test_names_that_begin_and_end_with_blanks() -> None:
    layers = [Layer(name, "Relu", "Relu") for name in ("   ", " a ", "b", "c,d", "e*")]
    everything = frozenset(layer.name for layer in layers)
    assert choose_layers(layers, lambda every: [layer.name for layer in every]) == everything
    assert match_layers(layers, " b , a ") == {"b", " a "}


@pytest.mark.parametrize(
    ("patterns", "known", "filled"),
    [
        # Two branches of a Concat whose open sizes differ: each parent is taken once.
        ([(None, None, 3)] * 2, [(None, 4, 3), (None, 6, 3)], [(None, 4, 3), (None, 6, 3)]),
        ([(None, None, 3)] * 2, [(None, 4, 3)], [(None, 4, 3)] * 2),
        ([(None, None, 3), None], [(None, 4, 2)], [(None, None, 3), None]),
        ([(None, 8), (None, None)], [(None, 7), (None, 8)], [(None, 8), (None, 7)]),
    ],
)
def test_open_sizes_are_filled_in_from_the_parents(
    patterns: list[Shape | None], known: list[Shape], filled: list[Shape | None]
) -> None:
    assert fill_shapes(patterns, known) == filled
