"""Normalizations of several operators: what they make is what the normalization makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import micam_fast
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.patterns.table import PATTERNS
from tests.helpers.models import Array, conv_node, make_model, random_array
from tests.helpers.operation_nets import (
    SAMPLE,
    classes,
    finds,
    in_order_of,
    operation_net,
    read,
    written,
)
from tests.helpers.plain_runtime import run

node = helper.make_node
BATCH, GROUP, INSTANCE, LAYER, RMS = (
    f"{each}Normalization" for each in ("Batch", "Group", "Instance", "Layer", "RMS")
)
EPSILON = 0.001

# One number for each of the four channels.
_G, _B, _M = (random_array(seed, 4, 1, 1) for seed in (11, 12, 13))
_D = (1 + random_array(14, 4, 1, 1) ** 2).astype(np.float32)
CONSTANTS: Mapping[str, Any] = {
    "gamma": _G, "beta": _B, "mean": _M[np.newaxis], "dev": _D,
    "gamma_last": _G.reshape(-1), "beta_last": _B.reshape(-1), "mean_last": _M.reshape(1, 1, 1, 4),
    "gamma_grouped": _G.reshape(1, 1, 1, 2, 2), "beta_grouped": _B.reshape(1, 1, 1, 2, 2),
    "gamma_whole": random_array(15, 4, 8, 10), "beta_whole": random_array(16, 4, 8, 10),
    "gamma_flat": random_array(19, 8, 10), "beta_flat": random_array(20, 8, 10),
    "gamma_rows": random_array(17, 8, 1), "beta_rows": random_array(18, 8, 1),
    "eps": np.float32(EPSILON), "eps_wide": np.full((1, 1, 1, 1), EPSILON, np.float32),
    "eps_large": np.float32(2), "one": np.float32(1), "two": np.float32(2),
    "three": np.float32(3), "half": np.float32(0.5),
    "ones": np.ones(4, np.float32), "zeros": np.zeros(4, np.float32),
    "ones_grouped": np.ones(2, np.float32), "zeros_grouped": np.zeros(2, np.float32),
    "two_double": np.float64(2), "eps_double": np.float64(EPSILON),
    "one_wide": np.ones((1, 1, 1), np.float32), "zero_wide": np.zeros((1, 1, 1), np.float32),
    "groups": np.array([0, 2, -1]),
    "by_groups": np.array([-1, 8, 10, 2, 2]), "by_pixels": np.array([-1, 8, 10, 4]),
    "same": np.array([-1, 4, 8, 10]), "turned": np.array([-1, 4, 10, 8]),
    "mean_sizes": np.array([-1, 1, 8, 10]),
}  # fmt: skip


def normal(x: Array, *axes: int) -> Array:
    """``(x - mean) / sqrt(variance + e)``."""
    centred = x - x.mean(axes, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axes, keepdims=True) + EPSILON))


def by_groups(x: Array) -> Array:
    """Two groups of two channels, each `normal` with its positions."""
    grouped = x.reshape(1, 2, 2, *x.shape[2:])
    return normal(grouped, 2, 3, 4).reshape(x.shape)


def rms(x: Array) -> Array:
    """``x / sqrt(mean(x^2) + e)`` over channels."""
    return np.asarray(x / np.sqrt((x**2).mean(1, keepdims=True) + EPSILON))


def centred(value: str, axes: str, *, eps: str = "eps", square: str = "Pow c two") -> str:
    """`c` and `s`: what is centred, and the deviation."""
    return (
        f"u = ReduceMean {value} axes:{axes}; c = Sub {value} u; p = {square}; "
        f"v = ReduceMean p axes:{axes}; a = Add v {eps}; s = Sqrt a;"
    )


def folded(value: str, axes: str, gamma: str = "", beta: str = "", eps: str = "eps") -> str:
    """Keras' form by tf2onnx: `value` times `i`, and `b` besides."""
    scaled, factor = (f"i = Mul r {gamma};", "i") if gamma else ("", "r")
    found = (
        f"{centred(value, axes, eps=eps, square='Mul c c')} r = Reciprocal s; {scaled} "
        f"n = Neg u; k = Mul n {factor}; q = Mul {value} {factor}; "
    )
    return found + (f"b = Add k {beta}; y = Add q b" if beta else "y = Add q k")


