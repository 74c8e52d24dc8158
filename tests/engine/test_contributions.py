"""What each channel adds to its layer's map: by the oracle channel by channel, and as a sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper

import micam_fast
from micam_fast import Model
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes, Geometry, Tap
from micam_fast.demo import DIGITS
from micam_fast.maps.contributions import contribute, energy_shares
from micam_fast.maps.taps import find_taps, mean_taps, sum_kernel
from tests.helpers import reference
from tests.helpers.activations import copies
from tests.helpers.convolutions import convolution_model, convolutions
from tests.helpers.models import Array, conv_node, make_model, random_array
from tests.helpers.plain_runtime import run
from tests.helpers.reference import channels_last

# Of all that is added up in a cell; what is left of it may be far less.
ROUNDING = 2e-6
both = pytest.mark.parametrize("projection", PROJECTIONS)


def contributions(model: Model, sample: Any, projection: Projection) -> dict[str, Array]:
    (found,) = model.contributions([sample], copies, projection=projection)
    assert not isinstance(found, SampleError), found
    return found


def assert_sums(model: Model, sample: Any, projection: Projection) -> dict[str, Array]:
    """All layers' contributions, each of which must add up to the map of `explain`."""
    explanation = model.explain(sample, projection=projection)
    found = contributions(model, sample, projection)
    assert list(found) == [layer.name for layer in model.layers]
    for name, parts in found.items():
        if explanation.maps[name].flat:
            assert parts.ndim == 1
            continue
        cam = explanation.cams[name]
        assert parts.dtype == np.float32
        assert parts.shape[1:] == cam.shape
        scale = np.abs(parts).sum(axis=0, dtype=np.float64).max()
        np.testing.assert_allclose(
            parts.sum(axis=0, dtype=np.float64), cam, rtol=0, atol=ROUNDING * scale, err_msg=name
        )
    return found


def channels_alone(activation: Array) -> Iterator[Array]:
    """The activation ``(*space, C)`` with all channels zero but one."""
    for channel in range(activation.shape[-1]):
        alone = np.zeros_like(activation)
        alone[..., channel] = activation[..., channel]
        yield alone


def check_convolution(case: dict[str, Any], projection: Projection, *, transpose: bool) -> None:
    proto, kernel, bias, sample = convolution_model(case, transpose=transpose)
    groups = case["groups"]
    model = micam_fast.load_model(proto, threads=1)
    found = assert_sums(model, sample, projection)["conv"]
    (activation,) = run(proto, {"x": sample[np.newaxis]}, "conv:0")
    assert len(found) == case["c"]
    for part, alone in zip(found, channels_alone(channels_last(activation)), strict=True):
        if projection == "transposed":
            expected = reference.adjoint_map(
                alone, kernel, bias, input_size=case["size"], strides=case["strides"],
                pads_begin=case["pads"][: len(case["kernel"])], dilations=case["dilations"],
                groups=groups, transpose=transpose,
            )  # fmt: skip
        elif transpose:
            expected = reference.published_conv_transpose(alone, kernel, bias, groups=groups)
        else:
            keras = np.moveaxis(kernel, (0, 1), (-1, -2))
            expected = reference.published_conv(alone, keras, bias)
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@both
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("transpose", [False, True])
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_convolutions_channel_by_channel(
    data: st.DataObject, transpose: bool, rank: int, projection: Projection
) -> None:
    """Grouped ones, biases that are zero or missing, strides, pads and dilations among them."""
    case = data.draw(convolutions(rank, transpose=transpose))
    check_convolution(case, projection, transpose=transpose)


@both
def test_depthwise_convolution(projection: Projection) -> None:
    case = {
        "groups": 4, "j": 4, "c": 8, "kernel": [3, 2], "size": [7, 6], "strides": [2, 1],
        "dilations": [1, 2], "pads": [1, 1, 1, 1], "bias": "random", "seed": 3,
    }  # fmt: skip
    check_convolution(case, projection, transpose=False)


@both
@pytest.mark.parametrize(
    ("op", "given_", "shape"),
    [
        ("MaxPool", {"kernel_shape": [2, 2]}, (3, 6, 5)),
        ("AveragePool", {"kernel_shape": [2, 2, 2]}, (2, 4, 5, 3)),
        ("MaxPool", {"kernel_shape": [3]}, (4, 9)),
    ],
)
def test_layers_without_a_kernel_are_divided_evenly(
    op: str, given_: dict[str, Any], shape: tuple[int, ...], projection: Projection
) -> None:
    node = helper.make_node(op, ["x"], ["layer:0"], name="layer", **given_)
    proto = make_model([node], {"x": ["batch", *shape]}, ["layer:0"])
    sample = random_array(7, *shape)
    found = assert_sums(micam_fast.load_model(proto), sample, projection)["layer"]
    (activation,) = run(proto, {"x": sample[np.newaxis]}, "layer:0")
    for part, alone in zip(found, channels_alone(channels_last(activation)), strict=True):
        np.testing.assert_allclose(part, reference.mean_map(alone), rtol=1e-6, atol=1e-7)


