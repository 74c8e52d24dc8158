"""Small data and networks to train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast.training.records import Split, Splits
from micam_fast.training.settings import TrainSettings

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

SIZE = 12
CLASSES = 3
BATCH = 8
# TensorFlow's tensors on NumPy 2, in Keras' conversion of weights: nothing of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
]


def make_samples(count: int, seed: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Noise with a bright stripe whose place is the class, which is easy to learn."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        label = int(random.integers(CLASSES))
        array = random.random((SIZE, SIZE, 1), np.float32)
        array[4 * label : 4 * label + 2] += 1
        yield array, label


def make_split(batches: int, seed: int) -> Split:
    """A part of the data, in memory and in order."""
    samples, labels = zip(*make_samples(batches * BATCH, seed), strict=True)
    one_hot = np.eye(CLASSES, dtype=np.float32)[list(labels)]
    dataset = tf.data.Dataset.from_tensor_slices((np.stack(samples), one_hot)).batch(BATCH)
    return Split(dataset, batches, np.array(labels, np.int64))


def make_splits() -> Splits:
    """Data in memory."""
    return Splits(make_split(4, 0), make_split(2, 1), make_split(3, 2), ())


def make_settings(folder: Path, **changed: Any) -> TrainSettings:
    """Settings that fit the data."""
    given: Mapping[str, Any] = {
        "data": folder / "data",
        "log_dir": folder / "log",
        "cnn_model": "lenet5",
        "classes": CLASSES,
        "window_size": 1,
        "height": SIZE,
        "width": SIZE,
        "batch_size": BATCH,
        "num_epochs": 3,
        "learning_rate": 1e-3,
        "seed": 5,
        "samples": 2,
        **changed,
    }
    return TrainSettings(**given)


def small_network(seed: int = 0, classes: int = CLASSES) -> Any:
    """A network for the data that trains in no time, with all that has a random state."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input((SIZE, SIZE, 1), name="image")
    x = layers.Conv2D(4, 3, strides=2, name="conv")(image)
    x = layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="scores")(x))
