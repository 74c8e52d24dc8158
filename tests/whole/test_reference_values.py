"""The published engine's own values, from ONNX files of its models in ``tests/data``.

``tools/make_reference_models.py`` made the files, and says which ONNX value is which Keras layer.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import micam_fast
from micam_fast._loops.colours import colour_maps
from tests.helpers import reference
from tests.helpers.places import DATA

LAYERS: dict[str, dict[str, str]] = json.loads((DATA / "reference_layers.json").read_text())
CASES = [(model, layer) for model, layers in LAYERS.items() for layer in layers]


@pytest.fixture(scope="module")
def explanations() -> dict[str, tuple[micam_fast.Model, micam_fast.Explanation]]:
    found = {}
    for name in LAYERS:
        model = micam_fast.load_model(DATA / f"{name}.onnx")
        found[name] = model, model.explain(np.load(DATA / f"{name}_sample.npy"))
    return found


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_published_values(
    name: str,
    layer: str,
    explanations: dict[str, tuple[micam_fast.Model, micam_fast.Explanation]],
) -> None:
    model, explanation = explanations[name]
    expected = np.load(DATA / f"{name}_expected.npz")
    taps = model.graph.taps
    (found,) = [key for key, tap in taps.items() if tap.value == LAYERS[name][layer]]
    cam = explanation.cams[found]
    wanted = expected[f"cam/{layer}"]
    assert cam.shape == wanted.shape
    assert np.abs(cam - wanted).max() <= 1e-4 * np.abs(wanted).max()

    # Colours with the reference's own global range: a plain ONNX file has other layers.
    low, high = (float(value) for value in expected["global_range"])
    rgba = np.empty((cam.size, 4), np.uint8)
    whole = np.array([[0, cam.size]], np.int64)
    colour_maps(whole, cam.reshape(-1), np.array([explanation.ranges[found]]), low, high, rgba)
    shown = reference.resize_nearest(rgba.reshape(*cam.shape, 4), *explanation.input_size)
    difference = np.abs(shown / 255 - expected[f"rgba/{layer}"])
    assert difference.max() <= 1 / 255


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_of_layer_is_compared(name: str) -> None:
    assert {"flatten", "dense"} <= set(LAYERS[name])
    assert any("conv" in layer for layer in LAYERS[name])
    assert any("pool" in layer or "max4" in layer for layer in LAYERS[name])


def test_nhwc_models_are_seen_through(
    explanations: dict[str, tuple[micam_fast.Model, micam_fast.Explanation]],
) -> None:
    model, explanation = explanations["ref_residual"]
    assert explanation.input_size == (32, 32)
    assert "Transpose" not in {layer.op_type for layer in model.layers}
    lenet, explained = explanations["ref_lenet"]
    assert explained.input_size == (28, 28)
    assert [layer.op_type for layer in lenet.layers] == [
        "Input", "Conv", "MaxPool", "Conv", "MaxPool", "Reshape", "MatMul", "Relu", "MatMul",
        "Softmax",
    ]  # fmt: skip
