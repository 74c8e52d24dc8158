"""Shapes before a run: what inference finds goes before what the file declares."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import micam_fast
from micam_fast.core.layers import Shape
from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.graph import Graph
from tests.helpers import reference
from tests.helpers.models import make_model, random_array
from tests.helpers.plain_runtime import run

OPEN = {"x": ["N", 3, 6, 7]}


def declare(model: onnx.ModelProto, *shapes: Sequence[Any] | None) -> onnx.ModelProto:
    """The model with other shapes declared for its outputs."""
    for value, shape in zip(model.graph.output, shapes, strict=True):
        kind = value.type.tensor_type.elem_type or TensorProto.FLOAT
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))
    return model


def conv_and_relu(*declared: Any) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    model = make_model(nodes, OPEN, ["c", "y"], {"w": random_array(1, 8, 3, 1, 1)})
    return declare(model, declared, declared)


def shapes_of(model: onnx.ModelProto, *names: str) -> list[Shape | None]:
    graph = Graph(open_model(model))
    return [graph.shape(name) for name in names]


@pytest.mark.parametrize("declared", [3, 5, 16, 64])
def test_a_kernel_tells_more_of_the_channels_than_a_declared_output(declared: int) -> None:
    model = conv_and_relu("N", declared, 6, 7)
    assert shapes_of(model, "c", "y") == [(None, 8, 6, 7)] * 2
    sample = random_array(2, 3, 6, 7)
    found = micam_fast.explain(model, sample)
    arrays = run(model, {"x": sample[np.newaxis]}, "c", "y")
    expected = reference.mean_map(reference.channels_last(arrays[1]))
    np.testing.assert_allclose(found.cams["relu"], expected, atol=1e-5)
    kernel = np.moveaxis(random_array(1, 8, 3, 1, 1), (0, 1), (-1, -2))
    expected = reference.published_conv(reference.channels_last(arrays[0]), kernel, None)
    np.testing.assert_allclose(found.cams["conv"], expected, atol=1e-5)


@pytest.mark.parametrize("declared", [("N", 3), ("N", 8, 6, 7, 1), (8,), ()])
def test_a_declared_output_of_another_rank(declared: Any) -> None:
    assert shapes_of(conv_and_relu(*declared), "c", "y") == [(None, 8, 6, 7)] * 2


def test_a_declared_output_tells_what_inference_does_not_know() -> None:
    """The sizes of a Reshape may be fed; the file says what comes out."""
    sizes = helper.make_node("Reshape", ["x", "to"], ["y"], name="reshape")
    graph = helper.make_graph(
        [sizes],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6]),
            helper.make_tensor_value_info("to", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert shapes_of(model, "y") == [(None, 3)]


@pytest.mark.parametrize("declared", [[None, 3, 6, 7], [None, 3], None])
def test_bodies_declare_no_shapes_either(declared: Any) -> None:
    """A branch's output is a claim like the graph's own."""
    branches: dict[str, Any] = {}
    for key, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
        out = helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, declared)
        node = helper.make_node(op, ["c"], [f"{op}_out"])
        branches[key] = helper.make_graph([node], op, [], [out])
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("If", ["true"], ["i"], name="if", **branches),
        helper.make_node("Relu", ["i"], ["y"], name="relu"),
    ]
    constants = {"w": random_array(1, 8, 3, 1, 1), "true": np.array(True)}
    model = make_model(nodes, OPEN, ["y"], constants)
    assert shapes_of(declare(model, None), "i", "y") == [(None, 8, 6, 7)] * 2


def test_weights_among_the_inputs_have_the_shapes_that_they_have() -> None:
    model = conv_and_relu("N")
    weight = helper.make_tensor_value_info("w", TensorProto.FLOAT, [16, 3, 0])
    model.graph.input.append(weight)
    assert shapes_of(model, "c", "y") == [(None, 8, 6, 7)] * 2


def test_a_declared_element_type_does_not_end_inference() -> None:
    """The first output is of whole numbers, whatever the file says."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "scale"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
    ]
    constants = {"w": random_array(1, 8, 3, 1, 1), "scale": np.float32(0.1)}
    model = make_model(nodes, OPEN, ["q", "y"], constants)
    for value in model.graph.output:
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["N"]))
    assert shapes_of(model, "c", "q", "y") == [(None, 8, 6, 7)] * 3


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(("window", "dilation"), [(1, 1), (2, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("pads", [(0, 0), (0, 1), (1, 1)])
def test_no_window_of_a_pool_begins_behind_its_input(
    operator: str, window: int, dilation: int, pads: tuple[int, int]
) -> None:
    """With `ceil_mode` ONNX's inference counts such windows, ONNX Runtime does not."""
    if max(pads) >= window:
        pytest.skip("no pad is as wide as the window")
    for stride, size in itertools.product((1, 2, 3, 4), range(4, 10)):
        pool = helper.make_node(
            operator, ["x"], ["y"], ceil_mode=1, kernel_shape=[window, 2], dilations=[dilation, 1],
            strides=[stride, 1], pads=[pads[0], 0, pads[1], 0],
        )  # fmt: skip
        model = make_model([pool], {"x": [1, 2, size, 5]}, ["y"], {}, opset=19)
        found = run(model, {"x": random_array(1, 1, 2, size, 5)}, "y")[0]
        assert shapes_of(declare(model, None), "y") == [found.shape]
