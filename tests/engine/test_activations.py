"""Activations of every layer, as ONNX Runtime gives them out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import micam_fast
from micam_fast.api.model import Model
from micam_fast.core.errors import LayerSelectionError, SampleError
from micam_fast.demo import DIGITS, MODEL
from micam_fast.engine.activations import ActivationStream, LayerActivation
from tests.helpers.activations import copies
from tests.helpers.models import conv_net, make_model, random_array, two_input_net


def by_onnxruntime(proto: onnx.ModelProto, model: Model, feeds: dict[str, Any]) -> dict[str, Any]:
    """Each layer's value, made an output of the model."""
    values = {name: model.graph.taps[name].value for name in model.mapped}
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    made = {name for node in whole.graph.node for name in node.output}
    del whole.graph.output[:]
    wanted = sorted(set(values.values()) & made)
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    arrays = {**feeds, **dict(zip(wanted, session.run(wanted, feeds), strict=True))}
    return {name: arrays[value] for name, value in values.items()}


def test_every_layer_of_the_demo() -> None:
    model = micam_fast.load_model(MODEL)
    digit = np.load(DIGITS)[4]
    (found,) = model.activations([digit], copies)
    assert not isinstance(found, SampleError)
    spec = model.inputs[0]
    expected = by_onnxruntime(onnx.load(MODEL), model, {spec.name: digit[np.newaxis]})
    assert list(found) == [layer.name for layer in model.layers]
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[name][0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("memory", [None, 1])
def test_slices_give_the_same(memory: int | None) -> None:
    digit = np.load(DIGITS)[4]
    (whole,) = micam_fast.load_model(MODEL).activations([digit], copies)
    (found,) = micam_fast.load_model(MODEL, memory=memory).activations([digit], copies)
    assert not isinstance(whole, SampleError)
    assert not isinstance(found, SampleError)
    assert found.keys() == whole.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, whole[name], rtol=1e-5, atol=1e-5)


def test_channels_come_first_whatever_the_layout() -> None:
    kernel = random_array(1, 3, 2, 3, 3)
    nodes = [
        onnx.helper.make_node("Transpose", ["x"], ["moved"], perm=[0, 3, 1, 2]),
        onnx.helper.make_node("Conv", ["moved", "kernel"], ["y"], name="conv"),
        onnx.helper.make_node("Transpose", ["y"], ["back"], perm=[0, 2, 3, 1]),
        onnx.helper.make_node("Relu", ["back"], ["z"], name="relu"),
        onnx.helper.make_node("Flatten", ["z"], ["flat"], name="flatten"),
    ]
    proto = make_model(nodes, {"x": ["n", 6, 5, 2]}, ["flat"], {"kernel": kernel})
    model = micam_fast.load_model(proto)
    sample = random_array(2, 6, 5, 2)
    (found,) = model.activations([sample], copies)
    assert not isinstance(found, SampleError)
    assert {name: array.shape for name, array in found.items()} == {
        "x": (2, 6, 5),
        "conv": (3, 4, 3),
        "relu": (3, 4, 3),
        "flatten": (36,),
    }
    np.testing.assert_array_equal(found["x"], np.moveaxis(sample, -1, 0))
    np.testing.assert_array_equal(found["relu"], np.maximum(found["conv"], 0))
    np.testing.assert_array_equal(found["flatten"], np.moveaxis(found["relu"], 0, -1).ravel())


