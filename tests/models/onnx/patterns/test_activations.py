"""Activation functions of several operators: what they make is what the function makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import micam_fast
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.costs import count_parameters
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.patterns.table import PATTERNS
from tests.helpers.models import Array, conv_node, make_model, random_array
from tests.helpers.operation_nets import SAMPLE, classes, finds, operation_net, read, written
from tests.helpers.plain_runtime import run

node = helper.make_node

NUMBERS = {
    "half": 0.5, "one": 1, "two": 2, "three": 3, "six": 6, "sixth": 1 / 6, "zero": 0,
    "root": math.sqrt(2), "inverse": math.sqrt(0.5), "cubic": 0.044715,
    "scale": math.sqrt(2 / math.pi), "other": 0.7,
}  # fmt: skip
CONSTANTS: Mapping[str, Array] = {
    name: np.array(number, np.float32) for name, number in NUMBERS.items()
}


def net(text: str, *outputs: str, **given: Any) -> onnx.ModelProto:
    return operation_net(text, CONSTANTS, *outputs, **given)


_ERF = np.vectorize(math.erf)
DEFINED: dict[str, Callable[[Array], Array]] = {
    "SiLU": lambda x: x / (1 + np.exp(-x)),
    "HardSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "HardSigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "GELU": lambda x: x * (1 + _ERF(x / math.sqrt(2))) / 2,
    "GELU by tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "Mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
}
"""By operation: its definition, in float64."""

_CLIPPED = "a = Add x three; c = Clip a zero six"
WRITTEN = (
    ("SiLU", "s = Sigmoid x; y = Mul x s"),
    ("SiLU", "s = Sigmoid x; y = Mul s x"),
    ("SiLU", "p = Mul one x; s = Sigmoid p; y = Mul x s"),
    ("HardSwish", "h = HardSigmoid x alpha:0.16666667 beta:0.5; y = Mul x h"),
    ("HardSwish", "h = HardSigmoid x alpha:0.16666667; y = Mul x h"),
    ("HardSwish", f"{_CLIPPED}; m = Mul x c; y = Div m six"),
    ("HardSwish", f"{_CLIPPED}; m = Div c six; y = Mul m x"),
    ("HardSwish", f"{_CLIPPED}; m = Mul c sixth; y = Mul x m"),
    ("HardSwish", f"{_CLIPPED}; m = Mul x sixth; y = Mul m c"),
    ("HardSigmoid", f"{_CLIPPED}; y = Div c six"),
    ("HardSigmoid", f"{_CLIPPED}; y = Mul sixth c"),
    ("GELU", "d = Div x root; e = Erf d; a = Add e one; m = Mul x a; y = Mul m half"),
    ("GELU", "d = Mul x inverse; e = Erf d; a = Add one e; h = Mul half x; y = Mul h a"),
    ("GELU", "d = Div x root; e = Erf d; a = Add e one; h = Mul a half; y = Mul x h"),
    ("GELU", "d = Div x root; e = Erf d; a = Add e one; h = Div x two; y = Mul h a"),
    ("GELU by tanh", "p = Pow x three; q = Mul p cubic; a = Add x q; s = Mul a scale; t = Tanh s; "
     "o = Add t one; h = Mul x half; y = Mul h o"),
    ("GELU by tanh", "p = Mul x x; q = Mul p x; r = Mul cubic q; a = Add x r; s = Mul scale a; "
     "t = Tanh s; o = Add one t; h = Mul o half; y = Mul x h"),
    ("GELU by tanh", "p = Mul x x; q = Mul p cubic; r = Mul q x; a = Add r x; s = Mul scale a; "
     "t = Tanh s; o = Add one t; m = Mul x o; y = Mul half m"),
    ("GELU by tanh", "p = Mul x cubic; q = Mul p x; o = Add q one; k = Mul x scale; s = Mul k o; "
     "t = Tanh s; u = Add one t; m = Mul x u; y = Mul half m"),
    ("GELU by tanh", "h = Mul half x; n = Transpose x perm:0,2,3,1; p = Pow n three; "
     "q = Mul cubic p; b = Transpose q perm:0,3,1,2; a = Add x b; s = Mul scale a; t = Tanh s; "
     "o = Add one t; y = Mul h o"),
    ("Mish", "s = Softplus x; t = Tanh s; y = Mul x t"),
    ("Mish", "e = Exp x; a = Add e one; l = Log a; t = Tanh l; y = Mul t x"),
)  # fmt: skip
"""Operations as exporters write them."""


@pytest.mark.parametrize(("operation", "text"), WRITTEN)
def test_it_is_one_layer_and_makes_what_the_function_makes(operation: str, text: str) -> None:
    model = net(text, more=[node("Relu", ["y"], ["z"], name="relu")])
    model.graph.output[0].name = "z"
    graph = read(model)
    nodes = [None, "conv", model.graph.node[-2].name, "relu"]
    assert [layer.onnx_name for layer in graph.layers] == nodes
    layer = graph.layers[2]
    last = layer.name
    assert layer.op_type == layer.class_label == operation.partition(" ")[0]
    assert (layer.inputs, layer.input_shapes) == (("conv",), ((None, 4, 8, 10),))
    assert graph.layer("relu").inputs == (last,)
    assert count_parameters(graph)[last] == 0
    # Read again for a sample, it is the same.
    again = read_layers(open_model(model), Facts({"image": (1, 3, 8, 10)}), graph.reading)
    assert [each.class_label for each in again.layers] == [e.class_label for e in graph.layers]

    before, found = run(model, {"image": SAMPLE[np.newaxis]}, "x", "y")
    expected = DEFINED[operation](before.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    cams = micam_fast.explain(model, SAMPLE).cams
    np.testing.assert_allclose(cams[last], expected[0].mean(0), rtol=0, atol=1e-5)


def test_every_row_of_the_table_is_proven_and_has_a_source() -> None:
    rows = {id(row): row for row in PATTERNS if row.operation in {n.split()[0] for n in DEFINED}}
    assert len(rows) == 6
    for operation, text in WRITTEN:
        model = open_model(net(text))
        for key, row in list(rows.items()):
            if row.operation == operation.partition(" ")[0] and finds(row, model):
                del rows[key]
    assert not rows
    assert all(row.source for row in PATTERNS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # Another number.
        ("a = Add x three; c = Clip a zero six; m = Mul x c; y = Div m two", None),
        ("a = Add x two; c = Clip a zero six; m = Mul x c; y = Div m six", None),
        ("a = Add x three; c = Clip a zero three; m = Mul x c; y = Div m six", None),
        ("d = Div x root; e = Erf d; a = Add e one; m = Mul x a; y = Mul m other", None),
        ("d = Div x two; e = Erf d; a = Add e one; m = Mul x a; y = Mul m half", None),
        ("h = HardSigmoid x alpha:0.2 beta:0.5; y = Mul x h", None),
        ("h = HardSigmoid x; y = Mul x h", None),
        ("p = Mul two x; s = Sigmoid p; y = Mul x s", None),
        # Another activation: a gate.
        ("r = Relu x; s = Sigmoid r; y = Mul x s", None),
        # A Transpose that does not undo the one before.
        (
            "h = Mul half x; n = Transpose x perm:0,1,3,2; p = Pow n three; q = Mul cubic p; "
            "b = Transpose q perm:0,2,1,3; d = Transpose b perm:0,2,1,3; "
            "r = Transpose d perm:0,1,3,2; a = Add x r; s = Mul scale a; t = Tanh s; "
            "o = Add one t; y = Mul h o",
            None,
        ),
        # Others read what is inside.
        ("s = Sigmoid x; m = Mul x s; y = Add m s", None),
        # The function of a product, whose factors are no part of it.
        ("p = Mul x half; s = Sigmoid p; y = Mul p s", ["Mul", "SiLU"]),
        # A number behind the function.
        ("s = Sigmoid x; m = Mul x s; y = Mul m half", ["SiLU", "Mul"]),
    ],
)
def test_what_is_nearly_one_stays_what_it_is(text: str, wanted: list[str] | None) -> None:
    model = net(text)
    assert classes(model) == (wanted or [each.op_type for each in model.graph.node][1:])


@pytest.mark.parametrize(
    ("op", "opset", "given", "wanted"),
    [("Gelu", 20, {}, "GELU"), ("Mish", 18, {}, "Mish"), ("HardSwish", 14, {}, "HardSwish"),
     ("Swish", 24, {}, "SiLU"), ("Swish", 24, {"alpha": 2.0}, "Swish")],
)  # fmt: skip
def test_an_operator_of_its_own_is_called_the_same(
    op: str, opset: int, given: dict[str, float], wanted: str
) -> None:
    made = node(op, ["x"], ["y"], name="act")
    made.attribute.extend(helper.make_attribute(*each) for each in given.items())
    model = net("", "y", more=[made], opset=opset)
    assert classes(model) == [wanted]


def test_what_a_graph_gives_out_is_no_inside() -> None:
    assert classes(net("s = Sigmoid x; y = Mul x s", "y", "s")) == ["Sigmoid", "Mul"]


_GELU = "d = Div x root; e = Erf d; a = Add e one; m = Mul x a; y = Mul m half"


def gelu_with(half: tuple[int, ...]) -> onnx.ModelProto:
    """GELU whose last factor has these sizes."""
    model = net(_GELU)
    for tensor in model.graph.initializer:
        if tensor.name == "half":
            tensor.CopyFrom(helper.make_tensor("half", onnx.TensorProto.FLOAT, half, [0.5]))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize("sizes", [(), (1,), (1, 1, 1), (1, 1, 1, 1)])
def test_a_number_may_have_the_axes_of_the_activation(sizes: tuple[int, ...]) -> None:
    """tf2onnx gives them to numbers that it moves Transposes over."""
    assert classes(gelu_with(sizes)) == ["GELU"]


def test_a_number_with_more_axes_than_the_activation_is_another_thing() -> None:
    assert "GELU" not in classes(gelu_with((1, 1, 1, 1, 1)))


def test_a_summand_of_a_function_is_no_bias_of_the_convolution() -> None:
    before = conv_node("conv", "image", "w", pads=[1, 1, 1, 1])
    before.output[0] = "x"
    nodes = [before, *written("a = Add x three; c = Clip a zero six; y = Div c six")]
    held = {name: CONSTANTS[name] for name in ("three", "zero", "six")}
    held["w"] = random_array(1, 4, 3, 3, 3)
    graph = read(make_model(nodes, {"image": ["N", 3, 8, 10]}, ["y"], held))
    assert [layer.class_label for layer in graph.layers] == ["Input", "Conv", "HardSigmoid"]
    assert (graph.layer("conv").bias_shape, graph.taps["conv"].value) == (None, "x")


def test_a_long_product_is_read_in_time() -> None:
    count = 3000
    text = "".join(f"m{place + 1} = Mul m{place} half;" for place in range(count))
    model = net(f"m0 = Relu x; {text} y = Relu m{count}")
    assert classes(model) == ["Relu", *["Mul"] * count, "Relu"]
