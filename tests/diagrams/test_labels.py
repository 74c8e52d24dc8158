"""Labels: their lines, and how they are made to fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.core.layers import Layer, Shape
from micam_fast.diagrams import labels
from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.labels import ELLIPSIS, fit_line, label_lines, state_line, wrap_name
from tests.helpers.pictures import layer_map

CONV = Layer(
    "conv_1",
    "Conv",
    "Conv",
    inputs=("image",),
    input_shapes=((None, 1, None, None),),
    output_shape=(None, 32, None, None),
    kernel_shape=(32, 1, 5, 5),
    bias_shape=(32,),
    activation="relu",
)


def test_all_lines_of_a_convolution() -> None:
    # Sizes that the model leaves open are those of the run.
    found = layer_map([[-0.5, 0.25]], shape=(None, 32, 28, 28), input_shapes=((None, 1, 28, 28),))
    assert label_lines(CONV, found) == [
        "conv_1",
        "Conv",
        "I: (None, 1, 28, 28)",
        "O: (None, 32, 28, 28)",
        "relu",
        "(32, 1, 5, 5) + (32,)",
        "map min: -0.500",
        "map max: 0.250",
    ]


def test_an_activation_function_that_changes_nothing_is_not_named() -> None:
    assert label_lines(replace(CONV, activation="linear"), None) == [
        line for line in label_lines(CONV, None) if line != "relu"
    ]


def test_a_layer_that_was_left_out_says_no_range() -> None:
    assert label_lines(CONV, None) == [
        "conv_1",
        "Conv",
        "I: (None, 1, None, None)",
        "O: (None, 32, None, None)",
        "relu",
        "(32, 1, 5, 5) + (32,)",
    ]


def test_a_bare_layer() -> None:
    assert label_lines(Layer("x", "If", "If"), None) == ["x", "If", "O: ?"]


def test_kernel_without_bias() -> None:
    layer = Layer("c", "Conv", "Conv", kernel_shape=(4, 3, 3, 3))
    assert label_lines(layer, None)[-1] == "(4, 3, 3, 3)"


@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        (((None, 2), (None, 2)), "I: 2 x (None, 2)"),
        (((None, 2), (None, 3), (None, 2)), "I: 2 x (None, 2), (None, 3)"),
        ((None, (None, 3)), "I: ?, (None, 3)"),
        (((),), "I: ()"),
        (((7,),), "I: (7,)"),
    ],
)
def test_input_shapes(shapes: tuple[tuple[int | None, ...] | None, ...], line: str) -> None:
    assert label_lines(Layer("add", "Add", "Add", input_shapes=shapes), None)[2] == line


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ((None, 2, 8, 8), (None, 2, 8, 8), ["I = O: (None, 2, 8, 8)"]),
        ((5, 2), (5, 2), ["I = O: (5, 2)"]),
        ((None, 0), (None, 0), ["I = O: (None, 0): empty"]),
        ((None, 2, 8, 8), (None, 2, 4, 4), ["I: (None, 2, 8, 8)", "O: (None, 2, 4, 4)"]),
        # An unknown size equals nothing.
        ((None, 2, None), (None, 2, None), ["I: (None, 2, None)", "O: (None, 2, None)"]),
        (None, None, ["I: ?", "O: ?"]),
    ],
)
def test_equal_sizes_of_input_and_output_are_one_line(
    before: Shape | None, after: Shape | None, lines: list[str]
) -> None:
    layer = Layer("x", "Relu", "Relu", ("y",), (before,), after)
    assert label_lines(layer, None)[2:] == lines


def test_several_inputs_have_a_line_of_their_own() -> None:
    shape = (None, 2, 8, 8)
    layer = Layer("x", "Add", "Add", ("y", "z"), (shape, shape), shape)
    assert label_lines(layer, None)[2:] == ["I: 2 x (None, 2, 8, 8)", "O: (None, 2, 8, 8)"]


def test_a_flat_layer_tells_its_tile() -> None:
    lines = label_lines(CONV, layer_map([[0, 1], [2, 3]], flat=True))
    assert lines[-3:] == ["tile: (2, 2)", "map min: 0", "map max: 3.00"]


def test_an_all_zero_bias_is_told() -> None:
    lines = label_lines(CONV, layer_map([[0, 1]], even_weights=True))
    assert lines[-2:] == ["map max: 1.00", "bias all zero: 1/C used"]


@pytest.mark.parametrize("flat", [False, True])
def test_how_many_the_batch_axis_holds_is_told(flat: bool) -> None:
    lines = label_lines(CONV, layer_map([[0, 1]], shape=(5, 32, 1, 2), copies=5, flat=flat))
    assert lines[2] == "O: (5, 32, 1, 2)"
    assert lines[5] == "mean of 5 in the batch axis"
    assert not [line for line in label_lines(CONV, layer_map([[0, 1]])) if "mean" in line]


@pytest.mark.parametrize(
    ("frame", "steps", "line"),
    [
        (None, False, "mean over the batch axis"),
        (None, True, "mean over the frames"),
        (1, False, "frame 1 (from 0), in the batch axis"),
        (1, True, "frame 1 (from 0)"),
    ],
)
def test_a_number_of_frames_that_is_unknown_is_left_out(
    frame: int | None, steps: bool, line: str
) -> None:
    known = layer_map([[0, 1]], shape=(None, 32, 1, 2))
    found = replace(known, copies=None, frame=frame, steps=steps)
    assert line in label_lines(CONV, found)


def test_how_many_the_batch_axis_holds_is_told_of_a_hatched_layer() -> None:
    lines = label_lines(
        CONV, layer_map([[float("nan"), 1]], shape=(2, 1, 2, 2), copies=2, bad_values=1)
    )
    assert lines[-2:] == ["mean of 2 in the batch axis", "1 NaN or infinite"]


@pytest.mark.parametrize("bad", [None, 1])
def test_where_the_channels_may_lie_elsewhere_is_told(bad: int | None) -> None:
    found = layer_map([[0, 1]], doubt="channels assumed second", bad_values=bad)
    assert label_lines(CONV, found)[5] == "channels assumed second"
    assert not [line for line in label_lines(CONV, layer_map([[0, 1]])) if "channels" in line]


@pytest.mark.parametrize(
    ("count", "line"), [(3, "3 NaN or infinite"), (0, "map overflows float32")]
)
def test_what_is_not_finite_is_told_instead_of_the_range(count: int, line: str) -> None:
    lines = label_lines(CONV, layer_map([[float("nan"), 1]], bad_values=count))
    assert lines[-1] == line
    assert not [text for text in lines if text.startswith(("map min", "map max"))]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([[300.0, 300.0]], "hardly varies"),
        ([[-300.0, -300.2]], "hardly varies"),
        ([[0.25]], "hardly varies"),
        ([[0.0, 0.0]], "all zero"),
        ([[-1000.0, -1001.5]], ""),
        ([[0.0, 1e-30]], ""),
        ([[-1e-3, 1e-3]], ""),
    ],
)
def test_why_a_tile_is_grey_is_the_last_line(values: list[list[float]], line: str) -> None:
    found = layer_map(values, even_weights=True)
    assert state_line(found) == line
    assert label_lines(CONV, found)[-1] == (line or "bias all zero: 1/C used")


def test_of_what_is_not_finite_nobody_says_that_it_hardly_varies() -> None:
    assert not layer_map([[float("nan"), 1]], bad_values=1).plain


def test_a_layer_without_values_says_so() -> None:
    layer = Layer("s", "Slice", "Slice", output_shape=(None, 4, 0))
    assert label_lines(layer, None)[-1] == "O: (None, 4, 0): empty"


def test_both_ends_of_a_range_are_written_alike() -> None:
    lines = label_lines(CONV, layer_map([[-1234567.0, 12345.6]]))
    assert lines[-2:] == ["map min: -1.23e6", "map max: 0.0123e6"]
    measured = replace(layer_map([[0.25, 0.5]]), activation_range=(-2e-7, 3e-7))
    assert label_lines(CONV, measured)[-4:] == [
        "map min: 0.250",
        "map max: 0.500",
        "activation min: -2.00e-7",
        "activation max: 3.00e-7",
    ]


names = st.text(st.characters(codec="utf-8"), max_size=60) | st.text("ab/_.:- W", max_size=60)


@given(names, st.sampled_from([13.0, 15.0, 6.5]), st.floats(15, 300))
@settings(deadline=None, max_examples=150)
def test_a_fitted_line_fits_and_keeps_both_ends(text: str, size: float, width: float) -> None:
    shown = fit_line(text, size, width)
    assert text_width(shown, size) <= width
    if text_width(text, size) <= width:
        assert shown == text
    elif shown != ELLIPSIS:
        head, tail = _ends(text, shown)
        assert head - tail in (0, 1)


def _ends(text: str, shown: str) -> tuple[int, int]:
    """How many characters are left at the start and at the end."""
    kept = len(shown) - 1
    tail = kept // 2
    head = kept - tail
    assert shown == text[:head] + ELLIPSIS + text[len(text) - tail :]
    assert kept < len(text)
    return head, tail


def test_a_fitted_line_is_as_long_as_fits() -> None:
    width = text_width("abcd" + ELLIPSIS + "wxyz", 13)
    assert fit_line("abcdefghijklmnopqrstuvwxyz", 13, width) == f"abcd{ELLIPSIS}wxyz"


@given(names, st.floats(110, 300))
@settings(deadline=None, max_examples=150)
def test_a_wrapped_name_is_whole_or_shortened_in_its_second_line(text: str, width: float) -> None:
    lines = wrap_name(text, 15, width)
    assert all(text_width(line, 15) <= width for line in lines)
    if text_width(text, 15) <= width:
        assert lines == [text]
        return
    first, second = lines
    assert first
    assert text.startswith(first)
    rest = text[len(first) :]
    assert second == fit_line(rest, 15, width)


def test_a_name_breaks_behind_a_separator() -> None:
    assert wrap_name("model_2_1/stem_bn_1/batchnorm/mul_1", 15, 180) == [
        "model_2_1/stem_bn_1/",
        "batchnorm/mul_1",
    ]


@pytest.mark.parametrize("function", [fit_line, wrap_name])
def test_a_very_long_name_is_measured_few_times(
    function: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(text: str, size: float) -> float:
        measured.append(text)
        return len(text) * size / 2

    monkeypatch.setattr(labels, "text_width", measure)
    assert callable(function)
    function("layer/" * 1000, 15.0, 180.0)
    assert len(measured) < 200
