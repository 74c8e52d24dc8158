"""TFRecord files as ``micam-fast tfrecord`` writes them, read without TensorFlow.

A file is a sequence of frames: the length of a record as uint64, its checksum, the record, its
checksum, little-endian; a checksum is a masked CRC-32C
(https://www.tensorflow.org/tutorials/load_data/tfrecord). A record is a ``tf.train.Example`` with
``sample``, a float list in the order height, width, channels, and ``label``, one integer.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import SampleError, os_errors_as
from micam_fast.core.input_files import TEXT_LIMIT, open_input, read_input
from micam_fast.core.output_files import is_there
from micam_fast.samples.bounds import list_names, show_bytes

_HEAD, _TAIL = 12, 4
"""Bytes before a record, its length and that one's checksum, and behind it."""
_LARGEST_SIDE = 2**31
_PARSED = 16
"""How many times its length a record may take: many short features take more than long ones."""


@dataclass(frozen=True, eq=False)
class Record:
    """Values ``(n,)`` float32, and the class where the record has one."""

    values: NDArray[np.float32]
    label: int | None


@dataclass(frozen=True)
class SideFile:
    """What the JSON file beside records says of them, as far as it is there."""

    size: tuple[int, int] | None = None
    """Height and width of a sample."""
    classes: tuple[str, ...] = ()


def is_record_name(name: str) -> bool:
    """Tell by a file's name: ``.tfrecord``, ``.tfrecords``, ``.tfrecord-00000-of-00010``."""
    return ".tfrecord" in name and not name.startswith(".")


def find_side_file(path: Path) -> Path | None:
    """The JSON file of a record file, or of the record files that it is one of."""
    stem = path.name.partition(".tfrecord")[0]
    for name in (stem, re.sub(r"-\d+-of-\d+$", "", stem)):
        side = path.with_name(f"{name}.json")
        if is_there(side.is_file):
            return side
    return None


def read_side_file(path: Path) -> SideFile:
    """What the file beside records says; nothing where there is none.

    Raises
    ------
    SampleError
        If it is there and cannot be read.
    """
    side = find_side_file(path)
    if side is None:
        return SideFile()
    try:
        found: Any = json.loads(read_input(side, TEXT_LIMIT))
        size = (_side(found["height"]), _side(found["width"])) if "height" in found else None
        return SideFile(size, tuple(map(str, found.get("classes", ()))))
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise SampleError(
            f"{side} does not describe the records beside it ({error}); mend it or take it away"
        ) from None


def _side(size: Any) -> int:
    """Height or width of a sample."""
    if type(size) is not int or not 1 <= size <= _LARGEST_SIDE:
        raise ValueError(f"a height or width of {size!r}")
    return size


def read_records(
    path: Path, start: int = 0, memory: int = 2**62, *, labelled: bool = False
) -> Iterator[Record | SampleError]:
    """Read the records of a file one by one; an error stands in the place of a broken record.

    It begins at the record of the number `start`. A record that would take more than `memory` bytes
    is an error, and one without a label where all must be `labelled`.

    Raises
    ------
    SampleError
        If the file cannot be read or is broken, or if it ends before a `start` that is not 0.
    """
    number = 0
    try:
        with os_errors_as(SampleError, f"cannot read {path}"), open_input(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            while file.tell() < size:
                if number < start:
                    file.seek(_read_head(file, size) + _TAIL, 1)
                else:
                    where = f"{path}, record {number}"
                    record = _read_frame(file, size, memory)
                    if isinstance(record, int):
                        yield SampleError(
                            f"{where}: {show_bytes(record)} are too many to be read within "
                            f"{show_bytes(memory)} of memory (--memory)"
                        )
                    else:
                        yield _parse(record, where, labelled)
                number += 1
    except _BrokenFrameError:
        after = f"cut off after {number} records" if number else "no TFRecord file at all"
        raise SampleError(f"{path} is broken, or {after}") from None
    if start and number <= start:
        raise SampleError(f"{path} holds {number} records; there is no number {start}")


class _BrokenFrameError(Exception):
    pass


def _read_head(file: BinaryIO, size: int) -> int:
    """Length of the next record, which must be in the file."""
    head = file.read(_HEAD)
    if len(head) < _HEAD or _checksum(head[:8]) != head[8:]:
        raise _BrokenFrameError
    length = int.from_bytes(head[:8], "little")
    if file.tell() + length + _TAIL > size:
        raise _BrokenFrameError
    return length


def _read_frame(file: BinaryIO, size: int, memory: int) -> bytes | int:
    """The next record; or its length alone, where reading it would take too much."""
    length = _read_head(file, size)
    if length * _PARSED > memory:
        file.seek(length + _TAIL, 1)
        return length
    record = file.read(length)
    if _checksum(record) != file.read(_TAIL):
        raise _BrokenFrameError
    return record


def _checksum(data: bytes) -> bytes:
    from micam_fast._loops.checksums import sum_bytes

    crc = np.empty(1, np.uint32)
    sum_bytes(np.frombuffer(data, np.uint8), crc)
    value = int(crc[0])
    rotated = value >> 15 | value << 17 & 0xFFFFFFFF
    return (rotated + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


def _parse(record: bytes, where: str, labelled: bool) -> Record | SampleError:
    from google.protobuf.message import DecodeError

    try:
        features = _example_class().FromString(record).features.feature
    except DecodeError:
        return SampleError(f"{where} is no tf.train.Example")
    for name, kind in (("sample", "float_list"), ("label", "int64_list")):
        if name in features and features[name].WhichOneof("kind") != kind:
            found = features[name].WhichOneof("kind")
            return SampleError(f"{where}: feature {name!r} is of kind {found}, expected is {kind}")
        if name not in features and (labelled or name == "sample"):
            there = list_names(sorted(features)) or "none"
            hint = ". Expected are 'sample' (floats) and 'label' (one integer)" if labelled else ""
            return SampleError(f"{where}: no feature {name!r}; its features are: {there}{hint}")
    labels = features["label"].int64_list.value if "label" in features else ()
    if len(labels) > 1 or (labelled and not labels):
        return SampleError(f"{where}: {len(labels)} labels, expected is 1")
    values = np.array(features["sample"].float_list.value, np.float32)
    return Record(values, labels[0] if labels else None)


@functools.cache
def _example_class() -> Any:
    """The message ``tf.train.Example`` of tensorflow/core/example/{example,feature}.proto."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="micam_fast/example.proto", package="micam_fast", syntax="proto3"
    )
    top = file.message_type

    def add(owner: Any, name: str, repeated: bool = False, **kinds: Any) -> Any:
        message = owner.add(name=name)
        label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        for number, (key, kind) in enumerate(kinds.items(), 1):
            added = message.field.add(name=key, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = field.TYPE_MESSAGE, f".micam_fast.{kind}"
            else:
                added.type = kind
        return message

    add(top, "BytesList", repeated=True, value=field.TYPE_BYTES)
    add(top, "FloatList", repeated=True, value=field.TYPE_FLOAT)
    add(top, "Int64List", repeated=True, value=field.TYPE_INT64)
    feature = add(
        top, "Feature", bytes_list="BytesList", float_list="FloatList", int64_list="Int64List"
    )
    feature.oneof_decl.add(name="kind")
    for each in feature.field:
        each.oneof_index = 0
    features = add(top, "Features", repeated=True, feature="Features.FeatureEntry")
    entry = add(features.nested_type, "FeatureEntry", key=field.TYPE_STRING, value="Feature")
    entry.options.map_entry = True
    add(top, "Example", features="Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("micam_fast.Example"))
