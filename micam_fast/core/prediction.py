"""What a model says of a sample, where its first output is a class vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says, where its first output is a class vector.

    Attributes
    ----------
    index
        Of the most probable class.
    probability
        Its probability; by softmax where the model gives logits.
    probabilities
        ``(N,)`` float32, of all classes.
    """

    index: int
    probability: float
    probabilities: NDArray[np.float32]

    def __str__(self) -> str:
        """As headings have it."""
        return f"class {self.index}, probability {self.probability:.4f}"


def to_probabilities(scores: NDArray[Any], last_op: str) -> NDArray[Any]:
    """Scores as probabilities, so that they are comparable between samples.

    Parameters
    ----------
    scores
        ``(n, classes)``.
    last_op
        ONNX's name of the operator that made them. Values of a Softmax or Sigmoid are
        probabilities as they are; others are if all rows lie in [0, 1] and sum to 1; else they are
        logits, and softmax is taken.
    """
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    if last_op in ("Softmax", "Sigmoid") or (
        inside and bool((abs(scores.sum(axis=1) - 1) < 1e-3).all())
    ):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def predict(output: NDArray[Any], last_op: str) -> Prediction | None:
    """Read a class vector, the model's first output for one sample, which `last_op` made.

    ``None`` if the output is no vector of at least two finite numbers.
    """
    scores = output.reshape(-1)
    if output.size != max(output.shape, default=0) or output.size < 2 or output.dtype.kind != "f":
        return None
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        return None
    (scores,) = to_probabilities(scores[np.newaxis], last_op)
    index = int(scores.argmax())
    probabilities = scores.astype(np.float32)
    probabilities.flags.writeable = False
    return Prediction(index, float(scores[index]), probabilities)
