"""Pictures, a folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from micam_fast.core.errors import DataError, SampleError
from micam_fast.training.records import Pictures, find_pictures, picture_samples


def forbidden(note: str) -> None:
    pytest.fail(f"nothing was to be said: {note}")


def save(path: Path, grey: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 2), grey).save(path)
    return path


def read(path: Path) -> NDArray[np.float32]:
    """The picture's grey, or SampleError for names with 'bad'."""
    if "bad" in path.name:
        raise SampleError(f"{path} is bad")
    return np.full((1, 1, 1), np.asarray(Image.open(path))[0, 0], np.float32)


class TestFind:
    """Which files are pictures of which class."""

    def test_classes_are_numbered_by_name(self, tmp_path: Path) -> None:
        files = {
            (save(tmp_path / "dog" / "1.png"), 1),
            (save(tmp_path / "cat" / "2.jpg"), 0),
            (save(tmp_path / "cat" / "1.PNG"), 0),
            (save(tmp_path / "emu" / "1.webp"), 2),
        }
        found = find_pictures(tmp_path, say=forbidden)
        assert found.classes == ("cat", "dog", "emu")
        assert set(found.files) == files
        assert len(found.files) == 4

    def test_the_classes_are_mixed_and_always_in_the_same_way(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            for number in range(20):
                save(tmp_path / name / f"{number}.png")
        found = find_pictures(tmp_path, say=forbidden)
        labels = [label for _, label in found.files]
        assert set(labels[:12]) == set(labels[-12:]) == {0, 1, 2}
        assert find_pictures(tmp_path, say=forbidden) == found

    def test_what_is_left_out_is_said(self, tmp_path: Path) -> None:
        picture = save(tmp_path / "a" / "1.png")
        save(tmp_path / "loose.png")
        save(tmp_path / "a" / "deeper" / "2.png")
        (tmp_path / "a" / "notes.txt").touch()
        (tmp_path / "b").mkdir()
        notes: list[str] = []
        found = find_pictures(tmp_path, say=notes.append)
        assert found == Pictures(tmp_path, ("a", "b"), ((picture, 0),))
        assert notes == [
            f"class folder {tmp_path}/b holds no picture: class 1 has no record",
            f"entries of folder {tmp_path} left out, as their suffix is no picture's or they are "
            "in no class folder: 3",
        ]

    def test_hidden_files_are_nothing(self, tmp_path: Path) -> None:
        picture = save(tmp_path / "a" / "1.png")
        save(tmp_path / "a" / "._1.png")
        save(tmp_path / ".thumbnails" / "1.png")
        (tmp_path / ".DS_Store").touch()
        found = find_pictures(tmp_path, say=forbidden)
        assert found == Pictures(tmp_path, ("a",), ((picture, 0),))

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"cannot read folder .*/no: No such file or directory"):
            find_pictures(tmp_path / "no", say=forbidden)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no picture in folder .*/CLASS/PICTURE\.png"):
            find_pictures(tmp_path, say=forbidden)

    def test_pictures_without_class_folders(self, tmp_path: Path) -> None:
        save(tmp_path / "1.png")
        with pytest.raises(DataError, match=r"no picture in folder .*/CLASS/PICTURE\.png"):
            find_pictures(tmp_path, say=forbidden)


class TestSamples:
    """Pictures as samples."""

    def test_each_with_its_class(self, tmp_path: Path) -> None:
        pictures = Pictures(
            tmp_path,
            ("a", "b"),
            ((save(tmp_path / "1.png", 10), 1), (save(tmp_path / "2.png", 20), 0)),
        )
        samples = list(picture_samples(pictures, read=read, skipped=forbidden))
        assert [(sample.item(), label) for sample, label in samples] == [(10, 1), (20, 0)]

    def test_a_broken_one_is_named_and_left_out(self, tmp_path: Path) -> None:
        pictures = Pictures(
            tmp_path,
            ("a", "b"),
            ((save(tmp_path / "bad.png"), 0), (save(tmp_path / "2.png", 20), 1)),
        )
        skipped: list[str] = []
        samples = list(picture_samples(pictures, read=read, skipped=skipped.append))
        assert [(sample.item(), label) for sample, label in samples] == [(20, 1)]
        assert skipped == [f"{tmp_path}/bad.png is bad"]

    def test_all_broken(self, tmp_path: Path) -> None:
        pictures = Pictures(tmp_path, ("a",), ((save(tmp_path / "bad.png"), 0),))
        skipped: list[str] = []
        with pytest.raises(DataError, match=r"not one of the 1 pictures in folder .* can be read"):
            list(picture_samples(pictures, read=read, skipped=skipped.append))
        assert len(skipped) == 1
