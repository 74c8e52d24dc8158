"""Layers and layouts from an earlier process."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import micam_fast
from micam_fast import demo
from micam_fast.core.errors import LayoutEngineError
from micam_fast.core.layers import Layer
from micam_fast.core.plan_cache import PlanFiles
from micam_fast.diagrams import cached_layouts
from micam_fast.diagrams.cached_layouts import layouts_by
from micam_fast.diagrams.diagram_template import edge_specs, node_specs
from micam_fast.diagrams.layout import find_engine, lay_out
from micam_fast.diagrams.nodes import draw_nodes
from micam_fast.models.onnx import ModelGraph, cached_layers, open_model, read_layers
from micam_fast.models.onnx.annotations import METADATA_KEY, LayerNote, write_notes
from micam_fast.models.onnx.cached_layers import find_layers
from micam_fast.models.onnx.facts import Facts
from tests.helpers.models import conv_net, conv_node, make_model, random_array
from tests.helpers.places import DATA, LIGHT

node = helper.make_node
SAMPLE = random_array(1, 1, 8, 6)


class Cache:
    """A folder of kept files, and a switch that makes reading and layout fail."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.files = PlanFiles(folder)
        self._patch = patch

    def forbid(self) -> None:
        """From now on, nothing is read and nothing laid out."""

        def fail(*_: object, **__: object) -> None:
            raise AssertionError("not from the cache")

        self._patch.setattr(cached_layers, "read_layers", fail)
        self._patch.setattr(cached_layouts, "lay_out", fail)

    def kept(self) -> list[Path]:
        """All files, the newest last."""
        return sorted(self.folder.rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache" / "micam-fast" / "plans", monkeypatch)


def rnn_net() -> onnx.ModelProto:
    """An LSTM whose ``Y`` has no name, as nobody reads it."""
    constants = {"w": random_array(1, 1, 16, 3), "r": random_array(2, 1, 16, 4)}
    nodes = [
        node("LSTM", ["x", "w", "r"], ["", "h"], name="lstm", hidden_size=4),
        node("Relu", ["h"], ["out"], name="relu"),
    ]
    return make_model(nodes, {"x": [5, 1, 3]}, ["out"], constants)


def quantized_net(scale: float = 0.5) -> onnx.ModelProto:
    """A kernel of more than a few values, which has to be computed."""
    kernel = np.arange(16 * 16 * 9).reshape(16, 16, 3, 3).astype(np.int8)
    nodes = [
        node("DequantizeLinear", ["w", "s"], ["k"]),
        conv_node("conv", "x", "k", pads=[1, 1, 1, 1]),
    ]
    constants = {"w": kernel, "s": np.array(scale, np.float32)}
    return make_model(nodes, {"x": ["b", 16, 8, 6]}, ["conv:0"], constants)


FILES = [
    path
    for path in (demo.MODEL, *sorted(DATA.glob("*.onnx")), *sorted(LIGHT.glob("*.onnx")))
    if path.stem != "light_densenet121"
]
MODELS: dict[str, Path | onnx.ModelProto] = {
    **{path.stem: path for path in FILES},
    "net": conv_net(),
    "rnn": rnn_net(),
    "quantized": quantized_net(),
}


def assert_same(first: ModelGraph, second: ModelGraph) -> None:
    assert first.reading == second.reading
    # 1, 1.0 and True are equal, and so are lists of a subclass of theirs.
    assert repr(first.reading) == repr(second.reading)


# --- Layers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_layers_that_were_kept_are_those_that_are_read(name: str, cache: Cache) -> None:
    source = MODELS[name]
    fresh = read_layers(open_model(source))
    assert_same(find_layers(open_model(source), cache.files), fresh)
    cache.forbid()
    found = find_layers(open_model(source), cache.files)
    assert_same(found, fresh)
    for layer in found.reading.kernels:
        for one, other in zip(found.weights(layer), fresh.weights(layer), strict=True):
            np.testing.assert_array_equal(one, other)
    assert found.graph.kind == fresh.graph.kind
    assert [each.output for each in found.graph.nodes] == [
        each.output for each in fresh.graph.nodes
    ]


def test_a_model_whose_graph_is_huge_is_not_kept(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_layers, "_LARGEST_GRAPH", 100)
    find_layers(open_model(conv_net()), cache.files)
    assert not cache.kept()


def test_sizes_that_no_run_has_told_are_not_kept(cache: Cache) -> None:
    proto = make_model([node("NonZero", ["x"], ["places"])], {"x": ["b", 4]}, ["places"])
    model, facts = open_model(proto), Facts({"x": (1, 4)})
    found = find_layers(model, cache.files, facts=facts)
    assert found.reading.open_values == ("places",)
    assert not cache.kept()
    found = find_layers(model, cache.files, facts=facts, observe=lambda names: {"places": (2, 3)})
    assert found.reading.open_values == ()
    cache.forbid()
    assert_same(find_layers(model, cache.files, facts=facts), found)


def test_another_name_or_other_weights_are_no_other_model(cache: Cache, tmp_path: Path) -> None:
    """Layers do not depend on the numbers of large weights, and kernels are not kept."""
    proto = wide_net()
    find_layers(open_model(proto), cache.files)
    onnx.save(wide_net(seed=7), tmp_path / "other.onnx")
    cache.forbid()
    found = find_layers(open_model(tmp_path / "other.onnx"), cache.files)
    np.testing.assert_array_equal(found.weights("conv")[0], random_array(7, 16, 16, 3, 3))


def wide_net(*, seed: int = 1) -> onnx.ModelProto:
    return make_model(
        [conv_node("conv", "x", "w", pads=[1, 1, 1, 1])],
        {"x": ["b", 16, 8, 6]},
        ["conv:0"],
        {"w": random_array(seed, 16, 16, 3, 3)},
    )


def renamed(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].name = "other"


def strided(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute.append(helper.make_attribute("strides", [1, 2]))


def resized(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 80


def reshaped(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [4, 1, 9, 1]


def other_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 14


def other_output(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "dense:0"


def small_value(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[1].raw_data = np.ones(4, np.float32).tobytes()


def sparse_weight(proto: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(dims=[4, 4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "more"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64)))
    proto.graph.sparse_initializer.append(sparse)


def other_notes(proto: onnx.ModelProto) -> None:
    """The layout of some layers."""
    found = read_layers(open_model(proto))
    notes = [
        LayerNote(dataclasses.replace(layer, inputs=()), found.taps[layer.name])
        for layer in found.layers
        if found.taps[layer.name].geometry is None
    ]
    helper.set_model_props(proto, {METADATA_KEY: write_notes(tuple(notes), {})})


@pytest.mark.parametrize(
    "change",
    [
        other_notes,
        renamed,
        strided,
        resized,
        reshaped,
        other_opset,
        other_output,
        small_value,
        sparse_weight,
    ],
)
def test_other_content_is_read_anew(
    change: Callable[[onnx.ModelProto], None], cache: Cache
) -> None:
    find_layers(open_model(conv_net()), cache.files)
    proto = conv_net()
    change(proto)
    find_layers(open_model(proto), cache.files)
    assert len(cache.kept()) == 2


def test_large_constants_that_were_looked_at_are_part_of_the_content(cache: Cache) -> None:
    """A bound that the file computes from many weights; a kernel is not looked at for layers."""
    nodes = [
        node("ReduceMax", ["w"], ["high"], keepdims=0),
        node("Conv", ["x", "k"], ["conv"], name="conv"),
        node("Clip", ["conv", "low", "high"], ["out"], name="clip"),
    ]
    constants = {
        "w": random_array(1, 64, 64), "k": random_array(2, 40, 2, 5, 5), "low": np.float32(0)
    }  # fmt: skip
    proto = make_model(nodes, {"x": ["b", 2, 8, 6]}, ["out"], constants)
    find_layers(open_model(proto), cache.files)
    (kept,) = cache.kept()
    assert list(json.loads(kept.read_bytes().partition(b"\n")[2])["constants"]) == ["w"]
    before = kept.read_bytes()
    weights = proto.graph.initializer[0]
    weights.raw_data = weights.raw_data[::-1]
    find_layers(open_model(proto), cache.files)
    assert cache.kept() == [kept]
    assert kept.read_bytes() != before
    cache.forbid()
    find_layers(open_model(proto), cache.files)


def test_external_data_that_was_looked_at_is_part_of_the_content(
    cache: Cache, tmp_path: Path
) -> None:
    nodes = [node("Reshape", ["x", "shape"], ["r"], name="reshape"), node("Relu", ["r"], ["out"])]
    proto = make_model(nodes, {"x": ["b", 4, 8, 6]}, ["out"], {"shape": np.array([-1, 4, 48])})
    place = tmp_path / "net.onnx"
    onnx.save_model(proto, place, save_as_external_data=True, location="w.bin", size_threshold=0)
    find_layers(open_model(place), cache.files)
    (tmp_path / "w.bin").write_bytes(np.array([-1, 1, 192]).tobytes())
    fresh = read_layers(open_model(place))
    assert_same(find_layers(open_model(place), cache.files), fresh)


def test_notes_that_are_empty_are_other_content(cache: Cache) -> None:
    find_layers(open_model(conv_net()), cache.files)
    proto = conv_net()
    helper.set_model_props(proto, {METADATA_KEY: ""})
    with pytest.raises(micam_fast.ModelError, match="is damaged"):
        find_layers(open_model(proto), cache.files)


def test_a_broken_graph_is_refused_each_time(cache: Cache) -> None:
    proto = conv_net()
    proto.graph.node[1].input[0] = "nowhere"
    for _ in range(2):
        with pytest.raises(micam_fast.ModelError, match="reads 'nowhere', which no earlier node"):
            find_layers(open_model(proto), cache.files)
    assert not cache.kept()


GARBAGE: dict[str, Any] = {
    "list": [],
    "null": None,
    "number": 3,
    "nothing in it": {},
    "no layers": {"reading": {"layers": None}, "constants": {}},
    "no digests": {"reading": {}, "constants": [1]},
}


@pytest.mark.parametrize("case", [*GARBAGE, "other types", "unknown constant"])
def test_content_that_is_no_plan_is_read_anew(case: str, cache: Cache) -> None:
    find_layers(open_model(conv_net()), cache.files)
    (kept,) = cache.kept()
    content = json.loads(kept.read_bytes().partition(b"\n")[2])
    if case == "other types":
        content["reading"]["taps"]["conv"]["axes"]["channel"] = "1"
    elif case == "unknown constant":
        content["constants"] = {"nowhere": "00"}
    else:
        content = GARBAGE[case]
    cache.files.keep(kept.stem, content)
    assert_same(
        find_layers(open_model(conv_net()), cache.files), read_layers(open_model(conv_net()))
    )
    cache.forbid()
    find_layers(open_model(conv_net()), cache.files)


# --- Layouts ---------------------------------------------------------------------------------

LAYERS = (
    Layer("a", "Input", "Input"),
    Layer("b", "Relu", "Relu", ("a",), cluster=("ä",)),
    Layer("c", "Add", "Add", ("a", "b")),
)
ALL = frozenset("abc")


def drawn(cache: Cache, engine: Path, *, rankdir: str = "TB", mapped: frozenset[str] = ALL) -> Any:
    lay_out_once = layouts_by(cache.files)
    nodes = draw_nodes(LAYERS, mapped)
    asked = node_specs(nodes, mapped), edge_specs(nodes)
    return lay_out_once(*asked, rankdir=rankdir, engine=engine)


def test_a_layout_that_was_kept_is_the_one_that_was_made(cache: Cache) -> None:
    engine = find_engine()
    nodes = draw_nodes(LAYERS, ALL)
    fresh = lay_out(node_specs(nodes, ALL), edge_specs(nodes), engine=engine)
    assert drawn(cache, engine) == fresh
    cache.forbid()
    found = drawn(cache, engine)
    assert found == fresh
    assert repr(found) == repr(fresh)


def test_another_direction_or_choice_is_another_layout(cache: Cache) -> None:
    engine = find_engine()
    drawn(cache, engine)
    across, fewer = drawn(cache, engine, rankdir="LR"), drawn(cache, engine, mapped=frozenset("a"))
    assert len(cache.kept()) == 3
    cache.forbid()
    assert drawn(cache, engine, rankdir="LR") == across
    assert drawn(cache, engine, mapped=frozenset("a")) == fewer


def test_another_engine_is_another_layout(cache: Cache, tmp_path: Path) -> None:
    engine = Path(shutil.copy(find_engine(), tmp_path / "engine"))
    drawn(cache, find_engine())
    drawn(cache, engine)
    assert len(cache.kept()) == 2
    with engine.open("a") as file:
        file.write("\n")
    drawn(cache, engine)
    assert len(cache.kept()) == 3
    cache.forbid()
    drawn(cache, engine)


def test_an_engine_that_fails_leaves_nothing(cache: Cache, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    for _ in range(2):
        with pytest.raises(LayoutEngineError, match="cannot run"):
            drawn(cache, engine)
    engine.write_text("#!/bin/sh\nexit 3\n")
    engine.chmod(0o755)
    with pytest.raises(LayoutEngineError, match="exit code 3"):
        drawn(cache, engine)
    assert not cache.kept()


def test_a_damaged_layout_is_made_anew(cache: Cache) -> None:
    fresh = drawn(cache, find_engine())
    (kept,) = cache.kept()
    cache.files.keep(kept.stem, {"width": 3})
    assert drawn(cache, find_engine()) == fresh
    kept.write_bytes(kept.read_bytes()[:-9])
    assert drawn(cache, find_engine()) == fresh


# --- Models ----------------------------------------------------------------------------------


def test_a_second_model_neither_reads_nor_lays_out(cache: Cache, tmp_path: Path) -> None:
    onnx.save(conv_net(), tmp_path / "net.onnx")
    first = micam_fast.load_model(tmp_path / "net.onnx").explain(SAMPLE)
    first.save(tmp_path / "first.svg")
    # Layers, layout, and that the graph gives what the file gives.
    assert len(cache.kept()) == 3
    cache.forbid()
    second = micam_fast.load_model(tmp_path / "net.onnx").explain(SAMPLE)
    second.save(tmp_path / "second.svg")
    for name, cam in first.cams.items():
        np.testing.assert_array_equal(cam, second.cams[name])
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


def test_a_recurrent_layer_from_the_cache_can_be_fetched(cache: Cache) -> None:
    sample = {"x": random_array(3, 5, 3)}
    first = micam_fast.explain(rnn_net(), sample)
    cache.forbid()
    second = micam_fast.explain(rnn_net(), sample)
    np.testing.assert_array_equal(first.cams["lstm"], second.cams["lstm"])


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    said: list[str] = []
    for _ in range(2):
        model = micam_fast.load_model(conv_net(), say=said.append)
        model.explain(SAMPLE).save(tmp_path / "out.svg")
    assert not said
    assert capfd.readouterr() == ("", "")
