"""Maps and colours of random models against the float64 oracle, over the cases of SPEC section 2.

The activations come from ONNX Runtime on the plain model; everything after them is the oracle's.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper

import micam_fast
from tests.helpers import reference
from tests.helpers.comparing import assert_close, assert_colours
from tests.helpers.convolutions import convolution_model, convolutions
from tests.helpers.models import conv_node, make_model, random_array, single_conv
from tests.helpers.plain_runtime import run
from tests.helpers.reference import channels_last

quick = settings(max_examples=25, deadline=None)


def check_convolution(
    case: dict[str, Any],
    projection: Literal["published", "transposed"],
    *,
    transpose: bool,
    **extra: Any,
) -> None:
    model, kernel, bias, sample = convolution_model(case, transpose=transpose, **extra)
    groups = case["groups"]
    explanation = micam_fast.load_model(model, threads=2).explain(sample, projection=projection)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "conv:0")
    last = channels_last(activation)
    assert explanation.maps["conv"].even_weights == (case["bias"] == "zero")
    assert [name for name, found in explanation.maps.items() if found.weighted] == ["conv"]
    if projection == "published" and transpose:
        expected = reference.published_conv_transpose(last, kernel, bias, groups=groups)
    elif projection == "published":
        keras = np.moveaxis(kernel, (0, 1), (-1, -2))
        expected = reference.published_conv(last, keras, bias)
    else:
        expected = reference.adjoint_map(
            last,
            kernel,
            bias,
            input_size=case["size"],
            strides=case["strides"],
            pads_begin=begin_pads(case, last.shape[:-1], extra, transpose=transpose),
            dilations=case["dilations"],
            groups=groups,
            transpose=transpose,
        )
    assert_close(explanation.cams["conv"], expected)
    assert_close(explanation.cams["x"], reference.mean_map(np.moveaxis(sample, 0, -1)))
    assert_colours(explanation)


def begin_pads(
    case: dict[str, Any], size: tuple[int, ...], extra: dict[str, Any], *, transpose: bool
) -> list[int]:
    """Begin pads, for ``auto_pad`` by trying which one reproduces ONNX Runtime's output."""
    rank = len(case["kernel"])
    if extra.get("auto_pad", "NOTSET") == "NOTSET" and "output_shape" not in extra:
        return list(case["pads"][:rank])
    j, c, groups, seed = case["j"], case["c"], case["groups"], case["seed"]
    shape = (j, c // groups) if transpose else (c, j // groups)
    kernel = random_array(seed, *shape, *case["kernel"])
    sample = random_array(seed + 2, j, *case["size"])
    model = single_conv(
        kernel,
        ["batch", j, *case["size"]],
        None,
        "ConvTranspose" if transpose else "Conv",
        strides=case["strides"],
        dilations=case["dilations"],
        group=groups,
        **extra,
    )
    (expected,) = run(model, {"x": sample[np.newaxis]}, "conv:0")
    for begins in np.ndindex(
        *[(k - 1) * d + 2 for k, d in zip(case["kernel"], case["dilations"], strict=True)]
    ):
        found = reference.linear_map(
            np.moveaxis(sample, 0, -1),
            kernel,
            size,
            strides=case["strides"],
            pads_begin=begins,
            dilations=case["dilations"],
            groups=groups,
            transpose=transpose,
        )
        if np.allclose(found, channels_last(expected), atol=1e-4):
            return list(begins)
    raise AssertionError("no begin pads reproduce ONNX Runtime's output")


@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@given(data=st.data())
@quick
def test_convolution_maps_equal_the_oracle(
    data: st.DataObject, rank: int, projection: Literal["published", "transposed"]
) -> None:
    check_convolution(data.draw(convolutions(rank, transpose=False)), projection, transpose=False)


@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@given(data=st.data())
@quick
def test_transposed_convolution_maps_equal_the_oracle(
    data: st.DataObject, rank: int, projection: Literal["published", "transposed"]
) -> None:
    check_convolution(data.draw(convolutions(rank, transpose=True)), projection, transpose=True)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("transpose", [False, True])
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_automatic_pads_of_the_adjoint(data: st.DataObject, auto_pad: str, transpose: bool) -> None:
    case = data.draw(convolutions(2, transpose=transpose))
    if transpose and auto_pad != "VALID":
        # ONNX leaves open what SAME means for a stride beyond the kernel.
        case["strides"] = [min(s, k) for s, k in zip(case["strides"], case["kernel"], strict=True)]
    if auto_pad != "VALID":
        case["dilations"] = [1, 1]
    check_convolution(case, "transposed", transpose=transpose, auto_pad=auto_pad)


@pytest.mark.parametrize("extra", [{"output_padding": [1, 1]}, {"output_shape": [10, 9]}])
def test_output_size_of_a_transposed_convolution(extra: dict[str, Any]) -> None:
    case = {
        "groups": 1, "j": 2, "c": 3, "kernel": [3, 3], "size": [5, 4], "strides": [2, 2],
        "dilations": [1, 1], "pads": [0] * 4, "bias": "random", "seed": 5,
    }  # fmt: skip
    if "output_shape" in extra:
        extra = {**extra, "auto_pad": "SAME_UPPER"}
    check_convolution(case, "transposed", transpose=True, **extra)
    check_convolution(case, "published", transpose=True, **extra)


def test_kernel_larger_than_the_grid_drops_taps() -> None:
    kernel = random_array(1, 3, 2, 5, 5)
    model = single_conv(kernel, ["batch", 2, 2, 3], random_array(2, 3), pads=[2, 2, 2, 2])
    sample = random_array(3, 2, 2, 3)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "conv:0")
    expected = reference.published_conv(
        channels_last(activation), np.moveaxis(kernel, (0, 1), (-1, -2)), random_array(2, 3)
    )
    assert_close(micam_fast.explain(model, sample).cams["conv"], expected)


