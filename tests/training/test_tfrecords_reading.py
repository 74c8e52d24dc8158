"""Record files found, checked and split."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import DataError
from micam_fast.training.records import (
    Split,
    Splits,
    check_records,
    data_errors,
    find_record_files,
    first_line,
    open_all,
    open_splits,
)
from tests.helpers.tfrecord_files import numbered_file, record, serialized, tf, write_file

SIZE = {"height": 2, "width": 3, "channels": 1, "classes": 3}


def open_small(*files: Path, batch_size: int = 4, seed: int = 0) -> Splits:
    return open_splits(files, **SIZE, batch_size=batch_size, seed=seed)


def numbers(split: Split) -> list[list[float]]:
    """The numbers of a split's records, batch by batch."""
    return [samples[:, 0, 0, 0].tolist() for samples, _ in split.dataset.as_numpy_iterator()]


def flat(batches: list[list[float]]) -> list[float]:
    return [number for batch in batches for number in batch]


class TestFind:
    """Record files of a folder."""

    def test_sorted_by_name(self, tmp_path: Path) -> None:
        for name in (
            "b.tfrecord",
            "a.tfrecords",
            "c.tfrecord-00000-of-00002",
            ".d.tfrecord.1234.part",
            "a.json",
        ):
            (tmp_path / name).touch()
        (tmp_path / "folder.tfrecord").mkdir()
        assert [path.name for path in find_record_files(tmp_path)] == [
            "a.tfrecords",
            "b.tfrecord",
            "c.tfrecord-00000-of-00002",
        ]

    def test_a_file_of_any_name(self, tmp_path: Path) -> None:
        (tmp_path / "data.bin").touch()
        assert find_record_files(tmp_path / "data.bin") == [tmp_path / "data.bin"]

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no record files \(\*\.tfrecord\) in folder .*makes"):
            find_record_files(tmp_path)

    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no such file or folder: .*/nothing"):
            find_record_files(tmp_path / "nothing")

    def test_a_folder_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> Any:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(DataError, match=r"cannot read .*: Permission denied"):
            find_record_files(tmp_path)


class TestCheck:
    """What is wrong with a file is one line that names the record."""

    def test_labels_of_a_good_file(self, tmp_path: Path) -> None:
        found = check_records(numbered_file(tmp_path / "x", range(7)), **SIZE)
        assert found.dtype == np.int64
        assert found.tolist() == [0, 1, 2, 0, 1, 2, 0]

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (
                serialized(image=[0.5], y=[1]),
                "no feature 'sample'; its features are: image, y. Expected are 'sample' (floats) "
                "and 'label' (one integer)",
            ),
            (serialized(), "no feature 'sample'; its features are: none. Expected"),
            (serialized(sample=[0.5] * 6), "no feature 'label'; its features are: sample."),
            (
                serialized(sample=[b"raw"], label=[1]),
                "feature 'sample' is of kind bytes_list, expected is float_list",
            ),
            (
                serialized(sample=[0.5] * 6, label=[1.5]),
                "feature 'label' is of kind float_list, expected is int64_list",
            ),
            (
                record(np.zeros(784), 0),
                "the sample has 784 values, expected are 2 x 3 x 1 = 6 (--height x --width x "
                "--window-size)",
            ),
            (serialized(sample=[0.5] * 6, label=[1, 2]), "2 labels, expected is 1"),
            (record(np.zeros(6), 3), "label 3 is outside the 3 classes 0 to 2 (--classes)"),
            (
                record([0, 0, np.nan, 0, 0, 0], 1),
                "the sample has nan at value 2, expected are finite",
            ),
            (record([0, 0, 0, 0, -np.inf, 1], 1), "the sample has -inf at value 4, expected are"),
            (record(np.zeros(6), -1), "label -1 is outside the 3 classes 0 to 2 (--classes)"),
            (b"no message", "is no tf.train.Example"),
        ],
    )
    @pytest.mark.parametrize("place", [0, 2])
    def test_a_bad_record(self, tmp_path: Path, bad: bytes, message: str, place: int) -> None:
        records = [record(np.zeros(6), 1)] * 3
        records[place] = bad
        path = write_file(tmp_path / "x.tfrecord", records)
        with pytest.raises(DataError) as caught:
            check_records(path, **SIZE)
        assert str(caught.value).startswith(f"{path}, record {place}")
        assert message in str(caught.value)

    def test_no_records(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"x\.tfrecord holds no records"):
            check_records(write_file(tmp_path / "x.tfrecord", []), **SIZE)

    @pytest.mark.parametrize("content", [b"a,b\n1,2\n" * 9, gzip.compress(b"x" * 99), b"x"])
    def test_no_tfrecord_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.tfrecord").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.tfrecord is broken, or no TFRecord file at all"):
            check_records(tmp_path / "x.tfrecord", **SIZE)

    @pytest.mark.parametrize("left", [1, 11, 12, 13, -1])
    def test_cut_off(self, tmp_path: Path, left: int) -> None:
        """Up to 11 bytes of a record are nothing to TensorFlow."""
        path = numbered_file(tmp_path / "x.tfrecord", range(5))
        size = path.stat().st_size
        os.truncate(path, size // 5 * 4 + left if left > 0 else size + left)
        with pytest.raises(DataError, match=r"x\.tfrecord is broken, or cut off after 4 records"):
            check_records(path, **SIZE)

    def test_a_flipped_bit(self, tmp_path: Path) -> None:
        path = numbered_file(tmp_path / "x.tfrecord", range(5))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.tfrecord is broken, or cut off after 2 records"):
            check_records(path, **SIZE)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"cannot read .*/x\.tfrecord: No such file or directory$"
        ):
            check_records(tmp_path / "x.tfrecord", **SIZE)


