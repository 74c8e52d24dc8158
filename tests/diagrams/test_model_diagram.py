"""What all diagrams of a model share."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

from micam_fast.core.errors import LayoutEngineError
from micam_fast.core.layers import Layer
from micam_fast.diagrams.layout import find_engine, lay_out
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.diagrams.places import DiagramLayout

LAYERS = (Layer("a", "Input", "Input"), Layer("b", "Relu", "Relu", ("a",)))
BOTH = frozenset("ab")


def test_each_layout_is_made_once() -> None:
    made: list[str] = []

    def counted(*args: object, rankdir: str, engine: Path) -> DiagramLayout:
        made.append(rankdir)
        return lay_out(*args, rankdir=rankdir, engine=engine)  # type: ignore[arg-type]

    model = ModelDiagram("net", LAYERS, lay_out=counted)
    first = model.layout(BOTH, "TB")
    assert model.layout(BOTH, "TB") is first
    assert made == ["TB"]
    across, fewer = model.layout(BOTH, "LR"), model.layout(frozenset("a"), "TB")
    assert made == ["TB", "LR", "TB"]
    assert across.nodes["b"].x > first.nodes["b"].x
    assert fewer.nodes["b"].width < first.nodes["b"].width


def test_places_travel(tmp_path: Path) -> None:
    model = ModelDiagram("net", LAYERS)
    model.layout(BOTH, "TB")
    known = dataclasses.replace(pickle.loads(pickle.dumps(model)), engine=tmp_path / "missing here")
    assert known.layout(BOTH, "TB") == model.layout(BOTH, "TB")
    with pytest.raises(LayoutEngineError, match="no Graphviz program"):
        known.layout(BOTH, "LR")


def test_tiles_of_another_size_are_another_layout() -> None:
    model = ModelDiagram("net", LAYERS)
    plain = model.layout(BOTH, "TB")
    wide = model.layout(frozenset("a"), "TB", (900, 300))
    assert (wide.nodes["a"].width, wide.nodes["a"].height) == (900, 300)
    assert wide.nodes["b"].width < plain.nodes["b"].width == plain.nodes["a"].width
    assert model.layout(BOTH, "TB") is plain


def test_a_given_engine_is_used(any_engine: Path) -> None:
    assert set(ModelDiagram("net", LAYERS, any_engine).layout(BOTH, "TB").nodes) == BOTH


def test_an_engine_that_is_missing_is_told_when_it_is_needed(tmp_path: Path) -> None:
    model = ModelDiagram("net", LAYERS, tmp_path / "missing")
    with pytest.raises(LayoutEngineError, match=r"no Graphviz program at .*missing"):
        model.layout(BOTH, "TB")


def test_a_layout_that_failed_is_tried_again(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    model = ModelDiagram("net", LAYERS, engine)
    with pytest.raises(LayoutEngineError, match="no Graphviz program"):
        model.layout(BOTH, "TB")
    engine.symlink_to(find_engine())
    assert set(model.layout(BOTH, "TB").nodes) == BOTH


def test_unknown_rankdir() -> None:
    with pytest.raises(ValueError, match=r"unknown rankdir: 'BT' \(must be one of TB, LR\)"):
        ModelDiagram("net", LAYERS).layout(BOTH, "BT")
