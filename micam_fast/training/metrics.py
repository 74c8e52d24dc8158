"""How well scores tell the classes apart: the published evaluation (SPEC section 6)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import TrainingError
from micam_fast.core.extras import import_extra
from micam_fast.core.texts import aligned

EPSILON = 1e-10
"""What SPEC adds to each denominator, so that a class without a sample has zeros."""
_WIDEST_MATRIX = 20


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest.

    Attributes
    ----------
    label
        The class.
    samples
        Number of samples that are of it.
    average_precision
        scikit-learn's; 0 where no sample is of the class.
    """

    label: int
    samples: int
    true_positives: int
    true_negatives: int
    false_positives: int
    false_negatives: int
    precision: float
    recall: float
    accuracy: float
    f1: float
    average_precision: float


@dataclass(frozen=True)
class Evaluation:
    """A classifier on labelled samples.

    Attributes
    ----------
    samples
        Their number.
    accuracy
        Share of the samples whose most probable class is their label.
    per_class
        One entry for each class, in order.
    confusion_matrix
        Rows are labels, columns predictions.
    mean_precision, mean_recall, mean_accuracy, mean_f1, mean_average_precision
        Means over all classes. The mean accuracy, each class against the rest, is not `accuracy`.
    """

    samples: int
    accuracy: float
    per_class: tuple[ClassScores, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    mean_precision: float
    mean_recall: float
    mean_accuracy: float
    mean_f1: float
    mean_average_precision: float

    def to_json(self) -> str:
        """All of it, by the attributes' names."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    def table(self) -> list[str]:
        """Lines of aligned text: every class, the means, the confusion matrix, the whole."""
        rows = [_HEADINGS, *map(_cells, self.per_class)]
        means = (self.mean_precision, self.mean_recall, self.mean_accuracy, self.mean_f1)
        rows.append(("mean", *[""] * 5, *map(_number, means), _number(self.mean_average_precision)))
        lines = list(aligned(rows, texts=0))
        missing = [str(each.label) for each in self.per_class if not each.samples]
        if missing:
            lines.append(
                f"no sample is of class {', '.join(missing)}: 0 in the means of precision, "
                "recall, F1 and AP"
            )
        lines += ["", *self._matrix(), ""]
        right = sum(self.confusion_matrix[each][each] for each in range(len(self.per_class)))
        lines.append(f"accuracy {self.accuracy:.4f} ({right} of {self.samples} samples right)")
        lines.append(f"mean average precision {self.mean_average_precision:.4f}")
        return lines

    def _matrix(self) -> list[str]:
        count = len(self.per_class)
        if count > _WIDEST_MATRIX:
            return [f"the confusion matrix of {count} classes is too wide for here: see the JSON"]
        rows: list[Sequence[str]] = [("", *map(str, range(count)))]
        rows += [(str(label), *map(str, row)) for label, row in enumerate(self.confusion_matrix)]
        return ["confusion matrix (rows: label, columns: prediction)", *aligned(rows, texts=0)]


def evaluate_scores(scores: NDArray[Any], labels: NDArray[Any]) -> Evaluation:
    """Evaluate a classifier by SPEC section 6, "Evaluate".

    Parameters
    ----------
    scores
        ``(n, classes)``: by class, the higher the likelier; for the average precision, which ranks
        the samples of one class, rows must be comparable, as probabilities are.
    labels
        ``(n,)`` integers from 0 to ``classes - 1``.

    Raises
    ------
    TrainingError
        If a score is not finite.
    ValueError
        If the shapes or labels do not fit, or there is no sample.
    MissingExtraError
        If scikit-learn is not installed.
    """
    _check(scores, labels)
    sklearn = import_extra("sklearn.metrics", extra="training", purpose="evaluation")
    classes = range(scores.shape[1])
    matrix = sklearn.confusion_matrix(labels, scores.argmax(axis=1), labels=list(classes))
    found = []
    for label in classes:
        positive = labels == label
        tp = int(matrix[label, label])
        fp = int(matrix[:, label].sum()) - tp
        fn = int(matrix[label].sum()) - tp
        tn = len(labels) - tp - fp - fn
        precision = tp / (tp + fp + EPSILON)
        recall = tp / (tp + fn + EPSILON)
        found.append(
            ClassScores(
                label=label,
                samples=int(positive.sum()),
                true_positives=tp,
                true_negatives=tn,
                false_positives=fp,
                false_negatives=fn,
                precision=precision,
                recall=recall,
                accuracy=(tp + tn) / (len(labels) + EPSILON),
                f1=2 * precision * recall / (precision + recall + EPSILON),
                average_precision=_average_precision(sklearn, positive, scores[:, label]),
            )
        )
    return Evaluation(
        samples=len(labels),
        accuracy=float(np.trace(matrix)) / len(labels),
        per_class=tuple(found),
        confusion_matrix=tuple(tuple(map(int, row)) for row in matrix),
        mean_precision=_mean(each.precision for each in found),
        mean_recall=_mean(each.recall for each in found),
        mean_accuracy=_mean(each.accuracy for each in found),
        mean_f1=_mean(each.f1 for each in found),
        mean_average_precision=_mean(each.average_precision for each in found),
    )


def _average_precision(sklearn: Any, positive: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    with warnings.catch_warnings():
        # Of a class that does not occur, of which it says 0; the table names such classes.
        warnings.filterwarnings("ignore", "No positive class found", UserWarning)
        return float(sklearn.average_precision_score(positive, scores))


def _check(scores: NDArray[Any], labels: NDArray[Any]) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"scores of shape {scores.shape} and labels of shape {labels.shape}; expected are "
            "(n, classes) and (n,), n at least 1"
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()} for {scores.shape[1]} classes"
        )
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise TrainingError(
            f"the model gives NaN or infinity for {int((~finite).sum())} of {len(labels)} samples: "
            "its training diverged (train again with a lower --learning-rate)"
        )


_HEADINGS = (
    "class", "samples", "TP", "TN", "FP", "FN", "precision", "recall", "accuracy", "F1", "AP",
)  # fmt: skip


def _cells(scores: ClassScores) -> tuple[str, ...]:
    return tuple(_number(n) if isinstance(n, float) else str(n) for n in astuple(scores))


def _number(value: float) -> str:
    return f"{value:.4f}"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
