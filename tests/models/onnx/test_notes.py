"""What the owner of a model should know of all its maps."""

from __future__ import annotations

import pytest

import micam_fast
from micam_fast.models.onnx.notes import notes_of
from tests.helpers.models import conv_net, folded_net, random_array


@pytest.mark.parametrize(("count", "shown"), [(1, "1 convolution by"), (52, "52 convolutions by")])
def test_folded_normalizations(count: int, shown: str) -> None:
    (note,) = notes_of(count, "")
    assert note.startswith(f"batch normalizations were folded into {shown} the exporter; biases, ")
    assert note.endswith("torch.onnx.export(..., dynamo=True, optimize=False)")


def test_random_numbers() -> None:
    assert notes_of(0, "RandomNormal") == (
        "the model makes random numbers (RandomNormal): no two runs of it give the same",
    )


def test_most_models_have_none() -> None:
    assert notes_of(0, "") == ()
    assert micam_fast.load_model(conv_net()).graph.notes == ()


def test_each_explanation_has_the_notes_that_are_said() -> None:
    said: list[str] = []
    model = micam_fast.load_model(folded_net(), say=said.append)
    found = model.explain(random_array(1, 2, 6, 6))
    assert found.notes == tuple(said)
    assert len(said) == 1
    average = micam_fast.Average()
    average.add(found)
    assert average.mean().notes == found.notes
