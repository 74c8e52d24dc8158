"""Whole trainings on real record files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast import load_model
from micam_fast.cli.training_diagrams import plot_test_samples
from micam_fast.core.errors import (
    DataError,
    LayoutEngineError,
    MissingExtraError,
    OutputError,
    TrainingError,
)
from micam_fast.runs.observing import RunSample
from micam_fast.runs.summary import RunSummary
from micam_fast.training import training
from micam_fast.training.evaluation import evaluate_model
from micam_fast.training.records import write_records
from micam_fast.training.settings import TrainSettings
from micam_fast.training.training import Trained, train
from tests.helpers.training_cases import (
    BATCH,
    CLASSES,
    keras,
    make_samples,
    make_settings,
    pytestmark as pytestmark,
    tf,
)

multiplexer = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer")


@pytest.fixture(scope="module", autouse=True)
def determinism() -> Iterator[list[bool]]:
    """Calls for deterministic operations, which nothing takes back in a process."""
    calls: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(True))
        yield calls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record files, 10 batches."""
    folder = tmp_path_factory.mktemp("training")
    write_records(make_samples(85, 4), folder / "data", "stripes")
    return folder


class Told:
    """What a training said, and what it was called for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.done: list[str] = []

        self.summary: RunSummary | None = None

    def finished(self, sample: RunSample) -> None:
        self.done.append(sample.name)

    def train(self, settings: TrainSettings, **more: Any) -> Trained:
        trained = train(settings, say=self.lines.append, note=self.notes.append, **more)
        if settings.samples:
            self.lines.append("plotting")
            folder = settings.log_dir / "MCAM"
            _, self.summary = plot_test_samples(
                trained.model, trained.test, folder, settings.samples, observers=[self]
            )
        return trained


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def trained(folder: Path, told: Told) -> Trained:
    """A training of three epochs, which the tests below look at."""
    return told.train(make_settings(folder))


@pytest.fixture(scope="module")
def log(folder: Path, trained: Trained) -> Path:
    return folder / "log"


class TestResult:
    """What a training leaves."""

    def test_files(self, log: Path) -> None:
        found = {path.name for path in log.iterdir() if "tfevents" not in path.name}
        assert found == {
            "MCAM", "checkpoint", "evaluation.json", "model.keras", "model.onnx", "test", "train",
            "validation",
        }  # fmt: skip

    def test_evaluation(self, trained: Trained, log: Path) -> None:
        assert trained.evaluation.samples == 16
        assert trained.evaluation.accuracy > 0.9
        assert (log / "evaluation.json").read_text() == trained.evaluation.to_json()

    @pytest.mark.parametrize("name", ["model.keras", "model.onnx"])
    def test_saved_models_give_the_same_table(
        self, name: str, trained: Trained, log: Path, folder: Path
    ) -> None:
        evaluation = evaluate_model(log / name, folder / "data", batch_size=BATCH)
        assert evaluation.table() == trained.evaluation.table()

    def test_saved_model_is_without_the_optimizer(self, log: Path) -> None:
        saved = keras.models.load_model(log / "model.keras")
        assert getattr(saved, "optimizer", None) is None

    def test_every_layer_of_the_network_is_one_of_the_diagram(self, log: Path) -> None:
        network = keras.models.load_model(log / "model.keras")
        drawn = [layer.name for layer in load_model(log / "model.onnx").layers]
        assert drawn == [layer.name for layer in network.layers]

    def test_diagrams(self, trained: Trained, log: Path, told: Told) -> None:
        # 16 test samples: the middle, 20, lies behind them, so these are the last two.
        labels = [label for _, label in make_samples(85, 4)][78:80]
        assert told.done == ["test sample 14", "test sample 15"]
        assert sorted(path.name.partition("_pred")[0] for path in (log / "MCAM").iterdir()) == [
            f"model_sample-{index}_label-{label}" for index, label in enumerate(labels)
        ]
        assert told.summary is not None
        assert not told.summary.failed

    def test_lines(self, trained: Trained, told: Told) -> None:
        assert told.lines[0] == (
            "lenet5: 1,136,003 parameters; 48 training, 16 validation and 16 test samples"
        )
        assert told.lines[1:-2] == trained.evaluation.table()
        assert told.lines[-2].startswith("wrote model.keras and model.onnx to ")
        assert told.lines[-1] == "plotting"
        assert told.notes == []


@pytest.fixture(scope="module")
def reader(log: Path) -> Any:
    reader = multiplexer.EventMultiplexer()
    reader.AddRunsFromDirectory(str(log))
    reader.Reload()
    return reader


class TestTensorBoard:
    """TensorBoard's own reader on the log."""

    def test_runs(self, reader: Any) -> None:
        assert set(reader.Runs()) == {".", "train", "validation", "test"}

    def test_curves(self, reader: Any, trained: Trained) -> None:
        for run, prefix in (("train", ""), ("validation", "val_")):
            for name in ("loss", "accuracy"):
                assert f"epoch_{name}" in reader.PluginRunToTagToContent("scalars")[run]
                events = reader.Tensors(run, f"epoch_{name}")
                assert [event.step for event in events] == [0, 1, 2]
                values = [float(tf.make_ndarray(event.tensor_proto)) for event in events]
                assert values == pytest.approx(trained.history[prefix + name])

    def test_graph(self, reader: Any) -> None:
        nodes = [node.name for node in reader.Graph(".").node]
        assert any("first_conv_layer" in node for node in nodes)

    def test_settings(self, reader: Any) -> None:
        assert "_hparams_/session_start_info" in reader.PluginRunToTagToContent("hparams")["."]

    def test_curve_of_each_class(self, reader: Any) -> None:
        assert set(reader.PluginRunToTagToContent("pr_curves")["test"]) == {
            f"class_{label}/pr_curves" for label in range(CLASSES)
        }


