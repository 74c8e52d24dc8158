"""The networks that ``micam-fast train`` knows: three of its own, and all of keras.applications."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from micam_fast.core.errors import TrainingError
from micam_fast.core.extras import import_extra

_Tensor = Any
LENETS = ("lenet3", "lenet5")


def import_keras() -> ModuleType:
    """Keras, on TensorFlow.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    # TensorFlow first: without it, Keras' own message says nothing of our extra.
    import_extra("tensorflow", extra="training", purpose="training")
    return import_extra("keras", extra="training", purpose="training")


def list_networks() -> tuple[str, ...]:
    """Names that `build_network` takes, its own first.

    Raises
    ------
    MissingExtraError
        If Keras is not installed.
    """
    return (*_OWN, *sorted(_applications(), key=str.lower))


def build_network(
    name: str,
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    dropout: float = 0.5,
    batch_normalization: bool = False,
) -> Any:
    """Build an untrained network for samples ``(height, width, channels)`` (SPEC section 6).

    Parameters
    ----------
    name
        One of `list_networks`, in capitals or not.
    classes
        Length of the output, a softmax.
    height, width, channels
        Of a sample. Values are taken as they are; a model of keras.applications that scales its
        input itself goes on doing so.
    dropout
        Rate of the Dropout layers; resnet18 has none.
    batch_normalization
        Whether a BatchNormalization follows each convolution of a LeNet; plays no part in others.

    Returns
    -------
    keras.Model
        Functional and flat, not compiled, with weights from Keras' random state.

    Raises
    ------
    TrainingError
        If no network has that name, or samples of that size are too small for it.
    MissingExtraError
        If Keras is not installed.
    """
    keras = import_keras()
    known = {each.lower(): each for each in list_networks()}
    found = known.get(name.lower())
    if found is None:
        raise TrainingError(f"unknown network: {name!r} ({_suggest(name, known)})")
    shape = (height, width, channels)
    if found not in _OWN:
        return _build_application(keras, found, shape, classes, dropout)
    build, smallest = _OWN[found]
    if min(height, width) < smallest:
        raise _too_small(found, shape, f"its smallest input is {smallest} x {smallest}")
    image = keras.Input(shape, name="input_layer")
    output = build(keras, image, found, classes, dropout, batch_normalization)
    return keras.Model(image, output, name=found)


def _suggest(name: str, known: dict[str, str]) -> str:
    near = [known[each] for each in difflib.get_close_matches(name.lower(), known, n=3)]
    listed = "--list-models prints all names"
    return f"did you mean {' or '.join(near)}? {listed}" if near else listed


def _too_small(name: str, shape: tuple[int, int, int], reason: str) -> TrainingError:
    return TrainingError(
        f"a sample of {shape[0]} x {shape[1]} x {shape[2]} is too small for {name}: {reason} "
        "(write larger records, or choose another --cnn-model)"
    )


def _applications() -> dict[str, Callable[..., Any]]:
    """Model functions of keras.applications, by name: those without a top, without weights."""
    needed = {"include_top", "weights", "input_shape"}
    return {
        name: function
        for name, function in vars(import_keras().applications).items()
        if inspect.isfunction(function) and needed <= set(inspect.signature(function).parameters)
    }


def _build_application(
    keras: ModuleType, name: str, shape: tuple[int, int, int], classes: int, dropout: float
) -> Any:
    try:
        with warnings.catch_warnings():
            # Data that are no pictures may have any number of channels.
            warnings.filterwarnings("ignore", message="This model usually expects 1 or 3 input")
            base = _applications()[name](include_top=False, weights=None, input_shape=shape)
    except ValueError as error:
        # Keras says "Input size must be at least 32x32; Received: input_shape=(12, 12, 1)".
        reason = str(error).partition(";")[0].partition("\n")[0]
        raise _too_small(name, shape, reason) from None
    x = keras.layers.Flatten(name="flatten")(base.output)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    output = keras.layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(base.input, output, name=name)


def _lenet(
    keras: ModuleType,
    x: _Tensor,
    name: str,
    classes: int,
    dropout: float,
    batch_normalization: bool,
) -> _Tensor:
    sizes = {"lenet3": (5, 4096, 1600), "lenet5": (3, 1024, 512)}
    first_kernel, first_width, second_width = sizes[name]
    layers = keras.layers
    for order, filters, kernel in (("first", 32, first_kernel), ("second", 64, 3)):
        x = layers.Conv2D(filters, kernel, padding="same", name=f"{order}_conv_layer")(x)
        if batch_normalization:
            x = layers.BatchNormalization(name=f"{order}_bn_layer")(x)
        x = layers.MaxPooling2D(2, name=f"{order}_pool_layer")(x)
    x = layers.Flatten(name="flatten")(x)
    # Named as Keras numbers the layers of the first model of a process.
    x = layers.Dense(first_width, activation="relu", name="dense")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(second_width, activation="relu", name="dense_1")(x)
    x = layers.Dropout(dropout, name="dropout_1")(x)
    return layers.Dense(classes, activation="softmax", name="dense_2")(x)


def _resnet18(keras: ModuleType, x: _Tensor, name: str, classes: int, *others: object) -> _Tensor:
    layers = keras.layers
    number = 2

    def normalize(x: _Tensor, prefix: str) -> _Tensor:
        x = layers.BatchNormalization(name=f"{prefix}_bn")(x)
        return layers.ReLU(name=f"{prefix}_relu")(x)

    def convolve(x: _Tensor, filters: int, prefix: str, strides: int = 1) -> _Tensor:
        nonlocal number
        number += 1
        name = f"{prefix}_conv_{number}"
        decay = keras.regularizers.L2(0.0005)
        return layers.Conv2D(filters, 3, strides, "same", kernel_regularizer=decay, name=name)(x)

    x = layers.Conv2D(64, 3, padding="same", name="first_layer_112_1")(x)
    x = normalize(x, "preparation")
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        block = f"B{stage}"
        strides = 1 if stage == 1 else 2
        shortcut = x
        if stage > 1:
            shortcut = layers.Conv2D(filters, 1, strides, name=f"{block}_original_reshaped")(x)
        x = convolve(x, filters, f"{block}_residue_1", strides)
        x = normalize(x, f"{block}_residue_2")
        x = convolve(x, filters, f"{block}_residue_2")
        x = layers.Add(name=f"{block}_1_add")([x, shortcut])
        shortcut = x = normalize(x, f"{block}_1")
        x = convolve(x, filters, f"{block}_residue_3")
        x = normalize(x, f"{block}_residue_4")
        x = convolve(x, filters, f"{block}_residue_4")
        x = layers.Add(name=f"{block}_2_add")([x, shortcut])
        if stage < 4:
            x = normalize(x, f"{block}_2")
    largest = layers.MaxPooling2D(4, name="max_pooling2d")(x)
    mean = layers.AveragePooling2D(4, name="average_pooling2d")(x)
    x = layers.Concatenate(name="concatenate")([largest, mean])
    x = layers.Conv2D(10, 1, name="linear")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(classes, "softmax", kernel_initializer="he_normal", name="dense")(x)


# Builder and smallest input: two halvings in a LeNet; three in resnet18, rounded up, then 4 to 1.
_OWN: dict[str, tuple[Callable[..., _Tensor], int]] = {
    "lenet3": (_lenet, 4),
    "lenet5": (_lenet, 4),
    "resnet18": (_resnet18, 25),
}
