"""Layers that follow from another one's activation: where they are computed, and when they are not.

Selections, slices, batches, projections, layouts in memory, element types.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import micam_fast
from micam_fast.core.choices import Projection
from tests.helpers import reference
from tests.helpers.chains import (
    BATCH_NORM,
    CHANNELS,
    CONV,
    KERNEL,
    SAMPLE,
    SHAPE,
    build,
    check,
    check_one,
    floats,
    load,
    op,
    per_channel,
)
from tests.helpers.comparing import assert_close
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.plain_runtime import run

RELU = op("Relu", "norm", "relu")
SAMPLES = random_array(12, 5, *SHAPE)
BRANCHES = "norm relu mul double clip"


def branches(blocks: int = 2) -> onnx.ModelProto:
    """Blocks of a convolution with five layers that follow from it, on several ways."""
    nodes, last = [], "x"
    constants: dict[str, Any] = {
        "c": per_channel(CHANNELS, 1, 1), "low": np.array(-0.3, np.float32),
        "high": np.array(0.4, np.float32), "two": np.array(2, np.float32),
    }  # fmt: skip
    for i in range(blocks):
        constants[f"w{i}"] = (
            KERNEL if i == 0 else random_array(i, CHANNELS, CHANNELS, 3, 3, spread=0.1)
        )
        nodes += [
            op("Conv", f"{last} w{i}", f"conv{i}", pads=[1, 1, 1, 1]),
            op("BatchNormalization", f"conv{i} scale shift mean variance", f"norm{i}"),
            op("Relu", f"norm{i}", f"relu{i}"),
            op("Mul", f"conv{i} c", f"mul{i}"),
            op("Mul", f"two mul{i}", f"double{i}"),
            op("Clip", f"double{i} low high", f"clip{i}"),
            op("Sum", f"relu{i} clip{i}", f"sum{i}"),
        ]
        last = f"sum{i}"
    return build(*nodes, **constants)


def numbered(blocks: int = 2) -> str:
    return " ".join(f"{name}{i}" for i in range(blocks) for name in BRANCHES.split())


def assert_alike(found: micam_fast.Explanation, expected: micam_fast.Explanation) -> None:
    assert list(found.cams) == list(expected.cams)
    for name, cam in expected.cams.items():
        assert_close(found.cams[name], cam, 1e-5)
        assert found.maps[name].shape == expected.maps[name].shape


# --- Selections -----------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["relu0", "relu0,norm0", "mul1,clip1", "relu0,conv1", "clip*"])
def test_without_its_leader_a_follower_is_read_itself(layers: str) -> None:
    whole = micam_fast.explain(branches(), SAMPLE)
    chosen = micam_fast.load_model(branches(), layers=layers)
    found = chosen.explain(SAMPLE)
    runner = chosen.pipeline("published")._runner
    assert not runner._pointwise
    assert set(found.cams) <= set(runner.sessions._wanted)
    check(branches(), found, SAMPLE)
    for name, cam in found.cams.items():
        assert_close(cam, whole.cams[name], 1e-5)


def test_with_its_leader_a_follower_is_computed() -> None:
    model = branches()
    chosen = micam_fast.load_model(model, layers="conv0,relu0,norm1")
    assert set(chosen.pipeline("published")._runner._pointwise) == {"relu0"}
    check(model, chosen.explain(SAMPLE), SAMPLE)


def test_the_prediction_is_given_out_though_it_follows() -> None:
    model = build(CONV, BATCH_NORM, RELU)
    found = check_one(model, "norm relu")
    (expected,) = run(model, {"x": SAMPLE[np.newaxis]}, "relu")
    assert found.output is not None
    np.testing.assert_allclose(found.output, expected[0], atol=1e-5)


# --- Slices, batches, threads, projections --------------------------------------------------


@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("memory", [None, 6000, 1])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_slices_and_batches(projection: Projection, memory: int | None, batch_size: int) -> None:
    """The transposed projection asks for the shape of what a convolution reads."""
    model = branches(4)
    loaded = load(model, numbered(4), memory=memory)
    for _ in range(2):
        found = loaded.explain_many(SAMPLES, batch_size=batch_size, projection=projection)
        for sample, each in zip(SAMPLES, found, strict=True):
            check(model, each, sample)
    opened = loaded.pipeline(projection).sessions._opened
    assert memory is None or max(len(parts) for parts in opened.values()) > 1


def test_a_convolution_reads_a_follower_under_the_transposed_projection() -> None:
    second = random_array(3, 2, CHANNELS, 3, 3)
    model = build(CONV, BATCH_NORM, RELU, op("Conv", "relu v", "last", strides=[2, 2]), v=second)
    assert_close(*_last_map(model, second, None))
    assert_close(*_last_map(model, second, 2000))


def _last_map(model: onnx.ModelProto, kernel: Array, memory: int | None) -> tuple[Array, Array]:
    loaded = load(model, "norm relu", memory=memory)
    found = loaded.explain(SAMPLE, projection="transposed")
    check(model, found, SAMPLE)
    (activation,) = run(model, {"x": SAMPLE[np.newaxis]}, "last")
    expected = reference.adjoint_map(
        np.moveaxis(activation[0], 0, -1), kernel, None, input_size=SHAPE[1:], strides=(2, 2),
        pads_begin=(0, 0), dilations=(1, 1), groups=1, transpose=False,
    )  # fmt: skip
    return found.cams["last"], expected


def test_any_number_of_threads_and_any_batch_gives_the_same_bits() -> None:
    expected = [load(branches(), numbered(), threads=1).explain(sample) for sample in SAMPLES]
    for threads in (1, 2, 3):
        loaded = load(branches(), numbered(), threads=threads)
        for batch_size in (1, 2, 5):
            found = loaded.explain_many(SAMPLES, batch_size=batch_size)
            for one, other in zip(found, expected, strict=True):
                for name, cam in other.cams.items():
                    np.testing.assert_array_equal(one.cams[name], cam)
                    np.testing.assert_array_equal(one.rgba[name], other.rgba[name])


def test_bad_values_of_one_sample_are_its_own() -> None:
    samples = SAMPLES.copy()
    samples[2, 0, 0, 0] = np.nan
    model = build(op("Mul", "x two", "mul"), op("Relu", "mul", "relu"), two=floats([2]))
    for batch_size in (1, 5):
        found = list(load(model, "mul relu").explain_many(samples, batch_size=batch_size))
        assert [each.maps["relu"].bad_values for each in found] == [None, None, 1, None, None]
        for sample, each in zip(samples, found, strict=True):
            check(model, each, sample)


def test_a_model_whose_batch_is_fixed() -> None:
    model = branches()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    free = micam_fast.load_model(branches())
    found = load(model, numbered()).explain_many(SAMPLES)
    for sample, each in zip(SAMPLES, found, strict=True):
        assert_alike(each, free.explain(sample))


def test_samples_that_mix_are_told_by_followers_too() -> None:
    """The scaled mean over the batch is taken off; the layer that follows from it is right."""
    average = op("ReduceMean", "conv", "average", axes=[0], keepdims=1)
    model = build(CONV, average, op("Sub", "conv average", "sub"), op("Relu", "sub", "relu"))
    loaded = load(model, "relu")
    found = loaded.explain_many(SAMPLES, batch_size=5)
    for sample, each in zip(SAMPLES, found, strict=True):
        check(model, each, sample)


# --- Leaders --------------------------------------------------------------------------------


def test_a_model_input_leads() -> None:
    nodes = [
        op("Div", "x std", "scaled"),
        op("Sub", "scaled mean", "centred"),
        op("Conv", "centred w", "conv"),
    ]
    held: dict[str, Any] = {
        "mean": per_channel(1, 3, 1, 1),
        "std": floats([1, 2, 3]).reshape(1, 3, 1, 1),
    }
    loaded = load(build(*nodes, **held), "scaled centred")
    for batch_size in (1, 4):
        found = loaded.explain_many(SAMPLES, batch_size=batch_size)
        for sample, each in zip(SAMPLES, found, strict=True):
            check(build(*nodes, **held), each, sample)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_values_far_from_zero_keep_their_digits(factor: float) -> None:
    """Air pressure in pascals, normalized as Keras' Normalization does, behind a factor or not."""
    nodes = [
        op("Mul", "x factor", "halved"),
        op("Sub", "x mean" if factor == 1 else "halved mean", "centred"),
        op("Div", "centred std", "scaled"),
        op("Sum", "scaled halved", "sum"),
    ]
    held: dict[str, Any] = {"factor": floats([factor]), "mean": floats([101325 * factor]),
                            "std": floats([10 * factor])}  # fmt: skip
    model = build(*nodes, shape=(1, 6, 7), **held)
    sample = random_array(3, 1, 6, 7, spread=10) + np.float32(101325)
    check(model, micam_fast.load_model(model).explain(sample), sample)