class TestAgain:
    """A folder with a training in it."""

    def test_no_second_one_over_it(self, folder: Path, log: Path) -> None:
        before = (log / "evaluation.json").stat()
        with pytest.raises(TrainingError, match="holds a training of 3 epochs already: --resume"):
            train(make_settings(folder))
        assert (log / "evaluation.json").stat() == before

    def test_no_continuation_with_other_data(self, folder: Path, log: Path, tmp_path: Path) -> None:
        write_records(make_samples(90, 4), tmp_path, "stripes")
        with pytest.raises(TrainingError, match=r"cannot resume .*: the record files was"):
            train(make_settings(folder, data=tmp_path), resume=True)

    def test_goes_on(self, folder: Path, tmp_path: Path) -> None:
        settings = make_settings(folder, log_dir=tmp_path / "log", num_epochs=1, samples=0)
        told = Told()
        first = told.train(settings)
        assert told.summary is None
        assert not (tmp_path / "log" / "MCAM").exists()
        settings = make_settings(folder, log_dir=tmp_path / "log", num_epochs=2, samples=1)
        second = told.train(settings, resume=True)
        assert second.history["loss"][:1] == first.history["loss"]
        assert len(second.history["loss"]) == 2
        assert json.loads((tmp_path / "log" / "evaluation.json").read_text()) == json.loads(
            second.evaluation.to_json()
        )
        assert len(list((tmp_path / "log" / "MCAM").iterdir())) == 1


class TestSeed:
    """`seed` makes a training repeatable."""

    @pytest.mark.parametrize(("seed", "calls"), [(None, []), (3, [True])])
    def test_deterministic_operations(
        self, seed: int | None, calls: list[bool], folder: Path, tmp_path: Path,
        determinism: list[bool],
    ) -> None:  # fmt: skip
        determinism.clear()
        with pytest.raises(DataError, match="the sample has 144 values"):
            train(make_settings(folder, log_dir=tmp_path, seed=seed, height=13))
        assert determinism == calls

    @pytest.mark.heavy
    def test_continued_on_a_folder_of_files(self, tmp_path: Path) -> None:
        """Its shuffled records come as they would have."""
        write_records(make_samples(120, 4), tmp_path / "data", "stripes", shards=5)
        losses = []
        for name, epochs in (("whole", [3]), ("parts", [1, 3])):
            for number in epochs:
                settings = make_settings(
                    tmp_path, log_dir=tmp_path / name, num_epochs=number, samples=0,
                    learning_rate=1e-4, cnn_model="lenet3",
                )  # fmt: skip
                trained = train(settings, resume=number != epochs[0])
            losses.append(trained.history["loss"])
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    @pytest.mark.heavy
    def test_same_bits_in_two_processes(self, tmp_path: Path) -> None:
        write_records(make_samples(120, 4), tmp_path / "data", "stripes", shards=5)
        code = (
            "import sys; from pathlib import Path; from tests.helpers.training_cases import *\n"
            "from micam_fast.training.training import train\n"
            "folder, log = map(Path, sys.argv[1:])\n"
            "train(make_settings(folder, log_dir=folder / log, samples=0))"
        )
        for name in ("one", "two"):
            subprocess.run([sys.executable, "-W", "ignore", "-c", code, tmp_path, name], check=True)
        one, two = (
            keras.models.load_model(tmp_path / name / "model.keras").get_weights()
            for name in ("one", "two")
        )
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first, second)


