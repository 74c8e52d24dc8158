"""``micam-fast train`` and ``evaluate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from micam_fast import cli
from micam_fast.cli import training_diagrams
from micam_fast.cli.commands.evaluate import evaluate
from micam_fast.cli.commands.train import train
from micam_fast.core.errors import SampleError, TrainingError
from micam_fast.runs.sample_files import PlotOptions
from micam_fast.runs.summary import RunSummary
from micam_fast.training import training
from micam_fast.training.checkpoints import Checkpoint, State
from micam_fast.training.metrics import Evaluation
from micam_fast.training.networks import list_networks
from micam_fast.training.records import write_records
from micam_fast.training.settings import TrainSettings
from micam_fast.training.training import Trained
from tests.helpers.commands import failure_line, succeeded, usage_error
from tests.helpers.training_cases import make_samples, pytestmark as pytestmark, small_network, tf

# What turns our errors into one line, with these two commands.
GROUP = type(cli.main)("micam-fast", commands=[train, evaluate])
# The published example, and everything that it leaves at its default.
PUBLISHED = (
    "--cnn-model lenet5 --classes 10 --window-size 1 --height 75 --width 75 --batch-size 64 "
    "--num-epochs 3 --data-file mnist.tfrecord --learning-rate 1e-5 --dropout 0.25 --log-dir log "
    "--batch-normalization --seed 3 --early-stopping 4 --resume --samples 7"
)
SMALL = (
    "--cnn-model lenet5 --classes 3 --window-size 1 --height 12 --width 12 --batch-size 8 "
    "--num-epochs 2 --learning-rate 1e-3 --samples 1 --seed 1"
)
untyped: Any = None
EVALUATION = Evaluation(0, 0, (), (), 0, 0, 0, 0, 0)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(GROUP, [str(word) for word in words], prog_name="micam-fast")


Given = dict[str, Any]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What the training was told; it does not take place."""
    seen: Given = {"result": Trained(EVALUATION, {}, Path(), untyped)}

    def pretend(settings: TrainSettings, **more: Any) -> Trained:
        seen.update(more, settings=settings)
        if isinstance(seen["result"], BaseException):
            raise seen["result"]
        assert isinstance(seen["result"], Trained)
        return seen["result"]

    def draw(model: Path, test: Any, folder: Path, *_: Any, **more: Any) -> Any:
        return PlotOptions(folder), seen["summary"]

    seen["summary"] = RunSummary()
    seen["summary"].count(0, "a", ["a.png"])
    monkeypatch.setattr(training, "train", pretend)
    monkeypatch.setattr(training_diagrams, "plot_test_samples", draw)
    return seen


class TestOptions:
    """Published flags in kebab case, and their defaults."""

    def test_defaults(self, given: Given) -> None:
        succeeded(run("train", "--data-dir", "records"))
        settings = given["settings"]
        assert settings == TrainSettings(data=Path("records"), log_dir=Path("micam-training"))
        assert (settings.cnn_model, settings.classes, settings.window_size) == ("resnet50", 2, 3)
        assert (settings.height, settings.width, settings.batch_size) == (150, 75, 64)
        assert (settings.num_epochs, settings.learning_rate, settings.dropout) == (20, 1e-5, 0.5)
        assert settings.samples == 40
        assert settings.batch_normalization is False
        assert (given["resume"], given["verbose"]) == (False, 2)

    def test_every_setting_is_an_option(self) -> None:
        names = {param.name for param in train.params}
        settings = {field.name for field in fields(TrainSettings)}
        assert names - {"list_models"} == (settings - {"data"}) | {
            "data_dir",
            "data_file",
            "resume",
        }

    def test_published_example(self, given: Given) -> None:
        succeeded(run("train", *PUBLISHED.split()))
        assert given["resume"] is True
        assert given["settings"] == TrainSettings(
            data=Path("mnist.tfrecord"), log_dir=Path("log"), cnn_model="lenet5", classes=10,
            window_size=1, height=75, width=75, batch_size=64, num_epochs=3, learning_rate=1e-5,
            dropout=0.25, batch_normalization=True, seed=3, early_stopping=4, samples=7,
        )  # fmt: skip

    def test_list_of_networks(self) -> None:
        assert succeeded(run("train", "--list-models")).stdout.split() == list(list_networks())

    @pytest.mark.parametrize("words", [[], ["--data-dir", "a", "--data-file", "b"]])
    def test_data_are_given_in_one_way(self, words: list[str]) -> None:
        assert "by --data-dir FOLDER or by --data-file FILE" in usage_error(run("train", *words))

    def test_folder_and_file_are_not_mistaken(self, tmp_path: Path) -> None:
        file = tmp_path / "a.tfrecord"
        file.touch()
        assert "is a file; --data-file takes files" in usage_error(run("train", "--data-dir", file))
        line = usage_error(run("train", "--data-file", tmp_path))
        assert "is a folder; --data-dir takes folders" in line

    @pytest.mark.parametrize(
        ("option", "value", "said"),
        [
            ("--classes", "1", "1 is not in the range x>=2"),
            ("--learning-rate", "0", "0.0 is not in the range x>0"),
            ("--learning-rate", "nan", "learning_rate must be above 0, not nan"),
            ("--dropout", "1", "1.0 is not in the range 0<=x<1"),
            ("--early-stopping", "0", "0 is not in the range x>=1"),
            ("--seed", "4294967296", "seed must be from 0 to 4294967295"),
        ],
    )
    def test_values(self, option: str, value: str, said: str) -> None:
        assert said in usage_error(run("train", "--data-dir", "a", option, value))


