"""Record files found and checked before training, and the errors that show only later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError, SampleError, os_errors_as
from micam_fast.core.extras import import_extra

if TYPE_CHECKING:
    from micam_fast.samples.record_files import Record

_FRILLS = re.compile(r"\x1b\[[0-9;]*m|\{\{function_node [^{}]*\}\}|\[Op:\w+\].*")


def find_record_files(path: Path) -> list[Path]:
    """The record files of a folder, sorted by name; or the one file that is given.

    In a folder these are the visible files with ``.tfrecord`` in their names, so also
    ``.tfrecords`` and ``.tfrecord-00000-of-00010``. A file given by itself may have any name.

    Raises
    ------
    DataError
        If there is none.
    """
    from micam_fast.samples.record_files import is_record_name

    with os_errors_as(DataError, f"cannot read {path}"):
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise DataError(f"no such file or folder: {path}")
        visible = (each for each in path.iterdir() if is_record_name(each.name))
        found = sorted(each for each in visible if each.is_file())
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
    """
    labels = []
    for number, record in enumerate(_records(path)):
        if isinstance(record, SampleError):
            raise DataError(str(record))
        where, values, label = f"{path}, record {number}", record.values, record.label
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
        assert label is not None
        if not 0 <= label < classes:
            raise DataError(
                f"{where}: label {label} is outside the {classes} classes 0 to {classes - 1} "
                "(--classes)"
            )
        labels.append(label)
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
    tf = import_extra("tensorflow", extra="training", purpose="reading TFRecord files")
    try:
        yield
    except tf.errors.OpError:
        for path in files:
            for _ in _records(path):
                pass
        raise


def first_line(message: str) -> str:
    """What a library says, without the stack that TensorFlow and h5py print below it."""
    # Keras colours what it says, and begins with the layer that said it; TensorFlow adds a node
    # before and an operation after what it says.
    lines = [_FRILLS.sub("", line).strip() for line in message.splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception encountered when")]
    return told[0] if told else "no reason given"


def _records(path: Path) -> Iterator[Record | SampleError]:
    from micam_fast.samples.record_files import read_records

    try:
        yield from read_records(path, labelled=True)
    except SampleError as error:
        raise DataError(str(error)) from None
