"""Parameters and multiply-adds of layers, counted by hand and by Keras."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from micam_fast.core.layers import Axes, Layer, Tap
from micam_fast.models.onnx import ModelGraph, open_model, read_layers
from micam_fast.models.onnx.costs import count_multiply_adds, count_parameters
from micam_fast.models.onnx.facts import Facts
from tests.helpers import keras_models
from tests.helpers.keras_layers import CONVOLUTIONS, needs_tensorflow
from tests.helpers.models import conv_net, conv_node, make_model, random_array, single_conv
from tests.helpers.weights import tensors_of

Cost = tuple[int | None, int | None]


def costs(proto: onnx.ModelProto, **shapes: tuple[int, ...]) -> dict[str, Cost]:
    """Both by layer, of those that cost something."""
    graph = read_layers(open_model(proto), Facts(shapes))
    parameters, products = count_parameters(graph), count_multiply_adds(graph)
    assert list(parameters) == list(products) == [layer.name for layer in graph.layers]
    both = {name: (parameters[name], products[name]) for name in parameters}
    return {name: found for name, found in both.items() if found != (0, 0)}


def test_a_small_cnn() -> None:
    assert costs(conv_net(), x=(1, 1, 8, 6)) == {
        "conv": (4 * 1 * 3 * 3 + 4, 8 * 6 * 4 * 9),
        "dense": (48 * 5 + 5, 48 * 5),
    }


@pytest.mark.parametrize(
    ("kernel", "op", "given", "products"),
    [
        ((6, 2, 3, 2), "Conv", {"group": 2}, 6 * 6 * 6 * 2 * 3 * 2),
        ((5, 4, 3, 3), "Conv", {"strides": [2, 2]}, 3 * 3 * 5 * 4 * 9),
        ((4, 3, 3, 2), "ConvTranspose", {"strides": [2, 3]}, 8 * 7 * 4 * 3 * 3 * 2),
    ],
)
def test_convolutions(
    kernel: tuple[int, ...], op: str, given: dict[str, Any], products: int
) -> None:
    shape = [None, 4, 8, 7]
    proto = single_conv(random_array(1, *kernel), shape, op=op, **given)
    assert costs(proto, x=(1, 4, 8, 7)) == {"conv": (int(np.prod(kernel)), products)}


def test_a_bias_of_its_own_normalization_and_slopes() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        helper.make_node("Add", ["conv:0", "b"], ["add:0"], "add"),
        helper.make_node("BatchNormalization", ["add:0", "s", "t", "m", "v"], ["bn:0"], "bn"),
        helper.make_node("PRelu", ["bn:0", "slope"], ["prelu:0"], "prelu"),
        helper.make_node("Clip", ["prelu:0", "low", "high"], ["clip:0"], "clip"),
        helper.make_node("Mul", ["clip:0", "two"], ["mul:0"], "mul"),
    ]
    one = np.ones(4, np.float32)
    constants = {
        "w": random_array(1, 4, 3, 1, 1), "b": one[:, np.newaxis, np.newaxis], "s": one, "t": one,
        "m": one, "v": one, "slope": one[:, np.newaxis, np.newaxis], "low": np.float32(0),
        "high": np.float32(6), "two": np.float32(2),
    }  # fmt: skip
    proto = make_model(nodes, {"x": [None, 3, 5, 2]}, ["mul:0"], constants)
    expected = {"conv": (16, 120), "bn": (16, 0), "prelu": (4, 0)}
    assert costs(proto, x=(1, 3, 5, 2)) == expected


def test_equal_numbers_made_one_constant() -> None:
    # As exporters do with the zeros and ones of a fresh model.
    nodes = [helper.make_node("BatchNormalization", ["x", "o", "z", "z", "o"], ["y"], "bn")]
    constants = {"o": np.ones(3, np.float32), "z": np.zeros(3, np.float32)}
    proto = make_model(nodes, {"x": [None, 3, 4, 4]}, ["y"], constants)
    assert costs(proto, x=(1, 3, 4, 4)) == {"bn": (12, 0)}


def test_a_kernel_that_two_layers_share() -> None:
    nodes = [conv_node("one", "x", "w"), conv_node("two", "one:0", "w")]
    proto = make_model(nodes, {"x": [None, 2, 6, 6]}, ["two:0"], {"w": random_array(1, 2, 2, 3, 3)})
    assert costs(proto, x=(1, 2, 6, 6)) == {"one": (36, 36 * 16), "two": (36, 36 * 4)}


@pytest.mark.parametrize("copy", ["dense", "dropout"])
def test_a_layer_and_its_copy(copy: str) -> None:
    """Dense and Dropout are one value; either of them may be the copy of the other."""
    made = {"dense": "dropout", "dropout": "dense"}[copy]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
        helper.make_node("Relu", ["product"], [made], "relu"),
        helper.make_node("Identity", [made], [copy], "copy"),
        helper.make_node("MatMul", [made, "v"], ["y"], "last"),
    ]
    constants = {"w": random_array(1, 7, 3), "v": random_array(2, 3, 2)}
    proto = make_model(nodes, {"x": [None, 7]}, ["y", copy], constants)
    read = read_layers(open_model(proto), Facts({"x": (1, 7)}))
    axes = Axes(0, None)
    names = {"x": "x", "dense": "dense", "dropout": "dropout", "last": "y"}
    reading = replace(
        read.reading,
        layers=tuple(Layer(name, "Any", "Any") for name in names),
        taps={name: Tap(value, axes) for name, value in names.items()},
    )
    graph = ModelGraph(open_model(proto), reading, read.graph)
    assert count_parameters(graph) == {"x": 0, "dense": 21, "dropout": 0, "last": 6}
    assert count_multiply_adds(graph) == {"x": 0, "dense": 21, "dropout": 0, "last": 6}


def test_matrix_products() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["proj:0"], "proj"),
        helper.make_node("Transpose", ["proj:0"], ["turned"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["proj:0", "turned"], ["scores:0"], "scores"),
    ]
    proto = make_model(nodes, {"x": [None, 5, 7]}, ["scores:0"], {"w": random_array(1, 7, 3)})
    expected = {"proj": (21, 5 * 7 * 3), "scores": (0, 5 * 3 * 5)}
    assert costs(proto, x=(1, 5, 7)) == expected


@pytest.mark.parametrize(
    ("equation", "size", "products"),
    [
        ("bij,jk->bik", [7, 3], 5 * 7 * 3),
        (" b i j , j k h -> b i k h ", [7, 3, 2], 5 * 7 * 3 * 2),
        ("bij,bjk", [1, 7, 4], 5 * 7 * 4),
        ("...j,jk->...k", [7, 3], None),
    ],
)
def test_einsum(equation: str, size: list[int], products: int | None) -> None:
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], "sum", equation=equation)]
    proto = make_model(nodes, {"x": [None, 5, 7]}, ["y"], {"w": random_array(1, *size)})
    assert costs(proto, x=(1, 5, 7)) == {"sum": (int(np.prod(size)), products)}


def test_einsum_of_one_value_multiplies_nothing() -> None:
    nodes = [helper.make_node("Einsum", ["x"], ["y"], "turn", equation="bij->bji")]
    assert costs(make_model(nodes, {"x": [None, 5, 7]}, ["y"]), x=(1, 5, 7)) == {}


@pytest.mark.parametrize(("op", "products"), [("MatMul", None), ("Add", 0)])
def test_products_within_a_branch(op: str, products: int | None) -> None:
    def branch(name: str, op: str, *read: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3, 3])
        return helper.make_graph([helper.make_node(op, read, [name])], name, [], [made])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], "most", keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["flag"], "flag"),
        helper.make_node(
            "If",
            ["flag"],
            ["y"],
            "if",
            then_branch=branch("then", op, "x", "w"),
            else_branch=branch("else", "Relu", "x"),
        ),
    ]
    constants = {"w": random_array(1, 3, 3), "zero": np.float32(0)}
    proto = make_model(nodes, {"x": [3, 3]}, ["y"], constants)
    assert costs(proto, x=(3, 3))["if"] == (9, products)


def test_parameters_that_a_body_holds() -> None:
    info = helper.make_tensor_value_info
    kernel = numpy_helper.from_array(random_array(1, 3, 3), "k")
    bias = helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(np.ones(3, "f4")))
    body = helper.make_graph(
        [
            bias,
            helper.make_node("Gemm", ["s", "k", "b"], ["t"]),
            helper.make_node("Identity", ["c"], ["d"]),
        ],
        "body",
        [
            info("i", onnx.TensorProto.INT64, []),
            info("c", onnx.TensorProto.BOOL, []),
            info("s", onnx.TensorProto.FLOAT, [3, 3]),
        ],
        [info("d", onnx.TensorProto.BOOL, []), info("t", onnx.TensorProto.FLOAT, [3, 3])],
        [kernel],
    )
    nodes = [helper.make_node("Loop", ["n", "go", "x"], ["y"], "loop", body=body)]
    constants = {"n": np.array(2), "go": np.array(True)}
    assert costs(make_model(nodes, {"x": [3, 3]}, ["y"], constants), x=(3, 3))["loop"] == (12, None)


@pytest.mark.parametrize(
    ("op", "read", "domain", "expected"),
    [
        ("DeformConv", ["x", "w", "x"], "", (16, None)),
        ("Attention", ["x", "x", "x"], "", (0, None)),
        ("ScatterElements", ["x", "x", "x"], "", None),
        ("Anything", ["x", "w"], "of.somebody", (None, None)),
    ],
)
def test_operators_that_nobody_has_counted(
    op: str, read: list[str], domain: str, expected: Cost | None
) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], "odd")]
    constants = {"w": random_array(1, 2, 2, 2, 2)}
    proto = make_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], constants)
    # Inference of shapes refuses a domain that is not imported.
    proto.graph.node[0].CopyFrom(helper.make_node(op, read, ["y"], "odd", domain=domain))
    if domain:
        proto.opset_import.append(helper.make_opsetid(domain, 1))
    assert costs(proto, x=(1, 2, 4, 4)).get("odd") == expected


def test_quantized_dense_layers_of_onnxruntime() -> None:
    """What its quantizer makes of Gemm; no inference tells what comes out."""
    more = {"s": np.float32(0.1), "zu": np.uint8(0), "zi": np.int8(0)}
    constants = {
        "w1": np.ones((4, 6), np.int8), "b1": np.ones(4, np.int32),
        "w2": np.ones((3, 4), np.int8), "b2": np.ones(3, np.int32), **more,
    }  # fmt: skip
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "zu"], ["0"], "q")]
    nodes += [
        helper.make_node(
            "QGemm",
            [str(n - 1), "s", "zu", f"w{n}", "s", "zi", f"b{n}", "s", "zu"],
            [str(n)],
            f"dense{n}",
            domain="com.microsoft",
            transB=1,
        )
        for n in (1, 2)
    ]
    nodes.append(helper.make_node("DequantizeLinear", ["2", "s", "zu"], ["y"], "dq"))
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=domains, ir_version=8)
    assert costs(proto, x=(1, 6)) == {"dense1": (24 + 4, 24), "dense2": (12 + 3, None)}
    assert tensors_of(proto)["dense1"] == {"w1", "b1"}


def test_a_recurrent_layer() -> None:
    # 6 steps of 3 features; 4 gates of 2 hidden units in 1 direction.
    constants = {
        "w": random_array(1, 1, 8, 3), "r": random_array(2, 1, 8, 2), "b": random_array(3, 1, 16)
    }  # fmt: skip
    nodes = [helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], "lstm", hidden_size=2)]
    proto = make_model(nodes, {"x": [6, 1, 3]}, ["y"], constants)
    assert costs(proto, x=(6, 1, 3)) == {"lstm": (24 + 16 + 16, 6 * (24 + 16))}


def test_a_quantized_convolution() -> None:
    constants = {
        "w": np.ones((4, 2, 3, 3), np.int8), "b": np.ones(4, np.int32), "s": np.float32(0.1),
        "zu": np.uint8(0), "zi": np.int8(0), "ws": np.full(4, 0.1, np.float32),
        "wz": np.zeros(4, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "zu"], ["q"], "q"),
        helper.make_node(
            "QLinearConv", ["q", "s", "zu", "w", "ws", "wz", "s", "zu", "b"], ["c"], "conv"
        ),
        helper.make_node("DequantizeLinear", ["c", "s", "zu"], ["y"], "dq"),
    ]
    proto = make_model(nodes, {"x": [None, 2, 5, 5]}, ["y"], constants)
    # Kernel, bias and the scales of its channels.
    assert costs(proto, x=(1, 2, 5, 5)) == {"conv": (72 + 4 + 4, 9 * 72)}


def test_a_kernel_stored_as_integers() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["kernel"], "weights"),
        conv_node("conv", "x", "kernel"),
    ]
    constants = {"w": np.ones((4, 2, 3, 3), np.int8), "s": np.float32(0.1)}
    proto = make_model(nodes, {"x": [None, 2, 5, 5]}, ["conv:0"], constants)
    assert costs(proto, x=(1, 2, 5, 5)) == {"conv": (72, 9 * 72)}


def test_shapes_that_no_inference_tells() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"], "where"),
        helper.make_node("Cast", ["where"], ["cast"], "cast", to=1),
        helper.make_node("MatMul", ["w", "cast"], ["y"], "dense"),
    ]
    proto = make_model(nodes, {"x": [None, 3]}, ["y"], {"w": random_array(1, 4, 2)})
    assert costs(proto, x=(1, 3))["dense"] == (8, None)


@needs_tensorflow
@pytest.mark.parametrize(
    "make",
    [
        keras_models.sequential,
        keras_models.nested_functional,
        keras_models.functional_in_sequential,
    ],
    ids=lambda make: make.__name__,
)
def test_keras_counts_the_same(make: Any) -> None:
    model = make()
    assert sum(n or 0 for n, _ in _of_keras(model).values()) == model.count_params()


@needs_tensorflow
def test_keras_batch_normalization_is_two_numbers_a_channel() -> None:
    model = keras_models.functional()
    found = _of_keras(model)
    # Keras counts mean and variance besides, which the export has worked into the other two.
    assert found.pop("norm") == (2 * 4, 0)
    keras = {layer.name: layer.count_params() for layer in model.layers}
    assert {name: parameters for name, (parameters, _) in found.items()} == {
        name: count for name, count in keras.items() if count and name != "norm"
    }


@needs_tensorflow
@pytest.mark.parametrize(
    "name", ["conv2d_grouped", "depthwise2d", "separable2d", "transpose2d", "conv1d", "conv3d"]
)
def test_keras_convolutions_count_the_same(name: str) -> None:
    import keras

    shape, make = CONVOLUTIONS[name]
    layer = make(keras.layers)
    model = keras_models._shaken(keras.Sequential([keras.Input(shape), layer]))
    ((parameters, products),) = _of_keras(model).values()
    assert parameters == layer.count_params()
    kernels = [np.prod(each.shape) for each in layer.get_weights() if len(each.shape) > 1]
    positions = model.input_shape if "transpose" in name else model.output_shape
    assert products == sum(kernels) * np.prod(positions[1:-1])


def _of_keras(model: Any) -> dict[str, Cost]:
    from micam_fast.models.keras import export_model

    proto = export_model(model).proto
    (fed,) = [value.name for value in proto.graph.input]
    return costs(proto, **{fed: (1, *model.input_shape[1:])})
