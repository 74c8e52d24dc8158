"""Detectors, a channels-last classifier and a reader from packages, against the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import micam_fast
from tests.helpers.comparing import assert_close
from tests.helpers.file_oracle import FileLayer, FileOracle
from tests.helpers.measured_axes import Axes
from tests.helpers.models import Array
from tests.helpers.real_models import OTHER_KINDS, load

pytestmark = pytest.mark.slow

CHANNELS_FIRST: Axes = (0, 1)
CHANNELS_LAST_OF_3: Axes = (0, 2)
CHANNELS_LAST_OF_4: Axes = (0, 3)
POSITIONS = 20


def axes_of_detectors(layer: FileLayer, activation: Array) -> Axes | None:
    """Channels are first, but behind the Transposes of the first detector's outputs."""
    last = layer.node.op_type == "Softmax" and activation.ndim == 4
    return CHANNELS_LAST_OF_4 if last else CHANNELS_FIRST


def axes_of_squares(layer: FileLayer, activation: Array) -> Axes | None:
    """Pictures are square, and no stage of this network has as many channels as rows."""
    if activation.ndim < 4:
        return CHANNELS_FIRST
    _, first, middle, last = activation.shape
    assert (first == middle) != (middle == last), layer.value
    return CHANNELS_LAST_OF_4 if first == middle else CHANNELS_FIRST


def axes_of_reader(layer: FileLayer, activation: Array) -> Axes | None:
    """Pictures are channels first; tokens are ``(T, C)``, and ``(1, T, C)`` on the way back.

    What attention makes of 8 heads is left out.
    """
    if activation.ndim == 3:
        # No layer has as many channels as there are positions along the line.
        return CHANNELS_FIRST if activation.shape[2] == POSITIONS else CHANNELS_LAST_OF_3
    if activation.ndim != 4 or 8 in activation.shape[1:3]:
        return None
    return CHANNELS_LAST_OF_4 if layer.node.op_type == "Reshape" else CHANNELS_FIRST


AXES: dict[str, Callable[[FileLayer, Array], Axes | None]] = {
    "pnet": axes_of_detectors,
    "rnet": axes_of_detectors,
    "onet": axes_of_detectors,
    "open_nsfw": axes_of_squares,
    "rec": axes_of_reader,
}
PROBABILITIES = {"pnet": None, "rnet": "softmax_1", "onet": "softmax_2", "open_nsfw": "4195",
                 "rec": None}  # fmt: skip
"""The output that says a class; a map of them and a line of characters say none."""


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_layers_maps_output_and_prediction(name: str, tmp_path: Path) -> None:
    model, shape = load(name, tmp_path)
    sample = np.random.default_rng(1).random(shape, np.float32)
    oracle = FileOracle(model, sample)
    loaded = micam_fast.load_model(model)
    explanation = loaded.explain(sample)

    shown = {layer.name: oracle.layers[layer.onnx_name or ""] for layer in loaded.layers[1:]}
    assert oracle.must_be_layers() <= {layer.value for layer in shown.values()}
    compared = 0
    for layer_name, layer in shown.items():
        axes = AXES[name](layer, oracle.values[layer.value])
        if axes is None:
            continue
        compared += 1
        expected, slack = oracle.expected(layer, axes)
        np.testing.assert_allclose(
            explanation.cams[layer_name], expected, rtol=0, atol=slack, err_msg=layer_name
        )
    assert compared > 0.9 * len(shown)

    output = oracle.values[model.graph.output[0].name]
    assert explanation.output is not None
    assert_close(explanation.output.reshape(output.shape), output, 1e-5)

    says = PROBABILITIES[name]
    if says is None:
        assert explanation.prediction is None
    else:
        assert explanation.prediction is not None
        assert explanation.prediction.index == oracle.values[says].argmax()
        value = float(oracle.values[says].max())
        assert f"probability {value:.4f}" in str(explanation.prediction)


@pytest.mark.parametrize("name", ["cls", "det"])
def test_a_softmax_behind_an_identity_says_a_class_and_a_map_of_text_none(
    name: str, tmp_path: Path
) -> None:
    model, shape = load(name, tmp_path)
    sample = np.random.default_rng(1).random(shape, np.float32)
    found = micam_fast.explain(model, sample).prediction
    if name == "det":
        assert found is None
        return
    says = FileOracle(model, sample).values[model.graph.output[0].name]
    assert str(found) == f"class {says.argmax()}, probability {says.max():.4f}"
