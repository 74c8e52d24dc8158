"""What the diagram of a difference says."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from micam_fast.analyses.differences import diff
from micam_fast.analyses.differences.labels import header_lines, label_lines, show_number
from micam_fast.core.layers import Layer
from micam_fast.core.prediction import Prediction
from micam_fast.samples.axis_names import AxisNames
from micam_fast.samples.orders import Order, Permutation
from tests.helpers.differences import maps_of, one_layer, side
from tests.helpers.pictures import layer_map
from tests.helpers.small_diagram import NAMES

# --- Labels ---------------------------------------------------------------------------------


def test_labels_say_the_numbers() -> None:
    found = one_layer([[3, 4, 0]], [[3, 0, 0]])
    assert label_lines(found, found.layers["conv"])[-6:] == [
        "relative L2: 0.8000",
        "cosine: 0.6000",
        "correlation: 0.2774",
        "scale: ±4.00",
        "largest: -4.00",
        "at column 1",
    ]
    assert np.corrcoef([3, 4, 0], [3, 0, 0])[0, 1] == pytest.approx(0.2774, abs=5e-5)


def test_labels_say_what_is_undefined() -> None:
    found = one_layer([[0, 0]], [[2e5, 2e5]])
    assert label_lines(found, found.layers["conv"])[-6:-2] == [
        "relative L2: inf", "cosine: undefined", "correlation: undefined", "scale: ±2.00e5",
    ]  # fmt: skip
    same = one_layer([[1, 2]], [[1, 2]])
    assert label_lines(same, same.layers["conv"])[-1] == "scale: ±2.00"


def test_labels_use_the_names_of_rows_and_columns() -> None:
    found = one_layer(np.zeros((4, 4)), np.eye(4) * np.arange(4))
    named = dataclasses.replace(found, names=AxisNames(None, ("a", "b", "c", "d")))
    assert label_lines(named, named.layers["conv"])[-2:] == ["largest: +3.00", "at row 3, d"]
    rows = dataclasses.replace(found, names=AxisNames(("a", "b", "c", "d"), None))
    assert label_lines(rows, rows.layers["conv"])[-2:] == ["largest: +3.00", "at d, column 3"]


def test_labels_name_the_only_row_if_it_has_a_name() -> None:
    layer = Layer("conv", "Conv", "Conv")
    cams = np.zeros((1, 3)), [[0, 0, 1]]
    sides = (side({"conv": layer_map(c)}, layers=(layer,), input_size=(1, 3)) for c in cams)
    found = diff(*sides)
    assert label_lines(found, found.layers["conv"])[-1] == "at column 2"
    named = dataclasses.replace(found, names=AxisNames(("cpu",), None))
    assert label_lines(named, named.layers["conv"])[-1] == "at cpu, column 2"


def test_labels_of_flat_layers_count_their_values() -> None:
    layer = Layer("dense", "Gemm", "Gemm")
    sides = [
        side({"dense": layer_map(cam, flat=True)}, layers=(layer,))
        for cam in ([[0, 0], [0, 0]], [[0, 0], [5, 0]])
    ]
    found = diff(*sides)
    assert label_lines(found, found.layers["dense"])[-2:] == ["largest: +5.00", "at value 2"]


def test_labels_tell_apart_what_two_models_have() -> None:
    layer = Layer("conv", "Conv", "Conv", (), (), (None, 8, 1, 2))
    cams = (
        layer_map([[1, 2]], shape=(None, 8, 1, 2)),
        layer_map([[1, 2]], shape=(None, 9, 1, 2), even_weights=True),
    )
    found = diff(*(side({"conv": cam}, layers=(layer,)) for cam in cams))
    lines = label_lines(found, found.layers["conv"])
    assert lines[:5] == [
        "conv", "Conv", "O: (None, 8, 1, 2)", "B's O: (None, 9, 1, 2)",
        "B: bias all zero, 1/C used",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("doubts", "said"),
    [
        (("channels assumed last",) * 2, ["channels assumed last"]),
        (("channels assumed last", None), ["A: channels assumed last"]),
        ((None, "channels last, disputed"), ["B: channels last, disputed"]),
        ((None, None), []),
    ],
)
def test_labels_say_whose_channels_may_lie_elsewhere(
    doubts: tuple[str | None, str | None], said: list[str]
) -> None:
    layer = Layer("conv", "Conv", "Conv")
    found = diff(
        *(side({"conv": layer_map([[1, 2]], doubt=each)}, layers=(layer,)) for each in doubts)
    )
    lines = label_lines(found, found.layers["conv"])
    assert [line for line in lines if "channels" in line] == said


@pytest.mark.parametrize(
    ("copies", "said"),
    [
        ((5, 5), ["mean of 5 in the batch axis"]),
        ((5, 3), ["mean of 5 in the batch axis", "B's O: (3, 8, 1, 2)",
                  "B: mean of 3 in the batch axis"]),
    ],
)  # fmt: skip
def test_labels_say_how_many_a_map_is_the_mean_of(copies: tuple[int, int], said: list[str]) -> None:
    layer = Layer("conv", "Conv", "Conv")
    cams = (layer_map([[1, 2]], shape=(each, 8, 1, 2), copies=each) for each in copies)
    found = diff(*(side({"conv": cam}, layers=(layer,)) for cam in cams))
    lines = label_lines(found, found.layers["conv"])
    assert lines[3 : 3 + len(said)] == said
    assert not [line for line in lines[3 + len(said) :] if "mean" in line]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0000"), (2.69341, "2.6934"), (-0.00123, "-0.0012"), (3.4e-7, "3.4e-07"),
        (-1.23456e-11, "-1.235e-11"), (123456.0, "1.235e+05"), (math.inf, "inf"),
        (math.nan, "undefined"),
    ],
)  # fmt: skip
def test_what_is_small_does_not_look_like_zero(value: float, shown: str) -> None:
    assert show_number(value) == shown


# --- Header ---------------------------------------------------------------------------------


def test_the_header_says_what_is_compared() -> None:
    a = dataclasses.replace(
        side(maps_of(1), sample="3.png"),
        label="three",
        prediction=Prediction(3, 0.75, np.array([0.25, 0.75], np.float32)),
    )
    b = dataclasses.replace(a, sample="mean of 7 samples of eights", label=None, prediction=None)
    assert header_lines(diff(a, b)) == [
        "net: difference B - A",
        "A: 3.png, label three, prediction: class 3, probability 0.7500",
        "B: mean of 7 samples of eights",
        "compared: 5 of 5 layers",
    ]
    other = side(maps_of(2, *NAMES[:1]), sample="3.png", model="wide")
    assert header_lines(diff(b, other)) == [
        "net and wide: difference B - A",
        "A: mean of 7 samples of eights, by net",
        "B: 3.png, by wide",
        "compared: 1 of 5 layers; 4 only in A: conv, left, right, ...",
    ]


def test_the_header_tells_of_another_order() -> None:
    maps = maps_of(1, "image", "conv") | {"add": layer_map([[1]])}
    found = diff(side(maps), side(maps), permutation=Permutation(None, Order("seed:4", seed=4)))
    (line,) = (line for line in header_lines(found) if "order" in line)
    assert line == (
        "order of B's input: columns by seed:4; its maps on the input's grid (2 of 3) are put back "
        "into A's order"
    )
