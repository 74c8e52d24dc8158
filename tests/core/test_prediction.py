"""What is read from a vector of one sample, and the words for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import SampleError
from micam_fast.core.prediction import Form, Prediction, predict

SCORES = np.array([0.5, 2.0, -1.0], np.float32)
SOFT = np.exp(SCORES.astype(np.float64)) / np.exp(SCORES.astype(np.float64)).sum()


def read(values: Any, form: Form, *names: str) -> Prediction:
    found = predict(np.asarray(values), form, names)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (SOFT.astype(np.float32), "probabilities"),
        (np.log(SOFT).astype(np.float32), "log probabilities"),
        (SCORES, "logits"),
        (SCORES, "scores"),
        (SCORES.reshape(3, 1, 1), "logits"),
        (SCORES.astype(np.float16), "logits"),
    ],
)
def test_probabilities_by_what_the_numbers_are(values: Any, form: Form) -> None:
    found = read(values, form)
    assert found.index == 1
    assert found.probability == pytest.approx(SOFT[1], rel=1e-3)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, SOFT, rtol=1e-3)
    assert found.claimed == (form != "scores")


def test_logits_that_look_like_probabilities_are_logits() -> None:
    """What the user says counts for each sample, whatever its numbers add up to."""
    found = read(np.array([0.25, 0.75]), "logits")
    assert found.probability == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_a_probability_of_zero_has_no_finite_logarithm() -> None:
    found = read(np.array([-np.inf, 0.0]), "log probabilities")
    assert found.index == 1
    np.testing.assert_array_equal(found.probabilities, [0, 1])


@pytest.mark.parametrize("form", ["probabilities", "log probabilities", "logits", "scores"])
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((2, 3), np.float32),
        np.zeros(1, np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros((), np.float32),
        np.zeros(3, np.int64),
        np.array([0, np.nan], np.float32),
        np.array([0, np.inf], np.float32),
    ],
)
def test_what_is_no_vector_of_finite_numbers(values: Any, form: Form) -> None:
    assert predict(values, form) is None


def test_words_of_a_class() -> None:
    found = Prediction(3, 0.99984, np.zeros(10, np.float32))
    assert str(found) == "class 3, probability 0.9998"
    assert found.brief("predicted") == "predicted 3 (0.9998)"


def test_words_of_a_class_with_a_name() -> None:
    found = read(SCORES, "logits", "cat", "dog", "emu")
    assert found.name == "dog"
    assert str(found) == "class 1 (dog), probability 0.7856"
    assert found.brief("class") == "class 1 dog (0.7856)"


def test_an_empty_line_is_no_name() -> None:
    found = read(SCORES, "probabilities", "cat", "", "emu")
    assert found.name is None
    assert str(found).startswith("class 1, probability")


def test_words_of_the_largest_output() -> None:
    found = read(SCORES, "scores")
    assert str(found) == "largest of 3 outputs: 1 (0.7856 if they are logits)"
    assert found.brief("class") == "largest output 1 of 3"


def test_names_of_another_number() -> None:
    with pytest.raises(SampleError, match="2 class names for 3 classes; give one line for each"):
        predict(SCORES, "logits", ("cat", "dog"))
