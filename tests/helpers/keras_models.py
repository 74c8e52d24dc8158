"""Small Keras models: one for each way in which layers can be joined.

TensorFlow is imported when a model is built, so collecting the tests that use it stays quick.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from micam_fast.models.keras import KerasExport, export_model
from tests.helpers import keras_layers
from tests.helpers.keras_oracle import shake_weights


def functional() -> Any:
    """A residual block with a classifier."""
    import keras

    layers = keras.layers
    x = keras.Input((8, 6, 3), name="picture")
    first = layers.Conv2D(4, 3, padding="same", name="first")(x)
    y = layers.BatchNormalization(name="norm")(first)
    y = layers.ReLU(name="act")(y)
    y = layers.Conv2D(4, (3, 2), padding="same", name="second")(y)
    y = layers.Add(name="sum")([y, first])
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    return _shaken(keras.Model(x, layers.Dense(5, "softmax", name="classes")(y), name="residual"))


def sequential() -> Any:
    """The usual small CNN, with its input."""
    import keras

    return _shaken(keras.Sequential([keras.Input((8, 6, 2), name="picture"), *_small_cnn()]))


def sequential_without_input() -> Any:
    """The same, built by its first call."""
    import keras
    import numpy as np

    model = keras.Sequential(_small_cnn())
    model(np.zeros((1, 8, 6, 2), np.float32))
    return _shaken(model)


def _small_cnn() -> list[Any]:
    import keras

    layers = keras.layers
    return [
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.MaxPooling2D(name="pool"),
        layers.Dropout(0.5, name="drop"),
        layers.Flatten(name="flat"),
        layers.Dense(3, name="dense"),
    ]


def encoder(name: str = "encoder") -> Any:
    """A functional model to be nested."""
    import keras

    x = keras.Input((8, 6, 3), name="inside")
    y = keras.layers.Conv2D(4, 3, name="conv")(x)
    return keras.Model(x, keras.layers.ReLU(name="act")(y), name=name)


def nested_functional() -> Any:
    """A functional model between two layers."""
    import keras

    x = keras.Input((8, 6, 3), name="picture")
    y = keras.layers.Conv2D(3, 1, name="stem")(x)
    y = encoder()(y)
    return _shaken(keras.Model(x, keras.layers.Flatten(name="flat")(y), name="outer"))


def nested_sequential() -> Any:
    """A sequential model within a functional one."""
    import keras

    layers = keras.layers
    body = keras.Sequential(
        [layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="act")], name="body"
    )
    x = keras.Input((8, 6, 3), name="picture")
    y = layers.Conv2D(3, 1, name="stem")(x)
    return _shaken(keras.Model(x, layers.Flatten(name="flat")(body(y)), name="outer"))


def functional_in_sequential() -> Any:
    """As transfer learning does it: a whole model first, a head behind it."""
    import keras

    layers = keras.layers
    head = [layers.GlobalAveragePooling2D(name="mean"), layers.Dense(2, name="dense")]
    return _shaken(keras.Sequential([keras.Input((8, 6, 3), name="picture"), encoder(), *head]))


def nested_deep() -> Any:
    """A model in a model in a model; layers of the same names in each."""
    import keras

    layers = keras.layers
    inner = keras.Sequential(
        [layers.Conv2D(3, 3, name="conv"), layers.ReLU(name="act")], name="inner"
    )
    x = keras.Input((8, 6, 3), name="inside")
    y = inner(layers.Conv2D(3, 1, name="conv")(x))
    middle = keras.Model(x, layers.ReLU(name="act")(y), name="middle")
    x = keras.Input((8, 6, 3), name="picture")
    y = middle(layers.Conv2D(3, 1, name="conv")(x))
    return _shaken(keras.Model(x, layers.ReLU(name="act")(y), name="outer"))


def nested_twice() -> Any:
    """One encoder for two pictures."""
    import keras

    shared = encoder()
    left, right = (keras.Input((8, 6, 3), name=name) for name in ("left", "right"))
    y = keras.layers.Subtract(name="difference")([shared(left), shared(right)])
    return _shaken(keras.Model([left, right], y, name="siamese"))


def nested_pair() -> Any:
    """A nested model with two inputs and two outputs."""
    import keras

    layers = keras.layers
    low, high = (keras.Input((8, 6, 2), name=name) for name in ("low", "high"))
    ends = [layers.Add(name="sum")([low, high]), layers.Conv2D(2, 1, name="conv")(high)]
    pair = keras.Model([low, high], ends, name="pair")
    x = keras.Input((8, 6, 2), name="picture")
    first, second = pair([layers.ReLU(name="act")(x), x])
    y = layers.Concatenate(name="join")([second, first])
    return _shaken(keras.Model(x, y, name="outer"))


def shared_layer() -> Any:
    """A convolution called three times, once on its own output."""
    import keras

    layers = keras.layers
    conv = layers.Conv2D(3, 3, padding="same", activation="tanh", name="shared")
    left, right = (keras.Input((8, 6, 3), name=name) for name in ("left", "right"))
    y = layers.Concatenate(name="join")([conv(conv(left)), conv(right)])
    return _shaken(keras.Model([left, right], y, name="sharing"))


def several() -> Any:
    """Two inputs of different kinds, three outputs, one of them from the middle."""
    import keras

    layers = keras.layers
    picture = keras.Input((8, 6, 1), name="picture")
    age = keras.Input((3,), name="age")
    conv = layers.Conv2D(2, 3, activation="relu", name="conv")(picture)
    flat = layers.Flatten(name="flat")(conv)
    both = layers.Concatenate(name="both")([flat, age])
    classes = layers.Dense(4, "softmax", name="classes")(both)
    value = layers.Dense(1, name="value")(both)
    return _shaken(keras.Model([picture, age], [classes, conv, value], name="several"))


def dictionaries() -> Any:
    """Inputs and outputs by name, in another order than that of the alphabet."""
    import keras

    layers = keras.layers
    wide = keras.Input((8, 6, 1), name="wide")
    deep = keras.Input((3,), name="deep")
    flat = layers.Flatten(name="flat")(layers.Conv2D(2, 3, name="conv")(wide))
    both = layers.Concatenate(name="both")([flat, deep])
    ends = {"z": layers.Dense(4, name="four")(both), "a": layers.Dense(2, name="two")(both)}
    return _shaken(keras.Model({"wide": wide, "deep": deep}, ends, name="dictionaries"))


def operations() -> Any:
    """Arithmetic between the layers, which Keras keeps as operations."""
    import keras

    x = keras.Input((8, 6, 3), name="picture")
    y = keras.layers.Conv2D(3, 3, padding="same", name="conv")(x)
    y = keras.ops.relu(x + y)
    y = 2.0 * y[:, 1:, ::2] - 1.0
    return _shaken(keras.Model(x, keras.layers.Flatten(name="flat")(y), name="operating"))


def passing() -> Any:
    """Layers that hand on what they were given."""
    import keras

    layers = keras.layers
    x = keras.Input((8, 6, 3), name="picture")
    y = layers.Dropout(0.5, name="first")(x)
    y = layers.Activation("linear", name="linear")(y)
    y = layers.Conv2D(3, 3, name="conv")(y)
    y = layers.SpatialDropout2D(0.5, name="spatial")(y)
    y = layers.Identity(name="same")(y)
    return _shaken(keras.Model(x, [y, layers.Flatten(name="flat")(y)], name="passing"))


def channels_first() -> Any:
    """Pictures with their channels before rows and columns."""
    import keras

    layers = keras.layers
    x = keras.Input((3, 8, 6), name="picture")
    # Of another number than columns: on a CPU, Keras 3.15 would add the bias along those.
    y = layers.Conv2D(5, 3, data_format="channels_first", name="conv")(x)
    y = layers.BatchNormalization(axis=1, name="norm")(y)
    y = layers.ReLU(name="act")(y)
    y = layers.MaxPooling2D(2, data_format="channels_first", name="pool")(y)
    y = layers.GlobalAveragePooling2D(data_format="channels_first", name="mean")(y)
    return _shaken(keras.Model(x, y, name="channels_first"))


def whole_numbers() -> Any:
    """Pictures of bytes."""
    import keras

    x = keras.Input((8, 6, 3), dtype="uint8", name="picture")
    y = keras.layers.Rescaling(1 / 255, name="scale")(x)
    return _shaken(keras.Model(x, keras.layers.Conv2D(2, 3, name="conv")(y), name="bytes"))


def half_precision() -> Any:
    """Computed in float16, weights kept in float32."""
    import keras

    layers = keras.layers
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x = keras.Input((8, 6, 3), name="picture")
        y = layers.Conv2D(4, 3, padding="same", name="conv")(x)
        y = layers.ReLU(name="act")(y)
        y = layers.MaxPooling2D(name="pool")(y)
        y = layers.Dense(3, dtype="float32", name="dense")(layers.Flatten(name="flat")(y))
    finally:
        keras.config.set_dtype_policy(policy)
    return _shaken(keras.Model(x, y, name="half"))


def subclassed() -> Any:
    """A model with a `call` of its own: a loop, a nested model, a call with a keyword."""
    import keras
    import numpy as np

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="net")
            self.conv = keras.layers.Conv2D(3, 3, padding="same", name="conv")
            self.body = keras.Sequential([keras.layers.ReLU(name="act")], name="body")
            self.add = keras.layers.Add(name="sum")
            self.dense = keras.layers.Dense(2, name="dense")

        def call(self, x: Any, training: bool = False) -> Any:
            y = x
            for _ in range(2):
                y = self.body(self.conv(y), training=training)
            y = self.add([y, x])
            return self.dense(inputs=keras.ops.mean(y, axis=(1, 2)))

    model = Net()
    model(np.zeros((1, 8, 6, 3), np.float32))
    return _shaken(model)


def two_outputs_layer() -> Any:
    """A class that returns two tensors, each read by another layer."""
    import keras

    @keras.saving.register_keras_serializable("micam_tests")
    class Halves(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x[..., :2], x[..., 2:]

    layers = keras.layers
    x = keras.Input((8, 6, 4), name="picture")
    low, high = Halves(name="halves")(x)
    ends = [layers.Conv2D(2, 3, name="low")(low), layers.Conv2D(2, 3, name="high")(high)]
    return _shaken(keras.Model(x, layers.Add(name="sum")(ends), name="splitting"))


def composite_layer() -> Any:
    """A layer made of layers: one node, its parts are none."""
    import keras

    class Block(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.conv = keras.layers.Conv2D(3, 3, padding="same")
            self.act = keras.layers.ReLU()

        def build(self, shape: Any) -> None:
            self.conv.build(shape)

        def call(self, x: Any) -> Any:
            return x + self.act(self.conv(x))

    x = keras.Input((8, 6, 3), name="picture")
    y = keras.layers.MaxPooling2D(name="pool")(Block(name="block")(x))
    return _shaken(keras.Model(x, y, name="composed"))


def sized_like() -> Any:
    """A layer that reads of another one how large it is, and nothing else."""
    import keras
    from keras import layers, ops

    class Enlarge(layers.Layer):  # type: ignore[misc]
        def call(self, small: Any, large: Any) -> Any:
            return ops.mean(small, axis=(1, 2), keepdims=True) + ops.zeros(ops.shape(large))

        def compute_output_shape(self, small_shape: Any, large_shape: Any) -> Any:
            return (*large_shape[:3], small_shape[-1])

    picture = keras.Input((None, None, 3), name="picture")
    large = layers.Conv2D(4, 3, padding="same", name="large")(picture)
    small = layers.Conv2D(4, 3, strides=2, padding="same", name="small")(picture)
    enlarged = Enlarge(name="enlarged")(small, large)
    return keras.Model(picture, layers.Add(name="sum")([large, enlarged]))


def masked() -> Any:
    """Words to an LSTM, padded; masks go beside the activations."""
    import keras

    layers = keras.layers
    words = keras.Input((7,), name="words", dtype="int32")
    y = layers.Embedding(11, 4, mask_zero=True, name="embed")(words)
    y = layers.LSTM(5, return_sequences=True, name="first")(y)
    y = layers.LSTM(3, name="second")(y)
    return _shaken(keras.Model(words, layers.Dense(2, name="dense")(y), name="words"))


def masked_series() -> Any:
    """Padded series to an LSTM."""
    import keras

    layers = keras.layers
    x = keras.Input((7, 3), name="series")
    y = layers.Masking(0.0, name="mask")(x)
    y = layers.LSTM(4, name="lstm")(y)
    return _shaken(keras.Model(x, y, name="masked"))


def states() -> Any:
    """The state of one LSTM begins the next, as in a translation."""
    import keras

    layers = keras.layers
    source, target = (keras.Input((5, 3), name=name) for name in ("source", "target"))
    _, hidden, cell = layers.LSTM(4, return_state=True, name="read")(source)
    write = layers.LSTM(4, return_sequences=True, name="write")
    y = write(target, initial_state=[hidden, cell])
    return _shaken(keras.Model([source, target], layers.Dense(2, name="dense")(y), name="states"))


def attention() -> Any:
    """Attention of a series on itself, then on another."""
    import keras

    layers = keras.layers
    query, value = (keras.Input((6, 4), name=name) for name in ("query", "value"))
    y = layers.MultiHeadAttention(2, 3, name="own")(query, query)
    y = layers.LayerNormalization(name="norm")(layers.Add(name="sum")([y, query]))
    y = layers.MultiHeadAttention(2, 3, name="cross")(y, value=value)
    return _shaken(keras.Model([query, value], y, name="attention"))


def _shaken(model: Any) -> Any:
    shake_weights(model)
    return model


def save_tall(path: Path) -> Path:
    """A model of open height that takes no less than 300 rows, as a file."""
    import keras

    x = keras.Input((None, 3, 1), name="image")
    model = keras.Model(x, keras.layers.Conv2D(2, (300, 1), name="conv")(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


FUNCTIONAL: dict[str, Callable[[], Any]] = {
    make.__name__: make
    for make in (
        functional, sequential, sequential_without_input, encoder, nested_functional,
        nested_sequential, functional_in_sequential, nested_deep, nested_twice, nested_pair,
        shared_layer, several, dictionaries, operations, passing, two_outputs_layer,
        composite_layer, masked, masked_series, states, attention, channels_first, whole_numbers,
    )
}  # fmt: skip
"""All whose graph Keras knows; by name."""


@functools.cache
def exported(name: str) -> tuple[Any, KerasExport]:
    """A model of these, or of a single kind of layer, and its export; made once for all tests."""
    if name in keras_layers.CONVOLUTIONS or name in keras_layers.OTHERS:
        model = keras_layers.layer_model(name)
    else:
        model = globals()[name]()
    return model, export_model(model)
