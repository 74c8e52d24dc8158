"""Layers that follow from another one's activation: which they are, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st

import micam_fast
from micam_fast import MicamError
from micam_fast.core.layers import Pointwise
from micam_fast.models.onnx import open_model, read_layers
from tests.helpers.chains import (
    BATCH_NORM,
    CHANNELS,
    CONV,
    NORM,
    READ,
    SAMPLE,
    build,
    check,
    check_one,
    floats,
    load,
    op,
    per_channel,
)
from tests.helpers.models import Array, random_array

# --- Numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [8, 9, 13, 14, 15, 21])
def test_batch_normalization_and_relu(opset: int) -> None:
    norm = op("BatchNormalization", "conv scale shift mean variance", "norm", epsilon=0.01)
    model = build(CONV, norm, op("Relu", "norm", "relu"), opset=opset)
    check_one(model, "norm relu")


@pytest.mark.parametrize(
    "shape", [(3, 9), (3, 6, 7), (3, 4, 5, 6), (3, 1), (3, 1, 1), (3, 1, 1, 1)]
)
def test_activations_of_every_rank(shape: tuple[int, ...]) -> None:
    kernel = random_array(0, CHANNELS, 3, *(1 for _ in shape[1:]))
    model = build(
        op("Conv", "x w", "conv"), BATCH_NORM, op("Relu", "norm", "relu"), shape=shape, w=kernel
    )
    check_one(model, "norm relu", random_array(2, *shape))


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("size", [(1, 1), (3, 513), (40, 30)])
def test_any_number_of_channels_and_of_pixels(channels: int, size: tuple[int, int]) -> None:
    kernel = random_array(0, channels, 3, 3, 3)
    model = build(
        CONV,
        op("Mul", "conv c", "mul"),
        op("Add", "mul d", "add"),
        op("Relu", "add", "relu"),
        shape=(3, *size),
        w=kernel,
        c=random_array(8, channels, 1, 1),
        d=random_array(9, channels, 1, 1),
    )
    # Numbers for each of several channels are a batch normalization, which is one layer.
    followers = "add relu" if channels > 1 else "mul add relu"
    check_one(model, followers, random_array(2, 3, *size))


@pytest.mark.parametrize("words", ["read c", "c read"])
@pytest.mark.parametrize("kind", ["Mul", "Add", "Sub", "Div"])
@pytest.mark.parametrize("shape", [(CHANNELS, 1, 1), (1, CHANNELS, 1, 1), (), (1,), (1, 1, 1)])
def test_constants_on_either_side(kind: str, words: str, shape: tuple[int, ...]) -> None:
    """A constant minus or by the value is none of them."""
    follows = words == "read c" or kind in ("Mul", "Add")
    nodes = [CONV, READ, op(kind, words, "layer"), op("Relu", "layer", "relu")]
    check_one(build(*nodes, c=per_channel(*shape)), "layer relu" if follows else "relu")


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 7), (7,), (1, 1, 6, 1), (CHANNELS, 6, 7), (1, CHANNELS, 1, 7)]
)
def test_constants_that_are_not_per_channel(shape: tuple[int, ...]) -> None:
    check_one(build(CONV, op("Mul", "conv c", "mul"), c=per_channel(*shape)), "")


def test_a_constant_that_makes_the_channels() -> None:
    """The operator makes five channels of one, so that nothing follows from that one."""
    model = build(op("Mul", "x c", "mul"), shape=(1, 6, 7), c=per_channel(CHANNELS, 1, 1))
    check_one(model, "", SAMPLE[:1])


def test_channels_that_are_not_known_may_be_one() -> None:
    model = build(
        op("Neg", "x", "neg"), op("Mul", "neg c", "mul"), op("Relu", "mul", "relu"),
        shape=("channels", 6, 7), c=per_channel(CHANNELS, 1, 1),
    )  # fmt: skip
    for sample in (SAMPLE[:1], random_array(2, CHANNELS, 6, 7)):
        check_one(model, "relu", sample)


def test_a_normalization_of_another_number_of_channels_is_left_to_onnx_runtime() -> None:
    """A file that is broken ends in ONNX Runtime's words, not in NumPy's."""
    model = build(CONV, BATCH_NORM, variance=np.ones(CHANNELS + 1, np.float32))
    with pytest.raises(MicamError, match="onnxruntime"):
        micam_fast.load_model(model).explain(SAMPLE)


def test_a_width_that_equals_the_channels() -> None:
    shape = (3, CHANNELS, CHANNELS)
    for size, follows in (((CHANNELS,), ""), ((CHANNELS, 1, 1), "mul")):
        model = build(CONV, op("Mul", "conv c", "mul"), shape=shape, c=per_channel(*size))
        check_one(model, follows, random_array(2, *shape))


@pytest.mark.parametrize("zero", [0, slice(None), slice(1, 3)])
def test_factors_of_zero_and_below(zero: Any) -> None:
    scale = -np.abs(NORM["scale"])
    scale[zero] = 0
    check_one(build(CONV, BATCH_NORM, op("Relu", "norm", "relu"), scale=scale), "norm relu")


def test_division_by_zero_is_left_to_onnx_runtime() -> None:
    divisor = np.array([1, 0, -2, 3, 4], np.float32).reshape(-1, 1, 1)
    check_one(build(CONV, op("Div", "conv c", "div"), op("Relu", "div", "relu"), c=divisor), "")


@pytest.mark.parametrize("sizes", [(3, None, None), (3, 6, None)])
def test_open_sizes(sizes: tuple[Any, ...]) -> None:
    named = [size or f"size{axis}" for axis, size in enumerate(sizes)]
    model = build(CONV, BATCH_NORM, op("Relu", "norm", "relu"), shape=named)
    loaded = load(model, "norm relu")
    for width in (7, 9, 7):
        sample = random_array(width, 3, 6, width)
        check(model, loaded.explain(sample), sample)


def test_an_open_number_of_channels() -> None:
    model = build(op("Mul", "x c", "mul"), op("Relu", "mul", "relu"), shape=("C", 6, 7), c=[2.0])
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(floats([2]), "c"))
    check_one(model, "")


@pytest.mark.parametrize("length", [1, 3, 12])
@pytest.mark.parametrize("name", NORM)
def test_a_normalization_of_other_channels_is_left_to_onnx_runtime(name: str, length: int) -> None:
    """It refuses such a model; nothing here may fail before it."""
    model = build(CONV, BATCH_NORM, op("Relu", "norm", "relu"))
    tensor = next(each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(floats([1] * length), name))
    assert "norm" not in read_layers(open_model(model)).pointwise
    with pytest.raises(MicamError):
        micam_fast.explain(model, SAMPLE)


# --- Relu and Clip --------------------------------------------------------------------------

BOUNDS = [(-0.5, 0.7), (0.0, 6.0), (None, 0.3), (-0.2, None), (None, None), (2.0, 2.0)]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
@pytest.mark.parametrize("form", ["initializers", "nodes", "attributes"])
def test_clip(low: float | None, high: float | None, form: str) -> None:
    bounds = {"min": low, "max": high}
    held: dict[str, Any] = {
        key: np.array(v, np.float32) for key, v in bounds.items() if v is not None
    }
    nodes = [CONV]
    if form == "attributes":
        given = {key: value for key, value in bounds.items() if value is not None}
        clip = op("Clip", "conv", "clip", **given)
    else:
        words = ["conv", *(key if key in held else "-" for key in bounds)]
        clip = op("Clip", " ".join(words), "clip")
    if form == "nodes":
        values = [onnx.numpy_helper.from_array(array) for array in held.values()]
        nodes += [
            op("Constant", "", key, value=value) for key, value in zip(held, values, strict=True)
        ]
        held = {}
    opset = 6 + 4 if form == "attributes" else 13
    model = build(*nodes, clip, opset=opset, **held)
    check_one(model, "clip")


def test_clip_whose_bounds_are_crossed_is_left_to_onnx_runtime() -> None:
    held: dict[str, Any] = {"low": np.array(1, np.float32), "high": np.array(-1, np.float32)}
    check_one(build(CONV, op("Clip", "conv low high", "clip"), **held), "")


def test_clip_by_what_the_sample_says() -> None:
    nodes = [CONV, op("ReduceMax", "x", "top", keepdims=0), op("Clip", "conv - top", "clip")]
    check_one(build(*nodes), "")


@pytest.mark.parametrize("first", ["Mul", "Add"])
def test_a_chain_swallows_no_clip_before_a_factor_or_a_summand(first: str) -> None:
    model = build(
        CONV,
        op("Relu", "conv", "relu"),
        op(first, "relu c", "scaled"),
        op("Relu", "scaled", "again"),
        op("Add", "again d", "last"),
        c=per_channel(CHANNELS, 1, 1) - np.float32(0.5),
        d=per_channel(1),
    )
    check_one(model, "relu again")


def test_a_clip_of_a_clip() -> None:
    held: dict[str, Any] = {
        key: np.array(v, np.float32) for key, v in (("a", -1), ("b", 0.5), ("c", 0.2))
    }
    model = build(
        CONV,
        op("Clip", "conv a b", "inner"),
        op("Relu", "inner", "middle"),
        op("Clip", "middle c -", "outer"),
        op("Clip", "conv c b", "near"),
        op("Clip", "near - a", "beyond"),
        **held,
    )
    model.graph.output.insert(0, onnx.ValueInfoProto(name="outer"))
    check_one(model, "inner middle outer near beyond")


# --- What is not finite ---------------------------------------------------------------------


def spoilt(*values: float) -> Array:
    """The sample with such values in single places."""
    sample = SAMPLE.copy()
    for place, value in enumerate(values):
        sample[place % 3, place, 2 * place % 7] = value
    return sample


@pytest.mark.parametrize("nodes", ["relu", "mul relu", "norm relu", "clip"])
@pytest.mark.parametrize(
    "values",
    [[np.nan], [np.inf], [-np.inf], [np.nan, -np.inf, np.inf, np.nan]],
    ids=["nan", "inf", "-inf", "all"],
)
def test_bad_values_are_counted_as_if_the_layer_had_been_read(
    nodes: str, values: list[float]
) -> None:
    made: Mapping[str, onnx.NodeProto] = {
        "mul": op("Mul", "x c", "mul"),
        "norm": op("BatchNormalization", "x c d d v", "norm"),
        "clip": op("Clip", "x low high", "clip"),
        "relu": op("Relu", nodes.split()[0] if " " in nodes else "x", "relu"),
    }
    constants: dict[str, Any] = {
        "c": np.array([2, -1, 0.5], np.float32),
        "d": np.array([0.1, 0.2, -0.3], np.float32),
        "v": np.ones(3, np.float32),
        "low": np.array(-1, np.float32),
        "high": np.array(2, np.float32),
    }
    if nodes.startswith("mul"):
        constants["c"] = constants["c"].reshape(3, 1, 1)
    model = build(*(made[name] for name in nodes.split()), **constants)
    sample = spoilt(*values)
    found = check_one(model, nodes, sample)
    for name in nodes.split():
        read = micam_fast.load_model(model, layers=name).explain(sample)
        assert found.maps[name].bad_values == read.maps[name].bad_values
        assert np.isnan(found.ranges[name]).all() == np.isnan(read.ranges[name]).all()


def test_relu_of_minus_infinity_is_finite() -> None:
    found = check_one(build(op("Relu", "x", "relu")), "relu", spoilt(-np.inf))
    assert found.maps["x"].bad_values == 1
    assert found.maps["relu"].bad_values is None


@pytest.mark.parametrize("bounds", ["low -", "- high"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_a_clip_with_one_bound_makes_infinities_finite(bounds: str, bad: float) -> None:
    """ONNX: a bound that is missing is the type's largest or smallest finite value."""
    held: dict[str, Any] = {"low": np.array(-1, np.float32), "high": np.array(1, np.float32)}
    model = build(op("Clip", f"x {bounds}", "clip"), shape=(8, 6, 7), **held)
    sample = random_array(1, 8, 6, 7)
    sample[1, 2, 3] = bad
    read = micam_fast.load_model(model, layers="clip").explain(sample)
    assert read.maps["clip"].bad_values is None
    assert load(model, "clip").explain(sample).maps["clip"].bad_values is None


