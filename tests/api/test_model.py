"""The Python API: one sample, many samples, batches, slices, threads, odd models."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import micam_fast
from micam_fast.core.errors import LayerSelectionError, ModelError, SampleError
from micam_fast.maps.sample_maps import lift_ranges, sized_layer
from tests.helpers import reference
from tests.helpers.comparing import assert_same
from tests.helpers.models import (
    Array,
    conv_net,
    conv_node,
    if_branches,
    loop_body,
    make_model,
    random_array,
    single_conv,
)

node = helper.make_node
SAMPLES = random_array(9, 7, 1, 8, 6)


def deep_net(blocks: int = 4) -> onnx.ModelProto:
    """Residual blocks with normalization, so that fusions would change numbers."""
    nodes = []
    constants: dict[str, Any] = {"s": np.ones(8, np.float32), "z": np.zeros(8, np.float32)}
    constants["m"] = random_array(5, 8)
    constants["v"] = np.abs(random_array(6, 8)) + 0.5
    last = "x"
    for i in range(blocks):
        constants[f"w{i}"] = random_array(i, 8, 8, 3, 3, spread=0.2)
        nodes += [
            conv_node(f"conv{i}", last, f"w{i}", pads=[1, 1, 1, 1]),
            node("BatchNormalization", [f"conv{i}:0", "s", "z", "m", "v"], [f"bn{i}"]),
            node("Relu", [f"bn{i}"], [f"relu{i}"]),
            node("Add", [f"relu{i}", last], [f"add{i}"]),
        ]
        last = f"add{i}"
    nodes.append(node("GlobalAveragePool", [last], ["out"]))
    return make_model(nodes, {"x": ["batch", 8, 16, 16]}, ["out"], constants)


def test_explain_in_one_line() -> None:
    explanation = micam_fast.explain(conv_net(), SAMPLES[0])
    assert list(explanation.cams) == ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]
    assert explanation.cams["conv"].dtype == np.float32
    assert explanation.rgba["conv"].dtype == np.uint8
    assert explanation.rgba["conv"].shape == (*explanation.cams["conv"].shape, 4)
    assert explanation.prediction is not None
    assert explanation.prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_results_are_frozen() -> None:
    explanation = micam_fast.explain(conv_net(), SAMPLES[0])
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        explanation.sample = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        explanation.cams["conv"][0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        explanation.rgba["conv"][0, 0] = 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        explanation.cams["new"] = explanation.cams["conv"]  # type: ignore[index]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 7, 50])
def test_batches_give_what_single_samples_give(batch_size: int | None) -> None:
    model = micam_fast.load_model(conv_net())
    singles = [model.explain(sample) for sample in SAMPLES]
    together = list(model.explain_many(SAMPLES, batch_size=batch_size))
    assert len(together) == len(SAMPLES)
    for single, many in zip(singles, together, strict=True):
        assert_same(single, many)


def test_results_of_a_batch_do_not_share_memory_with_the_next() -> None:
    model = micam_fast.load_model(conv_net())
    first = model.explain(SAMPLES[0])
    before = {name: cam.copy() for name, cam in first.cams.items()}
    list(model.explain_many(SAMPLES[1:], batch_size=1))
    for name, cam in before.items():
        np.testing.assert_array_equal(first.cams[name], cam)


def test_explain_many_streams() -> None:
    taken = []

    def endless() -> Iterator[Array]:
        while True:
            taken.append(1)
            yield SAMPLES[0]

    found = micam_fast.load_model(conv_net(), threads=2).explain_many(endless(), batch_size=2)
    next(found)
    next(found)
    # A batch for each thread, and one that waits.
    assert len(taken) <= 6
    found.close()  # type: ignore[attr-defined]
    assert not list(found)


def test_samples_of_several_sizes() -> None:
    kernel = {"w": random_array(1, 2, 1, 3, 3)}
    model = make_model(
        [conv_node("conv", "x", "w")], {"x": ["b", 1, "h", "w_"]}, ["conv:0"], kernel
    )
    sizes = [(8, 6), (8, 6), (5, 9), (8, 6)]
    loaded = micam_fast.load_model(model)
    samples = [random_array(i, 1, *size) for i, size in enumerate(sizes)]
    for sample, found in zip(samples, loaded.explain_many(samples, batch_size=3), strict=True):
        assert found.input_size == sample.shape[1:]
        assert_same(found, loaded.explain(sample))


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        (np.zeros((1, 6, 8), np.float32), r"shape \(1, 6, 8\) does not fit .* shape \(1, 8, 6\)"),
        (np.zeros((2, 1, 8, 6), np.float32), "a batch of 2 samples was given as one"),
        ([[1, 2], [3]], "a sample is no array"),
        (np.array([["a"]]), "is no sample; numbers are expected"),
        ({"y": SAMPLES[0]}, "for the inputs y was given; the model's inputs are x"),
    ],
)  # fmt: skip
def test_samples_that_do_not_fit(sample: Any, match: str) -> None:
    model = micam_fast.load_model(conv_net())
    with pytest.raises(SampleError, match=match):
        model.explain(sample)


def test_a_failing_sample_does_not_stop_explain_each() -> None:
    model = micam_fast.load_model(conv_net())
    mixed = [SAMPLES[0], np.zeros(3, np.float32), SAMPLES[1]]
    found = list(model.explain_each(mixed))
    assert isinstance(found[1], SampleError)
    assert isinstance(found[0], micam_fast.Explanation)
    assert isinstance(found[2], micam_fast.Explanation)
    assert_same(found[2], model.explain(SAMPLES[1]))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (
            {"projection": "sideways"},
            r"unknown projection: 'sideways' \(must be one of published, t",
        ),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_arguments_are_checked(given: dict[str, Any], match: str) -> None:
    model = micam_fast.load_model(conv_net())
    with pytest.raises(ValueError, match=match):
        list(model.explain_many(SAMPLES, **given))
    with pytest.raises(ValueError, match=match):
        model.explain_each(SAMPLES, **given)  # before the first sample is asked for
    with pytest.raises(ValueError, match="memory must be at least 1 byte, not 0"):
        micam_fast.load_model(conv_net(), memory=0)
    with pytest.raises(ValueError, match="a mapping is one sample"):
        model.explain_many({"x": SAMPLES})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        micam_fast.load_model(conv_net(), threads=0)
    with pytest.raises(ModelError, match=r"unknown execution provider: 'NoSuch' \(must be one of"):
        micam_fast.load_model(conv_net(), providers=["NoSuch"])


def test_chosen_layers() -> None:
    model = micam_fast.load_model(conv_net(), layers="conv,p*")
    explanation = model.explain(SAMPLES[0])
    assert list(explanation.cams) == ["conv", "pool"]
    assert len(model.layers) == 7
    whole = micam_fast.explain(conv_net(), SAMPLES[0])
    np.testing.assert_array_equal(explanation.cams["pool"], whole.cams["pool"])
    low, high = reference.global_range(explanation.cams.values())
    assert explanation.global_range == (low, high)
    picked = micam_fast.load_model(conv_net(), layers=lambda layers: [layers[0].name])
    assert list(picked.explain(SAMPLES[0]).cams) == ["x"]
    assert list(micam_fast.load_model(conv_net(), layers=lambda _: "conv").mapped) == ["conv"]
    with pytest.raises(LayerSelectionError, match="no layer matches 'nope'"):
        micam_fast.load_model(conv_net(), layers=lambda _: ["nope"])
    with pytest.raises(LayerSelectionError, match=r"no layer matches 'cnv' \(near names: conv"):
        micam_fast.load_model(conv_net(), layers=["cnv"])


@pytest.mark.parametrize("slices", [2, 3, 7])
def test_slices_under_a_memory_bound_give_the_same_bits(slices: int) -> None:
    samples = random_array(3, 5, 8, 16, 16)
    whole = micam_fast.load_model(deep_net())
    activations = 13 * 8 * 16 * 16 * 4
    bound = micam_fast.load_model(deep_net(), memory=activations // slices)
    for sample in samples:
        assert_same(whole.explain(sample), bound.explain(sample))
    pipeline = bound.pipeline("published")
    opened = max(len(parts) for parts in pipeline.sessions._opened.values())
    assert opened >= slices
    for one, other in zip(
        whole.explain_many(samples, batch_size=2),
        bound.explain_many(samples, batch_size=2),
        strict=True,
    ):
        assert_same(one, other)


def test_slices_for_the_transposed_projection() -> None:
    sample = random_array(3, 8, 16, 16)
    whole = micam_fast.load_model(deep_net()).explain(sample, projection="transposed")
    bound = micam_fast.load_model(deep_net(), memory=50_000).explain(
        sample, projection="transposed"
    )
    assert_same(whole, bound)


def test_batch_size_keeps_to_the_memory_bound() -> None:
    shape = (8, 16, 16)
    free = micam_fast.load_model(deep_net()).pipeline("published")
    size = free.sessions.size({"x": (1, *shape)}, 1)
    for threads in (1, 2):
        # Each thread has a batch of its own.
        model = micam_fast.load_model(deep_net(), memory=3 * threads * size, threads=threads)
        pipeline = model.pipeline("published")
        sample = {"x": np.zeros(shape, np.float32)}
        assert pipeline.batch_size(sample, None) == 3
        # A batch is never what makes slices needed, whoever asks for it.
        assert pipeline.batch_size(sample, 6) == 3
        assert pipeline.batch_size(sample, 2) == 2


@pytest.mark.parametrize("projection", ["published", "transposed"])
def test_the_same_bits_from_one_and_two_threads_and_from_two_runs(projection: Any) -> None:
    samples = random_array(4, 3, 8, 16, 16)
    runs = [
        list(loaded.explain_many(samples, projection=projection))
        for loaded in (micam_fast.load_model(deep_net(), threads=t) for t in (1, 2, 2))
    ]  # fmt: skip
    for other in runs[1:]:
        for one, two in zip(runs[0], other, strict=True):
            assert_same(one, two)


def test_one_model_in_several_threads() -> None:
    model = micam_fast.load_model(deep_net())
    samples = random_array(4, 24, 8, 16, 16)
    expected = [model.explain(sample) for sample in samples]
    with ThreadPoolExecutor(6) as pool:
        for one, other in zip(expected, pool.map(model.explain, samples), strict=True):
            assert_same(one, other)


def test_a_model_with_a_fixed_batch_is_filled_up() -> None:
    fixed = conv_net()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")
    free = micam_fast.load_model(conv_net())
    found = list(micam_fast.load_model(fixed).explain_many(SAMPLES))
    for sample, each in zip(SAMPLES, found, strict=True):
        assert_same(each, free.explain(sample))


def test_a_model_that_cannot_take_batches_runs_one_by_one() -> None:
    """Its Reshape fixes the batch to 1, though the input leaves it open."""
    nodes = [
        node("Reshape", ["x", "one"], ["flat"], name="flat"),
        node("Relu", ["flat"], ["out"], name="relu"),
    ]
    model = make_model(nodes, {"x": ["b", 1, 8, 6]}, ["out"], {"one": np.array([1, -1])})
    loaded = micam_fast.load_model(model)
    for sample, found in zip(SAMPLES, loaded.explain_many(SAMPLES, batch_size=4), strict=True):
        np.testing.assert_array_equal(
            found.cams["relu"],
            reference.flat_map(np.maximum(sample, 0), 8, 6).astype(np.float32),
        )


def newest_opset() -> int:
    """The newest opset that the installed ONNX Runtime takes."""
    for opset in range(onnx.defs.onnx_opset_version(), 8, -1):
        model = conv_net()
        model.opset_import[0].version = opset
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options)
        except Exception:
            continue
        return opset
    raise AssertionError("no opset works")


def test_opsets_from_8_to_the_newest() -> None:
    expected = micam_fast.explain(conv_net(), SAMPLES[0])
    newest = newest_opset()
    assert newest >= 21
    for opset in range(8, newest + 1):
        model = conv_net()
        model.opset_import[0].version = opset
        found = micam_fast.explain(model, SAMPLES[0])
        np.testing.assert_allclose(found.cams["conv"], expected.cams["conv"], rtol=1e-5, atol=1e-5)
        assert list(found.cams) == list(expected.cams)


def test_open_sizes_of_inputs_are_filled_in_for_the_label() -> None:
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node("Relu", ["conv:0"], ["out"], name="relu"),
    ]
    shape = ["b", 1, "height", "width"]
    model = make_model(nodes, {"x": shape}, ["out"], {"w": random_array(1, 4, 1, 3, 3)})
    found = micam_fast.load_model(model)
    assert found.layers[1].output_shape == (None, 4, None, None)
    maps = found.explain(SAMPLES[0]).maps
    assert maps["conv"].input_shapes == ((None, 1, 8, 6),)
    assert maps["relu"].input_shapes == ((None, 4, 8, 6),)
    alone = micam_fast.load_model(model, layers="relu").explain(SAMPLES[0]).maps
    assert alone["relu"].input_shapes == ((None, 4, 8, 6),)
    left_out = sized_layer(found.layers[1], alone)
    assert (left_out.name, left_out.output_shape) == ("conv", (None, 4, 8, 6))


def test_outputs_without_values_have_the_shape_of_the_run() -> None:
    """Also where only the run tells that there are none."""
    nodes = [
        node("Relu", ["x"], ["relu"], name="relu"),
        node("Slice", ["relu", "zero", "zero", "two"], ["none"], name="slice"),
        node("Sigmoid", ["none"], ["out"], name="sigmoid"),
    ]
    held = {"zero": np.zeros(1, np.int64), "two": np.full(1, 2, np.int64)}
    model = micam_fast.load_model(make_model(nodes, {"x": ["N", 1, 8, 6]}, ["out"], held))
    maps = model.explain(SAMPLES[0]).maps
    assert set(maps) == {"x", "relu"}
    sliced, sigmoid = (sized_layer(layer, maps) for layer in model.layers[2:])
    assert sliced.output_shape == sigmoid.output_shape == (None, 1, 0, 6)
    assert sigmoid.input_shapes == ((None, 1, 0, 6),)


def test_several_inputs_and_outputs() -> None:
    nodes = [
        conv_node("conv", "x", "w", pads=[1, 1, 1, 1]),
        node("Add", ["conv:0", "y"], ["sum"], name="sum"),
        node("Relu", ["sum"], ["second"], name="relu"),
    ]
    model = make_model(
        nodes, {"x": ["b", 1, 8, 6], "y": ["b", 4, 8, 6]}, ["sum", "second"],
        {"w": random_array(1, 4, 1, 3, 3)},
    )  # fmt: skip
    sample = {"x": SAMPLES[0], "y": random_array(2, 4, 8, 6)}
    explanation = micam_fast.explain(model, sample)
    assert list(explanation.cams) == ["x", "y", "conv", "sum", "relu"]
    np.testing.assert_allclose(
        explanation.cams["y"], reference.mean_map(np.moveaxis(sample["y"], 0, -1)), rtol=1e-4,
        atol=1e-6,
    )  # fmt: skip
    with pytest.raises(SampleError, match="the inputs x was given; the model's inputs are x, y"):
        micam_fast.explain(model, SAMPLES[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, np.int8, np.int32, np.bool_])
def test_activations_of_other_types_are_cast(dtype: Any) -> None:
    target = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        node("Cast", ["x"], ["cast"], to=target),
        node("Concat", ["cast", "cast"], ["double"], name="concat", axis=1),
        node("Cast", ["double"], ["out"], to=TensorProto.FLOAT),
    ]
    model = make_model(nodes, {"x": ["b", 2, 8, 6]}, ["out"])
    sample = np.round(np.abs(random_array(1, 2, 8, 6, spread=20)))
    loaded = micam_fast.load_model(model)
    expected = reference.mean_map(np.moveaxis(np.concatenate([sample] * 2).astype(dtype), 0, -1))
    for found in loaded.explain_many([sample, sample, sample], batch_size=3):
        np.testing.assert_allclose(found.cams["concat"], expected, rtol=1e-5)


def test_quantized_convolution() -> None:
    """Activation and kernel count in their real units."""
    kernel = np.random.default_rng(1).integers(-9, 9, (3, 1, 3, 3)).astype(np.int8)
    constants: dict[str, Any] = {
        "xs": np.array(0.1, np.float32), "xz": np.array(3, np.uint8), "w": kernel,
        "ws": np.array([0.1, 0.2, 0.3], np.float32), "wz": np.zeros(3, np.int8),
        "ys": np.array(0.5, np.float32), "yz": np.array(7, np.uint8),
        "b": np.array([4, -3, 2], np.int32),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        node("QLinearConv", ["xq", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], name="c"),
        node("DequantizeLinear", ["y", "ys", "yz"], ["out"]),
    ]
    model = make_model(nodes, {"x": ["b", 1, 8, 6]}, ["out"], constants)
    tapped = make_model(nodes, {"x": ["b", 1, 8, 6]}, ["y"], constants, dtype=TensorProto.FLOAT)
    tapped.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    session = onnxruntime.InferenceSession(tapped.SerializeToString())
    (activation,) = session.run(None, {"x": SAMPLES[:1]})
    assert activation.dtype == np.uint8
    real = kernel * constants["ws"].reshape(3, 1, 1, 1)
    expected = reference.published_conv(
        (np.moveaxis(activation[0], 0, -1).astype(float) - 7) * 0.5,
        np.moveaxis(real, (0, 1), (-1, -2)),
        constants["b"] * constants["xs"] * constants["ws"],
    )
    explanation = micam_fast.explain(model, SAMPLES[0])
    assert list(explanation.cams) == ["x", "c"]
    np.testing.assert_allclose(explanation.cams["c"], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_layer_that_is_not_finite_takes_no_part(bad: float) -> None:
    """The second convolution's bias makes one channel bad; nothing else changes."""
    nodes = [
        conv_node("good", "x", "w", pads=[1, 1, 1, 1]),
        conv_node("bad", "x", "w", "b", pads=[1, 1, 1, 1]),
        node("Mul", ["bad:0", "zero"], ["nothing"], name="nothing"),
        node("Add", ["good:0", "nothing"], ["out"], name="sum"),
    ]
    constants = {
        "w": random_array(1, 4, 1, 3, 3),
        "b": np.array([1, bad, 2, 3], np.float32),
        "zero": np.zeros(1, np.float32),
    }
    explanation = micam_fast.explain(
        make_model(nodes, {"x": ["b", 1, 8, 6]}, ["out"], constants), SAMPLES[0]
    )
    assert explanation.maps["bad"].bad_values == 48
    assert not explanation.rgba["bad"].any()
    assert np.isnan(explanation.ranges["bad"]).all()
    alone = micam_fast.load_model(
        make_model(nodes[:1], {"x": ["b", 1, 8, 6]}, ["good:0"], constants)
    ).explain(SAMPLES[0])
    assert explanation.global_range == alone.global_range
    np.testing.assert_array_equal(explanation.rgba["good"], alone.rgba["good"])