def test_an_input_of_pictures_with_channels_last() -> None:
    model = build(
        op("Mul", "x c", "mul"),
        op("Relu", "mul", "relu"),
        op("Transpose", "relu", "turned", perm=[0, 3, 1, 2]),
        op("Conv", "turned w", "conv"),
        shape=(6, 7, 3),
        c=floats([1, -2, 3]),
    )
    check_one(model, "mul relu", random_array(1, 6, 7, 3), channel=3)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_dense_layers_with_channels_last(rank: int) -> None:
    """A matrix product leaves its features last; its bias belongs to it."""
    size = (4, 3, 2)[: rank - 2]
    model = build(
        op("MatMul", "x m", "dense"),
        op("Add", "dense b", "biased"),
        op("Mul", "biased c", "mul"),
        op("Relu", "mul", "relu"),
        shape=(*size, 6),
        m=random_array(1, 6, 9),
        b=random_array(2, 9),
        c=random_array(3, 9),
    )
    sample = random_array(4, *size, 6)
    loaded = load(model, "relu mul")
    found = loaded.explain(sample)
    for name in ("relu", "mul"):
        (array,) = run(model, {"x": sample[np.newaxis]}, name)
        axes = loaded.graph.taps[name].axes
        assert axes.channel is not None
        expected = reference.mean_map(np.moveaxis(array, axes.channel, -1)[0])
        assert_close(found.cams[name], expected, 1e-5)


