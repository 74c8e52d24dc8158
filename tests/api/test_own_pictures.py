"""The picture of itself that a sample has from the engine to its files."""

from __future__ import annotations

import gc
import pickle
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from micam_fast import Average, Explanation, Model, load_model
from micam_fast.cli.opening import explain_opened
from micam_fast.demo import DIGITS, MODEL
from micam_fast.runs import plotting
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions, write_sample
from micam_fast.samples import PixelRules, read_samples
from tests.helpers.chains import op
from tests.helpers.models import Array, make_model, random_array

RULES = PixelRules(1 / 255, (0.3,), (0.2,))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(MODEL)


@pytest.fixture
def picture_file(tmp_path: Path) -> tuple[Path, Array]:
    """A dim picture, and its pixels."""
    stored = np.random.default_rng(0).integers(40, 90, (28, 28), np.uint8)
    Image.fromarray(stored).save(tmp_path / "dim.png")
    return tmp_path / "dim.png", stored


def pixels(explanation: Explanation) -> Array:
    found = explanation.own_picture
    assert found is not None
    assert found.pixels is not None
    return found.pixels


def as_shown(digit: Array) -> Array:
    """Grey from the smallest to the largest value."""
    spread = (digit - digit.min()) / (digit.max() - digit.min())
    return np.asarray(spread.reshape(28, 28) * 255 + 0.5, np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_sample_of_a_batch_has_its_own(model: Model, batch_size: int) -> None:
    digits = np.load(DIGITS)
    explanations = list(model.explain_many(digits, batch_size=batch_size))
    for digit, explanation in zip(digits, explanations, strict=True):
        np.testing.assert_array_equal(pixels(explanation)[..., 0], as_shown(digit))


def test_a_lone_sample_keeps_its_picture_with_a_name(model: Model) -> None:
    digit = np.load(DIGITS)[3]
    found = replace(model.explain((digit, 3)), sample="a digit")
    np.testing.assert_array_equal(pixels(found)[..., 2], as_shown(digit))


def test_what_is_written_to_the_callers_array_later_is_not_shown(model: Model) -> None:
    digits = np.load(DIGITS)
    wanted = as_shown(digits[0])
    explanations = list(model.explain_many(digits))
    digits[...] = 0
    np.testing.assert_array_equal(pixels(explanations[0])[..., 0], wanted)


def test_explanations_do_not_keep_the_callers_arrays(model: Model) -> None:
    class Owned(np.ndarray[Any, np.dtype[np.float32]]):
        """An array that can be referred to weakly."""

    digits = np.load(DIGITS).view(Owned)
    gone = weakref.ref(digits)
    explanations = list(model.explain_many(digits))
    del digits
    gc.collect()
    assert gone() is None
    assert len(explanations) == 10


def test_a_result_that_went_to_another_process_has_it(model: Model) -> None:
    found = model.explain(np.load(DIGITS)[0])
    sent = pickle.loads(pickle.dumps(found.fed))
    np.testing.assert_array_equal(sent.picture(None).pixels, pixels(found))


def test_a_mean_of_samples_has_none(model: Model) -> None:
    average = Average()
    for explanation in model.explain_many(np.load(DIGITS)):
        average.add(explanation)
    assert average.mean().own_picture is None
    assert average.deviation().own_picture is None


def test_a_model_of_two_inputs_shows_the_spatial_one() -> None:
    nodes = [
        op("Conv", "picture k", "conv"),
        op("GlobalAveragePool", "conv", "pool"),
        op("Flatten", "pool", "flat"),
        op("Concat", "flat numbers", "y", axis=1),
    ]
    net = make_model(
        nodes,
        {"numbers": ["N", 3], "picture": ["N", 1, 8, 6]},
        ["y"],
        {"k": random_array(0, 2, 1, 3, 3)},
    )
    sample = {"numbers": random_array(1, 3), "picture": random_array(2, 1, 8, 6)}
    found = load_model(net).explain(sample).own_picture
    assert found is not None
    assert (found.kind, found.size, found.further_inputs) == ("picture", (8, 6), 1)


def test_a_picture_file_that_is_plotted_has_its_colours(
    model: Model,
    picture_file: tuple[Path, Array],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: dict[str, Explanation] = {}

    def write_and_note(explanation: Explanation, *given: Any) -> Any:
        shown[explanation.sample] = explanation
        return write_sample(explanation, *given)

    monkeypatch.setattr(plotting, "write_sample", write_and_note)
    path, stored = picture_file
    samples = read_samples([str(path), str(DIGITS)], model.inputs, rules=RULES)
    plot_samples(model, samples, PlotOptions(folder=tmp_path / "out", formats=("npz",)))
    np.testing.assert_array_equal(pixels(shown["dim.png"])[..., 0], stored)
    np.testing.assert_array_equal(
        pixels(shown["digits.npy[0]"])[..., 0], as_shown(np.load(DIGITS)[0])
    )


def test_a_picture_file_that_a_command_explains_has_its_colours(
    model: Model, picture_file: tuple[Path, Array]
) -> None:
    path, stored = picture_file
    samples = read_samples([str(path)], model.inputs, rules=RULES)
    ((_, _, found),) = explain_opened(model, samples, "published", None)
    assert isinstance(found, Explanation)
    np.testing.assert_array_equal(pixels(found)[..., 0], stored)