_LAST = "t = Transpose x perm:0,2,3,1;"
_TO_GROUPS = (
    "g = Reshape x groups; n = InstanceNormalization g ones_grouped zeros_grouped epsilon:0.001;"
)
_SQUARES = "p = Pow x two; v = ReduceMean p axes:1; a = Add v eps; s = Sqrt a;"
_POOLS = (
    "u = GlobalAveragePool x; c = Sub x u; p = Mul c c; v = GlobalAveragePool p; "
    "a = Add v eps_wide; s = Sqrt a; r = Reciprocal s;"
)

_Written = tuple[str, str, Callable[[Array], Array]]
WRITTEN: tuple[_Written, ...] = (
    # Batch normalization at inference.
    (BATCH, "m = Mul x gamma; y = Add m beta", lambda x: x * _G + _B),
    (BATCH, "m = Mul gamma x; y = Add beta m", lambda x: x * _G + _B),
    (BATCH, f"{_LAST} m = Mul t gamma_last; y = Add m beta_last", lambda x: x * _G + _B),
    (BATCH, "c = Sub x mean; d = Div c dev; m = Mul d gamma; y = Add m beta",
     lambda x: (x - _M) / _D * _G + _B),
    (BATCH, "c = Sub x mean; d = Mul c dev; m = Mul gamma d; y = Add m beta",
     lambda x: (x - _M) * _D * _G + _B),
    (BATCH, "c = Sub x mean; m = Mul c gamma; y = Add m beta", lambda x: (x - _M) * _G + _B),
    (BATCH, f"{_LAST} c = Sub t mean_last; m = Mul c gamma_last; y = Add m beta_last",
     lambda x: (x - _M) * _G + _B),
    (BATCH, "c = Sub x mean; d = Div c dev; y = Add d beta", lambda x: (x - _M) / _D + _B),
    (BATCH, "c = Sub x mean; d = Div c dev; y = Mul d gamma", lambda x: (x - _M) / _D * _G),
    (BATCH, "c = Sub x mean; y = Mul c gamma", lambda x: (x - _M) * _G),
    (BATCH, "c = Sub x mean; y = Div c dev", lambda x: (x - _M) / _D),
    (BATCH, "n = BatchNormalization x ones zeros zeros ones epsilon:0.001; m = Mul n gamma; "
     "y = Add m beta", lambda x: x / np.sqrt(1 + EPSILON) * _G + _B),
    # Layer normalization.
    (LAYER, f"{centred('x', '1')} d = Div c s; m = Mul d gamma; y = Add m beta",
     lambda x: normal(x, 1) * _G + _B),
    (LAYER, f"{_LAST} {centred('t', '-1')} d = Div c s; m = Mul d gamma_last; y = Add m beta_last",
     lambda x: normal(x, 1) * _G + _B),
    (LAYER, f"{centred('x', '-3,-2,-1')} d = Div c s; m = Mul d gamma_whole; y = Add m beta_whole",
     lambda x: normal(x, 1, 2, 3) * CONSTANTS["gamma_whole"] + CONSTANTS["beta_whole"]),
    (LAYER, f"{centred('x', '2,3')} d = Div c s; m = Mul d gamma_flat; y = Add m beta_flat",
     lambda x: normal(x, 2, 3) * CONSTANTS["gamma_flat"] + CONSTANTS["beta_flat"]),
    (LAYER, f"{centred('x', '1')} r = Reciprocal s; d = Mul c r; m = Mul gamma d; y = Add beta m",
     lambda x: normal(x, 1) * _G + _B),
    (LAYER, f"{centred('x', '1')} d = Div c s; y = Add d beta", lambda x: normal(x, 1) + _B),
    (LAYER, f"{centred('x', '1')} d = Div c s; y = Mul d gamma", lambda x: normal(x, 1) * _G),
    (LAYER, f"{centred('x', '1', eps='eps_wide', square='Mul c c')} y = Div c s",
     lambda x: normal(x, 1)),
    (LAYER, f"{centred('x', '1,2,3')} r = Div one s; y = Mul c r", lambda x: normal(x, 1, 2, 3)),
    (LAYER, "u = ReduceMean x axes:1; c = Sub x u; e = Cast c to:11; p = Pow e two_double; "
     "v = ReduceMean p axes:1; a = Add v eps_double; s = Sqrt a; d = Div e s; k = Cast d to:1; "
     "m = Mul k gamma; y = Add m beta", lambda x: normal(x, 1) * _G + _B),
    (LAYER, folded("x", "1", "gamma", "beta"), lambda x: normal(x, 1) * _G + _B),
    (LAYER, folded("x", "1", "gamma", "beta").replace(
        "c = Sub x u;", "o = Reshape u mean_sizes; c = Sub x o;"),
     lambda x: normal(x, 1) * _G + _B),
    (LAYER, folded("x", "1", "gamma"), lambda x: normal(x, 1) * _G),
    (LAYER, folded("x", "1", beta="beta"), lambda x: normal(x, 1) + _B),
    (LAYER, folded("x", "1"), lambda x: normal(x, 1)),
    (LAYER, f"{_LAST} {folded('t', '3', 'gamma_last', 'beta_last')}",
     lambda x: normal(x, 1) * _G + _B),
    # Instance normalization.
    (INSTANCE, f"{centred('x', '2,3')} d = Div c s; m = Mul d gamma; y = Add m beta",
     lambda x: normal(x, 2, 3) * _G + _B),
    (INSTANCE, f"{centred('x', '2,3')} d = Div c s; y = Mul d gamma",
     lambda x: normal(x, 2, 3) * _G),
    (INSTANCE, f"{_LAST} {centred('t', '1,2')} y = Div c s", lambda x: normal(x, 2, 3)),
    (INSTANCE, f"{_POOLS} i = Mul r gamma; q = Mul u i; b = Sub beta q; m = Mul x i; y = Add m b",
     lambda x: normal(x, 2, 3) * _G + _B),
    # Root mean squares.
    (RMS, f"{_SQUARES} d = Div x s; y = Mul d gamma", lambda x: rms(x) * _G),
    (RMS, f"{_SQUARES} r = Reciprocal s; d = Mul x r; y = Mul gamma d", lambda x: rms(x) * _G),
    (RMS, f"{_SQUARES} r = Div one s; d = Mul x r; y = Mul gamma d", lambda x: rms(x) * _G),
    (RMS, f"{_SQUARES} r = Reciprocal s; i = Mul r gamma; y = Mul x i", lambda x: rms(x) * _G),
    (RMS, f"{_SQUARES} y = Div x s", rms),
    (RMS, "e = Cast x to:11; p = Mul e e; v = ReduceMean p axes:1; a = Add v eps_double; "
     "s = Sqrt a; r = Reciprocal s; d = Mul e r; k = Cast d to:1; y = Mul gamma k",
     lambda x: rms(x) * _G),
    # Groups.
    (GROUP, f"{_TO_GROUPS} sizes = Shape x; h = Reshape n sizes; m = Mul h gamma; y = Add m beta",
     lambda x: by_groups(x) * _G + _B),
    (GROUP, f"{_TO_GROUPS} h = Reshape n same; m = Mul h gamma; y = Add m beta",
     lambda x: by_groups(x) * _G + _B),
    (GROUP, f"{_TO_GROUPS} sizes = Shape x; h = Reshape n sizes; m = Mul h one_wide; "
     "y = Add m zero_wide", by_groups),
    (GROUP, f"{_TO_GROUPS} y = Reshape n same", by_groups),
    (GROUP, f"{_LAST} g = Reshape t by_groups; "
     + folded("g", "1,2,4", "gamma_grouped", "beta_grouped").replace("y = ", "h = ")
     + "; y = Reshape h by_pixels", lambda x: by_groups(x) * _G + _B),
)  # fmt: skip
"""Operations as exporters write them, and their definitions, in float64."""


