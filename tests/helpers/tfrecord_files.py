"""Record files for tests: written and read by TensorFlow alone, not by the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

tf: Any = pytest.importorskip("tensorflow")


def feature(value: Sequence[float] | Sequence[int] | Sequence[bytes]) -> Any:
    """A feature of the kind of its values."""
    if all(isinstance(each, bytes) for each in value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
    if all(isinstance(each, int) for each in value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))


def serialized(**features: Any) -> bytes:
    """A ``tf.train.Example`` with these features."""
    found = {name: feature(value) for name, value in features.items()}
    return bytes(tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString())


def record(values: ArrayLike, label: int) -> bytes:
    """A record in the published format."""
    return serialized(sample=np.asarray(values, float).ravel().tolist(), label=[label])


def write_file(path: Path, records: Sequence[bytes]) -> Path:
    """A TFRecord file."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in records:
            writer.write(each)
    return path


def numbered_file(path: Path, numbers: Sequence[int], *, classes: int = 3) -> Path:
    """Records of 2 x 3 x 1 values: each is full of its number, its class the remainder."""
    return write_file(path, [record(np.full(6, each), each % classes) for each in numbers])


def read_file(path: Path) -> list[tuple[NDArray[np.float32], int]]:
    """Values and label of each record, which must have these two features and no other."""
    found = []
    for each in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(each).features.feature
        assert set(features) == {"sample", "label"}
        assert features["sample"].WhichOneof("kind") == "float_list"
        (label,) = features["label"].int64_list.value
        found.append((np.array(features["sample"].float_list.value, np.float32), label))
    return found


def labels_of(path: Path) -> list[int]:
    """The labels alone."""
    return [label for _, label in read_file(path)]
