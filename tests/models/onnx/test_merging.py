"""Mul and Add as one operator, in the model that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import micam_fast
from micam_fast.core.layers import Axes
from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.merging import find_scalings, merge_scalings
from micam_fast.models.onnx.slices import cut_model, find_bounds, whole_model
from tests.helpers.chains import (
    CHANNELS,
    CONV,
    KERNEL,
    SAMPLE,
    SHAPE,
    build,
    check,
    floats,
    op,
    per_channel,
)
from tests.helpers.models import Array, if_branches, random_array
from tests.helpers.plain_runtime import run

FACTOR, SUMMAND = per_channel(CHANNELS, 1, 1), random_array(9, 1, CHANNELS, 1, 1)
MUL, ADD = op("Mul", "conv c", "mul"), op("Add", "mul d", "add")
PAIR = (CONV, MUL, ADD, op("Relu", "add", "relu"))


def axes_of(value: str) -> Axes:
    return Axes(0, 1)


def merged(model: onnx.ModelProto, *wanted: str) -> onnx.ModelProto:
    """The model that ONNX Runtime would be given to get these values."""
    file = open_model(model)
    graph = Graph(file)
    part = whole_model(file, wanted)
    merge_scalings(part.proto, find_scalings(graph, axes_of), graph.constants)
    return part.proto


def pair_model(**how: Any) -> onnx.ModelProto:
    return build(*PAIR, **({"c": FACTOR, "d": SUMMAND} | how))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def is_merged(model: onnx.ModelProto) -> bool:
    """Whether one operator stands where two were, and the rest is as it was."""
    found = operators(model)
    if "Mul" in found or "Add" in found:
        assert "BatchNormalization" not in found
        return False
    return True


def outputs(model: onnx.ModelProto, sample: Array = SAMPLE) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return list(session.run(None, {"x": sample[np.newaxis]}))


def assert_alike(model: onnx.ModelProto, *wanted: str, sample: Array = SAMPLE) -> onnx.ModelProto:
    """Merged and as it was, the model gives out the same values; the first is returned."""
    found = merged(model, *wanted)
    expected = run(model, {"x": sample[np.newaxis]}, *wanted)
    for one, other in zip(outputs(found, sample), expected, strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        with np.errstate(invalid="ignore"):
            largest = np.abs(other[np.isfinite(other)]).max(initial=0)
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * largest)
    return found


@pytest.mark.parametrize("opset", [8, 9, 13, 14, 15, 21])
def test_a_pair_runs_as_one(opset: int) -> None:
    """From opset 9 on: before, batch normalization was another operator."""
    assert is_merged(assert_alike(pair_model(opset=opset), "conv", "relu")) == (opset >= 9)


@pytest.mark.parametrize("channels", [1, 4, 5, 8, 16, 24, 32, 48])
@pytest.mark.parametrize("size", [(9,), (6, 7), (4, 5, 3), (1, 1)])
def test_any_number_of_channels_and_every_rank(channels: int, size: tuple[int, ...]) -> None:
    ones = (1,) * len(size)
    model = pair_model(
        shape=(3, *size),
        w=random_array(1, channels, 3, *ones),
        c=random_array(2, channels, *ones),
        d=random_array(3, 1, channels, *ones),
    )
    model.graph.node[0].ClearField("attribute")
    sample = random_array(4, 3, *size)
    assert is_merged(assert_alike(model, "conv", "add", "relu", sample=sample))
    found = micam_fast.explain(model, sample)
    check(model, found, sample)


@pytest.mark.parametrize("mul", ["conv c", "c conv"])
@pytest.mark.parametrize("add", ["mul d", "d mul"])
def test_constants_on_either_side(mul: str, add: str) -> None:
    nodes = [CONV, op("Mul", mul, "mul"), op("Add", add, "add")]
    assert is_merged(assert_alike(build(*nodes, c=FACTOR, d=SUMMAND), "conv", "add"))


@pytest.mark.parametrize(
    ("factor", "summand"),
    [
        ((), (CHANNELS, 1, 1)),
        ((CHANNELS, 1, 1), (1,)),
        ((1, 1, 1, 7), (CHANNELS, 1, 1)),
        ((CHANNELS, 1, 1), (7,)),
        ((CHANNELS, 6, 7), (CHANNELS, 1, 1)),
        ((CHANNELS, 1, 1), (1, CHANNELS, 6, 1)),
    ],
)
def test_constants_that_are_not_one_for_each_channel(
    factor: tuple[int, ...], summand: tuple[int, ...]
) -> None:
    model = pair_model(c=per_channel(*factor), d=random_array(9, *summand))
    assert not is_merged(assert_alike(model, "conv", "relu"))


def test_a_constant_with_an_axis_more_than_the_value() -> None:
    model = pair_model(c=per_channel(1, 1, CHANNELS, 1, 1))
    assert not is_merged(assert_alike(model, "conv", "relu"))


def test_one_channel_of_which_constants_make_more() -> None:
    model = build(
        op("Mul", "x c", "mul"), op("Add", "mul d", "add"), shape=(1, 6, 7), c=FACTOR, d=SUMMAND
    )
    assert not is_merged(assert_alike(model, "add", sample=SAMPLE[:1]))
    one = build(
        op("Mul", "x c", "mul"), op("Add", "mul d", "add"), shape=(1, 6, 7),
        c=floats([2]), d=SUMMAND,
    )  # fmt: skip
    assert not is_merged(assert_alike(one, "add", sample=SAMPLE[:1]))


@pytest.mark.parametrize(
    ("shape", "constant", "sizes"),
    [
        (("height", "width", 5), (5,), (5, 5, 5)),
        (("height", "width", 5), (1, 1, 1, 5), (6, 9, 5)),
        (("steps", 6), (6,), (6, 6)),
        (("steps", 6), (6,), (9, 6)),
        (("channels", 6, 7), (1, 1, 1, 7), (7, 6, 7)),
        (("channels", 6, 7), (5, 1, 1), (5, 6, 7)),
        (("channels", 6, 7), (5, 1, 1), (1, 6, 7)),
    ],
)
def test_a_size_that_is_not_known_equals_no_other(
    shape: tuple[str | int, ...], constant: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    """Constants along another axis, or that enlarge the value, must not count as channels."""
    model = build(
        op("Neg", "x", "neg"), op("Mul", "neg c", "mul"), op("Add", "mul d", "add"),
        shape=shape, c=per_channel(*constant), d=random_array(9, *constant),
    )  # fmt: skip
    found = assert_alike(model, "neg", "add", sample=random_array(4, *sizes))
    assert operators(found) == ["Neg", "Mul", "Add"]


def test_a_batch_of_one_is_no_channel() -> None:
    """A recurrent layer's value (T, N, F) for one sample: others are fed in larger batches."""
    model = build(
        op("Neg", "x", "neg"), op("Mul", "neg c", "mul"), op("Add", "mul d", "add"),
        shape=("batch", 4), c=floats(2), d=floats([1]),
    )  # fmt: skip
    graph = Graph(open_model(model), Facts({"x": (9, 1, 4)}))
    assert graph.shape("neg") == (9, 1, 4)
    assert find_scalings(graph, lambda value: Axes(1, 2)) == ()
    assert len(find_scalings(graph, axes_of)) == 1


