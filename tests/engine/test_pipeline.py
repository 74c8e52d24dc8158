"""Which axis holds the samples, batches that must not run together, the memory bound."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import micam_fast
from micam_fast.core.errors import ModelError, SampleError
from micam_fast.engine import runner as running
from micam_fast.maps.taps import sum_kernel
from tests.helpers import reference
from tests.helpers.comparing import assert_close, assert_singles
from tests.helpers.models import centred, conv_net, conv_node, loop_body, make_model, random_array
from tests.helpers.plain_runtime import run

node = helper.make_node
IMAGE = {"x": ["N", 3, 6, 5]}
KERNEL = random_array(0, 4, 3, 3, 3)


def qkv() -> onnx.ModelProto:
    """Queries, keys and values as in timm: the first axis is 3, not the batch."""
    nodes = [
        node("MatMul", ["x", "w"], ["q"], name="dense"),
        node("Reshape", ["q", "s"], ["r"], name="reshape"),
        node("Transpose", ["r"], ["p"], name="perm", perm=[2, 0, 3, 1, 4]),
        node("Gather", ["p", "i"], ["o"], name="first", axis=0),
    ]
    constants = {
        "w": random_array(0, 6, 18),
        "s": np.array([0, 5, 3, 2, 3]),
        "i": np.array(0),
    }
    return make_model(nodes, {"x": ["N", 5, 6]}, ["o"], constants)


def softmax_over_batch() -> onnx.ModelProto:
    nodes = [
        conv_node("conv", "x", "w"),
        node("Softmax", ["conv:0"], ["o"], name="softmax", axis=0),
    ]
    return make_model(nodes, IMAGE, ["o"], {"w": KERNEL})


def normalized() -> onnx.ModelProto:
    """Mean and variance over the batch, too."""
    nodes = [
        conv_node("conv", "x", "w"),
        node("MeanVarianceNormalization", ["conv:0"], ["o"], name="norm"),
    ]
    return make_model(nodes, IMAGE, ["o"], {"w": KERNEL})


def running_sum() -> onnx.ModelProto:
    """Each sample gets the sum of those before it; the first one stays as it is."""
    nodes = [conv_node("conv", "x", "w"), node("CumSum", ["conv:0", "zero"], ["o"], name="sum")]
    return make_model(nodes, IMAGE, ["o"], {"w": KERNEL, "zero": np.array(0)})


def crnn(steps: int = 3) -> onnx.ModelProto:
    """A bidirectional LSTM on rows, its time axis first until the end."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w", "r"], ["y"], name="lstm", hidden_size=2, direction="bidirectional"),
        node("Transpose", ["y"], ["y2"], name="turn", perm=[0, 2, 1, 3]),
        node("Reshape", ["y2", "s"], ["f"], name="join"),
        node("MatMul", ["f", "d"], ["o"], name="dense"),
    ]
    constants = {
        "w": random_array(1, 2, 8, 4),
        "r": random_array(2, 2, 8, 2),
        "s": np.array([0, 0, -1]),
        "d": random_array(3, 4, 7),
    }
    return make_model(nodes, {"x": ["N", steps, 4]}, ["o"], constants)