class TestFolderFails:
    """A full disk and the like are one line."""

    def test_what_tensorflow_writes(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "log").mkdir()
        (tmp_path / "log" / "train").touch()
        with pytest.raises(
            OutputError, match=r"cannot write to folder .*/log: .+ \(make room.*--resume"
        ) as caught:
            train(make_settings(folder, log_dir=tmp_path / "log", num_epochs=1))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("raised", "error", "said"),
        [
            (OSError(28, "Can't write data (time = 1)"), OutputError, "log: No space left on dev"),
            (OSError("Can't close file"), OutputError, "log: Can't close file "),
            (
                RuntimeError("Can't decrement id ref count (errno = 28, error message = 'No')"),
                OutputError,
                "log: No space left on device",
            ),
            (RuntimeError("a bug"), RuntimeError, "a bug"),
            (
                tf.errors.ResourceExhaustedError(None, None, "/x/events; No space left on device"),
                OutputError,
                "log: No space left on device",
            ),
            (
                tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\n\nStack:"),
                TrainingError,
                r"TensorFlow failed: OOM when allocating \(give a lower --batch-size\)$",
            ),
            (
                tf.errors.InternalError(None, None, "bad graph\n\nStack trace:"),
                TrainingError,
                "TensorFlow failed: bad graph$",
            ),
        ],
    )
    def test_line(
        self, raised: Exception, error: type[Exception], said: str, folder: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        def fit(*given: Any, **more: Any) -> Any:
            raise raised

        monkeypatch.setattr(training, "fit", fit)
        with pytest.raises(error, match=said):
            train(make_settings(folder, log_dir=tmp_path / "log"))


def test_batch_normalization_is_for_lenets(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "empty.tfrecord").touch()
    told = Told()
    settings = make_settings(
        tmp_path, cnn_model="mobilenetv3small", height=32, width=32, batch_normalization=True
    )
    with pytest.raises(DataError, match=r"empty\.tfrecord holds no records"):
        told.train(settings)
    assert told.notes == [
        "batch normalization can be added to lenet3 and lenet5; MobileNetV3Small stays as it is"
    ]


class TestFoundOutAtOnce:
    """What would be missing after hours of training."""

    def test_data(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        with pytest.raises(DataError, match=r"no record files \(\*\.tfrecord\) in folder"):
            train(make_settings(tmp_path))

    def test_folder(self, tmp_path: Path) -> None:
        (tmp_path / "log").touch()
        with pytest.raises(OutputError, match=r"cannot write to folder .*log is a file"):
            train(make_settings(tmp_path))

    @pytest.mark.parametrize(
        ("library", "said"),
        [("sklearn", "evaluation needs sklearn"), ("tf2onnx", "the export to ONNX needs tf2onnx")],
    )
    def test_libraries(
        self, library: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(MissingExtraError, match=rf"{said}, .*micam-fast\[training\]"):
            train(make_settings(tmp_path))

    def test_graphviz(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def find_engine() -> Path:
            raise LayoutEngineError("no Graphviz")

        monkeypatch.setattr(training, "find_engine", find_engine)
        with pytest.raises(LayoutEngineError, match="no Graphviz"):
            train(make_settings(tmp_path))
        with pytest.raises(DataError, match="no such file or folder"):
            train(make_settings(tmp_path, samples=0))
