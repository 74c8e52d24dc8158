"""A mean or a maximum over all positions is a global pool, whatever operator takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import micam_fast
from micam_fast.core.layers import Layer
from micam_fast.models.onnx import open_model, read_layers
from tests.helpers.models import conv_node, make_model, random_array

node = helper.make_node
W = random_array(1, 16, 3, 3, 3)
SAMPLE = random_array(2, 3, 12, 10)
AVERAGE, LARGEST = "GlobalAveragePool", "GlobalMaxPool"


def net(
    op: str, *more: str, sizes: tuple[Any, ...] = (12, 10), opset: int = 13, **given: Any
) -> onnx.ModelProto:
    """A convolution that keeps the size, and an operator that reads it."""
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node(op, ["conv:0", *more], ["y"], name="pool", **given),
    ]
    constants = {"w": W, "axes": np.array([2, 3])}
    return make_model(nodes, {"x": ["N", 3, *sizes]}, ["y"], constants, opset=opset)


def pool_of(model: onnx.ModelProto) -> tuple[Layer, str]:
    graph = read_layers(open_model(model))
    return graph.layer("pool"), graph.taps["pool"].form


WHOLE: tuple[tuple[onnx.ModelProto, str], ...] = (
    (net("ReduceMean", axes=[2, 3]), AVERAGE),
    (net("ReduceMean", axes=[-1, -2], keepdims=0), AVERAGE),
    (net("ReduceMean", "axes", opset=18), AVERAGE),
    (net("ReduceMax", axes=[3, 2]), LARGEST),
    (net("AveragePool", kernel_shape=[12, 10]), AVERAGE),
    (net("AveragePool", kernel_shape=[12, 10], strides=[3, 3], auto_pad="VALID"), AVERAGE),
    (net("MaxPool", kernel_shape=[12, 10], pads=[0] * 4), LARGEST),
)


@pytest.mark.parametrize(("model", "wanted"), WHOLE)
def test_it_is_the_pool_that_the_global_operator_is(model: onnx.ModelProto, wanted: str) -> None:
    layer, form = pool_of(model)
    assert (layer.op_type, layer.class_label, form) == (wanted, wanted, "flat")
    found = micam_fast.explain(model, SAMPLE).cams["pool"]
    same = micam_fast.explain(net(wanted), SAMPLE).cams["pool"]
    assert found.size >= 16
    np.testing.assert_allclose(found, same, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        net("ReduceMean", axes=[1]),
        net("ReduceMean", axes=[2]),
        net("ReduceMean", axes=[1, 2, 3]),
        net("ReduceMean"),
        net("ReduceSum", "axes"),
        net("AveragePool", kernel_shape=[12, 9]),
        net("AveragePool", kernel_shape=[12, 10], pads=[1, 0, 0, 0]),
        net("AveragePool", kernel_shape=[6, 10], opset=19, dilations=[2, 1]),
        net("MaxPool", kernel_shape=[12, 10], auto_pad="SAME_UPPER", strides=[12, 10]),
        net("AveragePool", kernel_shape=[12, 10], sizes=("H", "W")),
    ],
)
def test_other_pools_and_reductions_stay_what_they_are(model: onnx.ModelProto) -> None:
    layer, form = pool_of(model)
    assert layer.op_type == model.graph.node[1].op_type
    assert form == "channels"


def test_a_window_over_a_picture_of_open_size_is_one_for_the_sample_that_it_covers() -> None:
    model = micam_fast.load_model(net("AveragePool", kernel_shape=[12, 10], sizes=("H", "W")))
    assert model.explain(SAMPLE).cams["pool"].size >= 16
    assert model.explain(random_array(3, 3, 13, 12)).cams["pool"].shape == (2, 3)


def test_a_mean_along_a_line_needs_to_know_where_channels_lie() -> None:
    """Of (N, 6, 7) nothing says which of the two axes is the line."""
    lone = make_model([node("ReduceMean", ["x"], ["y"], name="pool", axes=[1])],
                      {"x": ["N", 6, 7]}, ["y"])  # fmt: skip
    assert pool_of(lone)[0].op_type == "ReduceMean"
    nodes = [
        node("MatMul", ["x", "w"], ["d"], name="dense"),
        node("ReduceMean", ["d"], ["y"], name="pool", axes=[1]),
    ]
    tokens = make_model(nodes, {"x": ["N", 6, 7]}, ["y"], {"w": random_array(1, 7, 5)})
    assert pool_of(tokens)[0].op_type == AVERAGE
