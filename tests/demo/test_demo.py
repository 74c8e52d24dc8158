"""The model and the digits that come with the package."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest

from micam_fast import Model, demo


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    """What the model says about itself."""
    return {entry.key: entry.value for entry in onnx.load(demo.MODEL).metadata_props}


def test_the_held_out_accuracy_is_written_down(metadata: dict[str, str]) -> None:
    accuracy = float(metadata["held_out_accuracy"])
    assert 0.97 <= accuracy <= 1


def test_the_model_is_small() -> None:
    assert demo.MODEL.stat().st_size <= 1_000_000


def test_the_model_is_checked_by_onnx() -> None:
    onnx.checker.check_model(onnx.load(demo.MODEL), full_check=True)


def test_the_model_is_a_lenet(demo_model: Model) -> None:
    ops = [layer.op_type for layer in demo_model.layers]
    assert ops.count("Conv") == 2
    assert ops.count("MaxPool") == 2
    assert ops[0] == "Input"
    assert ops[-1] == "Softmax"
    for layer in demo_model.layers:
        assert re.fullmatch(r"[a-z_0-9]+", layer.name), "a name for people"


def test_ten_real_digits_one_of_each_class(demo_model: Model) -> None:
    digits = np.load(demo.DIGITS)
    assert digits.shape == (10, 1, 28, 28)
    assert digits.dtype == np.float32
    assert digits.min() == 0
    assert 0.9 < digits.max() <= 1
    assert len({digit.tobytes() for digit in digits}) == 10
    assert list(demo.LABELS) == [str(digit) for digit in range(10)]


def test_all_digits_are_classified_right(demo_model: Model) -> None:
    found = [result.prediction for result in demo_model.explain_many(np.load(demo.DIGITS))]
    assert [each.index for each in found if each is not None] == list(range(10))
    assert all(each is not None and each.probability > 0.5 for each in found)


def test_digits_are_upright() -> None:
    """A 1 is tall, a 7 has its bar at the top, and a 6 its loop at the bottom."""
    digits = np.load(demo.DIGITS)[:, 0]
    one = np.argwhere(digits[1] > 0.5)
    height, width = np.ptp(one, axis=0)
    assert height > width
    ink = (digits > 0.5).sum(axis=2)
    middle = 14
    assert ink[7, :middle].max() > ink[7, middle:].max()
    assert ink[6, :middle].max() < ink[6, middle:].max()