def test_bad_values_outside_the_transposed_map_are_found() -> None:
    """Stride beyond the kernel with cropped edges: some outputs reach no cell of the input."""
    kernel = random_array(1, 1, 1, 1, 1)
    model = make_model(
        [conv_node("conv", "x", "w", strides=[3, 3], pads=[2, 2, 2, 2])],
        {"x": ["b", 1, 8, 6]}, ["conv:0"], {"w": kernel},
    )  # fmt: skip
    explanation = micam_fast.explain(model, SAMPLES[0])
    assert explanation.maps["conv"].bad_values is None
    transposed = micam_fast.load_model(model).explain(SAMPLES[0], projection="transposed")
    assert transposed.cams["conv"].shape == (8, 6)
    pool = make_model(
        [
            conv_node("conv", "x", "w", strides=[3, 3], pads=[2, 2, 2, 2]),
            node("Div", ["conv:0", "conv:0"], ["out"], name="div"),
        ],
        {"x": ["b", 1, 8, 6]}, ["out"], {"w": kernel},
    )  # fmt: skip
    found = micam_fast.explain(pool, SAMPLES[0])
    assert found.maps["div"].bad_values  # 0 / 0 where the kernel saw padding alone


def test_a_map_that_overflows_is_told_from_bad_activations() -> None:
    kernel = np.full((2, 1, 1, 1), 3e38, np.float32)
    model = make_model(
        [conv_node("conv", "x", "w")], {"x": ["b", 1, 2, 2]}, ["conv:0"], {"w": kernel}
    )
    explanation = micam_fast.explain(model, np.ones((1, 2, 2), np.float32))
    assert explanation.maps["conv"].bad_values == 0