def net(text: str, *outputs: str, **given: Any) -> onnx.ModelProto:
    return operation_net(text, CONSTANTS, *outputs, **given)


@pytest.mark.parametrize(("operation", "text", "defined"), WRITTEN)
def test_it_is_one_layer_and_makes_what_the_normalization_makes(
    operation: str, text: str, defined: Callable[[Array], Array]
) -> None:
    model = net(text, more=[node("Relu", ["y"], ["z"], name="relu")])
    model.graph.output[0].name = "z"
    graph = read(model)
    nodes = [None, "conv", model.graph.node[-2].name, "relu"]
    assert [layer.onnx_name for layer in graph.layers] == nodes
    layer = graph.layers[2]
    last = layer.name
    assert layer.op_type == layer.class_label == operation
    assert layer.inputs == ("conv",)
    assert graph.layer("relu").inputs == (last,)
    assert graph.taps["conv"].axes.channel == 1
    # Read again for a sample, it is the same.
    again = read_layers(open_model(model), Facts({"image": (1, 3, 8, 10)}), graph.reading)
    assert [each.class_label for each in again.layers] == [e.class_label for e in graph.layers]

    before, found = run(model, {"image": SAMPLE[np.newaxis]}, "x", "y")
    expected = defined(before.astype(np.float64))
    np.testing.assert_allclose(in_order_of(found, expected), expected, rtol=0, atol=1e-4)
    explanation = micam_fast.explain(model, SAMPLE)
    np.testing.assert_allclose(explanation.cams[last], expected[0].mean(0), rtol=0, atol=1e-4)
    relu = np.maximum(expected[0], 0).mean(0)
    np.testing.assert_allclose(explanation.cams["relu"], relu, rtol=0, atol=1e-4)