def test_slots_keep_the_order_and_results_come_in_it() -> None:
    model = micam_fast.load_model(conv_net(), threads=3)
    samples = random_array(3, 20, *model.inputs[0].shape[1:])  # type: ignore[arg-type]
    seen: list[list[int]] = [[], [], []]

    def note(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> float:
        seen[slot].append(index)
        assert not isinstance(found, SampleError)
        return float(next(found).array.sum())

    sums = list(model.activations(samples, note))
    assert seen == [list(range(slot, 20, 3)) for slot in range(3)]
    first = [float(sample.sum()) for sample in samples]
    assert [pytest.approx(each, rel=1e-4, abs=1e-4) for each in first] == sums


def test_a_sample_that_does_not_fit_is_an_error_in_its_place() -> None:
    model = micam_fast.load_model(conv_net())
    good = random_array(3, *model.inputs[0].shape[1:])  # type: ignore[arg-type]
    told = SampleError("broken file")
    found = list(model.activations([good, good[..., :3], told, good], copies))
    assert [type(each) for each in found] == [dict, SampleError, SampleError, dict]
    assert "does not fit input" in str(found[1])
    assert found[2] is told


def test_layers_can_be_chosen() -> None:
    model = micam_fast.load_model(MODEL)
    digit = np.load(DIGITS)[0]
    (found,) = model.activations([digit], copies, layers="conv_*")
    assert not isinstance(found, SampleError)
    assert list(found) == ["conv_1", "conv_2"]
    with pytest.raises(LayerSelectionError, match="no layer matches 'nothing'"):
        list(model.activations([digit], copies, layers="nothing"))


def test_several_inputs() -> None:
    model = micam_fast.load_model(two_input_net())
    sample = {
        spec.name: random_array(i, *spec.shape[1:])  # type: ignore[arg-type]
        for i, spec in enumerate(model.inputs)
    }
    (found,) = model.activations([sample], copies)
    assert not isinstance(found, SampleError)
    for spec in model.inputs:
        assert found[spec.name].size == sample[spec.name].size


def test_a_consumer_that_stops_early_leaves_the_model_usable() -> None:
    model = micam_fast.load_model(MODEL, memory=1)
    digits = np.load(DIGITS)
    stream = model.activations(digits, lambda index, slot, found: next(iter(found)).layer)  # type: ignore[arg-type]
    assert next(stream) == "image"
    stream.close()  # type: ignore[attr-defined]
    assert len(list(model.activations(digits, copies))) == len(digits)


def test_weights_of_a_convolution() -> None:
    model = micam_fast.load_model(MODEL)
    found = model.weights("conv_1")
    assert found is not None
    kernel, bias, geometry = found
    assert kernel.shape == model.layers[1].kernel_shape
    assert bias is not None
    assert bias.shape == kernel.shape[:1]
    assert geometry.groups == 1
    assert model.weights("relu_1") is None


# --- Streams beside and within each other -----------------------------------------------------


def total(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> float:
    """Sum of all activations."""
    assert not isinstance(found, SampleError)
    return float(sum(each.array.sum(dtype=np.float64) for each in found))


def within(seconds: float, run: Callable[[], Any]) -> Any:
    """What a function gives; one that waits for itself fails instead of waiting on."""
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(run()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, "it raised, or waits for itself"
    return done[0]


@pytest.fixture
def model() -> Model:
    """Two threads."""
    return micam_fast.load_model(conv_net(), threads=2)


@pytest.fixture
def samples(model: Model) -> NDArray[np.float32]:
    """Seven."""
    return random_array(4, 7, *model.inputs[0].shape[1:])  # type: ignore[arg-type]


@pytest.fixture
def totals(model: Model, samples: NDArray[np.float32]) -> list[float]:
    """Numbers of a stream that is alone."""
    return [float(each) for each in model.activations(samples, total)]  # type: ignore[arg-type]


def test_two_streams_side_by_side(
    model: Model, samples: NDArray[np.float32], totals: list[float]
) -> None:
    def run() -> list[Any]:
        streams = model.activations(samples, total), model.activations(samples[::-1], total)
        return list(zip(*streams, strict=True))

    assert within(20, run) == list(zip(totals, totals[::-1], strict=True))


def test_a_stream_that_was_left_halfway(
    model: Model, samples: NDArray[np.float32], totals: list[float]
) -> None:
    halfway = model.activations(samples, total)

    def run() -> list[Any]:
        return [next(halfway), *model.activations(samples, total), *halfway]

    assert within(20, run) == [totals[0], *totals, *totals[1:]]


def test_a_stream_within_a_stream(
    model: Model, samples: NDArray[np.float32], totals: list[float]
) -> None:
    def nested(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> Any:
        return next(model.activations([samples[index]], total))

    assert within(20, lambda: list(model.activations(samples, nested))) == totals


def test_explanations_within_activations_within_explanations(
    model: Model, samples: NDArray[np.float32]
) -> None:
    """All threads of the one wait for the other, which must not need them."""

    def inner(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> int:
        return len(model.explain(samples[index]).cams)

    def outer(index: int, found: Any) -> Any:
        return next(model.activations([samples[index]], inner))

    found = within(20, lambda: list(model.stream(samples, outer, batch_size=1)))
    assert found == [len(model.mapped)] * 7


def test_streams_of_several_threads(
    model: Model, samples: NDArray[np.float32], totals: list[float]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(lambda: list(model.activations(samples, total))) for _ in range(8)]
        assert [each.result(20) for each in running] == [totals] * 8


def test_threads_that_ask_at_once_share_the_sessions(
    model: Model, samples: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ActivationStream] = []

    def slow(*args: Any, **given: Any) -> ActivationStream:
        time.sleep(0.2)
        made.append(ActivationStream(*args, **given))
        return made[-1]

    monkeypatch.setattr("micam_fast.engine.loaded_model.ActivationStream", slow)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(lambda: list(model.activations(samples, total))) for _ in range(4)]
        for each in running:
            each.result(20)
    assert len(made) == 1


def test_an_error_ends_the_stream_alone(
    model: Model, samples: NDArray[np.float32], totals: list[float]
) -> None:
    def fail(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> float:
        if index == 3:
            raise KeyError("three")
        return total(index, slot, found)

    stream = model.activations(samples, fail)
    with pytest.raises(KeyError, match="three"):
        list(stream)
    assert list(model.activations(samples, total)) == totals
