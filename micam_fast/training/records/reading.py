"""Record files as the input of a training: the published split into three parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError
from micam_fast.core.extras import import_extra
from micam_fast.training.records.checking import check_records

SHUFFLE_BUFFER = 20_000
"""Records among which the next one is drawn, as published; they are held in memory."""

_PARTS = ("training", "validation", "test")


def _nothing(epoch: int) -> None:
    """What data in order do for an epoch."""


@dataclass(frozen=True, eq=False)
class Split:
    """One of the three parts of the data, in complete batches; or all of it."""

    dataset: Any
    """``tf.data.Dataset`` of batches: samples ``(batch, height, width, channels)`` float32 as they
    are stored, and one-hot labels ``(batch, classes)`` float32. Its cardinality is known."""
    batches: int
    labels: NDArray[np.int64]
    """The classes ``(samples,)`` of the records in these batches, in the order of the files.
    That is the order of `dataset`, except for the shuffled training data of several files."""
    begin_epoch: Callable[[int], None] = _nothing
    """Shuffles `dataset` in the order of an epoch, by its number; nothing where it is in order."""

    def samples(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Samples ``start`` to ``stop - 1`` in order: ``(height, width, channels)`` and class."""
        count = (len(self.labels) if stop is None else stop) - start
        chosen = self.dataset.unbatch().skip(start).take(max(count, 0))
        for sample, one_hot in chosen.as_numpy_iterator():
            yield sample, int(one_hot.argmax())


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, validation and test data, and the files they come from."""

    train: Split
    validation: Split
    test: Split
    files: tuple[Path, ...]


def open_splits(
    files: Sequence[Path],
    *,
    height: int,
    width: int,
    channels: int,
    classes: int,
    batch_size: int,
    seed: int,
) -> Splits:
    """Check record files and split them 60/20/20 as published (SPEC 6, "Input").

    validate and the rest test; training records are shuffled anew for each epoch, see
    `Split.begin_epoch`. Of the ``b`` complete batches of a single file, ``int(0.6 b)`` train, the
    next ``int(0.2 b)`` validate and the rest test; nothing is shuffled. The same seed and epoch
    give the same batches, whatever came before: so a continued training has the orders of one that
    was not interrupted.

    Raises
    ------
    DataError
        If a file or record is broken or does not fit, or a part would get no complete batch.
    MissingExtraError
        If TensorFlow is not installed.
    """
    tf = import_extra("tensorflow", extra="training", purpose="reading TFRecord files")
    files = sorted(files, key=lambda path: path.name)
    if len(files) != 1:
        _check_files(files)
    labels = [
        check_records(path, height=height, width=width, channels=channels, classes=classes)
        for path in files
    ]

    def split(of: slice, chosen: slice, *, shuffled: bool = False) -> Split:
        """The chosen batches of the chosen files."""
        first, batches = chosen.start, chosen.stop - chosen.start
        dataset = tf.data.TFRecordDataset([str(path) for path in files[of]])
        begin_epoch: Callable[[int], None] = _nothing
        if shuffled:
            order = _EpochOrder(tf, seed)
            dataset, begin_epoch = order.shuffled(dataset), order.begin_epoch
        # Chosen before they are parsed: what is skipped costs only its reading.
        dataset = dataset.batch(batch_size, drop_remainder=True).skip(first).take(batches)
        dataset = _parsed(tf, dataset, (height, width, channels), classes, batches)
        records = slice(first * batch_size, chosen.stop * batch_size)
        known = np.concatenate(labels[of])[records]
        return Split(dataset, batches, known, begin_epoch)

    if len(files) == 1:
        batches = _count_batches(files[0], len(labels[0]), batch_size)
        train, validation = int(0.6 * batches), int(0.2 * batches)
        bounds = 0, train, train + validation, batches
        parts = [split(slice(1), slice(*pair)) for pair in pairwise(bounds)]
    else:
        bounds = 0, int(0.6 * len(files)), int(0.8 * len(files)), len(files)
        parts = []
        for name, pair in zip(_PARTS, pairwise(bounds), strict=True):
            records = sum(map(len, labels[slice(*pair)]))
            batches = _count_part(name, files[0].parent, records, batch_size)
            shuffled = name == "training"
            parts.append(split(slice(*pair), slice(0, batches), shuffled=shuffled))
    return Splits(parts[0], parts[1], parts[2], tuple(files))


def open_all(
    files: Sequence[Path], *, height: int, width: int, channels: int, classes: int, batch_size: int
) -> Split:
    """Check record files and take all of their records, in order; the last batch may be smaller.

    Parameters and errors are those of `open_splits`, but for those of the split.
    """
    tf = import_extra("tensorflow", extra="training", purpose="reading TFRecord files")
    files = sorted(files, key=lambda path: path.name)
    labels = np.concatenate(
        [
            check_records(path, height=height, width=width, channels=channels, classes=classes)
            for path in files
        ]
    )
    dataset = tf.data.TFRecordDataset([str(path) for path in files]).batch(batch_size)
    batches = -(-len(labels) // batch_size)
    dataset = _parsed(tf, dataset, (height, width, channels), classes, batches)
    return Split(dataset, batches, labels)


class _EpochOrder:
    """The order of shuffled records, by the number of the epoch.

    TensorFlow's own reshuffling counts how often a dataset was read in this process.
    """

    def __init__(self, tf: Any, seed: int) -> None:
        self._seed = seed
        self._tf = tf
        # tf.data cannot read what lies on a GPU.
        with tf.device("CPU:0"):
            self._current = tf.Variable(self._of(0), trainable=False, dtype=tf.int64)

    def begin_epoch(self, epoch: int) -> None:
        self._current.assign(self._of(epoch))

    def shuffled(self, dataset: Any) -> Any:
        # A dataset within a dataset: only so is the seed looked up whenever it is read anew.
        return self._tf.data.Dataset.range(1).flat_map(
            lambda _: dataset.shuffle(
                SHUFFLE_BUFFER, seed=self._current, reshuffle_each_iteration=False
            )
        )

    def _of(self, epoch: int) -> int:
        # Neighbouring seeds must not share the orders of neighbouring epochs.
        return int(np.random.SeedSequence((self._seed, epoch)).generate_state(1)[0])


def _parsed(tf: Any, dataset: Any, shape: tuple[int, int, int], classes: int, batches: int) -> Any:
    """Samples and one-hot labels of batches of serialized records, so many of them."""
    features = {
        "sample": tf.io.FixedLenFeature(shape, tf.float32),
        "label": tf.io.FixedLenFeature((), tf.int64),
    }

    def parse(serialized: Any) -> tuple[Any, Any]:
        found = tf.io.parse_example(serialized, features)
        return found["sample"], tf.one_hot(found["label"], classes)

    dataset = dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _count_batches(path: Path, records: int, batch_size: int) -> int:
    """Complete batches of a single file, of which each part must get one."""
    batches = records // batch_size
    if batches < 5:
        remedy = f"give --batch-size {records // 5} or less" if records >= 5 else "give more data"
        raise DataError(
            f"{path} holds {records} records, which make {batches} batches of {batch_size}; the "
            f"split into training, validation and test needs 5: {remedy}"
        )
    return batches


def _count_part(name: str, folder: Path, records: int, batch_size: int) -> int:
    """Complete batches of the files of one part."""
    if records < batch_size:
        raise DataError(
            f"the {name} files in folder {folder} hold {records} records, less than a batch of "
            f"{batch_size}: give --batch-size {records} or less"
        )
    return records // batch_size


def _check_files(files: Sequence[Path]) -> None:
    if len(files) < 3:
        where = f" in folder {files[0].parent}" if files else ""
        raise DataError(
            f"{len(files)} record files{where}; the split into training, validation and test "
            "needs 3 or more, or one, which is split by its batches"
        )
