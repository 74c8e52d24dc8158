"""The published evaluation, against loops over plain numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast.core.errors import TrainingError
from micam_fast.training.metrics import Evaluation, evaluate_scores

# Seven samples of three classes, whose scores can be ranked by hand.
SCORES = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.4, 0.5, 0.1],
        [0.6, 0.3, 0.1],
        [0.1, 0.8, 0.1],
        [0.5, 0.4, 0.1],
        [0.2, 0.2, 0.6],
        [0.3, 0.3, 0.4],
    ]
)
LABELS = np.array([0, 0, 0, 1, 1, 2, 2])


def naive_average_precision(positive: list[bool], scores: list[float]) -> float:
    """Sum over thresholds of the gain in recall times the precision (scikit-learn's definition)."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [yes for yes, score in zip(positive, scores, strict=True) if score >= threshold]
        recall = sum(chosen) / sum(positive)
        total += (recall - recall_before) * sum(chosen) / len(chosen)
        recall_before = recall
    return total


def naive(scores: NDArray[Any], labels: NDArray[Any]) -> list[dict[str, float]]:
    """SPEC section 6, "Evaluate", sample by sample."""
    found = []
    for label in range(scores.shape[1]):
        counts = dict.fromkeys(("tp", "tn", "fp", "fn"), 0)
        for row, truth in zip(scores.tolist(), labels.tolist(), strict=True):
            said = row.index(max(row))
            key = ("t" if (said == label) == (truth == label) else "f") + (
                "p" if said == label else "n"
            )
            counts[key] += 1
        tp, tn, fp, fn = counts.values()
        precision, recall = tp / (tp + fp + 1e-10), tp / (tp + fn + 1e-10)
        found.append(
            {
                **counts,
                "precision": precision,
                "recall": recall,
                "accuracy": (tp + tn) / (len(labels) + 1e-10),
                "f1": 2 * precision * recall / (precision + recall + 1e-10),
            }
        )
    return found


def test_numbers_by_hand() -> None:
    found = evaluate_scores(SCORES, LABELS)
    assert found.samples == 7
    assert found.accuracy == pytest.approx(5 / 7)
    assert found.confusion_matrix == ((2, 1, 0), (1, 1, 0), (0, 0, 2))
    first = found.per_class[0]
    assert (first.label, first.samples) == (0, 3)
    counts = (
        first.true_positives, first.true_negatives, first.false_positives, first.false_negatives
    )  # fmt: skip
    assert counts == (2, 3, 1, 1)
    assert first.precision == pytest.approx(2 / 3)
    assert first.recall == pytest.approx(2 / 3)
    assert first.accuracy == pytest.approx(5 / 7)
    assert first.f1 == pytest.approx(2 / 3)
    # Ranked by the score of class 0: right, right, wrong, right.
    assert first.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found.per_class[2].average_precision == 1
    assert found.mean_precision == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.mean_accuracy == pytest.approx((5 / 7 + 5 / 7 + 1) / 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 3, 11])
def test_against_loops(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, 60)])
    # Rounded, so that there are ties.
    scores = (
        random.dirichlet(np.ones(classes), len(labels)).round(2) + 1e-3 * np.eye(classes)[labels]
    )
    found = evaluate_scores(scores, labels)
    wanted = naive(scores, labels)
    for got, want in zip(found.per_class, wanted, strict=True):
        assert got.true_positives == want["tp"]
        assert got.true_negatives == want["tn"]
        assert got.false_positives == want["fp"]
        assert got.false_negatives == want["fn"]
        for name in ("precision", "recall", "accuracy", "f1"):
            assert getattr(got, name) == pytest.approx(want[name], rel=1e-12)
        assert got.average_precision == pytest.approx(
            naive_average_precision((labels == got.label).tolist(), scores[:, got.label].tolist()),
            rel=1e-12,
        )
    for name in ("precision", "recall", "accuracy", "f1"):
        mean = sum(each[name] for each in wanted) / classes
        assert getattr(found, f"mean_{name}") == pytest.approx(mean, rel=1e-12)
    precisions = [each.average_precision for each in found.per_class]
    assert found.mean_average_precision == pytest.approx(sum(precisions) / classes, rel=1e-12)


