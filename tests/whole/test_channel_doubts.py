"""Labels say where channels were assumed to lie, and where evidence disagrees."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

import micam_fast
from micam_fast.analyses.grids.files import save_grids
from micam_fast.core.layers import Reason
from micam_fast.samples import Sample
from tests.helpers.lying_notes import handmade
from tests.helpers.models import conv_net, make_model, random_array
from tests.helpers.mutations import Random


def op(kind: str, read: str, made: str) -> onnx.NodeProto:
    return helper.make_node(kind, read.split(), [made], name=made)


def norm_before_conv() -> onnx.ModelProto:
    """A convolution of rows and channels, whose last axis was normalized."""
    nodes = [
        op("LayerNormalization", "x scale", "norm"),
        op("Conv", "norm k", "conv"),
        op("Relu", "conv", "relu"),
    ]
    constants = {"scale": random_array(1, 6), "k": random_array(2, 4, 5, 1, 1)}
    return make_model(nodes, {"x": ["N", 5, 7, 6]}, ["relu"], constants, opset=17)


def doubts(model: onnx.ModelProto, *shape: int) -> dict[str, str | None]:
    found = micam_fast.explain(model, random_array(3, *shape))
    return {name: each.doubt for name, each in found.maps.items()}


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5, 6, 7), "channels assumed second"),
        ((5, 6), "channels assumed last"),
        ((5, 4, 6, 7), "channels assumed second"),
        ((5,), None),
        ((2, 2, 2, 2, 2), None),
    ],
)
def test_nothing_says_where_the_channels_lie(shape: tuple[int, ...], said: str | None) -> None:
    """Of a flat layer that does not matter."""
    model = make_model([op("Relu", "x", "relu")], {"x": ["N", *shape]}, ["relu"])
    assert doubts(model, *shape) == {"x": said, "relu": said}


def test_sizes_of_a_picture_are_evidence() -> None:
    model = make_model([op("Relu", "x", "relu")], {"x": ["N", 6, 7, 3]}, ["relu"])
    assert doubts(model, 6, 7, 3) == {"x": None, "relu": None}


def test_evidence_disagrees() -> None:
    assert doubts(norm_before_conv(), 5, 7, 6) == {
        "x": None,
        "norm": "channels last, disputed",
        "conv": None,
        "relu": None,
    }


def test_nothing_is_said_of_a_model_whose_kernels_say_it() -> None:
    assert set(doubts(conv_net(), 1, 8, 6).values()) == {None}


def test_states_of_a_recurrent_layer_are_known() -> None:
    weights = {
        "w": random_array(1, 1, 12, 5), "r": random_array(2, 1, 12, 3),
    }  # fmt: skip
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=3)
    model = make_model([node], {"x": [7, 1, 5]}, ["y"], weights)
    assert set(doubts(model, 7, 5).values()) == {None}


def test_diagram_and_grids_say_it(tmp_path: Path) -> None:
    proto = norm_before_conv()
    sample = random_array(3, 5, 7, 6)
    micam_fast.explain(proto, sample).save(tmp_path / "one.svg")
    assert (tmp_path / "one.svg").read_text().count("channels last, disputed") == 1
    model = micam_fast.load_model(proto)
    list(save_grids(model, [Sample("one", {"x": sample})], tmp_path / "grids", formats=["svg"]))
    said = {
        path.stem: "disputed" in path.read_text() for path in (tmp_path / "grids").rglob("*.svg")
    }
    assert sorted(said.values()) == [False, False, False, True]


def test_the_notes_of_an_exported_file_say_it() -> None:
    proto, sample = handmade(Random(1))
    model = micam_fast.load_model(proto)
    assert {each.doubt for each in model.explain(sample).maps.values()} == {None}
    (reason,) = set(model.graph.reading.reasons.values())
    assert reason == Reason("the export's notes say so", "the export's notes say so")
