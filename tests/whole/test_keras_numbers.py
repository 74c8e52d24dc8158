"""Maps of exported Keras models against the oracle, which Keras' own activations feed.

Activations come from a second Keras model over the layers' outputs, not from what the export noted.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast.core.choices import Projection
from micam_fast.diagrams.labels import label_lines
from micam_fast.models.keras import export_model, open_keras
from tests.helpers import keras_models, reference
from tests.helpers.comparing import assert_close, assert_colours
from tests.helpers.keras_layers import CONVOLUTIONS, OTHERS, needs_tensorflow
from tests.helpers.keras_models import exported
from tests.helpers.keras_oracle import adjoint_by_tape, expected_map, run_layers
from tests.helpers.models import Array, random_array
from tests.helpers.places import DATA
from tests.helpers.plain_runtime import run

pytestmark = needs_tensorflow


@functools.cache
def opened(name: str) -> tuple[Any, micam_fast.Model]:
    """A model as Keras and as micam-fast have it."""
    model, found = exported(name)
    return model, micam_fast.load_model(found.proto, threads=1)


def samples_of(model: Any) -> dict[str, Array]:
    """Noise for each input; small whole numbers where it takes such."""
    found = {}
    for seed, tensor in enumerate(model.inputs):
        noise = random_array(seed, *tensor.shape[1:])
        whole = "int" in tensor.dtype
        name = tensor._keras_history.operation.name
        found[name] = np.abs(noise * 3).astype(tensor.dtype) if whole else noise
    return found


def check_maps(
    model: Any,
    loaded: micam_fast.Model,
    samples: dict[str, Array],
    *,
    projection: Projection = "published",
    channels_first: bool = False,
) -> micam_fast.Explanation:
    """Every layer of a model against the oracle."""
    explanation = loaded.explain(samples, projection=projection)
    assert explanation.input_size == input_size(samples, channels_first=channels_first)
    runs = run_layers(model, *samples.values())
    assert set(explanation.cams) == set(runs)
    for name, found in runs.items():
        of = type(getattr(found.layer, "layer", found.layer)).__name__
        if projection == "transposed" and CONVOLUTION.fullmatch(of):
            expected = adjoint_by_tape(
                found.layer,
                found.activation,
                found.input_shape,
                channels_first=channels_first,
            )
        else:
            expected = expected_map(
                found.layer,
                found.activation,
                explanation.input_size,
                channels_first=channels_first,
            )
        assert_close(explanation.cams[name], expected)
    assert_colours(explanation)
    return explanation


def input_size(samples: dict[str, Array], *, channels_first: bool) -> tuple[int, int]:
    """``Hin x Win`` of SPEC section 1."""
    every = list(samples.values())
    first = next((each for each in every if each.ndim > 2), every[0])
    if first.ndim < 3:
        return 1, first.shape[0]
    sizes = first.shape[1:] if channels_first else first.shape[:-1]
    return sizes[-2], sizes[-1]


CONVOLUTION = re.compile(r"(|Depthwise|Separable)Conv[123]D(|Transpose)")


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *OTHERS])
def test_published_maps(name: str) -> None:
    model, loaded = opened(name)
    check_maps(model, loaded, samples_of(model))


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *filter(re.compile("time").match, OTHERS)])
def test_transposed_maps(name: str) -> None:
    model, loaded = opened(name)
    check_maps(model, loaded, samples_of(model), projection="transposed")


@pytest.mark.parametrize("name", keras_models.FUNCTIONAL)
def test_maps_of_joined_layers(name: str) -> None:
    model, loaded = opened(name)
    first = name == "channels_first"
    check_maps(model, loaded, samples_of(model), channels_first=first)


@pytest.mark.parametrize(
    "name",
    [
        "functional", "nested_deep", "nested_twice", "shared_layer", "operations",
        "two_outputs_layer", "channels_first",
    ],
)  # fmt: skip
def test_transposed_maps_of_joined_layers(name: str) -> None:
    model, loaded = opened(name)
    first = name == "channels_first"
    samples = samples_of(model)
    check_maps(model, loaded, samples, projection="transposed", channels_first=first)


def test_a_bias_of_zeros() -> None:
    """SPEC section 2: counts evenly, and the label says so."""
    import keras

    conv = keras.layers.Conv2D(3, 2, name="conv")
    model = keras.Sequential([keras.Input((5, 6, 2), name="x"), conv])
    loaded = micam_fast.load_model(export_model(model).proto, threads=1)
    explanation = check_maps(model, loaded, samples_of(model))
    assert explanation.maps["conv"].even_weights
    labels = label_lines(loaded.layers[1], explanation.maps["conv"])
    assert labels[-1] == "bias all zero: 1/C used"
    conv.bias.assign([0, 0.5, 0])
    loaded = micam_fast.load_model(export_model(model).proto, threads=1)
    explanation = check_maps(model, loaded, samples_of(model))
    assert not explanation.maps["conv"].even_weights


def test_a_layer_on_each_step_of_a_sequence() -> None:
    """Several samples in a batch, and what the label says."""
    model, loaded = opened("time_distributed_strided")
    samples = random_array(1, 4, *model.inputs[0].shape[1:])
    layer = next(each for each in loaded.layers if each.op_type == "TimeDistributed")
    name = layer.name
    for sample, found in zip(samples, loaded.explain_many(samples, batch_size=4), strict=True):
        run = run_layers(model, sample)[name]
        assert_close(found.cams[name], expected_map(run.layer, run.activation, (7, 6)))
        assert found.maps[name].copies == 3
        assert found.maps[name].shape == (None, 3, 4, 3, 3)
        assert "mean over 3 frames" in label_lines(layer, found.maps[name])


def test_maps_of_a_subclassed_model() -> None:
    """Its layers, called twice each, done by hand."""
    import keras

    model, loaded = opened("subclassed")
    sample = random_array(1, 8, 6, 3)
    cams = loaded.explain(sample).cams
    conv, values = model.conv, [sample[np.newaxis]]
    for _ in range(2):
        values.append(conv(values[-1]))
        values.append(keras.ops.relu(values[-1]))
    values.append(values[-1] + values[0])
    arrays = [np.asarray(value)[0] for value in values]
    calls = [None, conv, model.body.layers[0], conv, model.body.layers[0], model.add]
    for cam, layer, activation in zip(cams.values(), calls, arrays, strict=False):
        assert_close(cam, expected_map(layer, activation, (8, 6)))
    end = np.asarray(model(sample[np.newaxis]))[0]
    assert_close(cams["dense"], expected_map(model.dense, end, (8, 6)))


def test_maps_of_half_precision() -> None:
    """Frameworks round float16 apart, so the oracle gets what ONNX Runtime computed."""
    model, loaded = opened("half_precision")
    sample = random_array(1, 8, 6, 3)
    cams = loaded.explain(sample).cams
    assert list(cams) == [layer.name for layer in model.layers]
    for name in ("conv", "act", "pool"):
        (activation,) = run(
            exported("half_precision")[1].proto, {"picture": sample[np.newaxis]}, name
        )
        assert activation.dtype == np.float16
        last = np.moveaxis(activation[0], 0, -1)
        assert_close(cams[name], expected_map(model.get_layer(name), last, (8, 6)))
        by_keras = run_layers(model, sample)[name].activation
        np.testing.assert_allclose(last, by_keras, atol=2e-3 * np.abs(by_keras).max())


@pytest.mark.parametrize("name", ["ref_lenet", "ref_residual"])
def test_published_values(name: str) -> None:
    """From Keras file to colours, every layer that the published engine gave a value for."""
    model = open_keras(DATA / f"{name}.h5")
    loaded = micam_fast.load_model(export_model(model).proto)
    explanation = loaded.explain(np.load(DATA / f"{name}_sample.npy"))
    with np.load(DATA / f"{name}_expected.npz") as expected:
        published = [key.removeprefix("cam/") for key in expected if key.startswith("cam/")]
        assert list(explanation.cams) == [layer.name for layer in model.layers]
        assert set(published) == set(explanation.cams)
        low, high = expected["global_range"]
        assert explanation.global_range == pytest.approx((low, high), rel=1e-4)
        for layer in published:
            wanted = expected[f"cam/{layer}"]
            assert_close(explanation.cams[layer], wanted)
            assert explanation.ranges[layer] == pytest.approx(
                tuple(expected[f"range/{layer}"]), rel=1e-4, abs=1e-4 * float(np.abs(wanted).max())
            )
            tile = explanation.rgba[layer] / 255
            shown = reference.resize_nearest(tile, *explanation.input_size)
            assert np.abs(shown - expected[f"rgba/{layer}"]).max() <= 1 / 255
