"""What is known of a graph for samples of one shape."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.graph import Graph
from tests.helpers.chains import op
from tests.helpers.models import make_model, random_array


def graph(model: onnx.ModelProto, facts: Facts | None = None) -> Graph:
    return Graph(open_model(model), facts)


def tokens(*, computed: bool) -> onnx.ModelProto:
    """A grid of tokens, whose sizes are computed from the shape of the input."""
    sizes = [
        op("Shape", "x", "shape"),
        op("Gather", "shape two", "rows"),
        op("Div", "rows four", "quarter"),
        op("Unsqueeze", "quarter zero", "height"),
        op("Concat", "one_ height minus c", "target", axis=0),
    ]
    nodes = [
        op("Conv", "x w", "conv", strides=[4, 4]),
        op("Transpose", "conv", "moved", perm=[0, 2, 3, 1]),
        *(sizes if computed else []),
        op("Reshape", "moved target", "grid"),
        op("Relu", "grid", "relu"),
    ]
    constants = {
        "w": random_array(0, 5, 3, 4, 4),
        "two": np.array(2),
        "four": np.array(4),
        "zero": np.array([0]),
        "one_": np.array([1]),
        "minus": np.array([-1]),
        "c": np.array([5]),
    }
    if not computed:
        constants["target"] = np.array([1, 6, -1, 5])
    return make_model(nodes, {"x": ["N", 3, "H", "W"]}, ["relu"], constants)


@pytest.mark.parametrize("computed", [False, True])
def test_sizes_are_those_of_the_sample(computed: bool) -> None:
    found = graph(tokens(computed=computed), Facts({"x": (1, 3, 24, 36)}))
    assert found.shape("conv") == (1, 5, 6, 9)
    assert found.shape("relu") == (1, 6, 9, 5)


def test_numbers_made_from_shapes_are_known() -> None:
    found = graph(tokens(computed=True), Facts({"x": (1, 3, 24, 36)}))
    assert found.is_known("target")
    assert found.array("target").tolist() == [1, 6, -1, 5]
    assert found.constant_shape("target") == (4,)


def test_without_facts_nothing_is_known_of_them() -> None:
    found = graph(tokens(computed=True))
    assert found.shape("conv") == (None, 5, None, None)
    assert not found.is_known("target")
    assert not found.numbers


def test_several_computed_sizes_behind_one_another() -> None:
    """Each round of inference tells the sizes that the next one needs."""
    nodes, value = [], "x"
    for step in range(4):
        nodes += [
            op("Shape", value, f"shape{step}"),
            op("Slice", f"shape{step} one_ two", f"rows{step}"),
            op("Div", f"rows{step} two", f"half{step}"),
            op("Concat", f"one_ half{step} minus", f"target{step}", axis=0),
            op("Reshape", f"{value} target{step}", f"moved{step}"),
        ]
        value = f"moved{step}"
    constants = {"one_": np.array([1]), "two": np.array([2]), "minus": np.array([-1])}
    model = make_model(nodes, {"x": ["N", 32, 16]}, [value], constants)
    found = graph(model, Facts({"x": (1, 32, 16)}))
    assert found.shape("moved0") == (1, 16, 32)
    assert found.shape("moved1") == (1, 8, 64)
    assert found.shape("moved3") == (1, 2, 256)


def test_settings_that_nodes_make_of_constants_count() -> None:
    """As the exporter of PyTorch writes pads; shape inference computes no constants."""
    nodes = [
        op("Concat", "begins ends", "pairs", axis=0),
        op("Cast", "pairs", "pads", to=onnx.TensorProto.INT64),
        op("Pad", "x pads", "padded"),
        op("Shape", "padded", "shape"),
        op("Add", "shape more", "sizes"),
        op("Expand", "padded sizes", "y"),
    ]
    constants = {
        "begins": np.array([0, 0, 1, 2], np.int32), "ends": np.array([0, 0, 3, 4], np.int32),
        "more": np.array([0, 2, 0, 0]),
    }  # fmt: skip
    found = graph(make_model(nodes, {"x": ["N", 1, 8, 6]}, ["y"], constants),
                  Facts({"x": (1, 1, 8, 6)}))  # fmt: skip
    assert found.shape("padded") == (1, 1, 12, 12)
    assert found.shape("y") == (1, 3, 12, 12)
    assert found.array("pads").tolist() == [0, 0, 1, 2, 0, 0, 3, 4]


def test_what_was_observed_counts() -> None:
    nodes = [
        op("Gelu", "x", "g", domain="com.microsoft"),
        op("Shape", "g", "s"),
        op("Expand", "one_ s", "y"),
    ]
    model = make_model(
        [op("Relu", "x", "y")], {"x": ["N", 3, 8]}, ["y"], {"one_": np.ones(1, np.float32)}
    )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    found = graph(model, Facts({"x": (1, 3, 8)}, {"g": (1, 3, 8)}))
    assert found.shape("g") == (1, 3, 8)
    assert found.array("s").tolist() == [1, 3, 8]


def test_one_number_that_cannot_be_computed_leaves_the_others() -> None:
    """A Reshape to a number of elements that there are not."""
    nodes = [
        op("Shape", "x", "s"),
        op("Reshape", "s wrong", "broken"),
        op("Mul", "s s", "squares"),
        op("Add", "x x", "y"),
    ]
    model = make_model(nodes, {"x": ["N", 3, 8]}, ["y"], {"wrong": np.array([7])})
    found = graph(model, Facts({"x": (1, 3, 8)}))
    assert found.array("squares").tolist() == [1, 9, 64]
    assert "broken" not in found.numbers
