"""What a model says of a sample, where one of its outputs is a class vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import SampleError
from micam_fast.core.texts import count_of

Form = Literal["probabilities", "log probabilities", "logits", "scores"]
"""What the numbers of a class vector are; nobody knows whether scores are logits."""

NO_PREDICTION = "none"
"""What a user says instead of an output's name, so that no class is claimed."""


@dataclass(frozen=True)
class PredictionChoice:
    """What a user says of the model's prediction.

    Attributes
    ----------
    output
        Name of the output that it is read from, `NO_PREDICTION` for none; ``None`` lets the graph
        decide.
    logits
        Whether the numbers of a dense layer, or of the output that is named, are logits.
    class_names
        One for each class, in their order; empty if they are unknown.
    """

    output: str | None = None
    logits: bool = False
    class_names: tuple[str, ...] = ()

    @property
    def says_logits(self) -> bool:
        """Whether numbers that no Softmax makes are logits: only classes have names."""
        return self.logits or bool(self.class_names)


AUTOMATIC = PredictionChoice()


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says, where one of its outputs is a class vector.

    Attributes
    ----------
    index
        Of the most probable class, or of the largest output.
    probability
        Its probability; where no class is claimed, what it would be if the outputs are logits.
    probabilities
        ``(N,)`` float32, of all classes.
    claimed
        Whether this is a class: a Softmax makes the numbers, or the user says that they are logits.
        The largest of a dense layer's outputs may as well be a landmark.
    name
        Of the class, where the user gives names.
    """

    index: int
    probability: float
    probabilities: NDArray[np.float32]
    claimed: bool = True
    name: str | None = None

    def __str__(self) -> str:
        """As headings have it."""
        if not self.claimed:
            count = len(self.probabilities)
            return (
                f"largest of {count} outputs: {self.index} ({self.probability:.4f} if they are "
                "logits)"
            )
        name = "" if self.name is None else f" ({self.name})"
        return f"class {self.index}{name}, probability {self.probability:.4f}"

    def brief(self, word: str) -> str:
        """A few words; `word` stands before the class, where one is claimed."""
        if not self.claimed:
            return f"largest output {self.index} of {len(self.probabilities)}"
        name = "" if self.name is None else f" {self.name}"
        return f"{word} {self.index}{name} ({self.probability:.4f})"


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
    return _softmax(scores)


def _softmax(scores: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def predict(output: NDArray[Any], form: Form, class_names: Sequence[str] = ()) -> Prediction | None:
    """Read a class vector, the output of a model for one sample.

    ``None`` if the output is no vector of at least two finite numbers.

    Raises
    ------
    SampleError
        If there are names, but not one for each number.
    """
    if output.size != max(output.shape, default=0) or output.size < 2 or output.dtype.kind != "f":
        return None
    if class_names and len(class_names) != output.size:
        raise SampleError(wrong_names(len(class_names), output.size))
    scores = output.reshape(-1).astype(np.float64)
    if form == "log probabilities":
        # The logarithm of a probability of zero is no finite number.
        scores = np.exp(scores)
    if not np.isfinite(scores).all():
        return None
    if form in ("logits", "scores"):
        scores = _softmax(scores)
    index = int(scores.argmax())
    probabilities = scores.astype(np.float32)
    probabilities.flags.writeable = False
    name = class_names[index] if class_names else None
    return Prediction(
        index, float(scores[index]), probabilities, claimed=form != "scores", name=name or None
    )


def wrong_names(names: int, classes: int) -> str:
    """What is said where names and classes are not of one number."""
    return (
        f"{count_of(names, 'class name')} for {classes} classes; give one line for each class, in "
        "their order"
    )
