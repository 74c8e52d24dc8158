"""Which output of a graph says a class: what makes it, and what the user says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from micam_fast.core.errors import PredictionError
from micam_fast.core.layers import Axes
from micam_fast.core.prediction import NO_PREDICTION, PredictionChoice
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.answers import (
    Answer,
    ModelOutput,
    check_choice,
    choose_answer,
)
from tests.helpers.heads import FLAT, GEMM, POOLED, build, forms, soft
from tests.helpers.models import make_model, random_array

# --- what makes an output ---------------------------------------------------------------------

BEHIND = {
    "alone": [],
    "Identity": [make_node("Identity", ["p"], ["q"])],
    "Cast": [make_node("Cast", ["p"], ["q"], to=TensorProto.DOUBLE)],
    "Reshape": [make_node("Reshape", ["p", "ones"], ["q"])],
    "Reshape to rows": [make_node("Reshape", ["p", "rows"], ["q"])],
    "Flatten": [make_node("Flatten", ["p"], ["q"])],
    "two of them": [
        make_node("Reshape", ["p", "ones"], ["r"]),
        make_node("Flatten", ["r"], ["q"]),
    ],
    "QDQ": [
        make_node("QuantizeLinear", ["p", "scale", "zero"], ["i"]),
        make_node("DequantizeLinear", ["i", "scale", "zero"], ["q"]),
    ],
}


@pytest.mark.parametrize("name", BEHIND)
@pytest.mark.parametrize(
    ("op", "form"), [("Softmax", "probabilities"), ("LogSoftmax", "log probabilities")]
)
def test_a_softmax(name: str, op: str, form: str) -> None:
    behind = BEHIND[name]
    nodes = [*GEMM, soft(op=op), *behind]
    assert forms(nodes, ["q" if behind else "p"]) == [form]


@pytest.mark.parametrize("name", BEHIND)
def test_a_dense_layer(name: str) -> None:
    behind = [onnx.NodeProto.FromString(each.SerializeToString()) for each in BEHIND[name]]
    if behind:
        behind[0].input[0] = "l"
    assert forms([*GEMM, *behind], ["q" if behind else "l"]) == ["scores"]


def test_any_of_the_outputs() -> None:
    """A box and a label stand before the class; the label is its ArgMax."""
    box = make_node("Gemm", ["f", "w"], ["box"], name="box")
    label = make_node("ArgMax", ["p"], ["label"], name="label", axis=1, keepdims=0)
    found = read_layers(open_model(build([*GEMM, box, soft(), label], ["box", "label", "p"])))
    assert [each.form for each in found.outputs] == ["scores", "no classes", "probabilities"]
    assert [each.maker for each in found.outputs] == ["Gemm", "ArgMax", "Softmax"]
    assert found.answer is not None
    assert found.answer.value == "p"
    assert list(found.given) == ["box", "p"]


DENSE = {
    "MatMul": [make_node("MatMul", ["f", "w"], ["y"])],
    "MatMul and Add": [
        make_node("MatMul", ["f", "w"], ["m"]),
        make_node("Add", ["b", "m"], ["y"]),
    ],
    "convolution of one position": [
        make_node("Conv", ["g", "point"], ["m"]),
        make_node("Flatten", ["m"], ["y"]),
    ],
    "dynamic quantization": [
        make_node("DynamicQuantizeLinear", ["f"], ["i", "s", "z"]),
        make_node("MatMulInteger", ["i", "integers", "z"], ["m"]),
        make_node("Cast", ["m"], ["n"], to=TensorProto.FLOAT),
        make_node("Mul", ["s", "scale"], ["u"]),
        make_node("Mul", ["n", "u"], ["o"]),
        make_node("Add", ["o", "b"], ["y"]),
    ],
    "QLinearMatMul": [
        make_node("QuantizeLinear", ["f", "scale", "zero"], ["i"]),
        make_node(
            "QLinearMatMul",
            ["i", "scale", "zero", "integers", "scale", "zero", "scale", "zero"],
            ["m"],
        ),
        make_node("DequantizeLinear", ["m", "scale", "zero"], ["y"]),
    ],
    "weights that are dequantized": [
        make_node("DequantizeLinear", ["integers", "scale", "zero"], ["v"]),
        make_node("MatMul", ["f", "v"], ["y"]),
    ],
}


@pytest.mark.parametrize("name", DENSE)
def test_every_dense_layer(name: str) -> None:
    assert forms([*FLAT, *DENSE[name]], ["y"]) == ["scores"]


NO_CLASSES = {
    "Sigmoid": [*GEMM, make_node("Sigmoid", ["l"], ["y"])],
    "Relu": [*GEMM, make_node("Relu", ["l"], ["y"])],
    "a factor": [*GEMM, make_node("Mul", ["l", "half"], ["y"])],
    "two summands": [
        *GEMM,
        make_node("Add", ["l", "b"], ["m"]),
        make_node("Add", ["m", "b"], ["y"]),
    ],
    "two dense layers": [*GEMM, make_node("Add", ["l", "l"], ["y"])],
    "mean over positions": [*FLAT[:-1], make_node("Flatten", ["g"], ["y"])],
    "a map": [POOLED[0], make_node("Identity", ["c"], ["y"])],
    "Softmax of a map": [POOLED[0], soft("c", "y", axis=1)],
    "Softmax over the samples": [*GEMM, soft(name="y", axis=0)],
    "part of a Softmax": [*GEMM, soft(), make_node("TopK", ["p", "two"], ["y", "places"])],
    "whole numbers": [*GEMM, soft(), make_node("Cast", ["p"], ["y"], to=TensorProto.INT32)],
    "product of two activations": [
        *FLAT,
        make_node("Unsqueeze", ["f", "one"], ["row"]),
        make_node("Unsqueeze", ["f", "two"], ["column"]),
        make_node("MatMul", ["column", "row"], ["square"]),
        make_node("ReduceMax", ["square"], ["y"], axes=[1], keepdims=0),
    ],
}


@pytest.mark.parametrize("name", NO_CLASSES)
def test_anything_else_claims_no_class(name: str) -> None:
    assert forms(NO_CLASSES[name], ["y"]) == ["no classes"]


@pytest.mark.parametrize(
    ("opset", "axis", "form"),
    [
        (11, None, "probabilities"),
        (11, 1, "probabilities"),
        (11, 0, "no classes"),
        (11, 2, "no classes"),
        (13, None, "no classes"),
        (13, 1, "probabilities"),
        (13, -3, "probabilities"),
        (13, 3, "no classes"),
    ],
)
def test_the_softmax_is_along_the_classes(opset: int, axis: int | None, form: str) -> None:
    """Of ``(batch, 5, 1, 1)``; before opset 13 it takes all axes from the named one on."""
    nodes = [*POOLED, make_node("Conv", ["g", "point"], ["l"], name="head"), soft(axis=axis)]
    assert forms(nodes, ["p"], opset=opset) == [form]


# --- what the user says -----------------------------------------------------------------------


def output(value: str, form: Any, shape: Any = (None, 5)) -> ModelOutput:
    return ModelOutput(value, Axes(0, None), shape, "Gemm", form)


BOX = output("box", "no classes", (None, 10, 4))
SIGMOID = output("s", "no classes")
SCORES, SOFT = output("l", "scores"), output("p", "probabilities")
INNER = replace(output("i", "probabilities"), inner=True)
UNKNOWN = output("u", "unknown", None)


@pytest.mark.parametrize(
    ("outputs", "choice", "expected"),
    [
        ([BOX, SCORES, SOFT], PredictionChoice(), ("p", "probabilities")),
        ([BOX, SCORES], PredictionChoice(), ("l", "scores")),
        ([BOX, SIGMOID, UNKNOWN], PredictionChoice(), None),
        ([SCORES], PredictionChoice(logits=True), ("l", "logits")),
        ([SCORES], PredictionChoice(class_names=("a",) * 5), ("l", "logits")),
        ([SOFT], PredictionChoice(class_names=("a",) * 5), ("p", "probabilities")),
        ([SCORES, SOFT], PredictionChoice("l"), ("l", "scores")),
        ([SIGMOID, SOFT], PredictionChoice("s"), ("s", "scores")),
        ([SIGMOID, SOFT], PredictionChoice("s", logits=True), ("s", "logits")),
        ([UNKNOWN, SOFT], PredictionChoice("u", logits=True), ("u", "logits")),
        ([SOFT], PredictionChoice(NO_PREDICTION), None),
        ([BOX, SIGMOID], PredictionChoice(logits=True), ("s", "logits")),
        ([SIGMOID, INNER], PredictionChoice(), None),
        ([SIGMOID, INNER], PredictionChoice("i"), ("i", "probabilities")),
    ],
)
def test_choices(
    outputs: list[ModelOutput], choice: PredictionChoice, expected: tuple[str, str] | None
) -> None:
    check_choice("net", outputs, choice)
    found = choose_answer(outputs, choice)
    if expected is None:
        assert found is None
    else:
        value, form = expected
        assert found == Answer(value, Axes(0, None), form, choice.class_names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outputs", "choice", "message"),
    [
        (
            [BOX, SOFT],
            PredictionChoice("q"),
            "model 'net' has no output 'q' made from its input (must be one of 'box', 'p', or "
            "'none')",
        ),
        (
            [BOX, SOFT],
            PredictionChoice("box"),
            "output 'box' of model 'net' has the shape ? x 10 x 4; a prediction needs one axis of "
            "classes beside the batch",
        ),
        (
            [SOFT],
            PredictionChoice(logits=True),
            "output 'p' of model 'net' is made by a Softmax: its numbers are probabilities and no "
            "logits",
        ),
        (
            [BOX, SIGMOID, output("t", "no classes")],
            PredictionChoice(logits=True),
            "model 'net' has no output of which it is sure that its numbers are logits; name one "
            "of 'box', 's', 't' as the prediction",
        ),
        (
            [SOFT],
            PredictionChoice(NO_PREDICTION, class_names=("a",)),
            "prediction 'none' claims no class, so that nothing can be logits or have class names; "
            "leave out one of the two",
        ),
        (
            [SOFT],
            PredictionChoice(class_names=("a", "b")),
            "output 'p' of model 'net': 2 class names for 5 classes; give one line for each class, "
            "in their order",
        ),
    ],
)
def test_choices_that_do_not_fit(
    outputs: list[ModelOutput], choice: PredictionChoice, message: str
) -> None:
    with pytest.raises(PredictionError) as raised:
        check_choice("net", outputs, choice)
    assert str(raised.value) == message


@pytest.mark.parametrize("end", [2**31 - 1, 2**63 - 1, 3])
def test_behind_a_slice_of_all_a_class_token_says_the_class(end: int) -> None:
    """PyTorch writes ``x[:, 0]`` as a Slice of the whole batch and a Gather."""
    nodes = [
        make_node("Slice", ["x", "begin", "end", "axis", "step"], ["all"], "all"),
        make_node("Gather", ["all", "place"], ["token"], "token", axis=1),
        make_node("Gemm", ["token", "w"], ["y"], "head"),
    ]
    constants = {
        "begin": np.array([0]), "end": np.array([end]), "axis": np.array([0]),
        "step": np.array([1]), "place": np.array(0), "w": random_array(1, 6, 7),
    }  # fmt: skip
    graph = read_layers(open_model(make_model(nodes, {"x": ["N", 4, 6]}, ["y"], constants)))
    whole = end > 3
    assert [layer.name for layer in graph.layers][1:] == [*["all"] * (not whole), "token", "head"]
    assert (graph.reading.answer is not None) == whole
