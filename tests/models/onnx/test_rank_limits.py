"""The largest rank of each layer by its kernel, against the rank of what random inputs make."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from micam_fast import load_model
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.rank_limits import find_classifier, find_rank_limits
from tests.helpers.models import conv_net, conv_node, make_model, random_array, single_conv


def limits(proto: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    return find_rank_limits(read_layers(open_model(proto)))


@pytest.mark.parametrize(
    ("kernel", "op", "given", "limit"),
    [
        ((20, 3, 1, 1), "Conv", {}, (20, 3)),
        ((20, 3, 2, 2), "Conv", {}, (20, 12)),
        ((5, 3, 2, 2), "Conv", {}, (5, 5)),
        ((12, 1, 1, 2), "Conv", {"group": 3}, (12, 6)),
        ((12, 1, 3, 3), "Conv", {"group": 3, "strides": [2, 2], "pads": [1] * 4}, (12, 12)),
        ((3, 20, 1, 1), "ConvTranspose", {}, (20, 3)),
        ((3, 30, 2, 2), "ConvTranspose", {"strides": [2, 2]}, (30, 12)),
        ((3, 8, 1, 2), "ConvTranspose", {"group": 3}, (24, 6)),
    ],
)
def test_a_convolution_has_the_rank_of_what_it_reads(
    kernel: tuple[int, ...], op: str, given: dict[str, Any], limit: tuple[int, int]
) -> None:
    proto = single_conv(random_array(1, *kernel), [None, 3, 12, 12], op=op, **given)
    assert limits(proto)["conv"] == limit
    found: list[np.ndarray[Any, Any]] = []
    samples = [random_array(seed, 3, 12, 12) for seed in range(4)]

    def take(index: int, slot: int, layers: Any) -> None:
        found.extend(each.array.copy() for each in layers if each.layer == "conv")

    list(load_model(proto).activations(samples, take))
    values = np.concatenate([each.reshape(limit[0], -1) for each in found], axis=1)
    centred = values - values.mean(axis=1, keepdims=True)
    assert np.linalg.matrix_rank(centred, tol=1e-4 * np.abs(centred).max()) == limit[1]


def test_dense_layers_and_what_is_none() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["wide:0"], "wide"),
        helper.make_node("Add", ["wide:0", "b"], ["added:0"], "added"),
        helper.make_node("Relu", ["added:0"], ["relu:0"], "relu"),
        helper.make_node("Gemm", ["relu:0", "w2"], ["narrow:0"], "narrow", transB=1),
        helper.make_node("Add", ["narrow:0", "narrow:0"], ["twice:0"], "twice"),
    ]
    constants = {
        "w1": random_array(1, 4, 9), "b": random_array(2, 9), "w2": random_array(3, 5, 9)
    }  # fmt: skip
    proto = make_model(nodes, {"x": [None, 4]}, ["twice:0"], constants)
    assert limits(proto) == {"wide": (9, 4), "narrow": (5, 5)}


def test_a_bias_that_is_computed_adds_directions() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w1"], ["wide:0"], "wide"),
        helper.make_node("Relu", ["wide:0"], ["relu:0"], "relu"),
        helper.make_node("Gemm", ["x", "w2", "relu:0"], ["both:0"], "both"),
    ]
    constants = {"w1": random_array(1, 4, 9), "w2": random_array(2, 4, 9)}
    assert limits(make_model(nodes, {"x": [None, 4]}, ["both:0"], constants)) == {"wide": (9, 4)}


@pytest.mark.parametrize(
    ("shape", "limited"),
    [((9, 1, 1), True), ((1, 9, 1, 1), True), ((1,), True), ((9, 4, 4), False), ((4,), False)],
)
def test_a_summand_of_each_place_is_no_bias(shape: tuple[int, ...], limited: bool) -> None:
    nodes = [conv_node("conv", "x", "w"), helper.make_node("Add", ["conv:0", "b"], ["y"], "add")]
    constants = {"w": random_array(1, 9, 3, 1, 1), "b": random_array(2, *shape)}
    found = limits(make_model(nodes, {"x": [None, 3, 4, 4]}, ["y"], constants))
    assert (9, 3) in found.values()
    assert ("add" not in found) or limited


def test_the_layer_that_the_prediction_is_read_from() -> None:
    assert find_classifier(read_layers(open_model(conv_net()))) == "softmax"
    nodes = [conv_node("conv", "x", "w"), helper.make_node("Relu", ["conv:0"], ["y"], "relu")]
    proto = make_model(nodes, {"x": [None, 2, 6, 6]}, ["y"], {"w": random_array(1, 2, 2, 3, 3)})
    assert find_classifier(read_layers(open_model(proto))) is None


def test_bookkeeping_behind_the_prediction_is_seen_through() -> None:
    proto = conv_net()
    (last,) = proto.graph.output
    proto.graph.node.append(helper.make_node("Identity", [last.name], ["answer"], "end"))
    last.name = "answer"
    assert find_classifier(read_layers(open_model(proto))) == "softmax"