def test_every_row_of_the_table_is_proven() -> None:
    rows = {id(row): row for row in PATTERNS if row.operation.endswith("Normalization")}
    assert len(rows) > 10
    for operation, text, _ in WRITTEN:
        model = open_model(net(text))
        for key, row in list(rows.items()):
            if row.operation == operation and finds(row, model):
                del rows[key]
    assert not rows


def is_one(text: str, *outputs: str) -> list[str]:
    """The normalizations among the layers of a graph."""
    found = classes(net(text, *outputs))
    return [each for each in found if each.endswith("Normalization")]


_AFFINE = "d = Div c s; m = Mul d gamma; y = Add m beta"


@pytest.mark.parametrize(
    "text",
    [
        "y = Mul x gamma",
        "y = Sub x mean",
        "y = Div x dev",
        # Numbers that scale all channels alike.
        "m = Mul x half; y = Add m beta",
        "m = Mul x gamma; y = Add m half",
        "m = Mul x half; y = Add m half",
        "c = Sub x half; y = Div c two",
        # Numbers that lie along other axes.
        "m = Mul x gamma_rows; y = Add m beta_rows",
        "m = Mul x gamma; y = Add m beta_rows",
        "m = Mul x gamma_whole; y = Add m beta_whole",
        # Another order.
        "a = Add x beta; y = Mul a gamma",
        "m = Mul x gamma; y = Sub beta m",
        # Another normalization before it.
        "p = ReduceL2 x axes:2,3; u = ReduceMean p axes:1; a = Add u eps; r = Div p a; "
        "m = Mul x r; k = Mul m gamma; y = Add k beta",
    ],
)
def test_factors_and_summands_that_are_no_batch_normalization(text: str) -> None:
    assert is_one(text) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{centred('x', '1', eps='eps_large')} d = Div c s; y = Mul d half",
        f"{centred('x', '1', square='Pow c three')} y = Div c s",
        f"{centred('x', '0,2,3')} y = Div c s",
        f"{centred('x', '2')} y = Div c s",
        "u = ReduceMean x axes:1; c = Sub x u; p = Mul c c; v = ReduceMean p axes:2,3; "
        "a = Add v eps; s = Sqrt a; y = Div c s",
        "u = ReduceMean x axes:1; c = Sub x u; p = Mul x x; v = ReduceMean p axes:1; "
        "a = Add v eps; s = Sqrt a; y = Div c s",
        "p = Mul x x; v = ReduceMean p axes:2,3; a = Add v eps; s = Sqrt a; y = Div x s",
        # Others read what is inside.
        f"{centred('x', '1')} {_AFFINE.replace('y =', 'o =')}; y = Add o s",
    ],
)
def test_what_is_nearly_a_normalization_stays_what_it_is(text: str) -> None:
    assert is_one(text) == []


def test_a_numbers_along_other_axes_end_a_normalization_before_them() -> None:
    text = f"{centred('x', '2,3')} d = Div c s; m = Mul d gamma_rows; y = Add m beta_rows"
    assert classes(net(text)) == [INSTANCE, "Mul", "Add"]


def test_the_quotient_that_others_read_ends_a_normalization() -> None:
    text = f"{centred('x', '1')} {_AFFINE.replace('y =', 'o =')}; y = Add o d"
    assert classes(net(text)) == [LAYER, "Mul", "Add", "Add"]


def test_what_a_graph_gives_out_is_no_inside() -> None:
    text = f"{centred('x', '1')} {_AFFINE}"
    assert is_one(text, "y", "s") == []
    assert is_one(text, "y", "d") == [LAYER]
    assert is_one("m = Mul x gamma; y = Add m beta", "y", "m") == []


