"""Models that ONNX Runtime's tool quantizes: the layers of the model before, in real units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from micam_fast import Model, load_model
from micam_fast.core.layers import Layer
from micam_fast.models.onnx.real_units import code_limits
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.quantized_models import mobile_net, quantize, residual_net, samples

NETS = {"residual": residual_net, "mobile": mobile_net}
_ACTIVATION_FUNCTIONS = ("Relu", "Clip")


def bare(layer: Layer) -> str:
    return layer.name.removesuffix("_quant")


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return NETS[request.param]()


CODES = np.random.default_rng(0).integers(-9, 9, (2, 1, 3, 3), np.int8)


def has_kernel(model: Model, expected: Array) -> None:
    """The kernel of the convolution is this one."""
    found = model.weights("conv")
    assert found is not None
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


class TestLayers:
    """Scales, casts and biases of their own are no layers."""

    def test_those_of_a_dynamic_model_are_the_float_model_s(
        self, net: onnx.ModelProto, tmp_path: Path
    ) -> None:
        quantized = load_model(quantize(net, tmp_path, "dynamic"))
        before = load_model(net).layers
        assert [bare(each) for each in quantized.layers] == [each.name for each in before]
        for one, other in zip(quantized.layers, before, strict=True):
            assert one.output_shape == other.output_shape
            assert one.kernel_shape == other.kernel_shape
            assert one.bias_shape == other.bias_shape
            assert [name.removesuffix("_quant") for name in one.inputs] == [*other.inputs]

    @pytest.mark.parametrize("way", ["QDQ", "QOperator"])
    def test_those_of_a_static_model_lack_activation_functions_alone(
        self, net: onnx.ModelProto, way: str, tmp_path: Path
    ) -> None:
        quantized = load_model(quantize(net, tmp_path, way))
        kept = [e.name for e in load_model(net).layers if e.op_type not in _ACTIVATION_FUNCTIONS]
        assert [bare(each) for each in quantized.layers] == kept


class TestNumbers:
    """Activations and kernels are in the units of the float model."""

    def test_maps_are_near_the_float_model_s(self, net: onnx.ModelProto, tmp_path: Path) -> None:
        quantized = load_model(quantize(net, tmp_path, "dynamic"))
        sample = samples()[0]
        before = load_model(net).explain(sample).cams
        for name, cam in quantized.explain(sample).cams.items():
            expected = before[name.removesuffix("_quant")]
            assert np.linalg.norm(cam - expected) < 0.05 * np.linalg.norm(expected), name

    def test_a_product_that_others_read_keeps_its_layers(self) -> None:
        """The Mul is the layer's own only where nobody else reads the whole numbers."""
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            helper.make_node("ConvInteger", ["q", "w", "z"], ["whole"], name="conv"),
            helper.make_node("Cast", ["whole"], ["cast"], to=TensorProto.FLOAT, name="cast"),
            helper.make_node("Mul", ["s", "ws"], ["scales"], name="scales_mul"),
            helper.make_node("Mul", ["cast", "scales"], ["real"], name="scale_mul"),
            helper.make_node("Relu", ["cast"], ["relu"], name="relu"),
            helper.make_node("Add", ["real", "relu"], ["y"], name="add"),
        ]
        weights = np.ones((2, 1, 3, 3), np.int8)
        constants = {"w": weights, "ws": np.float32(0.5)}
        model = load_model(make_model(nodes, {"x": ["N", 1, 8, 8]}, ["y"], constants))
        assert [each.name for each in model.layers] == ["x", "conv", "scale_mul", "relu", "add"]

    def test_one_scale_of_two_makes_no_real_numbers(self) -> None:
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            helper.make_node("ConvInteger", ["q", "w", "z"], ["whole"], name="conv"),
            helper.make_node("Cast", ["whole"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["cast", "s"], ["y"], name="scale_mul"),
        ]
        model = load_model(make_model(nodes, {"x": ["N", 1, 8, 8]}, ["y"], {"w": CODES}))
        assert [each.name for each in model.layers] == ["x", "conv", "scale_mul"]
        assert model.graph.taps["conv"].value == "whole"
        has_kernel(model, CODES)

    @pytest.mark.parametrize("way", ["one constant", "two constants", "codes are fed"])
    def test_a_constant_is_the_product_of_both_scales(self, way: str) -> None:
        """The kernel was too small by the input's scale."""
        unit, scales = np.float32(0.05), np.array([0.02, 0.1], np.float32).reshape(2, 1, 1)
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "unit", "zero"], ["q"]),
            helper.make_node("ConvInteger", ["q", "w", "zero"], ["whole"], name="conv"),
            helper.make_node("Cast", ["whole"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["unit", "scales"], ["both"]),
            helper.make_node("Mul", ["cast", "both"], ["y"], name="scale_mul"),
        ]
        constants = {"w": CODES, "unit": unit, "zero": np.uint8(128), "scales": scales}
        if way != "two constants":
            del nodes[3], constants["scales"]
            constants["both"] = unit * scales
        if way == "codes are fed":
            del nodes[0], constants["unit"]
        made = make_model(nodes, {"x": ["N", 1, 8, 8]}, ["y"], constants)
        if way == "codes are fed":
            made.graph.input[0].name = "q"
            made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
        model = load_model(made)
        if way == "codes are fed":
            assert [each.name for each in model.layers] == ["q", "conv", "scale_mul"]
            has_kernel(model, CODES)
        else:
            assert [each.name for each in model.layers] == ["x", "conv"]
            has_kernel(model, CODES * scales[..., np.newaxis])

    @pytest.mark.parametrize("bias", [False, True])
    def test_the_map_is_the_real_kernel_s(self, bias: bool) -> None:
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            helper.make_node("Mul", ["s", "ws"], ["scales"], name="scales_mul"),
            helper.make_node("ConvInteger", ["q", "w", "z"], ["whole"], name="conv"),
            helper.make_node("Cast", ["whole"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["cast", "scales"], ["real"], name="scale_mul"),
            *([helper.make_node("Add", ["real", "b"], ["y"], name="add")] if bias else []),
        ]
        codes = np.random.default_rng(0).integers(-9, 9, (2, 1, 3, 3), np.int8)
        constants: dict[str, Any] = {"w": codes, "ws": np.float32(0.02)}
        if bias:
            constants["b"] = random_array(3, 2, 1, 1)
        out = "y" if bias else "real"
        quantized = make_model(nodes, {"x": ["N", 1, 8, 8]}, [out], constants)
        kernel = {"w": codes * np.float32(0.02)}
        if bias:
            kernel["b"] = constants["b"].reshape(-1)
        plain = helper.make_node("Conv", ["x", *kernel], ["y"], name="conv")
        real = make_model([plain], {"x": ["N", 1, 8, 8]}, ["y"], kernel)
        sample = random_array(4, 1, 8, 8)
        found, expected = (load_model(each).explain(sample).cams for each in (quantized, real))
        assert list(found) == ["x", "conv"]
        difference = np.linalg.norm(found["conv"] - expected["conv"])
        assert difference < 0.02 * np.linalg.norm(expected["conv"])