@both
@pytest.mark.parametrize("memory", [None, 1])
def test_sources_that_are_no_layer_and_slices(memory: int | None, projection: Projection) -> None:
    """Behind a Transpose what a convolution reads is no layer's activation."""
    constants = {
        "w": random_array(1, 4, 2, 3, 3), "v": random_array(2, 5, 4, 2, 2),
        "b": random_array(3, 5), "scale": random_array(4, 4), "shift": random_array(5, 4),
        "mean": random_array(6, 4), "variance": np.ones(4, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Transpose", ["x"], ["moved"], perm=[0, 3, 1, 2]),
        conv_node("first", "moved", "w", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization", ["first:0", "scale", "shift", "mean", "variance"], ["bn"],
            name="bn",
        ),
        helper.make_node("Relu", ["bn"], ["relu"], name="relu"),
        helper.make_node("MaxPool", ["relu"], ["pool"], name="pool", kernel_shape=[2, 2]),
        conv_node("second", "pool", "v", "b"),
        helper.make_node("GlobalAveragePool", ["second:0"], ["average"], name="average"),
    ]  # fmt: skip
    proto = make_model(nodes, {"x": ["n", 9, 11, 2]}, ["average"], constants)
    model = micam_fast.load_model(proto, memory=memory)
    assert_sums(model, random_array(8, 9, 11, 2), projection)


@both
def test_one_dimensional_convolution_as_a_flat_two_dimensional_one(projection: Projection) -> None:
    constants = {
        "w": random_array(1, 3, 2, 1, 3), "b": random_array(2, 3, 1), "axis": np.array([2]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["wide"]),
        conv_node("conv", "wide", "w", strides=[1, 2]),
        helper.make_node("Squeeze", ["conv:0", "axis"], ["thin"]),
        helper.make_node("Add", ["thin", "b"], ["sum"], name="add"),
        helper.make_node("Relu", ["sum"], ["relu"], name="relu"),
    ]
    proto = make_model(nodes, {"x": ["n", 2, 12]}, ["relu"], constants)
    found = assert_sums(micam_fast.load_model(proto), random_array(3, 2, 12), projection)
    assert found["conv"].shape == (3, 1, 12 if projection == "transposed" else 5)


@both
def test_the_demo(demo_model: Model, projection: Projection) -> None:
    found = assert_sums(demo_model, np.load(DIGITS)[3], projection)
    assert {name for name, parts in found.items() if parts.ndim == 1} == {
        "flatten", "dense_1", "relu_3", "dense_2", "softmax",
    }  # fmt: skip


@pytest.mark.no_jit
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, without the JIT
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_channel_that_is_not_finite_is_alone(bad: float) -> None:
    activation = random_array(1, 3, 4, 5)
    activation[1, 2, 3] = bad
    found = contribute(activation, mean_taps(3, 4, 5))
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2]], activation[[0, 2]] / 3, rtol=1e-6)


def test_a_value_that_no_cell_depends_on_is_not_passed_over() -> None:
    """A convolution by 1 x 1 makes a border of its padding alone."""
    geometry = Geometry(False, (1, 1), (1, 1), (1, 1, 1, 1), 1)
    kernel = sum_kernel(np.ones((2, 1, 1, 1), np.float32), None, geometry)
    tap = Tap("v", Axes(0, 1), geometry=geometry, source="s")
    taps = find_taps(tap, (6, 6), 2, kernel, (1, 1, 4, 4), "transposed")
    activation = random_array(1, 2, 6, 6)
    activation[0, 0, 0] = np.nan
    found = contribute(activation, taps)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], activation[1, 1:5, 1:5] / 2, rtol=1e-6)


def test_wrong_use(demo_model: Model) -> None:
    with pytest.raises(ValueError, match="unknown projection: 'odd'"):
        demo_model.contributions([], copies, projection="odd")  # type: ignore[arg-type]
    (found,) = demo_model.contributions([np.zeros((2, 2), np.float32)], copies)
    assert isinstance(found, SampleError)


def test_shares_of_the_energy() -> None:
    parts = random_array(1, 5, 3, 4)
    shares = energy_shares(parts)
    cam = parts.sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(shares, [(p * cam).sum() / (cam**2).sum() for p in parts])
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert energy_shares(np.stack([3 * parts[0], -parts[0]])) == pytest.approx([1.5, -0.5])


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_shares_do_not_depend_on_the_size(size: float) -> None:
    parts = random_array(1, 5, 3, 4)
    scaled = (parts * np.float32(size)).astype(np.float32)
    np.testing.assert_allclose(energy_shares(scaled), energy_shares(parts), rtol=1e-4, atol=1e-6)


def test_shares_without_energy_or_finite_values() -> None:
    np.testing.assert_array_equal(energy_shares(np.zeros((3, 2, 2), np.float32)), np.zeros(3))
    parts = random_array(1, 4, 2, 2)
    rest = energy_shares(parts[[0, 1, 3]])
    parts[2, 1, 1] = np.nan
    np.testing.assert_array_equal(energy_shares(parts), [*rest[:2], np.nan, rest[2]])
