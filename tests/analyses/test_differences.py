"""What two explanations differ in, against NumPy in float64."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper, numpy_helper

from micam_fast import Explanation, Model, load_model
from micam_fast.analyses.differences.difference import diff
from micam_fast.analyses.differences.gates import as_record, judge
from micam_fast.analyses.differences.layers import compare_layer
from micam_fast.api.averages import Average
from micam_fast.core.errors import AxisError, ModelError
from micam_fast.core.layers import Layer
from micam_fast.demo import DIGITS
from micam_fast.samples.axis_names import AxisNames
from micam_fast.samples.orders import Order, Permutation
from tests.helpers import models
from tests.helpers.differences import explanation_of, two_models
from tests.helpers.pictures import layer_map

CONV = Layer("conv", "Conv", "Conv")


# --- Numbers of a layer ---------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
values = st.floats(-1e3, 1e3, width=32)


@given(st.data(), shapes)
@settings(deadline=None)
def test_numbers_of_a_layer_are_numpy_s(data: st.DataObject, shape: tuple[int, int]) -> None:
    cams = [data.draw(hnp.arrays(np.float32, shape, elements=values)) for _ in "ab"]
    a, b = (cam.astype(np.float64) for cam in cams)
    found = compare_layer(CONV, layer_map(cams[0]), layer_map(cams[1]), (9, 9))
    assert found.difference is not None
    np.testing.assert_array_equal(found.difference, b - a)
    assert found.bound == max(np.abs(each).max() for each in (a, b, b - a))
    size = np.sqrt((a**2).sum()) * np.sqrt((b**2).sum())
    if np.sqrt((a**2).sum()) > 1e-100:
        expected = np.sqrt(((b - a) ** 2).sum() / (a**2).sum())
        assert found.relative_l2 == pytest.approx(expected, rel=1e-12)
    if size > 1e-100:
        assert found.cosine == pytest.approx((a * b).sum() / size, abs=1e-12)
    if min(each.std() for each in (a, b)) > 1e-9:
        expected = np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1]
        assert found.correlation == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([[0, 0]], [[0, 0]], (0, math.nan, math.nan)),
        ([[0, 0]], [[1, 2]], (math.inf, math.nan, math.nan)),
        ([[1, 2]], [[0, 0]], (1, math.nan, math.nan)),
        ([[3, 3]], [[3, 3]], (0, 1, math.nan)),
        ([[0.1, 0.1, 0.1]], [[1, 2, 3]], (math.sqrt(12.83 / 0.03), 6 / math.sqrt(42), math.nan)),
        ([[5]], [[-5]], (2, -1, math.nan)),
        ([[1e-40, 2e-40]], [[2e-40, 4e-40]], (1, 1, 1)),
        ([[3e38, -3e38]], [[-3e38, 3e38]], (2, -1, -1)),
        ([[1, 2]], [[-1, -2]], (2, -1, -1)),
    ],
    ids=["zeros", "from-zero", "to-zero", "constant", "constant-A", "one-cell", "tiny", "huge",
         "opposite"],
)  # fmt: skip
def test_corner_cases_have_the_documented_numbers(
    a: list[list[float]], b: list[list[float]], expected: tuple[float, float, float]
) -> None:
    found = compare_layer(CONV, layer_map(a), layer_map(b), (9, 9))
    numbers = found.relative_l2, found.cosine, found.correlation
    # Float32 holds 1e-40 with five digits, and 0.1 with eight.
    assert numbers == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_bound_is_the_largest_of_all_three() -> None:
    cams = layer_map([[1, -2]]), layer_map([[0.5, 3]])
    found = compare_layer(CONV, *cams, (9, 9))
    assert found.bound == 5
    assert found.largest == (0, 1)
    assert compare_layer(CONV, cams[1], cams[1], (9, 9)).largest is None


# --- Maps of different projections ----------------------------------------------------------


def fused_net() -> onnx.ModelProto:
    """`models.conv_net`, its Relu within the convolution."""
    proto = models.conv_net()
    conv, relu, *_ = proto.graph.node
    conv.op_type, conv.domain, conv.output[0] = "FusedConv", "com.microsoft", relu.output[0]
    conv.attribute.append(helper.make_attribute("activation", "Relu"))
    proto.graph.node.remove(relu)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


@pytest.mark.parametrize("match", ["name", "structure"])
@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_map_made_with_a_kernel_is_not_compared_with_a_mean(
    swapped: bool, projection: Any, match: Any
) -> None:
    sample = models.random_array(1, 1, 8, 6)
    one, other = (load_model(net) for net in (models.conv_net(), fused_net()))
    sides = one.explain(sample, projection=projection), other.explain(sample, projection=projection)
    found = diff(*(sides[::-1] if swapped else sides), match=match)
    name, mine, theirs = ("conv", "A", "B") if swapped else ("relu", "B", "A")
    each = found.layers[name]
    assert each.note == (
        f"maps are not compared: {mine}'s is weighted through a kernel, {theirs}'s is not"
    )
    assert each.difference is None
    assert found.other_projections == [name]
    assert (found.other_types, found.mismatched, found.not_finite) == ([], {}, [])
    assert found.within == ["conv (B)" if swapped else "conv"]
    # B's tile would share A's scale.
    assert each.a is not None
    assert each.drawn_b is None
    assert each.bound == np.abs(each.a.cam).max()
    assert all(
        e.difference is not None for e in found.layers.values() if not e.within and e != each
    )


def test_a_kernel_that_one_model_computes_is_none() -> None:
    """The class is the same; only one of the two maps is made with the kernel."""
    maps = [{"conv": layer_map([[1, 2]], weighted=weighted)} for weighted in (True, False)]
    found = diff(*(explanation_of(each) for each in maps))
    assert found.layers["conv"].note == (
        "maps are not compared: A's is weighted through a kernel, B's is not"
    )
    assert found.other_projections == ["conv"]
    (verdict,) = judge(found, [("relative-l2", 1.0)])
    assert verdict.worst is None
    same = diff(*(explanation_of(maps[0]) for _ in "ab"))
    assert same.layers["conv"].relative_l2 == 0


# --- Two samples ----------------------------------------------------------------------------


def test_every_layer_of_two_samples_is_compared(demo_model: Model) -> None:
    three, eight = (demo_model.explain(np.load(DIGITS)[digit]) for digit in (3, 8))
    found = diff(three, eight)
    assert list(found.layers) == [layer.name for layer in demo_model.layers]
    assert found.compared == list(found.layers.values())
    assert (found.mismatched, found.only_a, found.only_b, found.not_finite) == ({}, [], [], [])
    for name, each in found.layers.items():
        assert each.difference is not None
        expected = eight.cams[name].astype(np.float64) - three.cams[name]
        np.testing.assert_array_equal(each.difference, expected)
        assert (each.a, each.b) == (three.maps[name], eight.maps[name])
    ranked = [each.relative_l2 for each in found.ranked]
    assert ranked == sorted(ranked, reverse=True)
    assert repr(found) == (
        "<Difference from a sample by lenet_mnist to a sample by lenet_mnist: 12 of 12 layers>"
    )


def test_a_sample_does_not_differ_from_itself(demo_explanation: Explanation) -> None:
    for each in diff(demo_explanation, demo_explanation).layers.values():
        assert each.difference is not None
        assert not each.difference.any()
        assert (each.relative_l2, each.cosine, each.correlation) == (0, 1, 1)


def test_results_are_read_only(demo_explanation: Explanation) -> None:
    found = diff(demo_explanation, demo_explanation)
    difference = found.layers["conv_1"].difference
    assert difference is not None
    with pytest.raises(ValueError, match="read-only"):
        difference[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        found.a = found.b  # type: ignore[misc]


def test_layers_that_are_not_finite_have_no_numbers(demo_model: Model) -> None:
    digits = np.load(DIGITS)[:2].astype(np.float32)
    digits[1, 0, 5, 5] = np.nan
    found = diff(*demo_model.explain_many(digits))
    assert found.not_finite == list(found.layers)
    for each in found.layers.values():
        assert each.note == "B is not finite"
        assert each.difference is None
        assert each.largest is None
        assert np.isnan([each.relative_l2, each.cosine, each.correlation]).all()
        assert each.a is not None
        assert each.bound == np.abs(each.a.cam).max()
    both = diff(found.b, found.b).layers["conv_1"]
    assert (both.note, both.bound) == ("A and B are not finite", 0)


def test_means_are_compared_like_samples(demo_model: Model) -> None:
    found = list(demo_model.explain_many(np.load(DIGITS)))
    sides = []
    for group in (found[:4], found[4:]):
        average = Average()
        for each in group:
            average.add(each)
        sides.append(average.mean(sample="some"))
    mean = diff(*sides).layers["conv_2"]
    cams = [
        np.mean([each.cams["conv_2"] for each in group], axis=0, dtype=np.float64)
        for group in (found[:4], found[4:])
    ]
    assert mean.difference == pytest.approx(cams[1] - cams[0], abs=1e-5)


# --- Two models -----------------------------------------------------------------------------


def test_a_retrained_model_differs_where_its_weights_do() -> None:
    proto = models.conv_net()
    changed = onnx.ModelProto.FromString(proto.SerializeToString())
    (dense,) = (each for each in changed.graph.initializer if each.name == "dw")
    dense.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(dense) * 1.5, "dw"))
    sample = models.random_array(1, 1, 8, 6)
    found = diff(*(load_model(each).explain(sample) for each in (proto, changed)))
    same = [name for name, each in found.layers.items() if each.relative_l2 == 0]
    assert same == ["x", "conv", "relu", "pool", "flatten"]
    assert found.ranked[0].layer.name in ("dense", "softmax")


def test_layers_that_do_not_match_are_named_and_the_rest_is_compared() -> None:
    found = two_models()
    assert [each.layer.name for each in found.compared] == ["x"]
    assert found.mismatched == {
        "conv": ((8, 6), (6, 4)),
        "relu": ((8, 6), (6, 4)),
        "flatten": ((6, 8), (1, 4)),
    }
    assert found.only_a == ["pool", "dense", "softmax"]
    assert found.only_b == ["own", "gpool"]
    assert found.layers["conv"].note == "A is 8 x 6, B is 6 x 4"
    assert found.layers["pool"].note == "only in A"
    assert found.layers["own"].note == "only in B"
    rows = as_record(found)["layers"]
    assert [row["b"] for row in rows if row["note"] == "only in B"] == ["own", "gpool"]
    assert repr(found).endswith("by conv_net to a sample by other: 1 of 9 layers>")


def test_models_without_a_common_layer_cannot_be_compared() -> None:
    a = explanation_of({name: layer_map([[1]]) for name in "abcd"}, model="one")
    b = explanation_of({"z": layer_map([[1]])}, model="two")
    with pytest.raises(
        ModelError, match=r"no layer of one \(a, b, c, \.\.\.\) has the name of one of two \(z\)"
    ):
        diff(a, b)


# --- Names and orders -----------------------------------------------------------------------


def test_cells_on_the_input_s_grid_have_names() -> None:
    maps = {"on": layer_map([[0, 0], [0, 0]]), "off": layer_map([[0, 0, 0]])}
    after = {"on": layer_map([[0, 0], [7, 0]]), "off": layer_map([[0, 0, 1]])}
    names = AxisNames(("cpu", "disk"), ("pid_1", "pid_2"))
    found = diff(explanation_of(maps), explanation_of(after), names=names)
    on, off = found.layers["on"], found.layers["off"]
    assert on.largest == (1, 0)
    assert found.name_cell(on, 1, 0) == ("disk", "pid_1")
    assert found.name_cell(off, 0, 2) == (None, None)
    only_columns = dataclasses.replace(found, names=AxisNames(None, names.columns))
    assert only_columns.name_cell(on, 1, 0) == (None, "pid_1")


def test_there_is_a_name_for_each_row_and_column() -> None:
    one = explanation_of({"on": layer_map([[0, 0], [0, 0]])})
    with pytest.raises(AxisError, match="3 names were given for the 2 columns of A's input"):
        diff(one, one, names=AxisNames(None, ("a", "b", "c")))


def test_maps_on_the_input_s_grid_are_put_back_before_they_are_compared() -> None:
    """A model that looks at each cell alone gives no difference for a shuffle."""
    nodes = [
        models.conv_node("conv", "x", "w", "b"),
        helper.make_node("Relu", ["conv:0"], ["relu:0"], name="relu"),
        helper.make_node(
            "MaxPool", ["relu:0"], ["pool:0"], name="pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
    ]
    constants = {"w": models.random_array(3, 4, 1, 1, 1), "b": models.random_array(4, 4)}
    inputs: dict[str, list[Any]] = {"x": ["batch", 1, 8, 6]}
    model = load_model(models.make_model(nodes, inputs, ["pool:0"], constants))
    permutation = Permutation(Order("seed:1", seed=1), Order("seed:2", seed=2))
    sample = {"x": models.random_array(5, 1, 8, 6)}
    a = model.explain(sample)
    b = model.explain(permutation.apply(sample, model.inputs))
    assert diff(a, b).layers["x"].relative_l2 > 0.5
    found = diff(a, b, permutation=permutation)
    assert found.layers["x"].relative_l2 == 0
    # A loop may round a cell in another way at its end than in its middle.
    assert [each.relative_l2 for each in found.compared][1:3] == pytest.approx([0, 0], abs=1e-6)
    np.testing.assert_allclose(found.b.cams["conv"], a.cams["conv"], atol=1e-6)
    np.testing.assert_array_equal(found.b.rgba["x"], a.rgba["x"])
    # The pool's grid is another: what it saw is another thing.
    assert found.layers["pool"].relative_l2 > 0
    np.testing.assert_array_equal(found.b.cams["pool"], b.cams["pool"])
