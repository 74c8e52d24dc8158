"""Keras models that run a model on each frame of a clip, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.helpers.keras_oracle import shake_weights

FRAMES = 4
CLIP = (FRAMES, 8, 6, 2)


def picture_model() -> Any:
    """A functional model of one frame, with a shortcut and another model in it."""
    import keras

    layers = keras.layers
    x = keras.Input(CLIP[1:], name="inside")
    y = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv")(x)
    z = layers.BatchNormalization(name="norm")(y)
    acts = [layers.ReLU(max_value=0.5, name="act"), layers.Activation("tanh", name="tanh")]
    z = keras.Sequential(acts, name="inner")(z)
    z = layers.Add(name="sum")([y, z])
    return keras.Model(x, layers.GlobalAveragePooling2D(name="mean")(z), name="body")


def sequential_model() -> Any:
    """A sequential model of one frame, whose input is no layer of its own."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(CLIP[1:]),
            layers.Conv2D(3, (3, 2), strides=2, padding="same", name="conv"),
            layers.MaxPooling2D((2, 1), name="pool"),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.Flatten(name="flat"),
            layers.Dense(5, activation="tanh", name="dense"),
        ],
        name="body",
    )


def _behind(x: Any, frames: Any) -> Any:
    import keras

    y = keras.layers.LSTM(4, name="lstm")(frames)
    return _shaken(keras.Model(x, keras.layers.Dense(3, activation="softmax", name="out")(y)))


def _shaken(model: Any) -> Any:
    shake_weights(model)
    return model


def functional(frames: int | None = FRAMES) -> Any:
    """A classifier of clips."""
    import keras

    keras.utils.set_random_seed(3)
    x = keras.Input((frames, *CLIP[1:]), name="x")
    return _behind(x, keras.layers.TimeDistributed(picture_model(), name="each")(x))


def sequential() -> Any:
    """Another one."""
    import keras

    keras.utils.set_random_seed(4)
    x = keras.Input(CLIP, name="x")
    return _behind(x, keras.layers.TimeDistributed(sequential_model(), name="each")(x))


def open_number() -> Any:
    """Of any number of frames."""
    return functional(None)


def behind_a_layer() -> Any:
    """Frames of frames' own convolution, and the same model for two clips."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    x = keras.Input(CLIP, name="x")
    y = layers.TimeDistributed(layers.Conv2D(2, 3, padding="same", name="stem"), name="first")(x)
    each = layers.TimeDistributed(sequential_model(), name="each")
    ends = [each(x), each(y)]
    return _behind(x, layers.Concatenate(name="both")(ends))


def in_a_model() -> Any:
    """Within a nested model."""
    import keras

    keras.utils.set_random_seed(6)
    clip = keras.Input(CLIP, name="clip")
    each = keras.layers.TimeDistributed(sequential_model(), name="each")(clip)
    outer = keras.Model(clip, each, name="outer")
    x = keras.Input(CLIP, name="x")
    return _behind(x, outer(x))


MODELS: dict[str, Callable[[], Any]] = {
    make.__name__: make
    for make in (functional, sequential, open_number, behind_a_layer, in_a_model)
}