class TestLimits:
    """What the codes of a layer can stand for."""

    @pytest.mark.parametrize(
        ("zero", "expected"),
        [
            (np.uint8(0), (0, 127.5)), (np.uint8(128), (-64, 63.5)), (np.int8(-128), (0, 127.5)),
            (np.int8(0), (-64, 63.5)), (np.array([3], np.int8), (-65.5, 62)),
        ],
    )  # fmt: skip
    def test_least_and_largest(self, zero: Any, expected: tuple[float, float]) -> None:
        graph = load_model(pair(np.float32(0.5), zero)).graph.graph
        assert code_limits(graph, "y") == (*expected, 0.5)
        assert code_limits(graph, "x") is None
        assert code_limits(graph, "relu") is None

    def test_unknown_units_have_none(self) -> None:
        assert code_limits(load_model(pair(None, np.uint8(0))).graph.graph, "y") is None
        several = pair(np.array([0.5, 0.25], np.float32), np.zeros(2, np.uint8))
        assert code_limits(load_model(several).graph.graph, "y") is None


def pair(scale: Any, zero: Any) -> onnx.ModelProto:
    """A Relu and a pair behind it; without a scale, the input's own one."""
    nodes = [helper.make_node("Relu", ["x"], ["relu"], name="relu")]
    constants: dict[str, Any] = {"z": zero}
    if scale is None:
        nodes.append(helper.make_node("ReduceMax", ["relu"], ["s"], keepdims=0))
    else:
        constants["s"] = scale
    nodes.append(helper.make_node("QuantizeLinear", ["relu", "s", "z"], ["q"]))
    nodes.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]))
    return make_model(nodes, {"x": ["N", 2, 4, 4]}, ["y"], constants)