def test_a_zero_times_infinity_is_counted() -> None:
    model = build(op("Mul", "x c", "mul"), op("Relu", "mul", "relu"), c=np.zeros(1, np.float32))
    found = check_one(model, "mul relu", spoilt(np.inf, 3))
    assert found.maps["relu"].bad_values == 1


# --- Random chains --------------------------------------------------------------------------

AFFINE = ("Mul", "Add", "Sub", "Div", "BatchNormalization")
CLIPS = ("Relu", "Clip")


def parts_of(kind: str, channels: int, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of the constants that an operator reads, in its order."""
    if kind == "BatchNormalization":
        return dict.fromkeys("sbmv", (channels,))
    if kind == "Clip":
        return dict.fromkeys("lh", ())
    return {"c": shape} if kind in AFFINE else {}


@st.composite
def chains(draw: st.DrawFn) -> tuple[onnx.ModelProto, str, Array]:
    """A model with a chain of layers, those that follow, and samples."""
    channels, spread = draw(st.integers(1, 6)), draw(st.integers(1, 2**20))
    size = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    # Where an input could have its channels last, only a convolution tells where they are.
    convolved = draw(st.booleans()) or len(size) == 1 or size[-1] in (1, 3, 4)
    inputs = 2 if convolved else channels
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {}
    last = "x"
    if convolved:
        nodes += [op("Conv", "x w", "conv"), op("Neg", "conv", "read")]
        constants["w"] = random_array(spread, channels, inputs, *(1 for _ in size))
        last = "read"
    followers: list[str] = []
    # Of the layers behind the one that is read: whether each adds, and whether one clips.
    adds: list[bool] = []
    clipped = False
    rng = np.random.default_rng(spread)
    kinds = st.sampled_from([*AFFINE, *CLIPS, "Identity", "Dropout"])
    for index, kind in enumerate(draw(st.lists(kinds, min_size=1, max_size=7))):
        name, words = f"{kind}{index}", [last]
        shapes = [(channels, *(1 for _ in size)), (1, channels, *(1 for _ in size)), (), (1,)]
        of_all = draw(st.sampled_from(shapes))
        for part, shape in parts_of(kind, channels, of_all).items():
            sign = 1.0 if part in "vh" else -1.0 if part == "l" else rng.choice([-1.0, 1.0])
            words.append(f"{part}{index}")
            constants[words[-1]] = floats(sign * rng.uniform(0.25, 2, shape))
        nodes.append(op(kind, " ".join(words), name))
        last = name
        # Nothing is folded over a clip, nor a factor over a summand.
        is_factor = kind in AFFINE and kind not in ("Add", "Sub")
        if (kind in AFFINE and clipped) or (is_factor and any(adds)):
            adds, clipped = [], False  # it is read, and others may follow from it
        elif kind != "Identity":
            clipped |= kind in CLIPS
            adds += [not is_factor] if kind in AFFINE else []
            followers.append(name)
    samples = random_array(spread + 1, 3, inputs, *size, spread=2)
    if draw(st.booleans()):
        samples.reshape(-1)[rng.integers(samples.size)] = rng.choice([np.nan, np.inf, -np.inf])
    nodes.append(op("Softplus", last, "end"))
    return build(*nodes, shape=(inputs, *size), **constants), " ".join(followers), samples


@given(chains(), st.sampled_from([None, 2, 3]))
@settings(deadline=None, max_examples=150)
def test_chains_of_layers(case: tuple[onnx.ModelProto, str, Array], batch: int | None) -> None:
    model, followers, samples = case
    loaded = load(model, followers)
    for sample, found in zip(samples, loaded.explain_many(samples, batch_size=batch), strict=True):
        check(model, found, sample)


def test_apply_is_what_the_loops_take_the_mean_of() -> None:
    numbers = Pointwise("v", floats([2, -1]), floats([1, 0]), 0.0, 3.0)
    array = floats([[[-1.0, 0.0, 5.0]], [[-1.0, float("inf"), float("nan")]]])
    expected = floats([[[0.0, 1.0, 3.0]], [[1.0, 0.0, float("nan")]]])
    np.testing.assert_array_equal(numbers.apply(array, 0), expected)
    np.testing.assert_array_equal(numbers.apply(np.moveaxis(array, 0, 2), 2)[..., 0], expected[0])