def test_separable_convolution_as_two_layers() -> None:
    depthwise, pointwise = random_array(1, 6, 1, 3, 3), random_array(2, 4, 6, 1, 1)
    nodes = [
        conv_node("depthwise", "x", "d", group=3, pads=[1, 1, 1, 1]),
        conv_node("pointwise", "depthwise:0", "p", "b"),
    ]
    bias = random_array(3, 4)
    model = make_model(
        nodes, {"x": [1, 3, 7, 5]}, ["pointwise:0"], {"d": depthwise, "p": pointwise, "b": bias}
    )
    sample = random_array(4, 3, 7, 5)
    first, second = run(model, {"x": sample[np.newaxis]}, "depthwise:0", "pointwise:0")
    cams = micam_fast.explain(model, sample).cams
    assert_close(
        cams["depthwise"],
        reference.published_conv(
            channels_last(first), np.moveaxis(depthwise, (0, 1), (-1, -2)), None
        ),
    )
    assert_close(
        cams["pointwise"],
        reference.published_conv(
            channels_last(second), np.moveaxis(pointwise, (0, 1), (-1, -2)), bias
        ),
    )


LAYERS_WITHOUT_KERNEL = [
    ("Relu", {}, (3, 6, 5)),
    ("MaxPool", {"kernel_shape": [2, 2]}, (3, 6, 5)),
    ("AveragePool", {"kernel_shape": [2, 2, 2]}, (2, 4, 5, 3)),
    ("LRN", {"size": 3}, (4, 6, 5)),
    ("Softmax", {"axis": 1}, (4, 6, 5)),
    ("MaxPool", {"kernel_shape": [3]}, (4, 9)),
]


@pytest.mark.parametrize(("op", "given_", "shape"), LAYERS_WITHOUT_KERNEL)
def test_layers_without_a_kernel_are_means(
    op: str, given_: dict[str, Any], shape: tuple[int, ...]
) -> None:
    node = helper.make_node(op, ["x"], ["layer:0"], name="layer", **given_)
    model = make_model([node], {"x": ["batch", *shape]}, ["layer:0"])
    sample = random_array(7, *shape)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "layer:0")
    explanation = micam_fast.explain(model, sample)
    expected = channels_last(activation)
    if op in ("Relu", "Softmax") and len(shape) == 2:
        expected = activation[0]
    assert_close(explanation.cams["layer"], reference.mean_map(expected))
    assert_colours(explanation)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "Flatten"])
def test_flat_layers(op: str) -> None:
    node = helper.make_node(op, ["x"], ["layer:0"], name="layer")
    model = make_model([node], {"x": ["batch", 40, 7, 5]}, ["layer:0"])
    sample = random_array(7, 40, 7, 5)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "layer:0")
    explanation = micam_fast.explain(model, sample)
    np.testing.assert_array_equal(
        explanation.cams["layer"], reference.flat_map(activation, 7, 5).astype(np.float32)
    )
    assert explanation.maps["layer"].flat
    assert_colours(explanation)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("used", ["Y", "Y_h"])
def test_recurrent_layers_show_what_they_give(op: str, direction: str, used: str) -> None:
    """Their sequence, or the last state where they give that alone, as Keras' layers do."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    directions = 2 if direction == "bidirectional" else 1
    hidden, features, steps = 3, 4, 6
    constants = {
        "w": random_array(1, directions, gates * hidden, features),
        "r": random_array(2, directions, gates * hidden, hidden),
    }
    outputs = ["y", ""] if used == "Y" else ["", "y"]
    nodes = [
        helper.make_node("Transpose", ["x"], ["time_first"], perm=[1, 0, 2]),
        helper.make_node(
            op, ["time_first", "w", "r"], outputs, name="recurrent", hidden_size=hidden,
            direction=direction,
        ),
    ]  # fmt: skip
    model = make_model(nodes, {"x": ["batch", steps, features]}, ["y"], constants)
    samples = random_array(5, 3, steps, features)
    loaded = micam_fast.load_model(model)
    for sample, found in zip(samples, loaded.explain_many(samples, batch_size=3), strict=True):
        (y,) = run(model, {"x": sample[np.newaxis]}, "y")
        if used == "Y":
            expected = reference.mean_map(y[:, :, 0].reshape(steps, directions * hidden))
        else:
            expected = reference.flat_map(y[:, 0].reshape(1, -1), 1, steps)
        assert_close(found.cams["recurrent"], expected)
        assert_close(found.cams["x"], reference.mean_map(sample))
        assert found.input_size == (1, steps)


def test_flat_input() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["dense:0"], name="dense")
    model = make_model([node], {"x": ["batch", 12]}, ["dense:0"], {"w": random_array(1, 12, 30)})
    sample = random_array(2, 12)
    explanation = micam_fast.explain(model, sample)
    assert explanation.input_size == (1, 12)
    np.testing.assert_array_equal(explanation.cams["x"], reference.flat_map(sample, 1, 12))
    assert explanation.cams["dense"].shape == reference.flat_map(np.zeros(30), 1, 12).shape