class TestSingleFile:
    """Split by batches, nothing shuffled."""

    @pytest.mark.parametrize("count", [20, 39, 43, 63])
    def test_the_published_split(self, tmp_path: Path, count: int) -> None:
        splits = open_small(numbered_file(tmp_path / "x.tfrecord", range(count)))
        batches = count // 4
        train, validation = int(0.6 * batches), int(0.2 * batches)
        expected = [list(range(4 * batch, 4 * batch + 4)) for batch in range(batches)]
        assert numbers(splits.train) == expected[:train]
        assert numbers(splits.validation) == expected[train : train + validation]
        assert numbers(splits.test) == expected[train + validation :]

    def test_every_epoch_is_alike(self, tmp_path: Path) -> None:
        splits = open_small(numbered_file(tmp_path / "x.tfrecord", range(40)), seed=5)
        assert numbers(splits.train) == numbers(splits.train)

    def test_batches_are_counted(self, tmp_path: Path) -> None:
        splits = open_small(numbered_file(tmp_path / "x.tfrecord", range(42)))
        for split, batches in ((splits.train, 6), (splits.validation, 2), (splits.test, 2)):
            assert split.batches == batches
            assert split.dataset.cardinality() == batches

    def test_labels_are_one_hot(self, tmp_path: Path) -> None:
        splits = open_small(numbered_file(tmp_path / "x.tfrecord", range(20)))
        for split in (splits.train, splits.validation, splits.test):
            one_hot = np.concatenate([labels for _, labels in split.dataset])
            assert one_hot.dtype == np.float32
            np.testing.assert_array_equal(
                one_hot, np.eye(3)[np.array(flat(numbers(split)), int) % 3]
            )
            np.testing.assert_array_equal(one_hot.argmax(axis=1), split.labels)

    def test_values_are_row_major(self, tmp_path: Path) -> None:
        values = np.arange(12, dtype=np.float32)
        path = write_file(tmp_path / "x.tfrecord", [record(values + each, 0) for each in range(5)])
        splits = open_splits([path], height=2, width=3, channels=2, classes=1, batch_size=1, seed=0)
        ((samples, _),) = splits.test.dataset
        assert samples.dtype == tf.float32
        np.testing.assert_array_equal(samples, (values + 4).reshape(1, 2, 3, 2))

    @pytest.mark.parametrize(
        ("count", "message"),
        [
            (19, "19 records, which make 4 batches of 4; .* needs 5: give --batch-size 3 or less"),
            (4, "4 records, which make 1 batches of 4; .* needs 5: give more data"),
        ],
    )
    def test_too_few_batches(self, tmp_path: Path, count: int, message: str) -> None:
        path = numbered_file(tmp_path / "x.tfrecord", range(count))
        with pytest.raises(DataError, match=rf"x\.tfrecord holds {message}"):
            open_small(path)


