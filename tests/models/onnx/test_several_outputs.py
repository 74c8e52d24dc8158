"""Which outputs of a layer are shown: each that a later layer reads, and one at least."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import micam_fast
from micam_fast.core.layers import Layer
from micam_fast.models.onnx import ModelGraph, open_model, read_layers
from micam_fast.models.onnx.costs import count_parameters
from micam_fast.models.onnx.facts import Facts
from tests.helpers.models import conv_node, make_model, random_array
from tests.helpers.plain_runtime import run
from tests.helpers.reference import flat_map

node = helper.make_node
X = {"x": ["batch", 3, 8, 10]}
KERNEL = {"w": random_array(1, 4, 3, 3, 3)}
SAMPLE = random_array(2, 3, 8, 10)


def read(model: onnx.ModelProto, facts: Facts | None = None) -> ModelGraph:
    found = read_layers(open_model(model))
    return read_layers(open_model(model), facts, found.reading) if facts else found


def layers(model: onnx.ModelProto) -> dict[str, Layer]:
    return {layer.name: layer for layer in read(model).layers}


def split_net(*after: onnx.NodeProto, outputs: tuple[str, ...]) -> onnx.ModelProto:
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node("Split", ["conv:0"], ["one", "two"], name="chunk", axis=1, num_outputs=2),
        *after,
    ]
    return make_model(nodes, X, outputs, KERNEL, opset=18)


def test_both_halves_of_a_split_are_layers() -> None:
    model = split_net(
        node("Relu", ["one"], ["r"], name="relu"),
        node("Sigmoid", ["two"], ["s"], name="sigmoid"),
        node("Concat", ["r", "s", "two"], ["y"], name="join", axis=1),
        outputs=("y",),
    )
    for facts in (None, Facts({"x": (1, 3, 8, 10)})):
        graph = read(model, facts)
        names = [layer.name for layer in graph.layers]
        assert names == ["x", "conv", "chunk", "chunk:1", "relu", "sigmoid", "join"]
        assert [graph.layer(f"chunk{n}").class_label for n in ("", ":1")] == ["Split", "Split"]
        assert [graph.layer(f"chunk{n}").inputs for n in ("", ":1")] == [("conv",)] * 2
        assert graph.layer("relu").inputs == ("chunk",)
        assert graph.layer("join").inputs == ("relu", "sigmoid", "chunk:1")
        assert count_parameters(graph)["chunk:1"] == 0
    values = run(model, {"x": SAMPLE[np.newaxis]}, "one", "two")
    found = micam_fast.explain(model, SAMPLE)
    for name, value in zip(("chunk", "chunk:1"), values, strict=True):
        np.testing.assert_allclose(found.cams[name], value[0].mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("between", [(), ("Identity",), ("Identity", "Identity")])
def test_the_one_half_that_is_read_is_the_layers(between: tuple[str, ...]) -> None:
    values = ["two", *(f"i{place}" for place in range(len(between)))]
    nodes = [node(op, [values[n]], [values[n + 1]]) for n, op in enumerate(between)]
    relu = node("Relu", values[-1:], ["y"], name="relu")
    graph = read(split_net(*nodes, relu, outputs=("y",)))
    assert [layer.name for layer in graph.layers] == ["x", "conv", "chunk", "relu"]
    assert graph.taps["chunk"].value == "two"


def test_of_outputs_that_no_layer_reads_the_first_one_given_out_is_shown() -> None:
    whole = split_net(outputs=("one", "two"))
    assert [layer.name for layer in read(whole).layers] == ["x", "conv", "chunk"]
    assert read(whole).taps["chunk"].value == "one"
    assert read(split_net(outputs=("two",))).taps["chunk"].value == "two"
    through = split_net(node("Identity", ["two"], ["y"]), outputs=("one", "y"))
    assert read(through).taps["chunk"].value == "one"


def test_names_of_outputs_behind_one_that_nobody_reads() -> None:
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node("Split", ["conv:0"], ["a", "b", "c", "d"], name="quarters", axis=1, num_outputs=4),
        node("Mul", ["b", "d"], ["m"], name="quarters:3"),
    ]
    graph = read(make_model(nodes, X, ["m"], KERNEL, opset=18))
    assert [layer.name for layer in graph.layers][2:] == ["quarters", "quarters:3", "quarters:3#2"]
    assert [graph.taps[name].value for name in ("quarters", "quarters:3")] == ["b", "d"]


def test_states_of_a_recurrent_layer_are_flat() -> None:
    weights = {
        "k": random_array(1, 2, 16, 3), "r": random_array(2, 2, 16, 4), "axis": np.array([1]),
    }  # fmt: skip
    nodes = [
        node("LSTM", ["x", "k", "r"], ["Y", "H", "C"], name="lstm", hidden_size=4,
             direction="bidirectional"),
        node("Relu", ["H"], ["h"], name="last"),
        node("Tanh", ["C"], ["c"], name="cell"),
        node("Add", ["h", "c"], ["y"], name="add"),
    ]  # fmt: skip
    model = make_model(nodes, {"x": [7, "N", 3]}, ["y"], weights)
    sample = random_array(3, 7, 3)
    found = micam_fast.explain(model, sample)
    assert [name for name in found.cams if name.startswith("lstm")] == ["lstm", "lstm:2"]
    states = run(model, {"x": sample[:, np.newaxis]}, "H", "C")
    for name, state in zip(("lstm", "lstm:2"), states, strict=True):
        np.testing.assert_allclose(found.cams[name], flat_map(state[:, 0], 1, 7), rtol=1e-5)


def test_both_halves_of_codes_are_in_real_units() -> None:
    codes = {
        "w": np.ones((4, 3, 1, 1), np.int8),
        "s": np.float32(0.5), "z": np.int8(0), "t": np.float32(0.25),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "s", "z", "t", "z"], ["c"], name="conv"),
        node("Split", ["c"], ["one", "two"], name="chunk", axis=1, num_outputs=2),
        node("MaxPool", ["one"], ["p"], name="pool", kernel_shape=[2, 2]),
        node("MaxPool", ["two"], ["r"], name="other", kernel_shape=[2, 2]),
        node("DequantizeLinear", ["p", "t", "z"], ["a"]),
        node("DequantizeLinear", ["r", "t", "z"], ["b"]),
        node("Add", ["a", "b"], ["y"], name="add"),
    ]
    model = make_model(nodes, X, ["y"], codes, opset=18)
    (halves,) = run(model, {"x": SAMPLE[np.newaxis]}, "two")
    found = micam_fast.explain(model, SAMPLE).cams["chunk:1"]
    np.testing.assert_allclose(found, 0.25 * halves[0].astype(np.float32).mean(0), rtol=1e-6)
