"""``--drawing``, ``--page`` and ``--scale-png`` on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from micam_fast import cli
from tests.helpers.posters import residual_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(residual_model(6), tmp_path / "model.onnx")
    np.save(tmp_path / "sample.npy", np.random.default_rng(0).random((1, 16, 16), np.float32))
    return tmp_path


def run_cli(*words: str) -> Result:
    return CliRunner().invoke(cli.main, words)


def drawn(folder: Path, *options: str) -> str:
    """The SVG that `plot` writes."""
    done = run_cli("plot", "model.onnx", "sample.npy", "--format", "svg", *options)
    assert done.exit_code == 0, done.output
    (path,) = (folder / "micam-output").glob("*.svg")
    return path.read_text()


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ((), 'width="1440" height="900"'),
        (("--page", "a4"), 'width="794" height="1123"'),
        (("--page", "800x700", "--drawing", "poster"), 'width="800" height="700"'),
    ],
)
def test_a_large_network_is_a_poster(folder: Path, options: tuple[str, ...], size: str) -> None:
    assert size in drawn(folder, *options)


@pytest.mark.parametrize(
    "options", [("--drawing", "diagram"), ("--rankdir", "TB"), ("--scale-tiles", "1")]
)
def test_a_large_network_is_a_diagram_where_it_is_meant(
    folder: Path, options: tuple[str, ...]
) -> None:
    assert "all maps: min" in drawn(folder, *options)


def test_demo_draws_posters_if_it_is_told_to(folder: Path) -> None:
    done = run_cli("demo", "--drawing", "poster", "--page", "slide")
    assert done.exit_code == 0
    for path in (folder / "micam-demo").glob("*.svg"):
        assert 'width="1280" height="720"' in path.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--page", "a0"), "unknown page: 'a0'"),
        (("--page", "10x10"), "sides beyond 500 to 14400"),
        (("--drawing", "poster", "--rankdir", "LR"), "not with --drawing poster"),
        (("--scale-png", "0"), "not in the range"),
    ],
)
def test_what_no_poster_can_be(folder: Path, options: tuple[str, ...], words: str) -> None:
    done = run_cli("plot", "model.onnx", "sample.npy", *options)
    assert done.exit_code == 2
    assert words in done.output
