"""What counts as a layer, its name, kernel, bias, edges and axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Layer
from micam_fast.models.onnx import ModelGraph, open_model, read_layers
from tests.helpers.models import Array, conv_net, conv_node, if_branches, make_model, random_array

node = helper.make_node
X = {"x": ["batch", 2, 6, 5]}
W = random_array(1, 3, 2, 3, 3)
B = random_array(2, 3)


def read(model: onnx.ModelProto) -> ModelGraph:
    return read_layers(open_model(model))


def layers(model: onnx.ModelProto) -> dict[str, Layer]:
    return {layer.name: layer for layer in read(model).layers}


def constant(name: str, array: Array) -> onnx.NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(array))


def test_layers_of_a_plain_net() -> None:
    found = layers(conv_net())
    assert list(found) == ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]
    assert found["x"].class_label == "Input"
    assert found["conv"].inputs == ("x",)
    assert found["conv"].input_shapes == ((None, 1, 8, 6),)
    assert found["conv"].output_shape == (None, 4, 8, 6)
    assert (found["conv"].kernel_shape, found["conv"].bias_shape) == ((4, 1, 3, 3), (4,))
    assert (found["dense"].kernel_shape, found["dense"].bias_shape) == ((48, 5), (5,))
    assert found["relu"].kernel_shape is None


def test_names_by_spec() -> None:
    nodes = [
        node("Relu", ["x"], ["first"], name="same"),
        node("Relu", ["first"], ["second"], name="same"),
        node("Relu", ["second"], ["third"]),
        node("Relu", ["third"], ["fourth"], name="x"),
        node("Relu", ["fourth"], ["fifth"], name="first"),
    ]
    model = make_model(nodes, X, ["fifth"])
    assert list(layers(model)) == ["x", "first", "second", "third", "fourth", "first#2"]


def test_shape_bookkeeping_is_no_layer() -> None:
    nodes = [
        node("Relu", ["x"], ["r"], name="relu"),
        node("Shape", ["r"], ["shape"]),
        constant("zero", np.array([0])),
        node("Gather", ["shape", "zero"], ["batch"]),
        constant("rest", np.array([-1])),
        node("Concat", ["batch", "rest"], ["target"], axis=0),
        node("Cast", ["target"], ["target64"], to=TensorProto.INT64),
        node("Reshape", ["r", "target64"], ["flat"], name="flat"),
        node("Reshape", ["r", "rest"], ["measured"], name="only_measured"),
        node("Shape", ["measured"], ["length"]),
        node("Identity", ["flat"], ["same"], name="identity"),
        node("Cast", ["length"], ["float_length"], to=TensorProto.FLOAT),
        node("Div", ["same", "float_length"], ["out"], name="divide"),
    ]
    found = layers(make_model(nodes, X, ["out"]))
    assert list(found) == ["x", "relu", "flat", "divide"]
    assert found["divide"].inputs == ("flat",)


def test_dead_branches_are_left_out() -> None:
    nodes = [node("Relu", ["x"], ["used"]), node("Exp", ["x"], ["unused"])]
    assert list(layers(make_model(nodes, X, ["used"]))) == ["x", "used"]


@pytest.mark.parametrize(
    ("shape", "merged"),
    [((3, 1, 1), True), ((1, 3, 1, 1), True), ((1,), True), ((), True), ((5,), False),
     ((3, 6, 5), False), ((1, 1, 6, 1), False)],
)  # fmt: skip
def test_bias_as_an_add_of_a_constant(shape: tuple[int, ...], merged: bool) -> None:
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node("Add", ["b", "conv:0"], ["sum"], name="add"),
        node("Relu", ["sum"], ["out"], name="relu"),
    ]
    bias: Array = random_array(3, *shape) if shape else np.array(2, np.float32)
    graph = read(make_model(nodes, X, ["out"], {"w": W, "b": bias}))
    names = [layer.name for layer in graph.layers]
    assert names == (["x", "conv", "relu"] if merged else ["x", "conv", "add", "relu"])
    if merged:
        assert graph.taps["conv"].value == "sum"
        assert graph.layer("conv").bias_shape == (3,)
        np.testing.assert_array_equal(
            graph.weights("conv")[1], np.broadcast_to(bias.reshape(-1), (3,))
        )
        assert graph.layer("relu").inputs == ("conv",)


def test_bias_as_an_add_of_a_reshaped_constant() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        constant("shape", np.array([1, 3, 1, 1])),
        node("Reshape", ["b", "shape"], ["b4"]),
        node("Add", ["conv:0", "b4"], ["sum"]),
    ]
    graph = read(make_model(nodes, X, ["sum"], {"w": W, "b": B}))
    assert [layer.name for layer in graph.layers] == ["x", "conv"]
    np.testing.assert_array_equal(graph.weights("conv")[1], B)


def test_an_add_is_no_bias_if_the_output_is_used_elsewhere_or_biased_already() -> None:
    shared = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node("Add", ["conv:0", "b4"], ["sum"], name="add"),
        node("Mul", ["conv:0", "sum"], ["out"], name="mul"),
    ]
    constants = {"w": W, "b4": B.reshape(3, 1, 1), "b": B}
    assert "add" in layers(make_model(shared, X, ["out"], constants))
    biased = [conv_node("conv", "x", "w", "b"), node("Add", ["conv:0", "b4"], ["out"], name="add")]
    assert "add" in layers(make_model(biased, X, ["out"], constants))
    output_too = [conv_node("conv", "x", "w"), node("Add", ["conv:0", "b4"], ["out"], name="add")]
    assert "add" in layers(make_model(output_too, X, ["out", "conv:0"], constants))


@pytest.mark.parametrize(
    ("shape", "merged"), [((), True), ((3,), True), ((1, 3), True), ((1, 1, 3), False)]
)
def test_a_constant_that_adds_an_axis_is_no_bias(shape: tuple[int, ...], merged: bool) -> None:
    nodes = [node("MatMul", ["x", "m"], ["y"], name="dense"), node("Add", ["y", "b"], ["z"])]
    constants = {"m": random_array(1, 4, 3), "b": random_array(2, 3)[0] * np.ones(shape, "f4")}
    found = layers(make_model(nodes, {"x": ["N", 4]}, ["z"], constants))
    assert ("z" not in found) == merged


@pytest.mark.parametrize(
    ("channels", "shape", "merged"),
    [(3, (3, 1, 1), True), ("m", (3, 1, 1), False), ("m", (1, 1), True), (1, (3, 1, 1), False)],
)
def test_a_bias_of_channels_that_no_constant_kernel_tells(
    channels: int | str, shape: tuple[int, ...], merged: bool
) -> None:
    """A kernel that is fed: of an unknown number of channels there may be one, made three here."""
    nodes = [conv_node("conv", "x", "k"), node("Add", ["conv:0", "b"], ["z"], name="add")]
    inputs = X | {"k": [channels, 2, 3, 3]}
    found = layers(make_model(nodes, inputs, ["z"], {"b": random_array(2, *shape)}))
    assert ("add" not in found) == merged


def test_bias_behind_a_layout_transpose() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        node("Transpose", ["conv:0"], ["last"], perm=[0, 2, 3, 1]),
        node("Add", ["last", "b"], ["sum"]),
    ]
    graph = read(make_model(nodes, X, ["sum"], {"w": W, "b": B}))
    assert [layer.name for layer in graph.layers] == ["x", "conv"]
    assert graph.taps["conv"].axes == Axes(0, 3)


@pytest.mark.parametrize("place", ["initializer", "listed", "Constant", "ConstantOfShape", "Mul"])
def test_places_where_weights_can_be(place: str) -> None:
    constants: dict[str, Any] = {"w": W}
    before: list[onnx.NodeProto] = []
    expected: Array = W
    if place == "Constant":
        constants, before = {}, [constant("w", W)]
    elif place == "ConstantOfShape":
        value = numpy_helper.from_array(np.array([0.5], np.float32))
        constants = {"size": np.array(W.shape)}
        before = [node("ConstantOfShape", ["size"], ["w"], value=value)]
        expected = np.full(W.shape, 0.5, np.float32)
    elif place == "Mul":
        constants = {"half": W, "two": np.array(2, np.float32)}
        before = [node("Mul", ["half", "two"], ["w"])]
        expected = W * 2
    nodes = [*before, conv_node("conv", "x", "w")]
    graph = read(make_model(nodes, X, ["conv:0"], constants, listed=place == "listed"))
    assert [layer.name for layer in graph.layers] == ["x", "conv"]
    np.testing.assert_array_equal(graph.weights("conv")[0], expected)


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_weights(linear: bool) -> None:
    kernel = np.where(np.abs(W) > 1, W, 0)
    places = np.flatnonzero(kernel) if linear else np.argwhere(kernel)
    values = numpy_helper.from_array(kernel[kernel != 0], "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(places), W.shape)
    model = make_model([conv_node("conv", "x", "w")], X, ["conv:0"], {"w": W})
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(sparse)
    graph = read(model)
    np.testing.assert_array_equal(graph.weights("conv")[0], kernel)
    assert graph.layer("conv").kernel_shape == W.shape


def test_quantized_kernels_are_dequantized() -> None:
    scale, zero = np.array([0.5, 2, 4], np.float32), np.array([1, 0, -1], np.int8)
    kernel = np.random.default_rng(1).integers(-9, 9, W.shape).astype(np.int8)
    constants: dict[str, Any] = {"q": kernel, "s": scale, "z": zero}
    nodes = [
        node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
        conv_node("conv", "x", "w"),
    ]
    graph = read(make_model(nodes, X, ["conv:0"], constants))
    column = (3, 1, 1, 1)
    expected = (kernel - zero.reshape(column).astype(np.float32)) * scale.reshape(column)
    np.testing.assert_allclose(graph.weights("conv")[0], expected)


def test_a_kernel_that_is_not_constant_is_none() -> None:
    nodes = [node("Conv", ["x", "k"], ["conv:0"], name="conv")]
    graph = read(make_model(nodes, {**X, "k": [3, 2, 3, 3]}, ["conv:0"]))
    assert graph.layer("conv").kernel_shape is None
    assert graph.taps["conv"].geometry is None
    assert graph.layer("conv").inputs == ("x", "k")


def test_edges_see_through_bookkeeping() -> None:
    nodes = [
        node("Relu", ["x"], ["a"], name="a"),
        node("Cast", ["a"], ["half"], to=TensorProto.FLOAT16),
        node("Cast", ["half"], ["full"], to=TensorProto.FLOAT),
        node("Exp", ["x"], ["b"], name="b"),
        node("Add", ["full", "b"], ["out"], name="sum"),
    ]
    found = layers(make_model(nodes, X, ["out"]))
    assert list(found) == ["x", "a", "b", "sum"]
    assert found["sum"].inputs == ("a", "b")


def test_subgraphs_are_one_layer_with_what_they_capture() -> None:
    nodes = [
        node("Relu", ["x"], ["r"], name="relu"),
        node("ReduceMax", ["x"], ["top"], name="max", keepdims=0),
        constant("limit", np.array(0, np.float32)),
        node("Greater", ["top", "limit"], ["flag"], name="greater"),
        node("If", ["flag"], ["out"], name="if", **if_branches("r")),
    ]
    found = layers(make_model(nodes, {"x": [1, 2, 6, 5]}, ["out"]))
    assert set(found["if"].inputs) == {"relu", "greater"}


@pytest.mark.parametrize(
    ("perm", "drawn"),
    [((0, 2, 3, 1), False), ((0, 3, 1, 2), False), ((0, 1, 3, 2), True), ((0, 2, 1, 3), True)],
)
def test_only_layout_transposes_are_bookkeeping(perm: tuple[int, ...], drawn: bool) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], name="transpose", perm=perm),
        node("Relu", ["t"], ["out"], name="relu"),
    ]
    assert ("transpose" in layers(make_model(nodes, X, ["out"]))) is drawn


def test_a_reshape_that_moves_a_single_channel_is_bookkeeping() -> None:
    nodes = [
        node("Reshape", ["x", "shape"], ["first"], name="reshape"),
        conv_node("conv", "first", "w"),
    ]
    constants = {"shape": np.array([-1, 1, 8, 6]), "w": random_array(1, 3, 1, 3, 3)}
    graph = read(make_model(nodes, {"x": ["batch", 8, 6, 1]}, ["conv:0"], constants))
    assert [layer.name for layer in graph.layers] == ["x", "conv"]
    assert graph.inputs[0].axes == Axes(0, 3)


AXES_CASES: list[tuple[list[onnx.NodeProto], dict[str, Any], list[Any], dict[str, Axes]]] = [
    (
        [
            node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
            conv_node("conv", "t", "w"),
            node("Transpose", ["conv:0"], ["back"], perm=[0, 2, 3, 1]),
            node("Relu", ["back"], ["out"], name="relu"),
        ],
        {"w": W}, ["batch", 6, 5, 2],
        {"x": Axes(0, 3), "conv": Axes(0, 1), "relu": Axes(0, 3)},
    ),
    (
        [node("Mul", ["x", "k"], ["m"], name="scale"), conv_node("conv", "m", "w")],
        {"w": random_array(1, 3, 4, 3), "k": np.ones(1, np.float32)}, ["batch", 4, 9],
        {"x": Axes(0, 1), "scale": Axes(0, 1), "conv": Axes(0, 1)},
    ),
    (
        [node("Relu", ["x"], ["out"], name="relu")],
        {}, ["batch", 9, 4], {"x": Axes(0, 2), "relu": Axes(0, 2)},
    ),
    (
        [
            node("Unsqueeze", ["x", "two"], ["wide"]),
            node("Conv", ["wide", "w"], ["c"], name="conv"),
            node("Squeeze", ["c", "two"], ["thin"]),
            node("Relu", ["thin"], ["out"], name="relu"),
        ],
        {"w": random_array(1, 3, 4, 1, 3), "two": np.array([2])}, ["batch", 4, 9],
        {"x": Axes(0, 1), "conv": Axes(0, 1), "relu": Axes(0, 1)},
    ),
    (
        [
            node("LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=3),
            node("Squeeze", ["y", "one"], ["s"]),
            node("Relu", ["s"], ["out"], name="relu"),
        ],
        {"w": random_array(1, 1, 12, 4), "r": random_array(2, 1, 12, 3), "one": np.array([1])},
        [9, "batch", 4], {"x": Axes(1, 2), "lstm": Axes(2, 3), "relu": Axes(1, 2)},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "shape", "expected"), AXES_CASES)
def test_axes(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any],
    shape: list[Any],
    expected: dict[str, Axes],
) -> None:
    output = nodes[-1].output[0]
    graph = read(make_model(nodes, {"x": shape}, [output], constants))
    assert {name: graph.taps[name].axes for name in expected} == expected


def test_model_local_functions_are_inlined() -> None:
    function = helper.make_function(
        "local", "Twice", ["a"], ["c"],
        [node("Relu", ["a"], ["b"], name="inner"), node("Exp", ["b"], ["c"], name="outer")],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    model = make_model([node("Relu", ["x"], ["out"])], X, ["out"], opset=18)
    del model.graph.node[:]
    model.graph.node.append(node("Twice", ["x"], ["out"], domain="local"))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert [layer.op_type for layer in read(model).layers] == ["Input", "Relu", "Exp"]


def test_a_broken_graph_is_told() -> None:
    model = conv_net()
    model.graph.node[1].input[0] = "nowhere"
    with pytest.raises(ModelError, match=r"node 'relu' reads 'nowhere', which no earlier node"):
        read(model)


def test_a_graph_without_layers_is_told() -> None:
    model = make_model([node("Identity", ["x"], ["out"])], X, ["out"])
    with pytest.raises(ModelError, match="holds no layer"):
        read(model)


def test_the_callers_model_is_not_changed() -> None:
    model = conv_net()
    before = model.SerializeToString()
    read(model)
    assert model.SerializeToString() == before
