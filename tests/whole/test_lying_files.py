"""Files that lie about their sizes are refused in one line, or their maps are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from micam_fast._loops import maps as loops
from micam_fast.core.errors import MicamError
from micam_fast.core.layers import Tap
from micam_fast.maps.bounds import find_fitting_taps
from tests.helpers import lying
from tests.helpers.canaries import canaries
from tests.helpers.lying import KINDS, judge, run_seeds
from tests.helpers.lying_graphs import LIES as GRAPH_LIES, Liar, known_layers, true_graph
from tests.helpers.lying_notes import LIES as NOTE_LIES, handmade, known_notes, read
from tests.helpers.mutations import Random

SEEDS = {"graph": range(1000, 1300), "notes": range(300)}


@pytest.mark.parametrize("kind", SEEDS)
def test_lies_are_refused_or_do_not_matter(kind: str) -> None:
    with canaries():
        tally = run_seeds(kind, SEEDS[kind])
    assert not tally.findings
    # Lies that are all refused, or none, would find nothing.
    assert tally.ended[kind, "right"] >= 75
    assert tally.ended[kind, "refused"] >= 75
    assert tally.ended[kind, "unjudged"] <= 15


@pytest.mark.parametrize("kind", SEEDS)
def test_a_seed_is_the_same_file_in_every_run(kind: str) -> None:
    for seed in range(10):
        first, second = KINDS[kind](seed), KINDS[kind](seed)
        assert first.proto.SerializeToString(deterministic=True) == second.proto.SerializeToString(
            deterministic=True
        )
        np.testing.assert_array_equal(first.sample, second.sample)
    known = {part for seed in range(100) for part in KINDS[kind](seed).lie.split(", ")}
    assert known == set(GRAPH_LIES if kind == "graph" else NOTE_LIES)


@pytest.mark.parametrize("seed", range(20))
def test_files_without_lies_are_right(seed: int) -> None:
    rng = Random(seed)
    model, sample = true_graph(rng)
    assert judge(Liar(model, sample, known_layers(model), "none"), rng) == ("right", [])
    model, sample = handmade(rng)
    layers = known_notes(model, read(model))
    assert judge(Liar(model, sample, layers, "none"), rng) == ("right", [])


# --- The harness sees what is wrong -------------------------------------------------------------


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The checks left out."""
    monkeypatch.setattr("micam_fast.maps.loop_tables.check_rows", lambda *_: None)
    monkeypatch.setattr("micam_fast.maps.bounds._check_kernel", lambda *_: None)
    monkeypatch.setattr("micam_fast.maps.bounds._stay_within", lambda *_: True)
    monkeypatch.setattr("micam_fast.models.onnx.annotated._check_channels", lambda *_: None)
    return monkeypatch


def test_maps_of_other_channels_are_found(loose: pytest.MonkeyPatch) -> None:
    """One channel more than the activation has, of a few of the layers."""

    def find_more(name: str, tap: Tap, size: Any, channels: int, *rest: Any) -> Any:
        return find_fitting_taps(
            name, tap, size, channels + (tap.geometry is None and channels > 3), *rest
        )

    loose.setattr("micam_fast.maps.loop_tables.find_fitting_taps", find_more)
    with canaries():
        tally = run_seeds("graph", range(1000, 1040))
    # With checked indices the loop raises instead.
    known = "the map of", "IndexError"
    assert [each for each in tally.findings if any(word in each for word in known)]


def test_a_wrong_output_is_found() -> None:
    rng = Random(3)
    model, sample = true_graph(rng)
    found = Liar(model, sample, known_layers(model), "none")
    honest = lying._plain_values
    with pytest.MonkeyPatch.context() as patch:

        def shifted(*words: Any) -> Any:
            values = honest(*words)
            return values and {name: array + 1 for name, array in values.items()}

        patch.setattr(lying, "_plain_values", shifted)
        _, wrong = judge(found, rng)
    assert any("the output is wrong" in each for each in wrong)
    assert any("the map of" in each for each in wrong)


def test_what_is_no_line_for_people_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MicamError("two\nlines")

    monkeypatch.setattr("micam_fast.load_model", refuse)
    tally = run_seeds("graph", range(1))
    assert "no line for people" in tally.findings[0]

    def crash(*_: Any, **__: Any) -> None:
        raise IndexError("index is out of bounds")

    monkeypatch.setattr("micam_fast.load_model", crash)
    tally = run_seeds("notes", range(1))
    assert tally.findings == ["notes 0: IndexError: index is out of bounds"]
    assert str(tally) == "1 notes crashed; 1 findings"


def test_canaries_see_what_is_written_around_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_behind(*words: Any) -> None:
        maps = words[-2]
        np.lib.stride_tricks.as_strided(maps, (1, maps.size + 1))[0, -1] = 0

    monkeypatch.setattr(loops, "project_tasks", write_behind)
    tables = np.zeros((1, loops.TABLE_WIDTH), np.int64)
    floats, numbers = np.zeros(4, np.float32), np.zeros(0, np.int32)
    words = np.zeros((1, 2), np.int64), tables, floats, floats, numbers, numbers
    with canaries(), pytest.raises(AssertionError, match="a loop wrote around its map"):
        loops.project_tasks(*words, np.zeros((1, 4), np.float32), np.zeros((1, 1, 2)))
