"""``--prediction``, ``--logits`` and ``--class-names``, in every command that says a class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result

import micam_fast
from micam_fast.cli import main
from micam_fast.runs.manifest import NAME
from tests.helpers.commands import failure_line, succeeded
from tests.helpers.heads import heads_net
from tests.helpers.models import conv_net, random_array
from tests.helpers.pages import held
from tests.helpers.run_folders import manifest_lines

Run = Callable[..., Result]
SAMPLE = random_array(1, 1, 8, 6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has models, a sample and names of five classes."""
    onnx.save(heads_net(), tmp_path / "heads.onnx")
    onnx.save(conv_net(logits=True), tmp_path / "dense.onnx")
    np.save(tmp_path / "one.npy", SAMPLE)
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\nemu\n")
    return tmp_path


@pytest.fixture
def run(folder: Path, run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    return run_cli


def found(folder: Path, file: str, **how: Any) -> micam_fast.Prediction:
    prediction = micam_fast.load_model(folder / file, **how).explain(SAMPLE).prediction
    assert prediction is not None
    return prediction


def test_every_command_that_says_a_class_has_them() -> None:
    having = {
        name
        for name, command in main.commands.items()
        if {"prediction", "logits", "class_names"} <= {param.name for param in command.params}
    }
    assert having == {"plot", "view", "features", "check", "diff"}


def test_plot_a_class_with_its_name(run: Run, folder: Path, cli_out: Path) -> None:
    words = ("--format", "svg", "--class-names", "names.txt", "--prediction", "logits")
    succeeded(run("plot", "heads.onnx", "one.npy", *words))
    said = found(folder, "heads.onnx", prediction="logits", logits=True)
    name = ("ant", "bee", "cat", "dog", "emu")[said.index]
    file = f"heads_sample-0_pred-{said.index}-{said.probability:.4f}.svg"
    heading = f"prediction: class {said.index} ({name}), probability {said.probability:.4f}"
    assert heading in (cli_out / file).read_text()
    (line,) = manifest_lines(cli_out)
    assert line["prediction"] == {
        "class": said.index,
        "probability": said.probability,
        "name": name,
    }
    assert "largest" not in line
    header = json.loads((cli_out / NAME).read_text().splitlines()[0])
    assert header["options"]["--prediction"] == "logits"
    assert header["options"]["--logits"] is False
    assert header["options"]["--class-names"] == "names.txt"
    assert header["class_names_sha256"] == hashlib.sha256(b"ant\nbee\ncat\ndog\nemu").hexdigest()


def test_plot_the_largest_output(run: Run, folder: Path, cli_out: Path) -> None:
    """Neither the heading nor a file's name nor the manifest claims a class."""
    succeeded(run("plot", "dense.onnx", "one.npy", "--format", "svg,npz"))
    said = found(folder, "dense.onnx")
    stem = f"dense_sample-0_largest-{said.index}"
    words = f"largest of 5 outputs: {said.index} ({said.probability:.4f} if they are logits)"
    assert f"prediction: {words}" in (cli_out / f"{stem}.svg").read_text()
    with np.load(cli_out / f"{stem}.npz") as data:
        assert data["prediction"].sum() != pytest.approx(1)
        assert data["prediction"].argmax() == said.index
    (line,) = manifest_lines(cli_out)
    assert line["prediction"] is None
    assert line["largest"] == {
        "output": said.index,
        "of": 5,
        "probability_if_logits": said.probability,
    }
    header = json.loads((cli_out / NAME).read_text().splitlines()[0])
    assert "class_names_sha256" not in header


def test_plot_logits(run: Run, folder: Path, cli_out: Path) -> None:
    succeeded(run("plot", "dense.onnx", "one.npy", "--format", "npz", "--logits"))
    said = found(folder, "dense.onnx")
    (line,) = manifest_lines(cli_out)
    assert line["prediction"] == {"class": said.index, "probability": said.probability}
    assert list(line["files"]) == [f"dense_sample-0_pred-{said.index}-{said.probability:.4f}.npz"]


def test_plot_none(run: Run, cli_out: Path) -> None:
    succeeded(run("plot", "heads.onnx", "one.npy", "--format", "npz", "--prediction", "none"))
    (line,) = manifest_lines(cli_out)
    assert line["prediction"] is None
    assert "largest" not in line
    assert list(line["files"]) == ["heads_sample-0.npz"]


def test_other_names_are_another_run(run: Run, folder: Path) -> None:
    words = ("plot", "dense.onnx", "one.npy", "--format", "npz", "--class-names", "names.txt")
    succeeded(run(*words))
    succeeded(run(*words, "--resume"))
    (folder / "names.txt").write_text("a\nb\nc\nd\ne\n")
    assert "class_names_sha256 was " in failure_line(run(*words, "--resume"))


def test_features(run: Run, folder: Path) -> None:
    words = ("features", "dense.onnx", "one.npy", "--top", "1")
    said = found(folder, "dense.onnx")
    first = succeeded(run(*words, out=False)).stdout.splitlines()[0]
    assert first == f"one.npy, largest output {said.index} of 5"
    first = succeeded(run(*words, "--logits", out=False)).stdout.splitlines()[0]
    assert first == f"one.npy, class {said.index} ({said.probability:.4f})"


def test_view(run: Run, folder: Path) -> None:
    page = folder / "page.html"
    words = ("view", "dense.onnx", "one.npy", "--output", str(page))
    said = found(folder, "dense.onnx")
    succeeded(run(*words, "--class-names", "names.txt", out=False))
    name = ("ant", "bee", "cat", "dog", "emu")[said.index]
    (sample,) = held(page.read_text())["samples"]
    assert sample["prediction"] == f"predicted {said.index} {name} ({said.probability:.4f})"
    succeeded(run(*words, out=False))
    (sample,) = held(page.read_text())["samples"]
    assert sample["prediction"] == f"largest output {said.index} of 5"
    succeeded(run(*words, "--prediction", "none", out=False))
    (sample,) = held(page.read_text())["samples"]
    assert sample["prediction"] is None


def test_check(run: Run, folder: Path) -> None:
    words = ("check", "dense.onnx", "one.npy", "--draws", "1", "--output", str(folder / "c.csv"))
    said = " ".join(succeeded(run(*words, out=False)).stdout.split())
    assert "Area under the softmax of the largest output, which may be no class; low is" in said
    said = " ".join(succeeded(run(*words, "--logits", out=False)).stdout.split())
    assert "Area under the probability of the predicted class; low is" in said


def test_diff(run: Run, folder: Path, cli_out: Path) -> None:
    succeeded(run("diff", "dense.onnx", "one.npy", "one.npy", "--format", "svg", "--logits"))
    (path,) = cli_out.iterdir()
    said = found(folder, "dense.onnx", logits=True)
    assert f"one.npy, prediction: {said}" in path.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--prediction", "cls"),
            "model 'heads' has no output 'cls' made from its input (must be one of 'box', "
            "'logits', 'scores', or 'none')",
        ),
        (("--logits",), "output 'scores' of model 'heads' is made by a Softmax: its numbers are"),
        (
            ("--prediction", "box", "--class-names", "names.txt"),
            "output 'box' of model 'heads': 5 class names for 4 classes; give one line for each",
        ),
        (("--prediction", "none", "--logits"), "prediction 'none' claims no class, so that"),
        (("--class-names", "gone.txt"), "cannot read class names gone.txt: No such file"),
        (("--class-names", "one.npy"), "cannot read class names one.npy: it is no UTF-8 text"),
        (("--class-names", "empty.txt"), "no class names in empty.txt; expected is one a line"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: tuple[str, ...], message: str, run: Run, folder: Path, cli_out: Path
) -> None:
    (folder / "empty.txt").touch()
    assert message in failure_line(run("plot", "heads.onnx", "one.npy", *words))
    assert not cli_out.exists()