@pytest.mark.parametrize(
    "text",
    [
        f"{_LAST} o = LayerNormalization t gamma_last beta_last; ",
        f"{_LAST} {centred('t', '3')} d = Div c s; k = Mul d gamma_last; o = Add k beta_last; ",
        f"{_LAST} {centred('t', '3')} o = Div c s; f = Identity o; ",
    ],
)
def test_factors_behind_another_normalization_are_the_same_whoever_exported_it(text: str) -> None:
    source = "f" if "f =" in text else "o"
    model = net(f"{text} m = Mul {source} gamma_last; y = Add m beta_last", opset=17)
    assert classes(model) == [LAYER, "Mul", "Add"]


def test_groups_that_are_not_brought_back_are_none() -> None:
    whole = ["Reshape", INSTANCE, "Reshape"]
    assert classes(net(f"{_TO_GROUPS} y = Reshape n turned")) == whole
    by_row = f"{_LAST} g = Reshape t turned; {centred('g', '2,3')} d = Div c s; y = Reshape d same"
    assert GROUP not in classes(net(by_row))


@pytest.mark.parametrize(
    "behind", ["y = Reshape n same", "o = Reshape n same; m = Mul o f; y = Add m f"]
)
def test_groups_are_along_the_second_axis_whatever_else_lies_there(behind: str) -> None:
    """A number for each row says that rows are channels; instances have theirs second."""
    held = {**CONSTANTS, "per_row": random_array(1, 8, 1), "f": random_array(2, 4, 1, 1)}
    nodes = written(f"x = Mul image per_row; {_TO_GROUPS} same = Shape x; {behind}")
    used = {name for each in nodes for name in each.input} - {"same"}
    held = {name: array for name, array in held.items() if name in used}
    graph = read(make_model(nodes, {"image": ["N", 4, 8, 10]}, ["y"], held))
    assert [each.class_label for each in graph.layers] == ["Input", "Mul", GROUP]


def test_instances_of_an_image_that_tokens_become_are_no_groups() -> None:
    held = {"sizes": np.array([0, 4, 8, 10]), "one": np.ones(4, np.float32)}
    text = "t = Reshape tokens sizes; n = InstanceNormalization t one one; "
    nodes = written(f"{text} same = Shape tokens; y = Reshape n same")
    graph = read(make_model(nodes, {"tokens": ["N", 4, 80]}, ["y"], held))
    assert [each.class_label for each in graph.layers[1:]] == ["Reshape", INSTANCE, "Reshape"]


@pytest.mark.parametrize("own", [True, False])
def test_a_bias_stays_the_convolutions(own: bool) -> None:
    held = {**CONSTANTS, "w": random_array(1, 4, 3, 3, 3)}
    nodes = [
        conv_node("conv", "image", "w", "zeros" if own else None),
        node("Add", ["conv:0", "mean"], ["a"], name="bias"),
        node("Mul", ["a", "gamma"], ["m"], name="mul"),
        node("Add", ["m", "beta"], ["y"], name="norm"),
    ]
    used = {name for each in nodes for name in each.input}
    held = {name: array for name, array in held.items() if name in used}
    graph = read(make_model(nodes, {"image": ["N", 3, 8, 10]}, ["y"], held))
    bias = [("bias", "Add")] if own else []
    assert [(each.name, each.class_label) for each in graph.layers[1:]] == [
        ("conv", "Conv"), *bias, ("norm", BATCH)
    ]  # fmt: skip
    assert graph.layer("conv").bias_shape == (4,)


def test_one_channel_is_no_evidence_of_channels() -> None:
    held = {"w": random_array(1, 1, 3, 3, 3), "one": np.ones((1, 1, 1, 1), np.float32)}
    nodes = [
        conv_node("conv", "image", "w"),
        node("Mul", ["conv:0", "one"], ["m"], name="mul"),
        node("Add", ["m", "one"], ["y"], name="add"),
    ]
    graph = read(make_model(nodes, {"image": ["N", 3, 8, 10]}, ["y"], held))
    assert [each.class_label for each in graph.layers] == ["Input", "Conv", "Mul", "Add"]


def test_factors_along_the_means_make_a_layer_normalization_whatever_else_lies_there() -> None:
    """A number for each token says that they are channels, the factors say that they are not."""
    held = {
        "per_token": random_array(1, 7, 1), "g": random_array(2, 5), "b": random_array(3, 5),
        "eps": np.float32(1e-5),
    }  # fmt: skip
    text = f"x = Mul tokens per_token; {centred('x', '2', square='Mul c c')} d = Div c s; "
    nodes = written(f"{text} m = Mul d g; y = Add m b")
    graph = read(make_model(nodes, {"tokens": ["N", 7, 5]}, ["y"], held))
    assert [each.class_label for each in graph.layers] == ["Input", "Mul", LAYER]