@pytest.fixture
def six_files(tmp_path: Path) -> list[Path]:
    """60 records in files of 9, 11, 10, 10, 10, 10."""
    bounds = [0, 9, 20, 30, 40, 50, 60]
    return [
        numbered_file(tmp_path / f"{index}.tfrecord", range(bounds[index], bounds[index + 1]))
        for index in range(6)
    ]


def in_epochs(splits: Splits, *epochs: int) -> list[list[float]]:
    """The numbers of the training records in these epochs."""
    found = []
    for epoch in epochs:
        splits.train.begin_epoch(epoch)
        found.append(flat(numbers(splits.train)))
    return found


class TestSeveralFiles:
    """Split by files, training data shuffled."""

    def test_the_published_split(self, six_files: list[Path]) -> None:
        splits = open_small(*reversed(six_files), batch_size=5)
        assert sorted(flat(numbers(splits.train))) == list(range(30))
        assert numbers(splits.validation) == [[30, 31, 32, 33, 34], [35, 36, 37, 38, 39]]
        assert flat(numbers(splits.test)) == list(range(40, 60))
        assert splits.files == tuple(six_files)

    @pytest.mark.parametrize(
        ("count", "validation", "test"), [(3, [1], [2]), (5, [3], [4]), (9, [5, 6], [7, 8])]
    )
    def test_whole_files(
        self, tmp_path: Path, count: int, validation: list[int], test: list[int]
    ) -> None:
        files = [numbered_file(tmp_path / f"{each}.tfrecord", [each]) for each in range(count)]
        splits = open_small(*files, batch_size=1)
        assert flat(numbers(splits.validation)) == validation
        assert flat(numbers(splits.test)) == test
        assert len(numbers(splits.train)) == count - len(validation) - len(test)

    def test_shuffling_is_deterministic(self, six_files: list[Path]) -> None:
        first = open_small(*six_files, seed=3)
        epochs = in_epochs(first, 0, 1)
        again = open_small(*six_files, seed=3)
        assert in_epochs(again, 0, 1) == epochs
        assert in_epochs(again, 0, 1) == epochs
        other = open_small(*six_files, seed=4)
        assert flat(numbers(other.train)) != epochs[0]
        assert epochs[0] != epochs[1]
        assert epochs[0] != sorted(epochs[0])

    def test_the_order_of_an_epoch_is_the_same_in_a_continued_training(
        self, six_files: list[Path]
    ) -> None:
        whole = in_epochs(open_small(*six_files, seed=3), *range(4))
        assert in_epochs(open_small(*six_files, seed=3), 2, 3) == whole[2:]
        # A seed's epochs are not those of the next seed, one later.
        assert not any(order in whole for order in in_epochs(open_small(*six_files, seed=4), 0, 1))

    def test_incomplete_batches_are_dropped(self, six_files: list[Path]) -> None:
        splits = open_small(*six_files, batch_size=7)
        assert list(map(len, numbers(splits.train))) == [7, 7, 7, 7]
        assert numbers(splits.validation) == [list(range(30, 37))]
        assert numbers(splits.test) == [list(range(40, 47)), list(range(47, 54))]
        assert splits.test.labels.tolist() == [number % 3 for number in range(40, 54)]

    def test_two_files(self, six_files: list[Path]) -> None:
        with pytest.raises(DataError, match=r"2 record files in folder .* needs 3 or more, or one"):
            open_small(*six_files[:2])

    def test_no_files(self) -> None:
        with pytest.raises(DataError, match="0 record files; the split"):
            open_small()

    @pytest.mark.parametrize(
        ("batch_size", "message"),
        [
            (31, "the training files in folder .* hold 30 records, less than a batch of 31: "),
            (11, "the validation files .* hold 10 records, .*: give --batch-size 10 or less"),
        ],
    )
    def test_too_few_records(self, six_files: list[Path], batch_size: int, message: str) -> None:
        with pytest.raises(DataError, match=message):
            open_small(*six_files, batch_size=batch_size)

    def test_the_bad_file_is_named(self, six_files: list[Path]) -> None:
        six_files[4].write_text("hello")
        with pytest.raises(DataError, match=r"/4\.tfrecord is broken, or no TFRecord file at all"):
            open_small(*six_files)


