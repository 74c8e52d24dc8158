"""Graphs by the shapes of samples: each is read once, and checked once, with the first of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from micam_fast import load_model
from micam_fast.core.errors import SampleError
from micam_fast.core.plan_cache import PlanFiles
from micam_fast.core.prediction import AUTOMATIC
from micam_fast.engine import shaped_graphs
from micam_fast.engine.onnx_runtime import DEFAULT_PROVIDERS
from micam_fast.engine.pipeline import Pipeline
from micam_fast.engine.shaped_graphs import ShapedGraphs
from micam_fast.models.onnx import ModelGraph, open_model
from micam_fast.models.onnx.cached_layers import find_layers
from micam_fast.samples import Arrays
from tests.helpers.chains import op
from tests.helpers.models import conv_net, make_model, random_array
from tests.helpers.nets_under_rewriting import opened_sessions, scaled_net


class Graphs:
    """Graphs of a model, and what was checked of them."""

    def __init__(self, proto: onnx.ModelProto, folder: Path) -> None:
        file, files = open_model(proto), PlanFiles(folder)
        self.opened = find_layers(file, files)
        self.checked: list[tuple[int, ...]] = []
        self.graphs = ShapedGraphs(
            file,
            self.opened,
            files,
            prediction=AUTOMATIC,
            providers=DEFAULT_PROVIDERS,
            checked=self._check,
        )

    def _check(self, graph: ModelGraph, sample: Arrays) -> ModelGraph:
        self.checked.append(sample["x"].shape)
        return graph

    def find(self, *shape: int) -> ModelGraph:
        return self.graphs.find({"x": random_array(1, *shape)})


@pytest.fixture
def open_graphs(tmp_path: Path) -> Graphs:
    return Graphs(scaled_net("h", "w"), tmp_path)


def test_each_shape_is_read_and_checked_once(open_graphs: Graphs) -> None:
    first, second = open_graphs.find(3, 6, 7), open_graphs.find(3, 9, 5)
    assert first is not second
    assert open_graphs.find(3, 6, 7) is first
    assert open_graphs.checked == [(3, 6, 7), (3, 9, 5)]
    assert first.layer("conv").output_shape == (None, 5, 6, 7)
    assert second.layer("conv").output_shape == (None, 5, 9, 5)
    names = [layer.name for layer in open_graphs.opened.layers]
    assert [layer.name for layer in second.layers] == names


def test_a_model_of_fixed_sizes_is_not_read_again(tmp_path: Path) -> None:
    graphs = Graphs(conv_net(), tmp_path)
    assert graphs.find(1, 8, 6) is graphs.opened
    assert graphs.checked == [(1, 8, 6)]


def test_a_graph_that_was_checked_takes_the_place_of_another(tmp_path: Path) -> None:
    graphs = Graphs(conv_net(), tmp_path)
    plain = graphs.opened.plain()
    graphs.graphs._checked = lambda graph, sample: plain
    assert graphs.find(1, 8, 6) is plain
    assert graphs.graphs.known({"x": (1, 8, 6)}) is plain


def test_shapes_that_only_a_run_tells_are_observed_when_there_is_one(tmp_path: Path) -> None:
    nodes = [
        op("NonZero", "x", "places"),
        op("Cast", "places", "real", to=1),
        op("Relu", "real", "out"),
    ]
    graphs = Graphs(make_model(nodes, {"x": ["N", 3, 6, 7]}, ["out"]), tmp_path)
    known = graphs.graphs.known({"x": (3, 6, 7)})
    assert known.graph.shape("out") == (4, None)
    assert graphs.checked == []
    x = np.zeros((3, 6, 7), np.float32)
    x[0, 0, :2] = 1
    assert graphs.graphs.find({"x": x}).graph.shape("out") == (4, 2)


def test_a_sample_that_cannot_be_run_is_tried_again(
    open_graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(graph: ModelGraph, sample: Arrays) -> ModelGraph:
        raise SampleError("no")

    monkeypatch.setattr(open_graphs.graphs, "_checked", fail)
    for _ in range(2):
        with pytest.raises(SampleError, match="no"):
            open_graphs.find(3, 6, 7)
    monkeypatch.undo()
    open_graphs.find(3, 6, 7)
    assert open_graphs.checked == [(3, 6, 7)]


def test_graphs_used_last_are_kept(open_graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in range(5, 5 + shaped_graphs._KEPT_GRAPHS + 1):
        open_graphs.find(3, 4, width)
    before = len(open_graphs.checked)
    open_graphs.find(3, 4, 6)
    assert len(open_graphs.checked) == before
    open_graphs.find(3, 4, 5)
    assert len(open_graphs.checked) == before + 1


# --- Sessions of several graphs -----------------------------------------------------------------


def only_pipeline(proto: onnx.ModelProto) -> Pipeline:
    model = load_model(proto, threads=1)
    model.explain(random_array(1, 3, 6, 7))
    model.explain(random_array(1, 3, 9, 5))
    return model.pipeline("published")


def test_graphs_that_ask_for_the_same_share_their_sessions() -> None:
    with opened_sessions() as opened:
        pipeline = only_pipeline(make_model(
            [op("Conv", "x w", "conv"), op("GlobalAveragePool", "conv", "out")],
            {"x": ["N", 3, "h", "w"]}, ["out"], {"w": random_array(0, 4, 3, 3, 3)},
        ))  # fmt: skip
    assert len(pipeline._sessions) == 1
    # One, and the file itself once for each shape.
    assert len(opened) == 3


def test_sessions_of_the_graph_without_sizes_are_let_go() -> None:
    """Where the shapes tell of another way to run, those of before would hold the weights twice."""
    constants = {
        "w": random_array(0, 4, 3, 1, 1), "factor": random_array(1, 4, 1, 1),
        "summand": random_array(2, 4, 1, 1), "shape": np.array([0, 4, 2, -1]),
    }  # fmt: skip
    nodes = [
        op("Conv", "x w", "conv"),
        op("Shape", "conv", "sizes"),
        op("Reshape", "conv sizes", "moved"),
        op("Mul", "moved factor", "product"),
        op("Add", "product summand", "out"),
    ]
    pipeline = only_pipeline(make_model(nodes, {"x": ["N", 3, "h", "w"]}, ["out"], constants))
    assert len(pipeline._sessions) == 1
