"""Files that ONNX Runtime wrote after optimizing or quantizing: right, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import micam_fast
from micam_fast.core.errors import ModelError
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.costs import count_multiply_adds, count_parameters
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.operator_row import MICROSOFT, REORDERED_DOMAINS
from tests.helpers.comparing import assert_close
from tests.helpers.microsoft_models import IN, OUT, WEIGHTS, codes
from tests.helpers.models import Array, random_array
from tests.helpers.plain_runtime import run
from tests.helpers.reference import channels_last, flat_map, published_conv

LEVELS = onnxruntime.GraphOptimizationLevel
SHAPE = (3, 8, 6)
PADS: dict[str, Any] = {"pads": [1] * 4}


def node(op: str, read: str, made: str, **given: Any) -> onnx.NodeProto:
    """A node named after what it makes."""
    return helper.make_node(op, read.split(), made.split(), made.split()[0], **given)


def microsoft(op: str, read: str, made: str, **given: Any) -> onnx.NodeProto:
    return node(op, read, made, domain=MICROSOFT, **given)


def build(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], shape: tuple[int, ...] = SHAPE
) -> onnx.ModelProto:
    """A model from ``x`` to ``y``, whose type ONNX Runtime finds."""
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
    graph = helper.make_graph(nodes, "net", [value], [onnx.ValueInfoProto(name="y")], held)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def optimized(model: onnx.ModelProto, path: Path, level: Any = LEVELS.ORT_ENABLE_ALL) -> Any:
    """The file that ONNX Runtime writes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    return onnx.load(path)


def operators(model: onnx.ModelProto) -> set[str]:
    return {f"{each.domain}::{each.op_type}" for each in model.graph.node}


def sample(*shape: int) -> Array:
    return random_array(99, *(shape or SHAPE))


def keras_order(kernel: Array) -> Array:
    return kernel.transpose(2, 3, 1, 0)


# --- Fused convolutions ------------------------------------------------------------------------