def test_a_number_made_of_shapes_is_no_constant() -> None:
    """It is known for the shapes of one run, and not to be written into the model."""
    model = build(
        op("Shape", "x", "sizes"), op("Slice", "sizes one two", "size"),
        op("Cast", "size", "c", to=TensorProto.FLOAT),
        op("Neg", "x", "neg"), op("Mul", "neg c", "mul"), op("Add", "mul d", "add"),
        shape=(1, "H", "W"), d=floats([1]), one=np.array([2]), two=np.array([3]),
    )  # fmt: skip
    graph = Graph(open_model(model), Facts({"x": (1, 1, 6, 7)}))
    assert graph.is_known("c")
    assert find_scalings(graph, axes_of) == ()


@pytest.mark.parametrize("wanted", [("mul", "add"), ("add", "mul"), ("conv", "mul", "relu")])
def test_a_product_that_is_asked_for_stays(wanted: tuple[str, ...]) -> None:
    assert not is_merged(assert_alike(pair_model(), *wanted))


def test_a_product_that_others_read_stays() -> None:
    twice = build(*PAIR, op("Sum", "relu mul", "sum"), c=FACTOR, d=SUMMAND)
    assert not is_merged(assert_alike(twice, "sum"))
    branches = build(
        *PAIR,
        op("ReduceMax", "x", "top", keepdims=0),
        op("Greater", "top limit", "flag"),
        op("If", "flag", "if", **if_branches("mul")),
        op("Sum", "relu if", "sum"),
        c=FACTOR, d=SUMMAND, limit=np.array(100, np.float32),
    )  # fmt: skip
    assert not is_merged(assert_alike(branches, "sum"))


def test_a_sum_of_two_activations_stays() -> None:
    model = build(CONV, MUL, op("Add", "mul conv", "add"), c=FACTOR)
    assert not is_merged(assert_alike(model, "add"))


def test_a_row_of_pairs() -> None:
    model = build(
        *PAIR[:3],
        op("Mul", "add c", "next"),
        op("Add", "d next", "last"),
        op("Relu", "last", "relu"),
        c=FACTOR,
        d=SUMMAND,
    )
    found = assert_alike(model, "relu")
    assert is_merged(found)
    assert len(operators(found)) == 4
    assert is_merged(assert_alike(model, "add", "relu"))
    assert operators(merged(model, "next", "relu")).count("Mul") == 1
    sample = SAMPLE
    check(model, micam_fast.explain(model, sample), sample)


