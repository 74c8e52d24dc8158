"""Operations of a model that ONNX Runtime's tool has quantized: each is one layer still."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from micam_fast import load_model
from tests.helpers.models import conv_node, make_model, random_array
from tests.helpers.operation_nets import written
from tests.helpers.plain_runtime import run
from tests.helpers.quantized_models import SHAPE, quantize, samples

OPERATIONS = {
    "SiLU": "s = Sigmoid c; y = Mul c s",
    "HardSwish": "h = HardSigmoid c alpha:0.16666667; y = Mul c h",
    "HardSwish of Clip": "a = Add c three; b = Clip a zero six; m = Mul c b; y = Div m six",
    "two": "s = Sigmoid c; m = Mul c s; h = HardSigmoid m alpha:0.16666667; y = Mul h m",
    "BatchNormalization": "m = Mul c factor; y = Add m summand",
}
_CODES = "operators of codes"
_WITH_NUMBERS = ("BatchNormalization", "HardSwish of Clip")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "QDQ": ("QDQ", {}),
    "a pair for each": ("QDQ", {"extra_options": {"DedicatedQDQPair": True}}),
    "convolutions alone": ("QDQ", {"op_types_to_quantize": ["Conv"]}),
    _CODES: ("QOperator", {}),
    "dynamic": ("dynamic", {}),
}


def net(text: str) -> onnx.ModelProto:
    """A convolution `c`, an operation behind it, and another convolution."""
    before, after = (conv_node(f"conv_{each}", each, f"w{each}", pads=[1] * 4) for each in "xy")
    before.output[0], after.output[0] = "c", "z"
    nodes = [before, *written(text), after]
    read = {name for each in nodes for name in each.input}
    constants = {
        "wx": random_array(1, 4, 3, 3, 3),
        "wy": random_array(2, 5, 4, 3, 3),
        "zero": np.float32(0),
        "three": np.float32(3),
        "six": np.float32(6),
        "factor": random_array(3, 4, 1, 1),
        "summand": random_array(4, 4, 1, 1),
    }
    held = {name: array for name, array in constants.items() if name in read}
    return make_model(nodes, {"x": ["N", *SHAPE]}, ["z"], held)


@pytest.mark.parametrize(
    ("operation", "way"),
    [
        each
        for each in itertools.product(OPERATIONS, WAYS)
        if each not in itertools.product(_WITH_NUMBERS, [_CODES])
    ],
)
def test_it_has_the_layers_of_the_float_model(operation: str, way: str, tmp_path: Path) -> None:
    before = net(OPERATIONS[operation])
    kind, how = WAYS[way]
    quantized = quantize(before, tmp_path, kind, **how)
    real, found = load_model(before), load_model(quantized)
    names = [each.name.removesuffix("_quant") for each in found.layers]
    assert names == [each.name for each in real.layers]
    inner, expected = found.layers[2:-1], real.layers[2:-1]
    assert [each.op_type for each in inner] == [each.op_type for each in expected]
    assert len(inner) == 2 if operation == "two" else inner[0].op_type == operation.split()[0]

    sample = samples()[0]
    cams, explained = real.explain(sample).cams, found.explain(sample)
    for each, cam in zip(cams.values(), explained.cams.values(), strict=True):
        assert np.linalg.norm(cam - each) < 0.1 * np.linalg.norm(each)
    (output,) = run(quantized, {"x": sample[np.newaxis]}, "z", optimized=True)
    np.testing.assert_array_equal(found.explain(sample).output, output[0])


def test_codes_beyond_the_bounds_are_no_clip() -> None:
    text = (
        "a = Add c three; q = QuantizeLinear a scale least; b = DequantizeLinear q scale least; "
        "m = Mul c b; y = Div m six"
    )
    for scale, wanted in ((6 / 255, ["HardSwish"]), (7 / 255, ["Add", "Mul", "Div"])):
        model = net(text)
        tensors = {"scale": np.float32(scale), "least": np.uint8(0)}
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(np.array(each), name) for name, each in tensors.items()
        )
        assert [each.op_type for each in load_model(model).layers][2:-1] == wanted


def test_numbers_that_are_codes_are_not_read(tmp_path: Path) -> None:
    found = load_model(quantize(net(OPERATIONS["BatchNormalization"]), tmp_path, "QOperator"))
    assert [each.op_type for each in found.layers][2:-1] == ["QLinearMul", "QLinearAdd"]


def test_codes_that_others_read_are_no_inside(tmp_path: Path) -> None:
    text = "s = Sigmoid c; m = Mul c s; y = Add m s"
    quantized = load_model(quantize(net(text), tmp_path, "QDQ"))
    assert [each.op_type for each in quantized.layers][2:-1] == ["Sigmoid", "Mul", "Add"]


def test_units_of_a_sample_are_no_pair() -> None:
    """What is rounded with a scale of the sample's own is seen through no more than an operator."""
    text = "q = QuantizeLinear c scale; d = DequantizeLinear q scale; s = Sigmoid d; y = Mul c s"
    model = net(text)
    model.graph.input.append(onnx.helper.make_tensor_value_info("scale", 1, ["one"]))
    graph = load_model(model)
    assert "SiLU" not in [each.op_type for each in graph.layers]