class TestEnd:
    """How a run of ``train`` ends."""

    def test_error(self, given: Given) -> None:
        given["result"] = TrainingError("too\nsmall")
        assert failure_line(run("train", "--data-dir", "a")) == "micam-fast: error: too small"

    @pytest.mark.parametrize(("failed", "code"), [(False, 0), (True, 1)])
    def test_report_of_the_diagrams(self, failed: bool, code: int, given: Given) -> None:
        if failed:
            given["summary"].count(1, "b", SampleError("bad"))
        result = run("train", "--data-dir", "a")
        assert result.exit_code == code
        assert result.stdout.startswith("wrote 1 file (png) for 1 sample to ")

    def test_interrupted(self, given: Given, tmp_path: Path) -> None:
        given["result"] = KeyboardInterrupt()
        words = ["train", "--data-dir", "a", "--log-dir", str(tmp_path), "--num-epochs", "5"]
        result = run(*words)
        assert result.exit_code == 130
        assert result.stderr == (
            "micam-fast: interrupted: no epoch was complete, so nothing is kept\n"
        )
        checkpoint, state = Checkpoint(tmp_path), State({}, 2)
        checkpoint.folder.mkdir()
        checkpoint.weights(state).touch()
        checkpoint.write(state)
        result = run(*words)
        assert result.exit_code == 130
        assert result.stderr == (
            f"micam-fast: interrupted: 2 of 5 epochs are kept in {tmp_path}; the same command with "
            "--resume goes on\n"
        )


@pytest.fixture
def records(tmp_path: Path) -> Path:
    write_records(make_samples(85, 4), tmp_path / "records", "stripes")
    return tmp_path / "records"


@pytest.mark.heavy
def test_a_real_training(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    result = succeeded(
        run("train", "--data-dir", records, "--log-dir", tmp_path / "log", *SMALL.split())
    )
    lines = result.stdout.splitlines()
    assert lines[0].startswith("lenet5: 1,136,003 parameters")
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert sum(line.startswith("6/6 - ") for line in lines) == 2
    assert any(line.endswith("of 16 samples right)") for line in lines)
    assert lines[-2].startswith("sample 0 (test sample 15): model_sample-0_label-")
    assert lines[-1].startswith("wrote 1 file (png) for 1 sample to ")
    assert "\b" not in result.stdout


class TestEvaluate:
    """``micam-fast evaluate``."""

    @pytest.fixture
    def evaluated(self, records: Path, tmp_path: Path) -> Callable[..., Result]:
        small_network().save(tmp_path / "net.keras")

        def evaluated(*words: str | Path, batch_size: int = 8) -> Result:
            more = ("--batch-size", str(batch_size), *words)
            return run("evaluate", tmp_path / "net.keras", records, *more)

        return evaluated

    def test_table_and_json(self, evaluated: Callable[..., Result], tmp_path: Path) -> None:
        result = succeeded(evaluated("--json", tmp_path / "scores.json"))
        assert result.stdout.startswith("class  samples  TP  TN  FP  FN  precision  recall")
        assert "of 16 samples right)" in result.stdout
        read = json.loads((tmp_path / "scores.json").read_text())
        assert read["samples"] == 16
        assert f"mean average precision {read['mean_average_precision']:.4f}" in result.stdout

    def test_everything(self, evaluated: Callable[..., Result]) -> None:
        for batch_size in (8, 64, 100):
            result = succeeded(evaluated("--split", "all", batch_size=batch_size))
            assert "of 85 samples right)" in result.stdout

    def test_errors_are_one_line(self, evaluated: Callable[..., Result], tmp_path: Path) -> None:
        line = failure_line(evaluated("--height", "13"))
        assert line.endswith("net.keras takes samples of height 12, --height says 13")
        line = failure_line(evaluated("--json", tmp_path / "net.keras" / "a.json"))
        assert "cannot write to folder" in line
        line = failure_line(evaluated(batch_size=20))
        assert "the split into training, validation and test needs 5" in line
