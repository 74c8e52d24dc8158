"""Layers of a file that tf2onnx made of a Keras model by itself."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

import micam_fast
from micam_fast.core.layers import Layer
from tests.helpers.keras_layers import needs_tensorflow

pytestmark = needs_tensorflow


def nested(keras: Any) -> Any:
    """A convolution, a model that is called twice, one in another, a classifier."""
    layers = keras.layers

    def block(name: str, *around: Any) -> Any:
        given = layers.Input((8, 8, 4))
        found = layers.Conv2D(4, 3, padding="same", name="conv2d")(given)
        found = layers.BatchNormalization(name="bn")(found)
        found = layers.ReLU(name="relu")(found)
        for each in around:
            found = each(found)
        return keras.Model(given, found, name=name)

    given = layers.Input((8, 8, 3), name="image")
    found = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(given)
    twice = block("block_1")
    found = twice(twice(found))
    found = block("outer", block("inner"))(found)
    found = layers.LayerNormalization(name="ln")(found)
    found = layers.GlobalAveragePooling2D(name="gap")(found)
    return keras.Model(given, layers.Dense(3, name="fc")(found), name="net")


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    import keras
    import tensorflow
    import tf2onnx

    model = nested(keras)
    signature = (tensorflow.TensorSpec((None, 8, 8, 3), tensorflow.float32, name="image"),)
    function = tensorflow.function(lambda image: model(image), input_signature=signature)
    found, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
    assert isinstance(found, onnx.ModelProto)
    return found


@pytest.fixture(scope="module")
def layers(proto: onnx.ModelProto) -> tuple[Layer, ...]:
    return micam_fast.load_model(proto).layers


def test_layers_are_called_as_in_keras(layers: tuple[Layer, ...]) -> None:
    # tf2onnx folds the batch normalizations.
    assert [each.name for each in layers] == [
        "image", "stem/conv", "stem/relu", "block_1/conv2d", "block_1/relu", "block_1/conv2d#2",
        "block_1/relu#2", "outer/conv2d", "outer/relu", "outer/inner/conv2d", "outer/inner/relu",
        "ln", "gap", "fc",
    ]  # fmt: skip


def test_nested_models_are_frames(layers: tuple[Layer, ...]) -> None:
    around = {each.name: each.cluster for each in layers}
    assert set(around.values()) == {(), ("block_1",), ("outer",), ("outer", "outer/inner")}
    assert around["outer/inner/conv2d"] == ("outer", "outer/inner")
    assert around["stem/relu"] == ()


def test_names_of_onnx_stay_known(layers: tuple[Layer, ...]) -> None:
    assert layers[2].onnx_name == "net_1/stem_1/Relu"