def yields_sequence() -> onnx.ModelProto:
    """The first output is an LSTM's Y, time first."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w", "r"], ["y"], name="lstm", hidden_size=5),
    ]
    constants = {"w": random_array(1, 1, 20, 4), "r": random_array(2, 1, 20, 5)}
    return make_model(nodes, {"x": ["N", 4, 4]}, ["y"], constants)


@pytest.mark.parametrize("batch_size", [2, 3, 4, 8])
@pytest.mark.parametrize(
    "make", [qkv, centred, softmax_over_batch, normalized, running_sum, crnn, yields_sequence]
)
def test_batches_never_change_the_numbers(make: Any, batch_size: int) -> None:
    model = micam_fast.load_model(make())
    shape = [4 if size is None else size for size in model.inputs[0].shape[1:]]
    samples = random_array(7, 9, *shape)
    for sample, found in zip(
        samples, model.explain_many(samples, batch_size=batch_size), strict=True
    ):
        single = model.explain(sample)
        assert found.output is not None
        assert single.output is not None
        np.testing.assert_allclose(found.output, single.output, rtol=1e-4, atol=1e-5)
        for name, cam in single.cams.items():
            assert_close(found.cams[name], cam, 1e-5)


def test_the_output_is_proved_even_if_no_layer_that_mixes_is_mapped() -> None:
    samples = random_array(7, 4, 3, 6, 5)
    assert_singles(micam_fast.load_model(centred(), layers="conv"), samples, 4)


def test_mixing_that_spares_the_first_sample_is_found() -> None:
    assert_singles(micam_fast.load_model(running_sum()), random_array(7, 6, 3, 6, 5), 3)


@pytest.mark.parametrize("zeros", [False, True])
def test_samples_that_are_the_same_prove_nothing(zeros: bool) -> None:
    samples = random_array(7, 6, 3, 6, 5)
    samples[1] = samples[0]
    if zeros:
        samples[:2] = 0
        samples[:2, 0, 0, 0] = 1
    assert_singles(micam_fast.load_model(normalized()), samples, 2)


def test_a_sample_that_comes_again_does_not_put_off_the_proof() -> None:
    """The first and the last one are the same, but there is another between them."""
    loaded = micam_fast.load_model(conv_net())
    one, other = random_array(1, 2, 1, 8, 6)
    list(loaded.explain_many([one, other, one], batch_size=3))
    assert loaded.pipeline("published")._proved


def test_a_neighbour_that_is_not_finite_spoils_nothing() -> None:
    samples = random_array(7, 4, 3, 6, 5)
    samples[1] = np.nan
    model = micam_fast.load_model(normalized())
    found = list(model.explain_many(samples, batch_size=4))
    assert [each.maps["norm"].bad_values is None for each in found] == [True, False, True, True]


@pytest.mark.parametrize("make", [normalized, centred, running_sum])
def test_a_fixed_batch_whose_samples_mix_is_filled_with_each_alone(make: Any) -> None:
    model = make()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    assert_singles(micam_fast.load_model(model), random_array(7, 5, 3, 6, 5), 3)


def test_a_fixed_batch_beside_an_input_without_one() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        node("Relu", ["y"], ["r"], name="relu"),
        node("Mul", ["conv:0", "r"], ["o"], name="mul"),
    ]
    inputs = {"x": [3, 3, 6, 5], "y": [4, 1, 1]}
    loaded = micam_fast.load_model(make_model(nodes, inputs, ["o"], {"w": KERNEL}))
    samples = [{"x": random_array(i, 3, 6, 5), "y": random_array(9, 4, 1, 1)} for i in range(4)]
    for sample, found in zip(samples, loaded.explain_many(samples), strict=True):
        assert_close(found.cams["relu"], np.maximum(sample["y"], 0).mean(axis=0))
        assert_close(found.cams["mul"], loaded.explain(sample).cams["mul"], 1e-5)


def test_a_fixed_batch_that_is_merged_inside_is_told() -> None:
    nodes = [
        node("Reshape", ["x", "s"], ["r"], name="merge"),
        node("Relu", ["r"], ["o"], name="relu"),
    ]
    model = make_model(nodes, {"x": [3, 2, 6, 5]}, ["o"], {"s": np.array([6, 1, 6, 5])})
    loaded = micam_fast.load_model(model)
    with pytest.raises(SampleError, match=r"batch of 3 is not an axis of its own in 'r'.*export"):
        loaded.explain(random_array(1, 2, 6, 5))


def test_a_plan_is_made_anew_if_only_the_source_changes_its_size() -> None:
    """Sizes 7 and 8 give a convolution of stride 2 the same output, but not the same input."""
    kernel = random_array(1, 2, 1, 2, 2)
    model = make_model(
        [conv_node("conv", "x", "w", strides=[2, 2])], {"x": ["N", 1, "h", "v"]}, ["conv:0"],
        {"w": kernel},
    )  # fmt: skip
    loaded = micam_fast.load_model(model, layers="conv")
    for size in (6, 7):
        found = loaded.explain(random_array(2, 1, size, size), projection="transposed")
        assert found.cams["conv"].shape == (size, size)


def test_few_sets_of_sessions_are_kept() -> None:
    nodes = [conv_node("c0", "x", "w", pads=[1] * 4)]
    nodes += [conv_node(f"c{i}", f"c{i - 1}:0", "v", pads=[1] * 4) for i in range(1, 8)]
    constants = {"w": random_array(1, 4, 1, 3, 3), "v": random_array(2, 4, 4, 3, 3)}
    model = make_model(nodes, {"x": ["N", 1, "h", "v_"]}, ["c7:0"], constants)
    loaded = micam_fast.load_model(model, memory=4000)
    whole = micam_fast.load_model(model)
    for size in range(6, 30, 2):
        sample = random_array(size, 1, size, size)
        for name, cam in whole.explain(sample).cams.items():
            assert_close(loaded.explain(sample).cams[name], cam, 1e-5)
    opened = loaded.pipeline("published").sessions._opened
    assert len(opened) <= 3
    assert max(len(bounds) for bounds, _ in opened) > 2


def test_mixing_is_found_even_if_the_layer_that_mixes_is_not_mapped() -> None:
    model = micam_fast.load_model(centred(), layers="conv,sub")
    samples = random_array(7, 4, 3, 6, 5)
    for sample, found in zip(samples, model.explain_many(samples, batch_size=4), strict=True):
        assert_close(found.cams["sub"], model.explain(sample).cams["sub"], 1e-5)


def test_time_first_layers_after_a_recurrent_one_are_strips() -> None:
    sample = random_array(4, 3, 4)
    explanation = micam_fast.explain(crnn(), sample)
    joined, dense = run(crnn(), {"x": sample[np.newaxis]}, "f", "o")
    assert_close(explanation.cams["join"], reference.mean_map(joined[:, 0]))
    assert_close(explanation.cams["dense"], reference.mean_map(dense[:, 0]))


def test_a_reshape_to_pictures_in_a_channels_last_model() -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        conv_node("conv", "t", "w", pads=[1, 1, 1, 1]),
        node("Transpose", ["conv:0"], ["back"], perm=[0, 2, 3, 1]),
        node("Reshape", ["back", "s"], ["o"], name="reshape"),
    ]
    constants = {"w": KERNEL, "s": np.array([-1, 3, 10, 4])}
    model = make_model(nodes, {"x": ["N", 6, 5, 3]}, ["o"], constants)
    sample = random_array(4, 6, 5, 3)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "o")
    assert_close(
        micam_fast.explain(model, sample).cams["reshape"], reference.mean_map(activation[0])
    )


def test_weights_that_could_be_fed_are_left_so_where_the_runtime_errs_otherwise() -> None:
    """It takes a pool with ceil_mode for wider than it is, as soon as it knows what follows."""
    nodes = [
        node("MaxPool", ["x"], ["pool"], kernel_shape=[2, 1], strides=[1, 2], ceil_mode=1),
        node("Resize", ["pool", "", "scales"], ["large"], name="large"),
        node("Flatten", ["large"], ["flat"]),
        node("MatMul", ["flat", "w"], ["o"], name="dense"),
    ]
    held = {"w": random_array(0, 48, 4), "scales": np.array([1, 1, 2, 2], np.float32)}
    model = make_model(nodes, {"x": [1, 2, 3, 6]}, ["o"], held)
    sample = random_array(1, 2, 3, 6)
    with pytest.raises(ModelError, match="Incompatible dimensions"):
        micam_fast.load_model(model)
    for name, array in held.items():
        model.graph.input.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        )
    (expected,) = run(model, {"x": sample[np.newaxis]}, "o")
    found = micam_fast.explain(model, sample)
    assert found.output is not None
    assert_close(found.output, expected[0])


def test_attention_is_a_mean_over_its_heads() -> None:
    nodes = [
        node("MatMul", ["q", "k"], ["scores"], name="scores"),
        node("Softmax", ["scores"], ["o"], name="softmax", axis=-1),
    ]
    model = make_model(nodes, {"q": ["N", 2, 5, 4], "k": ["N", 2, 4, 5]}, ["o"])
    sample = {"q": random_array(1, 2, 5, 4), "k": random_array(2, 2, 4, 5)}
    (activation,) = run(model, {n: a[np.newaxis] for n, a in sample.items()}, "o")
    found = micam_fast.explain(model, sample).cams["softmax"]
    assert_close(found, activation[0].mean(axis=0))


@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_one_dimensional_convolutions_behind_unsqueeze(
    projection: Any, axis: int, size: int, channels_last: bool
) -> None:
    """The axis that was put in is the one that goes, even if the kernel is 1 along both."""
    kernel_size, strides = [1, 1], [1, 1]
    kernel_size[3 - axis], strides[3 - axis] = size, 2
    constants = {
        "w": random_array(1, 6, 3, *kernel_size),
        "b": random_array(2, 6) if channels_last else random_array(2, 6, 1),
        "axis": np.array([axis]),
        "last": np.array([axis - 1]),
    }
    nodes = [
        node("Unsqueeze", ["x", "axis"], ["wide"]),
        conv_node("conv", "wide", "w", strides=strides),
    ]
    if channels_last:
        nodes += [
            node("Transpose", ["conv:0"], ["moved"], perm=[0, 2, 3, 1]),
            node("Squeeze", ["moved", "last"], ["thin"]),
        ]
    else:
        nodes.append(node("Squeeze", ["conv:0", "axis"], ["thin"]))
    nodes.append(node("Add", ["thin", "b"], ["o"], name="add"))
    model = make_model(nodes, {"x": ["N", 3, 8]}, ["o"], constants)
    sample = random_array(3, 3, 8)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "o")
    last = activation[0] if channels_last else np.moveaxis(activation[0], 0, -1)
    kernel = constants["w"].reshape(6, 3, size)
    bias = constants["b"].reshape(-1)
    found = micam_fast.load_model(model, layers="conv").explain(sample, projection=projection)
    if projection == "published":
        expected = reference.published_conv(last, np.moveaxis(kernel, (0, 1), (-1, -2)), bias)
    else:
        expected = reference.adjoint_map(
            last, kernel, bias, input_size=(8,), strides=(2,), pads_begin=(0,), dilations=(1,),
            groups=1, transpose=False,
        )  # fmt: skip
    assert_close(found.cams["conv"], expected)


def test_an_input_without_a_batch_axis() -> None:
    nodes = [
        node("Unsqueeze", ["x", "zero"], ["b"]),
        conv_node("conv", "b", "w"),
        node("Squeeze", ["conv:0", "zero"], ["s"]),
        node("Relu", ["s"], ["o"], name="relu"),
    ]
    model = make_model(nodes, {"x": [3, 6, 5]}, ["o"], {"w": KERNEL, "zero": np.array([0])})
    samples = random_array(1, 3, 3, 6, 5)
    loaded = micam_fast.load_model(model)
    for sample, found in zip(samples, loaded.explain_many(samples, batch_size=2), strict=True):
        (activation,) = run(model, {"x": sample}, "o")
        assert found.input_size == (6, 5)
        assert_close(found.cams["x"], sample.mean(axis=0))
        assert_close(found.cams["relu"], activation.mean(axis=0))


def test_further_inputs_without_a_batch_axis() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        node("Mul", ["conv:0", "mask"], ["m"], name="mul"),
        node("Add", ["m", "shift"], ["o"], name="add"),
    ]
    inputs: dict[str, Any] = {**IMAGE, "mask": [4, 1, 1], "shift": []}
    model = make_model(nodes, inputs, ["o"], {"w": KERNEL})
    sample = {
        "x": random_array(1, 3, 6, 5),
        "mask": random_array(2, 4, 1, 1),
        "shift": np.array(2, np.float32),
    }
    (activation,) = run(model, {**sample, "x": sample["x"][np.newaxis]}, "o")
    for found in micam_fast.load_model(model).explain_many([sample, sample]):
        assert_close(found.cams["add"], activation[0].mean(axis=0))


def test_a_first_output_of_one_number() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        node("ReduceMean", ["conv:0"], ["o"], name="mean", axes=[1, 2, 3], keepdims=0),
    ]
    loaded = micam_fast.load_model(make_model(nodes, IMAGE, ["o"], {"w": KERNEL}))
    samples = random_array(1, 3, 3, 6, 5)
    for sample, found in zip(samples, loaded.explain_many(samples), strict=True):
        assert found.output is not None
        assert found.output.shape == ()
        assert found.prediction is None
        single = loaded.explain(sample).output
        assert single is not None
        assert found.output == pytest.approx(single)


def test_a_model_whose_first_output_does_not_depend_on_the_input() -> None:
    nodes = [conv_node("conv", "x", "w"), node("Identity", ["w"], ["fixed"])]
    model = make_model(nodes, IMAGE, ["fixed", "conv:0"], {"w": KERNEL})
    explanation = micam_fast.explain(model, random_array(1, 3, 6, 5))
    assert list(explanation.cams) == ["x", "conv"]
    assert explanation.output is not None
    assert explanation.output.shape == (4, 4, 3)


def test_an_output_does_not_keep_its_batch_alive() -> None:
    model = micam_fast.load_model(conv_net())
    found = list(model.explain_many(random_array(1, 4, 1, 8, 6), batch_size=4))
    assert all(each.output is not None and each.output.base is None for each in found)


def test_a_convolution_of_unknown_rank_keeps_its_bias() -> None:
    body = loop_body(node("Identity", ["state"], ["next"]))
    nodes = [
        node("Loop", ["times", "yes", "x"], ["l"], name="loop", body=body),
        conv_node("conv", "l", "w"),
        node("Add", ["conv:0", "b"], ["o"], name="add"),
    ]
    constants = {
        "times": np.array(1),
        "yes": np.array(True),
        "w": KERNEL,
        "b": random_array(2, 4, 1, 1),
    }
    model = make_model(nodes, IMAGE, ["o"], constants)
    sample = random_array(1, 3, 6, 5)
    (activation,) = run(model, {"x": sample[np.newaxis]}, "o")
    loaded = micam_fast.load_model(model, memory=300)
    explanation = loaded.explain(sample)
    assert list(explanation.cams) == ["x", "loop", "conv"]
    expected = reference.published_conv(
        np.moveaxis(activation[0], 0, -1),
        np.moveaxis(KERNEL, (0, 1), (-1, -2)),
        constants["b"].reshape(-1),
    )
    assert_close(explanation.cams["conv"], expected)
    # Its sizes are learned from the first run, and say how many may run together. They cut nothing:
    # what runs first must not have other bits than what runs later.
    sessions = loaded.pipeline("published").sessions
    assert sessions.size({"x": (1, 3, 6, 5)}, 1) > 300
    np.testing.assert_array_equal(loaded.explain(sample).cams["conv"], explanation.cams["conv"])
    assert len(sessions._opened) == 1


def test_kernels_are_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: Any) -> Any:
        calls.append(1)
        return sum_kernel(*given)

    monkeypatch.setattr(running, "sum_kernel", counted)
    shape = ["N", 3, "height", "width"]
    model = make_model([conv_node("conv", "x", "w")], {"x": shape}, ["conv:0"], {"w": KERNEL})
    loaded = micam_fast.load_model(model)
    for size in (6, 7, 8):
        loaded.explain(random_array(1, 3, size, size))
    list(loaded.explain_many(random_array(1, 5, 3, 9, 9), batch_size=2))
    assert len(calls) == 1


def test_a_model_that_fails_in_batches_is_not_tried_again() -> None:
    nodes = [
        node("Reshape", ["x", "one"], ["flat"], name="flat"),
        node("Gemm", ["flat", "w"], ["o"], name="dense"),
    ]
    constants = {"one": np.array([1, -1]), "w": random_array(1, 90, 4)}
    loaded = micam_fast.load_model(make_model(nodes, IMAGE, ["o"], constants))
    assert len(list(loaded.explain_many(random_array(1, 6, 3, 6, 5), batch_size=3))) == 6
    assert loaded.pipeline("published")._alone


def test_long_chains_of_constants() -> None:
    nodes = [node("Neg", ["w0"], ["w1"])]
    nodes += [node("Neg", [f"w{i}"], [f"w{i + 1}"]) for i in range(1, 2000)]
    nodes.append(conv_node("conv", "x", "w2000"))
    model = make_model(nodes, IMAGE, ["conv:0"], {"w0": KERNEL})
    sample = random_array(1, 3, 6, 5)
    plain = make_model([conv_node("conv", "x", "w")], IMAGE, ["conv:0"], {"w": KERNEL})
    np.testing.assert_array_equal(
        micam_fast.explain(model, sample).cams["conv"],
        micam_fast.explain(plain, sample).cams["conv"],
    )


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_bound_holds() -> None:
    """21 convolutions of 32 x 512 x 512: 700 MB of activations, a bound of 100 MB."""
    code = """