class TestAll:
    """Everything, for an evaluation."""

    @pytest.mark.parametrize("count", [1, 2, 6])
    def test_every_record_once_in_order(self, six_files: list[Path], count: int) -> None:
        found = open_all(six_files[:count][::-1], **SIZE, batch_size=7)
        records = [0, 9, 20, 30, 40, 50, 60][count]
        assert flat(numbers(found)) == list(range(records))
        assert found.labels.tolist() == [number % 3 for number in range(records)]
        assert found.batches == len(numbers(found)) == -(-records // 7)


class TestSamples:
    """Samples of a split by their index."""

    @pytest.fixture
    def test_split(self, tmp_path: Path) -> Split:
        return open_small(numbered_file(tmp_path / "x.tfrecord", range(42))).test

    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [
            ((), range(32, 40)),
            ((3,), range(35, 40)),
            ((3, 6), range(35, 38)),
            ((6, 99), range(38, 40)),
            ((6, 6), []),
            ((6, 2), []),
            ((0, 0), []),
        ],
    )
    def test_in_order(
        self, test_split: Split, bounds: tuple[int, ...], expected: list[int]
    ) -> None:
        found = list(test_split.samples(*bounds))
        assert [int(sample[0, 0, 0]) for sample, _ in found] == list(expected)
        assert [label for _, label in found] == [number % 3 for number in expected]
        assert all(sample.shape == (2, 3, 1) for sample, _ in found)
        assert all(type(label) is int for _, label in found)


class TestDataErrors:
    """What breaks after the check."""

    @pytest.mark.parametrize(
        ("harm", "message"),
        [
            (lambda path: path.unlink(), r"cannot read .*/4\.tfrecord: No such file"),
            (
                lambda path: path.write_text("hello"),
                r"4\.tfrecord is broken, or no TFRecord file at all",
            ),
            (lambda path: os.truncate(path, 99), r"4\.tfrecord is broken, or cut off after 1 rec"),
        ],
    )
    def test_the_file_is_named(
        self, six_files: list[Path], harm: Callable[[Path], Any], message: str
    ) -> None:
        splits = open_small(*six_files)
        harm(six_files[4])
        with pytest.raises(DataError, match=message), data_errors(splits.files):
            numbers(splits.test)

    def test_other_failures_are_not_blamed_on_the_files(self, six_files: list[Path]) -> None:
        with (
            pytest.raises(tf.errors.ResourceExhaustedError, match="out of memory"),
            data_errors(six_files),
        ):
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    def test_nothing_happens_without_an_error(self, six_files: list[Path]) -> None:
        with data_errors(six_files):
            six_files[4].unlink()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("out of memory\n\t [[node]]", "out of memory"),
        ("Exception encountered when calling A.\n\n\x1b[1mNegative size\x1b[0m\n", "Negative size"),
        ("{{function_node __w_device_/job:0}} No file [Op:Write] name: ", "No file"),
        ("\n", "no reason given"),
    ],
)
def test_first_line(message: str, line: str) -> None:
    assert first_line(message) == line


def test_importing_the_room_loads_no_tensorflow() -> None:
    heavy = "{'tensorflow', 'keras', 'PIL'}"
    code = f"import sys, micam_fast.training.records; print({heavy} & {{*sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"