class TestMissingClass:
    """A class that no sample is of."""

    def found(self) -> Evaluation:
        return evaluate_scores(np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]), np.array([0, 1]))

    def test_has_an_average_precision_of_0_as_scikit_learn_says(self) -> None:
        missing = self.found().per_class[2]
        assert missing.average_precision == 0
        assert (missing.precision, missing.recall, missing.f1) == (0, 0, 0)
        assert missing.accuracy == pytest.approx(1)

    def test_is_in_all_means(self) -> None:
        found = self.found()
        assert found.mean_average_precision == pytest.approx(2 / 3)
        assert found.mean_recall == pytest.approx(2 / 3)

    def test_is_told(self) -> None:
        lines = self.found().table()
        assert lines[5] == "no sample is of class 2: 0 in the means of precision, recall, F1 and AP"
        assert lines[3].endswith("0.0000  0.0000")


def test_table() -> None:
    assert "\n".join(evaluate_scores(SCORES, LABELS).table()) == (
        "class  samples  TP  TN  FP  FN  precision  recall  accuracy      F1      AP\n"
        "    0        3   2   3   1   1     0.6667  0.6667    0.7143  0.6667  0.9167\n"
        "    1        2   1   4   1   1     0.5000  0.5000    0.7143  0.5000  0.8333\n"
        "    2        2   2   5   0   0     1.0000  1.0000    1.0000  1.0000  1.0000\n"
        " mean                              0.7222  0.7222    0.8095  0.7222  0.9167\n"
        "\n"
        "confusion matrix (rows: label, columns: prediction)\n"
        "   0  1  2\n"
        "0  2  1  0\n"
        "1  1  1  0\n"
        "2  0  0  2\n"
        "\n"
        "accuracy 0.7143 (5 of 7 samples right)\n"
        "mean average precision 0.9167"
    )


def test_matrix_of_many_classes_is_only_in_the_json() -> None:
    found = evaluate_scores(np.eye(21), np.arange(21))
    assert "the confusion matrix of 21 classes is too wide for here: see the JSON" in found.table()
    assert json.loads(found.to_json())["confusion_matrix"][20][20] == 1


def test_json() -> None:
    found = evaluate_scores(SCORES, LABELS)
    read = json.loads(found.to_json())
    assert set(read) == {
        "samples", "accuracy", "per_class", "confusion_matrix", "mean_precision", "mean_recall",
        "mean_accuracy", "mean_f1", "mean_average_precision",
    }  # fmt: skip
    assert read["confusion_matrix"] == [[2, 1, 0], [1, 1, 0], [0, 0, 2]]
    assert read["mean_f1"] == found.mean_f1
    assert read["per_class"][1]["average_precision"] == found.per_class[1].average_precision
    assert set(read["per_class"][0]) == {
        "label", "samples", "true_positives", "true_negatives", "false_positives",
        "false_negatives", "precision", "recall", "accuracy", "f1", "average_precision",
    }  # fmt: skip


class TestBadScores:
    """What cannot be evaluated."""

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_not_finite(self, value: float) -> None:
        scores = SCORES.copy()
        scores[1:3, 0] = value
        with pytest.raises(
            TrainingError, match=r"gives NaN or infinity for 2 of 7 samples.*lower --learning-rate"
        ):
            evaluate_scores(scores, LABELS)

    @pytest.mark.parametrize("label", [-1, 3])
    def test_label_outside_the_classes(self, label: int) -> None:
        with pytest.raises(ValueError, match=f"labels from .*{label}.* for 3 classes"):
            evaluate_scores(SCORES, np.array([0, 1, 2, 0, 1, 2, label]))

    @pytest.mark.parametrize(
        ("scores", "labels"), [(SCORES, LABELS[:6]), (SCORES[0], LABELS), (SCORES[:0], LABELS[:0])]
    )
    def test_shapes(self, scores: NDArray[Any], labels: NDArray[Any]) -> None:
        with pytest.raises(ValueError, match=r"scores of shape .*expected are \(n, classes\)"):
            evaluate_scores(scores, labels)