def test_subgraphs_and_sequences() -> None:
    """An If is one layer; a sequence of tensors is none, but what is taken out of it is."""
    nodes = [
        node("Relu", ["x"], ["r"], name="relu"),
        node("SplitToSequence", ["r"], ["parts"], name="split", axis=1),
        node("SequenceAt", ["parts", "first"], ["part"], name="at"),
        node("ReduceMax", ["x"], ["top"], name="max", keepdims=0),
        node("Greater", ["top", "limit"], ["flag"], name="greater"),
        node("If", ["flag"], ["chosen"], name="if", **if_branches("r")),
        node("Add", ["chosen", "part"], ["out"], name="add"),
    ]  # fmt: skip
    constants = {"first": np.array(0), "limit": np.array(100, np.float32)}
    model = make_model(nodes, {"x": [1, 2, 8, 6]}, ["out"], constants)
    sample = random_array(1, 2, 8, 6)
    explanation = micam_fast.explain(model, sample)
    assert "split" not in explanation.cams
    np.testing.assert_allclose(
        explanation.cams["if"], np.maximum(sample, 0).mean(axis=0), rtol=1e-5, atol=1e-7
    )


def test_a_loop_is_one_layer() -> None:
    body = loop_body(node("Add", ["state", "state"], ["next"]))
    nodes = [node("Loop", ["times", "yes", "x"], ["out"], name="loop", body=body)]
    constants: dict[str, Any] = {"times": np.array(3), "yes": np.array(True)}
    model = make_model(nodes, {"x": ["b", 1, 8, 6]}, ["out"], constants)
    found = micam_fast.explain(model, SAMPLES[0])
    np.testing.assert_allclose(found.cams["loop"], SAMPLES[0, 0] * 8, rtol=1e-6)


