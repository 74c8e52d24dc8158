"""``--frame``: one frame of a sample in its maps, in whatever draws them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import micam_fast
from micam_fast import cli
from tests.helpers.clips import CLIPS, clip_net

LABEL = "frame 3 of 5 (from 0), in the batch axis"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model and two samples."""
    onnx.save(clip_net(), tmp_path / "clips.onnx")
    for index in range(2):
        np.save(tmp_path / f"{index}.npy", CLIPS[index])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: Any) -> Result:
    return CliRunner().invoke(cli.main, [str(word) for word in words], prog_name="micam-fast")


def done(*words: Any) -> Result:
    found = run(*words)
    assert found.exit_code == 0, found.output
    return found


def plot(out: str, *more: Any) -> dict[str, Any]:
    """All numbers of the first sample."""
    done("plot", "clips.onnx", "0.npy", "1.npy", "--format", "npz,svg", "--output-dir", out, *more)
    (path,) = Path(out).glob("*sample-0*.npz")
    return dict(np.load(path))


def test_plot_maps_one_frame(folder: Path) -> None:
    found = plot("out", "--frame", 3)
    expected = micam_fast.load_model(clip_net()).explain(CLIPS[0], frame=3)
    for name, cam in expected.cams.items():
        np.testing.assert_array_equal(found[f"cam/{name}"], cam)
    (drawn,) = Path("out").glob("*sample-0*.svg")
    assert drawn.read_text().count(LABEL) == 5


def test_on_a_cluster_too() -> None:
    found = plot("out", "--frame", 3, "--scheduler", "local:1")
    expected = plot("alone", "--frame", 3)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_another_frame_is_another_run() -> None:
    plot("out", "--frame", 3)
    again = ("plot", "clips.onnx", "0.npy", "1.npy", "--format", "npz,svg", "--output-dir", "out")
    assert "2 samples" in done(*again, "--frame", 3, "--resume").output
    for more, said in ((("--frame", 2), "is 2"), ((), "is not given")):
        refused = run(*again, *more, "--resume")
        assert refused.exit_code == 2
        assert f"cannot resume the run in out: --frame was 3, {said}" in refused.output


@pytest.mark.parametrize("command", ["plot", "grids", "features", "view", "diff"])
def test_a_frame_that_is_not_there(command: str) -> None:
    samples = ("0.npy", "1.npy") if command == "diff" else ("0.npy",)
    found = run(command, "clips.onnx", *samples, "--frame", 5)
    assert found.exit_code == 2
    assert "there is no frame 5: layer 'fold' has 5 frames, from 0" in found.output


def test_grids_of_one_frame() -> None:
    words = ("grids", "clips.onnx", "0.npy", "--layers", "conv,y", "--format", "svg")
    done(*words, "--frame", 3, "--output-dir", "grids")
    (path,) = Path("grids").glob("*conv*.svg")
    assert LABEL in path.read_text()


def test_the_page_of_one_frame() -> None:
    done("view", "clips.onnx", "0.npy", "--frame", 3, "--output", "page.html")
    text = Path("page.html").read_text()
    assert LABEL in text
    assert "mean of 5" not in text


def test_a_difference_of_one_frame() -> None:
    words = ("diff", "clips.onnx", "0.npy", "1.npy", "--format", "svg")
    done(*words, "--frame", 3, "--output-dir", "diff")
    (path,) = Path("diff").glob("*.svg")
    assert LABEL in path.read_text()
