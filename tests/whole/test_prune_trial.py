"""The trial of what `stats` is good for, on the demo's ten digits."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import micam_fast
from micam_fast.demo import DIGITS, MODEL
from tests.helpers.places import ROOT


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = ROOT / "tools" / "prune_trial.py"
    spec = importlib.util.spec_from_file_location("prune_trial", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    held = onnx.load(MODEL).graph.initializer
    return {each.name: numpy_helper.to_array(each) for each in held}


def test_what_is_taken_out(tool: ModuleType, weights: dict[str, np.ndarray]) -> None:
    digits = np.load(DIGITS)
    model = micam_fast.load_model(MODEL)
    found = micam_fast.stats(model, digits)
    candidates = {each.name: each for each in tool.find_candidates(model, found)}
    # The classifier's last layer is not judged.
    assert set(candidates) == {"conv_1", "conv_2", "dense_1"}
    conv = candidates["conv_2"]
    assert conv.dead == found.of("relu_2").dead_indices
    assert set(conv.by_energy[: len(conv.dead)]) == set(conv.dead)
    assert sorted(conv.by_energy) == list(range(48))
    for name, each in candidates.items():
        norms = np.linalg.norm(weights[f"{name}.weight"].reshape(len(each.by_norm), -1), axis=1)
        assert (np.diff(norms[list(each.by_norm)]) >= 0).all()
        assert each.idle == int((1 - each.used) * len(each.by_norm))


def test_a_channel_that_is_taken_out_is_0(tool: ModuleType, weights: dict[str, np.ndarray]) -> None:
    """The same as in a model whose next layer does not read it."""
    digits = np.random.default_rng(1).random((200, 1, 28, 28), np.float32)
    places = {"conv_1": "relu_1", "conv_2": "relu_2", "dense_1": "relu_3"}
    removed = {"conv_2": [3, 7, 40], "dense_1": range(30, 60)}
    proto = onnx.load(MODEL)
    dense = weights["dense_1.weight"].reshape(64, 48, 49).copy()
    dense[:, removed["conv_2"]] = 0
    last = weights["dense_2.weight"].copy()
    last[:, removed["dense_1"]] = 0
    changed = {"dense_1.weight": dense.reshape(64, -1), "dense_2.weight": last}
    for held in proto.graph.initializer:
        if held.name in changed:
            held.CopyFrom(numpy_helper.from_array(changed[held.name], held.name))
    model, pruned = micam_fast.load_model(MODEL), micam_fast.load_model(proto)
    outputs = [pruned.explain(each).output for each in digits]
    labels = np.array([np.argmax(each) for each in outputs if each is not None])
    measure = tool.open_measure(model, places, digits, labels)
    assert measure(removed) == 1
    assert measure({}) < 1


def test_dead_channels_change_nothing(tool: ModuleType) -> None:
    digits = np.load(DIGITS)
    model = micam_fast.load_model(MODEL)
    candidates = tool.find_candidates(model, micam_fast.stats(model, digits))
    places = {"conv_1": "relu_1", "conv_2": "relu_2", "dense_1": "relu_3"}
    measure = tool.open_measure(model, places, digits, np.arange(10))
    assert measure({each.name: each.dead for each in candidates}) == measure({}) == 1
    outcomes = tool.try_out(candidates, measure)
    lines = tool.table_lines("demo", 1.0, outcomes)
    assert lines[0] == "demo: 100.0% before."
    assert lines[4].startswith("| dead, all layers | 3 of 48, 25 of 64 | 100.0% | ")
    assert len(lines) == 4 + 1 + 3 + 1 + 3
    assert all(len(each.at_random) == tool.DRAWS for each in outcomes)
