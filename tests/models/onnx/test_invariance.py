"""What is said not to depend on batches and threads, against what ONNX Runtime does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import micam_fast
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.invariance import Invariance
from micam_fast.models.onnx.slices import whole_model
from tests.helpers.determinism_models import MODELS
from tests.helpers.models import Array, conv_node, if_branches, make_model, random_array

node = helper.make_node
COUNT = 11


def known(model: onnx.ModelProto) -> Invariance:
    return read_layers(open_model(model)).reading.invariance


def single(op: str, shape: Sequence[int], *constants: Array, **given: Any) -> onnx.ModelProto:
    names = [f"c{index}" for index in range(len(constants))]
    opset = given.pop("opset", 17)
    nodes = [node(op, ["x", *names], ["o"], name="one", **given)]
    held = dict(zip(names, constants, strict=True))
    return make_model(nodes, {"x": ["N", *shape]}, ["o"], held, opset=opset)


def numbers(model: onnx.ModelProto, threads: int, batch_size: int) -> list[bytes]:
    """Bytes of each output of samples that run in batches."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feeds = {
        each.name: random_array(i, COUNT, *each.shape[1:])
        for i, each in enumerate(session.get_inputs())
    }
    runs = [
        session.run(
            None, {name: array[begin : begin + batch_size] for name, array in feeds.items()}
        )
        for begin in range(0, COUNT, batch_size)
    ]
    return [np.concatenate(parts).tobytes() for parts in zip(*runs, strict=True)]


SHAPES = [(3, 5, 7), (13, 3, 3), (5, 33, 31), (16, 9, 11), (7, 1, 1), (9, 35), (1, 19), (130,)]
PLAIN = [
    "Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Sqrt", "LeakyRelu", "HardSwish", "HardSigmoid",
    "Softsign", "Reciprocal", "Floor", "GlobalAveragePool", "GlobalMaxPool",
]  # fmt: skip


def safe_models() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Operators that are said to be safe, on awkward shapes."""
    for shape in SHAPES:
        last, rank = shape[-1], len(shape)
        for op in PLAIN[: len(PLAIN) if rank > 1 else -2]:
            yield op, single(op, shape)
        yield "Gelu", single("Gelu", shape, opset=20)
        for op in ("Add", "Mul", "Div", "PRelu"):
            yield op, single(op, shape, random_array(1, last))
        for power in (2, 0.5, 2.5):
            yield "Pow", single("Pow", shape, np.array(power, np.float32))
        for axis in range(1, rank + 1):
            yield "Softmax", single("Softmax", shape, axis=axis)
            scale = random_array(1, *shape[axis - 1 :])
            yield "LayerNormalization", single("LayerNormalization", shape, scale, axis=axis)
            yield "ReduceMean", single("ReduceMean", shape, axes=list(range(axis, rank + 1)))
            yield "ReduceMax", single("ReduceMax", shape, axes=[axis])
        for columns in (1, 7, 65):
            yield "MatMul", single("MatMul", shape, random_array(1, last, columns))
        yield "MatMul", single("MatMul", (1, last), random_array(1, last, 33))
        if rank == 1:
            yield "Gemm", single("Gemm", shape, random_array(1, 300, last), transB=1)
        if rank == 3:
            for made, size, groups in ((5, 1, 1), (16, 3, 1), (33, 3, 1), (shape[0], 3, shape[0])):
                if min(shape[1:]) >= size:
                    kernel = random_array(1, made, shape[0] // groups, size, size)
                    yield "Conv", single("Conv", shape, kernel, group=groups)
                    turned = random_array(1, shape[0], 2, size, size)
                    yield "ConvTranspose", single("ConvTranspose", shape, turned, group=groups)
            scales = np.array([1, 1, 1.5, 2], np.float32)
            nodes = [node("Resize", ["x", "", "s"], ["o"], mode="linear")]
            yield "Resize", make_model(nodes, {"x": ["N", *shape]}, ["o"], {"s": scales})
            yield "AveragePool", single("AveragePool", shape, kernel_shape=[1, min(3, last)])
        if rank == 2:
            yield "Conv", single("Conv", shape, random_array(1, 9, shape[0], 5))
    for maker in ("attention", "lstm", "gru", "two_pieces", "conv_net"):
        yield maker, MODELS[maker]()


SAFE = list(safe_models())


@pytest.mark.parametrize("op", sorted({op for op, _ in SAFE}))
def test_what_is_said_to_be_safe_is(op: str) -> None:
    checked = 0
    for model in (each for name, each in SAFE if name == op):
        found = known(model)
        if not found.batch:
            # A sum over all of a sample but its end, or an axis that is not there.
            assert op == "ReduceMean"
            continue
        checked += 1
        expected = numbers(model, 1, 1)
        for threads, batch_size in itertools.product((1, 3) if found.threads else (1,), (1, 2, 8)):
            assert numbers(model, threads, batch_size) == expected, (op, threads, batch_size)
    assert checked


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
    assert numbers(part.proto, 1, 1) == numbers(part.proto, 1, 4)
    assert numbers(model, 1, 1) != numbers(model, 1, 4)