def test_constants_from_nodes() -> None:
    values = {name: onnx.numpy_helper.from_array(FACTOR) for name in ("f", "d")}
    nodes = [op("Constant", "", name, value=value) for name, value in values.items()]
    model = build(CONV, *nodes, op("Neg", "f", "c"), MUL, ADD)
    assert is_merged(assert_alike(model, "conv", "add"))


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    model = pair_model()
    expected = run(model, {"x": SAMPLE[np.newaxis]}, "relu")[0]
    onnx.save(
        model, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0,
        location="weights",
    )  # fmt: skip
    loaded = micam_fast.load_model(tmp_path / "net.onnx", layers="relu")
    found = loaded.explain(SAMPLE)
    np.testing.assert_allclose(found.cams["relu"], expected[0].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("channels", [5, 16])
def test_values_that_are_not_finite_stay_where_they_are(channels: int) -> None:
    """Nothing is spread to other channels or pixels, nor lost."""
    model = build(
        op("Mul", "x c", "mul"), op("Add", "mul d", "add"), op("Neg", "add", "neg"),
        shape=(channels, 6, 7), c=-per_channel(channels, 1, 1), d=per_channel(1, channels, 1, 1),
    )  # fmt: skip
    sample = random_array(1, channels, 6, 7)
    sample[0, 0, 0], sample[1, 2, 3], sample[3, 5, 6] = np.nan, np.inf, -np.inf
    found = assert_alike(model, "neg", sample=sample)
    assert is_merged(found)
    (array,) = outputs(found, sample)
    assert np.argwhere(~np.isfinite(array[0])).tolist() == [[0, 0, 0], [1, 2, 3], [3, 5, 6]]
    explained = micam_fast.load_model(model, layers="neg").explain(sample)
    assert explained.maps["neg"].bad_values == 3


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_element_types_stay(dtype: int) -> None:
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    model = build(
        op("Cast", "x", "cast", to=dtype),
        op("Mul", "cast c", "mul"),
        op("Add", "mul d", "add"),
        c=per_channel(3, 1, 1).astype(numpy_type),
        d=per_channel(3, 1, 1).astype(numpy_type),
    )
    assert not is_merged(merged(model, "add"))


def test_the_model_itself_is_left_as_it_is() -> None:
    model = pair_model()
    before = model.SerializeToString()
    assert is_merged(merged(model, "relu"))
    micam_fast.explain(model, SAMPLE)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("budget", [1, 3000])
def test_a_pair_that_slices_part_stays(budget: int) -> None:
    """The product is handed from one slice to the next."""
    file = open_model(pair_model())
    graph = Graph(file)
    wanted = ("conv", "mul", "add", "relu")
    sizes = dict.fromkeys(wanted, 840)
    parts = cut_model(file, graph, wanted, find_bounds(graph, wanted, sizes, budget))
    assert len(parts) > 1
    values: dict[str, Array] = {"x": SAMPLE[np.newaxis]}
    for part in parts:
        merge_scalings(part.proto, find_scalings(graph, axes_of), graph.constants)
        session = onnxruntime.InferenceSession(part.proto.SerializeToString())
        feeds = {name: values[name] for name in part.inputs}
        values.update(zip(part.outputs, session.run(list(part.outputs), feeds), strict=True))
    for name, expected in zip(
        wanted, run(pair_model(), {"x": SAMPLE[np.newaxis]}, *wanted), strict=True
    ):
        np.testing.assert_allclose(values[name], expected, rtol=1e-5, atol=1e-5)


def test_all_layers_of_a_merged_model_have_their_maps() -> None:
    for memory in (None, 1):
        loaded = micam_fast.load_model(pair_model(), memory=memory)
        found = loaded.explain(SAMPLE)
        # Factor and summand are a batch normalization, which is one layer.
        assert list(found.cams) == ["x", "conv", "add", "relu"]
        check(pair_model(), found, SAMPLE)


def test_a_constant_that_only_onnx_runtime_can_compute_is_left_to_it() -> None:
    """Its operator is unknown to ONNX's reference, and the model opens all the same."""
    nodes = [
        op("Conv", "x w", "conv", pads=[1, 1, 1, 1]),
        op("Neg", "conv", "read"),
        op("QuickGelu", "c", "factor", domain="com.microsoft"),
        op("Mul", "read factor", "product"),
        op("Add", "product d", "sum"),
    ]
    constants = {"w": KERNEL, "c": per_channel(CHANNELS, 1, 1), "d": per_channel(CHANNELS, 1, 1)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *SHAPE])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opsets)
    check(model, micam_fast.load_model(model).explain(SAMPLE), SAMPLE)