def test_a_bias_of_its_own_belongs_to_the_leader() -> None:
    bias = random_array(3, CHANNELS, 1, 1)
    model = build(CONV, op("Add", "conv b", "biased"), op("Relu", "biased", "relu"), b=bias)
    found = check_one(model, "relu", layers=["conv", "relu"])
    assert list(found.cams) == ["conv", "relu"]


@pytest.mark.parametrize("ratio", [[], ["ratio"], ["ratio", "no"]])
def test_identity_and_dropout_in_between(ratio: list[str]) -> None:
    model = build(
        CONV,
        op("Identity", "conv", "same"),
        op("Dropout", " ".join(["same", *ratio]), "dropped"),
        op("BatchNormalization", "dropped scale shift mean variance", "norm"),
        op("Dropout", "norm", "again"),
        op("Relu", "again", "relu"),
        ratio=np.array(0.4, np.float32),
        no=np.array(False),
    )
    check_one(model, "dropped norm again relu")


def test_a_dropout_that_drops_is_read() -> None:
    """In training mode it makes values of its own."""
    model = build(
        CONV,
        op("Dropout", "conv ratio yes", "dropped", seed=3),
        op("Relu", "dropped", "relu"),
        ratio=np.array(0.5, np.float32),
        yes=np.array(True),
    )
    assert "dropped" not in micam_fast.load_model(model).graph.pointwise


