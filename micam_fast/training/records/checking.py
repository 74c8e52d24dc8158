"""Record files found and checked before training, and the errors that show only later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError
from micam_fast.core.extras import import_extra

_PURPOSE = "reading TFRecord files"

_FRILLS = re.compile(r"\x1b\[[0-9;]*m|\{\{function_node [^{}]*\}\}|\[Op:\w+\].*")

_FRAME = 16
"""Bytes around each record: its length and two checksums."""


def find_record_files(path: Path) -> list[Path]:
    """The record files of a folder, sorted by name; or the one file that is given.

    In a folder these are the visible files with ``.tfrecord`` in their names, so also
    ``.tfrecords`` and ``.tfrecord-00000-of-00010``. A file given by itself may have any name.

    Raises
    ------
    DataError
        If there is none.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise DataError(f"no such file or folder: {path}")
        found = sorted(
            each
            for each in path.iterdir()
            if ".tfrecord" in each.name and not each.name.startswith(".") and each.is_file()
        )
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if not found:
        raise DataError(
            f"no record files (*.tfrecord) in folder {path}: 'micam-fast tfrecord' makes some"
        )
    return found


def check_records(
    path: Path, *, height: int, width: int, channels: int, classes: int
) -> NDArray[np.int64]:
    """Read a whole record file and make sure that each record can be trained on.

    A training reads everything in its first epoch anyway; this takes 7 s for the 70,010 records of
    MNIST at 75 x 75, and finds what would otherwise end the training in its middle.

    Returns
    -------
    NDArray[np.int64]
        The labels ``(n,)``, in the order of the file.

    Raises
    ------
    DataError
        If the file is broken or empty, or a record has no ``sample`` or ``label``, another number
        of values than ``height * width * channels``, a value that is not finite, or a label outside
        ``0 ... classes - 1``.
    MissingExtraError
        If TensorFlow is not installed.
    """
    tf = import_extra("tensorflow", extra="training", purpose=_PURPOSE)
    labels = []
    for number, record in enumerate(_raw_records(tf, path)):
        where = f"{path}, record {number}"
        features = _features(tf, record, where)
        values = np.array(_values(features, "sample", "float_list", where))
        if len(values) != height * width * channels:
            raise DataError(
                f"{where}: the sample has {len(values)} values, expected are {height} x {width} x "
                f"{channels} = {height * width * channels} (--height x --width x --window-size)"
            )
        finite = np.isfinite(values)
        if not finite.all():
            place = int(finite.argmin())
            raise DataError(
                f"{where}: the sample has {values[place]} at value {place}, expected are finite "
                "numbers (one that is none makes the whole network NaN)"
            )
        label = _values(features, "label", "int64_list", where)
        if len(label) != 1:
            raise DataError(f"{where}: {len(label)} labels, expected is 1")
        if not 0 <= label[0] < classes:
            raise DataError(
                f"{where}: label {label[0]} is outside the {classes} classes 0 to {classes - 1} "
                "(--classes)"
            )
        labels.append(label[0])
    if not labels:
        raise DataError(f"{path} holds no records")
    return np.array(labels, np.int64)


@contextmanager
def data_errors(files: Sequence[Path]) -> Iterator[None]:
    """Turn what TensorFlow raises over broken data into one line that names the file.

    For files that broke or went away after `check_records`. Errors that the files are not to blame
    for (a model that needs too much memory) pass unchanged.

    Raises
    ------
    DataError
        If TensorFlow fails and one of the files cannot be read to its end.
    """
    tf = import_extra("tensorflow", extra="training", purpose=_PURPOSE)
    try:
        yield
    except tf.errors.OpError:
        for path in files:
            for _ in _raw_records(tf, path):
                pass
        raise


def first_line(message: str) -> str:
    """What a library says, without the stack that TensorFlow and h5py print below it."""
    # Keras colours what it says, and begins with the layer that said it; TensorFlow adds a node
    # before and an operation after what it says.
    lines = [_FRILLS.sub("", line).strip() for line in message.splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception encountered when")]
    return told[0] if told else "no reason given"


def _raw_records(tf: Any, path: Path) -> Iterator[bytes]:
    """The serialized records; TensorFlow checks their checksums."""
    number = size = 0
    broken = False
    try:
        # Python's reason is a word, TensorFlow's a paragraph.
        path.open("rb").close()
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield record
            number += 1
            size += _FRAME + len(record)
        # TensorFlow says nothing about a file that ends within the frame before a record.
        broken = size != path.stat().st_size
    except tf.errors.DataLossError:
        broken = True
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise DataError(f"cannot read {path}: {first_line(reason or str(error))}") from None
    if broken:
        after = f"cut off after {number} records" if number else "no TFRecord file at all"
        raise DataError(f"{path} is broken, or {after}")


def _features(tf: Any, record: bytes, where: str) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise DataError(f"{where} is no tf.train.Example") from None


def _values(features: Any, name: str, kind: str, where: str) -> Any:
    """The list of a feature, which must be there and of the right kind."""
    if name not in features:
        there = ", ".join(sorted(features)) or "none"
        raise DataError(
            f"{where}: no feature {name!r}; its features are: {there}. "
            "Expected are 'sample' (floats) and 'label' (one integer)"
        )
    found = features[name].WhichOneof("kind")
    if found != kind:
        raise DataError(f"{where}: feature {name!r} is of kind {found}, expected is {kind}")
    return getattr(features[name], kind).value