FUNCTIONS: dict[str, dict[str, Any]] = {
    "Relu": {}, "Sigmoid": {}, "Tanh": {}, "LeakyRelu": {"alpha": 0.1},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "Clip": {},
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_convolution_with_its_function(function: str, tmp_path: Path) -> None:
    read = "c low high" if function == "Clip" else "c"
    nodes = [
        node("Conv", "x w b", "c", **PADS),
        node(function, read, "a", **FUNCTIONS[function]),
        node("Conv", "a v", "y", **PADS),
    ]
    held: dict[str, Array] = {
        "w": random_array(1, 5, 3, 3, 3), "b": random_array(2, 5), "v": random_array(3, 2, 5, 3, 3),
        "low": np.array(0.1, np.float32), "high": np.array(0.7, np.float32),
    }  # fmt: skip
    plain = build(nodes, held)
    file = optimized(plain, tmp_path / "model.onnx", LEVELS.ORT_ENABLE_EXTENDED)
    assert f"{MICROSOFT}::FusedConv" in operators(file)
    x = sample()
    first, second = run(plain, {"x": x[None]}, "a", "y")
    found = micam_fast.explain(file, x)
    assert list(found.cams) == ["x", "c", "y"]
    assert_close(
        found.cams["c"], published_conv(channels_last(first), keras_order(held["w"]), held["b"])
    )
    assert_close(
        found.cams["y"], published_conv(channels_last(second), keras_order(held["v"]), None)
    )
    graph = read_layers(open_model(file))
    assert graph.layer("c").kernel_shape == (5, 3, 3, 3)
    assert graph.layer("c").bias_shape == (5,)
    assert count_parameters(graph)["c"] == 5 * 3 * 9 + 5


def test_what_is_added_in_a_fused_convolution_is_a_parent() -> None:
    nodes = [
        node("Conv", "x v", "before", **PADS),
        microsoft("FusedConv", "before w b x", "y", activation="Relu", **PADS),
    ]
    held = {
        "v": random_array(1, 4, 3, 3, 3), "w": random_array(2, 3, 4, 3, 3), "b": random_array(3, 3)
    }  # fmt: skip
    model = build(nodes, held)
    x = sample()
    (value,) = run(model, {"x": x[None]}, "y")
    assert read_layers(open_model(model)).layer("y").inputs == ("before", "x")
    cam = micam_fast.explain(model, x).cams["y"]
    assert_close(cam, published_conv(channels_last(value), keras_order(held["w"]), held["b"]))


def test_an_add_behind_a_function_is_no_bias() -> None:
    nodes = [
        microsoft("FusedConv", "x w", "conv", activation="Relu", **PADS),
        node("Add", "conv c", "y"),
    ]
    held = {"w": random_array(1, 4, 3, 3, 3), "c": random_array(2, 4, 1, 1)}
    graph = read_layers(open_model(build(nodes, held)))
    assert [layer.name for layer in graph.layers] == ["x", "conv", "y"]
    assert graph.layer("conv").bias_shape is None


# --- Blocked values ----------------------------------------------------------------------------


@pytest.mark.parametrize("domain", REORDERED_DOMAINS)
def test_blocked_values_are_refused_in_one_line(domain: str) -> None:
    model = build([node("Conv", "x w", "y", domain=domain)], {"w": random_array(1, 16, 3, 3, 3)})
    model.opset_import.append(helper.make_opsetid(domain, 1))
    with pytest.raises(
        ModelError, match=r"'y' \(Conv\) .*use the file before its optimization"
    ) as e:
        micam_fast.load_model(model)
    assert "\n" not in str(e.value)


def test_a_file_that_is_blocked_on_this_machine(tmp_path: Path) -> None:
    model = build([node("Conv", "x w", "y", **PADS)], {"w": random_array(1, 16, 3, 3, 3)})
    file = optimized(model, tmp_path / "model.onnx")
    if not operators(file) & {f"{REORDERED_DOMAINS[0]}::Conv"}:
        pytest.skip("ONNX Runtime computes in blocks on some processors alone")
    with pytest.raises(ModelError, match="use the file before its optimization"):
        micam_fast.load_model(tmp_path / "model.onnx")


# --- Products ----------------------------------------------------------------------------------


def test_products_with_scales_and_transposed_factors(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("MatMul", "x t", "product"),
        node("Mul", "product third", "scaled"),
        node("MatMul", "scaled w", "y"),
    ]
    held = {"third": np.float32(0.3), "w": random_array(1, 5, 4)}
    plain = build(nodes, held, (5, 8))
    file = optimized(plain, tmp_path / "model.onnx")
    assert operators(file) == {f"{MICROSOFT}::FusedMatMul", "::MatMul"}
    x = sample(5, 8)
    cams, expected = micam_fast.explain(file, x).cams, micam_fast.explain(plain, x).cams
    assert_close(cams["y"], expected["y"])
    (fused,) = cams.keys() - {"x", "y"}
    assert_close(cams[fused], expected["scaled"])


@pytest.mark.parametrize("turned", [0, 1])
def test_a_fused_product_is_a_dense_layer(turned: int) -> None:
    kernel = random_array(1, 8, 3)
    nodes = [
        microsoft("FusedMatMul", "x w", "dense", transB=turned, alpha=0.5),
        node("Add", "dense b", "y"),
    ]
    held = {"w": kernel.T.copy() if turned else kernel, "b": random_array(2, 3)}
    graph = read_layers(open_model(build(nodes, held, (8,))))
    assert [layer.name for layer in graph.layers] == ["x", "dense"]
    assert graph.layer("dense").bias_shape == (3,)
    assert graph.layer("dense").kernel_shape == held["w"].shape


# --- Quantized operators -----------------------------------------------------------------------


def quantized_net() -> onnx.ModelProto:
    """Codes all the way; ONNX Runtime moves their channels last when it optimizes."""
    nodes = [
        node("QuantizeLinear", "x si zi", "q"),
        node("QLinearConv", "q si zi w sw zw so zo b", "conv", **PADS),
        microsoft("QLinearLeakyRelu", "conv so zo si zi", "leaky", alpha=0.1),
        microsoft("QLinearAdd", "leaky si zi conv so zo so zo", "sum"),
        microsoft("QLinearConcat", "so zo sum so zo leaky si zi", "both", axis=1),
        node("MaxPool", "both", "largest", kernel_shape=[2, 2], strides=[2, 2]),
        microsoft("QLinearAveragePool", "largest so zo si zi", "mean", kernel_shape=[3, 3], **PADS),
        node("QLinearConv", "mean si zi v sw zw so zo", "second", group=2, **PADS),
        microsoft("QLinearSigmoid", "second so zo s1 z1", "gate"),
        microsoft("QLinearMul", "second so zo gate s1 z1 si zi", "gated"),
        microsoft("QLinearGlobalAveragePool", "gated si zi so zo", "pool"),
        node("Flatten", "pool", "flat"),
        microsoft("QGemm", "flat so zo m sw zw n so zo", "dense"),
        microsoft("QLinearSoftmax", "dense so zo s1 z1", "soft", axis=1, opset=13),
        node("DequantizeLinear", "soft s1 z1", "y"),
    ]
    units = {
        "si": IN[0],
        "zi": IN[1],
        "so": OUT[0],
        "zo": OUT[1],
        "sw": WEIGHTS[0],
        "zw": WEIGHTS[1],
    }
    held = units | {
        "w": codes(8, 3, 3, 3), "b": codes(8).astype(np.int32) * 7, "v": codes(4, 8, 3, 3),
        "m": codes(4, 5), "n": codes(5).astype(np.int32), "s1": np.float32(1 / 256),
        "z1": np.uint8(0),
    }  # fmt: skip
    return build(nodes, held)


UNITS = {"si": IN, "so": OUT}
MADE_IN = {
    "conv": "so", "leaky": "si", "sum": "so", "both": "so", "largest": "so", "mean": "si",
    "second": "so", "gated": "si",
}  # fmt: skip


def test_quantized_operators_show_real_units() -> None:
    model = quantized_net()
    x = sample() * 2
    values = dict(zip(MADE_IN, run(model, {"x": x[None]}, *MADE_IN), strict=True))
    cams = micam_fast.explain(model, x).cams
    # A sigmoid and the product behind it are a SiLU.
    assert "gate" not in cams
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for name, units in MADE_IN.items():
        scale, zero = UNITS[units]
        real = channels_last((values[name].astype(np.float32) - zero) * scale)
        expected = real.mean(-1)
        if name == "conv":
            bias = weights["b"] * IN[0] * WEIGHTS[0]
            expected = published_conv(real, keras_order(weights["w"] * WEIGHTS[0]), bias)
        elif name == "second":
            expected = published_conv(real, keras_order(weights["v"] * WEIGHTS[0]), None)
        assert_close(cams[name], expected)


@pytest.mark.parametrize("level", ["EXTENDED", "ALL"])
def test_quantized_operators_with_their_channels_last(level: str, tmp_path: Path) -> None:
    plain = quantized_net()
    path = tmp_path / "model.onnx"
    file = optimized(plain, path, getattr(LEVELS, f"ORT_ENABLE_{level}"))
    moved = f"{MICROSOFT}::NhwcMaxPool" in operators(file)
    if level == "ALL" and not moved:
        pytest.skip("ONNX Runtime moves the channels on some processors alone")
    x = sample() * 2
    expected = list(micam_fast.explain(plain, x).cams.values())
    found = list(micam_fast.explain(file, x).cams.values())
    assert len(found) == len(expected)
    for cam, other in zip(found, expected, strict=True):
        assert_close(cam, other)
    graph = read_layers(open_model(file))
    by_type = {layer.op_type: layer for layer in graph.layers}
    assert by_type["QGemm"].kernel_shape == (4, 5)
    assert by_type["QLinearConv"].kernel_shape == (4, 8, 3, 3)


@pytest.mark.parametrize("moved", [0, 1])
def test_multiply_adds_of_a_quantized_convolution(moved: int) -> None:
    nodes = [
        node("QuantizeLinear", "x si zi", "q"),
        microsoft("QLinearConv", "q si zi w sw zw so zo", "y", channels_last=moved, **PADS),
    ]
    held = {"si": IN[0], "zi": IN[1], "w": codes(8, 3, 3, 3), "sw": WEIGHTS[0], "zw": WEIGHTS[1]}
    held |= {"so": OUT[0], "zo": OUT[1]}
    shape = (*SHAPE[1:], 3) if moved else SHAPE
    model = build(nodes, held, shape)
    output = (8, 6, 8) if moved else (8, 8, 6)
    graph = read_layers(open_model(model), Facts({"x": (1, *shape)}, {"y": (1, *output)}))
    assert count_multiply_adds(graph)["y"] == 8 * 6 * 8 * 3 * 9
    assert graph.taps["y"].axes.channel == (3 if moved else 1)
    assert graph.taps["y"].source_channel == (3 if moved else 1)


def test_units_that_are_computed_at_run_time_leave_codes() -> None:
    nodes = [
        node("QuantizeLinear", "x si zi", "q"),
        node("ReduceMax", "x", "largest", keepdims=0),
        node("Abs", "largest", "scale"),
        microsoft("QLinearLeakyRelu", "q si zi scale zi", "leaky", alpha=0.1),
        node("DequantizeLinear", "leaky scale zi", "y"),
    ]
    model = build(nodes, {"si": IN[0], "zi": IN[1]})
    names = {name for each in open_model(model).proto.graph.node for name in each.output}
    assert names == {"q", "largest", "scale", "leaky", "y"}


# --- Recurrent layers, attention, normalizations -------------------------------------------------


@pytest.mark.parametrize(
    ("read", "axis", "axes"), [("Y", 1, ("recurrent", 2, 3)), ("last", 0, ("flat", 1, 2))]
)
def test_a_quantized_lstm_is_an_lstm(read: str, axis: int, axes: tuple[str, int, int]) -> None:
    hidden = 5
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        microsoft("DynamicQuantizeLSTM", "t w r b", "Y last cell", hidden_size=hidden),
        node("Squeeze", f"{read} axis", "s"),
        node("MatMul", "s k", "y"),
    ]
    nodes[1].input.extend(["", "", "", "", "sw", "zw", "sw", "zw"])
    held = {
        "w": codes(1, 4, 4 * hidden), "r": codes(1, hidden, 4 * hidden),
        "b": random_array(1, 1, 8 * hidden), "sw": WEIGHTS[0].reshape(1),
        "zw": WEIGHTS[1].reshape(1), "axis": np.array([axis]), "k": random_array(2, hidden, 3),
    }  # fmt: skip
    model = build(nodes, held, (9, 4))
    x = sample(9, 4)
    sequence, state = run(model, {"x": x[None]}, "Y", "last")
    graph = read_layers(open_model(model), Facts({"x": (1, 9, 4)}))
    layer, tap = graph.layer("Y"), graph.taps["Y"]
    assert (layer.kernel_shape, layer.bias_shape) == ((1, 4, 20), (1, 40))
    assert (tap.form, tap.axes.batch, tap.axes.channel) == axes
    products = count_multiply_adds(graph)
    assert products["Y"] == 9 * 4 * hidden * (4 + hidden)
    cam = micam_fast.explain(model, x).cams["Y"]
    shown = sequence[:, 0, 0].mean(-1)[np.newaxis]
    assert_close(cam, shown if read == "Y" else flat_map(state[0, 0], 1, 9))