@pytest.mark.parametrize("sizes", [("N", 7, 6), ("N", 6), ("N", "T", 6)])
def test_features_of_tokens_and_tables(sizes: tuple[Any, ...]) -> None:
    held = {"w": random_array(1, 6, 5), "g": random_array(2, 5), "b": random_array(3, 5),
            "eps": np.float32(1e-5), "two": np.float32(2)}  # fmt: skip
    nodes = [
        node("MatMul", ["x", "w"], ["d"], name="dense"),
        node("Mul", ["d", "g"], ["m"], name="mul"),
        node("Add", ["m", "b"], ["z"], name="norm"),
        node("ReduceMean", ["z"], ["u"], axes=[-1]),
        node("Sub", ["z", "u"], ["c"]),
        node("Pow", ["c", "two"], ["p"]),
        node("ReduceMean", ["p"], ["v"], axes=[-1]),
        node("Add", ["v", "eps"], ["a"]),
        node("Sqrt", ["a"], ["s"]),
        node("Div", ["c", "s"], ["q"]),
        node("Mul", ["q", "g"], ["k"]),
        node("Add", ["k", "b"], ["y"], name="layer_norm"),
    ]
    graph = read(make_model(nodes, {"x": sizes}, ["y"], held))
    assert [(each.name, each.class_label) for each in graph.layers[1:]] == [
        ("dense", "MatMul"), ("norm", BATCH), ("layer_norm", LAYER)
    ]  # fmt: skip


_COMPUTED = "z = Shape x; f = Flatten z; k = Reshape f four; r = Reshape x k;"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{_COMPUTED} {centred('r', '1')} {_AFFINE}", [LAYER]),
        (f"{_COMPUTED} {_TO_GROUPS.replace('x', 'r', 1)} o = Shape r; h = Reshape n o; "
         "m = Mul h gamma; y = Add m beta", [GROUP]),
        # One channel may be what four numbers multiply.
        (f"{_COMPUTED} m = Mul r gamma; y = Add m beta", []),
    ],
)  # fmt: skip
def test_sizes_that_only_a_run_can_tell(text: str, wanted: list[str]) -> None:
    model = operation_net(text, {**CONSTANTS, "four": np.array([4])})
    image = model.graph.input[0].type.tensor_type.shape.dim
    image[2].dim_param, image[3].dim_param = "H", "W"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    found = [each for each in classes(model) if each.endswith("Normalization")]
    assert found == wanted


def test_scales_of_whole_numbers_are_no_batch_normalization() -> None:
    """They belong to the integer product, as a bias does."""
    held = {
        "w": np.ones((4, 3, 3, 3), np.int8), "scales": _D.reshape(1, 4, 1, 1), "b": _B[np.newaxis]
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["image", "unit", "zero"], ["codes"], name="quantize"),
        node("ConvInteger", ["codes", "w"], ["whole"], name="conv"),
        node("Cast", ["whole"], ["real"], name="cast", to=onnx.TensorProto.FLOAT),
        node("Mul", ["real", "scales"], ["scaled"], name="scale"),
        node("Add", ["scaled", "b"], ["y"], name="add"),
    ]
    held |= {"unit": np.float32(0.1), "zero": np.uint8(0)}
    graph = read(make_model(nodes, {"image": ["N", 3, 8, 10]}, ["y"], held))
    assert [each.class_label for each in graph.layers] == ["Input", "ConvInteger"]


def test_the_operator_of_onnx_runtime_is_called_the_same() -> None:
    made = node("SimplifiedLayerNormalization", ["t", "gamma_last"], ["y"], name="norm", axis=-1)
    assert classes(net(_LAST, "y", more=[made])) == [RMS]


def test_a_long_chain_of_factors_and_summands_is_read_in_time() -> None:
    count = 1500
    text = "".join(f"m{n} = Mul a{n} gamma; a{n + 1} = Add m{n} beta;" for n in range(count))
    assert classes(net(f"a0 = Relu x; {text} y = Relu a{count}")) == [
        "Relu",
        *[BATCH] * count,
        "Relu",
    ]
