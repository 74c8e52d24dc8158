"""Outputs of which the rows are the samples, and others, even of one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from micam_fast.core.layers import Axes, ModelInput
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.answers import (
    find_outputs,
)
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.graph import Graph
from tests.helpers.heads import GEMM, HELD, IMAGE, OPEN_IMAGE, POOLED, build, forms, soft
from tests.helpers.models import make_model, random_array


@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize("image", [("H", "W"), (8, 8)])
def test_batches(batch: Any, image: tuple[Any, Any]) -> None:
    assert forms([*GEMM, soft()], ["p", "l"], {"x": [batch, 3, *image]}) == [
        "probabilities",
        "scores",
    ]


ROWS = {
    "nonzero places": [
        make_node("NonZero", ["x"], ["n"]),
        make_node("Transpose", ["n"], ["t"]),
        make_node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
    ],
    "positions": [
        POOLED[0],
        make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
        make_node("Reshape", ["t", "four_columns"], ["f"]),
    ],
}


@pytest.mark.parametrize("shape", [[1, 3, 8, 8], [1, 3, 3, 3], [1, 3, 3, 4]])
@pytest.mark.parametrize("rows", ROWS)
def test_rows_of_an_open_number(rows: str, shape: list[int]) -> None:
    """One row, for a sample of one position, is treated like many."""
    nodes = [*ROWS[rows], make_node("Gemm", ["f", "w", "b"], ["l"]), soft()]
    model = open_model(build(nodes, ["p", "l"], OPEN_IMAGE))
    before = read_layers(model).outputs
    assert [each.form for each in before] == ["no classes"] * 2
    graph = Graph(model, Facts({"x": tuple(shape)}))
    inputs = [ModelInput("x", (None, 3, None, None), Axes(0, 1), "float32")]
    found = find_outputs(graph, inputs, lambda name: Axes(0, None), before=before)
    assert [each.form for each in found] == ["no classes"] * 2


def test_a_shape_that_a_sample_tells() -> None:
    """A Reshape by computed sizes, whose rank no inference finds."""
    nodes = [
        *POOLED,
        make_node("Shape", ["x"], ["s"]),
        make_node("Gather", ["s", "first"], ["n"], axis=0),
        make_node("Mul", ["n", "times"], ["nn"]),
        make_node("Div", ["nn", "times"], ["m"]),
        make_node("Concat", ["m", "minus"], ["to"], axis=0),
        make_node("Reshape", ["g", "to"], ["f"]),
        make_node("Gemm", ["f", "w", "b"], ["l"]),
        soft(),
    ]
    held = HELD | {
        "first": np.array([0], np.int64),
        "times": np.array([3], np.int64),
        "minus": np.array([-1], np.int64),
    }
    read = {name for node in nodes for name in node.input}
    model = open_model(
        make_model(nodes, IMAGE, ["p"], {n: a for n, a in held.items() if n in read})
    )
    before = read_layers(model).outputs
    graph = Graph(model, Facts({"x": (1, 3, 8, 8)}))
    inputs = [ModelInput("x", (None, 3, 8, 8), Axes(0, 1), "float32")]
    (found,) = find_outputs(graph, inputs, lambda name: Axes(0, None), before=before)
    assert found.form == "probabilities"


def test_an_input_that_is_one_sample_as_a_whole() -> None:
    """Its first axis is time: rows of a table, of which none is the sample's class."""
    nodes = [make_node("MatMul", ["f", "w"], ["l"]), soft()]
    model = open_model(build(nodes, ["p"], {"f": ["T", 4]}))
    inputs = [ModelInput("f", (None, 4), Axes(None, None), "float32")]
    (found,) = find_outputs(Graph(model), inputs, lambda name: Axes(None, None))
    assert found.form not in ("probabilities", "scores")


def test_states_of_a_recurrent_layer() -> None:
    nodes = [
        make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        make_node("LSTM", ["t", "W", "R"], ["", "h"], hidden_size=4),
        make_node("Squeeze", ["h", "zeroth"], ["f"]),
        make_node("Gemm", ["f", "w", "b"], ["l"]),
        soft(),
    ]
    held = {name: HELD[name] for name in ("w", "b")} | {
        "W": random_array(5, 1, 16, 3),
        "R": random_array(6, 1, 16, 4),
        "zeroth": np.array([0], np.int64),
    }
    model = make_model(nodes, {"x": ["N", "T", 3]}, ["p"], held)
    assert [each.form for each in read_layers(open_model(model)).outputs] == ["probabilities"]


@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize(
    ("last", "form"), [([-1, 12], "probabilities"), ([-1, 4], "unknown"), ([-1, 6], "unknown")]
)
def test_frames_that_are_folded_and_unfolded(batch: Any, last: list[int], form: str) -> None:
    """Three frames of a sample, each by itself, side by side again; or not all of them."""
    nodes = [
        make_node("Reshape", ["x", "fold"], ["f"]),
        make_node("Conv", ["f", "k"], ["c"]),
        make_node("Relu", ["c"], ["r"]),
        make_node("Reshape", ["r", "unfold"], ["u"]),
        make_node("MatMul", ["u", "w"], ["l"]),
        soft(),
    ]
    held = {
        "fold": np.array([-1, 2, 4, 4]), "k": random_array(1, 4, 2, 4, 4),
        "unfold": np.array(last), "w": random_array(2, last[1], 5),
    }  # fmt: skip
    model = make_model(nodes, {"x": [batch, 3, 2, 4, 4]}, ["p"], held)
    (found,) = read_layers(open_model(model)).outputs
    assert found.form == form


def test_one_embedding_for_each_index() -> None:
    nodes = [
        make_node("Gather", ["table", "x"], ["e"]),
        make_node("ReduceMean", ["e"], ["f"], axes=[1], keepdims=0),
        make_node("Gemm", ["f", "w", "b"], ["l"]),
        soft(),
    ]
    held = {name: HELD[name] for name in ("w", "b")} | {"table": random_array(7, 10, 4)}
    model = make_model(nodes, {"x": ["N", 6]}, ["p"], held, dtype=TensorProto.INT64)
    assert [each.form for each in read_layers(open_model(model)).outputs] == ["probabilities"]


def test_a_declared_shape_is_no_proof() -> None:
    """The file says that there is one row for each sample; NonZero makes them."""
    proto = build(
        [*ROWS["nonzero places"], make_node("Gemm", ["f", "w", "b"], ["l"]), soft()], ["p"]
    )
    proto.graph.output[0].CopyFrom(make_tensor_value_info("p", TensorProto.FLOAT, ["N", 5]))
    assert [each.form for each in read_layers(open_model(proto)).outputs] == ["no classes"]