def encoder() -> onnx.ModelProto:
    """Attention with its residual, and a perceptron, as ONNX Runtime writes a transformer."""
    wide = 8
    nodes = [
        microsoft("Attention", "x w b", "attention", num_heads=2),
        microsoft("SkipLayerNormalization", "attention x gain shift bias", "norm"),
        node("MatMul", "norm w1", "wide"),
        microsoft("BiasGelu", "wide b1", "gelu"),
        node("MatMul", "gelu w2", "narrow"),
        microsoft("SkipLayerNormalization", "narrow norm gain shift bias", "y"),
    ]
    held = {
        "w": random_array(1, wide, 3 * wide), "b": random_array(2, 3 * wide),
        "gain": random_array(3, wide), "shift": random_array(4, wide),
        "bias": random_array(5, wide),
        "w1": random_array(6, wide, 12), "b1": random_array(7, 12), "w2": random_array(8, 12, wide),
    }  # fmt: skip
    return build(nodes, held, (5, wide))


def test_an_encoder_of_fused_operators() -> None:
    model = encoder()
    x = sample(5, 8)
    graph = read_layers(open_model(model))
    names = [layer.name for layer in graph.layers[1:]]
    assert names == ["attention", "norm", "wide", "gelu", "narrow", "y"]
    assert graph.layer("norm").inputs == ("attention", "x")
    values = run(model, {"x": x[None]}, *names)
    cams = micam_fast.explain(model, x).cams
    for name, value in zip(names, values, strict=True):
        assert_close(cams[name], value[0].mean(-1)[np.newaxis])
    parameters = count_parameters(graph)
    assert parameters["attention"] == 8 * 24 + 24
    assert parameters["norm"] == 3 * 8


def test_multiply_adds_of_attention() -> None:
    model = build(
        [microsoft("Attention", "x w b", "y", num_heads=2)],
        {"w": random_array(1, 8, 24), "b": random_array(2, 24)},
        (5, 8),
    )
    graph = read_layers(open_model(model), Facts({"x": (1, 5, 8)}, {"y": (1, 5, 8)}))
    # Queries, keys and values; then each position with each one, twice.
    expected = 5 * 8 * 24 + 5 * 5 * 8 * 2
    assert count_multiply_adds(graph)["y"] == expected


# --- What is not known ---------------------------------------------------------------------------


def test_an_operator_of_another_domain_costs_what_nobody_knows() -> None:
    model = build([node("Relu", "x", "r"), node("Relu", "r", "y")], {})
    model.graph.node[0].domain = "somebody"
    products = count_multiply_adds(read_layers(open_model(model), Facts({"x": (1, *SHAPE)})))
    assert products == {"x": 0, "r": None, "y": 0}
