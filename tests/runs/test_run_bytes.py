"""The same bytes for the same model, samples and options: every file of a run is hashed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from micam_fast import cli, demo
from micam_fast.core.choices import LOOKS, PROJECTIONS
from micam_fast.core.formats import format_names
from micam_fast.runs.manifest import NAME
from tests.helpers.commands import COMMAND
from tests.helpers.run_folders import folder_digests, manifest_lines

QUICK = ",".join(name for name in format_names("diagram") if name != "html")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven samples in two files, one of no finite values, and files that are none."""
    folder = tmp_path_factory.mktemp("samples")
    values = np.load(demo.DIGITS)
    np.save(folder / "a.npy", values[:3])
    (folder / "b.npy").write_bytes(b"no array")
    np.save(folder / "c.npy", np.full_like(values[0], np.nan))
    np.save(folder / "d.npy", values[3:6])
    (folder / "e.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def two_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what takes long."""
    path = tmp_path_factory.mktemp("digits") / "two.npy"
    np.save(path, np.load(demo.DIGITS)[:2])
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of this file write, one after the other: a DOT file names its folder."""
    return tmp_path_factory.mktemp("place") / "o"


@pytest.fixture(autouse=True)
def cleared(place: Path) -> Iterator[None]:
    yield
    shutil.rmtree(place, ignore_errors=True)


def words(samples: Path, folder: Path | str, *more: str) -> list[str]:
    given = ["plot", str(demo.MODEL), str(samples), "--layout", "nchw", "--scale-tiles", "0.2"]
    return [*given, "--output-dir", str(folder), *more]


def plot(samples: Path, folder: Path, *more: str, resume: bool = False) -> dict[str, str]:
    """Digests of a run in this process."""
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    given = words(samples, folder, *more, *(["--resume"] if resume else []))
    found = CliRunner().invoke(cli.main, given)
    assert found.exit_code in (0, 1), found.output
    return folder_digests(folder)


def plot_apart(samples: Path, folder: Path, *more: str, seed: int) -> dict[str, str]:
    """Digests of a run in a process of its own, from elsewhere, with another order of sets."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [COMMAND, *words(samples, folder.name, *more)],
        cwd=folder.parent,
        env={**os.environ, "PYTHONHASHSEED": str(seed), "TZ": f"UTC{seed:+d}", "LC_ALL": "C"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return folder_digests(folder)


@pytest.fixture(scope="module")
def expected(digits: Path, place: Path) -> dict[str, str]:
    """Digests of a run in every format but HTML, which takes longest."""
    found = plot(digits, place, "--format", QUICK, "--threads", "2")
    suffixes = {name.rpartition(".")[2] for name in found}
    assert suffixes == {"png", "svg", "npz", "pdf", "dot", "jsonl"}
    assert any("_tiles/strip.png" in name for name in found)
    done = manifest_lines(place)
    assert ["error" in each for each in done] == [False] * 3 + [True] + [False] * 4 + [True]
    assert {name for each in done for name in each.get("files", ())} | {NAME} == set(found)
    return found


class TestEveryFormat:
    """Whatever the threads and batches, in whichever process, at once or in parts."""

    @pytest.mark.parametrize(
        "more",
        [
            ("--threads", "1"),
            ("--threads", "1", "--batch-size", "2"),
            ("--threads", "2", "--batch-size", "1"),
            ("--threads", "3", "--batch-size", "5"),
        ],
        ids=" ".join,
    )
    def test_threads_and_batches(
        self, more: tuple[str, ...], digits: Path, place: Path, expected: dict[str, str]
    ) -> None:
        assert plot(digits, place, "--format", QUICK, *more) == expected

    @pytest.mark.parametrize("seed", [1, 2])
    def test_other_processes(
        self, seed: int, digits: Path, place: Path, expected: dict[str, str]
    ) -> None:
        assert plot_apart(digits, place, "--format", QUICK, seed=seed) == expected

    def test_a_run_in_parts(self, digits: Path, place: Path, expected: dict[str, str]) -> None:
        """As many lines as a killed run may have left, then the rest; some files are damaged."""
        plot(digits, place, "--format", QUICK)
        content = (place / NAME).read_bytes().splitlines(keepends=True)
        (place / NAME).write_bytes(b"".join(content[:5]) + content[5][:50])
        for pattern in ("*_sample-1_*.pdf", "*_sample-2_*_tiles/strip.png"):
            next(place.glob(pattern)).unlink()
        more = ("--format", QUICK, "--threads", "1", "--batch-size", "2")
        assert plot(digits, place, *more, resume=True) == expected

    def test_what_is_hashed_can_differ(
        self, digits: Path, place: Path, expected: dict[str, str]
    ) -> None:
        """Else the tests above could not fail."""
        found = plot(digits, place, "--format", QUICK, "--compress-level", "2")
        assert found.keys() == expected.keys()
        differing = {name for name in found if found[name] != expected[name]}
        assert {name.rpartition(".")[2] for name in differing} >= {"png", "jsonl"}
        assert not {name for name in differing if name.endswith((".svg", ".npz"))}


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("look", LOOKS)
def test_looks_and_projections(look: str, projection: str, digits: Path, place: Path) -> None:
    more = ("--look", look, "--projection", projection, "--format", "png,svg,npz,tiles")
    found = plot(digits, place, *more, "--threads", "1", "--batch-size", "3")
    assert plot(digits, place, *more, "--threads", "3", "--batch-size", "2") == found
    assert len(found) > 7 * 12


@pytest.mark.slow
def test_pages(two_digits: Path, place: Path) -> None:
    """Two threads write pages at a time; Bokeh has numbers and random names for its models."""
    found = plot(two_digits, place, "--format", "html", "--threads", "2", "--batch-size", "1")
    assert len(found) == 3
    assert plot_apart(two_digits, place, "--format", "html", "--threads", "1", seed=3) == found
