"""Keras to ONNX: plain tf2onnx, which keeps the prediction alone, against the export of all layers.

What is timed begins with a Keras model in memory. Our figure includes the check of every layer
against Keras and the written file. Both results are compared with Keras before they count.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import micam_fast
from benchmarks.cases import describe, show_model

pytest.importorskip("tf2onnx", reason="needs the extra [tensorflow]")

SMALL = "MobileNet"
NAMES = [
    "lenet5", SMALL, "MobileNetV2", "ResNet50", "DenseNet121", "InceptionV3", "Xception", "VGG16",
    "EfficientNetB0", "NASNetMobile", "ConvNeXtTiny",
]  # fmt: skip


def build(name: str) -> Any:
    """A model for samples of 75 x 75, with random weights."""
    import keras

    keras.utils.clear_session()
    if name == "lenet5":
        from micam_fast.training.networks import build_network

        return build_network("lenet5", classes=10, height=75, width=75, channels=1)
    maker = getattr(keras.applications, name)
    return maker(weights=None, input_shape=(75, 75, 3), classes=10)


def by_tf2onnx(model: Any, path: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    shape = [None, *model.input_shape[1:]]
    tf2onnx.convert.from_keras(
        model, [tf.TensorSpec(shape, tf.float32, name="input")], output_path=str(path)
    )


def by_micam_fast(model: Any, path: Path) -> None:
    micam_fast.export(model, path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", [by_tf2onnx, by_micam_fast], ids=["tf2onnx", "micam-fast"])
@pytest.mark.parametrize("name", NAMES)
def test_export(
    benchmark: Any, name: str, way: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    if benchmark.disabled and name != SMALL:
        pytest.skip("timed with --benchmark-enable only")
    if name == "ConvNeXtTiny" and way is by_tf2onnx:
        pytest.skip("plain tf2onnx leaves TensorFlow's Erfc in the graph, which no one can run")
    model, path = build(name), tmp_path / "model.onnx"
    benchmark.group = name
    benchmark.pedantic(way, (model, path), rounds=1)
    sample = np.random.default_rng(0).random((1, *model.input_shape[1:]), np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (first, *_) = session.run(None, {session.get_inputs()[0].name: sample})
    np.testing.assert_allclose(first, model(sample, training=False), atol=1e-5)
    what = "tf2onnx" if way is by_tf2onnx else "micam-fast"
    describe(benchmark, "export", what, show_model(name, 75), layers=len(model.layers))
