"""Writing of record files: the published format, the dealing to shards, no half files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from micam_fast.core.errors import DataError, MissingExtraError
from micam_fast.training.records import LabelledSample, write_records, write_side_file
from tests.helpers.commands import names
from tests.helpers.tfrecord_files import labels_of, read_file


def numbered(count: int) -> Iterator[LabelledSample]:
    """Samples whose label is their number."""
    for number in range(count):
        yield np.full((2, 1, 1), number, np.float32), number


def broken(count: int) -> Iterator[LabelledSample]:
    """Samples of a source that fails."""
    yield from numbered(count)
    raise DataError("the source failed")


class TestFormat:
    """One record, as the published package wrote it."""

    def test_values_are_row_major_and_the_label_an_integer(self, tmp_path: Path) -> None:
        sample = np.arange(12, dtype=np.float32).reshape(2, 3, 2) + 0.25
        written = write_records([(sample, 7)], tmp_path, "one")
        ((values, label),) = read_file(tmp_path / "one.tfrecord")
        np.testing.assert_array_equal(values, np.arange(12) + 0.25)
        assert label == 7
        assert written.files == (tmp_path / "one.tfrecord",)
        assert written.records == 1

    def test_values_of_a_view_are_in_its_own_order(self, tmp_path: Path) -> None:
        sample = np.arange(6, dtype=np.float32).reshape(3, 2, 1).transpose(1, 0, 2)
        write_records([(sample, 0)], tmp_path, "view")
        ((values, _),) = read_file(tmp_path / "view.tfrecord")
        assert values.tolist() == [0, 2, 4, 1, 3, 5]

    def test_the_same_samples_make_the_same_bytes(self, tmp_path: Path) -> None:
        for stem in "ab":
            write_records(numbered(200), tmp_path, stem)
        assert (tmp_path / "a.tfrecord").read_bytes() == (tmp_path / "b.tfrecord").read_bytes()


class TestFiles:
    """One file, or records dealt to several."""

    def test_a_single_file_keeps_the_order(self, tmp_path: Path) -> None:
        write_records(numbered(5), tmp_path / "new" / "folder", "data")
        assert names(tmp_path / "new" / "folder") == ["data.tfrecord"]
        assert labels_of(tmp_path / "new" / "folder" / "data.tfrecord") == [0, 1, 2, 3, 4]

    def test_shards_are_dealt_to(self, tmp_path: Path) -> None:
        written = write_records(numbered(8), tmp_path, "data", shards=3)
        assert [path.name for path in written.files] == [
            "data-00000-of-00003.tfrecord",
            "data-00001-of-00003.tfrecord",
            "data-00002-of-00003.tfrecord",
        ]
        assert written.records == 8
        assert [labels_of(path) for path in written.files] == [[0, 3, 6], [1, 4, 7], [2, 5]]

    def test_a_file_is_replaced(self, tmp_path: Path) -> None:
        write_records(numbered(5), tmp_path, "data")
        write_records(numbered(2), tmp_path, "data")
        assert labels_of(tmp_path / "data.tfrecord") == [0, 1]

    def test_nothing_is_seen_of_a_failed_run(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the source failed"):
            write_records(broken(3), tmp_path, "data", shards=3)
        assert names(tmp_path) == []

    def test_a_failed_run_leaves_the_file_of_an_earlier_one(self, tmp_path: Path) -> None:
        write_records(numbered(5), tmp_path, "data")
        with pytest.raises(DataError, match="the source failed"):
            write_records(broken(3), tmp_path, "data")
        assert names(tmp_path) == ["data.tfrecord"]
        assert len(labels_of(tmp_path / "data.tfrecord")) == 5


class TestErrors:
    """What cannot be written."""

    def test_no_sample(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"x\.tfrecord: there is not one sample"):
            write_records([], tmp_path, "x")
        assert names(tmp_path) == []

    def test_fewer_samples_than_files(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="3 samples do not fill 4 files"):
            write_records(numbered(3), tmp_path, "x", shards=4)
        assert names(tmp_path) == []

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match=r"cannot write to folder .*/file: File exists"):
            write_records(numbered(3), tmp_path / "file", "x")

    def test_what_tensorflow_cannot_open(self, tmp_path: Path) -> None:
        """The hidden name is no name that the user knows."""
        with pytest.raises(DataError, match=f"^cannot write to folder {tmp_path}: File name too l"):
            write_records(numbered(3), tmp_path, "x" * 300)

    def test_without_tensorflow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorflow", None)
        with pytest.raises(MissingExtraError, match=r"needs tensorflow.*'micam-fast\[training\]'"):
            write_records(numbered(3), tmp_path, "x")


class TestSideFile:
    """JSON beside the records."""

    def test_its_text_can_be_read(self, tmp_path: Path) -> None:
        write_side_file(tmp_path / "side.json", {"classes": ("Äpfel", "Birnen")})
        assert "Äpfel" in (tmp_path / "side.json").read_text("utf-8")
        assert json.loads((tmp_path / "side.json").read_text("utf-8")) == {
            "classes": ["Äpfel", "Birnen"]
        }
        assert names(tmp_path) == ["side.json"]

    def test_where_it_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "side.json").mkdir()
        with pytest.raises(DataError, match=r"cannot write to folder .*: Is a directory"):
            write_side_file(tmp_path / "side.json", {})
        assert names(tmp_path) == ["side.json"]