def test_a_model_that_onnxruntime_refuses() -> None:
    model = conv_net()
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match=r"onnxruntime refuses model 'conv_net': .*NoSuchOperator"):
        micam_fast.load_model(model)


def test_a_sample_that_onnxruntime_cannot_run() -> None:
    nodes = [node("Gather", ["table", "x"], ["out"], name="gather")]
    model = make_model(nodes, {"x": ["b", 4]}, ["out"], {"table": random_array(1, 5, 3)},
                       dtype=TensorProto.INT64)  # fmt: skip
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    loaded = micam_fast.load_model(model)
    good, bad = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 99])
    found = list(loaded.explain_each([good, bad, good]))
    assert [isinstance(each, SampleError) for each in found] == [False, True, False]
    with pytest.raises(SampleError, match=r"onnxruntime cannot run x \(1, 4\): .*indices"):
        loaded.explain(bad)


def test_lifted_ranges() -> None:
    ranges = np.array([[-1, -0.99], [2, 2], [0, 0], [-3, 5], [np.nan, np.nan]])
    expected = [reference.published_range(np.array([[low, high]])) for low, high in ranges]
    np.testing.assert_allclose(lift_ranges(ranges), np.array(expected))


def test_doctests() -> None:
    import doctest

    from micam_fast.api import loading

    for module in (micam_fast, loading):
        result = doctest.testmod(module, extraglobs={"np": np})
        assert result.attempted
        assert not result.failed


def test_a_path_may_be_a_string_or_a_path(tmp_path: Path) -> None:
    onnx.save(conv_net(), tmp_path / "net.onnx")
    first = micam_fast.explain(tmp_path / "net.onnx", SAMPLES[0])
    second = micam_fast.explain(str(tmp_path / "net.onnx"), SAMPLES[0])
    assert first.scene.model == second.scene.model == "net"


@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("weights", [(np.inf, -np.inf, 1), (3e38, 3e38, 3e38)])
def test_weights_that_make_no_finite_map_print_nothing(
    weights: tuple[float, float, float], projection: Any
) -> None:
    """Two of the kernel and one of the bias: their sum is NaN, or their product too large."""
    kernel = np.tile(np.array(weights[:2], np.float32).reshape(1, 2, 1, 1), (3, 1, 2, 2))
    bias = np.full(3, weights[2], np.float32)
    model = single_conv(kernel, ["b", 2, 8, 6], bias)
    found = micam_fast.explain(model, random_array(1, 2, 8, 6), projection=projection)
    assert found.maps["conv"].bad_values
