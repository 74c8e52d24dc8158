"""Results are frozen: what a diagram shows cannot be changed behind its back."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from micam_fast import Explanation


def test_fields_cannot_be_set(demo_explanation: Explanation) -> None:
    for record, name in (
        (demo_explanation, "maps"),
        (demo_explanation.maps["conv_1"], "cam"),
        (demo_explanation.prediction, "index"),
        (demo_explanation.scene, "layers"),
        (demo_explanation.scene.layers[0], "name"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(record, name, None)


@pytest.mark.parametrize("name", ["maps", "cams", "rgba", "ranges"])
def test_mappings_cannot_be_changed(name: str, demo_explanation: Explanation) -> None:
    mapping = cast("dict[str, Any]", getattr(demo_explanation, name))
    with pytest.raises(TypeError, match="does not support item assignment"):
        mapping["conv_1"] = None


def test_maps_cannot_be_changed(demo_explanation: Explanation) -> None:
    for found in demo_explanation.maps.values():
        with pytest.raises(ValueError, match="read-only"):
            found.cam[0, 0] = 1
        with pytest.raises(ValueError, match="read-only"):
            found.rgba[0, 0] = 1


def test_the_model_s_answer_cannot_be_changed(demo_explanation: Explanation) -> None:
    assert demo_explanation.prediction is not None
    assert demo_explanation.output is not None
    with pytest.raises(ValueError, match="read-only"):
        demo_explanation.output[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        demo_explanation.prediction.probabilities[0] = 1
