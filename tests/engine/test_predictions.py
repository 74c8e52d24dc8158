"""The prediction is read from the chosen output; `output` stays the model's first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

import micam_fast
from micam_fast.core.errors import PredictionError, SampleError
from micam_fast.engine.cluster.shipment import pack
from tests.helpers.heads import heads_net
from tests.helpers.models import image_to_image_net, make_model, random_array
from tests.helpers.plain_runtime import run

SAMPLES = random_array(7, 5, 1, 8, 6)
NET = heads_net()
BOXES, LOGITS, SCORES = run(NET, {"x": SAMPLES}, "box", "logits", "scores")


def nothing(model: Any, chunk: Any) -> None:
    """What a worker does in these tests."""


@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("memory", [None, 1])
def test_box_first_class_last(batch_size: int | None, memory: int | None) -> None:
    model = micam_fast.load_model(NET, memory=memory)
    for place, found in enumerate(model.explain_many(SAMPLES, batch_size=batch_size)):
        assert found.output is not None
        assert found.prediction is not None
        np.testing.assert_allclose(found.output, BOXES[place], atol=1e-5)
        np.testing.assert_allclose(found.prediction.probabilities, SCORES[place], atol=1e-5)
        assert found.prediction.index == SCORES[place].argmax()
        assert found.prediction.claimed


def test_a_fixed_batch_that_is_filled_up() -> None:
    model = micam_fast.load_model(heads_net(batch=3))
    for place, found in enumerate(model.explain_many(SAMPLES)):
        assert found.prediction is not None
        np.testing.assert_allclose(found.prediction.probabilities, SCORES[place], atol=1e-5)


@pytest.mark.parametrize(
    ("how", "values", "words"),
    [
        ({"prediction": "logits"}, LOGITS, "largest of 5 outputs: "),
        ({"prediction": "logits", "logits": True}, LOGITS, "class "),
        ({"prediction": "box"}, BOXES, "largest of 4 outputs: "),
        ({"class_names": list("abcde")}, SCORES, "class "),
        ({"prediction": "logits", "class_names": list("abcde")}, LOGITS, "class "),
    ],
)
def test_the_user_chooses(how: dict[str, Any], values: Any, words: str) -> None:
    model = micam_fast.load_model(NET, **how)
    found = model.explain(SAMPLES[0])
    assert found.output is not None
    assert found.prediction is not None
    np.testing.assert_allclose(found.output, BOXES[0], atol=1e-5)
    assert found.prediction.index == values[0].argmax()
    assert str(found.prediction).startswith(words)
    names = how.get("class_names")
    assert found.prediction.name == (names and names[found.prediction.index])


def test_none_is_claimed() -> None:
    found = micam_fast.load_model(NET, prediction="none").explain(SAMPLES[0])
    assert found.prediction is None
    assert found.output is not None
    np.testing.assert_allclose(found.output, BOXES[0], atol=1e-5)


def test_a_wrong_name() -> None:
    match = r"no output 'cls' .* \(must be one of 'box', 'logits', 'scores', or 'none'\)"
    with pytest.raises(PredictionError, match=match):
        micam_fast.load_model(NET, prediction="cls")


def test_an_output_that_is_a_picture() -> None:
    with pytest.raises(PredictionError, match=r"'conv:0' .* has the shape \? x 1 x 8 x 6; a pred"):
        micam_fast.load_model(image_to_image_net(), prediction="conv:0")


def test_names_that_only_a_sample_shows_to_be_too_few() -> None:
    """No inference tells how many numbers stay; the error belongs to the sample."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flatten"),
        helper.make_node("Relu", ["flat"], ["relu"], name="relu"),
        helper.make_node("NonZero", ["k"], ["kept"]),
        helper.make_node("Squeeze", ["kept", "axis"], ["places"]),
        helper.make_node("Gather", ["relu", "places"], ["y"], name="some", axis=1),
    ]
    constants = {"k": np.array([1, 0, 1], np.float32), "axis": np.array([0])}
    proto = make_model(nodes, {"x": ["N", 3, 4, 4]}, ["y"], constants)
    sample = random_array(2, 3, 4, 4)
    found = micam_fast.load_model(proto, prediction="y", class_names=["a", "b"]).explain(sample)
    assert found.prediction is not None
    assert found.prediction.name == "ab"[found.prediction.index]
    model = micam_fast.load_model(proto, prediction="y", class_names=["a"])
    with pytest.raises(SampleError, match="1 class name for 2 classes; give one line for each"):
        model.explain(sample)


def test_a_worker_is_told_what_the_user_says() -> None:
    model = micam_fast.load_model(NET, prediction="logits", class_names=list("abcde"))
    (found,) = run_on(pack(model, nothing).open(1, None))
    assert found.prediction.name == "abcde"[int(LOGITS[0].argmax())]


def run_on(model: Any) -> list[Any]:
    from micam_fast.engine.streaming import run_in_thread

    return list(run_in_thread(model.pipeline("published"), [model.fit(SAMPLES[0])], None))


def test_a_variant_answers_as_the_model_does() -> None:
    """Other weights leave the choice as it is."""
    model = micam_fast.load_model(NET, prediction="box", logits=True)
    pipeline = model.open_pipeline("published", file=model.file)
    from micam_fast.engine.streaming import run_in_thread

    (found,) = run_in_thread(pipeline, [model.fit(SAMPLES[0])], None)
    assert not isinstance(found, SampleError)
    assert found.prediction is not None
    assert found.prediction.claimed
    assert len(found.prediction.probabilities) == 4
