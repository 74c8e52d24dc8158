"""Writing of record files and of the side file that explains them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError, os_errors_as
from micam_fast.core.extras import import_extra
from micam_fast.core.output_files import partial_path
from micam_fast.training.records.checking import first_line

MOST_VALUES = 2**25
"""Most values of a sample: a record of 128 MiB, for which protobuf and TensorFlow take a GiB."""

LabelledSample = tuple[NDArray[np.float32], int]
"""A sample ``(height, width, channels)`` float32 and its class."""


@dataclass(frozen=True)
class RecordFiles:
    """What `write_records` left."""

    files: tuple[Path, ...]
    records: int


def check_size(height: int, width: int, channels: int) -> None:
    """Make sure that a sample is one that memory and a record can hold.

    Raises
    ------
    DataError
        If it has more than `MOST_VALUES` values.
    """
    values = height * width * channels
    if values > MOST_VALUES:
        raise DataError(
            f"a sample of {height} x {width} x {channels} = {values} values is larger than "
            f"{MOST_VALUES} (give a smaller --height or --width)"
        )


def write_records(
    samples: Iterable[LabelledSample], folder: Path, stem: str, *, shards: int = 1
) -> RecordFiles:
    """Write samples as ``STEM.tfrecord``, or dealt to ``STEM-00000-of-0000N.tfrecord`` ....

    Record ``i`` goes to file ``i % shards``, as cards are dealt. So the order within each file
    stays the samples' own, and every file is an even sample of the whole: the split by files has
    all classes in each of its parts, whatever order they came in. The files appear under their
    names when all of them are complete.

    The arrays are ``(height, width, channels)`` float32, each with its class.

    Raises
    ------
    DataError
        If the files cannot be written, or there are fewer samples than files.
    MissingExtraError
        If TensorFlow is not installed.
    """
    tf = import_extra("tensorflow", extra="training", purpose="writing TFRecord files")
    names = [f"{stem}-{shard:05d}-of-{shards:05d}.tfrecord" for shard in range(shards)]
    files = [folder / name for name in (names if shards > 1 else [f"{stem}.tfrecord"])]
    count = 0
    try:
        with _renamed(files) as partials, ExitStack() as stack:
            writers = [stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in partials]
            for array, label in samples:
                writers[count % shards].write(_serialized(tf, array, label))
                count += 1
            if count < shards:
                raise DataError(
                    f"cannot write {files[0]}: {count} samples do not fill {shards} files"
                    if count
                    else f"cannot write {files[0]}: there is not one sample"
                )
    except tf.errors.OpError as error:
        # The message is the hidden name, a semicolon and the system's reason.
        reason = first_line(error.message or "").rpartition("; ")[2]
        raise DataError(f"cannot write to folder {folder}: {reason}") from None
    return RecordFiles(tuple(files), count)


def write_side_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for people and programs beside the records: class names, columns, codes.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    with _renamed([path]) as (partial,):
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def _renamed(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Hidden names to write under, renamed when all went well, and gone when not."""
    partials = [partial_path(path) for path in files]
    folder = files[0].parent
    try:
        with os_errors_as(DataError, f"cannot write to folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            yield partials
            for partial, path in zip(partials, files, strict=True):
                partial.replace(path)
    finally:
        for partial in partials:
            with suppress(OSError):
                partial.unlink()


def _serialized(tf: Any, array: NDArray[np.float32], label: int) -> bytes:
    # A list: protobuf takes 3.5 times as long for the values of an array.
    values = tf.train.FloatList(value=array.ravel().tolist())
    feature = {
        "sample": tf.train.Feature(float_list=values),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Deterministic: else the two features change places from file to file.
    return bytes(example.SerializeToString(deterministic=True))
