"""What is said not to depend on batches and threads, against what ONNX Runtime does."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import micam_fast
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.invariance import Invariance, find_invariance
from micam_fast.models.onnx.operator_row import SAFE, Operator
from micam_fast.models.onnx.operators import OPERATORS
from micam_fast.models.onnx.slices import whole_model
from tests.helpers.determinism_models import MODELS
from tests.helpers.models import conv_node, if_branches, make_model, random_array
from tests.helpers.operator_models import operator_models
from tests.helpers.single_operators import bits_of, session_of, single

node = helper.make_node


def known(model: onnx.ModelProto) -> Invariance:
    return read_layers(open_model(model)).reading.invariance


def check_bits(model: onnx.ModelProto, found: Invariance) -> None:
    """Each sample has the same bits in every batch, and with several threads, too, if so said."""
    sessions = [session_of(model, threads) for threads in ((1, 3) if found.threads else (1,))]
    expected = bits_of(sessions[0], 1)
    for session, batch_size in itertools.product(sessions, (1, 2, 8)):
        assert bits_of(session, batch_size) == expected, batch_size


@pytest.mark.parametrize(
    "row",
    [row for row in OPERATORS if SAFE in (row.bits.batch, row.bits.threads)],
    ids=lambda row: row.name,
)
def test_what_is_said_to_be_safe_is(row: Operator) -> None:
    checked = shared = 0
    for model in operator_models(row):
        found = find_invariance(Graph(open_model(model)))
        if not found.batch:
            # A sum over all of a sample but its end, or an axis that is not there.
            assert row.name in ("ReduceMean", "ReduceSum")
            continue
        check_bits(model, found)
        checked += 1
        shared += found.threads
    assert checked, "add a builder to tests/helpers/operator_models.py"
    assert shared or row.bits.threads is not SAFE


@pytest.mark.parametrize("name", ["attention", "lstm", "gru", "two_pieces", "conv_net"])
def test_models_that_are_said_to_be_safe_are(name: str) -> None:
    model = MODELS[name]()
    assert known(model).batch
    check_bits(model, known(model))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv_net", (True, True)), ("attention", (True, False)), ("lstm", (True, False)),
        ("gru", (True, False)), ("two_pieces", (True, False)), ("mixing_a_little", (True, True)),
        ("narrow_convolution", (True, False)), ("elu", (False, False)), ("sin", (False, False)),
        ("rnn", (False, False)), ("one_row", (False, False)), ("sums", (False, False)),
        ("dynamically_quantized", (False, False)), ("fixed_batch", (False, False)),
    ],
)  # fmt: skip
def test_what_is_said_of_models(name: str, expected: tuple[bool, bool]) -> None:
    found = known(MODELS[name]())
    assert (found.batch, found.threads) == expected
    assert not found.random


@pytest.mark.parametrize(
    ("read", "made", "groups", "safe"),
    [
        (3, 5, 1, True), (8, 5, 1, True), (130, 70, 1, False), (9, 16, 1, False),
        (32, 32, 32, True), (13, 13, 13, False), (32, 32, 2, True), (12, 18, 3, False),
    ],
)  # fmt: skip
def test_convolutions_that_threads_may_share(read: int, made: int, groups: int, safe: bool) -> None:
    kernel = random_array(1, made, read // groups, 3, 3)
    model = single("Conv", (read, 6, 6), kernel, group=groups)
    assert known(model) == Invariance(batch=True, threads=safe, random="")


@pytest.mark.parametrize(
    ("axes", "safe"),
    [([2, 3], True), ([-1, -2], True), ([3], True), ([1, 2, 3], True), ([1], False), ([2], False)],
)
def test_sums_over_the_end_are_safe(axes: list[int], safe: bool) -> None:
    model = single("ReduceMean", (3, 5, 7), axes=axes)
    assert known(model).batch is safe
    summed = single("ReduceSum", (3, 5, 7), np.array(axes))
    assert known(summed).batch is safe


def test_products_of_activations_need_a_batch_axis_of_their_own() -> None:
    for shapes, safe in (((["N", 4], [4, 5]), False), ((["N", 4, 5], ["N", 5, 6]), True)):
        inputs: dict[str, Any] = dict(zip("xy", shapes, strict=True))
        model = make_model([node("MatMul", ["x", "y"], ["o"])], inputs, ["o"])
        assert known(model).batch is safe


def test_operators_of_others_doubles_and_subgraphs_are_not_trusted() -> None:
    strange = single("Relu", (3,))
    strange.graph.node[0].domain = "com.example"
    assert not known(strange).batch
    double = make_model(
        [node("Exp", ["x"], ["o"])], {"x": ["N", 3]}, ["o"], dtype=TensorProto.DOUBLE
    )
    assert not known(double).batch
    inside = make_model(
        [
            conv_node("conv", "x", "w"),
            node("If", ["yes"], ["o"], **if_branches("conv:0")),
        ],
        {"x": ["N", 1, 4, 4]},
        ["o"],
        {"w": random_array(1, 2, 1, 3, 3), "yes": np.array(True)},
    )
    assert not known(inside).batch


@pytest.mark.parametrize("seed", [{}, {"seed": 1.0}])
def test_a_model_that_makes_random_numbers_is_told(seed: dict[str, Any]) -> None:
    nodes = [
        node("RandomNormalLike", ["x"], ["r"], name="noise", **seed),
        node("Add", ["x", "r"], ["o"], name="add"),
    ]
    told: list[str] = []
    model = make_model(nodes, {"x": ["N", 8]}, ["o"])
    micam_fast.load_model(model, say=told.append)
    (line,) = told
    assert line.startswith("the model makes random numbers (RandomNormalLike)")


@pytest.mark.parametrize("training", [True, False])
def test_a_dropout_that_leaves_out_values_is_random(training: bool) -> None:
    constants = {"ratio": np.array(0.5, np.float32), "mode": np.array(training)}
    nodes = [node("Dropout", ["x", "ratio", "mode"], ["o"], name="dropout")]
    found = known(make_model(nodes, {"x": ["N", 8]}, ["o"], constants))
    assert found.random == ("Dropout" if training else "")
    assert found.batch is not training


def test_weights_that_are_listed_as_inputs_are_constants() -> None:
    """ONNX Runtime would take them for values that may change, and fold and pack nothing."""
    constants = {"w": random_array(1, 300, 200), "b": random_array(2, 200)}
    nodes = [node("Gemm", ["x", "w", "b"], ["o"], name="dense")]
    model = make_model(nodes, {"x": ["N", 300]}, ["o"], constants, listed=True)
    part = whole_model(open_model(model), ["o"])
    assert [value.name for value in part.proto.graph.input] == ["x"]
    assert part.inputs == ("x",)
    assert known(model).batch
    for proto, keeps in ((part.proto, True), (model, False)):
        session = session_of(proto, 1)
        assert (bits_of(session, 1) == bits_of(session, 4)) is keeps
