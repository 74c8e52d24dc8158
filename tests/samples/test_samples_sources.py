"""Folders, patterns and lists: which files are meant, in which order, and in how much memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from micam_fast.core.errors import SampleError
from micam_fast.samples import expand_paths, names_beside, read_samples
from tests.helpers.samples import GRAY, numbered


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files and folders, in the working directory."""
    for name in ("b.npy", "a.npy", ".hidden.npy", "c.txt", "s/d.npy", "s/t/a.npy", ".h/e.npy"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "data" / "list").mkdir()
    (tmp_path / "data" / "list" / "z.csv").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*texts: str) -> list[str]:
    """What is meant, without the working directory."""
    return [str(path) for path in expand_paths(texts)]


class TestPatterns:
    """What the shell does not expand, as it is quoted or too long for a command line."""

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("data/*.npy", ["a.npy", "b.npy"]),
            ("data/[!a].npy", ["b.npy"]),
            ("data/?.*", ["a.npy", "b.npy", "c.txt"]),
            ("data/.*.npy", [".hidden.npy"]),
            ("d*/s/*.npy", ["s/d.npy"]),
            ("data/*/*.npy", ["s/d.npy"]),
            ("data/../data/a*", ["../data/a.npy"]),
            ("data/l*", ["list/z.csv"]),
            ("data/s*", ["s/d.npy"]),
            ("data/**/a.npy", ["a.npy", "s/t/a.npy"]),
            ("data/**/*.npy", ["a.npy", "b.npy", "s/d.npy", "s/t/a.npy"]),
            ("data/**", [".hidden.npy", "a.npy", "b.npy", "list/z.csv", "s/d.npy", "s/t/a.npy"]),
            ("data/**/t", ["s/t/a.npy"]),
        ],
    )
    def test_files_and_folders_that_match(self, tree: Path, pattern: str, names: list[str]) -> None:
        assert found(pattern) == [f"data/{name}" for name in names]
        assert found(f"{tree}/{pattern}") == [f"{tree}/data/{name}" for name in names]

    def test_what_a_recursive_pattern_matches_comes_once(self, tree: Path) -> None:
        """A folder that matches is read, too; its files have matched already."""
        names = ["a.npy", "b.npy", "c.txt", "s/d.npy", "s/t/a.npy", "list/z.csv"]
        assert sorted(found("data/**/*")) == sorted(f"data/{name}" for name in names)

    @pytest.mark.parametrize("pattern", ["data/*.png", "none/*.npy", "data/a.npy/*", "none/**"])
    def test_one_that_matches_nothing_is_an_error(self, tree: Path, pattern: str) -> None:
        assert found(pattern) == [f"no file matches {pattern!r}"]

    def test_a_file_of_that_very_name_wins(self, tree: Path) -> None:
        for name in ("[a].npy", "*.npy"):
            (tree / name).touch()
            assert found(name) == [name]
        (tree / "gone?").symlink_to("nowhere")
        assert found("gone?") == ["gone?"]

    def test_several_depths_are_refused(self, tree: Path) -> None:
        assert found("**/s/**") == ["pattern '**/s/**' has several '**', expected is one at most"]

    def test_links_that_lead_back_are_not_followed(self, tree: Path) -> None:
        for name in ("one", "two"):
            (tree / "data" / "s" / name).symlink_to("..")
        assert found("data/**/d.npy") == ["data/s/d.npy"]
        # By its name a link is a folder.
        assert found("data/s/on?/a.npy") == ["data/s/one/a.npy"]

    def test_folders_nested_too_deep_for_a_path(self, tree: Path) -> None:
        name = "x" * 250
        for _ in range(17):
            Path(name).mkdir()
            os.chdir(name)
        os.chdir(tree)
        (last,) = expand_paths(["x*/**"])
        assert isinstance(last, SampleError)
        assert "File name too long" in str(last)

    def test_a_folder_that_cannot_be_read_is_an_error_among_the_files(
        self, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scandir: Callable[..., object] = os.scandir

        def refuse(path: object) -> object:
            if str(path).endswith("/s"):
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        refused = "cannot read folder data/s: Permission denied"
        assert found("data/**/a.npy") == ["data/a.npy", refused]
        assert found("data/s/*") == [refused]

    def test_the_number_of_a_sample_in_each_file(self, tree: Path) -> None:
        np.save("data/a.npy", numbered(2, 1, 8, 6))
        np.save("data/b.npy", numbered(3, 1, 8, 6))
        samples = list(read_samples(["data/*.npy:1", "data/s*:0"], [GRAY]))
        assert [sample.name for sample in samples] == ["a.npy[1]", "b.npy[1]", "s"]
        assert [(sample.path, sample.number) for sample in samples[:2]] == [
            ("data/a.npy", 1),
            ("data/b.npy", 1),
        ]
        assert "data/s is a folder; FILE:N takes a sample of a file" in str(samples[2].error)

    def test_names_of_columns_come_from_the_first_file(self, tree: Path) -> None:
        Path("data/list/z.csv").write_text("a,b,c,d,e,f\n")
        assert names_beside("data/list/*", GRAY, 6) == tuple("abcdef")
        assert names_beside("data/none*", GRAY, 6) is None


def test_only_names_of_a_folder_are_held(tmp_path: Path) -> None:
    """For a million files; a ``Path`` of each takes six times as much."""
    count = 2000
    for number in range(count):
        (tmp_path / f"{number:06}.npy").touch()
    for text in (str(tmp_path), f"{tmp_path}/*.npy", f"{tmp_path}/**"):
        tracemalloc.start()
        try:
            numbers = sum(1 for _ in expand_paths([text]))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert numbers == count
        assert peak < 120 * count + 100_000