def test_the_mask_of_a_dropout_is_no_follower() -> None:
    drop = helper.make_node("Dropout", ["conv"], ["dropped", "mask"], name="dropped")
    nodes = [CONV, drop, op("Cast", "mask", "number", to=TensorProto.FLOAT),
             op("Mul", "number two", "mul"), op("Sum", "mul dropped", "sum")]  # fmt: skip
    check_one(build(*nodes, two=floats([2])), "dropped")


def test_no_batch_normalization_whose_numbers_are_computed() -> None:
    nodes = [op("ReduceMax", "x", "top", keepdims=0), op("Mul", "scale top", "scales")]
    norm = op("BatchNormalization", "conv scales shift mean variance", "norm")
    check_one(build(CONV, *nodes, norm, RELU), "relu", layers="conv,norm,relu")


def test_constants_from_nodes() -> None:
    value = numpy_helper.from_array(per_channel(CHANNELS, 1, 1))
    nodes = [op("Constant", "", "c", value=value), op("Neg", "c", "d"), CONV]
    check_one(build(*nodes, op("Mul", "conv d", "mul"), op("Relu", "mul", "relu")), "mul relu")


# --- Element types and ranks that are left alone -----------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_element_types_are_read(dtype: Any) -> None:
    target = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        op("Cast", "x", "cast", to=target),
        op("Mul", "cast c", "mul"),
        op("Relu", "mul", "relu"),
        op("Cast", "relu", "back", to=TensorProto.FLOAT),
        op("Neg", "back", "neg"),
        op("Relu", "neg", "last"),
    ]
    model = build(*nodes, c=per_channel(3, 1, 1).astype(dtype))
    found = load(model, "last").explain(SAMPLE)
    check(model, found, SAMPLE, tolerance=1e-3 if dtype == np.float16 else 1e-5)


@pytest.mark.parametrize("shape", [(6,), (2, 2, 2, 2, 3)])
def test_flat_layers_are_read(shape: tuple[int, ...]) -> None:
    model = build(op("Mul", "x c", "mul"), op("Relu", "mul", "relu"), shape=shape, c=[1.0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(floats([2]), "c"))
    sample = random_array(1, *shape)
    found = micam_fast.explain(model, sample)
    expected = reference.flat_map(np.maximum(2 * sample, 0), *found.input_size)
    np.testing.assert_array_equal(found.cams["relu"], expected)


def test_an_input_that_nothing_reads_may_change_its_size() -> None:
    """The memory of the others' activations is used again, but not for its map."""
    relu = helper.make_node("Relu", ["x"], ["relu"], name="relu")
    inputs = {"x": ["N", *SHAPE], "y": ["N", 2, "height", "width"]}
    loaded = micam_fast.load_model(make_model([relu], inputs, ["relu"]))
    for size in ((4, 4), (9, 7), (2, 8)):
        unread = random_array(1, 2, *size)
        found = loaded.explain({"x": SAMPLE, "y": unread})
        np.testing.assert_allclose(found.cams["y"], unread.mean(axis=0), atol=1e-6)


def test_numbers_are_the_same_after_a_second_reading() -> None:
    """The layers come from the cache then."""
    first, second = (load(branches(), numbered()).explain(SAMPLE) for _ in range(2))
    for name, cam in first.cams.items():
        np.testing.assert_array_equal(second.cams[name], cam)


def test_weights_that_differ_under_the_same_graph() -> None:
    """The cache knows layers by their graph; the numbers are the file's own."""
    for seed in (1, 2):
        large = random_array(seed, 4096, 1, 1)
        model = build(
            op("Mul", "x c", "mul"), op("Relu", "mul", "relu"), shape=(4096, 2, 2), c=large
        )
        check_one(model, "mul relu", random_array(3, 4096, 2, 2))
