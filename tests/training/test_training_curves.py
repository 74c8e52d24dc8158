"""The TensorBoard log, read back by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast.training.curves import PR_THRESHOLDS, log_evaluation, log_run
from micam_fast.training.metrics import evaluate_scores
from tests.helpers.training_cases import pytestmark as pytestmark, small_network, tf

events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
plugin_data = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")


def read(folder: Path) -> Any:
    reader = events.EventAccumulator(str(folder))
    reader.Reload()
    return reader


def plugins(reader: Any) -> dict[str, str]:
    """TensorBoard's page by tag."""
    return {
        tag: reader.SummaryMetadata(tag).plugin_data.plugin_name for tag in reader.Tags()["tensors"]
    }


def values(reader: Any, tag: str) -> NDArray[Any]:
    (event,) = reader.Tensors(tag)
    return np.asarray(tf.make_ndarray(event.tensor_proto))


class TestRun:
    """Graph and settings."""

    @pytest.fixture
    def reader(self, tmp_path: Path) -> Any:
        settings: dict[str, bool | int | float | str | None] = {
            "cnn_model": "lenet5", "dropout": 0.5, "classes": 3, "seed": None, "bn": True
        }  # fmt: skip
        log_run(tmp_path, small_network(), settings)
        return read(tmp_path)

    def test_graph_holds_the_layers(self, reader: Any) -> None:
        assert reader.Tags()["graph"]
        nodes = [node.name for node in reader.Graph().node]
        for layer in ("conv", "norm", "flat", "scores"):
            assert any(f"/{layer}" in node or f"{layer}_" in node for node in nodes), layer

    def test_settings(self, reader: Any) -> None:
        assert plugins(reader)["_hparams_/session_start_info"] == "hparams"
        content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        found = plugin_data.HParamsPluginData.FromString(content).session_start_info.hparams
        assert set(found) == {"cnn_model", "dropout", "classes", "bn"}
        assert found["cnn_model"].string_value == "lenet5"
        assert found["dropout"].number_value == 0.5
        assert found["bn"].bool_value is True

    def test_curves_that_stand_beside_the_settings(self, reader: Any) -> None:
        content = reader.SummaryMetadata("_hparams_/experiment").plugin_data.content
        found = plugin_data.HParamsPluginData.FromString(content).experiment.metric_infos
        shown = {(each.name.group, each.name.tag): each.display_name for each in found}
        assert shown["validation", "epoch_accuracy"] == "validation accuracy"
        assert shown["test", "accuracy"] == "test accuracy"


class TestEvaluation:
    """Test results."""

    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 50)
    scores = random.dirichlet(np.ones(3), 50).astype(np.float32)

    @pytest.fixture
    def reader(self, tmp_path: Path) -> Any:
        found = evaluate_scores(self.scores, self.labels)
        log_evaluation(tmp_path, found, self.scores, self.labels, 7)
        return read(tmp_path / "test")

    def test_a_curve_for_each_class(self, reader: Any) -> None:
        found = plugins(reader)
        curves = [tag for tag, plugin in found.items() if plugin == "pr_curves"]
        assert curves == [f"class_{label}/pr_curves" for label in range(3)]

    @pytest.mark.parametrize("label", range(3))
    def test_points_of_a_curve(self, reader: Any, label: int) -> None:
        found = values(reader, f"class_{label}/pr_curves")
        assert found.shape == (6, PR_THRESHOLDS) == (6, 512)
        positive = self.labels == label
        for point in (0, 100, 300, 511):
            # TensorBoard puts a score into the last threshold that it reaches.
            chosen = np.floor(self.scores[:, label] * 511) >= point
            tp, fp = (chosen & positive).sum(), (chosen & ~positive).sum()
            tn, fn = (~chosen & ~positive).sum(), (~chosen & positive).sum()
            assert found[:4, point].tolist() == [tp, fp, tn, fn]
            assert found[4, point] == pytest.approx(tp / max(tp + fp, 1e-7))
            assert found[5, point] == pytest.approx(tp / (tp + fn))

    def test_means_at_the_epoch(self, reader: Any) -> None:
        wanted = evaluate_scores(self.scores, self.labels)
        assert {tag for tag, plugin in plugins(reader).items() if plugin == "scalars"} == {
            "accuracy", "mean_precision", "mean_recall", "mean_f1", "mean_average_precision"
        }  # fmt: skip
        assert [event.step for event in reader.Tensors("accuracy")] == [7]
        assert float(values(reader, "accuracy")) == pytest.approx(wanted.accuracy)
        assert float(values(reader, "mean_f1")) == pytest.approx(wanted.mean_f1)