import sys
from pathlib import Path
import numpy as np, micam_fast
from tests.helpers.models import conv_node, make_model, random_array
nodes, constants, last = [], {}, "x"
for i in range(21):
    constants[f"w{i}"] = random_array(i, 32, 32, 1, 1, spread=0.1)
    nodes.append(conv_node(f"c{i}", last, f"w{i}"))
    last = f"c{i}:0"
model = make_model(nodes, {"x": ["N", 32, 512, 512]}, [last], constants)
loaded = micam_fast.load_model(model, memory=int(sys.argv[1]))
sample = random_array(1, 32, 512, 512)
def peak():
    # Not ru_maxrss: that begins with what the parent process had.
    (line,) = [l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l]
    return int(line.split()[1]) * 1024
before = peak()
for _ in range(2):
    loaded.explain(sample)
print(peak() - before)
"""
    used = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(memory)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for memory in (100_000_000, 10_000_000_000)
    ]
    assert used[0] < 500_000_000
    assert used[1] > 2 * used[0]


def test_a_slice_that_ends_in_a_sequence() -> None:
    nodes = [
        conv_node("conv", "x", "w"),
        node("Relu", ["conv:0"], ["r"], name="relu"),
        node("SplitToSequence", ["r"], ["parts"], name="split", axis=1),
    ]
    model = make_model(nodes, IMAGE, ["conv:0"], {"w": KERNEL})
    model.graph.output.append(
        helper.make_value_info(
            "parts",
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)),
        )
    )
    sample = random_array(1, 3, 6, 5)
    whole = micam_fast.explain(model, sample)
    sliced = micam_fast.load_model(model, memory=64).explain(sample)
    assert list(whole.cams) == list(sliced.cams) == ["x", "conv", "relu"]
    for name, cam in whole.cams.items():
        np.testing.assert_array_equal(sliced.cams[name], cam)
